"""`costroll report`: named reports over the published snapshot."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from etl.commands.attributing import by_of, by_options, tell_expired
from etl.commands.options import Settings, with_settings
from etl.errors import UsageError
from etl.spreadsheets import safe_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from etl.manifest import Snapshot

# Report -> what it shows; the query is sql/reports/<report>.sql.
REPORTS = {
    "costs": "by day, model, tier and caching status",
    "days": "a line a day",
    "models": "by model and tier, dearest first",
    "unpriced": "what has no price, and why",
    "doubtful": "what rests on rates that sources hardly support or dispute",
    "shutdowns": "models in use that are or will be shut down",
    "beyond": "records with more tokens than their model can take or give",
    "periods": "by the month in which it is booked",
    "quarantine": "what was set aside, where and why",
}
# With --by: report -> the query in sql/reports/by.
GRAINS_BY = {"costs": "keys", "days": "days", "models": "models"}
_DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.argument("name", type=click.Choice(list(REPORTS)), default="costs")
@click.option("--since", type=_DAY, metavar="DAY", help="From this UTC day on.")
@click.option("--until", type=_DAY, metavar="DAY", help="Up to this UTC day, itself included.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), help="How to print it. [default: table]")
@by_options
@with_settings
def command(
    settings: Settings,
    name: str,
    since: Any,
    until: Any,
    form: str | None,
    by: str | None,
    mapping: Path | None,
) -> None:
    """Show what the published days cost.

    NAME is costs (by day, model, tier and caching status), days, models, unpriced, doubtful, shutdowns,
    beyond, periods or quarantine.

    \b
    Example:
        costroll report
        costroll report models --since 2025-06-01 --until 2025-06-30 --format csv
        costroll report --by api_key
        costroll report days --by team --mapping keys.csv
    """
    from etl import display
    from etl.commands.published import published

    snapshot = published(settings)
    if by is None:
        columns, rows = _plain(snapshot, name, since, until)
    else:
        columns, rows = _by(snapshot, settings, name, since, until, by, mapping)
    form = form or ("json" if settings.json else "table")
    write = {"table": display.table, "csv": display.csv_lines, "json": display.json_lines}[form]
    for line in write(columns, list(safe_rows(rows)) if form == "csv" else rows):
        click.echo(line)
    if form == "table" and "cost_usd" in columns:
        click.echo(_total(columns, rows))


def _plain(snapshot: Snapshot, name: str, since: Any, until: Any) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    from etl import analyst
    from etl.engine import sql

    chosen = _chosen("rollups" if name == "periods" else "net_rollups", since, until)
    answer = analyst.query(snapshot, f"{chosen}\n{sql(f'reports/{name}')}")
    return answer.columns, list(answer.rows)


def _by(
    snapshot: Snapshot, settings: Settings, name: str, since: Any, until: Any, by: str, mapping: Path | None
) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    from etl import attribution

    if name not in GRAINS_BY:
        raise UsageError(f"--by goes with {', '.join(GRAINS_BY)}, not with {name}")
    first, last = (given.date() if given else None for given in (since, until))
    found = attribution.report(snapshot, GRAINS_BY[name], by_of(settings, by, mapping), first, last)
    tell_expired(snapshot, settings, since, until, found.expired_usd)
    return found.columns, found.rows


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
