"""What an input holds: JSON lines, one JSON document over several lines, or CSV; and the pieces each is cut into."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import NamedTuple

from etl.containers import cut_of
from etl.csv_rows import CsvLine, CsvRead, header_of, read_rows, source_of
from etl.errors import InputRefused
from etl.framing import UTF8_BOM, Chunk, Content, refuse_unreadable_text
from etl.json_values import decode
from etl.sources.base import Source

HEAD_BYTES = 1 << 16
DOCUMENT_BYTES_MAX = 1 << 30
SNIFF_LINES = 50

# A document on a single line; a record of its own would not begin like this.
_LINE = re.compile(rb"[^\r\n]+")
_ONE_LINE_DOCUMENT = re.compile(rb'\s*(\[|\{\s*"object"\s*:\s*"(page|list)"\s*,\s*"data"\s*:\s*\[\s*\{)')


class Opened(NamedTuple):
    """An input of which the beginning was read.

    Attributes:
        kind: `json_lines`, `document` or `csv`.
        head: the beginning, without a byte order mark.
        rest: the other blocks.
        start: where `head` begins in the content.
    """

    kind: str
    head: bytes
    rest: Iterator[bytes]
    start: int


def opened(content: Content) -> Opened:
    """Open an input and say what it holds.

    Raises:
        InputRefused: it cannot be read, or is no text.
    """
    blocks = content.blocks()
    head = b""
    while len(head) < HEAD_BYTES and (block := next(blocks, b"")):
        head += block
    refuse_unreadable_text(head)
    if len(head) >= HEAD_BYTES and not head.strip():
        raise InputRefused("unknown_format", f"begins with {HEAD_BYTES:,} bytes of blank space")
    start = len(UTF8_BOM) if head.startswith(UTF8_BOM) else 0
    return Opened(_kind(head[start:]), head[start:], blocks, start)


def _kind(head: bytes) -> str:
    """Whether content is JSON lines, one JSON document over several lines, or CSV."""
    if _begins_with_lines(head):
        return "json_lines"
    if head.lstrip()[:1] not in (b"{", b"["):
        # A JSON log may begin with a damaged line; a CSV header is never followed by JSON objects.
        return "json_lines" if any(_is_object(line) for line in islice(_lines(head), 1, None)) else "csv"
    first, *others = islice(_lines(head), 2)
    if not others and (_ONE_LINE_DOCUMENT.match(head) or _holds_records(head)):
        return "document"
    if _is_line(first) or (not others and len(head) >= HEAD_BYTES):
        return "json_lines"
    lines = list(_lines(head))
    if any(_breaks_off(line, following) for line, following in pairwise(lines)):
        return "json_lines"
    is_bracket = lines[0].strip() in (b"{", b"[", b"[{")
    if not is_bracket and any(_is_object(line) for line in lines[1:]):
        # Lines behind a damaged one, or the elements of a document, one a line.
        is_opened = lines[0].lstrip().startswith(b"[") or lines[0].rstrip().endswith(b"[")
        is_element = (_is_object(line.rstrip()[:-1]) for line in lines[1:] if line.rstrip().endswith(b","))
        is_document = (is_opened and any(is_element)) or (len(head) < HEAD_BYTES and _is_json(head))
        return "document" if is_document else "json_lines"
    return "json_lines" if len(lines) == 1 else "document"


def _begins_with_lines(head: bytes) -> bool:
    """Whether an object begins and ends on the first line, and another begins on the second.

    Most inputs are known by that. No document goes on like this, and no CSV.
    """
    end = head.find(b"\n")
    begin = head[:1] == head[end + 1 : end + 2] == b"{"
    return end > 0 and begin and b"\r" not in head[: end - 1] and head[:end].rstrip()[-1:] == b"}"


def _lines(head: bytes) -> Iterator[bytes]:
    """The first lines that hold anything, one after the other: most inputs are known by one or two."""
    return islice((match[0] for match in _LINE.finditer(head) if match[0].strip()), SNIFF_LINES)


def _breaks_off(line: bytes, following: bytes) -> bool:
    """Whether an object begins on a line and is cut off there: in a document, another cannot begin on the next one."""
    begins_anew = line.lstrip()[:1] == following.lstrip()[:1] == b"{"
    return begins_anew and line.rstrip()[-1:] not in (b"[", b",", b":", b"}", b"]")


def _holds_records(line: bytes) -> bool:
    """Whether a line is a page or a list of records, in whatever order its keys stand."""
    try:
        return cut_of(json.loads(line), may_inherit=False) is not None
    except (ValueError, RecursionError):
        return False


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text.strip())
    except (ValueError, RecursionError):
        return False
    return True


def _is_line(line: bytes) -> bool:
    """Whether a line is read as JSON, with what is let pass on lines."""
    if _is_json(line):
        return True
    try:
        decode(line.strip().decode())
    except (ValueError, RecursionError):
        return False
    return True


def _is_object(line: bytes) -> bool:
    return line.strip()[:1] == b"{" and _is_line(line)


def joined(head: bytes, blocks: Iterator[bytes]) -> str:
    """A document as a whole.

    Raises:
        InputRefused: it is too large, or not UTF-8.
    """
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


def csv_reads(content: Content, found: Opened, only: Source | None) -> Iterator[CsvRead]:
    """The rows of a CSV file, in batches.

    Raises:
        InputRefused: its header is none, or of no known format.
    """
    lines = csv_lines(content.chunks(found.head, found.rest, found.start))
    first = next((line for line in lines if line.content.strip()), None)
    if first is None:
        raise InputRefused("unknown_format", "holds nothing but blank lines")
    header = header_of(first.content)
    yield from read_rows(header, source_of(header, only), lines)


def csv_lines(chunks: Iterator[Chunk]) -> Iterator[CsvLine]:
    """The physical lines of a CSV file."""
    for chunk in chunks:
        if chunk.is_overlong:
            yield CsvLine(chunk.first_line, chunk.offset, overlong=(chunk.content_length, chunk.sha256 or ""))
        offset, number = chunk.offset, chunk.first_line
        for line in io.BytesIO(chunk.data):
            content = line.removesuffix(b"\n").removesuffix(b"\r")
            yield CsvLine(number, offset, content, line[len(content) :])
            offset, number = offset + len(line), number + 1
