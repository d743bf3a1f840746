"""Bring a warehouse of an older format up to date: a new snapshot in this format; the old ones stay as they are.

The truth of a month must not move with an upgrade, so nothing is rated or summed again: files whose table did not
change are the same files, and where a table has more columns now, its rows get them as NULL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from etl import analyst
from etl.errors import IntegrityError, UsageError
from etl.manifest import FORMAT_VERSION, Snapshot, members_of_state
from etl.readings import Readings
from etl.schema import TABLES, arrow_schema, columns_of, polars_schema
from etl.verify import prove
from etl.warehouse import SnapshotBuilder, Warehouse


@dataclass(frozen=True)
class Migrated:
    """What a migration did.

    Attributes:
        snapshot: what is published now.
        from_format: the format it was in before.
        rewritten: how many files got new columns.
    """

    snapshot: Snapshot
    from_format: int
    rewritten: int


def migrate(warehouse: Warehouse) -> Migrated:
    """Publish the current state in this format; nothing happens when it is in it already.

    Raises:
        UsageError: nothing is published here, or a newer Costroll wrote it.
        IntegrityError: the state is not intact; nothing was published.
    """
    with warehouse.lock():
        current = warehouse.current(of_any_format=True)
        if current is None:
            raise UsageError(f"{warehouse.root}: nothing is published here; run `costroll run PATH...` first")
        if current.format_version == FORMAT_VERSION:
            return Migrated(current, FORMAT_VERSION, 0)
        failures = [line for check in prove(warehouse, current, Readings()) for line in check.failures]
        if failures:
            raise IntegrityError(
                f"not migrated, because snapshot {current.number} is not intact: {'; '.join(failures[:5])}"
            )
        builder = warehouse.begin(current)
        try:
            expected = bring_up_to_date(builder, current)
        except BaseException:
            builder.discard()
            raise
        facts: dict[str, Any] = {"action": "migrate", "migrated_from_format": current.format_version}
        snapshot = builder.commit({**members_of_state(current), **facts, "expected": expected})
        analyst.build_database(warehouse)
    return Migrated(snapshot, current.format_version, len(expected))


def bring_up_to_date(builder: SnapshotBuilder, snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    """Write the files anew, under their names, whose tables have more columns now.

    Args:
        builder: carries the files of `snapshot` over.
        snapshot: of this format or an older one.

    Returns:
        What each new file must hold, for the commit.
    """
    expected = {}
    for entry in snapshot.entries:
        table = entry["table"]
        if table not in TABLES or columns_of(table, snapshot.format_version) == TABLES[table]:
            continue
        schema = arrow_schema(table)
        known = pl.read_parquet(snapshot.path / entry["path"], glob=False)
        missing = [
            pl.lit(None, dtype).alias(name) for name, dtype in polars_schema(table).items() if name not in known.columns
        ]
        rows = known.with_columns(missing).select(schema.names)
        builder.write(entry["path"], rows.to_arrow().cast(schema))
        expected[entry["path"]] = {"rows": entry["rows"]}
    return expected
