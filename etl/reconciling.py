"""Compare what Costroll rated with what the provider billed, line by line, so that nothing cancels out unseen.

Grain: each day is compared by the dimensions that both sides have on that day. Every row of ours and every line of the
bill stands in exactly one line of the comparison; what has no counterpart, or no price, is a line of its own.
Units: USD, exact; difference = ours - theirs; an unpriced row counts as nothing in ours, and is listed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TypeVar

import polars as pl

from etl.errors import IntegrityError
from etl.statements import EXACT, Statement, StatementLine
from etl.statements.matching import DIMENSIONS, ZERO, Cell, OurRow, compared, dimensions_of

__all__ = ["DIMENSIONS", "Cell", "Coverage", "Reconciliation", "reconcile"]

_Item = TypeVar("_Item", OurRow, StatementLine)


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
        accounts: ours on the days compared; None stands for rows without an account.
        organizations: theirs.
        other_providers: whose rows of ours are left out.
    """

    days: tuple[date, ...]
    blank_days: tuple[date, ...]
    our_days: tuple[date, ...]
    our_days_outside: tuple[date, ...]
    missing_from_ours: tuple[date, ...]
    missing_from_theirs: tuple[date, ...]
    accounts: tuple[str | None, ...]
    organizations: tuple[str, ...]
    other_providers: tuple[str, ...]


@dataclass(frozen=True)
class Reconciliation:
    """The comparison.

    Attributes:
        grains: dimensions, besides the day, by which days are compared -> those days; only days that both sides have.
        cells: every line, sorted by day and dimensions.
    """

    coverage: Coverage
    grains: dict[tuple[str, ...], tuple[date, ...]]
    cells: tuple[Cell, ...]
    ours_usd: Decimal
    theirs_usd: Decimal
    tolerance_usd: Decimal

    @property
    def difference_usd(self) -> Decimal:
        """Ours less theirs, over all lines."""
        return EXACT.subtract(self.ours_usd, self.theirs_usd)

    @property
    def absolute_usd(self) -> Decimal:
        """The sum of the differences without their signs, in which opposite errors do not cancel."""
        return _sum(cell.difference_usd.copy_abs() for cell in self.cells)

    @property
    def beyond(self) -> tuple[Cell, ...]:
        """The lines that alone are beyond the tolerance."""
        return tuple(cell for cell in self.cells if cell.difference_usd.copy_abs() > self.tolerance_usd)

    def facts(self) -> dict[str, object]:
        """Everything about it, for a program; every amount exact."""
        return {
            "coverage": asdict(self.coverage),
            "grains": [{"dimensions": ["day", *grain], "days": days} for grain, days in self.grains.items()],
            "lines": [cell.facts() for cell in self.cells],
            "ours_usd": self.ours_usd,
            "theirs_usd": self.theirs_usd,
            "difference_usd": self.difference_usd,
            "absolute_difference_usd": self.absolute_usd,
            "tolerance_usd": self.tolerance_usd,
            "lines_beyond_tolerance": len(self.beyond),
            "is_reconciled": self.is_reconciled,
        }

    @property
    def is_reconciled(self) -> bool:
        """Whether neither the total nor any single line is beyond the tolerance."""
        return self.difference_usd.copy_abs() <= self.tolerance_usd and not self.beyond


def reconcile(
    ours: pl.DataFrame, statement: Statement, tolerance_usd: Decimal, aliases: pl.DataFrame | None = None
) -> Reconciliation:
    """Hold rollups against a bill.

    Args:
        ours: rows of the table `rollups`, of all providers and meters.
        statement: the bill.
        tolerance_usd: how far the total, and each line, may be off.
        aliases: the table `aliases`: the bill may name a snapshot where we have its alias, or the other way round.

    Raises:
        IntegrityError: the lines do not add up to the totals.
    """
    own = ours.filter(pl.col("provider") == statement.provider)
    compared_rows = own.filter(pl.col("day").is_in(list(statement.span)))
    rows, lines = _by_day(_charged(compared_rows)), _by_day(statement.lines)
    said = _dimensions_in(statement.lines)
    cells: list[Cell] = []
    grains: dict[tuple[str, ...], list[date]] = defaultdict(list)
    for day in sorted(statement.span):
        grain = _grain(rows[day], lines[day], said)
        if rows[day] and lines[day]:
            grains[grain].append(day)
        cells += compared(day, rows[day], lines[day], grain, _aliases_on(day, aliases, statement.provider))
    result = Reconciliation(
        _coverage(ours, own, statement),
        {grain: tuple(days) for grain, days in grains.items()},
        tuple(cells),
        _ours_total(compared_rows),
        _sum(line.amount_usd for line in statement.lines),
        tolerance_usd,
    )
    if _sum(cell.difference_usd for cell in cells) != result.difference_usd:
        raise IntegrityError("the lines of the comparison do not add up to its total: a bug of ours, please report it")
    return result


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total


def _ours_total(rows: pl.DataFrame) -> Decimal:
    """The plain sum of the column, apart from the way the lines are made: the two must agree."""
    total = rows["cost_usd"].sum()
    return total if isinstance(total, Decimal) else ZERO


def _charged(rows: pl.DataFrame) -> list[OurRow]:
    """Our rows, summed over rates and context bands; without the counts of requests, which nobody bills."""
    key = [name for name in OurRow._fields if name not in ("quantity", "cost_usd")]
    summed = (
        rows.filter(pl.col("price_status") != "not_charged")
        .group_by(*key, pl.col("cost_usd").is_null().alias("is_unpriced"))
        .agg(pl.col("quantity").sum(), pl.col("cost_usd").sum())
        # A sum over nothing but NULL is 0 to Polars, and no price to us.
        .with_columns(pl.when(~pl.col("is_unpriced")).then(pl.col("cost_usd")).alias("cost_usd"))
        # What a correction took back in full is no row; a quantity that moved to another rate is one.
        .filter((pl.col("quantity") != 0) | (pl.col("cost_usd").fill_null(0) != 0))
    )
    return [OurRow(*values) for values in summed.select(OurRow._fields).rows()]


def _by_day(items: Iterable[_Item]) -> dict[date, list[_Item]]:
    found: dict[date, list[_Item]] = defaultdict(list)
    for item in items:
        found[item.day].append(item)
    return found


def _dimensions_in(items: Sequence[OurRow] | Sequence[StatementLine]) -> set[str]:
    return {name for item in items for name, value in dimensions_of(item).items() if value is not None}


def _grain(rows: Sequence[OurRow], lines: Sequence[StatementLine], said: Set[str]) -> tuple[str, ...]:
    """The dimensions that both sides have on a day; of a day that only we have, those that the bill has elsewhere."""
    theirs = _dimensions_in(lines) if lines else said
    ours = _dimensions_in(rows) if rows else theirs
    shared = theirs & ours if _share_projects(rows, lines) else theirs & ours - {"project_id"}
    return tuple(name for name in DIMENSIONS if name in shared)


def _share_projects(rows: Sequence[OurRow], lines: Sequence[StatementLine]) -> bool:
    """Whether projects can be compared: each row of ours names one, and they are those of the bill."""
    if not rows or not lines:
        return True
    ours = {row.project_id for row in rows}
    return None not in ours and not ours.isdisjoint(line.project_id for line in lines)


def _aliases_on(day: date, aliases: pl.DataFrame | None, provider: str) -> dict[str, set[str]]:
    """The models each alias stood for at any moment of a day, as known now."""
    if aliases is None:
        return {}
    start = datetime.combine(day, time())
    in_force = aliases.filter(
        pl.col("provider") == provider,
        pl.col("superseded_at").is_null(),
        pl.col("effective_from").is_null() | (pl.col("effective_from") < start + timedelta(days=1)),
        pl.col("effective_to").is_null() | (pl.col("effective_to") > start),
    )
    found: dict[str, set[str]] = defaultdict(set)
    for alias, model in in_force.select("alias", "model").rows():
        found[alias].add(model)
    return found


def _coverage(ours: pl.DataFrame, own: pl.DataFrame, statement: Statement) -> Coverage:
    our_days, billed = set(own["day"]), {line.day for line in statement.lines}
    in_range = own.filter(pl.col("day").is_in(list(statement.span)))
    accounts = sorted(in_range["account_id"].unique().to_list(), key=lambda account: account or "")
    return Coverage(
        days=tuple(sorted(statement.span)),
        blank_days=tuple(sorted(statement.days - billed)),
        our_days=tuple(sorted(our_days & statement.span)),
        our_days_outside=tuple(sorted(our_days - statement.span)),
        missing_from_ours=tuple(sorted(billed - our_days)),
        missing_from_theirs=tuple(sorted(statement.span - statement.days)),
        accounts=tuple(accounts),
        organizations=tuple(sorted({line.organization_id for line in statement.lines if line.organization_id})),
        other_providers=tuple(sorted(set(ours["provider"].unique()) - {statement.provider})),
    )
