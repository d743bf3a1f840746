"""Keep what a reconciliation rests on in the warehouse, and cite it when the month is closed.

A kept reconciliation stands in the manifest of its snapshot and of all that follow: the hashes of the bill and of the
usage exports, the snapshot and rate version that were compared, the sums by class, who prepared it and who reviewed it.
It holds for the published days it was made with: when one of these changes, it is no evidence any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from etl import __version__, analyst
from etl.errors import UsageError
from etl.manifest import INSTANT_FORMAT, Snapshot, members_of_state
from etl.periods import days_of
from etl.schema import arrow_schema, polars_schema
from etl.statements import Statement
from etl.warehouse import Warehouse

UNRECONCILED = "unreconciled"


def keep(
    root: Path,
    compared: Snapshot,
    found: Mapping[str, Any],
    statement: Statement,
    *,
    preparer: str | None,
    reviewer: str | None,
    now: datetime | None = None,
) -> Snapshot:
    """Publish a snapshot that holds the evidence of a reconciliation, and is otherwise the one that was compared.

    Args:
        root: the warehouse.
        compared: the snapshot.
        found: what was found, as JSON can hold it; amounts are text.
        statement: the bill; its lines are kept in the table `statements`.
        preparer, reviewer: who; None when it is not said.
        now: the instant, naive UTC.

    Raises:
        UsageError: the preparer reviews it too, or another snapshot was published meanwhile.
    """
    if preparer is not None and preparer == reviewer:
        raise UsageError(f"{preparer} cannot review what {preparer} prepared: name another --reviewer, or none")
    covered = sorted(day.isoformat() for day in statement.span)
    at = now or datetime.now(UTC).replace(tzinfo=None)
    record = {
        **found,
        "at": at.strftime(INSTANT_FORMAT),
        "days": covered,
        "snapshot": compared.number,
        "manifest_sha256": compared.manifest_sha256,
        "rate_version": compared.manifest.get("rate_version"),
        "rollups_sha256": rollups_sha256(compared, covered),
        "tool_version": __version__,
        "preparer": preparer,
        "reviewer": reviewer,
    }
    warehouse = Warehouse(root)
    with warehouse.lock():
        parent = warehouse.current()
        if parent is None or parent.number != compared.number:
            raise UsageError("another snapshot was published while this one was compared; run it again")
        builder = warehouse.begin(parent)
        lines = _lines(statement, builder.number)
        name = f"statements/{builder.number:08d}.parquet"
        builder.write(name, lines)
        facts = {"action": "reconcile", "reconciliations": [record], "expected": {name: {"rows": lines.num_rows}}}
        snapshot = builder.commit({**members_of_state(parent), **facts})
        analyst.build_database(warehouse)
    return snapshot


def _lines(statement: Statement, number: int) -> pa.Table:
    """The lines of a bill as rows of the table `statements`."""
    hashes = {file.name: file.sha256 for file in statement.files}
    rows = [
        {
            "statement_name": line.statement_name,
            "statement_sha256": hashes[line.statement_name],
            "provider": statement.provider,
            "line_number": line.line_number,
            "day": line.day,
            "last_day": line.last_day,
            "kind": line.kind,
            "line_item": line.line_item,
            "model": line.dimensions.model,
            "tier": line.dimensions.tier,
            "meter": line.dimensions.meter,
            "caching_status": line.dimensions.caching_status,
            "project_id": line.project_id,
            "quantity": None if line.quantity is None else f"{line.quantity:f}",
            "unit": line.quantity_unit,
            "amount_usd": f"{line.amount_usd:f}",
            "at_snapshot": number,
        }
        for line in statement.lines
    ]
    return pl.DataFrame(rows, schema=polars_schema("statements")).to_arrow().cast(arrow_schema("statements"))


def rollups_sha256(snapshot: Snapshot, days: Iterable[str]) -> str:
    """One hash over the rollup files of these days: their names and hashes, as `sha256sum` would list them."""
    wanted = set(days)
    files = sorted(
        f"{entry['sha256']}  {entry['path']}\n"
        for entry in snapshot.entries
        if entry["table"] == "rollups" and entry.get("day") in wanted
    )
    return hashlib.sha256("".join(files).encode()).hexdigest()


def evidence_of(snapshot: Snapshot, month: str) -> list[dict[str, Any]]:
    """The latest kept reconciliation of each provider and account that covers every day of a month and still holds."""
    needed = {day.isoformat() for day in days_of(month)}
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    for record in snapshot.manifest.get("reconciliations", ()):
        holds = record["rollups_sha256"] == rollups_sha256(snapshot, record["days"])
        if needed <= set(record["days"]) and holds:
            latest[record["provider"], record["account"] or ""] = record
    return [latest[key] for key in sorted(latest)]


def cited(evidence: Iterable[Mapping[str, Any]], providers: Iterable[str]) -> str:
    """What a close report says of the reconciliation.

    Args:
        evidence: as `evidence_of` gives it.
        providers: those with costs in the month.
    """
    held = list(evidence)
    missing = sorted(set(providers) - {record["provider"] for record in held})
    if not held:
        return UNRECONCILED
    parts = [_sentence(record) for record in held]
    parts += [f"{UNRECONCILED}: {', '.join(missing)}"] if missing else []
    return "; ".join(parts)


def _sentence(record: Mapping[str, Any]) -> str:
    verdict = "reconciled" if record["is_reconciled"] else "does not reconcile"
    difference = Decimal(record["difference_usd"])
    shown = f"{difference.normalize():f}" if difference else "0"
    who = f"prepared by {record['preparer'] or 'nobody named'}, "
    who += f"reviewed by {record['reviewer']}" if record["reviewer"] else "not reviewed"
    files = ", ".join(f"{one['name']} ({one['sha256'][:12]})" for one in record["statements"])
    whose = f"{record['provider']}, account {record['account']} only," if record["account"] else record["provider"]
    return (
        f"{whose} {verdict}: difference {shown} USD, unexplained {record['unexplained_usd']} USD, "
        f"against {files}, snapshot {record['snapshot']}, {who}"
    )
