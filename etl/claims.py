"""Which shape a row that DuckDB read is of, by the same marks as `etl.shapes.recognise`, for all rows at once.

A claim is true only where `recognise` would say the same; where that is not sure, no shape claims the row, and the
strict reader looks at it. So the tests of what comes first may be coarse, as long as they err on that side.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from etl.chunk_query import UNCLAIMED, Asked, Conflict, Wanted, value_at
from etl.engine import literal
from etl.json_values import NO_TEXT
from etl.shapes import Shape
from etl.sources import SOURCES
from etl.sources.base import Source
from etl.sources.containers import CONTAINERS
from etl.sources.envelopes import ENVELOPES, PLACES
from etl.sources.marks import Marks, parted

QUOTE, ESCAPE = '"', "\\"


@dataclass(frozen=True)
class Plan:
    """How DuckDB reads some shapes at once.

    Attributes:
        shapes: those it can read, in the order in which `recognise` tries them; the column `CLAIMED` is the index of
            the one that a row is of, or `UNCLAIMED`.
        wanted: what to read from each line.
    """

    shapes: tuple[Shape, ...]
    wanted: Wanted

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
        return cls(tuple(chosen), _wanted(chosen)) if wanted else None

    @staticmethod
    def columns_of(shape: Shape) -> list[str]:
        """The columns of `wanted` that rows of a shape are judged by, and their line."""
        presence = (f"{path}?" for path in shape.usage_paths())
        return ["line_number", *dict.fromkeys((*shape.read_paths(), *presence))]


def _is_quick(shape: Shape) -> bool:
    """Whether rows of a shape can be claimed: by marks, and with an id of their own."""
    has_id = shape.is_silent or shape.source.leans_on_earlier_lines or bool(shape.id_paths)
    return shape.marks is not None and has_id


def _rank(shape: Shape) -> tuple[int, int]:
    places = ((), *(envelope.place for envelope in ENVELOPES if shape.envelope is envelope), *PLACES)
    return places.index(shape.place), SOURCES.index(shape.source) * 2 + shape.is_silent


def _wanted(shapes: Sequence[Shape]) -> Wanted:
    paths = (path for shape in shapes for path in shape.read_paths())
    presence = (path for shape in shapes for path in shape.usage_paths())
    # What only the strict reader looks at is asked for, too: a doubled key on the way to it must stop DuckDB.
    asked = [Asked(path, is_value=True) for shape in shapes for path in (*shape.paths(), *claim_paths(shape))]
    asked += [
        Asked(path, is_value=False)
        for shape in shapes
        for path in (*shape.presence_paths(), *claim_presence_paths(shape))
    ]
    return Wanted(paths, presence, list(_claims(shapes)), asked)


def _claims(shapes: Sequence[Shape]) -> Iterator[tuple[str, int]]:
    """Conditions, and what a row is for which none before holds: of the shape with that index, or of none.

    What would be taken for something else before it came to any wrapped shape is asked once for all of these: there
    are dozens of such things, and DuckDB reads the whole text for every chunk.
    """
    plain = [shape for shape in shapes if not shape.place]
    wrapped = shapes[len(plain) :]  # they come last
    asked = [[_may_have(*rival) for rival in rivals(shape)] for shape in wrapped]
    shared = [test for test in asked[0] if all(test in others for others in asked)] if len(asked) > 1 else []
    yield from ((claim(shape), index) for index, shape in enumerate(plain))
    if shared:
        yield " OR ".join(shared), UNCLAIMED
    yield from ((claim(shape, shared), index) for index, shape in enumerate(wrapped, len(plain)))


def claim(shape: Shape, known: Collection[str] = ()) -> str:
    """An SQL condition, true where a row is of this shape and never NULL.

    It looks at the paths of the shape, of `claim_paths` and of `claim_presence_paths`.

    Args:
        shape: which.
        known: conditions that are known to be false.
    """
    assert shape.marks is not None
    tests = [_has(shape.prefix, shape.marks)]
    if shape.envelope is not None:
        tests += [_has("", shape.envelope.marks), f"NOT {_has('', shape.envelope.failed)}"]
    if not (shape.is_silent or shape.source.leans_on_earlier_lines):
        tests.append(_any_of(_identifies(shape, path) for path in shape.id_paths))
    tests += [f"NOT {test}" for rival in rivals(shape) if (test := _may_have(*rival)) not in known]
    return " AND ".join(tests)


def _identifies(shape: Shape, path: str) -> str:
    """Whether an id stands at a path: without any, a record's identity takes the strict reader.

    One that is no text is rejected, but ignored where it is the wrapper's.
    """
    is_named = f"{_text_at(path)} <> {literal(NO_TEXT)}"
    if path in shape.outer_texts.get("request_id", ()):
        is_named += f" AND starts_with({_text_at(path)}, {literal(QUOTE)})"
    return is_named


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
    found = [("", container.marks) for container in CONTAINERS]  # these are taken apart before anything is recognised
    found += [(shape.prefix, marks) for marks in _earlier(shape)]
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
        begin_alike = any(word.startswith(others_begun) for word in whole)
        begin_alike = begin_alike or any(word.startswith(begun) for word in others)
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


def _has(prefix: str, marks: Marks) -> str:
    """Whether rows have the marks; false where a text is escaped."""
    tests = [_is_word(prefix + path, words) for path, words in marks.where.items()]
    return _all(tests, prefix, marks)


def _may_have(prefix: str, marks: Marks) -> str:
    """Whether rows may have the marks; true where a text is escaped."""
    light = _light(marks)
    tests = [
        f"({_is_word(prefix + path, words)} OR coalesce(contains({_text_at(prefix + path)}, {literal(ESCAPE)}), false))"
        for path, words in light.where.items()
    ]
    return _all(tests, prefix, light)


def _all(tests: list[str], prefix: str, marks: Marks) -> str:
    tests += [f"{value_at(prefix + path)} IS NOT NULL" for path in marks.has]
    if marks.any_of:
        tests.append(_any_of(f"{value_at(prefix + path)} IS NOT NULL" for path in marks.any_of))
    tests += [f"{value_at(prefix + path)} IS NULL" for path in marks.lacks]
    return f"({' AND '.join(tests)})"


def _any_of(tests: Iterable[str]) -> str:
    """Whether any of these is true; NULL counts as false."""
    return f"coalesce({' OR '.join(f'({test})' for test in tests)}, false)"


def _is_word(path: str, words: tuple[str, ...]) -> str:
    whole, begun = parted(words)
    tests = [f"{_text_at(path)} IN ({', '.join(literal(f'{QUOTE}{word}{QUOTE}') for word in whole)})"] if whole else []
    return _any_of([*tests, *(f"starts_with({_text_at(path)}, {literal(QUOTE + word)})" for word in begun)])


def _text_at(path: str) -> str:
    """The undecoded value as plain text: JSON would be compared as JSON."""
    return f"({value_at(path)})::VARCHAR"
