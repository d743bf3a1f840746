"""Recognise a record: which source it is, and whether it stands bare, in a wrapper or in a batch envelope.

A shape turns a record into a *raw row*: the undecoded JSON text of every path that the shape reads, and whether
anything stands at its `presence_paths`. Raw rows of one shape make a frame, which `etl.judging` decodes and judges.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, NamedTuple

from etl.json_values import Json, decoded_text, raw_text, with_members
from etl.sources import SOURCES
from etl.sources.base import Source
from etl.sources.envelopes import ENVELOPES, PLACES, WRAPPER_STATUSES, WRAPPER_TEXTS, WRAPPER_TIMES, Envelope
from etl.sources.marks import Marks
from etl.sources.others import OTHERS
from etl.sources.paths import Step, step_into, steps, value_at

# The keys by which a record that is not recognised is excluded.
_DECIDING = {"custom_id", "method", "error", "status", "status_code", *(key for place in PLACES for key in place)}
_FAILURE = re.compile("[45][0-9][0-9]")


@dataclass(frozen=True)
class Shape:
    """A source at a place: () is bare, ("response",) is under that key of a wrapper or envelope.

    Attributes:
        envelope: the batch envelope that it stands in, if any.
        is_silent: another line of the source's log, which holds no usage.
    """

    source: Source
    place: tuple[str, ...] = ()
    envelope: Envelope | None = None
    is_silent: bool = False

    @cached_property
    def name(self) -> tuple[str, ...]:
        """What tells it from all others."""
        envelope = self.envelope.name if self.envelope else ""
        return self.source.name, envelope, "silent" if self.is_silent else "", *self.place

    @property
    def is_batch(self) -> bool:
        """Whether an envelope says that it ran in a batch."""
        return self.envelope is not None

    @property
    def prefix(self) -> str:
        """What stands before the source's own paths."""
        return "".join(f"{key}." for key in self.place)

    @property
    def marks(self) -> Marks | None:
        """By what its object is recognised."""
        return self.source.silent if self.is_silent else self.source.marks

    def paths(self) -> Iterator[str]:
        """Every path that a record of this shape is read at, from the record's root."""
        if self.marks is not None:
            yield from (self.prefix + path for path in self.marks.where)
        yield from self.read_paths()

    def read_paths(self) -> Iterator[str]:
        """Those of them whose values a record is judged by."""
        if self.is_silent:
            return
        yield from (self.prefix + path for path in self.source.paths())
        if self.place:
            # A log may keep its request as text, which stops DuckDB; so it is asked only by a source that needs it.
            keys = (key for keys in self.outer_texts.values() for key in keys)
            yield from (key for key in keys if "." not in key or self.source.lacks_model)
            yield from (*self.outer_times, *self.status_paths)

    def usage_paths(self) -> Iterator[str]:
        """Where the usage object may stand, from the record's root."""
        if not self.is_silent:
            yield from (self.prefix + path for path in self.source.usage_paths())

    def presence_paths(self) -> Iterator[str]:
        """The paths of which it matters whether anything stands there."""
        yield from self.usage_paths()
        if self.marks is not None:
            yield from (self.prefix + path for path in self.marks.presence_paths())

    @property
    def outer_texts(self) -> Mapping[str, tuple[str, ...]]:
        """What the wrapper or envelope may say: USAGE column -> its keys."""
        if not self.place:
            return {}
        return WRAPPER_TEXTS if self.envelope is None else self.envelope.texts

    @property
    def outer_times(self) -> tuple[str, ...]:
        """Where the wrapper or envelope may say the time."""
        if not self.place:
            return ()
        return WRAPPER_TIMES if self.envelope is None else self.envelope.times

    @property
    def id_paths(self) -> tuple[str, ...]:
        """Where an identity may stand: the record's own, then its wrapper's."""
        return (*(self.prefix + own for own in self.source.id_paths()), *self.outer_texts.get("request_id", ()))

    @property
    def status_paths(self) -> tuple[str, ...]:
        """Where the wrapper may say an HTTP status; below `response` only if that is where the record stands."""
        if not self.place:
            return ()
        found = WRAPPER_STATUSES if self.envelope is None else self.envelope.statuses
        return tuple(path for path in found if "." not in path or path.startswith(f"{self.place[0]}."))


@dataclass(frozen=True)
class Recognised:
    """What a decoded record is: a shape with its record, or a fate decided at sight."""

    shape: Shape | None
    record: Json
    fate: str | None = None
    reason: str | None = None


def recognise(record: Json, only: Source | None = None) -> Recognised:
    """Say what a decoded JSON object is.

    Args:
        record: the object.
        only: the one source to consider (`--format`).
    """
    sources = (only,) if only else SOURCES
    if shape := _shape_of(record, sources):
        return Recognised(shape, record)
    for envelope in ENVELOPES:
        if envelope.marks.match(record) and (found := _recognise_line(record, envelope, sources)):
            return found
    # What is a table elsewhere is not carried in other records.
    carried = tuple(source for source in sources if not source.columns)
    for place in PLACES:
        inner, record_with_inner = _dig(record, place)
        if inner is not None and (shape := _shape_of(inner, carried, place)):
            return Recognised(shape, record_with_inner)
    return _unrecognised(record)


def _shape_of(record: Json, sources: tuple[Source, ...], place: tuple[str, ...] = ()) -> Shape | None:
    for source in sources:
        if source.marks is not None and source.marks.match(record):
            return Shape(source, place)
        if source.silent is not None and source.silent.match(record):
            return Shape(source, place, is_silent=True)
    return None


def _recognise_line(record: Json, envelope: Envelope, sources: tuple[Source, ...]) -> Recognised | None:
    """What a line of a batch file is; None where a line of that look may be something else."""
    if envelope.failed.match(record):
        return _excluded(record, "batch_failed")
    if any("." in path and is_failure(raw_text(value_at(record, path))) for path in envelope.statuses):
        return _excluded(record, "http_error")
    inner = value_at(record, ".".join(envelope.place))
    known = tuple(source for source in sources if envelope.may_hold(source.name) and not source.columns)
    if isinstance(inner, dict) and (shape := _shape_of(inner, known, envelope.place)):
        return Recognised(replace(shape, envelope=envelope), record)
    return None if envelope.sources else _unrecognised(record)


def _unrecognised(record: Json) -> Recognised:
    if {"custom_id", "method", "url"} <= record.keys():  # also where one of them is null
        return Recognised(None, record, "rejected", "batch_input")
    known = next((other for other in OTHERS if other.marks.match(record)), None)
    if known is not None and known.fate == "rejected":
        return Recognised(None, record, known.fate, known.reason)
    if known is not None:
        return _excluded(record, known.reason)
    if isinstance(record.get("error"), dict):
        return _excluded(record, "error_response")
    answer, _ = _dig(record, ("response",))  # it may be JSON text
    seen = record if answer is None else with_members(record, {"response": answer})
    if any(is_failure(raw_text(value_at(seen, path))) for path in WRAPPER_STATUSES):
        return _excluded(record, "http_error")
    inners = (_dig(record, place)[0] for place in PLACES)
    if any(inner is not None and isinstance(inner.get("error"), dict) for inner in inners):
        return _excluded(record, "error_response")
    is_left = record.keys() == {"request"} and isinstance(record["request"], dict)  # by a Vertex batch: not processed
    if is_left or _is_empty_line(record):
        return _excluded(record, "batch_failed")
    return Recognised(None, record, "rejected", "unknown_shape")


def _is_empty_line(record: Json) -> bool:
    """Whether it is a line of a batch file with neither an answer nor an error."""
    outcome = record.get("response"), record.get("error")
    return (
        record.get("custom_id") is not None and ("response" in record or "error" in record) and outcome == (None, None)
    )


def _excluded(record: Json, reason: str) -> Recognised:
    """Not billable; but where a key that says so stands twice, the other of the two may be usage."""
    objects = (record, *(_dig(record, place)[0] for place in PLACES))
    if any(not _DECIDING.isdisjoint(getattr(one, "doubled", ())) for one in objects):
        return Recognised(None, record, "rejected", "duplicate_key")
    return Recognised(None, record, "excluded", reason)


def is_failure(status: str | None) -> bool:
    """Whether a raw status is an HTTP status from 400 to 599."""
    return status is not None and _FAILURE.fullmatch(status) is not None


def _dig(record: Json, place: tuple[str, ...]) -> tuple[Json | None, Json]:
    """The object at a place, and the record with that object in it, should it be there as a JSON-encoded string."""
    key, *deeper = place
    was = record.get(key)
    inner = decoded_text(was)
    if not isinstance(inner, dict):
        return None, record
    if deeper:
        found, inner = _dig(inner, tuple(deeper))
    else:
        found = inner
    return found, record if inner is was else with_members(record, {key: inner})


def raw_row(record: Json, shape: Shape) -> tuple[dict[str, str | bool | None], str | None]:
    """Take a recognised record's raw row.

    Returns:
        The row, and the reason for which the record must be rejected although it was recognised, if any:
        a doubled key on the way to a field, or something else where an object is expected.
    """
    row: dict[str, str | bool | None] = {}
    problem: str | None = None
    places = _places_of(shape)
    for path, way, is_own in places.values:
        at: Any = record
        for step in way:
            if isinstance(at, dict):
                if step.key in getattr(at, "doubled", ()):
                    problem = "duplicate_key"
                at = step_into(at, step)
            elif at is not None:
                problem = problem or ("invalid_field" if is_own else None)
                at = None
        row[path] = raw_text(at)
    for path in places.presence:
        row[f"{path}?"] = None if value_at(record, path) is None else True
    for path in places.usage:
        row[f"{path}?"] = True if isinstance(value_at(record, path), dict) else None
    return row, problem


class _Places(NamedTuple):
    """Where records of a shape are looked at.

    Attributes:
        values: the paths, each once, the steps to it, and whether something else than an object on the way is wrong.
        presence: the paths of which it matters whether anything stands there.
        usage: those of the usage object.
    """

    values: tuple[tuple[str, tuple[Step, ...], bool], ...]
    presence: tuple[str, ...]
    usage: tuple[str, ...]


@cache
def _places_of(shape: Shape) -> _Places:
    # Attribution may be missing in any way; what prices a record may not.
    lenient = {shape.prefix + path for path in shape.source.lenient_paths()}
    own = {shape.prefix + path for path in shape.source.paths()} - lenient
    values = tuple((path, steps(path), path in own) for path in dict.fromkeys(shape.paths()))
    return _Places(values, tuple(shape.presence_paths()), tuple(shape.usage_paths()))
