"""Decode raw rows: JSON text or CSV cells become texts, counts, scalars and instants, with masks of what is wrong.

Grain: one raw row in, one decoded row out, in the same order. Nothing is judged here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import polars as pl

from etl.carrying import PREVIOUS
from etl.cells import Cells, Dialect
from etl.distinct import distinct, is_repetitive
from etl.instants import instant_at, instants
from etl.json_texts import Text, never, unquoted
from etl.json_values import NO_TEXT
from etl.secret_keys import without_secrets
from etl.shapes import Shape
from etl.sources.base import ATTRIBUTION, Source
from etl.sources.paths import Path, spellings
from etl.vocabularies import Vocabularies

_CONTROL = r"[\x00-\x1f\x7f-\x9f]"
_VALUE = pl.col("value").str
_DOUBTFUL = pl.col("escaped") | (_VALUE.len_bytes() != _VALUE.len_chars()) | _VALUE.contains("\x7f", literal=True)
# So few distinct values of a column, and what became of them, are kept for the next chunk; of so many columns.
_FEW_VALUES, _SETS_KEPT = 1_000, 256

# Those that must be text where they are given; of who used it anything else is ignored.
STRICT_TEXTS = ("request_id", "model", "tier", "provider")
_TEXTS = (*STRICT_TEXTS, *ATTRIBUTION)


@dataclass(frozen=True)
class Reading:
    """The options that change how a record is read.

    Attributes:
        latest: no record is later than this; a day after the run began.
        account: the account of records that name none.
        assume_zone: the IANA zone of times that name none; None rejects them.
        only: the one source to consider (`--format`), else all.
        date: when records were made that do not say, nor their wrapper (`--date`).
        vocabularies: to count the tokens of records without usage (`--estimate-tokens`); None: they stay without.
    """

    latest: datetime
    account: str | None = None
    assume_zone: str | None = None
    only: Source | None = None
    date: datetime | None = None
    vocabularies: Vocabularies | None = None


def decoded(raw: pl.DataFrame, shape: Shape, dialect: Dialect, reading: Reading) -> pl.DataFrame:
    """Decode every declared field: `text:*`, `count:*`, `literal:*`, `instant`, and a `bad:*` mask beside each."""
    source = shape.source
    cells = Cells(raw, shape.prefix, dialect)
    columns: dict[str, pl.Series] = {"line_number": raw["line_number"]}
    for name in (*_TEXTS, *(name for name in source.texts if name not in _TEXTS)):
        found = _text(cells, name, source.texts.get(name, ()), shape.outer_texts.get(name, ()))
        columns[f"text:{name}"], columns[f"bad:{name}"], columns[f"control:{name}"] = found
    for name, path in source.counts.items():
        columns |= _count(name, *cells.first(path), is_text=source.counts_are_text)
    for name in source.cumulative:
        before = (one + PREVIOUS for one in spellings(source.counts[name]))
        columns |= _count(f"{name}@previous", *cells.first(tuple(before)), is_text=source.counts_are_text)
    for name, path in source.literals.items():
        columns[f"literal:{name}"] = cells.first(path)[0]
    columns["literal:has_usage"] = cells.any_there(source.usage_paths())
    columns["instant"], columns["time_problem"] = instants(cells, shape, reading.assume_zone, reading.date)
    if isinstance(source.until, tuple):
        columns["until"], columns["until_problem"] = instant_at(cells, *source.until, reading.assume_zone)
    columns["is_http_failure"] = _is_http_failure([cells.outer(path) for path in shape.status_paths], raw.height)
    columns["problem"], columns["fingerprint"] = cells.outer("problem"), cells.outer("fingerprint")
    return pl.DataFrame(columns)


class _Text(NamedTuple):
    """Decoded text without secrets, where something else than text stands, and where a control character does."""

    value: pl.Series
    bad: pl.Series
    control: pl.Series


def _text(cells: Cells, name: str, path: Path, outer: tuple[str, ...]) -> _Text:
    """A declared text: the record's own in the first spelling that is there, else the wrapper's."""

    def given(raw: pl.Series) -> pl.Series:
        """An id that is an empty string identifies nothing."""
        is_empty = (raw == NO_TEXT).fill_null(False) if name == "request_id" else never(raw)
        return raw.set(is_empty, None) if is_empty.any() else raw

    found: _Text | None = None
    for raw, dialect in cells.spelt(path):
        own = _looked_at(raw if dialect == "csv" else given(raw), dialect)
        # Whose it is may be missing in any way, and be said in another spelling or by the wrapper.
        found = _or_else(found, own._replace(bad=never(raw)) if name in ATTRIBUTION else own)
    if found is None:
        nothing = cells.outer("")
        found = _Text(nothing, never(nothing), never(nothing))
    for key in outer:
        if found.value.null_count() == 0:
            break
        # What the wrapper has instead of a text is ignored.
        found = _or_else(found, _looked_at(given(cells.outer(key)), "json"))._replace(bad=found.bad)
    return found


def _or_else(first: _Text | None, second: _Text) -> _Text:
    """The first text where it says anything, else the second."""
    if first is None or (first.value.null_count() == first.value.len() and not first.bad.any()):
        return second
    if second.value.null_count() == second.value.len() and not second.bad.any():
        return first
    is_first = first.value.is_not_null() | first.bad
    value = first.value.zip_with(is_first, second.value)
    control = first.control.zip_with(is_first, second.control)
    return _Text(value, first.bad | (second.bad & ~is_first), control)


def _looked_at(raw: pl.Series, dialect: Dialect) -> _Text:
    """Decode raw texts and look at each: once for each distinct one, where they repeat."""
    if raw.null_count() == raw.len():
        return _Text(raw, never(raw), never(raw))
    if is_repetitive(raw):
        apart = distinct(raw)
        values = apart.values.cast(pl.String)
        few = len(values) <= _FEW_VALUES
        value, bad, control = _looked_at_few(tuple(values), dialect) if few else _looked_at_each(values, dialect)
        return _Text(apart.spread(value), apart.spread(bad), apart.spread(control))
    return _looked_at_each(raw, dialect)


@lru_cache(_SETS_KEPT)
def _looked_at_few(values: tuple[str | None, ...], dialect: Dialect) -> _Text:
    """Of a few values the next chunk mostly has the same ones."""
    return _looked_at_each(pl.Series(values, dtype=pl.String), dialect)


def _looked_at_each(raw: pl.Series, dialect: Dialect) -> _Text:
    value, bad, escaped = _csv_text(raw) if dialect == "csv" else unquoted(raw)
    return _Text(without_secrets(value), bad, _control(value, escaped))


def _csv_text(raw: pl.Series) -> Text:
    """A CSV cell is its text; an empty one is absent."""
    value = raw.set((raw == "").fill_null(False), None)
    return Text(value, never(raw), value.is_not_null())


def _control(value: pl.Series, escaped: pl.Series) -> pl.Series:
    """Where a control character is. In a JSON string it is escaped, or beyond ASCII, or DEL: few rows need a look."""
    if value.null_count() == value.len():
        return never(value)
    [doubtful] = pl.DataFrame({"value": value, "escaped": escaped}).select_seq(_DOUBTFUL).get_columns()
    if not doubtful.any():
        return never(value)
    return (doubtful & value.str.contains(_CONTROL)).fill_null(False)


def _count(name: str, raw: pl.Series, dialect: Dialect, *, is_text: bool) -> dict[str, pl.Series]:
    """Parse a count: its value, whether it is given, and whether it is no integer literal."""
    if dialect == "csv":
        is_given = (raw != "").fill_null(False)
        value = raw.str.replace(r"\.0+$", "").cast(pl.Int64, strict=False)
        is_invalid = is_given & ~raw.str.contains(r"^[0-9]+(\.0+)?$").fill_null(True)
    else:
        if is_text:
            raw = raw.str.replace(r'^"([0-9]+)"$', "$1")
        is_given = raw.is_not_null() if raw.null_count() else ~never(raw)
        value = raw.cast(pl.Int64, strict=False)
        # What Polars reads as a whole number, JSON wrote as one; only what it cannot read needs a look.
        is_invalid = never(raw)
        if value.null_count() > raw.null_count():
            is_invalid = is_given & value.is_null() & ~raw.str.contains(r"^-?[0-9]+$")
    return {f"count:{name}": value, f"given:{name}": is_given, f"invalid:{name}": is_invalid}


def _is_http_failure(statuses: list[pl.Series], height: int) -> pl.Series:
    failed = pl.Series([False]).new_from_index(0, height)
    for raw in statuses:
        failed |= raw.cast(pl.Int64, strict=False).is_between(400, 599).fill_null(False)
    return failed
