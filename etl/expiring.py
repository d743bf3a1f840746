"""Let the usage of old days go: their costs stay, and of their records only what recognises them.

Only days of closed months: until a month is closed its costs can be worked out anew from its usage; from then on its
rollups are frozen.
"""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import Any

import polars as pl

from etl import analyst
from etl.booking import closed_months
from etl.identities import IDENTITY_PARTS, identities_of
from etl.manifest import Snapshot, members_of_state
from etl.periods import month_of
from etl.schema import arrow_schema
from etl.warehouse import SnapshotBuilder, Warehouse


def due_days(snapshot: Snapshot, usage_days: int | None) -> list[date]:
    """The days with usage that need not be kept: of a closed month, and more than so many days before the newest day.

    Args:
        snapshot: the published one.
        usage_days: how many; None: all are kept.
    """
    days = snapshot.days()
    if usage_days is None or not days:
        return []
    first_kept = days[-1] - timedelta(days=usage_days)
    closed = closed_months(snapshot)
    return [day for day in days if day < first_kept and month_of(day) in closed and snapshot.files("usage", day)]


def expire(warehouse: Warehouse, current: Snapshot, days: list[date]) -> Snapshot:
    """Publish a snapshot without the usage of these days; call it inside the lock.

    Raises:
        IntegrityError: something does not add up without it; nothing was published.
    """
    builder = warehouse.begin(current)
    try:
        expired = dict(current.manifest.get("expired", {}))
        expected: dict[str, dict[str, Any]] = {}
        for day in days:
            expired[day.isoformat()] = _expire_day(builder, current, day, expected)
    except BaseException:
        builder.discard()
        raise
    facts = {**members_of_state(current), "action": "gc", "expired": expired, "expected": expected}
    snapshot = builder.commit(facts)
    analyst.build_database(warehouse)
    return snapshot


def _expire_day(
    builder: SnapshotBuilder, current: Snapshot, day: date, expected: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Put identities in the place of a day's usage. Returns what the manifest keeps of it."""
    entries = [entry for entry in current.entries if entry["table"] == "usage" and entry["day"] == day.isoformat()]
    rows = pl.read_parquet(current.files("usage", day), columns=[*IDENTITY_PARTS, "content_hash"], glob=False)
    table = identities_of(rows).sort("identity", "content_hash")
    relative = f"identities/{day}/{builder.number:08d}.parquet"
    builder.write(relative, table.to_arrow().cast(arrow_schema("identities")))
    expected[relative] = {"rows": sum(entry["rows"] for entry in entries)}
    before = current.manifest.get("expired", {}).get(day.isoformat(), {"records": 0, "sums": {}})
    sums = Counter(before["sums"])
    for entry in entries:
        builder.drop(entry["path"])
        sums.update(entry["sums"])
    return {
        "at_snapshot": builder.number,
        "records": before["records"] + table.height,
        "sums": dict(sorted(sums.items())),
    }
