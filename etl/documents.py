"""Cut a JSON document that spans lines (an API page, a list, an array, pretty-printed objects) into its records.

Each record keeps the line and the byte offset at which it begins, so that a reject can be found in the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from etl.containers import Cut, cut_of
from etl.lines import Lines

_WHITESPACE = " \t\r\n"
_SCANNER = json.JSONDecoder(strict=True)


@dataclass(frozen=True)
class Piece:
    """One record of a document: its text, and where it begins.

    Attributes:
        inner: where each record in it begins, if it holds several, as a bucket does.
        is_sound: it is one JSON value; else it is what stands from the first place on that is none.
    """

    text: str
    line_number: int
    byte_offset: int
    inner: tuple[Piece, ...] = ()
    is_sound: bool = True

    def place(self) -> tuple[int, int, str]:
        """Byte offset, byte length and SHA-256."""
        content = self.text.encode()
        return self.byte_offset, len(content), hashlib.sha256(content).hexdigest()

    def lines(self) -> list[int]:
        """The line of each record in it."""
        return [piece.line_number for piece in self.inner] or [self.line_number]


def pieces(text: str, offset: int = 0) -> Iterator[Piece]:
    """Yield the records of white-space separated JSON values; the text begins at byte `offset` of its input.

    The elements of an array, and those of an object that is a page, list or trace, are records of their own.
    From the first place that is no JSON on, the rest is one piece.
    """
    place = _Place(text, offset)
    for span in _spans(text):
        piece = place.piece(span)
        inner = tuple(place.piece(one) for one in _entries(text, span))
        yield replace(piece, inner=inner) if inner else piece


def by_first_line(found: Iterable[Piece]) -> dict[int, list[Piece]]:
    """The records by the line on which they begin, inner ones first."""
    by_line: dict[int, list[Piece]] = {}
    for piece in found:
        for part in (*piece.inner, piece):
            by_line.setdefault(part.line_number, []).append(part)
    return by_line


def place_of(number: int, by_line: Mapping[int, Sequence[Piece]], lines: Lines) -> tuple[int, int, str]:
    """Byte offset, byte length and SHA-256 of the record on a line; where several begin there, of the line."""
    found = by_line.get(number, ())
    return found[0].place() if len(found) == 1 else next(lines.places([number]))


class _Place:
    """Counts lines and bytes on the way through a text; starts never go back."""

    def __init__(self, text: str, offset: int) -> None:
        self._text, self._at, self._line, self._byte = text, 0, 1, offset

    def piece(self, span: _Span) -> Piece:
        passed = self._text[self._at : span.start]
        self._line += passed.count("\n")
        self._byte += len(passed.encode())
        self._at = span.start
        return Piece(self._text[span.start : span.end], self._line, self._byte, is_sound=span.is_sound)


class _Span(NamedTuple):
    """Where a value begins and ends in a text, and what it is; no value where it is not sound."""

    start: int
    end: int
    value: Any
    is_sound: bool = True


def _spans(text: str) -> Iterator[_Span]:
    at = _skip(text, 0)
    while at < len(text):
        try:
            value, end = _SCANNER.raw_decode(text, at)
        except (ValueError, RecursionError):
            yield _Span(at, len(text.rstrip(_WHITESPACE)), None, is_sound=False)
            return
        if isinstance(value, list):
            yield from _elements(text, at)
        elif (start := _entries_at(text, at, cut_of(value, may_inherit=False))) is not None:
            yield from _elements(text, start)
        else:
            yield _Span(at, end, value)
        at = _skip(text, end)


def _entries_at(text: str, at: int, cut: Cut | None) -> int | None:
    """Where the array of a container's records begins; None without one.

    None also where a key that decides how it is cut stands twice, so that nobody can tell which one counts.
    """
    if cut is None:
        return None
    found = [(key, start) for key, start in _members(text, at) if key in cut.deciding]
    is_doubled = len({key for key, _ in found}) < len(found)
    return None if is_doubled else dict(found)[cut.array]


def _entries(text: str, span: _Span) -> Iterator[_Span]:
    """The records of a container, however deep; nothing for a record of its own."""
    if (first := _entries_at(text, span.start, cut_of(span.value))) is not None:
        for element in _elements(text, first):
            deeper = list(_entries(text, element))
            yield from deeper or [element]


def _elements(text: str, at: int) -> Iterator[_Span]:
    """The elements of an array, which begins at `at` and is known to be sound."""
    at = _skip(text, at + 1)
    while text[at] != "]":
        value, end = _SCANNER.raw_decode(text, at)
        yield _Span(at, end, value)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _members(text: str, at: int) -> Iterator[tuple[str, int]]:
    """Each key of an object that begins at `at` and is known to be sound, and where its value begins."""
    at = _skip(text, at + 1)
    while text[at] != "}":
        key, at = _SCANNER.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)
        yield key, at
        _, at = _SCANNER.raw_decode(text, at)
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _WHITESPACE:
        at += 1
    return at
