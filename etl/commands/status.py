"""`costroll status`: what the warehouse holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from etl.commands.options import Settings, with_settings

if TYPE_CHECKING:
    from etl.manifest import Snapshot


@click.command(name="status")
@with_settings
def command(settings: Settings) -> None:
    """Show what is published: snapshot, days, cost, what could not be priced, rejects, size.

    \b
    Example:
      costroll status --json
    """
    import json

    from etl.commands.published import published

    facts = _facts(published(settings))
    if settings.json:
        click.echo(json.dumps(facts, ensure_ascii=False, indent=2))
        return
    for label, text in _lines(facts):
        click.echo(f"{label:<12} {text}")


def _facts(snapshot: Snapshot) -> dict[str, Any]:
    from datetime import timedelta

    manifest = snapshot.manifest
    days = snapshot.days()
    known = set(days)
    span = range((days[-1] - days[0]).days + 1) if days else range(0)
    missing = [day.isoformat() for at in span if (day := days[0] + timedelta(at)) not in known]
    records = manifest["totals"]["usage_rows"]
    size = sum(entry["bytes"] for entry in snapshot.entries)
    closure = manifest.get("closure", {})
    return {
        "warehouse": str(snapshot.path.parent.parent),
        "snapshot": snapshot.number,
        "published_at": manifest["created_at"],
        "first_day": days[0].isoformat() if days else None,
        "last_day": days[-1].isoformat() if days else None,
        "days": len(days),
        "missing_days": missing,
        "records": records,
        "cost_usd": manifest["totals"]["cost_usd"],
        "unpriced": _unpriced(snapshot),
        "last_run": {fate: closure.get(fate, 0) for fate in ("read", "rejected", "conflict")},
        "size_bytes": size,
        "bytes_per_million_records": size * 1_000_000 // records if records else None,
        "rate_version": manifest.get("rate_version"),
    }


def _unpriced(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Quantities without a price, by reason and unit."""
    from etl import engine

    paths = [str(path) for path in snapshot.files("rollups")]
    if not paths:
        return []
    with engine.connect() as con:
        rows = con.execute(
            "select price_status, unit, sum(quantity) from read_parquet(?, hive_partitioning = false)"
            " where starts_with(price_status, 'unpriced_') group by all order by all",
            [paths],
        ).fetchall()
    return [{"price_status": reason, "unit": unit, "quantity": quantity} for reason, unit, quantity in rows]


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    from etl import display

    missing, run = facts["missing_days"], facts["last_run"]
    days = f"{facts['first_day']} to {facts['last_day']}, {facts['days']:,} days" if facts["days"] else "none"
    unpriced = [f"{item['quantity']:,} {item['unit']} {item['price_status']}" for item in facts["unpriced"]]
    per_million = facts["bytes_per_million_records"]
    return [
        ("warehouse", facts["warehouse"]),
        ("snapshot", f"{facts['snapshot']}, published {facts['published_at']}"),
        ("days", days),
        ("missing days", _shortened(missing) if missing else "none between the first and the last"),
        ("records", f"{facts['records']:,}"),
        ("cost", f"{display.money(facts['cost_usd'])} USD"),
        ("unpriced", "; ".join(unpriced) or "nothing"),
        ("last run", f"read {run['read']:,}, rejected {run['rejected']:,}, conflict {run['conflict']:,}"),
        ("size", f"{facts['size_bytes']:,} bytes" + (f", {per_million:,} per million records" if per_million else "")),
        ("rates", f"version {facts['rate_version']}" if facts["rate_version"] is not None else "none"),
    ]


def _shortened(days: list[str]) -> str:
    more = f" and {len(days) - 5:,} more (--json lists all)" if len(days) > 5 else ""
    return f"{len(days):,}: " + ", ".join(days[:5]) + more
