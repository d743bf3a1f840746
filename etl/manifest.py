"""MANIFEST.json and the snapshot it describes: what was published, when, from what, and its hashes.

The manifest is canonical JSON (sorted keys, no spaces). `manifest_sha256` is the hash of the same text
without that member, and each manifest names its parent's, so the snapshots form a chain.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal, Inexact
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from etl import durable
from etl.errors import IntegrityError, UsageError

FORMAT_VERSION = 1
MANIFEST_NAME = "MANIFEST.json"
SNAPSHOT_TABLES = ("usage", "rollups", "rejects", "inputs", "rates", "aliases", "versions", "days", "statements")
_SHARING_RATES_FOLDER = ("aliases", "versions")
_WAY_BACK = "restore the snapshot from a backup, or run again into a new warehouse"

# Money has up to 38 digits, where Python's default context rounds to 28; this one raises instead of rounding.
_EXACT = Context(prec=60, traps=[Inexact])
_MONEY_STEP = Decimal("0.000000000001")


def table_of(relative: str) -> str:
    """The table a snapshot's file belongs to: its folder, where `rates/` also holds aliases and versions.

    >>> table_of("usage/2026-11-21/00000042.parquet"), table_of("rates/aliases.parquet")
    ('usage', 'aliases')
    """
    path = PurePosixPath(relative)
    inside = not path.is_absolute() and ".." not in path.parts and str(path) == relative
    if not inside or len(path.parts) < 2 or path.suffix != ".parquet" or path.parts[0] not in SNAPSHOT_TABLES:
        raise ValueError(f"not the name of a snapshot's file: {relative!r}")
    if path.parts[0] == "rates" and path.stem.split("-")[0] in _SHARING_RATES_FOLDER:
        return path.stem.split("-")[0]
    return path.parts[0]


def day_of(relative: str) -> str | None:
    """The UTC day a usage or rollups file holds, as YYYY-MM-DD; None for other tables.

    >>> day_of("rollups/2026-11-21.parquet"), day_of("inputs/00000042.parquet")
    ('2026-11-21', None)
    """
    path = PurePosixPath(relative)
    if path.parts[0] not in ("usage", "rollups"):
        return None
    return date.fromisoformat(path.parts[1].removesuffix(".parquet")).isoformat()


@dataclass(frozen=True)
class Snapshot:
    """One published state of the warehouse; its files never change.

    Attributes:
        number: counts from 1.
        path: the snapshot's folder.
        manifest: the content of its MANIFEST.json.
    """

    number: int
    path: Path
    manifest: dict[str, Any]

    @property
    def manifest_sha256(self) -> str:
        """The hash by which the next manifest names this one."""
        return str(self.manifest["manifest_sha256"])

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The manifest's files: path, table, day, sha256, bytes, rows and sums, sorted by path."""
        entries: list[dict[str, Any]] = self.manifest["files"]
        return entries

    @cached_property
    def _paths(self) -> dict[tuple[str, str | None], list[Path]]:
        paths: dict[tuple[str, str | None], list[Path]] = {}
        for entry in self.entries:
            paths.setdefault((entry["table"], entry.get("day")), []).append(self.path / entry["path"])
        return paths

    def files(self, table: str, day: date | None = None) -> list[Path]:
        """The files of one of `SNAPSHOT_TABLES`, sorted; with `day`, those of that day only."""
        if table not in SNAPSHOT_TABLES:
            raise ValueError(f"no such table: {table!r}")
        if day is not None:
            return list(self._paths.get((table, day.isoformat()), []))
        return sorted(path for (owner, _), paths in self._paths.items() if owner == table for path in paths)

    def days(self) -> list[date]:
        """The days that have usage or rollups, in order."""
        return sorted({date.fromisoformat(day) for _, day in self._paths if day is not None})


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date):  # a datetime is one too
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a manifest cannot hold {type(value).__name__}")


def _canonical(members: dict[str, Any]) -> bytes:
    text = json.dumps(members, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_plain)
    return text.encode("utf-8") + b"\n"


def encode(members: dict[str, Any]) -> bytes:
    """The bytes of a manifest, with the hash over all its other members in it."""
    body = {name: value for name, value in members.items() if name != "manifest_sha256"}
    return _canonical({**body, "manifest_sha256": hashlib.sha256(_canonical(body)).hexdigest()})


def read_snapshot(path: Path) -> Snapshot:
    """Read the manifest in a snapshot's folder and check its own hash, number and format.

    Raises:
        IntegrityError: it is missing, unreadable or was changed.
        UsageError: a newer Costroll wrote it.
    """
    file = path / MANIFEST_NAME
    try:
        data = file.read_bytes()
        members = json.loads(data)
        version = members["format_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{file}: not a readable manifest ({type(error).__name__}); {_WAY_BACK}") from error
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise UsageError(
            f"{file}: written in format {version} by a newer Costroll; this one reads up to {FORMAT_VERSION}: "
            "upgrade it with `pip install --upgrade costroll`"
        )
    if encode(members) != data:
        raise IntegrityError(f"{file}: the manifest does not match its own hash: it was changed; {_WAY_BACK}")
    if path.name != snapshot_name(members["snapshot"]):
        raise IntegrityError(f"{file}: calls itself snapshot {members['snapshot']}, which its folder's name does not")
    return Snapshot(members["snapshot"], path, members)


def snapshot_name(number: int) -> str:
    """The name of a snapshot's folder.

    >>> snapshot_name(42)
    '00000042'
    """
    return f"{number:08d}"


def write_manifest(folder: Path, members: dict[str, Any]) -> Snapshot:
    """Write MANIFEST.json into a folder, durably; the snapshot it returns stands in that folder."""
    data = encode(members)
    durable.write_file(folder / MANIFEST_NAME, data)
    return Snapshot(members["snapshot"], folder, json.loads(data))


def totals_of(entries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The sums over a snapshot's files: rows of each table and the exact cost."""
    totals: dict[str, Any] = {f"{table}_rows": 0 for table in SNAPSHOT_TABLES}
    totals |= {"cost_usd": "0", "list_cost_usd": "0"}
    for entry in entries:
        totals[f"{entry['table']}_rows"] += entry["rows"]
        for name in ("cost_usd", "list_cost_usd"):
            totals[name] = add_money(totals[name], entry["sums"].get(name, "0"))
    return totals


def add_money(left: str, right: str) -> str:
    """The exact sum of two amounts, as text with twelve decimals.

    >>> add_money("0.1", "0.000000000002")
    '0.100000000002'
    """
    return format(_EXACT.quantize(_EXACT.add(Decimal(left), Decimal(right)), _MONEY_STEP), "f")
