"""When a record was made: by its own time, else its wrapper's, else the date that the run was given."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from etl.cells import Cells
from etl.json_texts import unquoted
from etl.shapes import Shape
from etl.sources.paths import Path
from etl.times import INSTANT, from_american, from_epoch, from_iso, from_nanoseconds

Found = tuple[pl.Series, pl.Series]


def instants(cells: Cells, shape: Shape, assume_zone: str | None, date: datetime | None) -> Found:
    """The instant of each record.

    Returns:
        Naive UTC instants, and why there is none where something stands that is no time.
    """
    if shape.source.instant is None:
        instant = cells.outer("").cast(INSTANT)
        problem = cells.outer("")
    else:
        instant, problem = instant_at(cells, *shape.source.instant, assume_zone)
    for key in shape.outer_times:
        missing = instant.is_null() & problem.is_null()
        if not missing.any():
            return instant, problem
        found, found_problem = _iso_or_epoch(cells.outer(key).set(~missing, None), assume_zone)
        instant = instant.zip_with(~missing, found)
        problem = problem.zip_with(~missing, found_problem)
    if date is not None:
        instant = instant.set(instant.is_null() & problem.is_null(), date)
    return instant, problem


def instant_at(cells: Cells, path: Path, notation: str, assume_zone: str | None) -> Found:
    """The instants at a path, in one of `NOTATIONS`."""
    raw, dialect = cells.first(path)
    if notation in ("epoch", "epoch_decimal"):
        return from_epoch(raw, decimal=notation == "epoch_decimal")
    if notation == "epoch_nanoseconds":
        return from_nanoseconds(raw)
    if notation in ("iso_or_epoch", "iso_utc_or_epoch") and dialect == "json":
        return _iso_or_epoch(raw, "UTC" if notation == "iso_utc_or_epoch" else assume_zone)
    text = unquoted(raw).value if dialect == "json" else raw
    is_no_text = raw.is_not_null() & text.is_null()
    text = text.set((text == "").fill_null(False), None)
    if notation == "american_utc":
        instant, problem = from_american(text)
    else:
        text = text + "T00:00:00Z" if notation == "date" else text
        instant, problem = from_iso(text, "UTC" if notation.startswith("iso_utc") else assume_zone)
    return instant, problem.set(is_no_text, "invalid_timestamp")


def _iso_or_epoch(raw: pl.Series, assume_zone: str | None) -> Found:
    text, is_no_text, _ = unquoted(raw)
    iso, iso_problem = from_iso(text, assume_zone)
    epoch, epoch_problem = from_epoch(raw.set(~is_no_text, None), decimal=True)
    return iso.zip_with(iso.is_not_null(), epoch), iso_problem.zip_with(iso_problem.is_not_null(), epoch_problem)
