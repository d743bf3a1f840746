"""Read instants: epoch numbers and ISO 8601 text become naive UTC microseconds, finer fractions cut."""

from __future__ import annotations

import polars as pl

INSTANT = pl.Datetime("us")

# How a source may say that its times are written; docs/adding-a-source.md lists them.
NOTATIONS = {
    "epoch": "whole seconds since 1970",
    "epoch_decimal": "seconds since 1970, perhaps with a fraction",
    "epoch_nanoseconds": "nanoseconds since 1970, perhaps as text",
    "iso": "ISO 8601 with a zone",
    "iso_utc": "ISO 8601; without a zone it is UTC",
    "iso_or_epoch": "ISO 8601 with a zone, or seconds since 1970",
    "iso_utc_or_epoch": "ISO 8601, UTC without a zone, or seconds since 1970",
    "date": "a date, which is a UTC day",
    "american_utc": "`11/21/2025, 8:00:01.123 AM`, or ISO 8601; UTC where no zone is written",
}

# `\d` would also match the digits of other scripts, which are no numbers to Polars.
_ISO = (
    r"^(?<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ](?<hour>[0-9]{2}):(?<minute>[0-9]{2}):(?<second>[0-9]{2})"
    r"(?:[.,](?<fraction>[0-9]+))? ?(?<zone>[Zz]|UTC|[+-][0-9]{2}:?[0-9]{2})?$"
)
_EPOCH = r"^(?<whole>-?[0-9]{1,18})(?:\.(?<fraction>[0-9]+))?$"
_WHOLE = r"^-?[0-9]+$"
_SECOND = 1_000_000
_SECONDS_MAX = 253_402_300_799  # the last second of the year 9999


def from_epoch(raw: pl.Series, *, decimal: bool) -> tuple[pl.Series, pl.Series]:
    """Read seconds since 1970, as whole numbers or, if `decimal`, with a fraction.

    Returns:
        The instants, and `invalid_timestamp` where something stands that is no such number.
    """
    whole = raw.cast(pl.Int64, strict=False)
    if decimal and whole.null_count() > raw.null_count():
        parts = raw.str.extract_groups(_EPOCH).struct.unnest()
        seconds, micros = parts["whole"].cast(pl.Int64), _micros(parts["fraction"])
    else:
        seconds, micros = whole, pl.Series([0]).new_from_index(0, raw.len())
    # A whole number outside of the calendar is a time all the same, only not a plausible one.
    is_far = (seconds.abs() > _SECONDS_MAX).fill_null(False)
    if seconds.null_count() > raw.null_count():
        is_far |= (seconds.is_null() & raw.str.contains(_WHOLE)).fill_null(False)
    seconds = seconds.set(is_far, _SECONDS_MAX)
    instant = (seconds * _SECOND + micros.set(is_far, 0)).cast(INSTANT)
    return instant, _problem(raw.is_not_null() & instant.is_null(), "invalid_timestamp")


def from_iso(text: pl.Series, assume_zone: str | None) -> tuple[pl.Series, pl.Series]:
    """Read ISO 8601 text with a zone; without one it is naive unless `assume_zone` names an IANA zone.

    Returns:
        The instants, and `invalid_timestamp` or `naive_timestamp` where there is none.
    """
    if text.null_count() == text.len():
        empty = pl.Series([None], dtype=INSTANT).new_from_index(0, text.len())
        return empty, pl.Series([None], dtype=pl.String).new_from_index(0, text.len())
    frame = (
        text.str.extract_groups(_ISO)
        .struct.unnest()
        .with_columns(
            date=pl.col("day").str.to_date("%Y-%m-%d", strict=False),
            hour=pl.col("hour").cast(pl.Int64),
            minute=pl.col("minute").cast(pl.Int64),
            second=pl.col("second").cast(pl.Int64),
        )
    )
    frame = frame.with_columns(micros=_micros(frame["fraction"]), offset=_offset(frame["zone"]))
    # A leap second has no place in a 60-second minute: it counts as the minute's last microsecond.
    is_leap = pl.col("second") == 60
    clock = (pl.col("hour") * 60 + pl.col("minute")) * 60 + pl.when(is_leap).then(59).otherwise(pl.col("second"))
    micros = pl.when(is_leap).then(_SECOND - 1).otherwise(pl.col("micros"))
    local = pl.col("date").cast(INSTANT).cast(pl.Int64) + clock * _SECOND + micros
    sound = (pl.col("hour") < 24) & (pl.col("minute") < 60) & (pl.col("second") <= 60) & pl.col("date").is_not_null()
    frame = frame.with_columns(local=pl.when(sound).then(local))
    naive = text.is_not_null() & frame["local"].is_not_null() & frame["zone"].is_null()
    instant = (frame["local"] - frame["offset"]).cast(INSTANT)
    if assume_zone is not None and naive.any():
        zoned = (
            frame["local"].cast(INSTANT).dt.replace_time_zone(assume_zone, ambiguous="earliest", non_existent="null")
        )
        assumed = zoned.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        instant = instant.zip_with(~naive, assumed)
    problem = _problem(text.is_not_null() & instant.is_null(), "invalid_timestamp")
    is_naive = naive & instant.is_null()
    return instant, problem.zip_with(~is_naive, pl.Series(["naive_timestamp"]).new_from_index(0, text.len()))


def from_nanoseconds(raw: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Read whole nanoseconds since 1970, as a number or, as OTLP JSON has them, as text."""
    digits = raw.str.extract(r'^"?([0-9]{1,19})"?$')
    instant = (digits.cast(pl.Int64, strict=False) // 1000).cast(INSTANT)
    return instant, _problem(raw.is_not_null() & instant.is_null(), "invalid_timestamp")


def from_american(text: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Read times as `11/21/2025, 8:00:01.123 AM`, or in ISO 8601; in UTC where no zone is written."""
    instant = text.str.to_datetime("%m/%d/%Y, %I:%M:%S%.f %p", time_unit="us", strict=False)
    iso, problem = from_iso(text.set(instant.is_not_null(), None), "UTC")
    return instant.zip_with(instant.is_not_null(), iso), problem


def _micros(fraction: pl.Series) -> pl.Series:
    return fraction.fill_null("0").str.slice(0, 6).str.pad_end(6, "0").cast(pl.Int64)


def _offset(zone: pl.Series) -> pl.Series:
    """Microseconds ahead of UTC; NULL where no zone is written or it is out of range."""
    digits = zone.str.replace_all("[^0-9]", "").str.pad_start(4, "0")
    hours, minutes = (
        digits.str.slice(0, 2).cast(pl.Int64, strict=False),
        digits.str.slice(2, 2).cast(pl.Int64, strict=False),
    )
    sign = zone.str.starts_with("-").cast(pl.Int64) * -2 + 1
    offset = (hours * 60 + minutes) * 60 * _SECOND * sign
    return offset.set(((hours > 18) | (minutes > 59)).fill_null(False), None)


def _problem(where: pl.Series, code: str) -> pl.Series:
    return pl.Series([None], dtype=pl.String).new_from_index(0, where.len()).set(where, code)
