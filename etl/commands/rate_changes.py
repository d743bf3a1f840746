"""`costroll rates gaps`, `import`, `diff`, `undo`, `update`, `export`: what lacks a rate, and changes to the table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etl.commands.options import Settings, with_settings

if TYPE_CHECKING:
    from etl.rate_card import RateCard
    from etl.rate_offers import Offer
    from etl.rate_plan import Plan

# What may be changed: the plan, the version's name, the SHA-256 of what it comes from, and what the file could not map.
_Made = tuple["Plan", str, str, "Offer | None"]
_FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
_APPLY = click.option("--apply", "is_applied", is_flag=True, help="Apply the plan, as one new version.")
_CORRECT = click.option("--correct", is_flag=True, help="Also take what contradicts a known rate.")
_EFFECTIVE_FROM = click.option(
    "--effective-from",
    metavar="DATE",
    help="From when on rates hold for which the file gives no date. [default: as docs/rates.md says of the format]",
)
_BOOK = click.option("--book", metavar="NAME", help="The rates are those of a contract: a book beside the list.")
_ACCOUNT = click.option(
    "--account", metavar="ID", help="Whose contract it is. [default: of every account without one of its own]"
)
_PERCENT = click.option(
    "--percent-off", metavar="N", help="Instead of FILE: all list rates with so many per cent off, each exact."
)
_PROVIDER = click.option("--provider", help="With --percent-off: only this provider's rates.")
_EFFECTIVE_TO = click.option("--effective-to", metavar="DATE", help="With --book: when the contract ends, exclusive.")
_ALL = click.option("--all", "shows_all", is_flag=True, help="Show every row of the plan and every unmapped key.")


@click.command(name="import", short_help="Plan, or apply, the rates of a file as a new version.")
@_FILE
@_EFFECTIVE_FROM
@_EFFECTIVE_TO
@_BOOK
@_ACCOUNT
@_PERCENT
@_PROVIDER
@_CORRECT
@_ALL
@_APPLY
@with_settings
def import_(settings: Settings, file: Path | None, is_applied: bool, shows_all: bool, **options: Any) -> int:
    """Compare FILE with the rate table; with --apply take what is new, as one numbered version.

    FILE is our own CSV (rates or aliases), LiteLLM's model_prices JSON, genai-prices' v2 data JSON or llm-prices JSON.
    What contradicts a known rate is listed and left alone unless --correct is given: exit status 3 then.

    \b
    Example:
        costroll rates import prices.csv
        costroll rates import prices.csv --apply
        costroll rates import --book acme-2026 --account acct --percent-off 15 --effective-from 2026-01-01
    """
    return _change(settings, _maker(file, **options), is_applied, shows_all)


@click.command(short_help="Show what importing a file would change.")
@_FILE
@_EFFECTIVE_FROM
@_EFFECTIVE_TO
@_BOOK
@_ACCOUNT
@_PERCENT
@_PROVIDER
@_CORRECT
@_ALL
@with_settings
def diff(settings: Settings, file: Path | None, shows_all: bool, **options: Any) -> None:
    """Show what `rates import FILE` would add, change, close and contradict, and which keys it cannot map.

    \b
    Example:
        costroll rates diff model_prices_and_context_window.json
    """
    _change(settings, _maker(file, **options), False, shows_all)


@click.command(short_help="Take a version back, by a new one.")
@click.argument("rate_version", metavar="VERSION", type=int)
@_ALL
@_APPLY
@with_settings
def undo(settings: Settings, rate_version: int, is_applied: bool, shows_all: bool) -> int:
    """Take VERSION back: what it introduced is superseded, what it superseded is known again. Nothing is deleted.

    \b
    Example:
        costroll rates undo 3 --apply
    """

    def make(card: RateCard, now: datetime) -> _Made:
        from etl.rate_versions import undo as undone

        digest = card.versions.filter(card.versions["rate_version"] == rate_version)["sha256"]
        return undone(card, rate_version), f"undo of version {rate_version}", "".join(digest), None

    return _change(settings, make, is_applied, shows_all)


@click.command(short_help="Plan, or apply, the newer card of the installed package.")
@_CORRECT
@_ALL
@_APPLY
@with_settings
def update(settings: Settings, correct: bool, is_applied: bool, shows_all: bool) -> int:
    """Compare the card in the installed package with the rate table; with --apply take it, as one new version.

    A newer package never changes a rate by itself. What you imported stands against the card; --correct says otherwise.

    \b
    Example:
        costroll rates update
        costroll rates update --apply
    """

    def make(card: RateCard, now: datetime) -> _Made:
        from etl.rate_updates import update as updated

        return *updated(card, now, corrects_imports=correct), None

    return _change(settings, make, is_applied, shows_all)


@click.command(short_help="Print the rate table in the format that `rates import` reads.")
@click.option("--aliases", "table", flag_value="aliases", help="The second names of models instead of the rates.")
@click.option("--as-known-on", metavar="DATE|VERSION", help="As for `rates show`. [default: now]")
@with_settings
def export(settings: Settings, table: str | None, as_known_on: str | None) -> None:
    """Print the known list rates as CSV, in the format that `rates import` reads.

    \b
    Example:
        costroll rates export > rates.csv
        costroll rates export --as-known-on 2026-11-30 > november.csv
    """
    from etl.commands.rates import card_known
    from etl.rate_versions import csv_lines

    for line in csv_lines(card_known(settings, as_known_on), table or "rates"):
        click.echo(line)


@click.command(short_help="List what has no rate, with the row that would close each gap.")
@with_settings
def gaps(settings: Settings) -> None:
    """List what the published days lack in rates, the largest quantity first, with the row of rates.csv to add.

    Fill in the rate and the source, import the rows, and the next run prices what they cover.

    \b
    Example:
        costroll rates gaps
    """
    from etl.commands.published import published
    from etl.commands.rate_plans import gaps_as_json, tell_gaps
    from etl.rate_gaps import gaps as found_in
    from etl.rate_publishing import card_of

    snapshot = published(settings)
    for line in (gaps_as_json if settings.json else tell_gaps)(found_in(snapshot, card_of(snapshot))):
        click.echo(line)


COMMANDS = (gaps, import_, diff, undo, update, export)


def _maker(file: Path | None, correct: bool, **options: str | None) -> Callable[[RateCard, datetime], _Made]:
    if (file is None) == (options["percent_off"] is None):
        raise click.UsageError("give either a FILE or --percent-off")
    if options["book"] is None and any(options[name] for name in ("account", "percent_off", "effective_to")):
        raise click.UsageError("--account, --percent-off and --effective-to are about a contract: give its --book")

    def make(card: RateCard, now: datetime) -> _Made:
        from hashlib import sha256

        from etl.durable import sha256_of
        from etl.rate_plan import plan

        offer = _offer(card, file, now, options)
        found = plan(card, offer, now, corrects=(lambda _: True) if correct else None)
        book = f" into book {options['book']}" if options["book"] else ""
        if file is None:
            return found, f"{offer.form}{book}", sha256(offer.form.encode()).hexdigest(), offer
        return found, f"import of {file.name}, {offer.form}{book}", sha256_of(file), offer

    return make


def _offer(card: RateCard, file: Path | None, now: datetime, options: dict[str, str | None]) -> Offer:
    """What the command line offers: the rates of a file, or of a contract."""
    from decimal import Decimal, InvalidOperation

    from etl.commands.rates import instant_of
    from etl.contracts import Contract, contract_offer, percent_off
    from etl.rate_offers import EVER, OPEN
    from etl.rate_sources import read_offer

    since, until = (
        instant_of(text, f"--{name.replace('_', '-')}") if (text := options[name]) else None
        for name in ("effective_from", "effective_to")
    )
    book = options["book"]
    if book is None:
        assert file is not None
        return read_offer(file, now, since)
    contract = Contract(book, options["account"], since or EVER, until or OPEN)
    if file is not None:
        return contract_offer(contract, read_offer(file, now, since, book))
    try:
        percent = Decimal(options["percent_off"] or "")
    except InvalidOperation as error:
        raise click.BadParameter("must be a number such as 12.5", param_hint="--percent-off") from error
    return percent_off(card, contract, percent, options["provider"])


def _change(settings: Settings, make: Callable[[RateCard, datetime], _Made], is_applied: bool, shows_all: bool) -> int:
    """Make a plan, apply it when that is asked, and tell of both."""
    from etl.commands.rate_plans import as_json, tell
    from etl.commands.rates import card_known, clock
    from etl.rate_checks import new_warnings, validated
    from etl.rate_publishing import publish
    from etl.rate_versions import applied

    now = clock()
    made: list[tuple[_Made, RateCard, list[str]]] = []

    def revise(card: RateCard) -> RateCard:
        parts = make(card, now)
        revised = card if parts[0].is_empty else applied(card, *parts[:3], recorded_at=now)
        made.append((parts, revised, new_warnings(card, revised)))
        return revised

    if is_applied:
        snapshot = publish(settings.warehouse, revise)
    else:
        snapshot = None
        known = card_known(settings)
        if (revised := revise(known)) is not known:
            validated(revised)  # what could not be applied is no plan
    (plan, name, digest, offer), card, warnings = made[0]
    facts = {
        "name": name,
        "sha256": digest,
        "rate_version": card.newest() if snapshot else None,
        "snapshot": snapshot.number if snapshot else None,
        "warnings": warnings,
    }
    for line in (as_json if settings.json else tell)(plan, offer, facts, is_applied, shows_all):
        click.echo(line)
    return 3 if is_applied and plan.counts()["conflicting"] else 0
