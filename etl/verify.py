"""Prove again, from the bytes on the disk, that a snapshot is what its manifest says.

Nothing is taken from memory or believed from the run that wrote it: hashes, rows, sums, prices and
closures are computed anew and compared.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from etl import audit
from etl.errors import CostrollError, IntegrityError, UsageError
from etl.manifest import MANIFEST_NAME, Snapshot, snapshot_name, totals_of
from etl.periods import closed_gaps
from etl.readings import Readings
from etl.warehouse import Warehouse

# Each row of `rollups` must satisfy every rule; written so that a NULL where none may be counts as broken.
_PRICE_RULES = {
    "cost_usd is not quantity * rate_usd_per_million * 0.000001": """price_status like 'priced%'
        and cost_usd is distinct from quantity * rate_usd_per_million * 0.000001""",
    "unpriced, yet with a rate or a cost": """starts_with(price_status, 'unpriced_')
        and (rate_usd_per_million is not null or cost_usd is not null or list_cost_usd is not null)""",
    "priced, yet without a cost": """not coalesce(starts_with(price_status, 'unpriced_'), false)
        and (cost_usd is null or list_cost_usd is null)""",
    "not charged, yet with a cost": "price_status = 'not_charged' and (cost_usd <> 0 or list_cost_usd <> 0)",
    "an unknown price_status": """not coalesce(price_status = 'not_charged' or price_status = 'priced'
        or starts_with(price_status, 'priced_') or starts_with(price_status, 'unpriced_'), false)""",
    "a quantity that is not above 0, as only a correction's may be": """coalesce(quantity, 0) = 0
        or (quantity < 0 and charge_class is distinct from 'correction')""",
    "another day than its file": "day is distinct from try_cast(left(parse_filename(filename), 10) as date)",
    "another accounting period than its file": """accounting_period is distinct from coalesce(
        nullif(regexp_extract(filename, '\\.corrections-(\\d{4}-\\d{2})\\.parquet$', 1), ''),
        left(parse_filename(filename), 7))""",
    "another charge class than its file": """charge_class is distinct from
        if(contains(parse_filename(filename), '.corrections-'), 'correction', 'usage')""",
    "a correction in its own month that is not negative": """charge_class = 'correction' and quantity > 0
        and accounting_period = left(day::varchar, 7)""",
    "an accounting period before its day": "accounting_period < left(day::varchar, 7)",
}
_PRICES_SQL = (  # nothing but the rules above goes into it
    "select filename, count(*), "  # noqa: S608
    + ", ".join(f"count(*) filter (where {rule})" for rule in _PRICE_RULES.values())
    + " from read_parquet(?, filename = true, hive_partitioning = false) group by filename order by filename"
)


@dataclass
class Check:
    """One thing that was proven, or was not.

    Attributes:
        name: in a few words.
        scope: what was looked at.
        failures: one line each, naming the file; empty when proven.
    """

    name: str
    scope: str = ""
    failures: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing failed."""
        return not self.failures


@dataclass
class VerifyReport:
    """Everything that was checked, in order."""

    snapshot: int | None
    checks: list[Check]

    @property
    def is_proven(self) -> bool:
        """Whether every check holds."""
        return all(check.holds for check in self.checks)

    @property
    def failures(self) -> list[str]:
        """What failed, one line each."""
        return [failure for check in self.checks for failure in check.failures]


def verify(warehouse: Warehouse, number: int | None = None, readings: Readings | None = None) -> VerifyReport:
    """Check a snapshot; reads every file of it, and changes nothing.

    Args:
        warehouse: where.
        number: of an older snapshot; None: the published one.
        readings: what was read for other snapshots already, and need not be read again.

    Raises:
        UsageError: nothing was published here, there is no such snapshot, or a newer Costroll wrote it.
    """
    manifest = Check("manifest", "the link `current`, the manifest's own hash, its format")
    try:
        current = warehouse.current()
        if current is None:
            raise UsageError(f"{warehouse.root}: nothing is published here; run `costroll run PATH...` first")
        snapshot = current if number is None else _older(warehouse, current, number)
    except IntegrityError as error:
        manifest.failures.append(str(error))
        return VerifyReport(number, [manifest])
    if number is None:
        manifest.failures += _published_since(warehouse, snapshot)
    return VerifyReport(snapshot.number, [manifest, *prove(warehouse, snapshot, readings or Readings())])


def _published_since(warehouse: Warehouse, snapshot: Snapshot) -> list[str]:
    """Whether the link was moved back: a killed run leaves one later snapshot at most, and no database of it."""
    from etl.analyst import database_mark

    later = [found for found in warehouse.numbers() if found > snapshot.number]
    if not later:
        return []
    mark = database_mark(warehouse) or ""
    is_of_later = any(mark.startswith(f"of snapshot {found},") for found in later)
    if len(later) == 1 and not is_of_later:
        return []
    newest = snapshot_name(later[-1])
    return [
        f"current: leads to snapshot {snapshot.number}, but snapshots/{newest} was published: "
        f"point it back with `ln -sfn snapshots/{newest} current`"
    ]


def prove(warehouse: Warehouse, snapshot: Snapshot, readings: Readings) -> list[Check]:
    """Check everything of a snapshot but its manifest, which was checked as it was read."""
    files, present = _check_files(snapshot, readings)
    read_back, entries = _read_back(snapshot, present, readings)
    return [
        _check_chain(warehouse, snapshot),
        files,
        _check_unlisted(snapshot),
        read_back,
        _check_days(snapshot, entries),
        _check_prices(snapshot, entries),
        _check_closure(snapshot, entries),
        _check_closed(snapshot, [*present, *entries]),
    ]


def verify_all(warehouse: Warehouse) -> Iterator[VerifyReport]:
    """Check every snapshot that is kept, oldest first; a file that several share is read once.

    Raises:
        UsageError: nothing was published here, or a newer Costroll wrote it.
    """
    readings = Readings()
    last = verify(warehouse, readings=readings)
    for number in warehouse.numbers():
        if last.snapshot is not None and number < last.snapshot:
            yield verify(warehouse, number, readings)
    yield last


def _older(warehouse: Warehouse, current: Snapshot, number: int) -> Snapshot:
    kept = [found for found in warehouse.numbers() if found <= current.number]
    if number not in kept:
        raise UsageError(f"there is no snapshot {number}; `costroll snapshots` lists those that are kept")
    return warehouse.snapshot(number)


def _check_chain(warehouse: Warehouse, snapshot: Snapshot) -> Check:
    """Each manifest names its parent's hash, as far as the parents are still kept."""
    check = Check("chain")
    hashes: dict[int, str] = {}
    for number in warehouse.numbers():
        if number > snapshot.number:
            break  # left by a run that died before it published
        try:
            found = warehouse.snapshot(number)
        except CostrollError as error:
            check.failures.append(str(error))
            continue
        parent = found.manifest["parent"]
        if parent and hashes.get(parent["number"], parent["manifest_sha256"]) != parent["manifest_sha256"]:
            check.failures.append(
                f"snapshots/{snapshot_name(parent['number'])}/{MANIFEST_NAME}: "
                f"is not the parent that snapshot {number} names"
            )
        hashes[number] = found.manifest_sha256
    check.scope = f"{len(hashes):,} manifests, each naming its parent's hash"
    return check


def _check_files(snapshot: Snapshot, readings: Readings) -> tuple[Check, list[dict[str, Any]]]:
    """Compare every file's size and hash; also return the entries of the files that are there, as found."""
    check = Check("files")
    present, size = [], 0
    hashes = readings.hashes(path for entry in snapshot.entries if (path := snapshot.path / entry["path"]).is_file())
    for entry in snapshot.entries:
        path = snapshot.path / entry["path"]
        if path not in hashes:
            check.failures.append(f"{entry['path']}: is missing")
            continue
        size += path.stat().st_size
        present.append({**entry, "sha256": hashes[path]})
        if path.stat().st_size != entry["bytes"]:
            check.failures.append(f"{entry['path']}: has {path.stat().st_size:,} bytes instead of {entry['bytes']:,}")
        elif hashes[path] != entry["sha256"]:
            check.failures.append(f"{entry['path']}: its bytes were changed (SHA-256 differs)")
    check.scope = f"{len(snapshot.entries):,} files, {size:,} bytes, SHA-256 of each"
    return check, present


def _check_unlisted(snapshot: Snapshot) -> Check:
    """A file that the manifest does not name would still be read by a glob, and counted."""
    listed = {entry["path"] for entry in snapshot.entries} | {MANIFEST_NAME}
    check = Check("no other files", "the snapshot's folder")
    for folder, _, names in os.walk(snapshot.path):
        for name in names:
            relative = (Path(folder) / name).relative_to(snapshot.path).as_posix()
            if relative not in listed:
                check.failures.append(f"{relative}: is not in the manifest")
    check.failures.sort()
    return check


def _read_back(
    snapshot: Snapshot, present: list[dict[str, Any]], readings: Readings
) -> tuple[Check, list[dict[str, Any]]]:
    """Compare rows and sums with the manifest; also return the entries with what was read instead."""
    check = Check("rows and sums")
    measured = _measure(snapshot, [entry["path"] for entry in present], readings, check)
    entries = []
    for entry in present:
        if entry["path"] not in measured:
            continue
        found = measured[entry["path"]]
        names = entry["sums"].keys() | found.sums.keys()
        expected = {"rows": entry["rows"], "sums": {name: entry["sums"].get(name, 0) for name in sorted(names)}}
        check.failures += [f"{entry['path']}: {line}" for line in audit.differences(expected, found)]
        entries.append({**entry, "rows": found.rows, "sums": found.sums})
    totals = snapshot.manifest["totals"]
    if not check.failures:
        check.failures += [
            f"{MANIFEST_NAME}: total {name} is {totals.get(name)} instead of {value}"
            for name, value in totals_of(entries).items()
            if totals.get(name, 0) != value  # an older format does not know every table
        ]
    check.scope = f"{sum(entry['rows'] for entry in entries):,} rows read back, against the manifest"
    return check, entries


def _measure(
    snapshot: Snapshot, relatives: list[str], readings: Readings, check: Check
) -> Mapping[str, audit.Measured]:
    """Read all files at once; when that fails, one by one, to name those that cannot be read."""
    try:
        return readings.measure(snapshot, relatives)
    except IntegrityError:
        measured: dict[str, audit.Measured] = {}
    for relative in relatives:
        try:
            measured |= readings.measure(snapshot, [relative])
        except IntegrityError as error:
            check.failures.append(f"{relative}: {error}")
    return measured


def _check_days(snapshot: Snapshot, entries: list[dict[str, Any]]) -> Check:
    days = {entry["day"] for entry in entries if "day" in entry}
    expired = snapshot.manifest.get("expired", {})
    scope = f"{len(days):,} days, each meter and caching status"
    if expired:
        scope += f"; the usage of {len(expired):,} has expired: against the sums that were kept of it"
    return Check("usage = rollups", scope, audit.day_gaps(entries, expired))


def _check_prices(snapshot: Snapshot, entries: list[dict[str, Any]]) -> Check:
    """Multiply every rollup row again, exactly."""
    import duckdb

    from etl import engine

    check = Check("prices")
    paths = [str(snapshot.path / entry["path"]) for entry in entries if entry["table"] == "rollups"]
    rows = 0
    with engine.connect() as con:
        try:
            found = con.execute(_PRICES_SQL, [paths]).fetchall() if paths else []
        except duckdb.Error as error:  # a product that does not fit into DECIMAL(38,12) is one
            check.failures.append(f"rollups: cannot be multiplied again: {str(error).splitlines()[0]}")
            found = []
    for path, count, *broken in found:
        rows += count
        relative = Path(path).relative_to(snapshot.path).as_posix()
        check.failures += [
            f"{relative}: {wrong:,} rows have {rule}" for rule, wrong in zip(_PRICE_RULES, broken, strict=True) if wrong
        ]
    check.scope = f"{rows:,} rollup rows, cost = quantity x rate, exact"
    return check


def _check_closure(snapshot: Snapshot, entries: list[dict[str, Any]]) -> Check:
    """Read = accepted + duplicate + conflict + excluded + rejected, for the run and every file ever read."""
    from etl import engine

    check = Check("records add up", failures=audit.closure_gaps(snapshot.manifest))
    paths = [str(snapshot.path / entry["path"]) for entry in entries if entry["table"] == "inputs"]
    inputs: list[tuple[Any, ...]] = []
    if paths:
        with engine.connect() as con:
            inputs = con.execute(
                "select input_name,"
                " refusal is null and read is distinct from accepted + duplicate + conflict + excluded + rejected"
                " from read_parquet(?, hive_partitioning = false)",
                [paths],
            ).fetchall()
    check.failures += [f"{name}: its fates do not add up to what was read" for name, is_open in inputs if is_open]
    check.scope = f"this run and {len(inputs):,} inputs ever read"
    return check


def _check_closed(snapshot: Snapshot, entries: list[dict[str, Any]]) -> Check:
    """The files of closed months are those that were closed, and hold what the close says; the last entry counts."""
    closed = snapshot.manifest.get("closed", {})
    check = Check("closed months", failures=closed_gaps(closed, {entry["path"]: entry for entry in entries}.values()))
    files = sum(len(record["files"]) for record in closed.values())
    check.scope = f"{', '.join(sorted(closed))}: {files:,} files as they were closed" if closed else "none is closed"
    return check


def as_json(report: VerifyReport) -> Mapping[str, Any]:
    """The report for machines."""
    return {
        "snapshot": report.snapshot,
        "proven": report.is_proven,
        "checks": [
            {"name": check.name, "scope": check.scope, "holds": check.holds, "failures": check.failures}
            for check in report.checks
        ],
    }
