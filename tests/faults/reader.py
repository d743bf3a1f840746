"""A reader of the warehouse who knows nothing of Costroll: json, hashlib and pyarrow.

He resolves `current`, and believes a snapshot only when its manifest has the hash it says, every file listed is there
with its size and hash, no other file lies beside them, and the rollups' rows and costs add up to the manifest's.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


class BrokenError(AssertionError):
    """What a reader must never see."""


@dataclass(frozen=True)
class Seen:
    """What the reader saw.

    Attributes:
        number: of the published snapshot; 0 before the first.
        rollups: name and SHA-256 of each rollup.
    """

    number: int
    rollups: tuple[tuple[str, str], ...] = ()


def read(warehouse: Path) -> Seen:
    """What is published, proven whole; so is every earlier snapshot that is kept.

    Raises:
        BrokenError: something is not whole.
    """
    try:
        target = os.readlink(warehouse / "current")
    except FileNotFoundError:
        return Seen(0)
    seen = read_snapshot(warehouse / target)
    for folder in sorted((warehouse / "snapshots").iterdir()):
        if folder.name.isdecimal() and int(folder.name) < seen.number:
            read_snapshot(folder)
    return seen


def read_snapshot(folder: Path) -> Seen:
    """One snapshot, proven whole."""
    try:
        text = (folder / "MANIFEST.json").read_bytes()
        members = json.loads(text)
    except (OSError, ValueError) as error:
        raise BrokenError(f"{folder.name}: no manifest: {error}") from error
    said = members.pop("manifest_sha256", "")
    if (
        hashlib.sha256(_canonical(members)).hexdigest() != said
        or _canonical(members | {"manifest_sha256": said}) != text
    ):
        raise BrokenError(f"{folder.name}: the manifest does not have the hash it says")
    listed = {entry["path"]: entry for entry in members["files"]}
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    if found != {*listed, "MANIFEST.json"}:
        raise BrokenError(f"{folder.name}: not the files of the manifest: {sorted(found ^ {*listed, 'MANIFEST.json'})}")
    cost, rows = Decimal(0), 0
    for name, entry in listed.items():
        data = (folder / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise BrokenError(f"{folder.name}/{name}: {len(data)} of {entry['bytes']} bytes, or other ones")
        if name.startswith("rollups/"):
            file_rows, file_cost = _sums(data)
            rows, cost = rows + file_rows, cost + file_cost
    if rows != members["totals"]["rollups_rows"] or cost != Decimal(members["totals"]["cost_usd"]):
        raise BrokenError(f"{folder.name}: {rows} rows of {cost} USD are not the manifest's totals")
    rollups = tuple((name, entry["sha256"]) for name, entry in sorted(listed.items()) if name.startswith("rollups/"))
    return Seen(members["snapshot"], rollups)


def _canonical(members: dict[str, Any]) -> bytes:
    return (json.dumps(members, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


@cache
def _sums(data: bytes) -> tuple[int, Decimal]:
    table = pq.read_table(pa.BufferReader(data))
    return table.num_rows, sum((cost for cost in table["cost_usd"].to_pylist() if cost is not None), Decimal(0))


def leftovers(warehouse: Path) -> list[str]:
    """What lies in a warehouse and should not: staging, half a link, snapshots that were never published."""
    known = {".lock", "current", "snapshots", "costroll.duckdb", "costroll.toml", "last_run.json"}
    number = read(warehouse).number
    stray = [path.name for path in warehouse.iterdir() if path.name not in known]
    names = [path.name for path in (warehouse / "snapshots").iterdir()]
    return stray + [name for name in names if not name.isdecimal() or int(name) > number]
