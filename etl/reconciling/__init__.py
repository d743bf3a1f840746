"""Compare what Costroll rated with what the provider billed, line by line, so that nothing cancels out unseen.

Grain: each day is compared by the dimensions that both sides have on that day. Every row of ours and every line of the
bill stands in exactly one line of the comparison; what has no counterpart, or no price, is a line of its own. A usage
export of the provider is a second witness: it tells wrong quantities from wrong prices. Every difference gets a name.
Units: USD, exact; difference = ours - theirs; an unpriced row counts as nothing in ours, and is listed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import NamedTuple, TypeVar

import polars as pl

from etl.errors import IntegrityError
from etl.reconciling.counts import UsageCount
from etl.reconciling.coverage import coverage
from etl.reconciling.explain import explain
from etl.reconciling.findings import Finding, total
from etl.reconciling.items import Ground
from etl.reconciling.quantities import Expected
from etl.reconciling.rate_book import RateBook
from etl.reconciling.repeats import Repeat
from etl.reconciling.result import Reconciliation, Tolerance
from etl.statements import Statement, StatementLine
from etl.statements.matching import DIMENSIONS, ZERO, Cell, OurRow, compared, dimensions_of

__all__ = ["DIMENSIONS", "Cell", "Finding", "Reconciliation", "Tolerance", "Witnesses", "reconcile"]

_Item = TypeVar("_Item", OurRow, StatementLine)
_NO_COUNT = UsageCount()


class Witnesses(NamedTuple):
    """What helps to name a difference; without any of it, less has a name.

    Attributes:
        aliases: the table `aliases`: the bill may name a snapshot where we have its alias, or the other way round.
        rates: the table `rates`.
        counts: the provider's usage exports.
        repeated: what our logs hold twice.
        expected: timing items that an earlier reconciliation carried over.
    """

    aliases: pl.DataFrame | None = None
    rates: pl.DataFrame | None = None
    counts: UsageCount = _NO_COUNT
    repeated: Sequence[Repeat] = ()
    expected: Sequence[Expected] = ()


def reconcile(
    ours: pl.DataFrame,
    statement: Statement,
    tolerance: Tolerance,
    witnesses: Witnesses | None = None,
    accepted: Iterable[str] = (),
) -> Reconciliation:
    """Hold rollups against a bill.

    Args:
        ours: rows of the table `rollups`, of all providers and meters.
        statement: the bill.
        tolerance: how far each line, each day and the total may be off.
        witnesses: what helps to name differences.
        accepted: classes whose amounts do not count against the tolerance.

    Raises:
        IntegrityError: the lines do not add up to the totals, or the findings not to a line's difference.
    """
    known = witnesses or Witnesses()
    own = ours.filter(pl.col("provider") == statement.provider)
    compared_rows = own.filter(pl.col("day").is_in(list(statement.span)))
    counted = [row for row in known.counts.rows if row.day in statement.span]
    rows, lines = _by_day(_charged(compared_rows), statement), _by_day(statement.lines, statement)
    counts = _by_day(counted, statement)
    aliases_on = cache(lambda day: _aliases_on(day, known.aliases, statement.provider))
    said, coarse = _dimensions_in(statement.lines), set[date]()
    cells: list[Cell] = []
    grains: dict[tuple[str, ...], list[date]] = defaultdict(list)
    for day in sorted({statement.billed_on(day) for day in statement.span}):
        grain = _grain(rows[day], lines[day], said)
        if lacking := _lacking(rows[day], counts[day], grain):
            if lacking == {"project_id"} and not _all_have_quantities(lines[day]):
                grain = tuple(name for name in grain if name != "project_id")  # so that all three sides meet
            else:
                coarse.add(day)
                counts[day] = []
        if rows[day] and lines[day]:
            grains[grain].append(day)
        cells += compared(day, rows[day], lines[day], grain, aliases_on(day), counts[day])
    every = [row for day in rows.values() for row in day]
    ground = Ground(
        RateBook(known.rates, statement.provider),
        aliases_on,
        {
            model: {statement.billed_on(day) for day in days & statement.span} - coarse
            for model, days in known.counts.days_of.items()
        },
        frozenset(day for day, own_lines in lines.items() if _all_have_quantities(own_lines)),
        with_projects=bool(counted) and _share_projects(every, counted) and not coarse,
    )
    findings = explain(cells, ground, known.repeated, known.expected, sorted(statement.span))
    result = Reconciliation(
        coverage(ours, own, statement, known.counts, frozenset(coarse)),
        {grain: tuple(days) for grain, days in grains.items()},
        tuple(cells),
        tuple(findings),
        _ours_total(compared_rows),
        total(line.amount_usd for line in statement.lines),
        tolerance,
        frozenset(accepted),
    )
    if total(one.amount_usd for one in findings) != result.difference_usd:
        raise IntegrityError(
            "the classes of the comparison do not add up to its total: a bug of ours, please report it"
        )
    return result


def _ours_total(rows: pl.DataFrame) -> Decimal:
    """The plain sum of the column, apart from the way the lines are made: the two must agree."""
    found = rows["cost_usd"].sum()
    return found if isinstance(found, Decimal) else ZERO


def _charged(rows: pl.DataFrame) -> list[OurRow]:
    """Our rows, without the counts of requests, which nobody bills."""
    key = [name for name in OurRow._fields if name not in ("quantity", "cost_usd")]
    summed = (
        rows.filter(pl.col("price_status") != "not_charged")
        .group_by(*key, pl.col("cost_usd").is_null().alias("is_unpriced"))
        .agg(pl.col("quantity").sum(), pl.col("cost_usd").sum())
        # A sum over nothing but NULL is 0 to Polars, and no price to us.
        .with_columns(pl.when(~pl.col("is_unpriced")).then(pl.col("cost_usd")).alias("cost_usd"))
        # What a correction took back in full is no row; a quantity that moved to another rate is one.
        .filter((pl.col("quantity") != 0) | (pl.col("cost_usd").fill_null(0) != 0))
        .sort(*key, nulls_last=True)
    )
    return [OurRow(*values) for values in summed.select(OurRow._fields).rows()]


def _by_day(items: Iterable[_Item], statement: Statement) -> dict[date, list[_Item]]:
    found: dict[date, list[_Item]] = defaultdict(list)
    for item in items:
        found[statement.billed_on(item.day)].append(item)
    return found


def _all_have_quantities(lines: Sequence[StatementLine]) -> bool:
    usual = [line for line in lines if line.dimensions.model is not None]
    return bool(usual) and all(line.quantity is not None for line in usual)


def _dimensions_in(items: Sequence[OurRow] | Sequence[StatementLine]) -> set[str]:
    return {name for item in items for name, value in dimensions_of(item).items() if value is not None}


def _grain(rows: Sequence[OurRow], lines: Sequence[StatementLine], said: Set[str]) -> tuple[str, ...]:
    """The dimensions that both sides have on a day; of a day that only we have, those that the bill has elsewhere."""
    theirs = _dimensions_in(lines) if lines else said
    ours = _dimensions_in(rows) if rows else theirs
    shared = theirs & ours if _share_projects(rows, lines) else theirs & ours - {"project_id"}
    return tuple(name for name in DIMENSIONS if name in shared)


def _share_projects(rows: Sequence[OurRow], others: Sequence[OurRow] | Sequence[StatementLine]) -> bool:
    """Whether projects can be compared: each row of ours names one, and they are those of the other side."""
    if not rows or not others:
        return True
    ours = {row.project_id for row in rows}
    return None not in ours and not ours.isdisjoint(other.project_id for other in others)


def _lacking(rows: Sequence[OurRow], counts: Sequence[OurRow], grain: Sequence[str]) -> set[str]:
    """The dimensions of a day's grain that the usage export is not grouped by: its counts cannot be put there."""
    tokens = [row for row in counts if row.unit == "tokens"]
    found = {name for name in ("model", "tier") if name in grain and any(getattr(row, name) is None for row in tokens)}
    if "project_id" in grain and tokens and not _share_projects(rows, tokens):
        found.add("project_id")
    return found


def _aliases_on(day: date, aliases: pl.DataFrame | None, provider: str) -> Mapping[str, Set[str]]:
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
