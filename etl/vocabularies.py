"""The vocabularies with which OpenAI's models cut text into tokens, read from files and never from a network.

tiktoken does the cutting; the patterns and checksums are those of its `tiktoken_ext/openai_public.py`. It would load a
vocabulary that it lacks, or whose checksum differs, from the network; so the files are found, checked and parsed here.
"""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from etl.errors import UsageError

if TYPE_CHECKING:
    import tiktoken

FOLDER_VARIABLE = "TIKTOKEN_CACHE_DIR"


@dataclass(frozen=True)
class Vocabulary:
    """A published vocabulary.

    Attributes:
        file_name: as tiktoken names its copy: the SHA-1 of the address that it is published at.
        sha256: of the file's bytes.
        pattern: how text is cut into the pieces that are cut into tokens.
    """

    file_name: str
    sha256: str
    pattern: str


_ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
VOCABULARIES = {
    "o200k_base": Vocabulary(
        "fb374d419588a4632f3f557e76b4b70aebbca790",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_ENDINGS}|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_ENDINGS}"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
    "cl100k_base": Vocabulary(
        "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
        r"|\s+(?!\S)|\s",
    ),
}
_HOW = f"""\
Where there is a network, once:  {FOLDER_VARIABLE}=FOLDER python -c \
"import tiktoken; [tiktoken.get_encoding(name) for name in ('o200k_base', 'cl100k_base')]"
Then bring FOLDER here, and set {FOLDER_VARIABLE} to it. Costroll itself opens no network connection."""


class Vocabularies:
    """The vocabularies of one folder; each is loaded when it is first needed. Safe to share between threads.

    Args:
        folder: where tiktoken keeps its copies.

    Raises:
        UsageError: tiktoken is not installed, or one of the files is missing or is not what was published.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import tiktoken  # noqa: F401
        except ImportError as error:
            raise UsageError(
                "--estimate-tokens needs the package tiktoken, which is not installed: pip install 'costroll[tokens]'"
            ) from error
        self._data = {name: _checked(folder, name) for name in VOCABULARIES}
        self._encodings: dict[str, tiktoken.Encoding] = {}
        self._lock = threading.Lock()

    @classmethod
    def from_environment(cls) -> Vocabularies:
        """Those of the folder that $TIKTOKEN_CACHE_DIR names.

        Raises:
            UsageError: as above, or it names none.
        """
        folder = os.environ.get(FOLDER_VARIABLE)
        if not folder:
            raise UsageError(
                f"--estimate-tokens needs tiktoken's vocabularies, and {FOLDER_VARIABLE} is not set.\n{_HOW}"
            )
        return cls(Path(folder))

    @staticmethod
    def name_for(model: str) -> str | None:
        """The vocabulary of a model, by its name; None where it is none of `VOCABULARIES`, or not known."""
        from tiktoken.model import encoding_name_for_model

        try:
            name = encoding_name_for_model(model)
        except KeyError:
            return None
        return name if name in VOCABULARIES else None

    def count(self, name: str, text: str) -> int:
        """How many tokens a text is; what looks like a special token is text."""
        with self._lock:
            if name not in self._encodings:
                self._encodings[name] = _encoding(name, self._data[name])
        return len(self._encodings[name].encode_ordinary(text))


def _checked(folder: Path, name: str) -> bytes:
    path = folder / VOCABULARIES[name].file_name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"--estimate-tokens: there is no vocabulary {name} at {path} ({error.strerror}).\n{_HOW}"
        ) from error
    if hashlib.sha256(data).hexdigest() != VOCABULARIES[name].sha256:
        raise UsageError(f"--estimate-tokens: {path} is not the vocabulary {name}: its SHA-256 differs.\n{_HOW}")
    return data


def _encoding(name: str, data: bytes) -> tiktoken.Encoding:
    import tiktoken

    ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, data.splitlines())}
    return tiktoken.Encoding(name, pat_str=VOCABULARIES[name].pattern, mergeable_ranks=ranks, special_tokens={})
