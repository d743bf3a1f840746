"""Keys that smell of money and that no source knows: a provider has added something to bill.

Where a shape keeps its counts (its usage object; the record itself, if it has none and lists what it ignores), a key
with `token`, `cost`, `cache` or `tier` in its name that is neither read nor `ignored` is counted, if it holds anything.
Looking must cost next to nothing, so a few stretches of each chunk of JSON lines are looked at: all of a small log,
some hundred lines of each 30 MiB of a large one. Only names that were not met before take more than a search.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import polars as pl

from etl.containers import Decided, entries
from etl.framing import Chunk
from etl.json_values import decode
from etl.lines import WHITE_SPACE
from etl.shapes import Shape, recognise
from etl.sources.base import Source
from etl.sources.paths import steps, value_at

STRETCHES, STRETCH_BYTES = 8, 16_384
DOCUMENT_RECORDS = 200
_SMELL = re.compile("token|cost|cache|tier", re.IGNORECASE)
_SMELLING_KEY = re.compile(rb'"(\w*(?:token|cost|cache|tier)\w*)"\s*:', re.IGNORECASE)
# What does not look like a name may be anything, and is not repeated.
_NAME = re.compile(r"\w{1,64}", re.ASCII)
_NOTHING = ("", "0", "0.0", "false", "null", "None")


@dataclass
class UnknownKeys:
    """What was met.

    Attributes:
        looked_at: how many lines or rows were looked at.
        met: (source, path) -> in how many of them it stands, and the first line.
    """

    looked_at: int = 0
    met: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def add(self, source: str, path: str, records: int, line: int) -> None:
        """Count a key."""
        before, first = self.met.get((source, path), (0, line))
        self.met[source, path] = before + records, min(first, line)

    def __iadd__(self, other: UnknownKeys) -> UnknownKeys:
        self.looked_at += other.looked_at
        for (source, path), (records, line) in other.met.items():
            self.add(source, path, records, line)
        return self


class KeyWatch:
    """Looks at chunks of JSON lines. One per thread: it remembers the names that mean no more where they stand.

    Args:
        only: the one source to consider (`--format`), else all.
    """

    def __init__(self, only: Source | None) -> None:
        self._only = only
        self._harmless: dict[frozenset[Shape], set[bytes]] = {}

    def look(self, chunk: Chunk, shapes: frozenset[Shape]) -> UnknownKeys:
        """Look at some lines of a chunk; `shapes` are those of its input so far."""
        found = UnknownKeys()
        harmless = self._harmless.setdefault(shapes, set())
        suspected: set[bytes] = set()
        new: set[bytes] = set()
        for start, end in _stretches(chunk):
            text = chunk.data[start:end]
            found.looked_at += text.count(b"\n") or 1
            names = {match[1] for match in _SMELLING_KEY.finditer(text)} - harmless
            if names:
                new |= names
                suspected |= self._look_closely(chunk, start, text, names, found)
        harmless |= new - suspected
        return found

    def _look_closely(self, chunk: Chunk, start: int, text: bytes, names: set[bytes], found: UnknownKeys) -> set[bytes]:
        """Count what is unknown in the lines of a stretch; which names are, also where they hold nothing."""
        suspected: set[bytes] = set()
        first = None
        for index, line in enumerate(text.split(b"\n")):
            if any(name in line for name in names):
                for source, path, is_something in _unknown_in(line, self._only):
                    suspected.update(part.encode() for part in path.split("."))
                    if is_something:
                        # To count the lines before takes long, and hardly ever does anything new stand in a log.
                        first = first or chunk.first_line + chunk.data.count(b"\n", 0, start)
                        found.add(source, path, 1, first + index)
        return suspected


def look_at_value(value: Any, number: int, only: Source | None, found: UnknownKeys) -> None:
    """Look at one decoded value of a document, if it is among the first."""
    if found.looked_at == DOCUMENT_RECORDS:
        return
    found.looked_at += 1
    for source, path, is_something in _unknown(value, only):
        if is_something:
            found.add(source, path, 1, number)


def look_at_table(frame: pl.DataFrame, source: Source) -> UnknownKeys:
    """Look at the cells of a CSV."""
    found = UnknownKeys(frame.height)
    if not source.ignored:
        return found
    known = {path.split("!")[0] for path in source.paths()} | source.ignored
    for name in frame.columns:
        if name not in known and _SMELL.search(name) and _NAME.fullmatch(name):
            given = frame.filter(~pl.col(name).fill_null("").is_in(_NOTHING))
            if given.height:
                found.add(source.name, name, given.height, given["line_number"][0])
    return found


def _stretches(chunk: Chunk) -> Iterator[tuple[int, int]]:
    """Where whole lines of a chunk begin and end that are to be looked at, in order."""
    size, done = len(chunk.data), 0
    for index in range(STRETCHES):
        start = size * index // STRETCHES
        start = start and max(chunk.data.find(b"\n", start) + 1, 1)
        start = max(start, done)
        if start >= size or (index and start == 1):
            return
        end = chunk.data.rfind(b"\n", start, start + STRETCH_BYTES)
        if end < 0 and size - start > STRETCH_BYTES:
            continue  # a line longer than a stretch
        done = size if end < 0 else end + 1
        yield start, done


def _unknown_in(line: bytes, only: Source | None) -> Iterator[tuple[str, str, bool]]:
    try:
        value = decode(line.strip(WHITE_SPACE).decode())
    except (ValueError, RecursionError):
        return
    yield from _unknown(value, only)


def _unknown(value: Any, only: Source | None) -> Iterator[tuple[str, str, bool]]:
    """Source and path of every unknown key in the records of a value, and whether it holds anything."""
    for record in entries(value) if isinstance(value, dict) else ():
        found = None if isinstance(record, Decided) else recognise(record, only)
        if found is None or found.shape is None or found.shape.is_silent:
            continue
        source, place = found.shape.source, ".".join(found.shape.place)
        inner = value_at(found.record, place) if place else found.record
        for base in source.usage_paths() or (("",) if source.ignored else ()):
            at = value_at(inner, base) if base else inner
            way = tuple(step.key for step in steps(base)) if base else ()
            for path, is_something in _leaves(at, way, source, is_whole=not base):
                if all(map(_NAME.fullmatch, path)):
                    yield source.name, ".".join(path), is_something


def _leaves(
    value: Any, way: tuple[str, ...], source: Source, *, is_whole: bool
) -> Iterator[tuple[tuple[str, ...], bool]]:
    known = _known(source)
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        path = (*way, key)
        if key in source.ignored:
            continue
        objects = [one for one in (inner if isinstance(inner, list) else [inner]) if isinstance(one, dict)]
        if objects and (path in known or not is_whole):
            for one in objects:
                yield from _leaves(one, path, source, is_whole=is_whole)
        elif path not in known and any(_SMELL.search(k) and path[: i + 1] not in known for i, k in enumerate(path)):
            yield path, not (inner in (None, False, [], {}) or (isinstance(inner, str) and inner in _NOTHING))


@cache
def _known(source: Source) -> frozenset[tuple[str, ...]]:
    ways = [tuple(step.key for step in steps(path)) for path in source.paths()]
    ways += [tuple(step.key for step in steps(path)) for path in source.usage_paths()]
    return frozenset(way[:length] for way in ways for length in range(1, len(way) + 1))
