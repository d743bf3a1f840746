"""The lines of a chunk: where they are, and which of them cannot be trusted to a lenient JSON reader."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from etl.framing import LINE_BYTES_MAX, Chunk

# Around a line DuckDB passes over these, so everybody does.
WHITE_SPACE = b" \t\r\n\v\f"


# So many at a time that the steps in between stay in the processor's cache.
_BYTES_IN_CACHE = 1 << 18
_TRAILING_COMMA = re.compile(rb",[ \t\r]*[}\]]")


# One that does not end reaches to the end of the line: else each escaped quote in it would be tried as a beginning.
_STRING_LITERAL = re.compile(rb'"(?:[^"\\]|\\.)*"?')


class Lines:
    """Where the lines of a chunk are."""

    def __init__(self, chunk: Chunk) -> None:
        ends = _line_ends(np.frombuffer(chunk.data, dtype=np.uint8))
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

    def stretches(self, indexes: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
        """Where lines begin and end in the chunk, without their line ends."""
        return list(zip(self.starts[indexes].tolist(), self.ends[indexes].tolist(), strict=True))

    def places(self, line_numbers: Iterable[int]) -> Iterator[tuple[int, int, str]]:
        """Byte offset, byte length and SHA-256 of lines, by their numbers in the input."""
        for number in line_numbers:
            content = self.content(number - self.chunk.first_line)
            offset = self.chunk.offset + int(self.starts[number - self.chunk.first_line])
            yield offset, len(content), hashlib.sha256(content).hexdigest()


def _line_ends(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    parts = range(0, len(data), _BYTES_IN_CACHE)
    found = [np.flatnonzero(data[at : at + _BYTES_IN_CACHE] == 10) + at for at in parts]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def may_hold_overlong_line(data: bytes) -> bool:
    """Whether some stretch of half the limit has no line end."""
    half = LINE_BYTES_MAX // 2
    return any(data.find(b"\n", start, start + half) < 0 for start in range(0, len(data) - half, half))


def has_trailing_comma(data: bytes) -> bool:
    """Whether a comma stands before a closing bracket anywhere, also in a string: DuckDB would let it pass."""
    # Two bytes are one number, the first of them its low half. `]` and `}` differ in one bit, and comma, space, tab and
    # carriage return have none of the bits of 0xd2.
    bits, pair = np.uint16(0xDFD2), np.uint16(0x5D00)
    held = np.empty(_BYTES_IN_CACHE // 2, np.uint16)
    is_pair = np.empty(len(held), np.bool_)
    pairs = [np.frombuffer(data, "<u2", (len(data) - first) // 2, first) for first in (0, 1) if len(data) > first]
    for at in range(0, len(data) // 2, len(held)):
        for some in (numbers[at : at + len(held)] for numbers in pairs):
            masked = np.bitwise_and(some, bits, out=held[: len(some)])
            if np.equal(masked, pair, out=is_pair[: len(some)]).any():
                return _TRAILING_COMMA.search(data) is not None
    return False


def trailing_commas(contents: Sequence[bytes]) -> npt.NDArray[np.bool_]:
    """Which lines have a comma before a closing bracket, outside of strings."""
    found = np.zeros(len(contents), dtype=np.bool_)
    for index, content in enumerate(contents):
        if _TRAILING_COMMA.search(content):
            found[index] = _TRAILING_COMMA.search(_STRING_LITERAL.sub(b'""', content)) is not None
    return found


def look_at_edges(lines: Lines) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which lines are blank, and which cannot be one JSON object by their first and last characters or length."""
    data = np.frombuffer(lines.chunk.data, dtype=np.uint8)
    lengths = lines.ends - lines.starts
    last = lines.ends - 1 - ((lengths > 0) & (data[lines.ends - 1] == ord("\r")))
    is_object = (data[np.minimum(lines.starts, len(data) - 1)] == ord("{")) & (data[last] == ord("}"))
    is_object &= (last > lines.starts) & (lengths < LINE_BYTES_MAX)
    is_blank, is_odd = np.zeros(len(lines), dtype=np.bool_), np.zeros(len(lines), dtype=np.bool_)
    for index in np.flatnonzero(~is_object).tolist():  # few, unless all are indented
        content = lines.content(index).strip(WHITE_SPACE)
        is_blank[index] = not content
        is_odd[index] = content != b"" and not (
            content[:1] == b"{" and content[-1:] == b"}" and len(content) < LINE_BYTES_MAX
        )
    return is_blank, is_odd


def blanked(data: bytes, stretches: Sequence[tuple[int, int]], start: int, end: int) -> bytes:
    """The data from start to end with spaces for some stretches: DuckDB passes over blank lines.

    Args:
        data: of which it is a part; the very object where it is all of it and nothing is blank.
        stretches: where each begins and ends in the data, in order.
        start: where the part begins.
        end: where it ends.
    """
    if not stretches:
        return data[start:end]
    view, at = memoryview(data), start
    parts: list[bytes | memoryview] = []
    for first, last in stretches[bisect_right(stretches, start, key=itemgetter(1)) :]:
        if first >= end:
            break
        parts += [view[at : max(first, at)], b" " * (min(last, end) - max(first, at))]
        at = min(last, end)
    return b"".join((*parts, view[at:end]))
