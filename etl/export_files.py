"""Write one table to Parquet and CSV piece by piece, so that memory does not grow with the month.

A file appears under its name when it is whole; until then it is hidden, and it is removed when something fails.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import IO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from etl import durable
from etl.errors import IntegrityError
from etl.spreadsheets import safe_frame

_INSTANT, _DAY = "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"
_ROWS_AT_ONCE = 1 << 16


class Files:
    """Files in the making, which all get the same rows.

    Attributes:
        escaped_cells: text cells of the CSV that got an apostrophe.
    """

    def __init__(self, files: Mapping[str, IO[bytes]], facts: Mapping[str, str]) -> None:
        """Write to open files, by form; `facts` stand in the Parquet file's metadata."""
        self.escaped_cells = 0
        self._files = files
        self._facts = facts
        self._parquet: pq.ParquetWriter | None = None
        self._has_header = False

    def write(self, piece: pl.DataFrame) -> None:
        """Append rows; every piece has the same columns and types."""
        if "parquet" in self._files:
            self._write_parquet(piece)
        if "csv" in self._files:
            shown, escaped = safe_frame(piece)
            self.escaped_cells += escaped
            if not self._has_header:
                shown.clear().write_csv(self._files["csv"])
                self._has_header = True
            for rows in shown.iter_slices(_ROWS_AT_ONCE):
                rows.write_csv(self._files["csv"], include_header=False, datetime_format=_INSTANT, date_format=_DAY)

    def _write_parquet(self, piece: pl.DataFrame) -> None:
        instants = [name for name, kind in piece.schema.items() if isinstance(kind, pl.Datetime)]
        table = piece.with_columns(pl.col(name).dt.replace_time_zone("UTC") for name in instants).to_arrow()
        texts = {pa.large_string(): pa.string(), pa.string_view(): pa.string()}
        schema = pa.schema([one.with_type(texts.get(one.type, one.type)) for one in table.schema])
        if self._parquet is None:
            self._parquet = pq.ParquetWriter(
                self._files["parquet"], schema.with_metadata(self._facts or None), compression="zstd"
            )
        self._parquet.write_table(table.cast(schema))

    def close(self) -> None:
        """Write what a Parquet file ends with."""
        if self._parquet is not None:
            self._parquet.close()


@contextmanager
def writing(folder: Path, name: str, forms: Sequence[str], facts: Mapping[str, str]) -> Iterator[Files]:
    """Have the `with` block write `NAME.FORM` for each form; they replace older ones when it ends without an error.

    Args:
        folder: it is made when it does not exist.
        name: without its ending.
        forms: `parquet`, `csv` or both.
        facts: for the Parquet file's metadata.

    Raises:
        StorageError: the disk refuses.
    """
    if not folder.exists():
        durable.make_dir(folder)
    hidden = {form: folder / f".{name}.{form}.{os.getpid()}.new" for form in forms}
    try:
        with ExitStack() as stack:
            for path in hidden.values():
                with suppress(FileNotFoundError):
                    path.unlink()
            files = Files({form: stack.enter_context(durable.new_file(path)) for form, path in hidden.items()}, facts)
            yield files
            files.close()
        for form, path in hidden.items():
            durable.rename(path, folder / f"{name}.{form}")
    except BaseException:
        for path in hidden.values():
            with suppress(OSError):
                path.unlink()
        raise


def require_same(path: Path, rows: int, sums: Mapping[str, Decimal]) -> None:
    """Read a file back from the disk and add it up again.

    Args:
        path: a Parquet or CSV file.
        rows: how many it should have.
        sums: column -> its sum.

    Raises:
        IntegrityError: they are not the same.
        StorageError: it cannot be read.
    """
    counted, found = 0, dict.fromkeys(sums, Decimal(0))
    with durable.explained("read", path):
        for values in _parquet_rows(path, list(sums)) if path.suffix == ".parquet" else _csv_rows(path, list(sums)):
            counted += 1
            for name, value in zip(sums, values, strict=True):
                found[name] += value or 0
    if counted != rows or found != dict(sums):
        raise IntegrityError(
            f"{path}: {counted:,} rows and {', '.join(map(str, found.values()))} USD were read back, not {rows:,} and "
            f"{', '.join(map(str, sums.values()))}; remove it and export again"
        )


def _parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[Decimal | None, ...]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=list(columns)):
            yield from zip(*(batch[name].to_pylist() for name in columns), strict=True)


def _csv_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[Decimal | None, ...]]:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        header = next(reader)
        places = [header.index(name) for name in columns]
        for row in reader:
            yield tuple(Decimal(row[at]) if row[at] else None for at in places)
