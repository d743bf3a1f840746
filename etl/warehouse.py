"""The warehouse on disk: immutable snapshots, and one rename() that publishes the next.

    warehouse/current -> snapshots/00000042

The next snapshot is built in a staging folder, brought to the disk, read back and compared with what the
writer meant, renamed to its number, and published by moving `current`. A run that dies before that leaves
the old snapshot; its leftovers are swept by the next run. Numbers only grow: what has a higher number
than `current` was never published. Going back publishes the old files under a new number.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from etl import durable
from etl.errors import IntegrityError, UsageError
from etl.manifest import FORMAT_VERSION, Snapshot, read_snapshot, snapshot_name
from etl.snapshot_builder import STAGING_PREFIX, SnapshotBuilder

__all__ = ["Snapshot", "SnapshotBuilder", "Warehouse"]

LAST_RUN_NAME = "last_run.json"


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

    def current(self, *, of_any_format: bool = False) -> Snapshot | None:
        """The published snapshot, its link resolved once and its manifest checked; None before the first.

        Args:
            of_any_format: also one that is to be migrated first.

        Raises:
            IntegrityError: the link or the manifest is damaged.
            UsageError: a newer Costroll wrote it, or an older one and it was not migrated.
        """
        try:
            target = (self.root / "current").readlink()
        except FileNotFoundError:
            self._refuse_lost_link()
            return None
        except OSError as error:
            raise IntegrityError(f"{self.root / 'current'} is not a link to a snapshot: {error.strerror}") from error
        snapshot = read_snapshot(self.root / target)
        if snapshot.format_version < FORMAT_VERSION and not of_any_format:
            raise UsageError(
                f"{self.root}: written in format {snapshot.format_version} by an older Costroll; this one writes "
                f"format {FORMAT_VERSION}: run `costroll migrate` once. It changes no cost, and keeps the old snapshots"
            )
        return snapshot

    def _current_number(self) -> int:
        """The number of the published snapshot, by the link alone; 0 before the first."""
        try:
            return int((self.root / "current").readlink().name)
        except FileNotFoundError:
            self._refuse_lost_link()
            return 0
        except (OSError, ValueError) as error:
            raise IntegrityError(f"{self.root / 'current'} is not a link to a snapshot: {error}") from error

    def published(self) -> Snapshot:
        """What `current` leads to, for commands that need something to be published.

        Raises:
            UsageError: nothing is; the message says how to change that.
            IntegrityError: the link or the manifest is damaged.
        """
        snapshot = self.current()
        if snapshot is None:
            raise UsageError(
                f"nothing is published in {self.root}: fill it with `costroll run PATH...`, "
                "or name another warehouse with --warehouse DIR or $COSTROLL_WAREHOUSE"
            )
        return snapshot

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
    def lock(self, wait_seconds: int = 0, on_wait: Callable[[str], None] = lambda _: None) -> Iterator[None]:
        """Keep other runs out; creates the folder if it is missing.

        Args:
            wait_seconds: how long to wait for another run to end.
            on_wait: called once when the waiting begins, with who holds the lock.

        Raises:
            LockHeldError: another run is writing here.
        """
        durable.make_dir(self.root)
        with durable.lock(self.root / ".lock", wait_seconds, on_wait):
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
        self._require_lock()
        if self._current_number() != (parent.number if parent else 0):
            raise IntegrityError(f"{self.root}: another snapshot was published meanwhile; run again")
        self.sweep()
        self._bring_to_disk(is_first=parent is None)
        return SnapshotBuilder(self.root, parent)

    def _bring_to_disk(self, is_first: bool) -> None:
        # A killed run may have moved `current`, or made the root and folders above it, without bringing that to the
        # disk. What this run reports stands on it, also when it publishes nothing new.
        durable.fsync_dir(self.root)
        device = self.root.stat().st_dev
        for folder in self.root.parents if is_first else ():
            if folder.stat().st_dev != device or not os.access(folder, os.R_OK):
                break
            durable.fsync_dir(folder)

    def remove(self, number: int) -> None:
        """Remove a snapshot that is not the published one.

        To readers it goes in one step: a hidden name first, then file by file under that one. What a crash leaves
        has no number any more, and is swept.
        """
        self._require_lock()
        if (self.root / "current").readlink().name == snapshot_name(number):
            raise ValueError(f"snapshot {number} is the published one")
        hidden = self.root / f"{STAGING_PREFIX}removed-{snapshot_name(number)}"
        durable.rename(self.root / "snapshots" / snapshot_name(number), hidden)
        durable.remove_tree(hidden)

    def _require_lock(self) -> None:
        if not self._is_locked:
            raise RuntimeError("outside of lock() this could remove another run's work")

    def sweep(self) -> None:
        """Remove what crashed runs left; call it inside the lock.

        Raises:
            IntegrityError: `current` was moved back by hand, and what it left behind was published once.
        """
        self._require_lock()
        number = self._current_number()
        probes = (folder.glob(f"{durable.PROBE_PREFIX}*") for folder in (self.root, self.root / "snapshots"))
        halves = [self.root / ".current.new", *self.root.glob(f".{LAST_RUN_NAME}.*.new")]
        leftovers = [*self.root.glob(f"{STAGING_PREFIX}*"), *halves, *chain(*probes)]
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
