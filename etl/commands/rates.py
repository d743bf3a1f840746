"""`costroll rates`: show and check the rate table."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from etl.commands.options import Settings, with_settings

if TYPE_CHECKING:
    from etl.rate_card import RateCard
    from etl.rate_lookup import Lookup

_COLUMNS = (
    "model", "tier", "meter", "caching status", "over", "USD per million", "from", "to", "status", "source"
)  # fmt: skip

_AS_KNOWN_ON = click.option(
    "--as-known-on",
    metavar="DATE|VERSION",
    help="Leave out what was learned later than this day (its first instant), instant or version. [default: now]",
)


@click.group(name="rates")
@with_settings
def command(settings: Settings) -> None:
    """Show, check and change the rate table: what one million units cost, for whom, and from when until when.

    \b
    Example:
        costroll rates show gpt-4o --on 2024-10-01
        costroll rates history o3
    """
    click.get_current_context().obj = settings


@command.command()
@click.argument("model")
@click.option(
    "--on",
    metavar="DATE",
    help="A day (its first instant) or an instant such as 2025-06-10T17:00:00Z, in UTC. [default: now]",
)
@click.option("--provider", help="Only this provider's rates.")
@click.option("--tier", help="Only this service tier, such as standard or batch.")
@_AS_KNOWN_ON
@with_settings
def show(
    settings: Settings, model: str, on: str | None, provider: str | None, tier: str | None, as_known_on: str | None
) -> None:
    """Show the rates of MODEL in force on a day.

    "over" is the context threshold: the row is for requests with more prompt tokens than that.

    \b
    Example:
        costroll rates show gpt-4o-mini --tier batch
        costroll rates show gpt-4o --on 2024-10-01
    """
    from etl.rate_lookup import lookup

    at = instant_of(on, "--on") if on else clock()
    found = lookup(card_known(settings, as_known_on), model, at, provider, tier)
    _print(settings, found, {"model": model, "on": f"{at.isoformat()}Z"})
    if not settings.json and not any(entry.rates.height for entry in found):
        click.echo(
            f"No rate{f' in tier {tier}' if tier else ''} is in force then; `costroll rates history {model}` shows all."
        )


@command.command(short_help="Show all rates of MODEL: past, in force and announced.")
@click.argument("model")
@click.option("--provider", help="Only this provider's rates.")
@click.option("--sources", is_flag=True, help="A line a rate, with where it is written.")
@_AS_KNOWN_ON
@with_settings
def history(settings: Settings, model: str, provider: str | None, sources: bool, as_known_on: str | None) -> None:
    """Show all rates of MODEL that the card knows: past, in force and announced.

    One line is a stretch of time in which nothing changes, in USD per million; `*` marks inferred rates.

    \b
    Example:
        costroll rates history o3
    """
    from etl.rate_lookup import history as history_of

    found = history_of(card_known(settings, as_known_on), model, provider)
    if settings.json or sources:
        _print(settings, found, {"model": model})
        return
    for entry in found:
        _print_timeline(entry)


@command.command(short_help="Check the rate table against its rules.")
@with_settings
def check(settings: Settings) -> None:
    """Check the rate table against its rules: no overlaps, no empty intervals, no alias into nowhere.

    Warnings are for a person to look at. Exit status 2 when the table breaks a rule.

    \b
    Example:
        costroll rates check
    """
    import json

    from etl.errors import RateCardError
    from etl.rate_checks import FAIL, check_names
    from etl.rate_checks import check as findings_of

    card = card_known(settings)
    findings = findings_of(card)
    failures = sum(finding.severity == FAIL for finding in findings)
    if settings.json:
        rows = [{"severity": f.severity, "check": f.check, "finding": f.text} for f in findings]
        click.echo(
            json.dumps(
                {"failures": failures, "warnings": len(findings) - failures, "findings": rows}, ensure_ascii=False
            )
        )
    else:
        for finding in findings:
            click.echo(f"{finding.severity}  {finding.check}: {finding.text}")
        known = card.current()
        click.echo(
            f"{known.rates.height:,} rates and {known.aliases.height:,} aliases, {len(check_names())} checks: "
            f"{failures} failures, {len(findings) - failures} warnings"
        )
    if failures:
        raise RateCardError(f"the rate table breaks {failures} rules; the findings are listed above")


def card_known(settings: Settings, as_known_on: str | None = None) -> RateCard:
    """The rate table of the warehouse, before the first run the shipped card; as `--as-known-on` asks for it."""
    from etl.rate_publishing import card_of
    from etl.warehouse import Warehouse

    return as_known(card_of(Warehouse(settings.warehouse).current()), as_known_on)


def as_known(card: RateCard, as_known_on: str | None) -> RateCard:
    """The rate table as it was known when `--as-known-on` says: a version's number, a day or an instant."""
    if as_known_on is None:
        return card
    if as_known_on.isdecimal():
        return card.as_known(int(as_known_on))
    return card.as_known_on(instant_of(as_known_on, "--as-known-on"))


def instant_of(text: str, option: str) -> datetime:
    """The instant that an option's text names."""
    from etl.rate_csv import parse_instant

    try:
        return parse_instant(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} {error}", param_hint=option) from error


def clock() -> datetime:
    """Now, naive UTC."""
    from datetime import UTC, datetime

    return datetime.now(UTC).replace(tzinfo=None)


def _print(settings: Settings, found: list[Lookup], about: dict[str, Any]) -> None:
    import json

    from etl import display

    if settings.json:
        entries = [{"provider": e.provider, "path": list(e.path), "rates": e.rates.to_dicts()} for e in found]
        click.echo(json.dumps(display.plain({**about, "found": entries}), ensure_ascii=False))
        return
    for entry in found:
        if len(found) > 1 or len(entry.path) > 1:
            click.echo(f"{entry.provider}: {' → '.join(entry.path)}")
        if entry.rates.height:
            for line in display.table(_COLUMNS, map(_cells, entry.rates.iter_rows(named=True))):
                click.echo(line)


def _print_timeline(found: Lookup) -> None:
    from etl import display
    from etl.rate_timeline import timeline

    for book in found.rates.partition_by("book", maintain_order=True):
        whose = "" if book["book"][0] == "list" else f", book {book['book'][0]}"
        click.echo(f"{found.provider}: {' → '.join(found.path)}{whose}, USD per million units")
        columns, rows, has_inferred = timeline(book)
        for line in display.table(columns, rows):
            click.echo(line)
        if has_inferred:
            click.echo("* inferred: --sources says from what")


def _cells(rate: dict[str, Any]) -> tuple[Any, ...]:
    return (
        rate["model"],
        rate["tier"],
        rate["meter"],
        "" if rate["caching_status"] == "not_applicable" else rate["caching_status"],
        rate["context_over_tokens"] or None,
        rate["rate_usd_per_million"],
        _date(rate["effective_from"], "ever"),
        _date(rate["effective_to"], "open"),
        rate["status"],
        rate["source"],
    )


def _date(instant: datetime | None, unbounded: str) -> str:
    if instant is None:
        return unbounded
    text = instant.isoformat()
    return text.removesuffix("T00:00:00") if text.endswith("T00:00:00") else f"{text}Z"


def _add_commands() -> None:
    from etl.commands import rate_changes

    for below in rate_changes.COMMANDS:
        command.add_command(below)


_add_commands()
