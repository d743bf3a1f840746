"""Decode raw rows: JSON text or CSV cells become texts, counts, scalars and instants, with masks of what is wrong.

Grain: one raw row in, one decoded row out, in the same order. Nothing is judged here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal as OneOf
from typing import NamedTuple

import polars as pl

from etl.shapes import WRAPPER_TEXTS, WRAPPER_TIMES, Shape
from etl.sources.base import Source
from etl.times import from_epoch, from_iso

Dialect = OneOf["json", "csv"]


_CONTROL = r"[\x00-\x1f\x7f-\x9f]"


_TEXTS = (
    "request_id",
    "model",
    "tier",
    "provider",
    "account_id",
    "project_id",
    "api_key_id",
    "user_id",
    "user_id_2",
    "workflow_id",
)


# Those that must be text where they are given; of the others anything else is ignored.
STRICT_TEXTS = ("request_id", "model", "tier", "provider")


@dataclass(frozen=True)
class Reading:
    """The options that change how a record is read.

    Attributes:
        latest: no record is later than this; a day after the run began.
        account: the account of records that name none.
        assume_zone: the IANA zone of times that name none; None rejects them.
        only: the one source to consider (`--format`), else all.
    """

    latest: datetime
    account: str | None = None
    assume_zone: str | None = None
    only: Source | None = None


class Text(NamedTuple):
    """Decoded text, where something else than text stands, and where it was escaped."""

    value: pl.Series
    bad: pl.Series
    escaped: pl.Series


def decoded(raw: pl.DataFrame, shape: Shape, dialect: Dialect, reading: Reading) -> pl.DataFrame:
    """Decode every declared field: `text:*`, `count:*`, `literal:*`, `instant`, and a `bad:*` mask beside each."""
    source, prefix = shape.source, shape.prefix
    height = raw.height
    columns: dict[str, pl.Series] = {"line_number": raw["line_number"]}

    def cells(path: str) -> pl.Series:
        return raw[path] if path in raw.columns else pl.Series([None], dtype=pl.String).new_from_index(0, height)

    read_text = _csv_text if dialect == "csv" else _json_text
    for name in _TEXTS:
        own = cells(prefix + source.texts[name]) if name in source.texts else cells("")
        value, bad, escaped = read_text(own)
        for key in WRAPPER_TEXTS.get(name, ()) if shape.place else ():
            if value.null_count() == 0:
                break
            wrapped = read_text(cells(key))
            is_own = value.is_not_null() | bad
            value, escaped = value.zip_with(is_own, wrapped.value), escaped | wrapped.escaped
        columns[f"text:{name}"], columns[f"bad:{name}"] = value, bad
        if name in STRICT_TEXTS:
            columns[f"control:{name}"] = _control(value, escaped)
    for name, path in source.counts.items():
        columns |= _count(name, cells(prefix + path), dialect)
    for name, path in source.literals.items():
        columns[f"literal:{name}"] = cells(prefix + path)
    columns["literal:has_usage"] = cells(f"{prefix}{source.usage}?").is_not_null()
    columns["instant"], columns["time_problem"] = _instant(cells, shape, dialect, reading)
    columns["is_http_failure"] = _is_http_failure([cells(path) for path in shape.status_paths], height)
    columns["problem"], columns["fingerprint"] = cells("problem"), cells("fingerprint")
    return pl.DataFrame(columns)


def _json_text(raw: pl.Series) -> Text:
    """Unquote JSON strings; anything but a string or null is bad."""
    if raw.null_count() == raw.len():
        return Text(raw, _never(raw), _never(raw))
    bad = (~raw.str.starts_with('"')).fill_null(False)
    # A quote inside a string is escaped, and escaped ones are decoded below.
    value = raw.str.strip_chars('"')
    escaped = raw.str.contains("\\", literal=True).fill_null(False) & ~bad
    if escaped.any():
        decoded = {text: json.loads(text) for text in raw.filter(escaped).unique()}
        value = value.zip_with(~escaped, raw.replace_strict(decoded, default=None, return_dtype=pl.String))
    if bad.any():
        value = value.set(bad, None)
    return Text(value, bad, escaped)


def _csv_text(raw: pl.Series) -> Text:
    """A CSV cell is its text; an empty one is absent."""
    value = raw.set((raw == "").fill_null(False), None)
    return Text(value, _never(raw), value.is_not_null())


def _control(value: pl.Series, escaped: pl.Series) -> pl.Series:
    """Where a control character is. In a JSON string it is escaped, or beyond ASCII, or DEL: few rows need a look."""
    if value.null_count() == value.len():
        return _never(value)
    doubtful = escaped | (value.str.len_bytes() != value.str.len_chars()) | value.str.contains("\x7f", literal=True)
    if not doubtful.any():
        return _never(value)
    return (doubtful & value.str.contains(_CONTROL)).fill_null(False)


def _never(like: pl.Series) -> pl.Series:
    return pl.Series([False]).new_from_index(0, like.len())


def _count(name: str, raw: pl.Series, dialect: Dialect) -> dict[str, pl.Series]:
    """Parse a count: its value, whether it is given, and whether it is no integer literal."""
    if dialect == "csv":
        is_given = (raw != "").fill_null(False)
        value = raw.str.replace(r"\.0+$", "").cast(pl.Int64, strict=False)
        is_invalid = is_given & ~raw.str.contains(r"^[0-9]+(\.0+)?$").fill_null(True)
    else:
        is_given = raw.is_not_null()
        value = raw.cast(pl.Int64, strict=False)
        # What Polars reads as a whole number, JSON wrote as one; only what it cannot read needs a look.
        is_unread = is_given & value.is_null()
        is_invalid = is_unread & ~raw.str.contains(r"^-?[0-9]+$") if is_unread.any() else is_unread
    return {f"count:{name}": value, f"given:{name}": is_given, f"invalid:{name}": is_invalid}


def _instant(
    cells: Callable[[str], pl.Series], shape: Shape, dialect: Dialect, reading: Reading
) -> tuple[pl.Series, pl.Series]:
    """The record's own time, else its wrapper's. Returns naive UTC instants and why there is none."""
    path, notation = shape.source.instant
    own = cells(shape.prefix + path)
    if notation == "iso":
        text = own if dialect == "csv" else _json_text(own).value
        bad = own.is_not_null() & text.is_null()
        instant, problem = from_iso(_csv_text(text).value, reading.assume_zone)
        problem = problem.zip_with(~bad, pl.Series(["invalid_timestamp"]).new_from_index(0, own.len()))
    else:
        own = _csv_text(own).value if dialect == "csv" else own
        instant, problem = from_epoch(own, decimal=notation == "epoch_decimal")
    for key in WRAPPER_TIMES if shape.place else ():
        missing = instant.is_null() & problem.is_null()
        if not missing.any():
            break
        raw = cells(key).set(~missing, None)
        text, is_no_text, _ = _json_text(raw)
        iso, iso_problem = from_iso(text, reading.assume_zone)
        epoch, epoch_problem = from_epoch(raw.set(~is_no_text, None), decimal=True)
        instant = instant.zip_with(~missing, iso.zip_with(iso.is_not_null(), epoch))
        problem = problem.zip_with(~missing, iso_problem.zip_with(iso_problem.is_not_null(), epoch_problem))
    return instant, problem


def _is_http_failure(statuses: list[pl.Series], height: int) -> pl.Series:
    failed = pl.Series([False]).new_from_index(0, height)
    for raw in statuses:
        failed |= (raw.cast(pl.Int64, strict=False) >= 400).fill_null(False)
    return failed
