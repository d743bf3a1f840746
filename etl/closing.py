"""Close a month: freeze what is booked in it, with one hash over it. And open it again, on purpose and on record."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from etl import analyst, engine
from etl.booking import book, closed_months, misplaced_days, published_whole
from etl.errors import UsageError
from etl.evidence import cited, evidence_of
from etl.manifest import Snapshot, members_of_state, period_of
from etl.periods import booking_period, days_of, figures, month_after, month_of
from etl.warehouse import Warehouse


@dataclass(frozen=True)
class CloseReport:
    """A month as it is closed.

    Attributes:
        month: such as 2026-10.
        record: what the manifest keeps of the close.
        columns, lines: what the month holds, by charge class, month of the usage, provider, model and tier.
        next_period: where records of the month are booked from now on.
        open_before: earlier months that have data and are not closed.
        snapshot: what was published; None when it was only tried.
    """

    month: str
    record: dict[str, Any]
    columns: list[str]
    lines: list[tuple[Any, ...]]
    next_period: str
    open_before: list[str]
    snapshot: Snapshot | None = None


@dataclass(frozen=True)
class ReopenReport:
    """A month that was opened again.

    Attributes:
        month: such as 2026-10.
        entry: what the manifest's `period_log` says of it.
        days: the days whose corrections were booked anew, now that the month is open.
        snapshot: what was published.
    """

    month: str
    entry: dict[str, Any]
    snapshot: Snapshot
    days: list[date] = field(default_factory=list)


def close(
    root: Path,
    month: str,
    *,
    by: str | None = None,
    note: str | None = None,
    dry_run: bool = False,
    now: datetime | None = None,
) -> CloseReport:
    """Freeze a month.

    Args:
        root: the warehouse.
        month: such as 2026-10.
        by: who closes it.
        note: for the record.
        dry_run: say what would be closed, and publish nothing.
        now: the instant of the close in naive UTC.

    Raises:
        UsageError: nothing is published, or the month is not over, holds nothing, or is closed already.
    """
    at = now or datetime.now(UTC).replace(tzinfo=None)
    warehouse = Warehouse(root)
    if dry_run:
        return _report(warehouse.published(), month, at, by, note)
    warehouse.published()  # a folder that is no warehouse gets no lock file
    with warehouse.lock():
        parent = warehouse.published()
        warehouse.sweep()  # also where there is nothing to close: a close that was killed may have left something
        report = _report(parent, month, at, by, note)
        closed = {**parent.manifest.get("closed", {}), month: report.record}
        snapshot = _publish(warehouse, parent, closed, _log_entry("close", month, report.record, note))
    return CloseReport(**{**vars(report), "snapshot": snapshot})


def reopen(root: Path, month: str, *, reason: str, by: str | None = None, now: datetime | None = None) -> ReopenReport:
    """Let a closed month change again; corrections that are open move to where they belong now.

    Raises:
        UsageError: nothing is published, the month is not closed, or no reason is given.
    """
    if not reason.strip():
        raise UsageError("reopening a month needs a reason: --reason TEXT; it is kept in the manifest")
    at = now or datetime.now(UTC).replace(tzinfo=None)
    warehouse = Warehouse(root)
    warehouse.published()
    with warehouse.lock():
        parent = warehouse.published()
        warehouse.sweep()
        closed = dict(parent.manifest.get("closed", {}))
        if month not in closed:
            names = ", ".join(sorted(closed)) or "none"
            raise UsageError(f"{month} is not closed; closed months: {names}")
        record = closed.pop(month)
        days = misplaced_days(parent, closed.keys())
        number = parent.number + 1
        entry = _log_entry("reopen", month, {**record, "closed_at": _text(at), "by": by, "snapshot": number}, reason)
        snapshot = _publish(warehouse, parent, closed, entry, days)
    return ReopenReport(month, entry, snapshot, days)


def _publish(
    warehouse: Warehouse,
    parent: Snapshot,
    closed: dict[str, Any],
    entry: dict[str, Any],
    days: list[date] | None = None,
) -> Snapshot:
    """Commit the closes, and the days that they make to be booked anew; everything else is carried over."""
    builder = warehouse.begin(parent)
    try:
        expected = book(parent, builder, days, published_whole(parent, days), closed.keys()) if days else {}
    except BaseException:
        builder.discard()
        raise
    facts = {**members_of_state(parent), "action": entry["action"], "closed": closed, "period_log": [entry]}
    snapshot = builder.commit({**facts, "expected": expected})
    analyst.build_database(warehouse)
    return snapshot


def _log_entry(action: str, month: str, record: dict[str, Any], reason: str | None) -> dict[str, Any]:
    return {
        "action": action,
        "month": month,
        "at": record["closed_at"],
        "by": record["by"],
        "reason": reason,
        "snapshot": record["snapshot"],
        "files_sha256": record["files_sha256"],
        "cost_usd": record["cost_usd"],
    }


def _report(parent: Snapshot, month: str, at: datetime, by: str | None, note: str | None) -> CloseReport:
    closed = closed_months(parent)
    _require_closable(parent, month, at)
    found = figures(parent.entries, month)
    columns, lines, rate_versions = _lines(parent, [one["path"] for one in found["files"]])
    of_month = [entry for entry in parent.entries if entry["table"] == "usage" and entry["day"].startswith(month)]
    with_data = {entry["day"] for entry in parent.entries if entry.get("day", "").startswith(month)}
    days = [day.isoformat() for day in days_of(month)]
    unpriced, provider = columns.index("unpriced_quantity"), columns.index("provider")
    evidence = evidence_of(parent, month)
    record = {
        "closed_at": _text(at),
        "by": by,
        "note": note,
        "snapshot": parent.number + 1,
        "parent_manifest_sha256": parent.manifest_sha256,
        **found,
        "records": sum(entry["rows"] for entry in of_month),
        "unpriced_quantity": sum(line[unpriced] for line in lines),
        "rate_versions": rate_versions,
        "days": [day for day in days if day in with_data],
        "days_without_data": [day for day in days if day not in with_data],
        "reconciliation": cited(evidence, {line[provider] for line in lines}),
        "reconciliations": evidence,
    }
    months = {month_of(day) for day in parent.days()}
    return CloseReport(
        month,
        record,
        columns,
        lines,
        booking_period(days_of(month)[0], closed | {month}),
        sorted(earlier for earlier in months - closed if earlier < month),
    )


def _require_closable(parent: Snapshot, month: str, at: datetime) -> None:
    record = parent.manifest.get("closed", {}).get(month)
    if record:
        by = f" by {record['by']}" if record["by"] else ""
        raise UsageError(
            f"{month} is closed since {record['closed_at']}{by} (snapshot {record['snapshot']}); what comes late "
            f"for it is booked as a correction. `costroll reopen {month} --reason TEXT` opens it again"
        )
    if at.date() < date.fromisoformat(f"{month_after(month)}-01"):
        raise UsageError(f"{month} is not over: it can be closed from {month_after(month)}-01 (UTC) on")
    if not any(period_of(entry["path"]) == month for entry in parent.entries):
        held = sorted({period for entry in parent.entries if (period := period_of(entry["path"]))})
        raise UsageError(f"nothing is booked in {month}; the months with data are: {', '.join(held) or 'none'}")


def _lines(parent: Snapshot, paths: list[str]) -> tuple[list[str], list[tuple[Any, ...]], list[int]]:
    with engine.connect() as con:
        files = [str(parent.path / path) for path in paths]
        con.read_parquet(files, hive_partitioning=False).create_view("booked")
        answer = con.execute(engine.sql("closing"))
        columns = [column[0] for column in answer.description or ()]
        lines = answer.fetchall()
        versions = con.execute("select distinct rate_version from booked where rate_version is not null order by all")
        return columns, lines, [version for (version,) in versions.fetchall()]


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
