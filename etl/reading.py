"""Read inputs into candidates: every record of every input, judged, on as many threads as asked.

The main thread opens, decompresses, hashes and cuts; worker threads parse and judge. Results come back in the order of
the inputs and their lines, whatever the threads do.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from functools import cache

import polars as pl

from etl.carrying import Carrier
from etl.cells import Dialect
from etl.csv_rows import CsvRead
from etl.cutting import csv_reads, joined, opened
from etl.decoding import Reading
from etl.documents import by_first_line, pieces, place_of
from etl.errors import InputRefused
from etl.estimates.records import RecordOn, only_record, with_estimates
from etl.estimates.streams import WITHOUT_USAGE, Chunks, OpenStreams, chunks_of
from etl.framing import Chunk, Content, Input
from etl.json_lines import JsonLinesReader
from etl.json_values import Json, decode
from etl.judging import judge
from etl.lines import Lines
from etl.raw_rows import ChunkRead, Raw, raw_frame, take_value
from etl.schema import polars_schema
from etl.shapes import Shape
from etl.spool import compact

# Byte offset, byte length and SHA-256 of lines, by line number.
Places = Callable[[Sequence[int]], Iterator[tuple[int, int, str]]]


@dataclass(frozen=True)
class Origin:
    """Where a stretch of records comes from.

    Attributes:
        input_index: which input.
        dialect: how its cells are written.
        places: where its lines are.
        record_on: the one record on a line, decoded once more.
    """

    input_index: int
    dialect: Dialect
    places: Places
    record_on: RecordOn = lambda _: None


@dataclass
class Part:
    """A stretch of one input, judged.

    Attributes:
        input_index: which input.
        candidates: the records without a fate so far, by day, as `etl.spool.compact` leaves them.
        candidate_rows: how many they are.
        rejects: the rejected ones, as far as known, in the table `rejects`.
        reasons: how many records met each (fate, reason).
        stored_bytes: how far its input had been read when it was cut; for who watches.
        streams: the chunks of streamed answers, where those without usage are to be estimated.
        sequel: the part of those lines that lean on the lines before them, once these are known.
    """

    input_index: int
    candidates: dict[date, pl.DataFrame]
    candidate_rows: int
    rejects: pl.DataFrame
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    blank_lines: int = 0
    formats: set[str] = field(default_factory=set)
    stored_bytes: int = 0
    streams: list[Chunks] = field(default_factory=list)
    sequel: Callable[[Carrier], Part] | None = None


@dataclass
class End:
    """An input is read: what is known of it, and the refusal if it must not count."""

    input_index: int
    content: Content
    refusal: InputRefused | None = None


def read_inputs(
    inputs: Sequence[Input],
    reading: Reading,
    threads: int,
    content_bytes_max: int | None = None,
    first_index: int = 0,
) -> Iterator[Part | End]:
    """Read all inputs; for each, its parts and then its end.

    Args:
        inputs: in this order.
        reading: how.
        threads: how many to work with.
        content_bytes_max: compressed content is read up to this size.
        first_index: the index of the first of them.
    """
    local = threading.local()

    def reader() -> JsonLinesReader:
        if not hasattr(local, "reader"):
            local.reader = JsonLinesReader(reading.only)
        found: JsonLinesReader = local.reader
        return found

    with ThreadPoolExecutor(threads, thread_name_prefix="read") as pool:
        waiting: deque[Future[Part] | End] = deque()
        running: dict[int, _Running] = {}
        try:
            for index, source in enumerate(inputs, first_index):
                content = Content(source, content_bytes_max)
                refusal = None
                try:
                    for task in _tasks(content, reading, reader, index):
                        waiting.append(pool.submit(_placed, task, content.stored_bytes))
                        while len(waiting) > threads + 1:
                            yield from _results(waiting.popleft(), running, reading)
                except InputRefused as error:
                    refusal = error
                waiting.append(End(index, content, refusal))
            while waiting:
                yield from _results(waiting.popleft(), running, reading)
        finally:
            for left in waiting:
                if isinstance(left, Future):
                    left.cancel()


def _placed(task: Callable[[], Part], stored_bytes: int) -> Part:
    part = task()
    part.stored_bytes = stored_bytes
    return part


class _Running:
    """What is carried through the lines of one input."""

    def __init__(self, reading: Reading) -> None:
        self.carrier, self.streams = Carrier(), OpenStreams(reading)


def _results(item: Future[Part] | End, running: dict[int, _Running], reading: Reading) -> Iterator[Part | End]:
    """What came of a piece of work; what leans on earlier lines is completed here, where all come in order."""
    if isinstance(item, End):
        index = item.input_index
        for estimates in running.pop(index, _Running(reading)).streams.closed():
            # These chunks have been told as excluded; now they stand for their streams.
            withdrawn = Counter({("excluded", WITHOUT_USAGE): -estimates.height})
            rejects = _rejects([], lambda _: iter(()))
            yield Part(
                index, *_candidates([estimates], index), rejects, withdrawn, stored_bytes=item.content.stored_bytes
            )
        yield item
        return
    part = item.result()
    yield part
    through = running.setdefault(part.input_index, _Running(reading))
    for chunks in part.streams:
        through.streams.take(*chunks)
    if part.sequel is not None:
        sequel = part.sequel(through.carrier)
        sequel.stored_bytes = part.stored_bytes
        yield sequel


def _tasks(
    content: Content, reading: Reading, reader: Callable[[], JsonLinesReader], index: int
) -> Iterator[Callable[[], Part]]:
    """Cut an input into pieces of work, in order.

    Raises:
        InputRefused: it cannot be read, or not to its end.
    """
    found = opened(content)
    if found.kind == "document":
        yield from _document_tasks(joined(found.head, found.rest), found.start, reading, index)
    elif found.kind == "json_lines":
        shapes: list[Shape] = []
        for chunk in content.chunks(found.head, found.rest, found.start):
            yield _line_task(chunk, shapes, reading, reader, index)
    else:
        for read in csv_reads(content, found, reading.only):
            yield _csv_task(read, reading, index)


def _line_task(
    chunk: Chunk, shapes: list[Shape], reading: Reading, reader: Callable[[], JsonLinesReader], index: int
) -> Callable[[], Part]:
    def task() -> Part:
        read = reader().read(chunk, shapes)
        if chunk.is_overlong:
            place = (chunk.offset, chunk.content_length, chunk.sha256 or "")
            return _part(read, reading, Origin(index, "json", lambda _: iter([place])))
        lines = cache(lambda: Lines(chunk))
        return _part(
            read,
            reading,
            Origin(
                index,
                "json",
                lambda numbers: lines().places(numbers),
                lambda number: only_record(lines().content(number - chunk.first_line)),
            ),
        )

    return task


def _csv_task(read: CsvRead, reading: Reading, index: int) -> Callable[[], Part]:
    def places(numbers: Sequence[int]) -> Iterator[tuple[int, int, str]]:
        for number in numbers:
            line = read.lines[number]
            yield line.place()

    return lambda: _part(read, reading, Origin(index, "csv", places))


def _document_tasks(text: str, start: int, reading: Reading, index: int) -> Iterator[Callable[[], Part]]:
    found = list(pieces(text, start))

    def task() -> Part:
        read, rows = ChunkRead(), {}  # type: ignore[var-annotated]
        by_line = by_first_line(found)
        for piece in found:
            try:
                value = decode(piece.text)
            except ValueError:
                read.decided.append((piece.line_number, "rejected", "invalid_json"))
            except RecursionError:
                read.decided.append((piece.line_number, "rejected", "too_deep"))
            else:
                take_value(value, piece.lines(), reading.only, read, rows)
        read.raws += [Raw(shape, raw_frame(own)) for shape, own in rows.items() if own]

        def places(numbers: Sequence[int]) -> Iterator[tuple[int, int, str]]:
            lines = Lines(Chunk(text.encode(), 1, start, 0))
            return (place_of(number, by_line, lines) for number in numbers)

        def record_on(number: int) -> Json | None:
            begin_there = by_line[number]
            return only_record(begin_there[0].text.encode()) if len(begin_there) == 1 else None

        return _part(read, reading, Origin(index, "json", places, record_on))

    yield task


def _part(read: ChunkRead, reading: Reading, origin: Origin) -> Part:
    """Judge raw rows, but for those that lean on earlier lines, which are left to a sequel."""
    leaning = [raw for raw in read.raws if raw.shape.source.leans_on_earlier_lines]
    if not leaning:
        return _judged(read, reading, origin)
    others = [raw for raw in read.raws if not raw.shape.source.leans_on_earlier_lines]
    part = _judged(ChunkRead(others, read.decided, read.blank_lines), reading, origin)
    part.sequel = lambda carrier: _judged(ChunkRead(carrier.filled(leaning)), reading, origin)
    return part


def _judged(read: ChunkRead, reading: Reading, origin: Origin) -> Part:
    """Judge raw rows, and sort out the candidates, the rejected and the excluded."""
    reasons: Counter[tuple[str, str]] = Counter((fate, reason) for _, fate, reason in read.decided)
    rejected = [(number, reason) for number, fate, reason in read.decided if fate == "rejected"]
    candidates, formats, streams = [], set(), []
    for raw in read.raws:
        judged = judge(raw.frame, raw.shape, reading, origin.dialect)
        judged = with_estimates(judged, raw.shape, reading, origin.record_on)
        streams.append(chunks_of(judged, raw.shape, reading, origin.record_on))
        formats.add(raw.shape.source.name)
        fated = judged.filter(pl.col("fate").is_not_null())
        if fated.height:
            for fate, reason, number in fated.select("fate", "reason", "line_number").rows():
                reasons[fate, reason] += 1
                if fate == "rejected":
                    rejected.append((number, reason))
            judged = judged.filter(pl.col("fate").is_null())
        candidates.append(judged)
    by_day, rows = _candidates(candidates, origin.input_index)
    rejects = _rejects(sorted(rejected), origin.places)
    return Part(origin.input_index, by_day, rows, rejects, reasons, read.blank_lines, formats, streams=streams)


def _candidates(judged: Sequence[pl.DataFrame], index: int) -> tuple[dict[date, pl.DataFrame], int]:
    """Judged rows without a fate by day, compacted, and how many they are."""
    if not any(frame.height for frame in judged):
        return {}, 0
    whole = pl.concat(judged, how="diagonal").drop("fate", "reason")
    day, input_index = pl.col("occurred_at").dt.date(), pl.lit(index, pl.Int64)
    return compact(whole.with_columns(day=day, input_index=input_index)), whole.height


def _rejects(rejected: list[tuple[int, str]], places: Places) -> pl.DataFrame:
    schema = polars_schema("rejects")
    names = ("line_number", "byte_offset", "byte_length", "fate", "reason", "line_sha256")
    numbers = [number for number, _ in rejected]
    rows = [
        (number, offset, length, "rejected", reason, digest)
        for (number, reason), (offset, length, digest) in zip(rejected, places(numbers) if numbers else (), strict=True)
    ]
    return pl.DataFrame(rows, schema={name: schema[name] for name in names}, orient="row")
