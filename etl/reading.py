"""Read inputs into candidates: every record of every input, judged, on as many threads as asked.

The main thread opens, decompresses, hashes and cuts; worker threads parse and judge, small inputs together with their
neighbours. Results come back in the order of the inputs and their lines, whatever the threads do.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from etl.carrying import Carrier
from etl.decoding import Reading
from etl.errors import InputRefused
from etl.estimates.streams import OpenStreams
from etl.framing import CHUNK_BYTES, Content, Input
from etl.inputs import COMPRESSED
from etl.json_lines import JsonLinesReader
from etl.parts import Part, Stretch, estimates_part, lines_together, part_of, parts_of
from etl.tasks import SMALL_BYTES, LineTask, Task, tasks_of

# So many small inputs are read at once: enough that what each call costs counts for little.
GATHERED_BYTES, GATHERED_MAX = CHUNK_BYTES, 1024
# So much larger than its file a compressed input is taken to be until it is read.
UNPACKED_RATIO = 10


@dataclass
class End:
    """An input is read: what is known of it, and the refusal if it must not count."""

    input_index: int
    content: Content
    refusal: InputRefused | None = None


@dataclass
class _Unfinished:
    """An input that is larger than it looked, and the work on it that is left."""

    end: End
    tasks: Iterator[Task]


class _Opened(NamedTuple):
    """A small input that is open, or was: the work on it, and what is left to cut of one that is larger than it looked.

    The lines of a small one are a single task.
    """

    end: End
    tasks: Sequence[Task]
    rest: Iterator[Task] | None


_Results = Sequence[Part | End | _Unfinished]
# What a thread works on, or what is there already.
_Piece = Future[_Results] | _Results


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
    ends = (End(index, Content(source, content_bytes_max)) for index, source in enumerate(inputs, first_index))
    with ThreadPoolExecutor(threads, thread_name_prefix="read") as pool:
        yield from _Readers(pool, threads, reading).read(ends)


class _Readers:
    """Threads that read.

    Args:
        pool: the threads.
        threads: how many they are.
        reading: how they read.
    """

    def __init__(self, pool: ThreadPoolExecutor, threads: int, reading: Reading) -> None:
        self._pool, self._threads, self._reading = pool, threads, reading
        self._of_thread = threading.local()
        self._running: dict[int, _Running] = {}

    def read(self, ends: Iterable[End]) -> Iterator[Part | End]:
        """Read inputs of which nothing is known but their files."""
        yield from self._in_order(work for group in _groups(ends) for work in self._begun(group))

    def _tasks(self, end: End) -> Iterator[Task]:
        return tasks_of(end.content, end.input_index, self._reading)

    def _begun(self, group: list[End]) -> Iterator[_Piece]:
        if _small_bytes(group[0].content.input) is not None:
            while group:
                opened = self._opened(group)
                yield self._pool.submit(self._read_opened, opened)
                group = group[len(opened) :]
        else:
            [end] = group
            yield from self._cut(end, self._tasks(end))

    def _cut(self, end: End, tasks: Iterator[Task]) -> Iterator[_Piece]:
        """The pieces of one input, each begun as it is cut, and its end."""
        try:
            for task in tasks:
                yield self._pool.submit(self._done, task, end.content.stored_bytes)
        except InputRefused as error:
            end.refusal = _alone(error)
        yield [end]

    def _in_order(self, work: Iterator[_Piece]) -> Iterator[Part | End]:
        """What comes of pieces of work, in their order, with no more of them begun than keep the threads busy."""
        waiting: deque[_Piece] = deque()
        try:
            for piece in work:
                waiting.append(piece)
                while self._is_due(waiting):
                    yield from self._completed(waiting)
            while waiting:
                yield from self._completed(waiting)
        finally:
            for left in waiting:
                if isinstance(left, Future):
                    left.cancel()

    def _is_due(self, waiting: deque[_Piece]) -> bool:
        """Whether the first needs no waiting for, or enough work lies ahead of the threads."""
        if not waiting or not isinstance(waiting[0], Future):
            return bool(waiting)
        return waiting[0].done() or sum(isinstance(one, Future) for one in waiting) > self._threads

    def _completed(self, waiting: deque[_Piece]) -> Iterator[Part | End]:
        """What came of the first piece; what leans on earlier lines is completed here, where all come in order."""
        piece = waiting.popleft()
        for one in piece.result() if isinstance(piece, Future) else piece:
            if isinstance(one, Part):
                yield one
                yield from self._sequel(one)
            elif isinstance(one, _Unfinished):
                yield from self._in_order(self._cut(one.end, one.tasks))
            else:
                if running := self._running.pop(one.input_index, None):
                    for estimates in running.streams.closed():
                        yield estimates_part(estimates, one.input_index, one.content.stored_bytes)
                yield one

    def _sequel(self, part: Part) -> Iterator[Part]:
        if not (part.streams or part.sequel):
            return
        if part.input_index not in self._running:
            self._running[part.input_index] = _Running(self._reading)
        running = self._running[part.input_index]
        for chunks in part.streams:
            running.streams.take(*chunks)
        if part.sequel is not None:
            sequel = part.sequel(running.carrier)
            sequel.stored_bytes = part.stored_bytes
            yield sequel

    def _done(self, task: Task, stored_bytes: int) -> list[Part]:
        part = part_of(task(self._reader), self._reading)
        part.stored_bytes = stored_bytes
        return [part]

    def _reader(self) -> JsonLinesReader:
        """That of the thread which asks."""
        if not hasattr(self._of_thread, "reader"):
            self._of_thread.reader = JsonLinesReader(self._reading.only)
        found: JsonLinesReader = self._of_thread.reader
        return found

    def _opened(self, ends: list[End]) -> list[_Opened]:
        """Open the first of the inputs: until they hold enough to be read, or one is larger than it looked."""
        opened: list[_Opened] = []
        held = 0
        for end in ends:
            tasks = self._tasks(end)
            begun: list[Task] = []
            is_left = False
            try:
                for task in tasks:
                    begun.append(task)
                    if is_left := end.content.content_bytes > GATHERED_BYTES:
                        break
            except InputRefused as error:
                end.refusal = _alone(error)
            opened.append(_Opened(end, begun, tasks if is_left else None))
            held += end.content.content_bytes
            if is_left or held >= GATHERED_BYTES:
                break
        return opened

    def _read_opened(self, opened: Sequence[_Opened]) -> list[Part | End | _Unfinished]:
        """Read them: the lines of those that are JSON lines all at once, the others each by itself; then judge all."""
        lines = [task for one in opened for task in one.tasks if isinstance(task, LineTask) and task.is_small_whole]
        together = None
        if len(lines) > 1:
            chunks = [(task.input_index, task.chunk) for task in lines]
            together = lines_together(chunks, self._reader(), self._reading)
        of_lines = {part.input_index: part for part in together or ()}
        read = [of_lines.get(one.end.input_index) or task(self._reader) for one in opened for task in one.tasks]
        judged = iter(parts_of([one for one in read if isinstance(one, Stretch)], self._reading))
        parts = iter([one if isinstance(one, Part) else next(judged) for one in read])
        results: list[Part | End | _Unfinished] = []
        for end, tasks, rest in opened:
            for part in islice(parts, len(tasks)):
                part.stored_bytes = end.content.stored_bytes
                results.append(part)
            results.append(end if rest is None else _Unfinished(end, rest))
        return results


def _alone(error: InputRefused) -> InputRefused:
    """The refusal without the frames it came through, which would keep the file open and its bytes in memory."""
    return InputRefused(error.code, error.text)


def _small_bytes(source: Input) -> int | None:
    """How large the content of a small input may be; None where it is not small."""
    if source.status is None:
        return None
    size = source.size * (UNPACKED_RATIO if source.name.lower().endswith(COMPRESSED) else 1)
    return size if size <= SMALL_BYTES else None


def _groups(ends: Iterable[End]) -> Iterator[list[End]]:
    """Small inputs many at a time, and each of the others by itself; in order."""
    group: list[End] = []
    held = 0
    for end in ends:
        size = _small_bytes(end.content.input)
        if group and (size is None or held + size > GATHERED_BYTES or len(group) == GATHERED_MAX):
            yield group
            group, held = [], 0
        if size is None:
            yield [end]
        else:
            group.append(end)
            held += size
    if group:
        yield group


class _Running:
    """What is carried through the lines of one input."""

    def __init__(self, reading: Reading) -> None:
        self.carrier, self.streams = Carrier(), OpenStreams(reading)
