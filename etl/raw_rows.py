"""Raw rows: the undecoded fields of recognised records, a frame for each shape, and the records decided at sight."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from etl.containers import Decided, entries
from etl.json_values import NO_TEXT, Json
from etl.lines import Lines
from etl.shapes import Shape, raw_row, recognise
from etl.sources.base import Source
from etl.unknown_keys import UnknownKeys

FINGERPRINT_PREFIX = "sha256:"


@dataclass
class Raw:
    """Raw rows of one shape; `frame` has a column per path, `line_number` and perhaps `problem`."""

    shape: Shape
    frame: pl.DataFrame


@dataclass
class ChunkRead:
    """All records of a chunk: raw rows to judge, those whose fate was plain at sight, and its lines, if looked up."""

    raws: list[Raw] = field(default_factory=list)
    decided: list[tuple[int, str, str]] = field(default_factory=list)
    blank_lines: int = 0
    unknown_keys: UnknownKeys = field(default_factory=UnknownKeys)
    own_lines: Lines | None = None

    @property
    def formats(self) -> set[str]:
        """The sources of the raw rows."""
        return {raw.shape.source.name for raw in self.raws}

    @property
    def leans_on_earlier_lines(self) -> bool:
        """Whether any raw row takes something over from the lines before it."""
        return any(raw.shape.source.leans_on_earlier_lines for raw in self.raws)


def take_value(
    value: Any, numbers: Sequence[int], only: Source | None, read: ChunkRead, rows: dict[Shape, list[dict[str, Any]]]
) -> None:
    """Turn one decoded value into its records: raw rows by shape, or fates decided at sight.

    Args:
        value: what was decoded.
        numbers: the line of each record in it; fewer than there are records when they share the last line.
        only: the one source to consider.
        read: where to add what is decided at sight.
        rows: where to add raw rows.
    """
    if not isinstance(value, dict):
        read.decided.append((numbers[0], "rejected", "not_an_object"))
        return
    for index, record in enumerate(entries(value)):
        number = numbers[min(index, len(numbers) - 1)]
        if isinstance(record, Decided):
            read.decided.append((number, record.fate, record.reason))
            continue
        found = recognise(record, only)
        if found.shape is None:
            assert found.fate is not None and found.reason is not None
            read.decided.append((number, found.fate, found.reason))
        elif found.shape.is_silent:
            rows.setdefault(found.shape, [])
            read.decided.append((number, "excluded", "not_usage"))
        else:
            rows.setdefault(found.shape, []).append(taken_row(found.shape, found.record, number, record))


def take_rows(shape: Shape, frame: pl.DataFrame, read: ChunkRead) -> None:
    """Add raw rows that were read all at once."""
    if shape.is_silent:
        read.decided += [(number, "excluded", "not_usage") for number in frame["line_number"]]
    else:
        read.raws.append(Raw(shape, frame))


def taken_row(shape: Shape, record: Json, number: int, whole: Json) -> dict[str, Any]:
    """A record's raw row as `etl.judging` takes it.

    Args:
        shape: what it was recognised as.
        record: it, with what was JSON text on the way taken apart.
        number: its line.
        whole: it as it was logged, for the fingerprint of one without id.
    """
    row, problem = raw_row(record, shape)
    needs_mark = shape.source.kind == "request" and not any(_is_name(row.get(path)) for path in shape.id_paths)
    mark = fingerprint(whole) if needs_mark else None
    return {**row, "line_number": number, "problem": problem, "fingerprint": mark}


def _is_name(raw: str | bool | None) -> bool:
    """Whether raw JSON is a text that is not empty."""
    return isinstance(raw, str) and raw.startswith('"') and raw != NO_TEXT


def fingerprint(record: Any) -> str:
    """The identity of a record that has no id: the hash of its canonical JSON."""
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"{FINGERPRINT_PREFIX}{hashlib.sha256(canonical.encode()).hexdigest()}"


def raw_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """A frame of raw rows: text columns, `<path>?` that are true or NULL, and `line_number`."""
    names = dict.fromkeys(name for row in rows for name in row)
    schema = {
        name: pl.Int64 if name == "line_number" else pl.Boolean if name.endswith("?") else pl.String for name in names
    }
    return pl.DataFrame({name: [row.get(name) for row in rows] for name in names}, schema=schema)
