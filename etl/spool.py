"""Candidates on their way from reading to the ledger: kept by day in memory while few, on disk when many."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl

from etl import durable
from etl.schema import polars_schema

ROWS_IN_MEMORY_MAX = 2_500_000

_OWN = {"input_index": pl.Int64(), "interval_end": pl.Int64(), "is_fingerprint": pl.Boolean()}
_TYPES = pl.Schema([*polars_schema("usage").items(), *_OWN.items()])
# Columns with few distinct values take four bytes a row in memory instead of sixteen and more.
_REPETITIVE = (
    "account_id",
    "project_id",
    "api_key_id",
    "user_id",
    "provider",
    "model",
    "tier",
    "source",
    "source_kind",
)


def compact(candidates: pl.DataFrame) -> dict[date, pl.DataFrame]:
    """Part candidates by day, without the columns that say nothing, and in small types."""
    said = [column for column in candidates.iter_columns() if column.null_count() < candidates.height]
    small = [column.cast(pl.Categorical) if column.name in _REPETITIVE else column.shrink_dtype() for column in said]
    parts = pl.DataFrame(small).partition_by("day", as_dict=True, maintain_order=True)
    return {day: part for (day,), part in parts.items() if isinstance(day, date)}


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

    def take(self, day: date) -> pl.DataFrame:
        """All candidates of a day, in the order in which they were added; they are forgotten here."""
        frames = [pl.read_ipc(path) for path in self._files.pop(day, [])]
        frames += self._frames.pop(day, [])
        return pl.concat([self._restored(frame) for frame in frames], how="diagonal")

    def _restored(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.cast({name: _TYPES[name] for name in frame.columns})

    def _spill(self) -> None:
        durable.make_dir(self._folder)
        for day, frames in self._frames.items():
            path = self._folder / f"{day}-{self._count}.arrow"
            whole = pl.concat([self._restored(frame) for frame in frames], how="diagonal")
            with durable.new_file(path, is_scratch=True) as file:
                whole.write_ipc(file, compression="lz4")
            self._files.setdefault(day, []).append(path)
        self._frames, self._rows, self._count = {}, 0, self._count + 1
