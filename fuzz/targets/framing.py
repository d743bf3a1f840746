"""Framing: however content is cut, its chunks are its bytes, and every line has its number, place and hash.

The first three bytes of an input say how long a chunk, the longest line and a block are; the rest is content.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from unittest.mock import patch

import numpy as np

from etl import framing, lines
from etl.framing import Chunk, Content, Input
from etl.lines import Lines
from fuzz.target import BYTES, Target, sample_files

PLACES_HELD = 64


def check(data: bytes) -> None:
    """Cut the content and put it together again; find each of its lines in exactly one chunk."""
    chunk_bytes, longest, block_bytes, content = *(1 + byte for byte in data[:3].ljust(3, b"\0")), data[3:]
    blocks = [content[at : at + block_bytes] for at in range(0, len(content), block_bytes)]
    # Lines above the limit are told apart where no chunk holds them whole, so a chunk is at least as long.
    with (
        patch.object(framing, "CHUNK_BYTES", max(chunk_bytes, longest)),
        patch.object(framing, "LINE_BYTES_MAX", longest),
    ):
        read = Content(Input("input", None))
        chunks = list(read.chunks(b"".join(blocks[:1]), iter(blocks[1:])))
    at, number = 0, 1
    for chunk in chunks:
        assert (chunk.offset, chunk.first_line) == (at, number)
        own = content[at : at + chunk.length]
        check_overlong(chunk, own, longest) if chunk.is_overlong else check_lines(chunk, own)
        at, number = at + chunk.length, number + chunk.lines
        assert own.endswith(b"\n") or at == len(content)
    assert at == len(content)
    assert read.lines == number - 1 == len(list(lines_of(content)))
    if content:  # a chunk is never empty
        check_commas(content)


def lines_of(content: bytes) -> Iterator[bytes]:
    """The lines of content without their ends, cut by hand."""
    whole = content.split(b"\n")
    for line in whole if whole[-1] else whole[:-1]:
        yield line.removesuffix(b"\r")


def check_overlong(chunk: Chunk, own: bytes, longest: int) -> None:
    """An overlong line is measured and hashed without its line end, and is one line above the limit."""
    [line] = lines_of(own)
    assert len(line) > longest
    assert (chunk.content_length, chunk.sha256) == (len(line), hashlib.sha256(line).hexdigest())


def check_lines(chunk: Chunk, own: bytes) -> None:
    """A chunk holds its bytes, and `Lines` finds each of its lines."""
    assert chunk.data == own
    found, expected = Lines(chunk), list(lines_of(own))
    assert len(found) == chunk.lines == len(expected)
    assert [found.content(index) for index in range(len(found))] == expected
    numbers = range(chunk.first_line, chunk.first_line + min(len(expected), PLACES_HELD))
    at = chunk.offset
    whole = own.split(b"\n")
    for line, raw, place in zip(expected, whole, found.places(numbers), strict=False):
        assert place == (at, len(line), hashlib.sha256(line).hexdigest())
        at += len(raw) + 1
    stretches = found.stretches(np.arange(len(found)))
    assert lines.blanked(bytes(own), stretches, 0, len(own)) == re.sub(rb"[^\n]", b" ", own)


def check_commas(content: bytes) -> None:
    """The fast look for a comma before a bracket finds what the slow one finds."""
    assert lines.has_trailing_comma(content) == (re.search(rb",[ \t\r]*[}\]]", content) is not None)


def seeds() -> Iterator[bytes]:
    """Line ends of every kind at the edges of chunks of every kind, and the samples."""
    for cut in (b"\x00\x00\x00", b"\x07\x03\x02", b"\x20\x10\x05", b"\xff\x20\x40"):
        yield cut + b"a\r\nbb\n\n\r\r\nccc,  }\n" + b"x" * 40 + b"\r\n" + b"\n" * 9 + b"[1,]\r"
        yield from (cut + content[:2000] for content in sample_files("*.jsonl", "*.csv"))


TARGET = Target(check, seeds, words=(*BYTES, b",}", b", ]", b",\t\r}", b'"a,}"'))
