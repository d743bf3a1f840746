"""Columns of text with few distinct values: work is done once for each value and spread over the rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

# Among so many first rows, so many values may be distinct: the rest of a chunk has many times as many rows.
_SAMPLE_ROWS, _SAMPLE_VALUES = 2_000, 1_800


class Distinct(NamedTuple):
    """The distinct values of a column, in no particular order, and which of them each row has.

    Attributes:
        values: each value once; NULL is one, if the column holds it.
        places: for each row the position of its value.
    """

    values: pl.Series
    places: npt.NDArray[np.uint32]

    def spread(self, made: pl.Series) -> pl.Series:
        """What was made of `values`, for every row."""
        is_constant = len(made) == 1 or (made.dtype == pl.Boolean and not made.any())
        return made.new_from_index(0, len(self.places)) if is_constant else made.gather(self.places)


def distinct(column: pl.Series) -> Distinct:
    """Take a column of text or categories apart; takes about fifteen nanoseconds a row."""
    if column.dtype == pl.String:
        column = column.cast(pl.Categorical)
    codes = column.to_physical()
    height = len(codes)
    if height == 0:
        return Distinct(column, np.zeros(0, np.uint32))
    smallest, largest = codes.min(), codes.max()
    if codes.null_count() in (0, height) and smallest == largest:
        return Distinct(column.head(1), np.zeros(height, np.uint32))
    nothing = int(str(largest)) + 1
    numbers: npt.NDArray[Any] = (codes.fill_null(nothing) if codes.null_count() else codes).to_numpy()
    row_of = np.full(nothing + 1, -1, np.int32)
    row_of[numbers] = np.arange(height, dtype=np.int32)
    met = np.flatnonzero(row_of >= 0)
    place_of = np.empty(nothing + 1, np.uint32)
    place_of[met] = np.arange(len(met), dtype=np.uint32)
    return Distinct(column.gather(row_of[met]), place_of[numbers])


def is_constant(column: pl.Series) -> bool:
    """Whether every row of a column has the same value, or NULL."""
    if nulls := column.null_count():
        return nulls == len(column)
    # Few columns that vary begin and end with the same value.
    if len(column) and column[0] != column[-1]:
        return False
    values = column.to_physical() if column.dtype == pl.Categorical else column
    return bool(values.min() == values.max())


def is_repetitive(column: pl.Series) -> bool:
    """Whether a column of text seems to hold few distinct values, by its first rows."""
    # Not `n_unique`, which waits for Polars' threads: small days have many columns.
    return len(set(column.head(_SAMPLE_ROWS).to_list())) <= _SAMPLE_VALUES
