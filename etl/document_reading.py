"""Read the records of a document: few as Python decodes them, many as lines, which DuckDB reads far faster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from etl.documents import Piece
from etl.framing import CHUNK_BYTES, LINE_BYTES_MAX, Chunk
from etl.json_lines import JsonLinesReader
from etl.json_values import decode
from etl.raw_rows import ChunkRead, Raw, raw_frame, take_value
from etl.shapes import Shape
from etl.sources.base import Source
from etl.unknown_keys import look_at_value

# Asking DuckDB costs as much as decoding so many records.
DECODED_MAX = 500
_UTF8_BYTES_MAX = 4


def read_pieces(found: Sequence[Piece], only: Source | None, reader: JsonLinesReader) -> ChunkRead:
    """Read the records of a document; each has the line on which it begins.

    Args:
        found: the document, cut.
        only: the one source to consider (`--format`), else all.
        reader: what reads lines, and considers the same.
    """
    if len(found) > DECODED_MAX and all(map(_is_like_a_line, found)):
        return _read_as_lines(found, reader)
    return _decoded(found, only)


def _is_like_a_line(piece: Piece) -> bool:
    return piece.is_sound and not piece.inner and len(piece.text) < LINE_BYTES_MAX // _UTF8_BYTES_MAX


def _decoded(found: Sequence[Piece], only: Source | None) -> ChunkRead:
    read = ChunkRead()
    rows: dict[Shape, list[dict[str, Any]]] = {}
    for piece in found:
        try:
            value = decode(piece.text)
        except ValueError:
            read.decided.append((piece.line_number, "rejected", "invalid_json"))
        except RecursionError:
            read.decided.append((piece.line_number, "rejected", "too_deep"))
        else:
            take_value(value, piece.lines(), only, read, rows)
            look_at_value(value, piece.line_number, only, read.unknown_keys)
    read.raws += [Raw(shape, raw_frame(own)) for shape, own in rows.items() if own]
    return read


def _read_as_lines(found: Sequence[Piece], reader: JsonLinesReader) -> ChunkRead:
    whole = ChunkRead()
    shapes: list[Shape] = []
    frames: defaultdict[Shape, list[pl.DataFrame]] = defaultdict(list)
    numbers = [0, *(piece.line_number for piece in found)]  # by the place in the document, from 1 on
    lines = pl.Series(numbers)
    for chunk in _chunks(found):
        read = reader.read(chunk, shapes)
        for raw in read.raws:
            frames[raw.shape].append(raw.frame)
        whole.decided += [(numbers[at], fate, reason) for at, fate, reason in read.decided]
        whole.unknown_keys.looked_at += read.unknown_keys.looked_at
        for (source, path), (records, at) in read.unknown_keys.met.items():
            whole.unknown_keys.add(source, path, records, numbers[at])
    for shape, some in frames.items():
        # Those of one line keep their order, whoever read them.
        rows = pl.concat(some, how="diagonal_relaxed").sort("line_number", maintain_order=True)
        whole.raws.append(Raw(shape, rows.with_columns(line_number=lines.gather(rows["line_number"]))))
    return whole


def _chunks(found: Sequence[Piece]) -> Iterator[Chunk]:
    """The records as lines, numbered by their places in the document; a line end in one stands between values."""
    first, held = 1, bytearray()
    for at, piece in enumerate(found, 1):
        line = piece.text.replace("\r", " ").replace("\n", " ").encode() + b"\n"
        if held and len(held) + len(line) > CHUNK_BYTES:
            yield Chunk(bytes(held), first, 0, len(held), at - first)
            first, held = at, bytearray()
        held += line
    yield Chunk(bytes(held), first, 0, len(held), len(found) + 1 - first)
