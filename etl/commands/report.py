"""`costroll report`: named reports over the published snapshot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etl.commands import accruals, months
from etl.commands.attributing import by_of, by_options, tell_expired
from etl.commands.options import Settings, with_settings
from etl.errors import UsageError
from etl.spreadsheets import safe_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
# The reports that sum all costs of the chosen days.
_WHOLE_SUMS = ("costs", "days", "models", "periods")
# With --by: report -> the query in sql/reports/by.
GRAINS_BY = {"costs": "keys", "days": "days", "models": "models"}
_DAY = click.DateTime(["%Y-%m-%d"])


@dataclass(frozen=True)
class Asked:
    """Which report, and of what."""

    name: str
    since: date | None
    until: date | None
    by: str | None
    mapping: Path | None
    is_shared: bool
    month: str | None
    as_of: date | None
    currency: str | None
    fx: Path | None
    through: date | None


@click.command()
@click.argument("name", type=click.Choice([*REPORTS, *accruals.REPORTS, *months.REPORTS]), default="costs")
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
@click.option(
    "--share", is_flag=True, help="With --by: split shared costs as [[attribution.shared]] of the settings says."
)
@click.option(
    "--month",
    type=click.DateTime(["%Y-%m"]),
    metavar="MONTH",
    help="Of budgets and forecast. [default: that of the newest published day]",
)
@click.option(
    "--as-of",
    type=_DAY,
    metavar="DAY",
    help="Of budgets and forecast: the last day that is known whole. [default: the newest published]",
)
@click.option("--through", type=_DAY, metavar="DAY", help="Of accrual and journal: the month of this day, up to it.")
@click.option(
    "--html",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the days as one HTML page with charts, which needs nothing else, instead of printing them.",
)
@with_settings
def command(settings: Settings, name: str, form: str | None, share: bool, html: Path | None, **given: Any) -> int:
    """Show what the published days cost.

    NAME is costs (by day, model, tier and caching status), days, models, unpriced, doubtful, shutdowns, beyond,
    periods, quarantine, accrual, journal, budgets (exit code 8 when one is over) or forecast.

    \b
    Example:
        costroll report
        costroll report models --since 2025-06-01 --until 2025-06-30 --format csv
        costroll report --by api_key
        costroll report days --by team --mapping keys.csv
        costroll report days --currency EUR --fx eur.csv
        costroll report --since 2025-06-01 --by team --html june.html
        costroll report journal --through 2025-06-20
        costroll report budgets --quiet || mail -s "over budget" boss
    """
    from etl import display
    from etl.commands.published import published

    snapshot = published(settings)
    asked = _asked(name, share, given)
    if html is not None:
        return _write_page(settings, snapshot, asked, html)
    columns, rows, code = _rows(settings, snapshot, asked)
    form = form or ("json" if settings.json else "table")
    write = {"table": display.table, "csv": display.csv_lines, "json": display.json_lines}[form]
    for line in write(columns, list(safe_rows(rows)) if form == "csv" else rows):
        click.echo(line)
    if form == "table" and "cost_usd" in columns:
        click.echo(_total(columns, rows, asked.currency))
        for line in _caveats(snapshot, asked):
            click.echo(line)
    if form == "table" and asked.by and name == "costs" and (spread := _spread(asked.by, columns, rows)):
        click.echo(spread)
    if name in months.REPORTS and not settings.quiet:
        click.echo(f"costroll: {months.ESTIMATED}", err=True)
    if name == "journal" and asked.through and (left_out := accruals.unpriced(snapshot, asked.through)):
        click.echo(f"costroll: {left_out}", err=True)
    return code


def _caveats(snapshot: Snapshot, asked: Asked) -> list[str]:
    from etl.commands.report_rows import caveats

    return caveats(snapshot, asked.since, asked.until) if asked.name in _WHOLE_SUMS else []


def _asked(name: str, share: bool, given: Mapping[str, Any]) -> Asked:
    """The options as values; refuses those that do not go together."""
    days = {
        option: given[option].date() if given[option] else None for option in ("since", "until", "as_of", "through")
    }
    month = f"{given['month']:%Y-%m}" if given["month"] else None
    accruals.refuse_others(name, days["through"], [days["since"], days["until"], given["by"], given["currency"]])
    if days["since"] and days["until"] and days["until"] < days["since"]:
        raise UsageError(f"--until {days['until']} is before --since {days['since']}")
    is_monthly = name in months.REPORTS
    if is_monthly and (days["since"] or days["until"]):
        raise UsageError(f"{name} is of a whole month: --month, not --since or --until")
    if not is_monthly and (month or days["as_of"]):
        raise UsageError(f"--month and --as-of go with {', '.join(months.REPORTS)}, not with {name}")
    if given["by"] and name not in {*GRAINS_BY, "forecast"}:
        raise UsageError(f"--by goes with {', '.join(GRAINS_BY)} and forecast, not with {name}")
    if share and (not given["by"] or name != "costs"):
        raise UsageError("--share goes with `costroll report --by NAME`: a line a key")
    if (given["currency"] is None) != (given["fx"] is None):
        raise UsageError("--currency and --fx go together: the currency, and the file with its rates")
    if given["currency"] and (given["by"] or is_monthly):
        raise UsageError(f"--currency does not go with {'--by' if given['by'] else name}")
    return Asked(
        name, days["since"], days["until"], given["by"], given["mapping"], share, month, days["as_of"],
        given["currency"], given["fx"], days["through"],
    )  # fmt: skip


def _rows(settings: Settings, snapshot: Snapshot, asked: Asked) -> tuple[Sequence[str], Sequence[Sequence[Any]], int]:
    """The report as columns and rows, and the exit code: 8 when a budget is over."""
    if asked.name == "budgets":
        table, is_over = months.budgets(settings, snapshot, asked.month, asked.as_of, asked.mapping)
        return *table, 8 if is_over else 0
    if asked.name == "forecast":
        table = months.forecasts(settings, snapshot, asked.month, asked.as_of, asked.by, asked.mapping)
        return *table, 0
    if asked.through is not None:
        return *accruals.rows(snapshot, asked.name, asked.through), 0
    columns, rows = _plain(snapshot, asked) if asked.by is None else _by(snapshot, settings, asked, asked.by)
    return columns, rows, 0


def _write_page(settings: Settings, snapshot: Snapshot, asked: Asked, file: Path) -> int:
    """One page of the chosen days: charts, models, what nobody is known for, what has no price, and budgets."""
    from etl import durable
    from etl.commands.report_page import page

    if asked.name != "costs":
        raise UsageError("--html is one page of everything: leave the report's name away")
    if asked.currency:
        raise UsageError("--currency does not go with --html")
    tables = {
        name: _plain(snapshot, replace(asked, name=name)) for name in ("page_days", "models", "unpriced", "periods")
    }
    named = [("By model and tier", tables["models"]), ("Booked", tables["periods"])]
    keys, notes, code = None, _caveats(snapshot, asked), 0
    if asked.by:
        keys = (asked.by, _by(snapshot, settings, asked, asked.by))
    if unpriced := tables["unpriced"][1]:
        units = sum(row[list(tables["unpriced"][0]).index("quantity")] for row in unpriced)
        notes.append(f"{units:,} units have no price and are in no sum: see below")
        named.append(("What has no price", tables["unpriced"]))
    if settings.file().budget.limit:
        month = f"{asked.until:%Y-%m}" if asked.until else None
        table, is_over = months.budgets(settings, snapshot, month, None, asked.mapping)
        named.append(("Budgets, with estimates of the month's end", table))
        code = 8 if is_over else 0
    durable.write_whole(file, page(snapshot, tables["page_days"], named, keys, notes).encode())
    click.echo(str(file))
    return code


def _plain(snapshot: Snapshot, asked: Asked) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    from etl.commands.report_rows import plain_rows, with_currency

    plain = plain_rows(snapshot, asked.name, asked.since, asked.until)
    if not asked.currency or not asked.fx:
        return plain
    return with_currency(snapshot, asked.name, (asked.since, asked.until), asked.currency, asked.fx, plain)


def _by(snapshot: Snapshot, settings: Settings, asked: Asked, by: str) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    from etl import attribution

    found = attribution.report(
        snapshot, GRAINS_BY[asked.name], by_of(settings, by, asked.mapping), asked.since, asked.until
    )
    if asked.is_shared:
        rules = [rule for rule in settings.file().attribution.shared if rule.by == by]
        if not rules:
            raise UsageError(f"--share: the settings have no [[attribution.shared]] with by = {by!r}")
        found = attribution.shared(found, rules)
    tell_expired(snapshot, settings, asked.since, asked.until, found.expired_usd)
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


def _spread(by: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str | None:
    """From the cheapest to the dearest, with the one in the middle: the lower of two, so that nothing is divided."""
    from etl.display import money

    cost = list(columns).index("cost_usd")
    known = sorted(row[cost] for row in rows if row[0] is not None and row[cost] is not None)
    if len(known) < 2:
        return None
    low, middle, high = known[0], known[(len(known) - 1) // 2], known[-1]
    return f"each of {len(known):,} by {by}: {money(low)} to {money(high)} USD, the middle one {money(middle)} USD"
