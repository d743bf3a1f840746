"""Read a CSV input into raw rows, row by row, strictly: nothing is padded, guessed or shifted.

A quoted field may hold line breaks. A quote that is never closed costs its own line only; what follows is read on.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from etl.errors import InputRefused
from etl.framing import LINE_BYTES_MAX
from etl.json_values import raw_text
from etl.raw_rows import ChunkRead, Raw, fingerprint, raw_frame
from etl.shapes import Shape
from etl.sources import SOURCES
from etl.sources.base import Source
from etl.sources.paths import value_at

BATCH_ROWS = 50_000
# A quoted field that spans more lines than this was never closed.
QUOTED_LINES_MAX = 1000
# Fields that nobody reads, such as a prompt, may be as long as a line.
csv.field_size_limit(LINE_BYTES_MAX)
_COLUMN_NAME = re.compile(r"[A-Za-z]\w{0,39}", re.ASCII)
STATEMENT_HEADERS = ({"start_time", "amount_value"}, {"usage_date_utc", "cost_usd"})


class CsvLine(NamedTuple):
    """One physical line, or a row that holds several: number, offset, bytes without the terminator, and the terminator.

    Attributes:
        overlong: of a line above `LINE_BYTES_MAX` that was passed over, its byte length and SHA-256.
    """

    number: int
    offset: int
    content: bytes = b""
    end: bytes = b"\n"
    overlong: tuple[int, str] | None = None

    @property
    def is_overlong(self) -> bool:
        """Whether it is above `LINE_BYTES_MAX`."""
        return self.overlong is not None or len(self.content) > LINE_BYTES_MAX

    def place(self) -> tuple[int, int, str]:
        """Byte offset, byte length and SHA-256."""
        return self.offset, *(self.overlong or (len(self.content), hashlib.sha256(self.content).hexdigest()))


@dataclass
class CsvRead(ChunkRead):
    """As a chunk of JSON lines, with the place of each line that may be needed for a reject."""

    lines: dict[int, CsvLine] = field(default_factory=dict)


def header_of(first_line: bytes) -> list[str]:
    """Split a header line into column names.

    Raises:
        InputRefused: it is not UTF-8, has an unclosed quote, or names a column twice.
    """
    try:
        names = next(csv.reader([first_line.decode()], strict=True), [])
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputRefused("invalid_header", f"line 1 is no CSV header ({error})") from error
    names = [name.strip() for name in names]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputRefused("invalid_header", f"line 1 names the column {_shown(doubled[:1])} twice")
    return names


def source_of(header: list[str], only: Source | None) -> Source:
    """Find the source whose columns the header has.

    Raises:
        InputRefused: none has, or it is a statement.
    """
    names = set(header)
    if any(statement <= names for statement in STATEMENT_HEADERS):
        raise InputRefused("statement", "is the provider's bill, not usage; give it to `costroll reconcile`")
    known = [source for source in ((only,) if only else SOURCES) if source.has_header(names)]
    if known:
        return max(known, key=lambda source: len(source.columns))  # who asks for more knows it better
    raise InputRefused(
        "unknown_format", f"its CSV columns ({_shown(header[:6])}) are those of no known format; see `costroll formats`"
    )


def _shown(names: list[str]) -> str:
    """Column names for a message; what does not look like one may be a prompt, and is not repeated."""
    return ", ".join(name if _COLUMN_NAME.fullmatch(name) else "..." for name in names)


def read_rows(header: list[str], source: Source, lines: Iterator[CsvLine]) -> Iterator[CsvRead]:
    """Read data rows in batches of `BATCH_ROWS`."""
    shape = Shape(source)
    within_text = [path for path in source.paths() if "!" in path]
    id_paths = tuple(source.id_paths()) if source.kind == "request" else None
    read, rows = CsvRead(), []
    for line, cells, problem in _records(lines, read, len(header)):
        read.lines[line.number] = line
        if problem is None and not line.end:
            problem = "torn_tail"
        if problem is None:
            rows.append(_raw_row(dict(zip(header, cells, strict=True)), id_paths, within_text, line.number))
        else:
            read.decided.append((line.number, "rejected", problem))
        if len(rows) >= BATCH_ROWS:
            yield _batch(read, rows, shape)
            read, rows = CsvRead(), []
    yield _batch(read, rows, shape)


def _raw_row(
    cells: dict[str, str], id_paths: tuple[str, ...] | None, within_text: list[str], number: int
) -> dict[str, object]:
    """A row's cells, and what stands in those that are JSON text.

    Args:
        cells: by column.
        id_paths: where its id may stand, without which it needs a fingerprint; None where it has no id.
        within_text: the paths that lead into JSON text.
        number: of its line.
    """
    row: dict[str, object] = {**cells, "line_number": number, "problem": None, "fingerprint": None}
    if id_paths is not None and not any(map(cells.get, id_paths)):
        row["fingerprint"] = fingerprint({name: cell for name, cell in cells.items() if cell})
    for path in within_text:
        row[path] = raw_text(value_at(cells, path))
    return row


def _batch(read: CsvRead, rows: list[dict[str, object]], shape: Shape) -> CsvRead:
    if rows:
        read.raws.append(Raw(shape, raw_frame(rows)))
    return read


def _records(lines: Iterator[CsvLine], read: CsvRead, width: int) -> Iterator[tuple[CsvLine, list[str], str | None]]:
    """Yield each record as one line, its cells, and the reason to reject it, if any.

    Where lines joined by a quote make no row of `width` cells, the quote was a stray one: it costs its own line only.
    """
    waiting: list[CsvLine] = []  # lines taken back from such a quote
    while True:
        line = waiting.pop(0) if waiting else next(lines, None)
        if line is None:
            return
        if line.is_overlong:
            yield line, [], "line_too_long"
            continue
        if not line.content.strip():
            read.blank_lines += 1
            continue
        record = [line]
        while _is_open(record) and len(record) < QUOTED_LINES_MAX:
            following = waiting.pop(0) if waiting else next(lines, None)
            if following is None:
                break
            if following.is_overlong:
                waiting.insert(0, following)
                break
            record.append(following)
        whole = line if len(record) == 1 else _joined(record)
        cells, problem = ([], "invalid_csv") if _is_open(record) else _cells(whole.content)
        if problem == "invalid_csv" or (problem is None and len(cells) != width):
            waiting = record[1:] + waiting
            yield line, [], "invalid_csv"
        else:
            yield whole, cells, problem


def _is_open(record: list[CsvLine]) -> bool:
    return sum([line.content.count(b'"') for line in record]) % 2 == 1


def _joined(record: list[CsvLine]) -> CsvLine:
    """The lines of one record as one, with the line ends between them."""
    first, last = record[0], record[-1]
    content = b"".join(part.content + part.end for part in record[:-1]) + last.content
    return CsvLine(first.number, first.offset, content, last.end)


def _cells(content: bytes) -> tuple[list[str], str | None]:
    if len(content) > LINE_BYTES_MAX:
        return [], "line_too_long"
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return [], "invalid_utf8"
    if "\x00" in text:
        return [], "invalid_csv"
    try:
        return next(csv.reader([text], strict=True)), None
    except csv.Error:
        return [], "invalid_csv"
