"""Recognise a record: which source it is, and whether it stands bare, in a wrapper or in a batch envelope.

A shape turns a record into a *raw row*: the undecoded JSON text of every path that the shape reads. Raw rows of one
shape make a frame, which `etl.judging` decodes and judges.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from etl.sources import SOURCES
from etl.sources.base import Json, Object, Source, with_members

# Where a wrapper may keep the provider's object, in the order in which they are tried.
PLACES = (("response",), ("response", "body"), ("body",), ("response_body",), ("output",), ("completion",), ("data",))

# What a wrapper may say, where the record itself does not: USAGE column -> the wrapper's keys, first one wins.
WRAPPER_TEXTS = {
    "request_id": ("request_id", "id"),
    "model": ("model", "request.model"),
    "account_id": ("account_id", "account", "organization_id"),
    "project_id": ("project_id", "project"),
    "user_id": ("user_id", "user"),
    "api_key_id": ("api_key_id",),
    "workflow_id": ("workflow_id", "workflow"),
}
WRAPPER_TIMES = ("timestamp", "time", "created_at", "ts", "@timestamp")
WRAPPER_STATUSES = ("status", "status_code", "response.status_code")
ENVELOPE_PATHS = ("custom_id", "method")

STATEMENT_OBJECTS = ("organization.costs.result",)


class Literal(str):
    """A JSON number or constant as it was written."""

    __slots__ = ()


def _object(pairs: list[tuple[str, Any]]) -> Object:
    made = Object(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        made.doubled = frozenset(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return made


_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=Literal, parse_float=Literal, parse_constant=Literal)


def decode(text: str) -> Any:
    """Decode one JSON value, keeping numbers as they were written.

    Raises:
        ValueError: it is not one JSON value.
        RecursionError: it is nested too deep.
    """
    value = _DECODER.decode(text)
    if _SURROGATE_ESCAPE.search(text):
        # A lone surrogate is no character; encoding says so. UnicodeEncodeError is a ValueError.
        json.dumps(value, ensure_ascii=False).encode()
    return value


@dataclass(frozen=True)
class Shape:
    """A source at a place: () is bare, ("response",) is under that key of a wrapper."""

    source: Source
    place: tuple[str, ...] = ()
    is_batch: bool = False

    @property
    def prefix(self) -> str:
        """What stands before the source's own paths."""
        return "".join(f"{key}." for key in self.place)

    def paths(self) -> Iterator[str]:
        """Every dotted path that a record of this shape is read at, from the record's root."""
        yield from (self.prefix + path for path in self.source.paths())
        if self.place:
            # A log may keep its request as text, which stops DuckDB; and who has a marker has a model of its own.
            keys = (key for keys in WRAPPER_TEXTS.values() for key in keys)
            yield from (key for key in keys if "." not in key or self.source.marker is None)
            yield from (*WRAPPER_TIMES, *ENVELOPE_PATHS, *self.status_paths)

    @property
    def id_paths(self) -> tuple[str, ...]:
        """Where an identity may stand: the record's own, then its wrapper's."""
        own = self.source.texts.get("request_id")
        return (*((self.prefix + own,) if own else ()), *(WRAPPER_TEXTS["request_id"] if self.place else ()))

    @property
    def status_paths(self) -> tuple[str, ...]:
        """Where the wrapper may say an HTTP status; below `response` only if that is where the record stands."""
        if not self.place:
            return ()
        return tuple(path for path in WRAPPER_STATUSES if "." not in path or path.startswith(f"{self.place[0]}."))


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
    if (
        isinstance(record.get("custom_id"), str)
        and not record.keys().isdisjoint(("response", "error"))
        and "method" not in record
    ):
        return _recognise_batch_line(record, sources)
    if source := _source_of(record, sources):
        return Recognised(Shape(source), record)
    for place in PLACES:
        inner, record_with_inner = _dig(record, place)
        if inner is not None and (source := _source_of(inner, sources)):
            return Recognised(Shape(source, place), record_with_inner)
    return _unrecognised(record)


def _source_of(record: Json, sources: tuple[Source, ...]) -> Source | None:
    return next((source for source in sources if source.recognises(record)), None)


def _recognise_batch_line(record: Json, sources: tuple[Source, ...]) -> Recognised:
    response = record.get("response")
    if response is None:
        return Recognised(None, record, "excluded", "batch_failed")
    if isinstance(response, dict):
        if is_failure(raw_text(response.get("status_code"))):
            return Recognised(None, record, "excluded", "http_error")
        body = response.get("body")
        if isinstance(body, dict) and (source := _source_of(body, sources)):
            return Recognised(Shape(source, ("response", "body"), is_batch=True), record)
    return _unrecognised(record)


def _unrecognised(record: Json) -> Recognised:
    if {"custom_id", "method", "url"} <= record.keys():
        return Recognised(None, record, "rejected", "batch_input")
    if isinstance(record.get("error"), dict):
        return Recognised(None, record, "excluded", "error_response")
    if any(is_failure(raw_text(_get(record, path))) for path in WRAPPER_STATUSES):
        return Recognised(None, record, "excluded", "http_error")
    inners = (_dig(record, place)[0] for place in PLACES)
    if any(inner is not None and isinstance(inner.get("error"), dict) for inner in inners):
        return Recognised(None, record, "excluded", "error_response")
    if record.get("object") in STATEMENT_OBJECTS:
        return Recognised(None, record, "rejected", "statement_record")
    return Recognised(None, record, "rejected", "unknown_shape")


def is_failure(status: str | None) -> bool:
    """Whether a raw status is an HTTP status of 400 or above."""
    return status is not None and status.isascii() and status.isdigit() and int(status) >= 400


def _get(record: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(record, dict):
            return None
        record = record.get(key)
    return record


def _dig(record: Json, place: tuple[str, ...]) -> tuple[Json | None, Json]:
    """The object at a place, and the record with that object in it, should it be there as a JSON-encoded string."""
    key, *deeper = place
    inner = record.get(key)
    if isinstance(inner, str) and inner.lstrip().startswith("{"):
        try:
            inner = decode(inner)
        except (ValueError, RecursionError):
            return None, record
        record = with_members(record, {key: inner})
    if not isinstance(inner, dict):
        return None, record
    if not deeper:
        return inner, record
    found, inner = _dig(inner, tuple(deeper))
    return found, with_members(record, {key: inner})


def raw_text(value: Any) -> str | None:
    """The JSON text of a scalar; of an array or object only its first character."""
    if value is None:
        return None
    if isinstance(value, Literal):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "{" if isinstance(value, dict) else "["


def raw_row(record: Json, shape: Shape) -> tuple[dict[str, str | None], str | None]:
    """Take a recognised record's raw row.

    Returns:
        The row, and the reason for which the record must be rejected although it was recognised, if any:
        a doubled key on the way to a field, or something else where an object is expected.
    """
    row: dict[str, str | None] = {}
    problem: str | None = None
    # Attribution may be missing in any way; what prices a record may not.
    own = {shape.prefix + path for path in shape.source.paths() if not path.startswith("metadata.")}
    for path in shape.paths():
        if path in row:
            continue
        at: Any = record
        keys = path.split(".")
        for key in keys:
            if isinstance(at, dict):
                if key in getattr(at, "doubled", ()):
                    problem = "duplicate_key"
                at = at.get(key)
            elif at is not None:
                problem = problem or ("invalid_field" if path in own else None)
                at = None
        row[path] = raw_text(at)
    if shape.source.usage:
        row[f"{shape.prefix}{shape.source.usage}?"] = (
            "true" if isinstance(_get(record, shape.prefix + shape.source.usage), dict) else None
        )
    return row, problem
