"""Give every line's difference its names: first what quantities explain, then what prices do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from etl.errors import IntegrityError
from etl.reconciling.findings import Finding, total
from etl.reconciling.items import MILLIONTH, PER_MILLION, Ground, Item, by_cell, items_of
from etl.reconciling.prices import explain_prices, joined_discounts, prices_for
from etl.reconciling.quantities import Expected, explain_quantities, repeated_in
from etl.reconciling.rate_book import RateBook
from etl.reconciling.repeats import Repeat
from etl.statements import EXACT
from etl.statements.matching import ZERO, Cell

_BATCHES = ("batch", None)
_STEADY_DAYS = 3
# Model, tier, meter and caching status, and USD a unit.
_Priced = tuple[str | None, str | None, str | None, str | None, Fraction]


def explain(
    cells: Sequence[Cell],
    ground: Ground,
    repeated: Sequence[Repeat],
    expected: Sequence[Expected],
    days: Sequence[date],
) -> list[Finding]:
    """Name every difference.

    Args:
        cells: the lines of the comparison.
        ground: rates, aliases and what is counted.
        repeated: what our logs hold twice.
        expected: timing items of an earlier month.
        days: those of the bill, in order.

    Raises:
        IntegrityError: the findings of a line do not add up to its difference.
    """
    items = items_of(cells, ground)
    own = by_cell(items)
    extra = {id(item): quantity for file in repeated_in(items, repeated).values() for item, quantity in file}
    single = [own[id(cell)][0] for cell in cells if len(own[id(cell)]) == 1]
    steady = _steady_prices(single, extra)
    for item in single:
        _imply(item, ground.book, extra.get(id(item), 0), steady)
    found = explain_quantities(items, repeated, expected, days)
    left = {id(cell): cell.difference_usd for cell in cells}
    for one in found:
        left[id(one.cell)] = EXACT.subtract(left[id(one.cell)], one.amount_usd)
    found += _over_midnight(cells, left)
    for cell in cells:
        if left[id(cell)] or cell.difference_usd:
            found += explain_prices(cell, own[id(cell)], left[id(cell)], ground.book)
    found = joined_discounts([one for one in found if one.amount_usd])
    _require_closure(cells, found)
    return found


def _imply(item: Item, book: RateBook, extra: int, steady: Set[_Priced]) -> None:
    """The quantity of a line that has only an amount: ours if a price explains that, else what our rate makes it.

    Args:
        item: whose `counted` to set.
        book: the rates.
        extra: what of ours stands in two files; without it the amount may be explained at once.
        steady: the prices that ours would have on several days.
    """
    cell = item.cell
    if item.counted is not None:
        return
    if cell.theirs_usd is None:
        item.counted, item.basis = 0, "amount"
        return
    if item.rate is None or set(cell.over) - {"project_id"}:
        return
    allowed = total(line.rounding_usd for line in cell.lines)

    def explains(amount: Decimal) -> bool:
        return EXACT.subtract(amount, cell.theirs_usd or ZERO).copy_abs() <= allowed

    if extra and explains(item.worth(item.ours - extra)):
        item.counted, item.basis = item.ours - extra, "amount"
        return
    rates = [item.rate, *(price.rate for price in prices_for(item, book))] if item.ours else []
    amounts = [EXACT.multiply(EXACT.multiply(rate, Decimal(item.ours)), MILLIONTH) for rate in rates]
    if item.cost_usd is not None and item.ours:
        amounts.append(item.cost_usd)
    if any(map(explains, amounts)):
        item.counted, item.basis = item.ours, "amount"
        return
    if _priced(item, extra) in steady:
        item.counted, item.basis = item.ours - extra, "amount"
        return
    if item.rate:
        quantity, rest = divmod(EXACT.multiply(cell.theirs_usd, PER_MILLION), item.rate)
        if not rest and quantity >= 0:
            item.counted, item.basis = int(quantity), "amount"


def _priced(item: Item, extra: int) -> _Priced | None:
    """What the bill would ask for a unit of an item if it counted what we do; None where nothing can be told."""
    ours, theirs = item.ours - extra, item.cell.theirs_usd
    return (*item.key[1:5], Fraction(theirs) / ours) if theirs and ours > 0 else None


def _steady_prices(items: Sequence[Item], extra: Mapping[int, int]) -> Set[_Priced]:
    """The prices that come out the same on several days: a price that changed, not logs that happen to be lost so."""
    days: dict[_Priced, set[date]] = defaultdict(set)
    for item in items:
        if item.counted is None and (price := _priced(item, extra.get(id(item), 0))):
            days[price].add(item.key.day)
    return {price for price, found in days.items() if len(found) >= _STEADY_DAYS}


def _over_midnight(cells: Sequence[Cell], left: dict[int, Decimal]) -> list[Finding]:
    """Amounts that are missing on one day and too much on the next, to the last digit, where batches may be."""
    by_values: dict[tuple[object, ...], list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.is_understood and left[id(cell)] and cell.values[1] in _BATCHES:
            by_values[cell.values, cell.over].append(cell)
    found = []
    for group in by_values.values():
        for first, second in pairwise(group):
            amount = left[id(first)]
            is_next = second.day - first.day == timedelta(1)
            if is_next and amount > 0 and left[id(second)] == amount.copy_negate():
                words = f"the same amount is ours on {first.day} and billed on {second.day}"
                found += [Finding("day_boundary", first, amount, words)]
                found += [Finding("day_boundary", second, left[id(second)], words)]
                left[id(first)] = left[id(second)] = ZERO
    return found


def _require_closure(cells: Sequence[Cell], findings: Sequence[Finding]) -> None:
    sums: dict[int, Decimal] = defaultdict(lambda: ZERO)
    for one in findings:
        sums[id(one.cell)] = EXACT.add(sums[id(one.cell)], one.amount_usd)
    for cell in cells:
        if sums[id(cell)] != cell.difference_usd:
            raise IntegrityError(
                f"{cell.day}: the classes of a line do not add up to its difference: a bug of ours, please report it"
            )
