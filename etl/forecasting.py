"""What a month will have cost when it ends: an estimate, with the interval in which four of five should lie.

The one place where a figure of Costroll is not exact. Known days count as they are; each day to come is taken for the
mean of its weekday in the 28 days before, or of all of them where there are fewer than 14. The interval is that of a
normal distribution of the days around these means, and widens with the error of the means themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal

from etl.periods import days_of

BASIS_DAYS = 28
BY_WEEKDAY_FROM = 14
INTERVAL_FROM = 7
# Four of five: a tenth of a normal distribution lies beyond 1.2816 standard deviations on either side.
_DEVIATIONS = Decimal("1.2816")
_CENT = Decimal("0.01")
_CONTEXT = Context(prec=50)


@dataclass(frozen=True)
class Forecast:
    """A month to its end.

    Attributes:
        spent_usd: of the known days, exact.
        days_left: how many days are still to come.
        basis_days: how many days the estimate rests on.
        estimate_usd, low_usd, high_usd: to the cent. Of a month that is over, what it cost. NULL where there is nothing
            to go by; the interval also where there are fewer than 7 days.
    """

    spent_usd: Decimal
    days_left: int
    basis_days: int
    estimate_usd: Decimal | None
    low_usd: Decimal | None
    high_usd: Decimal | None


def forecast(costs: Mapping[date, Decimal], month: str, first: date, last: date) -> Forecast:
    """Estimate a month.

    Args:
        costs: day -> cost; a day between `first` and `last` that is not there cost nothing.
        month: such as 2026-10.
        first: the first day there are records of.
        last: the last day that is known whole.
    """
    days = days_of(month)
    spent = sum((costs.get(day, Decimal(0)) for day in days if day <= last), Decimal(0))
    left = [day for day in days if day > last]
    start = max(first, last - timedelta(days=BASIS_DAYS - 1))
    basis = [start + timedelta(days=at) for at in range((last - start).days + 1)]
    if not left:
        return Forecast(spent, 0, len(basis), _cents(spent), _cents(spent), _cents(spent))
    groups = _groups(basis)
    if not groups:
        return Forecast(spent, len(left), 0, None, None, None)
    means = {name: _mean([costs.get(day, Decimal(0)) for day in members]) for name, members in groups.items()}
    estimate = spent + sum((means[_group(day, groups)] for day in left), Decimal(0))
    half = _half_width(costs, groups, means, left)
    if half is None or len(basis) < INTERVAL_FROM:
        return Forecast(spent, len(left), len(basis), _cents(estimate), None, None)
    low = max(spent, estimate - half)
    return Forecast(spent, len(left), len(basis), _cents(estimate), _cents(low), _cents(estimate + half))


def _groups(basis: list[date]) -> dict[int, list[date]]:
    """The days that share a mean: weekdays, or all of them under the name -1."""
    if not basis:
        return {}
    if len(basis) < BY_WEEKDAY_FROM:
        return {-1: basis}
    return {weekday: [day for day in basis if day.weekday() == weekday] for weekday in range(7)}


def _group(day: date, groups: Mapping[int, list[date]]) -> int:
    return day.weekday() if day.weekday() in groups else -1


def _mean(values: list[Decimal]) -> Decimal:
    return _CONTEXT.divide(sum(values, Decimal(0)), Decimal(len(values)))


def _half_width(
    costs: Mapping[date, Decimal], groups: Mapping[int, list[date]], means: Mapping[int, Decimal], left: list[date]
) -> Decimal | None:
    """Half of the interval: z x sqrt(s2 x (m + sum of m_g2 / n_g)), for m days to come, m_g of them in group g."""
    free = sum(map(len, groups.values())) - len(groups)
    if free < 1:
        return None
    squares = [(costs.get(day, Decimal(0)) - means[name]) ** 2 for name, members in groups.items() for day in members]
    variance = _CONTEXT.divide(sum(squares, Decimal(0)), Decimal(free))
    spread = Decimal(len(left))
    for name, members in groups.items():
        to_come = sum(1 for day in left if _group(day, groups) == name)
        spread += _CONTEXT.divide(Decimal(to_come * to_come), Decimal(len(members)))
    return _DEVIATIONS * _CONTEXT.sqrt(variance * spread)


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT, ROUND_HALF_EVEN, _CONTEXT)
