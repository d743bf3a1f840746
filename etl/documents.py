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
    """One record of a document: its text, and where it begins.

    Attributes:
        inner: where each entry of a bucket's `results` begins, as they are records of their own.
    """

    text: str
    line_number: int
    byte_offset: int
    inner: tuple[Piece, ...] = ()

    def place(self) -> tuple[int, int, str]:
        """Byte offset, byte length and SHA-256."""
        content = self.text.encode()
        return self.byte_offset, len(content), hashlib.sha256(content).hexdigest()

    def lines(self) -> list[int]:
        """The line of each record in it."""
        return [piece.line_number for piece in self.inner] or [self.line_number]


def pieces(text: str, offset: int = 0) -> Iterator[Piece]:
    """Yield the records of white-space separated JSON values; the text begins at byte `offset` of its input.

    The elements of an array, or of the `data` array of an object that is a page or list, are records of their own.
    From the first place that is no JSON on, the rest is one piece.
    """
    place = _Place(text, offset)
    for start, end in _spans(text):
        piece = place.piece(start, end)
        inner = tuple(place.piece(*span) for span in _results(text, start))
        yield Piece(piece.text, piece.line_number, piece.byte_offset, inner)


class _Place:
    """Counts lines and bytes on the way through a text; starts never go back."""

    def __init__(self, text: str, offset: int) -> None:
        self._text, self._at, self._line, self._byte = text, 0, 1, offset

    def piece(self, start: int, end: int) -> Piece:
        passed = self._text[self._at : start]
        self._line += passed.count("\n")
        self._byte += len(passed.encode())
        self._at = start
        return Piece(self._text[start:end], self._line, self._byte)


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
        elif is_container(value):
            yield from _elements(text, _member_at(text, at, "data"))
        else:
            yield at, end
        at = _skip(text, end)


def is_container(value: object) -> bool:
    """Whether a decoded object is a page or a list of records; an embeddings response has usage beside its data."""
    return (
        isinstance(value, dict)
        and value.get("object") in ("page", "list")
        and isinstance(value.get("data"), list)
        and "usage" not in value
    )


def _results(text: str, at: int) -> Iterator[tuple[int, int]]:
    try:
        value, _ = _SCANNER.raw_decode(text, at)
    except (ValueError, RecursionError):
        return
    if isinstance(value, dict) and value.get("object") == "bucket" and isinstance(value.get("results"), list):
        yield from _elements(text, _member_at(text, at, "results"))


def _elements(text: str, at: int) -> Iterator[tuple[int, int]]:
    """The spans of an array's elements; the array begins at `at` and is known to be sound."""
    at = _skip(text, at + 1)
    while text[at] != "]":
        _, end = _SCANNER.raw_decode(text, at)
        yield at, end
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _member_at(text: str, at: int, name: str) -> int:
    """Where an object's array of that name begins."""
    at = _skip(text, at + 1)
    while True:
        key, at = _SCANNER.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)
        if key == name and text[at] == "[":
            return at
        _, at = _SCANNER.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _WHITESPACE:
        at += 1
    return at
