"""MANIFEST.json and the snapshot it describes: what was published, when, from what, and its hashes.

The manifest is canonical JSON (sorted keys, no spaces). `manifest_sha256` is the hash of the same text
without that member, and each manifest names its parent's, so the snapshots form a chain.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Context, Decimal, Inexact
from functools import cached_property
from pathlib import Path
from typing import Any

from etl import durable
from etl.errors import IntegrityError, UsageError

# 2 (0.2.0): the manifest's `action`, `days_written`, `closed` and `expired`; `inputs` remembers what was not counted.
FORMAT_VERSION = 2
MANIFEST_NAME = "MANIFEST.json"
INSTANT_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
SNAPSHOT_TABLES = (
    "usage",
    "rollups",
    "rejects",
    "inputs",
    "rates",
    "aliases",
    "versions",
    "contracts",
    "days",
    "statements",
    "identities",
)
_SUFFIX = ".parquet"
_NO_NAMES = {"", ".", ".."}
_CORRECTIONS = ".corrections-"
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_SHARING_RATES_FOLDER = ("aliases", "versions", "contracts")
_WAY_BACK = "restore the snapshot from a backup, or run again into a new warehouse"

# Money has up to 38 digits, where Python's default context rounds to 28; this one raises instead of rounding.
_EXACT = Context(prec=60, traps=[Inexact])
_MONEY = ("cost_usd", "list_cost_usd")
_AMOUNT = re.compile(r"-?[0-9]{1,26}(\.[0-9]{1,12})?")
_MONEY_STEP = Decimal("0.000000000001")


def table_of(relative: str) -> str:
    """The table a snapshot's file belongs to: its folder, where `rates/` also holds aliases and versions.

    >>> table_of("usage/2026-11-21/00000042.parquet"), table_of("rates/aliases.parquet")
    ('usage', 'aliases')
    """
    folder, *names = relative.split("/")  # a manifest has thousands of them, for which pathlib is slow
    is_inside = folder in SNAPSHOT_TABLES and not _NO_NAMES & set(names)
    if not is_inside or not names or not names[-1].endswith(_SUFFIX) or names[-1] == _SUFFIX:
        raise ValueError(f"not the name of a snapshot's file: {relative!r}")
    kind = names[-1].removesuffix(_SUFFIX).split("-")[0]
    return kind if folder == "rates" and kind in _SHARING_RATES_FOLDER else folder


def day_of(relative: str) -> str | None:
    """The UTC day a usage, rollups or identities file holds, as YYYY-MM-DD; None for other tables.

    >>> day_of("rollups/2026-11-21.parquet"), day_of("inputs/00000042.parquet")
    ('2026-11-21', None)
    >>> day_of("rollups/2026-10-15.corrections-2026-11.parquet")
    '2026-10-15'
    """
    folder, name = relative.split("/")[:2]
    if folder not in ("usage", "rollups", "identities"):
        return None
    name = name.removesuffix(_SUFFIX)
    day, mark, period = name.partition(_CORRECTIONS) if folder == "rollups" else (name, "", "")
    if mark and not _MONTH.fullmatch(period):
        raise ValueError(f"not the name of a snapshot's file: {relative!r}")
    return date.fromisoformat(day).isoformat()


def period_of(relative: str) -> str | None:
    """The month in which a rollups file is booked, as YYYY-MM; None for other tables.

    >>> period_of("rollups/2026-10-15.parquet"), period_of("rollups/2026-10-15.corrections-2026-11.parquet")
    ('2026-10', '2026-11')
    """
    day = day_of(relative) if relative.startswith("rollups/") else None
    if day is None:
        return None
    _, mark, period = relative.removesuffix(".parquet").partition(_CORRECTIONS)
    return period if mark else day[:7]


def rollups_name(day: date, period: str, charge_class: str) -> str:
    """The name of the rollups file for what a day used, or for what was booked for it as a correction in `period`.

    >>> rollups_name(date(2026, 10, 15), "2026-11", "correction")
    'rollups/2026-10-15.corrections-2026-11.parquet'
    """
    return f"rollups/{day}{f'{_CORRECTIONS}{period}' if charge_class == 'correction' else ''}.parquet"


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
    def format_version(self) -> int:
        """The warehouse format it was written in."""
        return int(self.manifest["format_version"])

    @property
    def published_at(self) -> datetime:
        """When it was built, in naive UTC: its own clock, which nothing orders by."""
        return datetime.fromisoformat(self.manifest["created_at"].removesuffix("Z"))

    @property
    def action(self) -> str:
        """The command that made it; before manifests said so, every snapshot was made by `run`."""
        return str(self.manifest.get("action", "run"))

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

    def expired_days(self) -> list[date]:
        """The days whose usage has expired, in order: their rollups stand, and no record of theirs can be shown."""
        return sorted(map(date.fromisoformat, self.manifest.get("expired", {})))

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


def _canonical(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_plain)
    return text.encode("utf-8")


def _object(texts: dict[str, bytes]) -> bytes:
    return b"{" + b",".join(_canonical(name) + b":" + text for name, text in sorted(texts.items())) + b"}\n"


def encode(members: dict[str, Any]) -> bytes:
    """The bytes of a manifest, with the hash over all its other members in it."""
    texts = {name: _canonical(value) for name, value in members.items() if name != "manifest_sha256"}
    own_hash = hashlib.sha256(_object(texts)).hexdigest()
    return _object(texts | {"manifest_sha256": _canonical(own_hash)})


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
        encoded = encode(members)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"{file}: not a readable manifest ({type(error).__name__}); {_WAY_BACK}") from error
    if type(version) is int and version > FORMAT_VERSION:
        raise UsageError(
            f"{file}: written in format {version} by a newer Costroll; this one reads up to {FORMAT_VERSION}: "
            "upgrade it with `pip install --upgrade costroll`"
        )
    if encoded != data:
        raise IntegrityError(f"{file}: the manifest does not match its own hash: it was changed; {_WAY_BACK}")
    if type(version) is not int or not _is_sound(members):
        raise IntegrityError(f"{file}: its members are not those of a manifest; {_WAY_BACK}")
    if path.name != snapshot_name(members["snapshot"]):
        raise IntegrityError(f"{file}: calls itself snapshot {members['snapshot']}, which its folder's name does not")
    return Snapshot(members["snapshot"], path, members)


def _is_sound(members: dict[str, Any]) -> bool:
    """Whether the number and the files are what everybody reads them as."""
    files = members.get("files")
    return type(members.get("snapshot")) is int and isinstance(files, list) and all(map(_is_entry, files))


def _is_entry(entry: Any) -> bool:
    try:
        belongs = (table_of(entry["path"]), day_of(entry["path"])) == (entry["table"], entry.get("day"))
        counts = (entry["rows"], entry["bytes"], *(n for name, n in entry["sums"].items() if name not in _MONEY))
        amounts = [entry["sums"].get(name, "0") for name in _MONEY]
        is_hashed = isinstance(entry["sha256"], str)
    except (KeyError, TypeError, AttributeError, ValueError):
        return False
    is_counted = all(type(count) is int for count in counts)
    return (
        belongs and is_counted and is_hashed and all(isinstance(one, str) and _AMOUNT.fullmatch(one) for one in amounts)
    )


def snapshot_name(number: int) -> str:
    """The name of a snapshot's folder.

    >>> snapshot_name(42)
    '00000042'
    """
    return f"{number:08d}"


def write_manifest(folder: Path, members: dict[str, Any]) -> Snapshot:
    """Write MANIFEST.json into a folder, durably, and read it back; the snapshot it returns stands in that folder.

    Raises:
        IntegrityError: the disk gives back something else.
    """
    data = encode(members)
    file = folder / MANIFEST_NAME
    durable.write_file(file, data)
    with durable.explained("read", file):
        found = file.read_bytes()
    if found != data:
        raise IntegrityError(f"{file}: read back from disk, it is not what was written; nothing was published")
    return Snapshot(members["snapshot"], folder, json.loads(data))


def members_of_state(snapshot: Snapshot) -> dict[str, Any]:
    """What a manifest says of the state, not of the run that made it: a commit that reads nothing carries it over."""
    names = ("rate_version", "tried_rate_version", "settings_hash")
    return {name: snapshot.manifest[name] for name in names if name in snapshot.manifest}


def changed_days(before: Iterable[dict[str, Any]], after: Iterable[dict[str, Any]]) -> list[str]:
    """The days whose files differ between two snapshots, each YYYY-MM-DD, in order.

    Args:
        before: the files of the one, as in its manifest.
        after: the files of the other.
    """
    files = [
        {(entry["day"], entry["path"], entry["sha256"]) for entry in side if "day" in entry} for side in (before, after)
    ]
    return sorted({day for day, _, _ in files[0] ^ files[1]})


def totals_of(entries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The sums over a snapshot's files: rows of each table and the exact cost."""
    # Snapshots without a contract have no total of them: the table came with format 2.
    totals: dict[str, Any] = {f"{table}_rows": 0 for table in SNAPSHOT_TABLES if table != "contracts"}
    totals |= {"cost_usd": "0", "list_cost_usd": "0"}
    for entry in entries:
        rows = f"{entry['table']}_rows"
        totals[rows] = totals.get(rows, 0) + entry["rows"]
        for name in _MONEY:
            if name in entry["sums"] or totals[name] == "0":
                totals[name] = add_money(totals[name], entry["sums"].get(name, "0"))
    return totals


def add_money(left: str, right: str) -> str:
    """The exact sum of two amounts, as text with twelve decimals.

    >>> add_money("0.1", "0.000000000002")
    '0.100000000002'
    """
    return format(_EXACT.quantize(_EXACT.add(Decimal(left), Decimal(right)), _MONEY_STEP), "f")
