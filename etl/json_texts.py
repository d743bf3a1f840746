"""Decode columns of JSON strings."""

from __future__ import annotations

import json
from typing import NamedTuple

import polars as pl

_RAW = "raw"
_BAD = (~pl.col(_RAW).str.starts_with('"')).fill_null(False)
# What a string is and might be, asked at once: each call that asks takes as long as hundreds of rows.
_LOOKED_AT = (
    # A quote inside a string is escaped, and escaped ones are decoded below. Slicing would take half the time, and keep
    # alive all that DuckDB gave.
    pl.col(_RAW).str.strip_chars('"').alias("value"),
    _BAD.alias("bad"),
    (pl.col(_RAW).str.contains("\\", literal=True).fill_null(False) & ~_BAD).alias("escaped"),
)


class Text(NamedTuple):
    """Decoded text, where something else than text stands, and where it was escaped."""

    value: pl.Series
    bad: pl.Series
    escaped: pl.Series


def unquoted(raw: pl.Series) -> Text:
    """Unquote JSON strings; anything but a string or null is bad."""
    if raw.null_count() == raw.len():
        return Text(raw, never(raw), never(raw))
    value, bad, escaped = raw.alias(_RAW).to_frame().select_seq(_LOOKED_AT).get_columns()
    if escaped.any():
        decoded = {text: json.loads(text) for text in raw.filter(escaped).unique()}
        value = value.zip_with(~escaped, raw.replace_strict(decoded, default=None, return_dtype=pl.String))
    if bad.any():
        value = value.set(bad, None)
    return Text(value, bad, escaped)


def never(like: pl.Series) -> pl.Series:
    """False for every row."""
    return pl.Series([False]).new_from_index(0, like.len())
