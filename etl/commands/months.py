"""`costroll report budgets` and `report forecast`: a month beside its limits, and to its end."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etl.commands.attributing import by_of, mapping_of
from etl.commands.options import Settings

if TYPE_CHECKING:
    from etl.forecasting import Forecast
    from etl.manifest import Snapshot

REPORTS = {
    "budgets": "budgets beside what the month has cost so far, and an estimate of its end",
    "forecast": "an estimate of what the month will have cost when it ends",
}
ESTIMATED = (
    "what is called an estimate is one, to the cent: a day to come is taken for the mean of its weekday in "
    "the 28 days before, and four of five months should end between low and high"
)
_NOBODY = "nobody has that name"
_ESTIMATE = ("estimate_usd", "estimate_low_usd", "estimate_high_usd")
Table = tuple[list[str], list[list[Any]]]


def budgets(
    settings: Settings, snapshot: Snapshot, month: str | None, as_of: date | None, mapping: Path | None
) -> tuple[Table, bool]:
    """The budgets as a table, and whether any is over."""
    from etl.budgets import check, newest_month

    month = month or newest_month(snapshot)
    file = settings.file()
    kept = check(snapshot, file.budget.limit, mapping_of(settings, mapping), month, as_of)
    columns = ["budget", "by", "value", "month", "limit_usd", "spent_usd", "left_usd", "status", *_ESTIMATE]
    columns += ["unpriced", "records_expired_usd", "note"]
    rows = [
        [
            one.limit.name, one.limit.by, one.limit.value, month, one.limit.usd, one.forecast.spent_usd,
            one.limit.usd - one.forecast.spent_usd, one.status, *_estimated(one.forecast),
            one.costs.unpriced or None, one.costs.unknown_usd or None, _NOBODY if one.is_of_nobody else None,
        ]
        for one in kept
    ]  # fmt: skip
    return (columns, rows), any(one.is_over for one in kept)


def forecasts(
    settings: Settings, snapshot: Snapshot, month: str | None, as_of: date | None, by: str | None, mapping: Path | None
) -> Table:
    """The forecast of everything, or of each key, as a table."""
    from etl.budgets import costs_by, known_until, newest_month
    from etl.forecasting import forecast

    month = month or newest_month(snapshot)
    first, last = known_until(snapshot, month, as_of)
    found = costs_by(snapshot, by_of(settings, by, mapping) if by else None, month, last)
    columns = [*([by] if by else []), "month", "known_until", "spent_usd", "days_left", "basis_days"]
    columns += [*_ESTIMATE, "unpriced"]
    rows = []
    for key, costs in sorted(found.items(), key=lambda item: (item[0] is None, item[0] or "")):
        one = forecast(costs.by_day, month, first, last)
        facts = [month, last, one.spent_usd, one.days_left, one.basis_days, *_estimated(one), costs.unpriced or None]
        rows.append([*([key] if by else []), *facts])
    return columns, rows


def _estimated(one: Forecast) -> list[Decimal | None]:
    return [one.estimate_usd, one.low_usd, one.high_usd]
