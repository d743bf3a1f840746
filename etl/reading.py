"""Read inputs into candidates: every record of every input, judged, on as many threads as asked.

The main thread opens, decompresses, hashes and cuts; worker threads parse and judge. Results come back in the order of
the inputs and their lines, whatever the threads do.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import zip_longest
from typing import NamedTuple

from etl.carrying import Carrier
from etl.csv_rows import CsvRead
from etl.cutting import csv_reads, joined, opened
from etl.decoding import Reading
from etl.documents import by_first_line, pieces, place_of
from etl.errors import InputRefused
from etl.estimates.records import only_record
from etl.estimates.streams import OpenStreams
from etl.framing import Chunk, Content, Input
from etl.json_lines import JsonLinesReader
from etl.json_values import Json, decode
from etl.lines import Lines
from etl.parts import Origin, Part, estimates_part, part_of, parts_together
from etl.raw_rows import ChunkRead, Raw, raw_frame, take_value
from etl.shapes import Shape
from etl.sources.base import Source
from etl.unknown_keys import look_at_table, look_at_value

SMALL_BYTES = 1 << 20
# So many small inputs are read at once: enough that what each call costs counts for little.
GATHERED_BYTES, GATHERED_MAX = 24 << 20, 512


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
    reader = _reader_of_thread(reading.only)
    with ThreadPoolExecutor(threads, thread_name_prefix="read") as pool:
        waiting: deque[_Awaited] = deque()
        gathered = _Gathered()
        running: dict[int, _Running] = {}

        def send_gathered() -> None:
            if small := gathered.taken():
                task = partial(_together, small, reading, reader)
                waiting.append(_Awaited(pool.submit(task), [one.end for one in small]))

        try:
            for index, source in enumerate(inputs, first_index):
                end = End(index, Content(source, content_bytes_max))
                try:
                    for task in _tasks(end.content, reading, reader, index):
                        if isinstance(task, Chunk):
                            gathered.add(_Small(task, end))
                            continue
                        send_gathered()
                        waiting.append(_Awaited(pool.submit(_placed, task, end.content.stored_bytes)))
                        while _is_due(waiting, threads):
                            yield from _results(waiting.popleft(), running, reading)
                except InputRefused as error:
                    end.refusal = error
                if not gathered.ends_with(end):
                    send_gathered()
                    waiting.append(_Awaited(None, [end]))
                elif gathered.is_full:
                    send_gathered()
                while _is_due(waiting, threads):
                    yield from _results(waiting.popleft(), running, reading)
            send_gathered()
            while waiting:
                yield from _results(waiting.popleft(), running, reading)
        finally:
            for left in waiting:
                if left.parts:
                    left.parts.cancel()


def _reader_of_thread(only: Source | None) -> Callable[[], JsonLinesReader]:
    """Gives each thread that asks a reader of its own."""
    local = threading.local()

    def reader() -> JsonLinesReader:
        if not hasattr(local, "reader"):
            local.reader = JsonLinesReader(only)
        found: JsonLinesReader = local.reader
        return found

    return reader


class _Small(NamedTuple):
    """An input that is read together with others: all its lines, and its end."""

    chunk: Chunk
    end: End


class _Gathered:
    """Small inputs that wait for one another."""

    def __init__(self) -> None:
        self._inputs: list[_Small] = []
        self._bytes = 0

    def add(self, small: _Small) -> None:
        """One more."""
        self._inputs.append(small)
        self._bytes += len(small.chunk.data)

    def ends_with(self, end: End) -> bool:
        """Whether the last of them is the one that ends so."""
        return bool(self._inputs) and self._inputs[-1].end is end

    @property
    def is_full(self) -> bool:
        """Whether they are enough to be read."""
        return self._bytes >= GATHERED_BYTES or len(self._inputs) == GATHERED_MAX

    def taken(self) -> tuple[_Small, ...]:
        """All of them, which wait no longer."""
        taken, self._inputs, self._bytes = tuple(self._inputs), [], 0
        return taken


class _Awaited(NamedTuple):
    """What a thread works on: parts, and the ends that follow each of them or stand alone."""

    parts: Future[list[Part]] | None
    ends: Sequence[End] = ()


def _is_due(waiting: deque[_Awaited], threads: int) -> bool:
    """Whether the first needs no waiting for, or enough work lies ahead of the threads."""
    return bool(waiting) and (waiting[0].parts is None or sum(one.parts is not None for one in waiting) > threads)


def _placed(task: Callable[[], Part], stored_bytes: int) -> list[Part]:
    part = task()
    part.stored_bytes = stored_bytes
    return [part]


def _together(gathered: Sequence[_Small], reading: Reading, reader: Callable[[], JsonLinesReader]) -> list[Part]:
    chunks = [(one.end.input_index, one.chunk) for one in gathered]
    parts = parts_together(chunks, reader(), reading) if len(chunks) > 1 else None
    if parts is None:
        parts = [_line_task(chunk, [], reading, reader, index)() for index, chunk in chunks]
    for part, one in zip(parts, gathered, strict=True):
        part.stored_bytes = one.end.content.stored_bytes
    return parts


class _Running:
    """What is carried through the lines of one input."""

    def __init__(self, reading: Reading) -> None:
        self.carrier, self.streams = Carrier(), OpenStreams(reading)


def _results(item: _Awaited, running: dict[int, _Running], reading: Reading) -> Iterator[Part | End]:
    """What came of a piece of work; what leans on earlier lines is completed here, where all come in order."""
    for part, end in zip_longest(item.parts.result() if item.parts else (), item.ends):
        if part is not None:
            yield part
            through = running.setdefault(part.input_index, _Running(reading))
            for chunks in part.streams:
                through.streams.take(*chunks)
            if part.sequel is not None:
                sequel = part.sequel(through.carrier)
                sequel.stored_bytes = part.stored_bytes
                yield sequel
        if end is not None:
            index, stored_bytes = end.input_index, end.content.stored_bytes
            for estimates in running.pop(index, _Running(reading)).streams.closed():
                yield estimates_part(estimates, index, stored_bytes)
            yield end


def _tasks(
    content: Content, reading: Reading, reader: Callable[[], JsonLinesReader], index: int
) -> Iterator[Callable[[], Part] | Chunk]:
    """Cut an input into pieces of work, in order; small JSON lines are given as they are, to be read with others.

    Raises:
        InputRefused: it cannot be read, or not to its end.
    """
    found = opened(content)
    if found.kind == "document":
        yield from _document_tasks(joined(found.head, found.rest), found.start, reading, index)
    elif found.kind == "json_lines":
        shapes: list[Shape] = []
        for chunk in content.chunks(found.head, found.rest, found.start):
            is_whole = content.sha256 != "" and chunk.first_line == 1  # the hash is there when all has been read
            is_small = len(chunk.data) <= SMALL_BYTES and not chunk.is_overlong
            if is_whole and is_small and reading.vocabularies is None:  # who estimates looks at single lines again
                yield chunk
            else:
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
            return part_of(read, reading, Origin(index, "json", lambda _: iter([place])))
        lines = cache(lambda: read.own_lines or Lines(chunk))
        return part_of(
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

    def task() -> Part:
        for raw in read.raws:
            read.unknown_keys += look_at_table(raw.frame, raw.shape.source)
        return part_of(read, reading, Origin(index, "csv", places))

    return task


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
                look_at_value(value, piece.line_number, reading.only, read.unknown_keys)
        read.raws += [Raw(shape, raw_frame(own)) for shape, own in rows.items() if own]

        def places(numbers: Sequence[int]) -> Iterator[tuple[int, int, str]]:
            lines = Lines(Chunk(text.encode(), 1, start, 0))
            return (place_of(number, by_line, lines) for number in numbers)

        def record_on(number: int) -> Json | None:
            begin_there = by_line[number]
            return only_record(begin_there[0].text.encode()) if len(begin_there) == 1 else None

        return part_of(read, reading, Origin(index, "json", places, record_on))

    yield task
