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


@click.group(name="rates")
@with_settings
def command(settings: Settings) -> None:
    """Show and check the rate table: what one million units cost, for whom, and from when until when.

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
@with_settings
def show(settings: Settings, model: str, on: str | None, provider: str | None, tier: str | None) -> None:
    """Show the rates of MODEL in force on a day.

    "over" is the context threshold: the row is for requests with more prompt tokens than that.

    \b
    Example:
        costroll rates show gpt-4o-mini --tier batch
        costroll rates show gpt-4o --on 2024-10-01
    """
    from etl.rate_lookup import lookup

    at = _instant(on)
    found = lookup(_card(settings), model, at, provider, tier)
    _print(settings, found, {"model": model, "on": f"{at.isoformat()}Z"})
    if not settings.json and not any(entry.rates.height for entry in found):
        click.echo(
            f"No rate{f' in tier {tier}' if tier else ''} is in force then; `costroll rates history {model}` shows all."
        )


@command.command(short_help="Show all rates of MODEL: past, in force and announced.")
@click.argument("model")
@click.option("--provider", help="Only this provider's rates.")
@with_settings
def history(settings: Settings, model: str, provider: str | None) -> None:
    """Show all rates of MODEL that the card knows: past, in force and announced.

    \b
    Example:
        costroll rates history o3
    """
    from etl.rate_lookup import history as history_of

    _print(settings, history_of(_card(settings), model, provider), {"model": model})


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

    card = _card(settings)
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


def _card(settings: Settings) -> RateCard:
    from etl.rate_card import current_card
    from etl.warehouse import Warehouse

    snapshot = Warehouse(settings.warehouse).current()
    # Before the first run there is only the card in the package.
    return current_card([snapshot.files(table)[0] for table in ("rates", "aliases", "versions")] if snapshot else None)


def _instant(on: str | None) -> datetime:
    from datetime import UTC

    from etl.rate_csv import parse_instant

    if on is None:
        return datetime.now(UTC).replace(tzinfo=None)
    try:
        return parse_instant(on)
    except ValueError as error:
        raise click.BadParameter(f"{on!r} {error}", param_hint="--on") from error


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
