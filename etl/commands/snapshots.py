"""`costroll snapshots`: the published states that are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from etl.commands.options import Settings, with_settings

if TYPE_CHECKING:
    from etl.kept import Kept
    from etl.manifest import Snapshot

_COLUMNS = ("snapshot", "published_at", "action", "days_written", "records", "cost_usd", "pinned")


@click.command(name="snapshots")
@with_settings
def command(settings: Settings) -> None:
    """List the snapshots that are kept, oldest first: when, by what command, how many days, records and cost.

    A pinned snapshot is never removed by `costroll gc`.

    \b
    Example:
      costroll snapshots
    """
    from etl import display
    from etl.commands.published import published
    from etl.kept import kept_snapshots
    from etl.warehouse import Warehouse

    current = published(settings)
    rows = [_row(one, current) for one in kept_snapshots(Warehouse(settings.warehouse), current)]
    if settings.json:
        names = list(rows[0])
        for line in display.json_lines(names, [list(row.values()) for row in rows]):
            click.echo(line)
        return
    for line in display.table(_COLUMNS, [[_shown(row, name) for name in _COLUMNS] for row in rows]):
        click.echo(line)


def _row(one: Kept, current: Snapshot) -> dict[str, Any]:
    from decimal import Decimal

    manifest = one.snapshot.manifest if one.snapshot else {}
    totals = manifest.get("totals", {})
    return {
        "snapshot": one.number,
        "published_at": one.snapshot.published_at if one.snapshot else None,
        "action": one.snapshot.action if one.snapshot else None,
        "rolled_back_to": manifest.get("rolled_back_to"),
        "days_written": one.days_written,
        "records": totals.get("usage_rows"),
        "cost_usd": Decimal(totals["cost_usd"]) if totals else None,
        "is_current": one.number == current.number,
        "pinned": list(one.pins),
        "format_version": manifest.get("format_version"),
        "damage": one.damage,
    }


def _shown(row: dict[str, Any], name: str) -> Any:
    """What the table shows of a column; JSON has the rest."""
    if name == "pinned":
        return ", ".join(row["pinned"])
    if name == "action":
        if row["damage"]:
            return f"DAMAGED: {row['damage']}"
        return f"rollback to {row['rolled_back_to']}" if row["rolled_back_to"] else row["action"]
    if name == "published_at" and row[name]:
        return row[name].replace(microsecond=0)
    return row[name]
