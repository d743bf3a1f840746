"""Rate published days again: with today's rate table, or as it was known. A plan says what changes; applying publishes.

No record is read again and no quantity changes; in a closed month the difference becomes a correction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from etl import analyst
from etl.booking import book, closed_months, published_whole
from etl.errors import IntegrityError, UsageError
from etl.manifest import Snapshot, members_of_state
from etl.periods import booking_period, month_of
from etl.rate_card import RateCard
from etl.rate_moves import Move, moves_between, summed_cells
from etl.rate_publishing import card_of
from etl.rating import rate
from etl.recall import quantities_behind
from etl.schema import polars_schema
from etl.warehouse import Warehouse

Known = Callable[[RateCard], RateCard]


@dataclass(frozen=True)
class Repricing:
    """A plan, and what came of it.

    Attributes:
        rate_version: the version of the rate table that rates.
        days: the published days of the stretch whose usage is there.
        expired: those whose usage is not, and whose costs stay.
        moves: by day and names.
        same_price: how many cells more only get their price from another row. In a closed month they stay as they are.
        changed: the days whose rollups change.
        kept: other days that take the version: what comes late for them is rated with it.
        corrections: closed month -> the open month in which its changes are booked.
        old_cost_usd, new_cost_usd: of all of `days`.
        origins: `rate_id`, `version_name` and `source` of the rate rows that the moves name.
        is_as_known: the version is older than the newest.
        snapshot: what was published; None when nothing was.
    """

    rate_version: int
    days: list[date]
    expired: list[date]
    moves: list[Move] = field(default_factory=list)
    same_price: int = 0
    changed: list[date] = field(default_factory=list)
    kept: list[date] = field(default_factory=list)
    corrections: dict[str, str] = field(default_factory=dict)
    old_cost_usd: Decimal = Decimal(0)
    new_cost_usd: Decimal = Decimal(0)
    origins: pl.DataFrame = field(default_factory=pl.DataFrame)
    is_as_known: bool = False
    snapshot: Snapshot | None = None

    @property
    def is_empty(self) -> bool:
        """Whether applying it changes nothing."""
        return not self.changed and not self.kept

    @property
    def delta_usd(self) -> Decimal:
        """By how much the cost of these days moves."""
        return self.new_cost_usd - self.old_cost_usd

    @property
    def loses_prices(self) -> bool:
        """Whether something that has a price has none afterwards."""
        return any(move.new_unpriced_quantity > move.old_unpriced_quantity for move in self.moves)


def reprice(
    root: Path,
    since: date | None = None,
    until: date | None = None,
    *,
    known: Known = lambda card: card,
    is_applied: bool = False,
) -> Repricing:
    """Rate the published days of a stretch of time again.

    Args:
        root: the warehouse.
        since: the first UTC day; None: the first that is published.
        until: the last UTC day, itself included; None: the last that is published.
        known: takes the rate table back to what was known at some time; its newest version rates all the days.
        is_applied: publish it, in one commit; else nothing is written.

    Raises:
        UsageError: nothing is published in that stretch.
        RateCardError: nothing was known then.
        IntegrityError: something does not add up; nothing was published.
    """
    warehouse = Warehouse(root)
    parent = warehouse.published()
    if not is_applied:
        return _plan(parent, since, until, known)[0]
    with warehouse.lock():
        parent = warehouse.published()
        plan, after = _plan(parent, since, until, known)
        return plan if plan.is_empty else replace(plan, snapshot=_publish(warehouse, parent, plan, after))


def _plan(parent: Snapshot, since: date | None, until: date | None, known: Known) -> tuple[Repricing, pl.DataFrame]:
    """What changes, and the rollups of the days as they are rated anew."""
    expired, days = _days(parent, since, until)
    table = card_of(parent)
    card = known(table)
    version = card.newest()
    facts = parent.manifest["days"]
    is_as_known = version < table.newest()
    behind = [day for day in days if not _is_rated_with(facts[day.isoformat()], version, is_as_known)]
    # What the newest version rated would come out the same. An older one may have judged what has no price otherwise.
    again = days if is_as_known else behind
    before = summed_cells(published_whole(parent, again))
    quantities = quantities_behind(parent, again, before, table, card)
    after = pl.DataFrame(rate(quantities, card)) if quantities.height else _nothing()
    moves = moves_between(before, after)
    closed = closed_months(parent)
    changed = sorted(
        {move.names[0] for move in moves if not (move.is_same_price and month_of(move.names[0]) in closed)}
    )
    untouched = _cost_of(published_whole(parent, sorted(set(days) - set(again))))
    plan = Repricing(
        version,
        days,
        expired,
        [move for move in moves if not move.is_same_price],
        sum(move.is_same_price for move in moves),
        changed,
        sorted(set(behind) - set(changed)),
        {month_of(day): booking_period(day, closed) for day in changed if month_of(day) in closed},
        untouched + _cost_of(before),
        untouched + _cost_of(after),
        _origins(table, moves),
        is_as_known,
    )
    _require_sums(plan, before, after)
    return plan, after


def _days(parent: Snapshot, since: date | None, until: date | None) -> tuple[list[date], list[date]]:
    """The published days of a stretch: those whose usage has expired, and those whose usage is there."""
    if since and until and until < since:
        raise UsageError(f"--until {until} is before --since {since}")
    published = parent.days()
    days = [day for day in published if (since or day) <= day <= (until or day)]
    if not days:
        held = f"the days are {published[0]} to {published[-1]}" if published else "there is no day at all"
        raise UsageError(f"nothing is published from {since or 'the first day'} to {until or 'the last'}; {held}")
    expired = set(parent.expired_days())
    with_usage = [day for day in days if day not in expired and parent.files("usage", day)]
    return [day for day in days if day in expired], with_usage


def _is_rated_with(facts: dict[str, Any], version: int, is_as_known: bool) -> bool:
    is_alone = facts["rate_version"] == version and not facts.get("healed")
    return is_alone and facts.get("as_known", False) == is_as_known


def _origins(table: RateCard, moves: Sequence[Move]) -> pl.DataFrame:
    """Where the rate rows of moves come from: a row stays in the table for good."""
    named = {row.rate_id for move in moves for row in (*move.left, *move.came)}
    versions = table.versions.select("rate_version", version_name="name")
    rows = table.rates.filter(pl.col("rate_id").is_in(list(named)))
    return rows.join(versions, on="rate_version").select("rate_id", "version_name", "source")


def _cost_of(rollups: pl.DataFrame) -> Decimal:
    total: Decimal = rollups.select(pl.col("cost_usd").sum()).item() or Decimal(0)
    return total


def _nothing() -> pl.DataFrame:
    return pl.DataFrame(schema=polars_schema("rollups"))


def _require_sums(plan: Repricing, before: pl.DataFrame, after: pl.DataFrame) -> None:
    """No quantity is lost or found, and what the cells move by is what the days move by."""
    held, holds = (
        frame.group_by("day", "meter")
        .agg(pl.col("quantity").sum())
        .filter(pl.col("quantity") != 0)
        .sort("day", "meter")
        for frame in (before, after)
    )
    moved = sum((move.delta_usd or Decimal(0) for move in plan.moves), Decimal(0))
    if not held.equals(holds) or moved != plan.delta_usd:
        raise IntegrityError(
            f"repricing does not add up: {plan.old_cost_usd} USD and {moved} are not {plan.new_cost_usd}, or "
            "quantities differ; nothing was published. Run `costroll verify`"
        )


def _publish(warehouse: Warehouse, parent: Snapshot, plan: Repricing, after: pl.DataFrame) -> Snapshot:
    """Commit the changed days, and the version that days take."""
    builder = warehouse.begin(parent)
    try:
        whole = after.filter(pl.col("day").is_in(plan.changed))
        expected = book(parent, builder, plan.changed, whole, closed_months(parent))
    except BaseException:
        builder.discard()
        raise
    facts = {
        **members_of_state(parent),
        "action": "reprice",
        "repriced": {
            "rate_version": plan.rate_version,
            "days": plan.changed,
            "old_cost_usd": plan.old_cost_usd,
            "new_cost_usd": plan.new_cost_usd,
        },
        "days": _days_facts(parent, plan),
        "expected": expected,
    }
    snapshot = builder.commit(facts)
    analyst.build_database(warehouse, snapshot)
    return snapshot


def _days_facts(parent: Snapshot, plan: Repricing) -> dict[str, Any]:
    """What the manifest keeps of each day: rated with this one version, from the same candidates.

    As known once, also what has no price was not tried at a newer version; the next record of the day ends that.
    """
    before = parent.manifest["days"]
    known = {"as_known": True} if plan.is_as_known else {}
    return {
        name: {"rate_version": plan.rate_version, "candidates": before[name].get("candidates", {}), **known}
        for name in (day.isoformat() for day in [*plan.changed, *plan.kept])
    }
