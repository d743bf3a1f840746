"""The snapshots that are kept: what each is, why it may not go, and the room it takes.

Hard links share one file between snapshots, so room is counted in files (inodes), never in names.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from etl.errors import IntegrityError
from etl.manifest import Snapshot, changed_days
from etl.warehouse import Warehouse


@dataclass(frozen=True)
class Kept:
    """One snapshot that still exists.

    Attributes:
        number: of the snapshot.
        snapshot: the snapshot; None when its manifest is damaged.
        damage: what is wrong with it, if anything.
        days_written: how many days it changed; None when that is not known any more.
        pins: why `costroll gc` leaves it, whatever its age.
    """

    number: int
    snapshot: Snapshot | None
    damage: str | None
    days_written: int | None
    pins: tuple[str, ...]


def kept_snapshots(warehouse: Warehouse, current: Snapshot) -> list[Kept]:
    """Every snapshot up to the published one, oldest first; those above it were never published.

    Args:
        warehouse: where.
        current: the published snapshot.
    """
    found = [_read(warehouse, number) for number in warehouse.numbers() if number <= current.number]
    why = pins(current, [snapshot for _, snapshot, _ in found if snapshot])
    kept = []
    before: Snapshot | None = None
    for number, snapshot, damage in found:
        written = _days_written(snapshot, before) if snapshot else None
        kept.append(Kept(number, snapshot, damage, written, tuple(why.get(number, ()))))
        before = snapshot
    return kept


def _read(warehouse: Warehouse, number: int) -> tuple[int, Snapshot | None, str | None]:
    """A snapshot, or what is wrong with it."""
    try:
        return number, warehouse.snapshot(number), None
    except IntegrityError as error:
        return number, None, str(error)


def pins(current: Snapshot, snapshots: Iterable[Snapshot]) -> dict[int, list[str]]:
    """Snapshot number -> why it must stay.

    The close of a month is pinned while it holds no usage that has expired since: it would keep that on the disk for
    ever. The frozen rollups of the month are in the published snapshot too.

    Args:
        current: the published snapshot.
        snapshots: all that are kept.
    """
    held = {one.number: _usage_of(one, set(current.manifest.get("expired", {}))) for one in snapshots}
    why = {current.number: ["current"]}
    for month, record in sorted(current.manifest.get("closed", {}).items()):
        number = record["snapshot"]
        if number in held and held[number] <= held[current.number]:
            why.setdefault(number, []).append(f"close of {month}")
    return why


def _usage_of(snapshot: Snapshot, days: set[str]) -> set[str]:
    return {entry["path"] for entry in snapshot.entries if entry["table"] == "usage" and entry["day"] in days}


def _days_written(snapshot: Snapshot, before: Snapshot | None) -> int | None:
    if "days_written" in snapshot.manifest:
        return len(snapshot.manifest["days_written"])
    parent = snapshot.manifest["parent"]
    if parent is None:
        return len(snapshot.days())
    if before is None or before.manifest_sha256 != parent["manifest_sha256"]:
        return None
    return len(changed_days(before.entries, snapshot.entries))


def freed_bytes(going: Iterable[Path], staying: Iterable[Path]) -> int:
    """The bytes that come free with some snapshots: of files that no other snapshot has.

    Args:
        going: their folders.
        staying: the folders that keep what they share.
    """
    # A folder tells the inodes of its files, and only those that go are asked for more: snapshots share most of theirs.
    kept = {inode for folder in staying for inode, _ in _files(str(folder))}
    gone = {inode: path for folder in going for inode, path in _files(str(folder)) if inode not in kept}
    return sum(os.stat(path, follow_symlinks=False).st_size for path in gone.values())


def _files(folder: str) -> Iterator[tuple[int, str]]:
    """Inode and path of every file in a folder; a warehouse is on one file system."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
            else:
                yield entry.inode(), entry.path
