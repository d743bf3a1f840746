"""Closed months, and the one rule for what changes after a close.

A closed month's rollup files never change again. What a day of it should hold now, less what its frozen files hold, is
booked in the first month after it that is open, as corrections that keep their original day. So the rollups of a day
always add up to the day rated as a whole, whatever was closed when.

The booking depends on records, rates and closes alone, never on the clock: the same nights give the same bytes.
"""

from __future__ import annotations

import hashlib
from calendar import monthrange
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import Any

import polars as pl

from etl.errors import IntegrityError
from etl.manifest import add_money, period_of
from etl.schema import polars_schema

# What tells the rollup rows of a day apart, in the order in which sql/rollup.sql sorts them. The rate is part of it:
# a quantity that moves to another rate leaves its old cell and appears in a new one.
CELL = (
    "day", "account_id", "project_id", "provider", "model", "tier", "meter", "direction", "caching_status", "unit",
    "context_over_tokens", "rate_usd_per_million", "price_status", "rate_id", "rate_version", "priced_model",
    "source_kind", "is_estimated",
)  # fmt: skip
_RATE_ROW = ("rate_id", "rate_version")
MEASURES = ("quantity", "cost_usd", "list_cost_usd")
_MONEY = ("cost_usd", "list_cost_usd")


def month_of(day: date) -> str:
    """The month of a day.

    >>> month_of(date(2026, 10, 31))
    '2026-10'
    """
    return day.isoformat()[:7]


def month_after(month: str) -> str:
    """The following month.

    >>> month_after("2026-12")
    '2027-01'
    """
    year, number = map(int, month.split("-"))
    return f"{year + number // 12:04d}-{number % 12 + 1:02d}"


def days_of(month: str) -> list[date]:
    """Every day of a month."""
    year, number = map(int, month.split("-"))
    return [date(year, number, day) for day in range(1, monthrange(year, number)[1] + 1)]


def booking_period(day: date, closed: Collection[str]) -> str:
    """The month in which usage of a day is booked: its own, or the first after it that is not closed.

    >>> booking_period(date(2026, 10, 31), {"2026-10", "2026-11"})
    '2026-12'
    """
    month = month_of(day)
    while month in closed:
        month = month_after(month)
    return month


def booked(day: date, whole: pl.DataFrame, frozen: pl.DataFrame, closed: Collection[str]) -> pl.DataFrame:
    """What is to be booked for a day in its open period, so that everything booked for it adds up to the whole.

    Cell by cell the whole less what is frozen; a cell without a difference makes no row. A cell that became smaller, or
    whose rate changed, gives a negative quantity. In the day's own month a positive quantity is `usage`; everything
    else is a `correction`.

    Args:
        day: the UTC day.
        whole: everything that the day holds now, as rows of the table `rollups`. A cell may occur more than once, so
            rows that were rated at other times can be put together.
        frozen: the day's published rows whose accounting period is closed.
        closed: the closed months.

    Returns:
        Rows of the table `rollups`, sorted by their key.

    Raises:
        IntegrityError: a cost changed without its quantity or rate.
    """
    period = booking_period(day, closed)
    frozen = _renamed(frozen, whole)
    signed = pl.concat(
        [whole.select(*CELL, *MEASURES), frozen.select(*CELL, *(-pl.col(name) for name in MEASURES))], how="vertical"
    )
    is_own = pl.lit(period == month_of(day))
    rest = (
        signed.group_by(CELL)
        .agg(pl.col(*MEASURES).sum())
        .with_columns(
            # A sum over nothing but NULL is 0 to Polars, and no price to us.
            pl.when(~pl.col("price_status").str.starts_with("unpriced")).then(pl.col(name)).alias(name)
            for name in _MONEY
        )
    )
    kept = pl.concat([rest.filter(pl.col("quantity") != 0), _restated(rest, whole, frozen)])
    if any((kept[name].sum() or 0) != (rest[name].sum() or 0) for name in _MONEY):
        raise IntegrityError(f"{day}: a cost changed although its quantity and rate did not; nothing was published")
    charge_class = pl.when(is_own & (pl.col("quantity") > 0)).then(pl.lit("usage")).otherwise(pl.lit("correction"))
    schema = polars_schema("rollups")
    rows = kept.with_columns(accounting_period=pl.lit(period), charge_class=charge_class).sort(
        *CELL, "quantity", nulls_last=False
    )
    return rows.select(schema.names()).cast(schema)


def _renamed(frozen: pl.DataFrame, whole: pl.DataFrame) -> pl.DataFrame:
    """The frozen rows, under the rate row from which the whole has the same price now.

    An import that cuts a rate's stretch of time in two makes new rows of the same price: nothing to correct.
    """
    same = [name for name in CELL if name not in _RATE_ROW]
    gone = frozen.join(whole.select(CELL).unique(), on=CELL, how="anti", nulls_equal=True)
    now = whole.group_by(same).agg(pl.col(_RATE_ROW).first(), pl.col("rate_id").n_unique().alias("rows"))
    now = now.filter(pl.col("rows") == 1).drop("rows")
    renamed = gone.drop(_RATE_ROW).join(now, on=same, how="inner", nulls_equal=True).select(frozen.columns)
    if renamed.is_empty():
        return frozen
    kept = frozen.join(whole.select(CELL).unique(), on=CELL, how="semi", nulls_equal=True)
    left = gone.join(now, on=same, how="anti", nulls_equal=True)
    return pl.concat([kept, left, renamed])


def _restated(rest: pl.DataFrame, whole: pl.DataFrame, frozen: pl.DataFrame) -> pl.DataFrame:
    """Where only the list price beside a contract's rate changed: the quantity with a minus as it was, and anew."""
    is_as_before = (pl.col("quantity") == 0) & (pl.col("cost_usd") == 0)
    only = rest.filter(is_as_before & (pl.col("list_cost_usd") != 0)).select(CELL)
    sides = [
        side.join(only, on=CELL, how="semi", nulls_equal=True).group_by(CELL).agg(pl.col(*MEASURES).sum() * sign)
        for sign, side in ((-1, frozen), (1, whole))
    ]
    return pl.concat(sides).select(rest.columns)


def figures(entries: Iterable[Mapping[str, Any]], month: str) -> dict[str, Any]:
    """The files booked in a month and what they hold, as far as the manifest's entries say.

    Returns:
        `files` (path, sha256), `files_sha256`, `rows`, `quantities` by `meter/caching_status`, `cost_usd` and
        `list_cost_usd`. The one hash is over the lines `SHA256  PATH`, as `sha256sum` prints them, in the order of the
        paths.
    """
    of_month = sorted(
        (entry for entry in entries if period_of(entry["path"]) == month), key=lambda entry: str(entry["path"])
    )
    quantities: Counter[str] = Counter()
    costs = dict.fromkeys(_MONEY, "0.000000000000")
    for entry in of_month:
        for name, value in entry["sums"].items():
            if name in _MONEY:
                costs[name] = add_money(costs[name], value)
            else:
                quantities[name] += value
    lines = "".join(f"{entry['sha256']}  {entry['path']}\n" for entry in of_month)
    return {
        "files": [{"path": entry["path"], "sha256": entry["sha256"]} for entry in of_month],
        "files_sha256": hashlib.sha256(lines.encode()).hexdigest(),
        "rows": sum(entry["rows"] for entry in of_month),
        "quantities": {name: quantity for name, quantity in sorted(quantities.items()) if quantity},
        **costs,
    }


def closed_gaps(closed: Mapping[str, Mapping[str, Any]], entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Where a closed month is no longer what was closed, one line for each difference.

    Args:
        closed: month -> what the manifest keeps of its close.
        entries: all files of the snapshot, as in its manifest or as measured.
    """
    by_month: dict[str | None, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in entries if closed else ():
        by_month[period_of(entry["path"])].append(entry)
    gaps = []
    for month, record in sorted(closed.items()):
        now = figures(by_month[month], month)
        before, after = ({one["path"]: one["sha256"] for one in side["files"]} for side in (record, now))
        gaps += [
            f"{path}: belongs to closed month {month} and is gone" for path in sorted(before.keys() - after.keys())
        ]
        gaps += [f"{path}: is new in closed month {month}" for path in sorted(after.keys() - before.keys())]
        gaps += [
            f"{path}: belongs to closed month {month} and was changed (SHA-256 differs)"
            for path in sorted(before.keys() & after.keys())
            if before[path] != after[path]
        ]
        gaps += [
            f"closed month {month}: {name} is {now[name]} instead of {record[name]}"
            for name in ("files_sha256", "rows", "quantities", *_MONEY)
            if before == after and now[name] != record[name]
        ]
    return gaps
