"""Which shape a row that DuckDB read is of, by the same marks as `etl.shapes.recognise`, for all rows at once.

A claim is true only where `recognise` would say the same; where that is not sure, no shape claims the row, and the
strict reader looks at it. So the tests of what comes first may be coarse, as long as they err on that side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from etl.chunk_query import Conflict, Wanted
from etl.json_values import NO_TEXT
from etl.shapes import Shape
from etl.sources import SOURCES
from etl.sources.base import Source
from etl.sources.envelopes import ENVELOPES, PLACES
from etl.sources.marks import Marks, parted


@dataclass(frozen=True)
class Plan:
    """How DuckDB reads some shapes at once.

    Attributes:
        shapes: those it can read, in the order in which `recognise` tries them.
        wanted: what to read from each line.
        claims: for each shape, whether a row is of it.
    """

    shapes: tuple[Shape, ...]
    wanted: Wanted
    claims: tuple[pl.Expr, ...]

    @classmethod
    def of(cls, shapes: Sequence[Shape]) -> Plan | None:
        """The plan for as many of the shapes as one read can serve; None for none."""
        chosen: list[Shape] = []
        wanted = None
        for shape in sorted(filter(_is_quick, shapes), key=_rank):
            try:
                wanted = _wanted([*chosen, shape])
            except Conflict:
                continue
            chosen.append(shape)
        return cls(tuple(chosen), _wanted(chosen), tuple(map(claim, chosen))) if wanted else None

    def is_claimed(self, frame: pl.DataFrame) -> pl.Series:
        """Whether any shape claims a row."""
        return frame.select(pl.any_horizontal(self.claims)).to_series()

    def claimed(self, frame: pl.DataFrame) -> pl.Series:
        """The index of the shape that claims each row, or -1."""
        first = pl.coalesce(
            *(pl.when(claim).then(pl.lit(index, pl.Int16)) for index, claim in enumerate(self.claims)),
            pl.lit(-1, pl.Int16),
        )
        return frame.select(claimed=first).to_series()

    @staticmethod
    def columns_of(shape: Shape) -> list[str]:
        """The columns of `wanted` that rows of a shape are judged by, and their line."""
        presence = (f"{path}?" for path in shape.presence_paths())
        return ["line_number", *dict.fromkeys((*shape.paths(), *presence))]


def _is_quick(shape: Shape) -> bool:
    """Whether rows of a shape can be claimed: by marks, and with an id of their own."""
    has_id = shape.is_silent or shape.source.leans_on_earlier_lines or bool(shape.id_paths)
    return shape.marks is not None and has_id


def _rank(shape: Shape) -> tuple[int, int]:
    places = ((), *(envelope.place for envelope in ENVELOPES if shape.envelope is envelope), *PLACES)
    return places.index(shape.place), SOURCES.index(shape.source) * 2 + shape.is_silent


def _wanted(shapes: Sequence[Shape]) -> Wanted:
    paths = [path for shape in shapes for path in (*shape.paths(), *claim_paths(shape))]
    presence = [path for shape in shapes for path in (*shape.presence_paths(), *claim_presence_paths(shape))]
    return Wanted(paths, presence)


def claim(shape: Shape) -> pl.Expr:
    """True where a row is of this shape. Needs the columns of `claim_paths` and `claim_presence_paths`."""
    assert shape.marks is not None
    found = _has(shape.prefix, shape.marks)
    if shape.envelope is not None:
        found &= _has("", shape.envelope.marks) & ~_has("", shape.envelope.failed)
    if not (shape.is_silent or shape.source.leans_on_earlier_lines):
        found &= pl.any_horizontal(_identifies(shape, path) for path in shape.id_paths)
    for prefix, rival in rivals(shape):
        found &= ~_may_have(prefix, rival)
    return found.fill_null(False)


def _identifies(shape: Shape, path: str) -> pl.Expr:
    """Whether an id stands at a path: without any, a record's identity takes the strict reader.

    One that is no text is rejected, but ignored where it is the wrapper's.
    """
    is_named = pl.col(path) != NO_TEXT
    return is_named & pl.col(path).str.starts_with('"') if path in shape.outer_texts.get("request_id", ()) else is_named


def claim_paths(shape: Shape) -> Iterator[str]:
    """The paths whose texts a claim needs, beside those that the shape reads."""
    if shape.envelope is not None:
        yield from (*shape.envelope.marks.where, *shape.envelope.failed.where)
    yield from (prefix + path for prefix, rival in rivals(shape) for path in _light(rival).where)


def claim_presence_paths(shape: Shape) -> Iterator[str]:
    """The paths of which a claim needs to know whether anything stands there, beside those that the shape asks for."""
    if shape.envelope is not None:
        yield from (*shape.envelope.marks.presence_paths(), *shape.envelope.failed.presence_paths())
    yield from (prefix + path for prefix, rival in rivals(shape) for path in _light(rival).presence_paths())


def rivals(shape: Shape) -> list[tuple[str, Marks]]:
    """What `recognise` would take a row for before it came to this shape, and where its marks would stand."""
    own_marks = shape.marks
    assert own_marks is not None
    found = [(shape.prefix, marks) for marks in _earlier(shape)]
    if shape.place:
        found += [("", marks) for source in SOURCES for marks in _marks_of(source)]
        for envelope in ENVELOPES:
            if envelope is shape.envelope:
                break
            found.append(("", envelope.marks))
    outer = shape.envelope.marks if shape.envelope else None
    return [
        (prefix, marks)
        for prefix, marks in found
        if not (_exclude(marks, own_marks) if prefix == shape.prefix else outer and _exclude(marks, outer))
    ]


def _earlier(shape: Shape) -> Iterator[Marks]:
    for source in SOURCES:
        if source is shape.source:
            if shape.is_silent and source.marks is not None:
                yield source.marks
            return
        yield from _marks_of(source)


def _marks_of(source: Source) -> Iterator[Marks]:
    yield from (marks for marks in (source.marks, source.silent) if marks is not None)


def _exclude(one: Marks, other: Marks) -> bool:
    """Whether no object can have both."""
    for path in one.where.keys() & other.where.keys():
        whole, begun = parted(one.where[path])
        others, others_begun = parted(other.where[path])
        begin_alike = any(word.startswith(tuple(others_begun)) for word in whole)
        begin_alike = begin_alike or any(word.startswith(tuple(begun)) for word in others)
        if set(whole).isdisjoint(others) and not (begun and others_begun) and not begin_alike:
            return True
    must, other_must = {*one.has, *one.where}, {*other.has, *other.where}
    return not must.isdisjoint(other.lacks) or not other_must.isdisjoint(one.lacks)


def _light(marks: Marks) -> Marks:
    """As little of the marks as tells: what stands deep inside would have to be taken apart or copied only for this."""
    has = tuple(path for path in marks.has if "." not in path)
    where = {path: words for path, words in marks.where.items() if "." not in path}
    if has or where:
        return Marks(has=has, where=where)
    return Marks(has=tuple(path.split(".")[0] for path in (*marks.has, *marks.where)), any_of=marks.any_of)


def _has(prefix: str, marks: Marks) -> pl.Expr:
    """Whether rows have the marks; false where a text is escaped."""
    tests = [_is_word(prefix + path, words) for path, words in marks.where.items()]
    return _all(tests, prefix, marks)


def _may_have(prefix: str, marks: Marks) -> pl.Expr:
    """Whether rows may have the marks; true where a text is escaped."""
    light = _light(marks)
    tests = [
        _is_word(prefix + path, words) | pl.col(prefix + path).str.contains("\\", literal=True)
        for path, words in light.where.items()
    ]
    return _all(tests, prefix, light)


def _all(tests: list[pl.Expr], prefix: str, marks: Marks) -> pl.Expr:
    tests += [pl.col(f"{prefix}{path}?").is_not_null() for path in marks.has]
    if marks.any_of:
        tests.append(pl.any_horizontal(pl.col(f"{prefix}{path}?").is_not_null() for path in marks.any_of))
    tests += [pl.col(f"{prefix}{path}?").is_null() for path in marks.lacks]
    return pl.all_horizontal(tests).fill_null(False)


def _is_word(path: str, words: tuple[str, ...]) -> pl.Expr:
    whole, begun = parted(words)
    raw = pl.col(path)
    tests = [raw.is_in([f'"{word}"' for word in whole])] if whole else []
    return pl.any_horizontal([*tests, *(raw.str.starts_with(f'"{word}') for word in begun)]).fill_null(False)
