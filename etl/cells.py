"""Raw cells by their paths: JSON text from JSON, plain text from a CSV."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import polars as pl

from etl.sources.paths import Path, spellings

Dialect = Literal["json", "csv"]


class Cells:
    """The raw rows of one shape.

    Args:
        raw: a column for each path, from the record's root.
        prefix: what stands before the source's own paths.
        dialect: how the cells are written; what was inside JSON text in a CSV cell is JSON all the same.
    """

    def __init__(self, raw: pl.DataFrame, prefix: str, dialect: Dialect) -> None:
        self._raw, self._prefix, self._dialect = raw, prefix, dialect
        self._nothing = pl.Series([None], dtype=pl.String).new_from_index(0, raw.height)

    def outer(self, name: str) -> pl.Series:
        """The cells of a column that is no path of the source: NULLs where there is none."""
        return self._raw[name] if name in self._raw.columns else self._nothing

    def spelt(self, path: Path) -> Iterator[tuple[pl.Series, Dialect]]:
        """The cells of each spelling of a path, and how they are written."""
        for one in spellings(path):
            yield self.outer(self._prefix + one), "json" if "!" in one else self._dialect

    def first(self, path: Path) -> tuple[pl.Series, Dialect]:
        """Of each row the first spelling that is there. All spellings of one fact are written in one dialect."""
        found, dialect = self._nothing, self._dialect
        for cells, dialect in self.spelt(path):
            given = cells.set((cells == "").fill_null(False), None) if dialect == "csv" else cells
            found = given if found is self._nothing else found.zip_with(found.is_not_null(), given)
            if found.null_count() == 0:
                break
        return found, dialect

    def any_there(self, paths: tuple[str, ...]) -> pl.Series:
        """Whether the object at any of these paths is there."""
        there = self._nothing.is_not_null()
        for path in paths:
            there |= self.outer(f"{self._prefix}{path}?").is_not_null()
        return there
