"""What a named report reads and gives, in USD alone or with another currency beside it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from etl import analyst
from etl.display import money
from etl.engine import sql
from etl.errors import UsageError
from etl.fx import as_sql, days_without, read_fx
from etl.manifest import Snapshot

# In the order of the columns of reports/caveats.
_CAVEATS = (
    "rest on tokens that Costroll counted, as their usage was not logged",
    "are a lower bound: aggregates that may hide requests of long context",
    "are an upper bound: logs that do not tell cached input apart",
    "rest on inferred rates",
)
Rows = tuple[Sequence[str], Sequence[Sequence[Any]]]


def plain_rows(snapshot: Snapshot, name: str, since: date | None, until: date | None) -> Rows:
    """The columns and rows of a report over the days from `since` to `until`, both included; None is open."""
    return _answer(snapshot, _chosen(name, since, until), _query(name))


def caveats(snapshot: Snapshot, since: date | None, until: date | None) -> list[str]:
    """What of the costs of these days is not exact, or rests on a judgement: a sentence for each kind."""
    _, [amounts] = plain_rows(snapshot, "caveats", since, until)
    return [f"of it {money(amount)} USD {what}" for amount, what in zip(amounts, _CAVEATS, strict=True) if amount]


def _query(name: str) -> str:
    return sql(f"reports/{name}")


def _answer(snapshot: Snapshot, chosen: str, text: str) -> Rows:
    answer = analyst.query(snapshot, f"{chosen}\n{text}")
    return answer.columns, list(answer.rows)


def with_currency(
    snapshot: Snapshot,
    name: str,
    stretch: tuple[date | None, date | None],
    currency: str,
    fx: Path,
    plain: Rows,
) -> Rows:
    """The report with a column in the currency after each cost in USD: each day's cost at that day's rate, exact."""
    columns, rows = plain
    costs = [column for column in columns if column.endswith("_usd") and column.startswith("cost")]
    if not costs:
        raise UsageError(f"report {name} has no costs to show in {currency}")
    rates = read_fx(fx, currency)
    charged = "SELECT DISTINCT day FROM chosen WHERE cost_usd <> 0 OR list_cost_usd <> 0 ORDER BY day"
    _, days = _answer(snapshot, _chosen(name, *stretch), charged)
    if missing := days_without(rates, [day for (day,) in days]):
        raise UsageError(
            f"{fx.name} has no rate of {currency} for {', '.join(map(str, missing[:5]))}"
            f"{f' and {len(missing) - 5:,} more days' if len(missing) > 5 else ''}; add them, or choose other days"
        )
    again, converted = _answer(snapshot, _chosen(name, *stretch, as_sql(rates)), _query(name))
    at = [columns.index(column) for column in costs]
    # The rows may come in another order, as some reports sort by cost: what is no cost tells them apart.
    amounts = {_without(row, at): [row[place] for place in at] for row in converted}
    assert again == columns and len(amounts) == len(rows)
    shown = [
        column for name in columns for column in ([name, in_currency(name, currency)] if name in costs else [name])
    ]
    beside = [
        tuple(
            cell
            for place, value in enumerate(row)
            for cell in ([value, amounts[_without(row, at)][at.index(place)]] if place in at else [value])
        )
        for row in rows
    ]
    return shown, beside


def _without(row: Sequence[Any], places: list[int]) -> tuple[Any, ...]:
    return tuple(value for place, value in enumerate(row) if place not in places)


def in_currency(column: str, currency: str) -> str:
    """The name of a cost in the currency.

    >>> in_currency("cost_after_usd", "EUR")
    'cost_after_eur'
    """
    return f"{column.removesuffix('usd')}{currency.lower()}"


def _chosen(name: str, since: date | None, until: date | None, fx: str | None = None) -> str:
    """What every report reads: the rows of the chosen days, their costs in a currency where its rates are given."""
    relation = "rollups" if name == "periods" else "net_rollups"
    conditions = [f"day >= DATE '{since}'"] if since else []
    conditions += [f"day <= DATE '{until}'"] if until else []
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    if fx is None:
        return f"WITH chosen AS (SELECT * FROM {relation}{where})"  # noqa: S608  # nothing but dates is put in
    # A cost of zero needs no rate. 26 + 12 digits are what a DECIMAL holds, so the product is exact.
    amounts = [
        f"coalesce({cost}::DECIMAL(26, 12) * units_per_usd, if({cost} = 0, 0::DECIMAL(38, 18), NULL)) AS {cost}"
        for cost in ("cost_usd", "list_cost_usd")
    ]
    joined = f"{relation} LEFT JOIN {fx} ON day >= since AND day < until{where}"
    return (
        f"WITH chosen AS (SELECT * EXCLUDE (since, until, units_per_usd) "  # noqa: S608
        f"REPLACE ({', '.join(amounts)}) FROM {joined})"
    )
