"""`costroll report`: named reports over the published snapshot."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etl.commands.attributing import by_of, by_options, tell_expired
from etl.commands.options import Settings, with_settings
from etl.errors import UsageError
from etl.spreadsheets import safe_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

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
@click.option("--currency", metavar="CODE", help="Show costs in this currency too, such as EUR; with --fx.")
@click.option(
    "--fx",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="CSV of rates by day: currency,effective_from,units_per_usd.",
)
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), help="How to print it. [default: table]")
@by_options
@with_settings
def command(
    settings: Settings,
    name: str,
    since: Any,
    until: Any,
    currency: str | None,
    fx: Path | None,
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
        costroll report days --currency EUR --fx eur.csv
    """
    from etl import display
    from etl.commands.published import published
    from etl.commands.report_rows import plain_rows, with_currency

    if (currency is None) != (fx is None):
        raise UsageError("--currency and --fx go together: the currency, and the file with its rates")
    if currency and by:
        raise UsageError("--currency does not go with --by")
    snapshot = published(settings)
    if by is None:
        columns, rows = plain_rows(snapshot, name, since, until)
        if currency and fx:
            columns, rows = with_currency(snapshot, name, (since, until), currency, fx, (columns, rows))
    else:
        columns, rows = _by(snapshot, settings, name, since, until, by, mapping)
    form = form or ("json" if settings.json else "table")
    write = {"table": display.table, "csv": display.csv_lines, "json": display.json_lines}[form]
    for line in write(columns, list(safe_rows(rows)) if form == "csv" else rows):
        click.echo(line)
    if form == "table" and "cost_usd" in columns:
        click.echo(_total(columns, rows, currency))


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


def _total(columns: Sequence[str], rows: Sequence[Sequence[Any]], currency: str | None = None) -> str:
    from etl.commands.report_rows import in_currency
    from etl.display import money

    def total_of(column: str) -> str:
        costs = [row[list(columns).index(column)] for row in rows]
        return money(sum((cost for cost in costs if cost is not None), Decimal(0)))

    unpriced = next((list(columns).index(name) for name in ("unpriced", "unpriced_tokens") if name in columns), None)
    without = sum(row[unpriced] or 0 for row in rows) if unpriced is not None else 0
    days = [value for row in rows for value in row[:1] if isinstance(value, date)]
    span = f", {min(days)} to {max(days)}" if days else ""
    note = f"; {without:,} units have no price and are not in it: costroll report unpriced" if without else ""
    other = f" = {total_of(in_currency('cost_usd', currency))} {currency}" if currency else ""
    return f"total {total_of('cost_usd')} USD{other}{span}{note}"
