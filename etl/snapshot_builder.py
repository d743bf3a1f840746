"""The snapshot in the making: new files, the parent's files as hard links, the audit, the publishing rename.

The caller holds the warehouse's lock; see `etl.warehouse` for the protocol as a whole.
"""

from __future__ import annotations

import os
import platform
import socket
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from etl import __version__, audit, durable, stopping
from etl.errors import IntegrityError, StorageError
from etl.manifest import (
    FORMAT_VERSION,
    INSTANT_FORMAT,
    Snapshot,
    changed_days,
    day_of,
    snapshot_name,
    table_of,
    totals_of,
    write_manifest,
)
from etl.periods import closed_gaps

if TYPE_CHECKING:
    import pyarrow as pa

STAGING_PREFIX = ".staging-"
_OWN_MEMBERS = {
    "format_version", "snapshot", "parent", "tool", "libraries", "created_at", "host", "files", "days_written",
}  # fmt: skip


class SnapshotBuilder:
    """A snapshot in the making; nothing of it can be seen before `commit`.

    Every file of the parent is carried over as a hard link, unless it is dropped or a new file has its name.

    Attributes:
        number: of the snapshot to be.
        staging: the folder it is built in.
    """

    def __init__(self, root: Path, parent: Snapshot | None) -> None:
        """Start the snapshot after `parent` in the warehouse at `root`; `Warehouse.begin` does."""
        self.number = parent.number + 1 if parent else 1
        self.staging = root / f"{STAGING_PREFIX}{snapshot_name(self.number)}"
        self._root = root
        self._parent = parent
        self._new: set[str] = set()
        self._on_disk: set[str] = set()  # those of them that are written to the end
        self._begun: tuple[frozenset[str], Future[list[dict[str, Any]]] | None] = frozenset(), None
        self._days: dict[str, Any] = {}
        self._closed: dict[str, Any] = {}
        self._expired: dict[str, Any] = {}
        self._period_log: list[Any] = list(parent.manifest.get("period_log", ())) if parent else []
        self._reconciliations: list[Any] = list(parent.manifest.get("reconciliations", ())) if parent else []
        self._carried: dict[str, tuple[Path, dict[str, Any]]] = {}
        if parent:
            self.keep_from(parent)
        durable.make_dir(self.staging)

    def keep_from(self, snapshot: Snapshot) -> None:
        """Carry over the files of `snapshot` instead of the parent's: the way back to an earlier state."""
        self._carried = {entry["path"]: (snapshot.path, entry) for entry in snapshot.entries}
        self._days = dict(snapshot.manifest.get("days", {}))
        self._closed = dict(snapshot.manifest.get("closed", {}))
        self._expired = dict(snapshot.manifest.get("expired", {}))

    def carried(self, table: str) -> list[tuple[Path, dict[str, Any]]]:
        """The files of a table that would be carried over, sorted: where each is, and its entry in the manifest."""
        return [
            (folder / relative, entry)
            for relative, (folder, entry) in sorted(self._carried.items())
            if entry["table"] == table and relative not in self._new
        ]

    def drop(self, relative: str) -> None:
        """Do not carry over this file of the parent."""
        del self._carried[relative]

    @contextmanager
    def new_file(self, relative: str) -> Iterator[IO[bytes]]:
        """Have the `with` block write a new file of the snapshot; it is on the disk afterwards.

        Args:
            relative: its name in the snapshot, such as `usage/2026-11-21/00000042.parquet`.
        """
        table, _ = table_of(relative), day_of(relative)  # both refuse a name that no reader would find
        mode = durable.PRIVATE_MODE if table == "rejects" else durable.FILE_MODE
        path = self.staging / relative
        if relative in self._new:
            raise ValueError(f"{relative} is already new in this snapshot")
        durable.make_dir(path.parent)
        self._new.add(relative)
        with durable.new_file(path, mode) as file:
            yield file
        self._on_disk.add(relative)

    def write(self, relative: str, table: pa.Table) -> None:
        """Write a table as a new Parquet file: the same rows give the same bytes."""
        import pyarrow.parquet as pq

        with self.new_file(relative) as file:
            pq.write_table(table, file, compression="zstd", write_page_checksum=True, store_schema=False)

    def read_back_beside(self) -> None:
        """Begin to read back what is on the disk so far, beside whatever is still written before `commit`."""
        from etl import engine  # opens DuckDB, which not every command needs

        whole = frozenset(self._on_disk)
        if whole and engine.threads() > 1:
            pool = ThreadPoolExecutor(1, thread_name_prefix="audit")
            self._begun = whole, pool.submit(self._held, sorted(whole))
            pool.shutdown(wait=False)

    def discard(self) -> None:
        """Give up: remove the staging folder."""
        with suppress(StorageError):  # what stays behind is swept by the next run
            durable.remove_tree(self.staging)

    def commit(self, facts: dict[str, Any]) -> Snapshot:
        """Audit the new files from the disk, then publish.

        Args:
            facts: members for the manifest: `action`, the command, and such as `inputs`, `closure`, `settings_hash`,
                `rate_version` and `days` (added to the parent's). `closed` and `expired`, if given, replace the
                parent's; the entries of `period_log` and `reconciliations` are added to its own. `expected` is not
                stored: {relative: {"rows": n, "sums": {name: value}}}, with any of the names in `etl.audit.Measured`,
                is what the files must hold.

        Returns:
            The published snapshot.

        Raises:
            IntegrityError: a file or a sum is not what it must be; nothing was published.
            StorageError: the disk refused; nothing was published, unless the last sync failed.
        """
        if _OWN_MEMBERS & facts.keys():
            raise ValueError(f"the builder writes these members itself: {_OWN_MEMBERS & facts.keys()}")
        try:
            entries = sorted([*self._read_back(facts.get("expected", {})), *self._link_carried()], key=_path_of)
            members = self._members(facts, entries)
            self._audit(members)
            written = write_manifest(self.staging, members)
            durable.fsync_dirs([Path(folder) for folder, _, _ in os.walk(self.staging, topdown=False)])
        except BaseException:
            self.discard()
            raise
        return self._publish(written)

    def _read_back(self, expected: dict[str, Any]) -> list[dict[str, Any]]:
        unknown = expected.keys() - self._new
        if unknown:
            raise ValueError(f"expectations of files that are not new: {sorted(unknown)}")
        begun, held = self._begun
        entries = [*(held.result() if held else []), *self._held(sorted(self._new - begun))]
        for entry in entries:
            wrong = audit.differences(expected.get(entry["path"], {}), audit.Measured(entry["rows"], entry["sums"]))
            if wrong:
                raise IntegrityError(f"{entry['path']}: read back from disk, {'; '.join(wrong)}; nothing was published")
        return entries

    def _held(self, relatives: Sequence[str]) -> list[dict[str, Any]]:
        """New files as the manifest lists them, by what the disk gives back."""
        entries = []
        for relative, found in audit.measure(self.staging, relatives).items():
            entry = {"path": relative, "table": table_of(relative), "rows": found.rows, "sums": found.sums}
            entry |= {"day": day} if (day := day_of(relative)) else {}
            path = self.staging / relative
            entries.append({**entry, "bytes": path.stat().st_size, "sha256": durable.sha256_of(path)})
        return entries

    def _link_carried(self) -> list[dict[str, Any]]:
        entries = []
        made: set[Path] = set()
        for relative, (folder, entry) in self._carried.items():
            if relative in self._new:
                continue
            source, target = folder / relative, self.staging / relative
            size = _size_of(source)
            if size != entry["bytes"]:
                found = "is missing" if size is None else f"has {size:,} bytes instead of {entry['bytes']:,}"
                raise IntegrityError(
                    f"{source}: {found}; nothing was published. "
                    "Run `costroll verify`, and restore the file from a backup"
                )
            if (parent := target.parent) not in made:
                durable.make_dir(parent)
                made.add(parent)
            durable.hard_link(source, target)
            entries.append(entry)
        return entries

    def _members(self, facts: dict[str, Any], entries: list[dict[str, Any]]) -> dict[str, Any]:
        filled = {entry["day"] for entry in entries if "day" in entry}
        days = self._days | {str(day): value for day, value in facts.get("days", {}).items()}
        reconciliations = [*self._reconciliations, *facts.get("reconciliations", ())]
        parent = self._parent and {"number": self._parent.number, "manifest_sha256": self._parent.manifest_sha256}
        return {
            **{name: value for name, value in facts.items() if name != "expected"},
            "format_version": FORMAT_VERSION,
            "snapshot": self.number,
            "parent": parent,
            "tool": {"name": "costroll", "version": __version__},
            "libraries": {
                "python": platform.python_version(),
                **{name: metadata.version(name) for name in ("duckdb", "polars", "pyarrow")},
            },
            "created_at": datetime.now(UTC).strftime(INSTANT_FORMAT),
            "host": socket.gethostname(),
            "files": entries,
            "days_written": changed_days(self._parent.entries if self._parent else [], entries),
            "closed": facts.get("closed", self._closed),
            "expired": facts.get("expired", self._expired),
            "period_log": [*self._period_log, *facts.get("period_log", ())],
            **({"reconciliations": reconciliations} if reconciliations else {}),
            "days": {day: value for day, value in sorted(days.items()) if day in filled},
            "totals": facts.get("totals", {}) | totals_of(entries),
        }

    @staticmethod
    def _audit(members: dict[str, Any]) -> None:
        # All days, not only those touched: it costs no reading, and nothing is published upon a broken parent.
        gaps = audit.day_gaps(members["files"], members["expired"]) + audit.closure_gaps(members)
        gaps += closed_gaps(members["closed"], members["files"])
        if gaps:
            raise IntegrityError("nothing was published, because sums do not close: " + "; ".join(gaps[:10]))

    def _publish(self, written: Snapshot) -> Snapshot:
        place = self._root / "snapshots" / snapshot_name(self.number)
        durable.make_dir(place.parent)
        with stopping.held(f"snapshot {self.number} is published"):
            durable.rename(self.staging, place)
            # From here on nothing is cleaned up: once the link has moved, this is what readers read.
            durable.replace_link(self._root / "current", f"snapshots/{place.name}")
        return replace(written, path=place)


def _size_of(file: Path) -> int | None:
    """The bytes of a regular file; None where there is none."""
    try:
        status = os.stat(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _path_of(entry: dict[str, Any]) -> str:
    return str(entry["path"])
