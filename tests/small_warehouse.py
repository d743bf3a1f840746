"""A warehouse of a few rows, built by hand: two days of one model, every sum worked out below.

| day        | records | uncached | cached | output | rates uncached/cached/out | cost                                |
|------------|---------|----------|--------|--------|---------------------------|-------------------------------------|
| 2026-11-20 | 2       | 1,000    | 200    | 50     | 2.5 / 1.25 / 10           | 0.0025 + 0.00025 + 0.0005 = 0.00325 |
| 2026-11-21 | 1       | 10       | -      | 3      | 2.5 / 10                  | 0.000025 + 0.00003 = 0.000055       |
"""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from etl.manifest import Snapshot
from etl.schema import arrow_schema
from etl.snapshot_builder import SnapshotBuilder
from etl.warehouse import Warehouse

FRIDAY = date(2026, 11, 20)
SATURDAY = date(2026, 11, 21)
COUNTS = {"read": 4, "accepted": 3, "duplicate": 0, "conflict": 0, "excluded": 0, "rejected": 1}
RATES = {("input", "uncached"): "2.5", ("input", "cached"): "1.25", ("output", "not_applicable"): "10"}


def table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """A table with the schema of `etl.schema`; what a row does not say is NULL."""
    schema = arrow_schema(name)
    return pa.Table.from_pylist([{field: row.get(field) for field in schema.names} for row in rows], schema)


def usage(day: date, request_id: str, **quantities: int) -> dict[str, Any]:
    """One accepted request at noon."""
    return {
        "day": day,
        "occurred_at": datetime.combine(day, time(12)),
        "provider": "openai",
        "model": "gpt-4o",
        "tier": "standard",
        "source_kind": "request",
        "request_id": request_id,
        "requests": 1,
        "accepted_snapshot": 1,
        **quantities,
    }


def rollup(day: date, meter: str, status: str, quantity: int, **changes: Any) -> dict[str, Any]:
    """One rollup row; charged at `RATES`, or the count of requests."""
    rate = RATES.get((meter, status))
    cost = Decimal(0) if rate is None else quantity * Decimal(rate) * Decimal("0.000001")
    row = {
        "day": day,
        "provider": "openai",
        "model": "gpt-4o",
        "tier": "standard",
        "meter": meter,
        "caching_status": status,
        "quantity": quantity,
        "unit": "requests" if rate is None else "tokens",
        "rate_usd_per_million": rate and Decimal(rate),
        "cost_usd": cost,
        "list_cost_usd": cost,
        "price_status": "not_charged" if rate is None else "priced",
        "accounting_period": f"{day:%Y-%m}",
        "charge_class": "usage",
    }
    return row | changes


FRIDAY_USAGE = [
    usage(FRIDAY, "a", input_uncached_tokens=600, input_cached_tokens=200, output_tokens=20),
    usage(FRIDAY, "b", input_uncached_tokens=400, output_tokens=30),
]
FRIDAY_ROLLUP = [
    rollup(FRIDAY, "input", "uncached", 1000),
    rollup(FRIDAY, "input", "cached", 200),
    rollup(FRIDAY, "output", "not_applicable", 50),
    rollup(FRIDAY, "requests", "cached", 1),
    rollup(FRIDAY, "requests", "uncached", 1),
]
SATURDAY_USAGE = [usage(SATURDAY, "c", input_uncached_tokens=10, output_tokens=3)]
SATURDAY_ROLLUP = [
    rollup(SATURDAY, "input", "uncached", 10),
    rollup(SATURDAY, "output", "not_applicable", 3),
    rollup(SATURDAY, "requests", "uncached", 1),
]
REJECT = {"input_name": "night.jsonl", "line_number": 4, "fate": "rejected", "reason": "invalid_json", "at_snapshot": 1}


def fill_first_night(builder: SnapshotBuilder) -> dict[str, Any]:
    """Write both days, and return the facts to commit them with."""
    builder.write("usage/2026-11-20/00000001.parquet", table("usage", FRIDAY_USAGE))
    builder.write("usage/2026-11-21/00000001.parquet", table("usage", SATURDAY_USAGE))
    builder.write("rollups/2026-11-20.parquet", table("rollups", FRIDAY_ROLLUP))
    builder.write("rollups/2026-11-21.parquet", table("rollups", SATURDAY_ROLLUP))
    builder.write("rejects/00000001.parquet", table("rejects", [REJECT]))
    builder.write("inputs/00000001.parquet", table("inputs", [{"input_name": "night.jsonl", **COUNTS}]))
    return {
        "closure": COUNTS,
        "inputs": [{"name": "night.jsonl", "fates": COUNTS}],
        "rate_version": 1,
        "days": {"2026-11-20": {"rate_version": 1}, "2026-11-21": {"rate_version": 1}},
    }


def publish_first_night(root: Path) -> Snapshot:
    """A warehouse with one snapshot."""
    warehouse = Warehouse(root)
    with warehouse.lock():
        builder = warehouse.begin(warehouse.current())
        return builder.commit(fill_first_night(builder))


def publish_late_record(root: Path) -> Snapshot:
    """The next snapshot: one more record of Saturday, with 5 uncached and 1 output token."""
    warehouse = Warehouse(root)
    with warehouse.lock():
        builder = warehouse.begin(warehouse.current())
        late = usage(SATURDAY, "d", input_uncached_tokens=5, output_tokens=1)
        builder.write("usage/2026-11-21/00000002.parquet", table("usage", [late]))
        rows = [
            rollup(SATURDAY, "input", "uncached", 15),
            rollup(SATURDAY, "output", "not_applicable", 4),
            rollup(SATURDAY, "requests", "uncached", 2),
        ]
        builder.write("rollups/2026-11-21.parquet", table("rollups", rows))
        return builder.commit({"days": {"2026-11-21": {"rate_version": 1}}, "rate_version": 1})
