"""Logs whose lines lean on earlier lines: what a line takes over from them, and how far a counter has grown.

Lines must come in the order of the input, so this is done by the thread that collects what others have read.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from etl.raw_rows import Raw
from etl.shapes import Shape
from etl.sources.paths import spellings

PREVIOUS = "<"  # after a path: the column of what stood there on the line before


class Carrier:
    """What the lines of one input so far leave to the lines after them."""

    def __init__(self) -> None:
        self._left: dict[tuple[Shape, tuple[str, ...]], tuple[str | None, ...]] = {}

    def filled(self, raws: Sequence[Raw]) -> list[Raw]:
        """The next raw rows of the input, all of one stretch of lines, with what they take over."""
        by_shape: dict[Shape, list[pl.DataFrame]] = {}
        for raw in raws:
            by_shape.setdefault(raw.shape, []).append(raw.frame)
        return [Raw(shape, self._filled(shape, frames)) for shape, frames in by_shape.items()]

    def _filled(self, shape: Shape, frames: list[pl.DataFrame]) -> pl.DataFrame:
        rows = pl.concat(frames, how="diagonal").sort("line_number", maintain_order=True)
        for group in shape.source.carried:
            names = tuple(shape.prefix + path for path in group if shape.prefix + path in rows.columns)
            rows = rows.with_columns(self._standing(shape, rows.select(names)))
        for name in shape.source.cumulative:
            for path in spellings(shape.source.counts[name]):
                column = shape.prefix + path
                before = self._left.get((shape, (column,)), (None,))[0]
                [now] = self._standing(shape, rows.select(column))
                rows = rows.with_columns(now.shift(1, fill_value=before).alias(column + PREVIOUS))
        return rows

    def _standing(self, shape: Shape, own: pl.DataFrame) -> list[pl.Series]:
        """Each row's values, or where it has none of them, those of the last row that has any."""
        if not own.columns or not own.height:
            return own.get_columns()
        key = (shape, tuple(own.columns))
        given = own.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
        last_given = pl.select(pl.when(given).then(pl.int_range(own.height)).forward_fill()).to_series()
        left = self._left.get(key, (None,) * own.width)
        standing = [
            column.gather(last_given.fill_null(0)).set(last_given.is_null(), value)
            for column, value in zip(own.get_columns(), left, strict=True)
        ]
        self._left[key] = tuple(column[-1] for column in standing)
        return standing
