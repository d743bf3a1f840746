"""Read inputs into candidates: every record of every input, judged, on as many threads as asked.

The main thread opens, decompresses, hashes and cuts; worker threads parse and judge. Results come back in the order of
the inputs and their lines, whatever the threads do.
"""

from __future__ import annotations

import io
import json
import re
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from etl.csv_rows import CsvLine, CsvRead, header_of, read_rows, source_of
from etl.decoding import Dialect, Reading
from etl.documents import Piece, pieces
from etl.errors import InputRefused
from etl.framing import UTF8_BOM, Chunk, Content, Input, refuse_unreadable_text
from etl.json_lines import JsonLinesReader
from etl.judging import judge
from etl.lines import Lines
from etl.raw_rows import ChunkRead, Raw, raw_frame, take_value
from etl.schema import polars_schema
from etl.shapes import Shape, decode
from etl.spool import compact

HEAD_BYTES = 1 << 16
DOCUMENT_BYTES_MAX = 1 << 30
SNIFF_LINES = 50

# A document on a single line; a record of its own would not begin like this.
_ONE_LINE_DOCUMENT = re.compile(rb'\s*(\[|\{\s*"object"\s*:\s*"(page|list)"\s*,\s*"data"\s*:\s*\[\s*\{)')
# Byte offset, byte length and SHA-256 of lines, by line number.
Places = Callable[[Sequence[int]], Iterator[tuple[int, int, str]]]


@dataclass
class Part:
    """A stretch of one input, judged.

    Attributes:
        input_index: which input.
        candidates: the records without a fate so far, by day, as `etl.spool.compact` leaves them.
        candidate_rows: how many they are.
        rejects: the rejected ones, as far as known, in the table `rejects`.
        reasons: how many records met each (fate, reason).
    """

    input_index: int
    candidates: dict[date, pl.DataFrame]
    candidate_rows: int
    rejects: pl.DataFrame
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    blank_lines: int = 0
    formats: set[str] = field(default_factory=set)


@dataclass
class End:
    """An input is read: what is known of it, and the refusal if it must not count."""

    input_index: int
    content: Content
    refusal: InputRefused | None = None


def read_inputs(inputs: Sequence[Input], reading: Reading, threads: int) -> Iterator[Part | End]:
    """Read all inputs; for each, its parts and then its end."""
    local = threading.local()

    def reader() -> JsonLinesReader:
        if not hasattr(local, "reader"):
            local.reader = JsonLinesReader(reading.only)
        found: JsonLinesReader = local.reader
        return found

    with ThreadPoolExecutor(threads, thread_name_prefix="read") as pool:
        waiting: deque[Future[Part] | End] = deque()
        try:
            for index, source in enumerate(inputs):
                content = Content(source)
                refusal = None
                try:
                    for task in _tasks(content, reading, reader, index):
                        waiting.append(pool.submit(task))
                        while len(waiting) > threads + 1:
                            yield _result(waiting.popleft())
                except InputRefused as error:
                    refusal = error
                waiting.append(End(index, content, refusal))
            while waiting:
                yield _result(waiting.popleft())
        finally:
            for left in waiting:
                if isinstance(left, Future):
                    left.cancel()


def _result(item: Future[Part] | End) -> Part | End:
    return item if isinstance(item, End) else item.result()


def _tasks(
    content: Content, reading: Reading, reader: Callable[[], JsonLinesReader], index: int
) -> Iterator[Callable[[], Part]]:
    """Cut an input into pieces of work, in order.

    Raises:
        InputRefused: it cannot be read, or not to its end.
    """
    blocks = content.blocks()
    head = b""
    while len(head) < HEAD_BYTES and (block := next(blocks, b"")):
        head += block
    refuse_unreadable_text(head)
    start = len(UTF8_BOM) if head.startswith(UTF8_BOM) else 0
    head = head[start:]
    kind = _kind(head)
    if kind == "document":
        yield from _document_tasks(_joined(head, blocks), start, reading, index)
    elif kind == "json_lines":
        shapes: list[Shape] = []
        for chunk in content.chunks(head, blocks, start):
            yield _line_task(chunk, shapes, reading, reader, index)
    else:
        lines = _csv_lines(content.chunks(head, blocks, start))
        first = next((line for line in lines if line.content.strip()), None)
        if first is None:
            raise InputRefused("unknown_format", "holds nothing but blank lines")
        header = header_of(first.content)
        for read in read_rows(header, source_of(header, reading.only), lines):
            yield _csv_task(read, reading, index)


def _kind(head: bytes) -> str:
    """Whether content is JSON lines, one JSON document over several lines, or CSV."""
    if head.lstrip()[:1] not in (b"{", b"["):
        # A JSON log may begin with a damaged line; a CSV header is never followed by JSON objects.
        return "json_lines" if any(_is_object(line) for line in head.splitlines()[1:SNIFF_LINES]) else "csv"
    lines = [line for line in head.splitlines()[:SNIFF_LINES] if line.strip()]
    if len(lines) == 1 and _ONE_LINE_DOCUMENT.match(head):
        return "document"
    if _is_json(lines[0]) or (len(lines) == 1 and len(head) >= HEAD_BYTES):
        return "json_lines"
    is_bracket = lines[0].strip() in (b"{", b"[", b"[{")
    if not is_bracket and any(_is_object(line) for line in lines[1:]):
        return "json_lines"
    return "json_lines" if len(lines) == 1 else "document"


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _is_object(line: bytes) -> bool:
    return line.strip()[:1] == b"{" and _is_json(line)


def _line_task(
    chunk: Chunk, shapes: list[Shape], reading: Reading, reader: Callable[[], JsonLinesReader], index: int
) -> Callable[[], Part]:
    def task() -> Part:
        read = reader().read(chunk, shapes)
        if chunk.is_overlong:
            place = (chunk.offset, chunk.content_length, chunk.sha256 or "")
            return _part(read, reading, "json", index, lambda _: iter([place]))
        return _part(read, reading, "json", index, lambda numbers: Lines(chunk).places(numbers))

    return task


def _csv_task(read: CsvRead, reading: Reading, index: int) -> Callable[[], Part]:
    def places(numbers: Sequence[int]) -> Iterator[tuple[int, int, str]]:
        for number in numbers:
            line = read.lines[number]
            yield line.place()

    return lambda: _part(read, reading, "csv", index, places)


def _document_tasks(text: str, start: int, reading: Reading, index: int) -> Iterator[Callable[[], Part]]:
    found = list(pieces(text, start))

    def task() -> Part:
        read, rows = ChunkRead(), {}  # type: ignore[var-annotated]
        by_line: dict[int, list[Piece]] = {}
        for piece in found:
            for part in (*piece.inner, piece):
                by_line.setdefault(part.line_number, []).append(part)
            try:
                value = decode(piece.text)
            except ValueError:
                read.decided.append((piece.line_number, "rejected", "invalid_json"))
            except RecursionError:
                read.decided.append((piece.line_number, "rejected", "too_deep"))
            else:
                take_value(value, piece.lines(), reading.only, read, rows)
        read.raws += [Raw(shape, raw_frame(own)) for shape, own in rows.items()]

        def places(numbers: Sequence[int]) -> Iterator[tuple[int, int, str]]:
            lines = Lines(Chunk(text.encode(), 1, start, 0))
            for number in numbers:
                # Where several records begin on a line, the line stands for each of them.
                alone = by_line[number] if len(by_line[number]) == 1 else []
                yield alone[0].place() if alone else next(lines.places([number]))

        return _part(read, reading, "json", index, places)

    yield task


def _joined(head: bytes, blocks: Iterator[bytes]) -> str:
    parts, size = [head], len(head)
    for block in blocks:
        size += len(block)
        if size > DOCUMENT_BYTES_MAX:
            raise InputRefused("too_large_document", "is one JSON document of more than 1 GiB; export it as JSON lines")
        parts.append(block)
    try:
        return b"".join(parts).decode()
    except UnicodeDecodeError as error:
        raise InputRefused("wrong_encoding", f"is one JSON document and not UTF-8 at byte {error.start:,}") from error


def _csv_lines(chunks: Iterator[Chunk]) -> Iterator[CsvLine]:
    for chunk in chunks:
        if chunk.is_overlong:
            yield CsvLine(chunk.first_line, chunk.offset, overlong=(chunk.content_length, chunk.sha256 or ""))
        offset, number = chunk.offset, chunk.first_line
        for line in io.BytesIO(chunk.data):
            content = line.removesuffix(b"\n").removesuffix(b"\r")
            yield CsvLine(number, offset, content, line[len(content) :])
            offset, number = offset + len(line), number + 1


def _part(read: ChunkRead, reading: Reading, dialect: Dialect, index: int, places: Places) -> Part:
    """Judge raw rows, and sort out the candidates, the rejected and the excluded."""
    reasons: Counter[tuple[str, str]] = Counter((fate, reason) for _, fate, reason in read.decided)
    rejected = [(number, reason) for number, fate, reason in read.decided if fate == "rejected"]
    candidates, formats = [], set()
    for raw in read.raws:
        judged = judge(raw.frame, raw.shape, reading, dialect)
        formats.add(raw.shape.source.name)
        fated = judged.filter(pl.col("fate").is_not_null())
        if fated.height:
            for fate, reason, number in fated.select("fate", "reason", "line_number").rows():
                reasons[fate, reason] += 1
                if fate == "rejected":
                    rejected.append((number, reason))
            judged = judged.filter(pl.col("fate").is_null())
        candidates.append(
            judged.drop("fate", "reason").with_columns(
                day=pl.col("occurred_at").dt.date(), input_index=pl.lit(index, pl.Int64)
            )
        )
    whole = pl.concat(candidates, how="diagonal") if candidates else pl.DataFrame()
    return Part(
        index,
        compact(whole) if whole.height else {},
        whole.height,
        _rejects(sorted(rejected), places),
        reasons,
        read.blank_lines,
        formats,
    )


def _rejects(rejected: list[tuple[int, str]], places: Places) -> pl.DataFrame:
    schema = polars_schema("rejects")
    names = ("line_number", "byte_offset", "byte_length", "fate", "reason", "line_sha256")
    numbers = [number for number, _ in rejected]
    rows = [
        (number, offset, length, "rejected", reason, digest)
        for (number, reason), (offset, length, digest) in zip(rejected, places(numbers) if numbers else (), strict=True)
    ]
    return pl.DataFrame(rows, schema={name: schema[name] for name in names}, orient="row")
