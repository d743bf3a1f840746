"""What becomes of each cell when days are rated again: which quantities leave which rate rows for which.

Grain: one move is one cell: day x provider x model x tier x meter x caching status, over accounts and projects.
Units: costs in USD, exact; quantities in the meter's unit. A quantity never changes here.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import polars as pl

from etl.corrections import CELL, MEASURES

NAMES = ("day", "provider", "model", "tier", "meter", "caching_status", "unit")
_RATE = ("rate_id", "rate_usd_per_million", "price_status", "rate_version")
_IS_UNPRICED = pl.col("price_status").str.starts_with("unpriced")


class RateRow(NamedTuple):
    """What priced a quantity, or why nothing did."""

    rate_id: str | None
    rate_usd_per_million: Decimal | None
    price_status: str
    rate_version: int | None


@dataclass(frozen=True)
class Move:
    """What becomes of one cell.

    Attributes:
        names: in the order of `NAMES`.
        quantity: of the whole cell.
        old_cost_usd, new_cost_usd: of all of it that has a price; None when nothing has.
        old_list_cost_usd, new_list_cost_usd: the same at list price.
        old_unpriced_quantity, new_unpriced_quantity: the part without a price.
        left: the rate rows that part of the quantity leaves.
        came: those that it takes instead. Both are empty when only the list price beside a contract moves.
    """

    names: tuple[Any, ...]
    quantity: int
    old_cost_usd: Decimal | None
    new_cost_usd: Decimal | None
    old_list_cost_usd: Decimal | None
    new_list_cost_usd: Decimal | None
    old_unpriced_quantity: int
    new_unpriced_quantity: int
    left: tuple[RateRow, ...]
    came: tuple[RateRow, ...]

    @property
    def delta_usd(self) -> Decimal | None:
        """By how much the published cost moves; None when there is none, before or after."""
        if self.old_cost_usd is None and self.new_cost_usd is None:
            return None
        return (self.new_cost_usd or Decimal(0)) - (self.old_cost_usd or Decimal(0))

    @property
    def is_same_price(self) -> bool:
        """Whether the same price only comes from another row, as when an import cut a rate's stretch of time in two."""
        costs = (self.old_cost_usd, self.old_list_cost_usd), (self.new_cost_usd, self.new_list_cost_usd)
        left, came = ({(row.rate_usd_per_million, row.price_status) for row in side} for side in (self.left, self.came))
        return costs[0] == costs[1] and left == came


def summed_cells(rollups: pl.DataFrame) -> pl.DataFrame:
    """Rollups with their corrections added in, without what is taken back in full."""
    return _with_null_costs(rollups.group_by(CELL).agg(pl.col(*MEASURES).sum())).filter(pl.col("quantity") != 0)


def _with_null_costs(summed: pl.DataFrame) -> pl.DataFrame:
    """A sum over nothing but NULL is 0 to Polars, and no price to us."""
    return summed.with_columns(
        pl.when(~_IS_UNPRICED).then(pl.col(name)).alias(name) for name in ("cost_usd", "list_cost_usd")
    )


def moves_between(before: pl.DataFrame, after: pl.DataFrame) -> list[Move]:
    """Every cell of which something changes: its quantity is the same, and lies in other rows."""
    columns = [*CELL, *MEASURES]
    signed = pl.concat([after.select(columns), before.select(*CELL, *(-pl.col(name) for name in MEASURES))])
    differing = signed.group_by(CELL).agg(pl.col(*MEASURES).sum())
    differing = differing.filter((pl.col("quantity") != 0) | (pl.col("list_cost_usd") != 0))
    if differing.is_empty():
        return []
    causes: dict[tuple[Any, ...], tuple[set[RateRow], set[RateRow]]] = {}
    for row in differing.select(*NAMES, *_RATE, "quantity").iter_rows():
        left, came = causes.setdefault(row[: len(NAMES)], (set(), set()))
        if row[-1]:
            (came if row[-1] > 0 else left).add(RateRow(*row[len(NAMES) : -1]))
    old, new = (_by_names(frame.select(columns), differing) for frame in (before, after))
    return [
        Move(
            names, new[names][0], old[names][1], new[names][1], old[names][2], new[names][2],
            old[names][3], new[names][3], *(tuple(sorted(side, key=str)) for side in causes[names]),
        )
        for names in sorted(causes, key=lambda names: (names[0], tuple(map(str, names[1:]))))
    ]  # fmt: skip


def _by_names(rows: pl.DataFrame, wanted: pl.DataFrame) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Names -> quantity, cost, list cost and quantity without a price."""
    priced = ~_IS_UNPRICED
    summed = (
        rows.join(wanted.select(NAMES).unique(), on=NAMES, how="semi", nulls_equal=True)
        .group_by(NAMES)
        .agg(
            pl.col("quantity").sum(),
            *(pl.when(priced.any()).then(pl.col(name).sum()).alias(name) for name in ("cost_usd", "list_cost_usd")),
            pl.col("quantity").filter(_IS_UNPRICED).sum().alias("unpriced"),
        )
    )
    return {row[: len(NAMES)]: row[len(NAMES) :] for row in summed.iter_rows()}
