"""`costroll reprice`: rate published days again, and say what changes and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from etl.commands.options import Settings, limit_options, with_settings

if TYPE_CHECKING:
    from decimal import Decimal

    from etl.rate_moves import Move, RateRow
    from etl.repricing import Repricing

_SHOWN = 40
_COLUMNS = (
    "day", "provider", "model", "tier", "meter", "caching", "quantity", "old_usd", "new_usd", "delta_usd", "cause"
)  # fmt: skip
_DAY = click.DateTime(["%Y-%m-%d"])


@click.command(name="reprice")
@click.option("--since", type=_DAY, metavar="DAY", help="From this UTC day on.")
@click.option("--until", type=_DAY, metavar="DAY", help="Up to this UTC day, itself included.")
@click.option(
    "--as-known-on",
    metavar="DATE|VERSION",
    help="With the rate table as it was known on this day (its first instant), at this instant or version. "
    "[default: as it is known now]",
)
@click.option("--all", "shows_all", is_flag=True, help="Show every cell that changes.")
@click.option("--apply", "is_applied", is_flag=True, help="Publish it, in one snapshot.")
@limit_options
@with_settings
def command(
    settings: Settings,
    since: Any,
    until: Any,
    as_known_on: str | None,
    shows_all: bool,
    is_applied: bool,
    threads: int | None,
    memory_limit: int | None,
) -> int:
    """Rate published days again, and show what changes: each cell's old and new cost, and the rate rows that cause it.

    Without --apply nothing is written. In closed months the difference is booked as corrections; days whose usage has
    expired stay as they are. Exit status 3 when --apply leaves something without a price that had one.

    \b
    Example:
        costroll reprice --since 2025-07-01 --until 2025-07-31
        costroll reprice --since 2025-07-01 --until 2025-07-31 --apply
        costroll reprice --as-known-on 1
    """
    from etl import engine

    with engine.limited(threads, memory_limit):
        from etl.commands.rates import as_known
        from etl.repricing import reprice

        found = reprice(
            settings.warehouse,
            since and since.date(),
            until and until.date(),
            known=lambda card: as_known(card, as_known_on),
            is_applied=is_applied,
        )
    for line in (_as_json if settings.json else _tell)(found, is_applied, shows_all):
        click.echo(line)
    return 3 if found.snapshot and found.loses_prices else 0


def _tell(found: Repricing, is_applied: bool, shows_all: bool) -> Iterator[str]:
    from etl import display

    shown = found.moves if shows_all else found.moves[:_SHOWN]
    causes = list(dict.fromkeys((move.left, move.came) for move in shown))
    if shown:
        yield from display.table(_COLUMNS, [_cells(move, causes.index((move.left, move.came)) + 1) for move in shown])
    if len(found.moves) > len(shown):
        yield f"... and {len(found.moves) - len(shown):,} more cells; --all shows them"
    for number, (left, came) in enumerate(causes, 1):
        yield from map(display.printable, _cause_lines(found, number, left, came))
    yield from _summary(found, is_applied)


def _cells(move: Move, cause: int) -> tuple[Any, ...]:
    day, provider, model, tier, meter, caching, _ = move.names
    caching = "" if caching == "not_applicable" else caching
    costs = move.old_cost_usd, move.new_cost_usd, move.delta_usd
    return day, provider, model, tier, meter, caching, move.quantity, *costs, f"[{cause}]"


def _cause_lines(found: Repricing, number: int, left: tuple[RateRow, ...], came: tuple[RateRow, ...]) -> Iterator[str]:
    if not left and not came:
        yield f"[{number}] the list price beside a contract; the cost stays"
    names = dict(found.origins.select("rate_id", "version_name").rows())
    for mark, rows in (("-", left), ("+", came)):
        for row in rows:
            yield f"[{number}] {mark} {_rate_text(row, names)}"


def _rate_text(row: RateRow, names: dict[str, str]) -> str:
    from etl.display import money

    if row.rate_id is None:
        return f"no rate: {row.price_status}"
    status = "" if row.price_status == "priced" else f", {row.price_status}"
    rate = f"{money(row.rate_usd_per_million)} USD per million{status}"
    return f"{rate}: {row.rate_id} of version {row.rate_version}, {names[row.rate_id]}"


def _summary(found: Repricing, is_applied: bool) -> Iterator[str]:
    from etl.display import money

    if found.same_price:
        yield f"cells that have the same price from another row of the table: {found.same_price:,}"
    changed, expired = len(found.changed), len(found.expired)
    days = len(found.days) + expired
    yield f"days {days:,} = changed {changed:,} + unchanged {days - changed - expired:,} + expired {expired:,}"
    if found.expired:
        yield "expired days keep their costs: their usage was let go (`costroll gc`)"
    for month, period in found.corrections.items():
        yield f"{month} is closed: its changes are corrections in {period}"
    old, new, delta = (money(cost) for cost in (found.old_cost_usd, found.new_cost_usd, found.delta_usd))
    yield f"at version {found.rate_version} of the rate table: {old} USD -> {new} USD, {_sign(found.delta_usd)}{delta}"
    if found.snapshot:
        yield f"published snapshot {found.snapshot.number:08d}: {_days(len(found.changed))} written"
    elif found.is_empty:
        yield "nothing to change"
    elif not is_applied:
        yield "nothing is changed yet: --apply makes it so"


def _sign(delta: Decimal) -> str:
    return "+" if delta > 0 else ""


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count:,} days"


def _as_json(found: Repricing, is_applied: bool, shows_all: bool) -> Iterator[str]:
    import json

    from etl import display
    from etl.rate_moves import NAMES

    origins = {row["rate_id"]: row for row in found.origins.rows(named=True)}

    def rate(row: RateRow) -> dict[str, Any]:
        origin = origins.get(row.rate_id, {})
        return row._asdict() | {"version_name": origin.get("version_name"), "source": origin.get("source")}

    cells = [
        dict(zip(NAMES, move.names, strict=True))
        | {name: value for name, value in vars(move).items() if name not in ("names", "left", "came")}
        | {
            "delta_usd": move.delta_usd,
            "old_rates": list(map(rate, move.left)),
            "new_rates": list(map(rate, move.came)),
        }
        for move in found.moves
    ]
    facts = {
        "rate_version": found.rate_version,
        "days": {name: getattr(found, name) for name in ("changed", "kept", "expired")} | {"rated": found.days},
        "corrections": found.corrections,
        "old_cost_usd": found.old_cost_usd,
        "new_cost_usd": found.new_cost_usd,
        "delta_usd": found.delta_usd,
        "same_price_cells": found.same_price,
        "is_applied": is_applied,
        "snapshot": found.snapshot.number if found.snapshot else None,
        "cells": cells,
    }
    yield json.dumps(display.plain(facts), ensure_ascii=False)
