"""Read a chunk of JSON lines into raw rows: DuckDB reads what it reads strictly, Python reads the rest.

The fast way never decides a fate. DuckDB parses a whole chunk, every field as undecoded JSON text, with every check on
(`ignore_errors=false`: malformed lines, doubled keys and wrong structures stop it). What it cannot vouch for, line by
line, goes to the strict reader in `etl.shapes`, which names the reason. `docs/decisions/0002-two-readers.md` tells why.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from etl.chunk_query import CLAIMED, UNCLAIMED, ChunkQuery, Shown
from etl.claims import Plan
from etl.framing import LINE_BYTES_MAX, UTF8_BOM, Chunk
from etl.json_values import decode, flattened
from etl.lines import (
    WHITE_SPACE,
    Lines,
    has_trailing_comma,
    look_at_edges,
    may_hold_overlong_line,
    trailing_commas,
)
from etl.raw_rows import ChunkRead, Raw, raw_frame, take_rows, take_value
from etl.shapes import Shape
from etl.sources.base import Source
from etl.unknown_keys import KeyWatch

SNIFF_LINES = 50
# What DuckDB objects to is looked for in all lines at these attempts; at the others it names one line at a time.
RETRIES_MAX, LOOK_FOR_MALFORMED, LOOK_FOR_ODD = 8, 0, 3
_BAD_LINE = re.compile(r"(Malformed|transform error).*? in line (\d+)")


class JsonLinesReader:
    """Reads chunks. One per thread: it holds a DuckDB connection.

    Args:
        only: the one source to consider (`--format`), else all.
    """

    def __init__(self, only: Source | None) -> None:
        self._only = only
        self._shapes: list[Shape] = []
        self._chunk = ChunkQuery()
        self._watch = KeyWatch(only)
        self._plans: dict[tuple[Shape, ...], Plan | None] = {}
        # The shapes of the input whose last chunk held something odd: the next one is not tried without a look.
        self._wary_of: list[Shape] | None = None

    def read(self, chunk: Chunk, known_shapes: list[Shape], sample: bytes | None = None) -> ChunkRead:
        """Read every record of a chunk.

        Args:
            chunk: whole lines.
            known_shapes: the shapes met so far in this input; those met here are added, and make later chunks fast.
            sample: lines to learn shapes from where none is known; None takes the first of the chunk.
        """
        self._shapes = known_shapes
        if chunk.is_overlong:
            return ChunkRead(decided=[(chunk.first_line, "rejected", "line_too_long")])
        if chunk.data[:1] in (b"\n", b"\r", b" ", b"\t") and not chunk.data.strip(WHITE_SPACE):
            return ChunkRead(blank_lines=chunk.lines)  # a file may be padded with very many
        if not self._shapes:
            self._sniff(chunk.data if sample is None else sample)
        read = self._read(chunk)
        read.unknown_keys = self._watch.look(chunk, frozenset(self._shapes))
        return read

    def _read(self, chunk: Chunk) -> ChunkRead:
        plan = self._plan()
        # DuckDB passes over a byte order mark at the start of what it is given, wherever in the input that is.
        is_plain = not chunk.data.startswith(UTF8_BOM) and not may_hold_overlong_line(chunk.data)
        has_comma = has_trailing_comma(chunk.data)
        if plan and is_plain and not has_comma and self._wary_of is not self._shapes:
            frame = self._strictly(Shown(chunk.data), plan)
            # Blank lines make no rows; then the rows cannot be numbered by their position alone.
            if isinstance(frame, pl.DataFrame) and frame.height == chunk.lines:
                frame = frame.with_columns(line_number=pl.int_range(chunk.first_line, chunk.first_line + frame.height))
                return self._sorted_out(frame, plan, lambda: Lines(chunk))
        return self._carefully(chunk, plan, has_comma=has_comma)

    def _plan(self) -> Plan | None:
        """How to read the shapes met so far; None where DuckDB can read none of them."""
        shapes = tuple(self._shapes)
        if shapes not in self._plans:
            self._plans[shapes] = Plan.of(shapes)
        return self._plans[shapes]

    def _sniff(self, data: bytes) -> None:
        taken = 0
        for line in io.BytesIO(data):
            if taken == SNIFF_LINES:
                break
            if content := line.strip(WHITE_SPACE):
                taken += 1
                self._strict_line(content, 0, ChunkRead(), {})

    def _strictly(self, shown: Shown, plan: Plan) -> pl.DataFrame | duckdb.Error:
        """Read all lines that are shown, or say what DuckDB objects to."""
        try:
            return self._chunk.fields(shown, plan.wanted)
        except (duckdb.InvalidInputException, duckdb.IOException) as objection:
            return objection

    def _carefully(self, chunk: Chunk, plan: Plan | None, *, has_comma: bool) -> ChunkRead:
        """Read a chunk in which something is out of the ordinary: narrow it down to the lines that are."""
        lines = Lines(chunk)
        is_blank, is_suspect = look_at_edges(lines)
        if has_comma:
            is_suspect |= trailing_commas([lines.content(index).strip(WHITE_SPACE) for index in range(len(lines))])
        frame = None
        if plan:
            frame = self._narrowed(lines, plan, is_blank, is_suspect)
        self._wary_of = self._shapes if is_suspect.any() else None
        if frame is None or plan is None:
            read = ChunkRead()
            suspects = np.flatnonzero(~is_blank)
        else:
            numbers = np.flatnonzero(~(is_blank | is_suspect)) + chunk.first_line
            frame = frame.with_columns(line_number=pl.Series(numbers, dtype=pl.Int64))
            read = self._sorted_out(frame, plan, lambda: lines)
            suspects = np.flatnonzero(is_suspect)
        read.blank_lines, read.own_lines = int(is_blank.sum()), lines
        self._strict_lines(lines, suspects, read)
        return read

    def _narrowed(
        self, lines: Lines, plan: Plan, is_blank: npt.NDArray[np.bool_], is_suspect: npt.NDArray[np.bool_]
    ) -> pl.DataFrame | None:
        """Move lines to the suspects until DuckDB vouches for all others; None where that takes too long."""
        for attempt in range(RETRIES_MAX):
            good = np.flatnonzero(~(is_blank | is_suspect))
            shown = Shown(lines.chunk.data, lines.stretches(np.flatnonzero(is_suspect)))
            frame = self._strictly(shown, plan)
            if isinstance(frame, pl.DataFrame):
                return frame if frame.height == len(good) else None
            doubtful = self._doubtful(attempt, shown, plan, good)
            if not len(doubtful):
                doubtful = _named_by(frame, good)
            if not len(doubtful):
                return None
            is_suspect[doubtful] = True
        return None

    def _doubtful(self, attempt: int, shown: Shown, plan: Plan, good: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Those of the good lines that look as if DuckDB might object to them, where it is time to look for all."""
        try:
            if attempt == LOOK_FOR_MALFORMED:  # they come out as rows without any recognised marker
                found = self._chunk.unclaimed_rows(shown, plan.wanted)
            elif attempt == LOOK_FOR_ODD:
                found = np.array(self._chunk.odd_rows(shown, plan.wanted), np.int64)
            else:
                return good[:0]
        except duckdb.Error:
            return good[:0]
        return good[found[found < len(good)]]

    def _sorted_out(self, frame: pl.DataFrame, plan: Plan, lines_of: Callable[[], Lines]) -> ChunkRead:
        """Give each row to the shape that claims it; what none claims is read again strictly."""
        read = ChunkRead()
        if frame.is_empty():
            return read
        claimed = frame[CLAIMED]
        for index in claimed.unique().sort().to_list():
            if index != UNCLAIMED:
                shape = plan.shapes[index]
                own = frame.select(plan.columns_of(shape))
                take_rows(shape, own.filter(claimed == index) if claimed.n_unique() > 1 else own, read)
        strangers = frame.filter(claimed == UNCLAIMED)["line_number"].to_numpy()
        if len(strangers):
            lines = lines_of()
            self._strict_lines(lines, strangers - lines.chunk.first_line, read)
        return read

    def _strict_lines(self, lines: Lines, indexes: npt.NDArray[np.int64], read: ChunkRead) -> None:
        rows: dict[Shape, list[dict[str, Any]]] = {}
        for index in indexes.tolist():
            self._strict_line(lines.content(index), index + lines.chunk.first_line, read, rows)
        read.raws += [Raw(shape, raw_frame(own)) for shape, own in rows.items() if own]

    def _strict_line(self, line: bytes, number: int, read: ChunkRead, rows: dict[Shape, list[dict[str, Any]]]) -> None:
        if len(line) > LINE_BYTES_MAX:
            read.decided.append((number, "rejected", "line_too_long"))
            return
        try:
            text = line.strip(WHITE_SPACE).decode()
            try:
                take_value(decode(text), [number], self._only, read, rows)
            except RecursionError:
                take_value(decode(self._flattened(text)), [number], self._only, read, rows)
        except UnicodeDecodeError:
            read.decided.append((number, "rejected", "invalid_utf8"))
        except ValueError:
            read.decided.append((number, "rejected", "invalid_json"))
        for shape in rows:
            if shape not in self._shapes:
                self._shapes.append(shape)

    def _flattened(self, text: str) -> str:
        """A text that is nested too deep for Python, without what is too deep for any field.

        Raises:
            ValueError: it is not one JSON value.
        """
        if not self._chunk.is_json(text) or trailing_commas([text.encode()]).any():
            raise ValueError("not JSON")
        return flattened(text)


def _named_by(objection: duckdb.Error, good: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The line that DuckDB's message names: it counts those that are not blank, and a malformed one as the next."""
    match = _BAD_LINE.search(str(objection))
    at = int(match[2]) - (2 if match[1] == "Malformed" else 1) if match else len(good)
    return good[at : at + 1]
