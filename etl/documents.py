"""Cut a JSON document that spans lines (an API page, a list, an array, pretty-printed objects) into its records.

Each record keeps the line and the byte offset at which it begins, so that a reject can be found in the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

_WHITESPACE = " \t\r\n"
_SCANNER = json.JSONDecoder(strict=True)


@dataclass(frozen=True)
class Piece:
    """One record of a document: its text, and where it begins."""

    text: str
    line_number: int
    byte_offset: int

    def place(self) -> tuple[int, int, str]:
        """Byte offset, byte length and SHA-256."""
        content = self.text.encode()
        return self.byte_offset, len(content), hashlib.sha256(content).hexdigest()


def pieces(text: str) -> Iterator[Piece]:
    """Yield the records of white-space separated JSON values.

    The elements of an array, or of the `data` array of an object that is a page or list, are records of their own. From the
    first place that is no JSON on, the rest is one piece.
    """
    line, byte, at = 1, 0, 0
    for start, end in _spans(text):
        line += text.count("\n", at, start)
        byte += len(text[at:start].encode())
        at = start
        yield Piece(text[start:end], line, byte)


def _spans(text: str) -> Iterator[tuple[int, int]]:
    at = _skip(text, 0)
    while at < len(text):
        try:
            value, end = _SCANNER.raw_decode(text, at)
        except (ValueError, RecursionError):
            yield at, len(text.rstrip(_WHITESPACE))
            return
        if isinstance(value, list):
            yield from _elements(text, at)
        elif (
            isinstance(value, dict) and value.get("object") in ("page", "list") and isinstance(value.get("data"), list)
        ):
            # An embeddings response is a list too, but its usage stands beside its data.
            yield from ((at, end),) if "usage" in value else _elements(text, _data_at(text, at))
        else:
            yield at, end
        at = _skip(text, end)


def _elements(text: str, at: int) -> Iterator[tuple[int, int]]:
    """The spans of an array's elements; the array begins at `at` and is known to be sound."""
    at = _skip(text, at + 1)
    while text[at] != "]":
        _, end = _SCANNER.raw_decode(text, at)
        yield at, end
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _data_at(text: str, at: int) -> int:
    """Where the array of an object's `data` key begins."""
    at = _skip(text, at + 1)
    while True:
        key, at = _SCANNER.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)
        if key == "data" and text[at] == "[":
            return at
        _, at = _SCANNER.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _WHITESPACE:
        at += 1
    return at
