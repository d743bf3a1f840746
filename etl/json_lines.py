"""Read a chunk of JSON lines into raw rows: DuckDB reads what it reads strictly, Python reads the rest.

The fast way never decides a fate. DuckDB parses a whole chunk with every field as undecoded JSON text and every check
on (`ignore_errors=false`: malformed lines, doubled keys and wrong structures stop it). What it cannot vouch for, line by
line, goes to the strict reader in `etl.shapes`, which names the reason. `docs/decisions/0002-two-readers.md` tells why.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl
from fsspec import AbstractFileSystem

from etl.engine import connect
from etl.framing import LINE_BYTES_MAX, UTF8_BOM, Chunk
from etl.shapes import Literal, Shape, decode, raw_row, recognise
from etl.sources.base import Source

SNIFF_LINES = 50
RETRIES_MAX = 8
_SPACE = b" \t\r\n"
_BAD_LINE = re.compile(r"in line (\d+)")
_TRAILING_COMMA = re.compile(rb",[ \t\r]*[}\]]")
_STRING_LITERAL = re.compile(rb'"(?:[^"\\]|\\.)*"')


@dataclass
class Raw:
    """Raw rows of one shape; `frame` has a column per path, `line_number` and perhaps `problem`."""

    shape: Shape
    frame: pl.DataFrame


@dataclass
class ChunkRead:
    """All records of a chunk: raw rows to judge, and those whose fate was plain at sight."""

    raws: list[Raw] = field(default_factory=list)
    decided: list[tuple[int, str, str]] = field(default_factory=list)
    blank_lines: int = 0


class Lines:
    """Where the lines of a chunk are."""

    def __init__(self, chunk: Chunk) -> None:
        data = np.frombuffer(chunk.data, dtype=np.uint8)
        ends = np.flatnonzero(data == 10)
        if not chunk.data.endswith(b"\n"):
            ends = np.append(ends, len(chunk.data))
        self.chunk = chunk
        self.starts: npt.NDArray[np.int64] = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))
        self.ends: npt.NDArray[np.int64] = ends

    def __len__(self) -> int:
        return len(self.ends)

    def content(self, index: int) -> bytes:
        """A line without its terminator."""
        return self.chunk.data[self.starts[index] : self.ends[index]].removesuffix(b"\r")

    def places(self, line_numbers: Iterable[int]) -> Iterator[tuple[int, int, str]]:
        """Byte offset, byte length and SHA-256 of lines, by their numbers in the input."""
        for number in line_numbers:
            content = self.content(number - self.chunk.first_line)
            offset = self.chunk.offset + int(self.starts[number - self.chunk.first_line])
            yield offset, len(content), hashlib.sha256(content).hexdigest()


class JsonLinesReader:
    """Reads chunks. One per thread: it holds a DuckDB connection.

    Args:
        only: the one source to consider (`--format`), else all.
    """

    def __init__(self, only: Source | None) -> None:
        self._only = only
        self._shapes: list[Shape] = []
        self._memory = _ChunkFiles()
        self._connection = connect(threads=1)
        # Polars keeps strings as views; it takes over DuckDB's as they are, and would copy any other.
        self._connection.execute("SET arrow_output_version = '1.4'; SET produce_arrow_string_view = true")
        self._connection.register_filesystem(self._memory)

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def read(self, chunk: Chunk, known_shapes: list[Shape]) -> ChunkRead:
        """Read every record of a chunk.

        Args:
            chunk: whole lines.
            known_shapes: the shapes met so far in this input; those met here are added, and make later chunks fast.
        """
        self._shapes = known_shapes
        if chunk.is_overlong:
            return ChunkRead(decided=[(chunk.first_line, "rejected", "line_too_long")])
        if not self._shapes:
            self._sniff(chunk.data)
        shapes = [shape for shape in self._shapes if shape.source.marker]
        # DuckDB passes over a byte order mark at the start of what it is given, wherever in the input that is.
        is_plain = not chunk.data.startswith(UTF8_BOM) and not _may_hold_overlong_line(chunk.data)
        if shapes and is_plain and not _has_trailing_comma(chunk.data):
            frame = self._strictly(chunk.data, shapes)
            # Blank lines make no rows; then the rows cannot be numbered by their position alone.
            if frame is not None and frame.height == chunk.lines:
                frame = frame.with_columns(line_number=pl.int_range(chunk.first_line, chunk.first_line + frame.height))
                return self._sorted_out(frame, shapes, Lines(chunk) if self._has_strangers(frame, shapes) else None)
        return self._carefully(chunk, shapes)

    def _sniff(self, data: bytes) -> None:
        taken = 0
        for line in io.BytesIO(data):
            if taken == SNIFF_LINES:
                break
            if content := line.strip(_SPACE):
                taken += 1
                self._strict_line(content, 0, ChunkRead(), {})

    def _strictly(self, data: bytes | bytearray, shapes: Sequence[Shape]) -> pl.DataFrame | None:
        """Read all lines of `data`, or None where DuckDB objects to any."""
        try:
            return self._query(data, shapes, ignore_errors=False)
        except (duckdb.InvalidInputException, duckdb.IOException):
            return None

    def _query(self, data: bytes | bytearray, shapes: Sequence[Shape], *, ignore_errors: bool) -> pl.DataFrame:
        paths = dict.fromkeys(path for shape in shapes for path in shape.paths())
        usages = dict.fromkeys(f"{shape.prefix}{shape.source.usage}" for shape in shapes if shape.source.usage)
        outputs = [f'{_column(path)} AS "{path}"' for path in paths]
        outputs += [f"""CASE WHEN {_column(path)} IS NOT NULL THEN 'true' END AS "{path}?" """ for path in usages]
        # Every name in this text is a path from a source's declaration; the data comes by the file system alone.
        query = (
            f"SELECT {', '.join(outputs)} FROM read_json('{self._memory.offer(data)}', format='newline_delimited', "  # noqa: S608
            f"compression='none', columns={_columns(_tree(paths))}, ignore_errors={ignore_errors}, "
            f"maximum_object_size={LINE_BYTES_MAX})"
        )
        frame = pl.from_arrow(self._connection.sql(query).to_arrow_table())
        assert isinstance(frame, pl.DataFrame)
        return frame

    def _carefully(self, chunk: Chunk, shapes: Sequence[Shape]) -> ChunkRead:
        """Read a chunk in which something is out of the ordinary: narrow it down to the lines that are."""
        lines = Lines(chunk)
        contents = [lines.content(index).strip(_SPACE) for index in range(len(lines))]
        is_blank, is_suspect = _look_at_edges(contents)
        is_suspect |= _trailing_commas(contents)
        data = bytearray(chunk.data)
        frame = None
        if shapes:
            _blank_out(data, lines, np.flatnonzero(is_suspect))
            frame = self._narrowed(data, lines, shapes, is_blank, is_suspect)
        if frame is None:
            read = ChunkRead()
            suspects = np.flatnonzero(~is_blank)
        else:
            numbers = np.flatnonzero(~(is_blank | is_suspect)) + chunk.first_line
            read = self._sorted_out(frame.with_columns(line_number=pl.Series(numbers, dtype=pl.Int64)), shapes, lines)
            suspects = np.flatnonzero(is_suspect)
        read.blank_lines = int(is_blank.sum())
        self._strict_lines(lines, suspects, read)
        return read

    def _narrowed(
        self,
        data: bytearray,
        lines: Lines,
        shapes: Sequence[Shape],
        is_blank: npt.NDArray[np.bool_],
        is_suspect: npt.NDArray[np.bool_],
    ) -> pl.DataFrame | None:
        """Move lines to the suspects until DuckDB vouches for all others; None where that takes too long."""
        for attempt in range(RETRIES_MAX):
            good = np.flatnonzero(~(is_blank | is_suspect))
            frame = self._strictly(data, shapes)
            if frame is not None:
                return frame if frame.height == len(good) else None
            if attempt == 0:
                # Malformed lines come out as rows without any recognised marker.
                loose = self._loosely(data, shapes)
                if loose is None or loose.height != len(good):
                    return None
                doubtful = good[(~loose.select(_claims(shapes)).to_series()).to_numpy()]
            else:
                doubtful = self._named_by_error(data, lines, shapes)
            if not len(doubtful):
                doubtful = self._named_by_error(data, lines, shapes)
            if not len(doubtful):
                return None
            is_suspect[doubtful] = True
            _blank_out(data, lines, doubtful)
        return None

    def _loosely(self, data: bytearray, shapes: Sequence[Shape]) -> pl.DataFrame | None:
        try:
            return self._query(data, shapes, ignore_errors=True)
        except duckdb.Error:
            return None

    def _named_by_error(self, data: bytearray, lines: Lines, shapes: Sequence[Shape]) -> npt.NDArray[np.int64]:
        """The line that DuckDB's message names, if it can be one."""
        try:
            self._query(data, shapes, ignore_errors=False)
        except duckdb.Error as error:
            match = _BAD_LINE.search(str(error))
            if match and 0 < int(match[1]) <= len(lines):
                return np.array([int(match[1]) - 1])
        return np.array([], dtype=np.int64)

    def _has_strangers(self, frame: pl.DataFrame, shapes: Sequence[Shape]) -> bool:
        return not frame.select(_claims(shapes).all()).item()

    def _sorted_out(self, frame: pl.DataFrame, shapes: Sequence[Shape], lines: Lines | None) -> ChunkRead:
        """Give each row to the shape that claims it; what none claims is read again strictly."""
        read = ChunkRead()
        if len(shapes) == 1 and lines is None:
            read.raws.append(Raw(shapes[0], frame))
            return read
        claimed = pl.coalesce(*(pl.when(_claim(shape)).then(index) for index, shape in enumerate(shapes)), -1)
        frame = frame.with_columns(claimed.alias("claimed"))
        for index, shape in enumerate(shapes):
            own = frame.filter(pl.col("claimed") == index)
            if own.height:
                read.raws.append(Raw(shape, own))
        strangers = frame.filter(pl.col("claimed") == -1)["line_number"].to_numpy()
        if lines is not None and len(strangers):
            self._strict_lines(lines, strangers - lines.chunk.first_line, read)
        return read

    def _strict_lines(self, lines: Lines, indexes: npt.NDArray[np.int64], read: ChunkRead) -> None:
        rows: dict[Shape, list[dict[str, Any]]] = {}
        for index in indexes.tolist():
            self._strict_line(lines.content(index), index + lines.chunk.first_line, read, rows)
        for shape, own in rows.items():
            read.raws.append(Raw(shape, raw_frame(own)))

    def _strict_line(self, line: bytes, number: int, read: ChunkRead, rows: dict[Shape, list[dict[str, Any]]]) -> None:
        if len(line) > LINE_BYTES_MAX:
            read.decided.append((number, "rejected", "line_too_long"))
            return
        try:
            value = decode(line.strip(_SPACE).decode())
        except UnicodeDecodeError:
            read.decided.append((number, "rejected", "invalid_utf8"))
        except ValueError:
            read.decided.append((number, "rejected", "invalid_json"))
        except RecursionError:
            read.decided.append((number, "rejected", "too_deep"))
        else:
            take_value(value, [number], self._only, read, rows)
            for shape in rows:
                if shape not in self._shapes:
                    self._shapes.append(shape)


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
    number = numbers[0]
    if not isinstance(value, dict):
        read.decided.append((number, "rejected", "not_an_object"))
        return
    found = recognise(value, only)
    if found.shape is None:
        assert found.fate is not None and found.reason is not None
        read.decided.append((number, found.fate, found.reason))
        return
    unpack = found.shape.source.unpack
    if unpack is None:
        _take_record(found.shape, found.record, number, value, rows)
        return
    for index, record in enumerate(unpack(found.record)):
        number = numbers[min(index, len(numbers) - 1)]
        # A page or bucket may hold results of another kind.
        part = recognise(record, only)
        if part.shape == found.shape:
            _take_record(found.shape, record, number, record, rows)
        else:
            read.decided.append((number, part.fate or "rejected", part.reason or "unknown_shape"))


def _take_record(shape: Shape, record: Any, number: int, whole: Any, rows: dict[Shape, list[dict[str, Any]]]) -> None:
    row, problem = raw_row(record, shape)
    needs_mark = shape.source.kind == "request" and not any(row.get(path) for path in shape.id_paths)
    mark = fingerprint(whole) if needs_mark else None
    rows.setdefault(shape, []).append({**row, "line_number": number, "problem": problem, "fingerprint": mark})


def fingerprint(record: Any) -> str:
    """The identity of a record that has no id: the hash of its canonical JSON."""
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def raw_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """A frame of raw rows: text columns and `line_number`."""
    names = dict.fromkeys(name for row in rows for name in row)
    schema = {name: pl.Int64 if name == "line_number" else pl.String for name in names}
    return pl.DataFrame({name: [_plain(row.get(name)) for row in rows] for name in names}, schema=schema)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Literal) else value


def _claims(shapes: Sequence[Shape]) -> pl.Expr:
    return pl.any_horizontal(*(_claim(shape) for shape in shapes))


def _claim(shape: Shape) -> pl.Expr:
    """True where a row read by DuckDB is of this shape, by its marker and envelope."""
    assert shape.source.marker is not None
    key, values = shape.source.marker
    claim = pl.col(shape.prefix + key).is_in([f'"{value}"' for value in values])
    # Without an id of its own, a record's identity takes the strict reader.
    claim &= pl.col(shape.prefix + shape.source.texts["request_id"]).is_not_null()
    if shape.place:
        is_batch = pl.col("custom_id").str.starts_with('"') & pl.col("method").is_null()
        claim &= is_batch.fill_null(False) if shape.is_batch else pl.col("custom_id").is_null()
    return claim.fill_null(False)


def _may_hold_overlong_line(data: bytes) -> bool:
    """Whether some stretch of half the limit has no line end."""
    half = LINE_BYTES_MAX // 2
    return any(data.find(b"\n", start, start + half) < 0 for start in range(0, len(data) - half, half))


def _has_trailing_comma(data: bytes) -> bool:
    """Whether a comma stands before a closing bracket anywhere, also in a string: DuckDB would let it pass."""
    for start in (0, 1):
        pairs = np.frombuffer(data, dtype="<u2", offset=start, count=(len(data) - start) // 2) & 0xDFF3
        # `]` and `}` differ in one bit, comma and space in two, tab and carriage return in one: two comparisons do.
        if (pairs == 0x5D20).any() or (pairs == 0x5D01).any():
            return _TRAILING_COMMA.search(data) is not None
    return False


def _trailing_commas(contents: Sequence[bytes]) -> npt.NDArray[np.bool_]:
    """Which lines have a comma before a closing bracket, outside of strings."""
    found = np.zeros(len(contents), dtype=np.bool_)
    for index, content in enumerate(contents):
        if _TRAILING_COMMA.search(content):
            found[index] = _TRAILING_COMMA.search(_STRING_LITERAL.sub(b'""', content)) is not None
    return found


def _look_at_edges(contents: Sequence[bytes]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which lines are blank, and which cannot be one JSON object by their first and last characters or length."""
    is_blank = np.fromiter((not content for content in contents), dtype=np.bool_, count=len(contents))
    is_object = np.fromiter(
        (content[:1] == b"{" and content[-1:] == b"}" and len(content) < LINE_BYTES_MAX for content in contents),
        dtype=np.bool_,
        count=len(contents),
    )
    return is_blank, ~is_blank & ~is_object


def _blank_out(data: bytearray, lines: Lines, indexes: npt.NDArray[np.int64]) -> None:
    """Overwrite lines with spaces: DuckDB passes over blank lines, and the others keep their place."""
    for index in indexes.tolist():
        start, end = int(lines.starts[index]), int(lines.ends[index])
        data[start:end] = b" " * (end - start)


def _tree(paths: Iterable[str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in paths:
        *parents, leaf = path.split(".")
        at = tree
        for key in parents:
            at = at.setdefault(key, {})
        at.setdefault(leaf, {})
    return tree


def _columns(tree: dict[str, Any]) -> str:
    return "{" + ", ".join(f"""'{key}': '{_type(below)}'""" for key, below in tree.items()) + "}"


def _type(tree: dict[str, Any]) -> str:
    if not tree:
        return "JSON"
    return "STRUCT(" + ", ".join(f'"{key}" {_type(below)}' for key, below in tree.items()) + ")"


def _column(path: str) -> str:
    return ".".join(f'"{key}"' for key in path.split("."))


class _ChunkFiles(AbstractFileSystem):  # type: ignore[misc]
    """Shows DuckDB one chunk at a time as a file, so that it parses the very bytes that were hashed."""

    protocol = "chunk"
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self._data: bytes | bytearray = b""
        self._count = 0

    def offer(self, data: bytes | bytearray) -> str:
        """Put the next chunk behind a name of its own, as DuckDB may remember what a name held."""
        self._data = data
        self._count += 1
        return f"chunk://{self._count}.jsonl"

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BytesIO:
        return _ChunkFile(self._data)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """The size is what DuckDB asks for."""
        return {"name": path, "size": len(self._data), "type": "file"}

    def exists(self, path: str, **_: Any) -> bool:
        """The chunk on offer is there."""
        return True

    def isfile(self, path: str) -> bool:
        """And it is a file."""
        return True

    def glob(self, path: str, **_: Any) -> list[str]:
        """Names hold no patterns."""
        return [path]


class _ChunkFile(io.BytesIO):
    @property
    def size(self) -> int:
        """The length, where DuckDB looks for it."""
        return self.getbuffer().nbytes
