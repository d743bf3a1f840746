"""Rate quantities: give each the rate in force at its instant, and its exact cost.

Grain: one row in is one row of `quantities`; one row out is one row of the ROLLUP table.
Units: quantities in the meter's unit, rates in USD per 1,000,000 units, costs in USD as DECIMAL(38,12).
Source: the look-up order and the price statuses are in docs/rates.md; the arithmetic is in sql/rated.sql.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import duckdb
import polars as pl

from etl.engine import connect, create_view, sql
from etl.errors import IntegrityError, RateCardError
from etl.macros import CHARGES_MACRO, MACROS
from etl.rate_card import RateCard, register
from etl.schema import arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

# One statement: a table between its steps would cost half of the time.
_ROLLUPS_SQL = """
WITH quantity_items AS ({items}),
rated_quantities AS (SELECT * FROM rated('quantity_items'))
{rollup}
"""
_HEALED = pl.Schema({"day": pl.Date, "rate_version": pl.Int64})


def rate(quantities: pl.DataFrame | pa.Table, card: RateCard, healed: pl.DataFrame | None = None) -> pa.Table:
    """Rate `quantities` against `card` once: see `Rater`."""
    with Rater(card) as rater:
        return rater.rate(quantities, healed)


class Rater:
    """Rates quantities against a card. It is made ready at once, so that it can be made beside other work.

    A day keeps the card version it was rated with, `quantities.rate_version`; what that version leaves unpriced is
    tried at the versions of `healed` and then at the newest.

    Args:
        card: all its versions.
    """

    def __init__(self, card: RateCard) -> None:
        self.card = card
        self._con = connect()
        install(self._con, card)

    def __enter__(self) -> Self:
        """Close it behind the block."""
        return self

    def __exit__(self, *_: object) -> None:
        self._con.close()

    def rate(self, quantities: pl.DataFrame | pa.Table, healed: pl.DataFrame | None = None) -> pa.Table:
        """Rate quantities and sum them into rollups.

        Args:
            quantities: the table `quantities` of `etl.schema`.
            healed: `day, rate_version`: the later versions at which something of that day found its rate, so that a
                price once published does not move when a still newer version comes.

        Returns:
            The table `rollups` of `etl.schema`, sorted by every key column with NULLs first.

        Raises:
            IntegrityError: rows or quantities are lost, doubled or too large, or two rates are in force at once.
            RateCardError: the card has no version, or not the one that a day was rated with.
        """
        items, con = _as_quantities(quantities), self._con
        _require_versions(items, self.card)
        con.register("quantities", items)
        con.register("healed", (healed if healed is not None else pl.DataFrame(schema=_HEALED)).to_arrow())
        try:
            rollups = con.sql(_ROLLUPS_SQL.format(items=sql("quantity_items"), rollup=sql("rollup"))).to_arrow_table()
        except (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.OutOfRangeException) as error:
            raise IntegrityError(f"rating failed: {error}") from error
        con.register("rollups", rollups)
        _require_closure(con)
        return rollups.select(arrow_schema("rollups").names).cast(arrow_schema("rollups")).combine_chunks()


def install(con: duckdb.DuckDBPyConnection, card: RateCard | None = None) -> None:
    """Create the macros that rate, and the view `meters` that they read.

    Args:
        con: where to create them.
        card: shown to them as `rates_history`, `aliases_history`, `contracts_history` and `rate_versions`. Without it
            these four relations, `usage` and `days` exist already, and `charges_between` is created too.
    """
    if card is not None:
        register(con, card)
    create_view(con, "meters")
    for macro in MACROS if card is not None else (*MACROS, CHARGES_MACRO):
        con.execute(sql(macro))


def _as_quantities(quantities: pl.DataFrame | pa.Table) -> pa.Table:
    """The same rows, with exactly the columns and types of the schema."""
    table = quantities.to_arrow() if isinstance(quantities, pl.DataFrame) else quantities
    schema = arrow_schema("quantities")
    try:
        table = table.select(schema.names).cast(schema)
    except (KeyError, ValueError) as error:
        raise IntegrityError(f"these are not quantities: {error}") from error
    for column in ("day", "rated_at", "meter", "caching_status", "quantity"):
        if table[column].null_count:
            raise IntegrityError(f"quantities have {table[column].null_count} rows without `{column}`")
    return table


def _require_versions(items: pa.Table, card: RateCard) -> None:
    """Every version that a day was rated with must be in the card, or its published prices would move."""
    known = set(card.versions["rate_version"])
    kept = set(items["rate_version"].unique().to_pylist()) - {None}
    if not known or kept - known:
        names = ", ".join(map(str, sorted(kept - known))) or "any"
        raise RateCardError(f"the rate card does not have version {names}; it has {sorted(known)}")


def _require_closure(con: duckdb.DuckDBPyConnection) -> None:
    """Every row and every unit that came in must have come out."""
    broken = con.sql(sql("rating_closure")).fetchall()
    if broken:
        sums = "; ".join(
            f"{meter}: {came_in} in {rows_in} rows came in, {came_out} in {rows_out} rows came out"
            for meter, came_in, came_out, rows_in, rows_out in broken
        )
        raise IntegrityError(f"quantities do not close after rating: {sums}")
