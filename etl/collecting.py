"""Remove what need not be kept: old usage of closed months, and old snapshots that nothing pins.

A snapshot goes in one step: it gets a hidden name, and is removed under that one. What a crash leaves behind has no
number any more, and the next run sweeps it away.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from etl.errors import UsageError
from etl.expiring import due_days, expire
from etl.kept import Kept, freed_bytes, kept_snapshots
from etl.manifest import Snapshot, snapshot_name
from etl.settings_file import RetentionSection
from etl.warehouse import Warehouse


@dataclass(frozen=True)
class Collected:
    """What was removed, or would be.

    Attributes:
        expired: the days whose usage went, or would go.
        removed: the numbers of the snapshots.
        kept: those that stay.
        freed_bytes: of files that no snapshot has any more.
    """

    expired: list[date]
    removed: list[int]
    kept: list[Kept]
    freed_bytes: int


def collect(
    warehouse: Warehouse, retention: RetentionSection, *, dry_run: bool = False, now: datetime | None = None
) -> Collected:
    """Let old usage expire, in a new snapshot, and remove the snapshots that need not be kept.

    Args:
        warehouse: where.
        retention: how many and how long.
        dry_run: only say what would go; where usage would expire, the new snapshot is not counted.
        now: the instant that ages are counted from, in naive UTC.

    Raises:
        UsageError: nothing is published here.
        LockHeldError: a run is writing here.
    """
    at = now or datetime.now(UTC).replace(tzinfo=None)
    if dry_run:
        current = _published(warehouse)
        return _planned(warehouse, current, due_days(current, retention.usage_days), retention, at)
    with warehouse.lock():
        current = _published(warehouse)
        warehouse.sweep()
        days = due_days(current, retention.usage_days)
        if days:
            current = expire(warehouse, current, days)
        planned = _planned(warehouse, current, days, retention, at)
        for number in planned.removed:
            warehouse.remove(number)
    return planned


def _published(warehouse: Warehouse) -> Snapshot:
    current = warehouse.current()
    if current is None:
        raise UsageError(f"{warehouse.root}: nothing is published here; run `costroll run PATH...` first")
    return current


def _planned(
    warehouse: Warehouse, current: Snapshot, expired: list[date], retention: RetentionSection, now: datetime
) -> Collected:
    snapshots = kept_snapshots(warehouse, current)
    newest = {one.number for one in snapshots[-retention.snapshots :]}
    since = now - timedelta(hours=retention.hours)
    going = [one for one in snapshots if one.number not in newest and not one.pins and _is_older(one, since)]
    kept = [one for one in snapshots if one not in going]
    folder = warehouse.root / "snapshots"
    freed = freed_bytes(
        (folder / snapshot_name(one.number) for one in going), (folder / snapshot_name(one.number) for one in kept)
    )
    return Collected(expired, [one.number for one in going], kept, freed)


def _is_older(one: Kept, since: datetime) -> bool:
    """Whether it was published before that; a damaged one does not say when, and stays for a person to look at."""
    return one.snapshot is not None and one.snapshot.published_at < since
