"""`costroll close`: freeze a month, and print what a controller files."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from etl.commands.options import Settings, with_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from etl.closing import CloseReport

_LISTED = ("closed_at", "by", "cost_usd", "unpriced_quantity", "rows", "reconciliation", "note", "files_sha256")
_LOGGED = ("at", "action", "month", "by", "reason", "snapshot", "cost_usd", "files_sha256")
_DAYS_SHOWN = 5


@click.command(name="close")
@click.argument("month", metavar="[MONTH]", type=click.DateTime(["%Y-%m"]), required=False)
@click.option("--by", metavar="NAME", help="Who closes it, for the record.")
@click.option("--note", metavar="TEXT", help="A note for the record.")
@click.option("--dry-run", is_flag=True, help="Print the report; publish nothing.")
@click.option("--list", "lists", is_flag=True, help="Show the closed months, and every close and reopening.")
@with_settings
def command(settings: Settings, month: Any, by: str | None, note: str | None, dry_run: bool, lists: bool) -> None:
    """Freeze a month: its published costs never change again.

    MONTH is such as 2026-10, and over. Records that come late for it are booked as corrections in the first month
    after it that is open, with their original day. The report is what to file: costs by model, and one hash over the
    month's files.

    \b
    Example:
        costroll close 2026-10 --by "A. Controller" --note "ticket 4711"
        costroll close 2026-10 --dry-run
        costroll close --list
    """
    from etl import messages
    from etl.closing import close

    if lists:
        _list(settings)
        return
    if month is None:
        raise click.UsageError("which month? Give one such as 2026-10, or --list")
    report = close(settings.warehouse, f"{month:%Y-%m}", by=by, note=note, dry_run=dry_run)
    for earlier in report.open_before:
        messages.tell("warning", "open_month", f"{earlier} has data and is still open", month=earlier)
    if settings.json:
        import json

        from etl.display import plain

        click.echo(json.dumps(plain(_facts(report)), ensure_ascii=False, indent=2))
        return
    for line in _lines(report):
        click.echo(line)


def _facts(report: CloseReport) -> dict[str, Any]:
    return {
        "month": report.month,
        "published": report.snapshot is not None,
        "next_period": report.next_period,
        "open_before": report.open_before,
        **report.record,
        "lines": [dict(zip(report.columns, line, strict=True)) for line in report.lines],
    }


def _lines(report: CloseReport) -> Iterator[str]:
    from etl import display

    record = report.record
    yield display.styled(f"close of {report.month}", "1")
    yield from display.table(report.columns, report.lines)
    yield ""
    for label, text in _summary(report):
        yield f"{label:<15} {display.printable(text)}"
    yield ""
    if report.snapshot is None:
        yield f"dry run: nothing was published, {report.month} stays open"
    else:
        yield f"published snapshot {report.snapshot.number:08d}: {report.month} is closed since {record['closed_at']}"


def _summary(report: CloseReport) -> Iterator[tuple[str, str]]:
    from etl.display import money

    record = report.record
    corrections = _cost_of(report, "correction")
    also = f"; {money(corrections)} USD of it corrections" if corrections is not None else ""
    yield "cost", f"{money(record['cost_usd'])} USD; at list price {money(record['list_cost_usd'])} USD{also}"
    unpriced = record["unpriced_quantity"]
    yield "unpriced", f"{unpriced:,} units have no price and are not in it" if unpriced else "nothing"
    yield "quantities", ", ".join(f"{name} {quantity:,}" for name, quantity in record["quantities"].items()) or "none"
    yield (
        "records",
        f"{record['records']:,} accepted; what was set aside is counted by file: costroll report quarantine",
    )
    yield "days", _days(record)
    yield "rates", "version " + (", ".join(map(str, record["rate_versions"])) or "none: nothing has a price")
    for at, sentence in enumerate(str(record["reconciliation"]).split("; ")):
        yield "" if at else "reconciliation", sentence
    yield "closed by", "; ".join(filter(None, (record["by"] or "not said", record["note"])))
    yield "files", f"{len(record['files']):,} with {record['rows']:,} rows; SHA-256 over their list:"
    yield "", record["files_sha256"]
    after = f"records of {report.month} that come from now on are corrections in {report.next_period}"
    yield "from now on", after


def _cost_of(report: CloseReport, charge_class: str) -> Decimal | None:
    """What the lines of a class cost; None when there are none."""
    at, cost = report.columns.index("charge_class"), report.columns.index("cost_usd")
    lines = [line for line in report.lines if line[at] == charge_class]
    return sum((line[cost] for line in lines if line[cost] is not None), Decimal(0)) if lines else None


def _days(record: Mapping[str, Any]) -> str:
    without = record["days_without_data"]
    text = f"{len(record['days']):,} of {len(record['days']) + len(without):,} have data"
    if not without:
        return text
    more = f" and {len(without) - _DAYS_SHOWN:,} more (--json lists all)" if len(without) > _DAYS_SHOWN else ""
    return f"{text}; none: {', '.join(without[:_DAYS_SHOWN])}{more}"


def _list(settings: Settings) -> None:
    from etl import display
    from etl.commands.published import published

    manifest = published(settings).manifest
    closed, log = manifest.get("closed", {}), manifest.get("period_log", [])
    if settings.json:
        import json

        click.echo(json.dumps({"closed": closed, "period_log": log}, ensure_ascii=False, indent=2))
        return
    if not log:
        click.echo("no month was ever closed")
        return
    for columns, rows in (
        (("month", *_LISTED), [(month, *(record[name] for name in _LISTED)) for month, record in closed.items()]),
        (_LOGGED, [tuple(entry[name] for name in _LOGGED) for entry in log]),
    ):
        for line in display.table(columns, _with_money(columns, rows)):
            click.echo(line)
        click.echo()


def _with_money(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[list[Any]]:
    at = columns.index("cost_usd")
    return [[Decimal(value) if index == at else value for index, value in enumerate(row)] for row in rows]
