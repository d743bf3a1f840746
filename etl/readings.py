"""Files of snapshots read for a proof: hashed side by side, and once only where snapshots share them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from etl import audit, durable
from etl.manifest import Snapshot

_File = tuple[int, int]


class Readings:
    """What was read so far, by file: a hard link is the same file under another name.

    Attributes:
        read_bytes: the bytes that were hashed, each file once.
    """

    def __init__(self) -> None:
        self.read_bytes = 0
        self._hashes: dict[_File, str] = {}
        self._measured: dict[_File, audit.Measured] = {}

    def hashes(self, paths: Iterable[Path]) -> dict[Path, str]:
        """The SHA-256 of each file; hashing is done in C without the interpreter, so processors share the work."""
        wanted = {path: _file(path) for path in paths}
        new = {file: path for path, file in wanted.items() if file not in self._hashes}
        with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="hash") as pool:
            for file, sha256 in zip(new, pool.map(durable.sha256_of, new.values()), strict=True):
                self._hashes[file] = sha256
        self.read_bytes += sum(path.stat().st_size for path in new.values())
        return {path: self._hashes[file] for path, file in wanted.items()}

    def measure(self, snapshot: Snapshot, relatives: Iterable[str]) -> Mapping[str, audit.Measured]:
        """The rows and sums of each file of a snapshot.

        Raises:
            IntegrityError: one cannot be read, or its columns are not those of its table.
        """
        wanted = {relative: _file(snapshot.path / relative) for relative in relatives}
        new = [relative for relative, file in wanted.items() if file not in self._measured]
        for relative, measured in audit.measure(snapshot.path, new, snapshot.format_version).items():
            self._measured[wanted[relative]] = measured
        return {relative: self._measured[file] for relative, file in wanted.items()}


def _file(path: Path) -> _File:
    status = path.stat()
    return status.st_dev, status.st_ino
