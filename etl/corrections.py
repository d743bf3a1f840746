"""The one rule for what changes after a close.

A closed month's rollup files never change again. What a day of it should hold now, less what its frozen files hold, is
booked in the first month after it that is open, as corrections that keep their original day. So the rollups of a day
always add up to the day rated as a whole, whatever was closed when.

The booking depends on records, rates and closes alone, never on the clock: the same nights give the same bytes.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

import polars as pl

from etl.errors import IntegrityError
from etl.periods import booking_period, month_of
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
