"""`costroll` as a measured process, and what must be true of its result before a figure of it is printed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from bench.processes import OUT, Measured, Refused, measure, say

DONE, NEEDS_ATTENTION = 0, 3
FATES = ("accepted", "duplicate", "conflict", "excluded", "rejected")
_HASHED_BYTES = 1 << 20


def costroll(warehouse: Path, *arguments: str, success: Sequence[int] = (DONE,)) -> Measured:
    """Run one `costroll` command on a warehouse."""
    command = [sys.executable, "-m", "etl", "--warehouse", str(warehouse), *arguments]
    return measure(f"costroll {arguments[0]}", command, success=success)


def new_warehouse(name: str = "warehouse") -> Path:
    """The name of a warehouse that does not exist."""
    warehouse = OUT / name
    shutil.rmtree(warehouse, ignore_errors=True)
    return warehouse


def run_costroll(warehouse: Path, paths: Sequence[Path], *options: str, success: Sequence[int] = (DONE,)) -> Measured:
    """`costroll run`, said on stderr."""
    say(f"costroll run {' '.join([paths[0].name, *(['...'] if len(paths) > 1 else []), *options])}", end=": ")
    measured = costroll(warehouse, "run", *map(str, paths), *options, success=success)
    say(f"{measured.wall_seconds:.2f} s")
    return measured


def fates(said: str) -> dict[str, int]:
    """The counts of a run's last line, `read 1,204 = accepted 1,190 + …`; its JSON would be large for many files."""
    closure = re.findall(r"^read [\d,]+ = .*$", said, re.MULTILINE)
    counted = re.findall(r"(\w+) ([\d,]+)", closure[-1]) if closure else []
    return {fate: int(count.replace(",", "")) for fate, count in counted}


def require_fates(measured: Measured, lines: int, **expected: int) -> None:
    """Refuse a run whose records do not add up to the lines of the log, or have other fates than expected.

    Args:
        measured: a run.
        lines: how many records the log has.
        expected: the count of each fate; all are accepted unless it is given, and a fate that is not named must be 0.
    """
    counts = fates(measured.stdout)
    read = counts.pop("read", 0)
    if read != lines or read != sum(counts.values()):
        raise Refused(f"the records do not add up: {lines:,} lines, read {read:,}, fates {counts}")
    wanted = {fate: (expected or {"accepted": lines}).get(fate, 0) for fate in FATES}
    if counts != wanted:
        raise Refused(f"other fates than expected: {counts} instead of {wanted}")


def status(warehouse: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(costroll(warehouse, "status", "--json").stdout)
    return found


def published_cost(warehouse: Path) -> Decimal:
    """What all published days cost, in USD."""
    found = status(warehouse)
    if found["unpriced"]:
        raise Refused(f"{warehouse.name} has usage without a price: {found['unpriced']}")
    return Decimal(found["cost_usd"])


def require_cost(ours: Decimal, theirs: Decimal, whose: str, name: str = "costroll") -> None:
    """Refuse to compare when two totals, in USD, are not the same to the last digit."""
    if ours != theirs:
        raise Refused(f"the total costs differ: {name} {ours} USD, {whose} {theirs} USD")


def digest(warehouse: Path, table: str) -> str:
    """One hash of the names and bytes of a table's published files."""
    total = hashlib.sha256()
    folder = warehouse / "current" / table
    block = bytearray(_HASHED_BYTES)
    for path in sorted(folder.rglob("*.parquet")):
        total.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
        with path.open("rb", buffering=0) as file:
            while size := file.readinto(block):
                total.update(memoryview(block)[:size])
    return total.hexdigest()


def linked_copy(warehouse: Path, name: str) -> Path:
    """A copy whose snapshots are hard links to the same files, since a run adds a snapshot to its warehouse.

    Published files are never written to again, so the copy is as good as one byte by byte. What lies beside the
    snapshots is small and replaced or written in place, so it is copied.
    """
    copy = new_warehouse(name)
    copy.mkdir()
    for path in warehouse.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, copy / path.name, symlinks=True, copy_function=os.link)
        else:
            shutil.copy2(path, copy / path.name, follow_symlinks=False)
    return copy
