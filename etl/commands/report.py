"""`costroll report`: named reports over the published snapshot."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from etl.commands.options import Settings, with_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

# Report -> what it shows; the query is sql/reports/<report>.sql.
REPORTS = {
    "costs": "by day, model, tier and caching status",
    "days": "a line a day",
    "models": "by model and tier, dearest first",
    "unpriced": "what has no price, and why",
    "doubtful": "what rests on rates that sources hardly support or dispute",
    "periods": "by the month in which it is booked",
    "quarantine": "what was set aside, where and why",
}
_DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.argument("name", type=click.Choice(list(REPORTS)), default="costs")
@click.option("--since", type=_DAY, metavar="DAY", help="From this UTC day on.")
@click.option("--until", type=_DAY, metavar="DAY", help="Up to this UTC day, itself included.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), help="How to print it. [default: table]")
@with_settings
def command(settings: Settings, name: str, since: Any, until: Any, form: str | None) -> None:
    """Show what the published days cost.

    NAME is costs (by day, model, tier and caching status), days, models, unpriced, doubtful, periods or quarantine.

    \b
    Example:
        costroll report
        costroll report models --since 2025-06-01 --until 2025-06-30 --format csv
    """
    from etl import analyst, display
    from etl.commands.published import published
    from etl.engine import sql

    chosen = _chosen("rollups" if name == "periods" else "net_rollups", since, until)
    answer = analyst.query(published(settings), f"{chosen}\n{sql(f'reports/{name}')}")
    rows = list(answer.rows)
    form = form or ("json" if settings.json else "table")
    write = {"table": display.table, "csv": display.csv_lines, "json": display.json_lines}[form]
    for line in write(answer.columns, rows):
        click.echo(line)
    if form == "table" and "cost_usd" in answer.columns:
        click.echo(_total(answer.columns, rows))


def _chosen(relation: str, since: Any, until: Any) -> str:
    """What every report reads: the rows of the chosen days."""
    conditions = [f"day >= DATE '{since.date()}'"] if since else []
    conditions += [f"day <= DATE '{until.date()}'"] if until else []
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"WITH chosen AS (SELECT * FROM {relation}{where})"  # noqa: S608  # nothing but dates is put in


def _total(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    from etl.display import money

    costs = [row[list(columns).index("cost_usd")] for row in rows]
    total = sum((cost for cost in costs if cost is not None), Decimal(0))
    unpriced = next((list(columns).index(name) for name in ("unpriced", "unpriced_tokens") if name in columns), None)
    without = sum(row[unpriced] or 0 for row in rows) if unpriced is not None else 0
    days = [value for row in rows for value in row[:1] if isinstance(value, date)]
    span = f", {min(days)} to {max(days)}" if days else ""
    note = f"; {without:,} units have no price and are not in it: costroll report unpriced" if without else ""
    return f"total {money(total)} USD{span}{note}"
