"""The warehouse on disk: immutable snapshots, and one rename() that publishes the next.

    warehouse/current -> snapshots/00000042

The next snapshot is built in a staging folder, brought to the disk, read back and compared with what the
writer meant, renamed to its number, and published by moving `current`. A run that dies before that leaves
the old snapshot; its leftovers are swept by the next run. Numbers only grow: what has a higher number
than `current` was never published. Going back publishes the old files under a new number.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from etl import durable
from etl.errors import IntegrityError
from etl.manifest import Snapshot, read_snapshot, snapshot_name
from etl.snapshot_builder import STAGING_PREFIX, SnapshotBuilder

__all__ = ["Snapshot", "SnapshotBuilder", "Warehouse"]


class Warehouse:
    """A folder of snapshots.

    Attributes:
        root: the folder; created by the first `lock()`.
    """

    def __init__(self, root: Path) -> None:
        """Name a warehouse; the folder need not exist."""
        self.root = root.expanduser().absolute()
        self._is_locked = False

    def exists(self) -> bool:
        """Whether anything was ever published here."""
        return os.path.lexists(self.root / "current")

    def current(self) -> Snapshot | None:
        """The published snapshot, its link resolved once and its manifest checked; None before the first.

        Raises:
            IntegrityError: the link or the manifest is damaged.
            UsageError: a newer Costroll wrote it.
        """
        try:
            target = (self.root / "current").readlink()
        except FileNotFoundError:
            self._refuse_lost_link()
            return None
        except OSError as error:
            raise IntegrityError(f"{self.root / 'current'} is not a link to a snapshot: {error.strerror}") from error
        return read_snapshot(self.root / target)

    def _refuse_lost_link(self) -> None:
        # The first run may have died between its two renames and left snapshot 1, which was never published.
        numbers = self.numbers()
        if numbers and numbers != [1]:
            newest = snapshot_name(numbers[-1])
            raise IntegrityError(
                f"{self.root / 'current'} is missing beside {len(numbers)} snapshots; "
                f"put it back with `ln -s snapshots/{newest} current` there, then run `costroll verify`"
            )

    def numbers(self) -> list[int]:
        """The numbers of the snapshots that still exist, in order."""
        try:
            names = [path.name for path in (self.root / "snapshots").iterdir()]
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if name.isdecimal())

    def snapshot(self, number: int) -> Snapshot:
        """One snapshot that still exists, its manifest checked."""
        return read_snapshot(self.root / "snapshots" / snapshot_name(number))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other runs out; creates the folder if it is missing.

        Raises:
            LockHeldError: another run is writing here.
        """
        if not self.root.is_dir():
            durable.make_dir(self.root)
            durable.fsync_dir(self.root.parent)
        with durable.lock(self.root / ".lock"):
            self._is_locked = True
            try:
                yield
            finally:
                self._is_locked = False

    def begin(self, parent: Snapshot | None) -> SnapshotBuilder:
        """Sweep what crashed runs left, and start the snapshot that follows `parent`.

        Args:
            parent: what `current()` returned inside the lock.
        """
        if not self._is_locked:
            raise RuntimeError("begin() outside of lock() could sweep another run's work")
        current = self.current()
        if (current and current.number) != (parent and parent.number):
            raise IntegrityError(f"{self.root}: another snapshot was published meanwhile; run again")
        self._sweep(current.number if current else 0)
        return SnapshotBuilder(self.root, parent)

    def _sweep(self, number: int) -> None:
        leftovers = [*self.root.glob(f"{STAGING_PREFIX}*"), self.root / ".current.new"]
        unpublished = [found for found in self.numbers() if found > number]
        if unpublished not in ([], [number + 1]):
            # A crash leaves one at most: someone moved the link, and these were published once.
            newest = snapshot_name(unpublished[-1])
            raise IntegrityError(
                f"{self.root / 'current'} points to snapshot {number}, but snapshots/{newest} exists; point it back "
                f"with `ln -sfn snapshots/{newest} current` there"
            )
        for path in leftovers:
            durable.remove_tree(path)
        for found in unpublished:
            durable.remove_tree(self.root / "snapshots" / snapshot_name(found))
