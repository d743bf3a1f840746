"""The work on one input: pieces that are read each by itself, in whatever thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from etl.csv_rows import CsvRead
from etl.cutting import csv_reads, joined, opened
from etl.decoding import Reading
from etl.document_reading import read_pieces
from etl.documents import by_first_line, pieces, place_of
from etl.estimates.records import only_record
from etl.framing import Chunk, Content
from etl.json_lines import JsonLinesReader
from etl.json_values import Json
from etl.lines import Lines
from etl.parts import Origin, Stretch
from etl.shapes import Shape
from etl.unknown_keys import look_at_table

# Up to so many bytes, the lines of an input are read with those of others.
SMALL_BYTES = 1 << 20

ReaderOfThread = Callable[[], JsonLinesReader]
# A piece of work: to read a stretch of an input.
Task = Callable[[ReaderOfThread], Stretch]


@dataclass
class LineTask:
    """A stretch of JSON lines.

    Attributes:
        chunk: the lines.
        input_index: of their input.
        shapes: those met so far in the input, which its stretches share.
        is_small_whole: these are all lines of a small input, which may be read together with others.
    """

    chunk: Chunk
    input_index: int
    shapes: list[Shape]
    is_small_whole: bool

    def __call__(self, reader: ReaderOfThread) -> Stretch:
        """Read them by themselves."""
        chunk = self.chunk
        read, last = reader().read(chunk, self.shapes), chunk.first_line + chunk.lines - 1
        if chunk.is_overlong:
            place = (chunk.offset, chunk.content_length, chunk.sha256 or "")
            return Stretch(read, Origin(self.input_index, "json", lambda _: iter([place])), last)
        lines = cache(lambda: read.own_lines or Lines(chunk))
        origin = Origin(
            self.input_index,
            "json",
            lambda numbers: lines().places(numbers),
            lambda number: only_record(lines().content(number - chunk.first_line)),
        )
        return Stretch(read, origin, last)


def tasks_of(content: Content, index: int, reading: Reading) -> Iterator[Task]:
    """Cut an input into pieces of work, in order.

    Raises:
        InputRefused: it cannot be read, or not to its end.
    """
    found = opened(content)
    if found.kind == "document":
        yield _document_task(joined(found.head, found.rest), found.start, reading, index)
    elif found.kind == "json_lines":
        shapes: list[Shape] = []
        for chunk in content.chunks(found.head, found.rest, found.start):
            is_whole = content.sha256 != "" and chunk.first_line == 1  # the hash is there when all has been read
            is_small = len(chunk.data) <= SMALL_BYTES and not chunk.is_overlong
            # Who estimates looks at single lines again.
            yield LineTask(chunk, index, shapes, is_whole and is_small and reading.vocabularies is None)
    else:
        for read in csv_reads(content, found, reading.only):
            yield _csv_task(read, index)


def _csv_task(read: CsvRead, index: int) -> Task:
    def places(numbers: Sequence[int]) -> Iterator[tuple[int, int, str]]:
        for number in numbers:
            line = read.lines[number]
            yield line.place()

    def task(_: ReaderOfThread) -> Stretch:
        for raw in read.raws:
            read.unknown_keys += look_at_table(raw.frame, raw.shape.source)
        return Stretch(read, Origin(index, "csv", places), max(read.lines, default=0))

    return task


def _document_task(text: str, start: int, reading: Reading, index: int) -> Task:
    found = list(pieces(text, start))

    def task(reader: ReaderOfThread) -> Stretch:
        read = read_pieces(found, reading.only, reader())
        by_line = by_first_line(found)

        def places(numbers: Sequence[int]) -> Iterator[tuple[int, int, str]]:
            lines = Lines(Chunk(text.encode(), 1, start, 0))
            return (place_of(number, by_line, lines) for number in numbers)

        def record_on(number: int) -> Json | None:
            begin_there = by_line[number]
            return only_record(begin_there[0].text.encode()) if len(begin_there) == 1 else None

        return Stretch(read, Origin(index, "json", places, record_on), text.count("\n") + 1)

    return task
