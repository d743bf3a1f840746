"""Vocabularies small enough to count with by hand: every byte is a token, and so is each of a few words.

tiktoken looks a piece of text up as a whole before it cuts it: a word that stands here is one token, any other piece
is as many tokens as it has bytes. The words below, and nothing else, are whole.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from etl import vocabularies
from etl.vocabularies import FOLDER_VARIABLE, VOCABULARIES

WORDS = (
    "Hello",
    " world",
    "user",
    "system",
    "assistant",
    "Hi",
    " there",
    "Say",
    " hi",
    "get",
    "weather",
    "the",
    " the",
)


def install(patch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Write both vocabularies to a folder, named as by tiktoken; the package takes them for the published ones."""
    tokens = [bytes([byte]) for byte in range(256)] + [word.encode() for word in WORDS]
    data = b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens))
    folder.mkdir(parents=True, exist_ok=True)
    for name, published in VOCABULARIES.items():
        (folder / published.file_name).write_bytes(data)
        mine = replace(published, sha256=hashlib.sha256(data).hexdigest())
        patch.setitem(vocabularies.VOCABULARIES, name, mine)
    patch.setenv(FOLDER_VARIABLE, str(folder))
    return folder
