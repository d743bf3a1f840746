"""Write the rollups of days anew: in their own month, or as corrections where that month is closed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import polars as pl

from etl import engine
from etl.corrections import booked
from etl.manifest import Snapshot, period_of, rollups_name
from etl.periods import booking_period, month_of
from etl.schema import arrow_schema, polars_schema
from etl.snapshot_builder import SnapshotBuilder

_WRITERS_MOST = 4

Expected = dict[str, dict[str, Any]]


def closed_months(snapshot: Snapshot | None) -> frozenset[str]:
    """The months that are closed in a snapshot."""
    return frozenset(snapshot.manifest.get("closed", ())) if snapshot else frozenset()


def book(
    parent: Snapshot | None,
    builder: SnapshotBuilder,
    days: Iterable[date],
    whole: pl.DataFrame,
    closed: Collection[str],
    in_parts: Collection[date] = (),
) -> Expected:
    """Write the rollup files of days whose usage or rates changed; files of closed months stay as they are.

    Args:
        parent: the published snapshot.
        builder: the snapshot in the making.
        days: the days to write.
        whole: everything these days hold now: as rated, so of class `usage` and sorted by their key, or as published.
        closed: the closed months.
        in_parts: the days of which `whole` has a row more than once, to be added up.

    Returns:
        New file -> the rows and costs that it must hold.
    """
    parts = whole.partition_by("day", as_dict=True, maintain_order=True)
    nothing = pl.DataFrame(schema=polars_schema("rollups"))
    expected: Expected = {}
    parts_of: dict[str, pl.DataFrame] = {}
    for day in sorted(days):
        published = _published(parent, day)
        frozen = [pl.read_parquet(path) for name, path in published.items() if period_of(name) in closed]
        rows = parts.get((day,), nothing)
        if frozen or day in in_parts or month_of(day) in closed or "correction" in rows["charge_class"]:
            rows = booked(day, rows, pl.concat(frozen) if frozen else nothing, closed)
        files = {
            rollups_name(day, period, charge_class): part
            for (period, charge_class), part in rows.partition_by(
                "accounting_period", "charge_class", as_dict=True, maintain_order=True
            ).items()
        }
        for name in published.keys() - files.keys():
            if period_of(name) not in closed:
                builder.drop(name)
        for name, part in sorted(files.items()):
            parts_of[name] = part
            expected[name] = {"rows": part.height, "sums": {"cost_usd": str(part["cost_usd"].sum() or 0)}}
    _write(builder, parts_of)
    return expected


def _write(builder: SnapshotBuilder, parts: Mapping[str, pl.DataFrame]) -> None:
    """Write the files, some at a time: each waits for the disk in the end."""

    def write(name: str) -> None:
        builder.write(name, parts[name].to_arrow().cast(arrow_schema("rollups")))

    with ThreadPoolExecutor(min(engine.threads(), _WRITERS_MOST), thread_name_prefix="book") as pool:
        jobs = [pool.submit(write, name) for name in parts]
    for job in jobs:
        job.result()


def misplaced_days(parent: Snapshot, closed: Collection[str]) -> list[date]:
    """The days with open bookings in another month than these closes ask for: after `reopen`, those to book anew."""
    found = set()
    for day in parent.days():
        periods = {period_of(name) for name in _published(parent, day)} - set(closed)
        if periods - {booking_period(day, closed)}:
            found.add(day)
    return sorted(found)


def published_whole(parent: Snapshot, days: Iterable[date]) -> pl.DataFrame:
    """Everything that is booked for these days, whenever it was: together, the days rated as a whole."""
    files = [file for day in days for file in parent.files("rollups", day)]
    return (
        pl.concat([pl.read_parquet(file) for file in files]) if files else pl.DataFrame(schema=polars_schema("rollups"))
    )


def _published(parent: Snapshot | None, day: date) -> dict[str, Any]:
    """The day's rollup files, by their names in the snapshot."""
    files = parent.files("rollups", day) if parent else []
    return {f"rollups/{file.name}": file for file in files}
