"""Candidates on their way from reading to the ledger: kept by day in memory while few, on disk when many."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from etl import durable

ROWS_IN_MEMORY_MAX = 1 << 21


def compact(candidates: pl.DataFrame) -> dict[date, pl.DataFrame]:
    """Part candidates by day, without the columns that say nothing, and in small types."""
    said = [column for column in candidates.iter_columns() if column.null_count() < candidates.height]
    whole = pl.DataFrame([column.shrink_dtype() if column.dtype.is_integer() else column for column in said])
    first, last = whole["day"].min(), whole["day"].max()
    if isinstance(first, date) and first == last:
        return {first: whole}
    parts = whole.partition_by("day", as_dict=True, maintain_order=True)
    return {day: part for (day,), part in parts.items() if isinstance(day, date)}


def wide(frame: pl.DataFrame) -> dict[Any, pl.DataType]:
    """The types of the numbers that `compact` made small; texts stay categories."""
    return {name: pl.Int64() for name, dtype in frame.schema.items() if dtype.is_integer()}


class Piece:
    """Some candidates of one day, as `compact` left them: in memory or in a file.

    Args:
        held: the rows themselves, or the file that has them.
    """

    def __init__(self, held: pl.DataFrame | Path) -> None:
        self._held = held

    def load(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The rows, or those of the given columns that say anything."""
        if isinstance(self._held, pl.DataFrame):
            return self._held if columns is None else self._held.select(_among(columns, self._held.columns))
        if columns is None:
            return pl.read_ipc(self._held)
        there = pl.read_ipc_schema(self._held)
        return pl.read_ipc(self._held, columns=_among(columns, there))

    def replaced(self, rows: pl.DataFrame) -> Piece:
        """These rows in its stead, where it is: in memory or in a file."""
        if isinstance(self._held, pl.DataFrame):
            return Piece(rows)
        path = self._held.with_stem(f"{self._held.stem}+")
        _write(path, rows)
        return Piece(path)


def _write(path: Path, rows: pl.DataFrame) -> None:
    with durable.new_file(path, is_scratch=True) as file:
        rows.write_ipc(file, compression="lz4")


def _among(columns: Sequence[str], there: Sequence[str] | pl.Schema | dict[str, pl.DataType]) -> list[str]:
    return [name for name in columns if name in there]


class Spool:
    """Takes compacted candidates in any order of days, and gives them back a day at a time.

    Args:
        folder: where to put what does not fit in memory; created when needed, removed by its owner.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._frames: dict[date, list[pl.DataFrame]] = {}
        self._files: dict[date, list[Path]] = {}
        self._rows = self._count = 0

    def add(self, parts: dict[date, pl.DataFrame]) -> None:
        """Keep what `compact` made."""
        for day, part in parts.items():
            self._frames.setdefault(day, []).append(part)
            self._rows += part.height
        if self._rows >= ROWS_IN_MEMORY_MAX:
            self._spill()

    def days(self) -> list[date]:
        """The days that any candidate falls on, the latest first."""
        return sorted(self._frames.keys() | self._files.keys(), reverse=True)

    def take(self, day: date) -> list[Piece]:
        """All candidates of a day, in the order in which they were added; they are forgotten here."""
        files, frames = self._files.pop(day, []), self._frames.pop(day, [])
        return [*map(Piece, files), *map(Piece, frames)]

    def _spill(self) -> None:
        durable.make_dir(self._folder)
        for day, frames in self._frames.items():
            for frame in frames:
                path = self._folder / f"{day}-{self._count}.arrow"
                self._count += 1
                _write(path, frame)
                self._files.setdefault(day, []).append(path)
        self._frames, self._rows = {}, 0
