"""What a fuzz target is: a promise that holds for any bytes, bytes to begin with, and a way to make more of them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.append(str(CHECKOUT / "tests"))  # for its independent oracle and its writer of damaged logs

Mutate = Callable[[bytes, Random], bytes]


@dataclass(frozen=True)
class Target:
    """One subject of fuzzing.

    Attributes:
        check: raises AssertionError, or anything at all, where the promise is broken.
        seeds: inputs to begin with.
        mutate: makes another input of one, by what is known of its structure; None leaves it to the fuzzer.
        words: what the fuzzer may put in.
    """

    check: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    mutate: Mutate | None = None
    words: tuple[bytes, ...] = ()


@cache
def scratch() -> Path:
    """A folder for files of this process; it goes with the process."""
    folder = TemporaryDirectory(prefix="costroll-fuzz-")
    _kept.append(folder)
    return Path(folder.name)


_kept: list[TemporaryDirectory[str]] = []  # removed when the interpreter ends


# Beginnings of the golden cases whose shapes tests/oracle.py does not judge.
BEYOND_THE_ORACLE = (
    *("anthropic_", "azure_", "bedrock_", "claude_", "cloudflare_", "codex_", "gemini_", "helicone_", "langfuse_"),
    *("litellm_", "openai_batch_objects", "openai_images_", "openai_legacy_", "openai_streams_", "openai_training_"),
    *("openai_usage_of_", "openrouter_", "otel_", "portkey_"),
)


def sample_files(*patterns: str) -> Iterator[bytes]:
    """The sample logs and the golden logs of these patterns that the oracle judges, the large ones left out."""
    for folder in ("sample_logs", "tests/golden"):
        for path in sorted((CHECKOUT / folder).rglob("*")):
            is_judged = not path.parent.parent.name.startswith(BEYOND_THE_ORACLE)
            if is_judged and any(path.match(pattern) for pattern in patterns) and path.stat().st_size < 20_000:
                yield path.read_bytes()


def damaged_files(*suffixes: str, records: int = 400) -> Iterator[bytes]:
    """Uncompressed files of tests/damage.py, some of whose records are broken, cut to at most thirty lines each."""
    import damage

    folder = scratch() / "damaged"
    if not folder.exists():
        damage.write_damaged_logs(folder, records, seed=4)
    for path in sorted(folder.iterdir()):
        if path.suffix in suffixes:
            content = path.read_bytes()
            if path.suffix == ".json" and not _is_json(content.split(b"\n", 1)[0]):
                yield content
                continue
            lines = content.splitlines(keepends=True)
            for start in range(0, min(len(lines), 300), 30):
                yield b"".join(lines[start : start + 30])


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


# What breaks readers: edges of numbers, odd spellings, white space and control characters, ends of encodings.
NUMBERS = (
    *("0", "-0", "1", "-1", "12.0", "1.5", "1e3", "1E400", "NaN", "Infinity", "-Infinity", "012", "+5", ".5", "5."),
    *("1000000000000", "1000000000001", "9223372036854775807", "9223372036854775808", "18446744073709551616"),
    *(
        "9" * 50,
        "1763683200",
        "429",
        "1763683200.9999999",
        "1763683200000",
        "253402300799",
        "253402300800",
        "-62135596800",
    ),
)
TEXTS = (
    *("", " ", "x", "gpt-4o-mini-2024-07-18", "standard", "priority", "fast", "flex-tier", "scale", "auto", "true"),
    *("2025-11-21T01:00:00Z", "2025-11-21T23:59:60Z", "2025-11-21 01:00:00", "2025-11-21T01:00:00.1234567+02:00"),
    *(
        "2025-11-21",
        "2025-02-30T00:00:00Z",
        "2025-11-21T24:00:00Z",
        "2025-11-21T01:00:00+24:00",
        "0000-01-01T00:00:00Z",
    ),
    *("9999-12-31T23:59:59-23:59", "２０２５-11-21T01:00:00Z", "2025-11-21T01:00:00,5Z", "2025-11-21t01:00:00z"),
    *(
        "12",
        "٣",
        "2025-11-21T٠١:00:00Z",
        "\x00",
        "\x7f",
        "\x85",
        "\u2028",
        "\ufeff",
        "\U0001f642",
        "é",
        "\ufffd",
        "{",
        "}",
        '"',
        "\\",
        ",}",
    ),
)
BYTES = (
    *(b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b"\n", b"\r\n"),
    *(b'"', b"\\", b",", b" ", b"\t", b"\x0b", b"\xc2\xa0"),
)


def damage_bytes(data: bytes, r: Random, words: tuple[bytes, ...] = BYTES) -> bytes:
    """Put a word in, take a stretch out, turn a bit, repeat a stretch or cut the end off."""
    at = r.randrange(len(data) + 1)
    end = min(len(data), at + r.choice((1, 1, 2, 5, 20)))
    kind = r.randrange(5)
    if kind == 0:
        return data[:at] + r.choice(words) + data[at:]
    if kind == 1:
        return data[:at] + data[end:]
    if kind == 2 and at < len(data):
        return data[:at] + bytes([data[at] ^ (1 << r.randrange(8))]) + data[at + 1 :]
    if kind == 3:
        return data[:at] + data[at:end] * 2 + data[end:]
    return data[:at] if r.random() < 0.2 else data[:at] + r.choice(words) + data[end:]


def words_of(*texts: str) -> tuple[bytes, ...]:
    """Texts as words for the fuzzer."""
    return tuple(dict.fromkeys(text.encode("utf-8", "surrogatepass") for text in texts if text))


def dictionary(words: Iterable[bytes]) -> str:
    """Words as a libFuzzer dictionary."""
    quoted = (re.sub(rb"[^ !#-\[\]-~]", lambda found: b"\\x%02x" % found[0][0], word).decode() for word in words)
    return "".join(f'"{word}"\n' for word in quoted)
