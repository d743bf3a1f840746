"""Write rows of usage as Parquet: the same rows give the same bytes, whatever pieces they come in.

Grain: one row an accepted record, in the order of input and line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import IO, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from etl.distinct import is_constant, is_repetitive
from etl.schema import arrow_schema, polars_schema

ROWS_PER_GROUP = 1 << 17
# An id or a hash is hardly ever met twice; every other text is.
_UNIQUE, _INCOMPRESSIBLE = ("request_id",), ("content_hash",)
# Smallest and largest values help a reader to pass over rows of other times; of other columns they say little.
_TOLD_APART_BY = ["day", "occurred_at"]


class _Layout:
    """How each column is written."""

    def __init__(self) -> None:
        schema = arrow_schema("usage")
        texts = [field.name for field in schema if pa.types.is_string(field.type) and field.name not in _UNIQUE]
        # Of a column of codes Arrow writes the codes as they are; what is read is text all the same.
        codes = pa.dictionary(pa.int32(), pa.string())
        self.dictionaries = texts
        self.schema = pa.schema(field.with_type(codes) if field.name in texts else field for field in schema)
        self.types = polars_schema("usage")
        self.encodings = {
            **{field.name: "DELTA_BINARY_PACKED" for field in schema if pa.types.is_int64(field.type)},
            **dict.fromkeys(_INCOMPRESSIBLE, "PLAIN"),
            "occurred_at": "DELTA_BINARY_PACKED",
            **dict.fromkeys(_UNIQUE, "DELTA_LENGTH_BYTE_ARRAY"),
        }


@cache  # not when this is imported: what Polars and Arrow start then is lost in a fork
def _layout() -> _Layout:
    return _Layout()


def write_usage(file: IO[bytes], groups: Iterable[pl.DataFrame]) -> None:
    """Write row groups as one file.

    Args:
        file: where to.
        groups: columns of USAGE in any order, at most `ROWS_PER_GROUP` rows each, and one row at least; text may be
            categories, and columns that hold nothing may be missing.
    """
    rest, layout = iter(groups), _layout()
    first = next(rest)
    writing = _compression(first) | {"write_page_checksum": True, "store_schema": False}
    with pq.ParquetWriter(
        file,
        layout.schema,
        use_dictionary=layout.dictionaries,
        column_encoding=layout.encodings,
        write_statistics=_TOLD_APART_BY,
        **writing,
    ) as writer:
        for rows in chain([first], rest):
            writer.write_table(_table(rows), row_group_size=ROWS_PER_GROUP)


def _compression(first: pl.DataFrame) -> dict[str, Any]:
    """Zstandard where it gains anything: not for hashes, nor for columns with one value. To begin it takes its time."""
    packed = [
        name
        for name in _layout().types
        if name in first.columns and name not in _INCOMPRESSIBLE and not is_constant(first[name])
    ]
    return {
        "compression": {name: "zstd" if name in packed else "none" for name in _layout().types},
        "compression_level": dict.fromkeys(packed, 1),
    }


def row_groups(pieces: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Row groups of one size, and a rest, however large the pieces are."""
    held: list[pl.DataFrame] = []
    rows = 0
    for piece in pieces:
        held.append(piece)
        rows += piece.height
        while rows >= ROWS_PER_GROUP:
            whole = pl.concat(held, how="diagonal_relaxed", rechunk=True)
            yield whole.head(ROWS_PER_GROUP)
            held, rows = [whole.slice(ROWS_PER_GROUP)], rows - ROWS_PER_GROUP
    if rows:
        yield held[0] if len(held) == 1 else pl.concat(held, how="diagonal_relaxed", rechunk=True)


def _table(rows: pl.DataFrame) -> pa.Table:
    schema = _layout().schema
    return pa.Table.from_arrays([_array(rows, field) for field in schema], schema=schema)


def _array(rows: pl.DataFrame, field: pa.Field) -> pa.Array:
    column = rows[field.name] if field.name in rows.columns else None
    if column is None or column.null_count() == rows.height:
        return pa.nulls(rows.height, field.type)
    if not pa.types.is_dictionary(field.type):
        array = column.cast(_layout().types[field.name]).rechunk().to_arrow()
        return array if array.type == field.type else array.cast(field.type)
    if is_constant(column):
        zeros = pa.py_buffer(np.zeros(rows.height, np.int32))
        return _coded(pa.Array.from_buffers(pa.int32(), rows.height, [None, zeros]), [column[0]])
    if not is_repetitive(column):
        return column.cast(pl.String).rechunk().to_arrow().cast(pa.string()).dictionary_encode()
    return _dictionary(column)


def _dictionary(column: pl.Series) -> pa.Array:
    """The values in their order, so that it does not matter which came first in this run."""
    held = column.cast(pl.Categorical).rechunk().to_arrow()  # with only those categories that are met
    texts, codes = held.dictionary.to_pylist(), held.indices
    ordered = sorted(texts)
    place = {text: code for code, text in enumerate(ordered)}
    places = np.fromiter((place[text] for text in texts), np.int32, len(texts))
    # Buffers go from one to the other as they are: of NumPy's arrays Arrow wants pandas, where it is installed.
    validity, numbers = codes.buffers()
    # Where a value is missing, any number may stand.
    moved = pa.py_buffer(places.take(np.frombuffer(numbers, np.uint32), mode="clip"))
    indices = pa.Array.from_buffers(pa.int32(), len(codes), [validity, moved], codes.null_count, codes.offset)
    return _coded(indices, ordered)


def _coded(indices: pa.Array, texts: Sequence[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(indices, pl.Series(texts, dtype=pl.String).to_arrow().cast(pa.string()))
