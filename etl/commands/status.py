"""`costroll status`: what the warehouse holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from etl import messages
from etl.commands.options import Duration, Settings, with_settings

if TYPE_CHECKING:
    from etl.last_run import LastRun
    from etl.manifest import Snapshot

_TELLING_RECORDS = 100_000


@click.command(name="status")
@click.option(
    "--max-age",
    type=Duration(),
    metavar="AGE",
    help="Exit with 3 when no run ended well for longer, such as 26h, 90m or 2d.",
)
@click.option(
    "--missing-days", "asks_for_days", is_flag=True, help="Exit with 3 when a day up to yesterday (UTC) has no data."
)
@with_settings
def command(settings: Settings, max_age: timedelta | None, asks_for_days: bool) -> int:
    """Show what is published: snapshot, days, cost, what could not be priced, rejects, size.

    \b
    Example:
      costroll status --json
    """
    import json

    from etl.commands.published import published
    from etl.last_run import last_run
    from etl.warehouse import Warehouse

    snapshot = published(settings)
    ran = last_run(Warehouse(settings.warehouse), snapshot)
    facts = _facts(snapshot, ran)
    problems = problems_at(snapshot, ran, datetime.now(UTC).replace(tzinfo=None), max_age, asks_for_days)
    if settings.json:
        click.echo(json.dumps(facts | {"problems": problems}, ensure_ascii=False, indent=2))
    else:
        for label, text in _lines(facts):
            click.echo(f"{label:<12} {text}")
    for problem in problems:
        messages.tell("warning", "attention", f"needs attention: {problem}")
    return 3 if problems else 0


def problems_at(
    snapshot: Snapshot, ran: LastRun | None, now: datetime, max_age: timedelta | None, asks_for_days: bool
) -> list[str]:
    """What a dead man's switch should tell.

    Args:
        snapshot: the published one.
        ran: the last run that ended well, if one is on record.
        now: the instant to judge at, in naive UTC.
        max_age: how long ago that run may be; None: however long.
        asks_for_days: whether every day from the first to yesterday must have data.
    """
    problems = []
    if max_age is not None and ran is None:
        problems.append("no run is on record")
    elif max_age is not None and ran and now - ran.ended_at > max_age:
        hours = int((now - ran.ended_at).total_seconds()) // 3600
        problems.append(f"the last run that ended well was {hours:,} hours ago, at {ran.ended_at:%Y-%m-%d %H:%M} UTC")
    days = set(snapshot.days())
    if asks_for_days and days:
        span = range((now.date() - min(days)).days)
        missing = [str(day) for at in span if (day := min(days) + timedelta(at)) not in days]
        if missing:
            problems.append(f"{_shortened(missing)} without data")
    return problems


def _facts(snapshot: Snapshot, ran: LastRun | None) -> dict[str, Any]:
    manifest = snapshot.manifest
    days = snapshot.days()
    known = set(days)
    span = range((days[-1] - days[0]).days + 1) if days else range(0)
    missing = [day.isoformat() for at in span if (day := days[0] + timedelta(at)) not in known]
    records = manifest["totals"]["usage_rows"]
    size = sum(entry["bytes"] for entry in snapshot.entries)
    return {
        "warehouse": str(snapshot.path.parent.parent),
        "snapshot": snapshot.number,
        "published_at": manifest["created_at"],
        "first_day": days[0].isoformat() if days else None,
        "last_day": days[-1].isoformat() if days else None,
        "days": len(days),
        "missing_days": missing,
        "records": records,
        "expired_days": [day.isoformat() for day in snapshot.expired_days()],
        "cost_usd": manifest["totals"]["cost_usd"],
        "unpriced": _unpriced(snapshot),
        "action": snapshot.action,
        "last_run": _last_run(ran) if ran else None,
        "size_bytes": size,
        # A file of a few rows is mostly header: below this the figure says nothing.
        "bytes_per_million_records": size * 1_000_000 // records if records >= _TELLING_RECORDS else None,
        **_old_snapshots(snapshot),
        "rate_version": manifest.get("rate_version"),
        "closed": manifest.get("closed", {}),
        "period_log": manifest.get("period_log", []),
    }


def _last_run(ran: LastRun) -> dict[str, Any]:
    """The last run that ended well: when, how, the published snapshot then, and its records by fate."""
    from etl.manifest import INSTANT_FORMAT

    ended_at = ran.ended_at.strftime(INSTANT_FORMAT)
    return {
        "ended_at": ended_at,
        "exit_code": ran.exit_code,
        "snapshot": ran.snapshot,
        **ran.counts,
        "unknown_keys": ran.unknown_keys,
    }


def _last_run_in_words(run: dict[str, Any] | None) -> str:
    if run is None:
        return "none on record"
    fates = ", ".join(f"{fate} {run[fate]:,}" for fate in ("read", "rejected", "conflict"))
    code = "" if run["exit_code"] is None else f"with {run['exit_code']}"
    unknown = f"; keys it did not know: {', '.join(run['unknown_keys'])}" if run["unknown_keys"] else ""
    return f"ended {run['ended_at']} {code}".rstrip() + f": {fates}{unknown}"


def _old_snapshots(snapshot: Snapshot) -> dict[str, int]:
    """How many snapshots are kept, and the bytes that only the old ones hold."""
    from etl.kept import freed_bytes

    beside = [path for path in snapshot.path.parent.iterdir() if path.name.isdecimal()]
    old = [path for path in beside if int(path.name) < snapshot.number]
    return {"snapshots_kept": len(old) + 1, "old_snapshots_bytes": freed_bytes(old, [snapshot.path])}


def _unpriced(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Quantities without a price, by reason and unit."""
    from etl import engine

    paths = [str(path) for path in snapshot.files("rollups")]
    if not paths:
        return []
    with engine.connect() as con:
        rows = con.execute(
            "select price_status, unit, sum(quantity) from read_parquet(?, hive_partitioning = false)"
            " where starts_with(price_status, 'unpriced_') group by all having sum(quantity) <> 0 order by all",
            [paths],
        ).fetchall()
    return [{"price_status": reason, "unit": unit, "quantity": quantity} for reason, unit, quantity in rows]


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    from etl import display

    missing, expired = facts["missing_days"], len(facts["expired_days"])
    days = f"{facts['first_day']} to {facts['last_day']}, {facts['days']:,} days" if facts["days"] else "none"
    unpriced = [f"{item['quantity']:,} {item['unit']} {item['price_status']}" for item in facts["unpriced"]]
    per_million = facts["bytes_per_million_records"]
    size = f"{facts['size_bytes']:,} bytes" + (f", {per_million:,} per million records" if per_million else "")
    old, kept = facts["snapshots_kept"] - 1, f"{facts['old_snapshots_bytes']:,} bytes that the published one has not"
    return [
        ("warehouse", facts["warehouse"]),
        ("snapshot", f"{facts['snapshot']}, published {facts['published_at']}"),
        ("days", days),
        ("missing days", _shortened(missing) if missing else "none between the first and the last"),
        ("records", f"{facts['records']:,}" + (f"; those of {_days(expired)} have expired" if expired else "")),
        ("cost", f"{display.money(facts['cost_usd'])} USD"),
        ("unpriced", "; ".join(unpriced) or "nothing"),
        ("made by", facts["action"]),
        ("last run", _last_run_in_words(facts["last_run"])),
        ("size", size),
        ("older kept", f"{old:,} {'snapshot' if old == 1 else 'snapshots'}, {kept}" if old else "none"),
        ("closed", ", ".join(sorted(facts["closed"])) or "no month"),
        ("rates", f"version {facts['rate_version']}" if facts["rate_version"] is not None else "none"),
    ]


def _days(number: int) -> str:
    return "1 day" if number == 1 else f"{number:,} days"


def _shortened(days: list[str]) -> str:
    more = f" and {len(days) - 5:,} more (--json lists all)" if len(days) > 5 else ""
    return f"{len(days):,}: " + ", ".join(days[:5]) + more
