"""Budgets of the settings file beside what a month has cost so far, and will by its end.

Grain: one line is one budget. A budget is of the usage of a calendar month (UTC), whenever it is booked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from etl import analyst
from etl.attribution import EXPIRED, By, days_between, report
from etl.cost_settings import Limit
from etl.errors import UsageError
from etl.forecasting import BASIS_DAYS, Forecast, forecast
from etl.manifest import Snapshot
from etl.mapping import DIMENSIONS, read_mapping
from etl.periods import days_of, month_of


@dataclass(frozen=True)
class Costs:
    """The costs of everything, or of one key, by day.

    Attributes:
        by_day: day -> cost of what has a price.
        unpriced: units of the month without a price.
        unknown_usd: cost of the month for which no key is known, as the records have expired.
    """

    by_day: dict[date, Decimal]
    unpriced: int = 0
    unknown_usd: Decimal = Decimal(0)


@dataclass(frozen=True)
class Kept:
    """A budget and how it stands.

    Attributes:
        limit: as in the settings.
        costs: so far.
        forecast: to the month's end.
        is_of_nobody: nobody of that name has used anything in the month, or in the 28 days that the forecast rests on.
    """

    limit: Limit
    costs: Costs
    forecast: Forecast
    is_of_nobody: bool = False

    @property
    def is_over(self) -> bool:
        """Whether more is spent than the limit; the limit itself is not."""
        return self.forecast.spent_usd > self.limit.usd

    @property
    def status(self) -> str:
        """`over`, `likely over` where the estimate is, or `within`."""
        if self.is_over:
            return "over"
        estimate = self.forecast.estimate_usd
        return "likely over" if estimate is not None and estimate > self.limit.usd else "within"


def newest_month(snapshot: Snapshot) -> str:
    """The month of the newest published day."""
    days = snapshot.days()
    if not days:
        raise UsageError("nothing is published yet; run `costroll run PATH`")
    return month_of(days[-1])


def known_until(snapshot: Snapshot, month: str, as_of: date | None) -> tuple[date, date]:
    """The first day there is anything of, and the last one that counts as known: given, else the newest published.

    Raises:
        UsageError: the month has not begun by then.
    """
    days = snapshot.days()
    last = as_of or days[-1]
    if month_of(last) < month:
        raise UsageError(f"{month} has not begun on {last}, the last day that is known")
    return days[0], last


def check(
    snapshot: Snapshot, limits: Iterable[Limit], mapping: Path | None, month: str, as_of: date | None
) -> list[Kept]:
    """How every budget stands.

    Raises:
        UsageError: there is none, or one is by something there is not.
    """
    first, last = known_until(snapshot, month, as_of)
    kept = []
    found: dict[str | None, Mapping[str | None, Costs]] = {}
    for limit in limits:
        by = _by(limit.by, mapping)
        if limit.by not in found:
            found[limit.by] = costs_by(snapshot, by, month, last)
        is_of_nobody = limit.by is not None and limit.value not in found[limit.by]
        costs = found[limit.by].get(limit.value, Costs({}))
        if limit.by is not None:
            costs = Costs(costs.by_day, costs.unpriced, found[limit.by].get(None, costs).unknown_usd)
        kept.append(Kept(limit, costs, forecast(costs.by_day, month, first, last), is_of_nobody))
    if not kept:
        raise UsageError("there is no budget: put [[budget.limit]] with a name and usd into costroll.toml")
    return kept


def _by(name: str | None, mapping: Path | None) -> By | None:
    return None if name is None else By(name, None if mapping is None or name in DIMENSIONS else read_mapping(mapping))


def costs_by(snapshot: Snapshot, by: By | None, month: str, last: date) -> dict[str | None, Costs]:
    """Key -> its costs in the month and the 28 days before its last known day; everything stands under None."""
    since = min(days_of(month)[0], last - timedelta(days=BASIS_DAYS - 1))
    rows = _whole(snapshot, since, last) if by is None else _by_key(snapshot, by, since, last)
    found: dict[str | None, dict[str, Any]] = {}
    for day, key, usd, unpriced, note in rows:
        one = found.setdefault(key, {"by_day": {}, "unpriced": 0, "unknown_usd": Decimal(0)})
        one["by_day"][day] = one["by_day"].get(day, Decimal(0)) + (usd or Decimal(0))
        if month_of(day) == month:
            one["unpriced"] += unpriced or 0
            one["unknown_usd"] += (usd or Decimal(0)) if note == EXPIRED else 0
    return {key: Costs(**facts) for key, facts in found.items()}


def _by_key(snapshot: Snapshot, by: By, since: date, until: date) -> Iterable[tuple[Any, ...]]:
    found = report(snapshot, "days", by, since, until)
    places = [found.columns.index(name) for name in ("day", by.name, "cost_usd", "unpriced", "note")]
    return (tuple(row[at] for at in places) for row in found.rows)


def _whole(snapshot: Snapshot, since: date, until: date) -> Iterable[tuple[Any, ...]]:
    from_day, to_day = days_between(since, until)
    return analyst.query(
        snapshot,
        "SELECT day, NULL, sum(cost_usd)::DECIMAL(38, 12), sum(quantity) FILTER (WHERE cost_usd IS NULL)::BIGINT, NULL "  # noqa: S608
        f"FROM net_rollups WHERE day >= {from_day} AND day < {to_day} GROUP BY day",
    ).rows
