"""Candidates on their way from reading to the ledger: kept in memory while few, by day on disk when many."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl

from etl.errors import StorageError

ROWS_IN_MEMORY_MAX = 600_000


class Spool:
    """Takes frames in any order of days, and gives them back a day at a time.

    Args:
        folder: where to put what does not fit in memory; created when needed, removed by its owner.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._frames: list[pl.DataFrame] = []
        self._rows = 0
        self._files: dict[date, list[Path]] = {}
        self._count = 0

    def add(self, frame: pl.DataFrame) -> None:
        """Keep a frame with a column `day`."""
        if frame.is_empty():
            return
        self._frames.append(frame)
        self._rows += frame.height
        if self._rows >= ROWS_IN_MEMORY_MAX:
            self._spill()

    def days(self) -> list[date]:
        """The days that any frame holds, the latest first."""
        held = {day for frame in self._frames for day in frame["day"].unique()}
        return sorted(held | self._files.keys(), reverse=True)

    def take(self, day: date) -> pl.DataFrame:
        """All rows of a day, in the order in which they were added; they are forgotten here."""
        frames = [pl.read_ipc(path) for path in self._files.pop(day, [])]
        frames += [frame for frame in (frame.filter(pl.col("day") == day) for frame in self._frames) if frame.height]
        return pl.concat(frames, how="diagonal")

    def _spill(self) -> None:
        frame = pl.concat(self._frames, how="diagonal")
        self._frames, self._rows = [], 0
        try:
            self._folder.mkdir(mode=0o750, exist_ok=True)
            for (day,), part in frame.partition_by("day", as_dict=True, maintain_order=True).items():
                assert isinstance(day, date)
                path = self._folder / f"{day}-{self._count}.arrow"
                part.write_ipc(path, compression="lz4")
                self._files.setdefault(day, []).append(path)
        except OSError as error:
            raise StorageError(f"cannot write to {self._folder}: {error.strerror or error}") from error
        self._count += 1
