"""Reading back what was written: rows and sums of each file from the disk, and the sums that must close.

Both the commit and `costroll verify` use it, so what is published is checked in the same way each time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from etl.errors import IntegrityError
from etl.fates import Counts
from etl.manifest import FORMAT_VERSION, add_money, table_of
from etl.meters import QUANTITY_COLUMNS

MONEY_SUMS = ("cost_usd", "list_cost_usd")

_USAGE_SUM_COLUMNS = ("requests", *(column for column, _, _ in QUANTITY_COLUMNS))
_USAGE_SQL = (  # column names come from the registry
    "select filename, count(*), "  # noqa: S608
    + ", ".join(f"coalesce(sum({column}), 0)" for column in _USAGE_SUM_COLUMNS)
    + " from read_parquet(?, filename = true, hive_partitioning = false) group by filename"
)
_ROLLUPS_SQL = """
    select filename, meter || '/' || caching_status, count(*), sum(quantity),
        coalesce(sum(cost_usd), 0)::varchar, coalesce(sum(list_cost_usd), 0)::varchar
    from read_parquet(?, filename = true, hive_partitioning = false)
    group by all
"""
_ROWS_SQL = "select file_name, num_rows from parquet_file_metadata(?)"
_COLUMNS_SQL = "select file_name, name, duckdb_type from parquet_schema(?) where duckdb_type is not null"


@dataclass
class Measured:
    """What one file holds, as read back from the disk.

    Attributes:
        rows: number of rows.
        sums: exact sums. Of usage: each quantity column that is not all zero, as int. Of rollups: the
            quantity of each `meter/caching_status` as int, and the costs as decimal text.
    """

    rows: int = 0
    sums: dict[str, Any] = field(default_factory=dict)


def measure(folder: Path, relatives: Iterable[str], format_version: int = FORMAT_VERSION) -> dict[str, Measured]:
    """Read Parquet files back with DuckDB, and check their columns against `etl.schema` in that format.

    Raises:
        IntegrityError: a file cannot be read, or its columns are not those of its table.
    """
    import duckdb

    from etl import engine

    by_table: dict[str, list[str]] = defaultdict(list)
    for relative in relatives:
        by_table[table_of(relative)].append(relative)
    found: dict[str, Measured] = {}
    with engine.connect() as connection:
        for table, names in sorted(by_table.items()):
            name_of = {str(folder / name): name for name in names}
            try:
                _check_columns(connection, table, name_of, format_version)
                found |= _measure_table(connection, table, name_of)
            except duckdb.Error as error:
                raise IntegrityError(f"{table}: cannot be read back: {str(error).splitlines()[0]}") from error
    return found


def _measure_table(connection: Any, table: str, name_of: Mapping[str, str]) -> dict[str, Measured]:
    paths = list(name_of)
    # A file without rows is in no group, but it is in the metadata.
    found = {name_of[path]: Measured(rows) for path, rows in connection.execute(_ROWS_SQL, [paths]).fetchall()}
    read_rows: dict[str, int] = defaultdict(int)
    if table == "usage":
        for path, rows, *sums in connection.execute(_USAGE_SQL, [paths]).fetchall():
            read_rows[path] = rows
            found[name_of[path]].sums = {name: n for name, n in zip(_USAGE_SUM_COLUMNS, sums, strict=True) if n}
    if table == "rollups":
        for path, key, rows, quantity, *costs in connection.execute(_ROLLUPS_SQL, [paths]).fetchall():
            read_rows[path] += rows
            sums = found[name_of[path]].sums
            sums[key] = quantity
            for name, cost in zip(MONEY_SUMS, costs, strict=True):
                sums[name] = add_money(sums.get(name, "0"), cost)
    for path, rows in read_rows.items():
        if rows != found[name_of[path]].rows:
            raise IntegrityError(f"{path}: {rows:,} rows could be read of {found[name_of[path]].rows:,}")
    return found


def _check_columns(connection: Any, table: str, name_of: Mapping[str, str], format_version: int) -> None:
    from etl.schema import TABLES, columns_of

    if table not in TABLES:
        return
    expected = [(column.name, column.sql_type) for column in columns_of(table, format_version)]
    columns: dict[str, list[tuple[str, str]]] = {path: [] for path in name_of}
    for path, name, type_name in connection.execute(_COLUMNS_SQL, [list(name_of)]).fetchall():
        columns[path].append((name, type_name))
    for path, actual in columns.items():
        if actual != expected:
            wrong = sorted(set(actual) ^ set(expected)) or "their order"
            raise IntegrityError(f"{path}: its columns are not those of table {table}: {wrong}")


def differences(expected: Mapping[str, Any], measured: Measured) -> list[str]:
    """What the writer said of a file (`rows`, `sums`, both optional) and the disk does not confirm."""
    pairs = [("rows", expected["rows"], measured.rows)] if "rows" in expected else []
    pairs += [(name, value, measured.sums.get(name, 0)) for name, value in expected.get("sums", {}).items()]
    return [f"{name} is {found} instead of {want}" for name, want, found in pairs if Decimal(want) != Decimal(found)]


def day_gaps(entries: Iterable[Mapping[str, Any]], expired: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Days whose usage and rollups do not count the same quantities, one line for each difference.

    Requests are compared in total: whether one counts as cached is the rollup's own knowledge.

    Args:
        entries: all files of a snapshot, as in its manifest.
        expired: day -> what the manifest keeps of usage that has expired, its `sums` and number of `records`.
    """
    identities: dict[str, int] = defaultdict(int)
    sums: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: {"usage": 0, "rollups": 0})
    for entry in entries:
        day, table = entry.get("day"), entry["table"]
        if table == "identities":
            identities[entry["day"]] += entry["rows"]
        for name, value in entry["sums"].items():
            if day is not None and name not in MONEY_SUMS:
                sums[day, _meter_of(name)][table] += value
    for day, facts in expired.items():
        for name, value in facts["sums"].items():
            sums[day, _meter_of(name)]["usage"] += value
    lost = [
        f"{day}: {identities[day]:,} identities are kept of {records:,} records whose usage has expired"
        for day in sorted(identities.keys() | expired.keys())
        if (records := expired.get(day, {"records": 0})["records"]) != identities[day]
    ]
    return lost + [
        f"{day}: {meter} is {both['usage']:,} in usage and {both['rollups']:,} in rollups"
        for (day, meter), both in sorted(sums.items())
        if both["usage"] != both["rollups"]
    ]


_METER_OF_COLUMN = {column: f"{meter}/{status}" for column, meter, status in QUANTITY_COLUMNS}


def _meter_of(name: str) -> str:
    if name == "requests" or name.startswith("requests/"):
        return "requests"
    return _METER_OF_COLUMN.get(name, name)


def closure_gaps(manifest: Mapping[str, Any]) -> list[str]:
    """Inputs and runs whose records do not meet exactly one fate each, one line for each."""
    lines = []
    total = Counts()
    for item in manifest.get("inputs", []):
        counts = Counts(**item.get("fates", {}))
        total += counts
        if not counts.closes():
            lines.append(f"{item.get('name')}: {counts.line()} does not add up")
    if "closure" in manifest:
        run = Counts(**manifest["closure"])
        if not run.closes():
            lines.append(f"this run: {run.line()} does not add up")
        if manifest.get("inputs") and run != total:
            lines.append(f"this run: {run.line()}, but its inputs: {total.line()}")
    return lines
