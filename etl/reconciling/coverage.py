"""Which days each side speaks of; the first thing to look at, before any amount."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

import polars as pl

from etl.reconciling.counts import UsageCount
from etl.statements import Statement


@dataclass(frozen=True)
class Coverage:
    """Which days and accounts each side speaks of.

    Attributes:
        days: every day from the first to the last of each file of the bill: what is compared.
        blank_days: covered by the bill, without an amount.
        our_days: those of `days` on which we have anything.
        our_days_outside: ours, and not compared.
        missing_from_ours: billed, and nothing of ours.
        missing_from_theirs: inside the bill's range, and not covered by it: a day that was lost, or never exported.
        filling_days: not over, or so recent that the provider may still add to them.
        accounts: ours on the days compared; None stands for rows without an account.
        organizations: theirs.
        other_providers: whose rows of ours are left out.
        counted_days: those of `days` that usage exports cover.
        coarse_days: those of `counted_days` on which they are not grouped as finely as the lines, and are not used.
        counted_requests, our_requests: of the days that usage exports cover.
    """

    days: tuple[date, ...]
    blank_days: tuple[date, ...]
    our_days: tuple[date, ...]
    our_days_outside: tuple[date, ...]
    missing_from_ours: tuple[date, ...]
    missing_from_theirs: tuple[date, ...]
    filling_days: tuple[date, ...]
    accounts: tuple[str | None, ...]
    organizations: tuple[str, ...]
    other_providers: tuple[str, ...]
    counted_days: tuple[date, ...]
    coarse_days: tuple[date, ...]
    counted_requests: int
    our_requests: int


# A provider's bill of a day is taken as settled after so many days.
SETTLED_AFTER_DAYS = 2


def coverage(
    ours: pl.DataFrame,
    own: pl.DataFrame,
    statement: Statement,
    counts: UsageCount,
    coarse: frozenset[date],
    today: date | None = None,
) -> Coverage:
    """Say which days each side covers.

    Args:
        ours: rows of the table `rollups`.
        own: those of the bill's provider.
        statement: the bill.
        counts: the provider's usage exports.
        coarse: the days on which they are not grouped finely enough.
        today: the UTC day it is.
    """
    now = today or datetime.now(UTC).date()
    our_days, billed = set(own["day"]), {line.day for line in statement.lines}
    in_range = own.filter(pl.col("day").is_in(list(statement.span)))
    accounts = sorted(in_range["account_id"].unique().to_list(), key=lambda account: account or "")
    counted = counts.days & statement.span
    requests = own.filter(pl.col("meter") == "requests", pl.col("day").is_in(list(counted)))["quantity"].sum()
    return Coverage(
        days=tuple(sorted(statement.span)),
        blank_days=tuple(sorted(statement.days - {statement.billed_on(day) for day in billed} - _within(statement))),
        our_days=tuple(sorted(our_days & statement.span)),
        our_days_outside=tuple(sorted(our_days - statement.span)),
        missing_from_ours=tuple(sorted(billed - {statement.billed_on(day) for day in our_days})),
        missing_from_theirs=tuple(sorted(statement.span - statement.days)),
        filling_days=tuple(sorted(day for day in statement.span if (now - day).days < SETTLED_AFTER_DAYS)),
        accounts=tuple(accounts),
        organizations=tuple(sorted({line.organization_id for line in statement.lines if line.organization_id})),
        other_providers=tuple(sorted(set(ours["provider"].unique()) - {statement.provider})),
        counted_days=tuple(sorted(counted)),
        coarse_days=tuple(sorted(coarse)),
        counted_requests=counts.requests,
        our_requests=int(requests or 0),
    )


def _within(statement: Statement) -> set[date]:
    """The days that are billed under the first of their stretch."""
    return set(statement.stretches)
