"""Own the bytes of one input: open it once, decompress it with its checksums, hash it, cut it at line ends.

Nothing is lost here: the chunks of an input, joined, are its decompressed content.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import FileIO
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from etl.decompression import decompressed
from etl.errors import InputRefused

# A chunk fits into one of the buffers of 32 MiB in which DuckDB reads; the larger it is, the less its own costs count.
CHUNK_BYTES = 30 << 20
# Reads of at least so much are cut at a line end that is looked for in so many last bytes of them.
CUT_FROM_BYTES, CUT_WITHIN_BYTES = 1 << 20, 1 << 16
_BYTES_IN_CACHE = 1 << 18
LINE_BYTES_MAX = 16 << 20
# What the smallest sensible log cannot reach and what no honest log exceeds (gzip's own limit is 1032:1).
RATIO_MAX = 1000
RATIO_APPLIES_ABOVE_BYTES = 1 << 30
# So much of the beginning and the end of a file is compared when it has grown while it was read.
EDGE_BYTES = 4096

WIDE_BOMS = {b"\xff\xfe\x00\x00": "UTF-32", b"\x00\x00\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
UTF8_BOM = b"\xef\xbb\xbf"
# No text holds these; a NUL is looked for by itself.
_CONTROLS = bytes(set(range(32)) - {0, 9, 10, 13})


def readable(path: str | Path) -> str:
    r"""A path as text that any table and terminal can hold: bytes that are no UTF-8 stand as `\xe9`."""
    text = os.fspath(path)
    return text if text.isascii() else os.fsencode(text).decode("utf-8", "backslashreplace")


class Input(NamedTuple):
    """One thing to read.

    Attributes:
        name: as given.
        path: None for standard input.
        marks: lengths of earlier contents that this one may continue; what stands before each is hashed, too.
        status: of the file when it was found; None where there is none.
        place: the file's path without links, as the table `inputs` has it; None where it was not looked up.
    """

    name: str
    path: str | Path | None
    marks: frozenset[int] = frozenset()
    status: os.stat_result | None = None
    place: str | None = None

    @property
    def size(self) -> int:
        """The bytes of the file when it was found; 0 where that is not known."""
        return self.status.st_size if self.status else 0


class Chunk(NamedTuple):
    """Whole lines of one input.

    Attributes:
        data: the bytes; ends with a line end unless it is the input's last.
        first_line: 1-based number of its first physical line.
        offset: of its first byte in the decompressed content.
        is_overlong: it is one line of more than `LINE_BYTES_MAX` bytes, and `data` is empty.
        length: bytes, also of an overlong line, line end included.
        content_length: of an overlong line, without its line end.
        lines: how many physical lines.
        sha256: of an overlong line, without its line end.
    """

    data: bytes
    first_line: int
    offset: int
    length: int
    lines: int = 1
    is_overlong: bool = False
    content_length: int = 0
    sha256: str | None = None


@dataclass
class Content:
    """What was learned while an input was read; complete once its chunks are exhausted.

    Attributes:
        content_bytes_max: compressed content is read up to this size.
        prefixes: of the input's marks that were passed, the SHA-256 of what stands before them.
    """

    input: Input
    content_bytes_max: int | None = None
    prefixes: dict[int, str] = field(default_factory=dict)
    stored_bytes: int = 0
    content_bytes: int = 0
    lines: int = 0
    sha256: str = ""
    status: os.stat_result | None = None
    _marks_ahead: list[int] = field(default_factory=list, repr=False)
    _hash: hashlib._Hash = field(default_factory=hashlib.sha256, repr=False)

    def blocks(self) -> Iterator[bytes]:
        """Yield the decompressed content in order, hashing it.

        Raises:
            InputRefused: it cannot be opened, is no regular file, is damaged, or changed while it was read.
        """
        self._marks_ahead = sorted(self.input.marks, reverse=True)
        stream, self.status = _open(self.input)
        with stream:
            counted = _Counted(stream, self, self.status.st_size if self.status else None)
            try:
                for block in decompressed(counted.read(1 << 16), counted):
                    self._take(block)
                    _refuse_bomb(self)
                    yield block
            except InputRefused as error:
                if error.code != "unreadable":
                    counted.refuse_change()  # what looks damaged may be half of the old and half of the new
                raise
            counted.refuse_change(is_at_end=True)
        self.sha256 = self._hash.hexdigest()

    def _take(self, block: bytes) -> None:
        """Hash and count a block, and note the hash at each mark in it."""
        view, at = memoryview(block), 0
        while self._marks_ahead and self._marks_ahead[-1] <= self.content_bytes + len(block):
            mark = self._marks_ahead.pop()
            self._hash.update(view[at : mark - self.content_bytes])
            at = mark - self.content_bytes
            self.prefixes[mark] = self._hash.copy().hexdigest()
        self._hash.update(view[at:])
        self.content_bytes += len(block)

    def chunks(self, head: bytes, rest: Iterator[bytes], offset: int = 0) -> Iterator[Chunk]:
        """Cut blocks at line ends; a line above `LINE_BYTES_MAX` is passed over in a chunk of its own.

        Args:
            head: bytes already taken from `rest`.
            rest: the other blocks.
            offset: where `head` begins in the content: behind a byte order mark.
        """
        carry, parts, held = b"", [head], len(head)
        for block in rest:
            parts.append(block)
            held += len(block)
            if held < CHUNK_BYTES:
                continue
            last = parts.pop()
            cut = last.rfind(b"\n") + 1
            if cut:
                is_whole = not carry and not parts and cut == len(last)  # most are, and joining would copy them
                yield self._chunk(last if is_whole else b"".join((carry, *parts, memoryview(last)[:cut])), offset)
                offset += len(carry) + sum(map(len, parts)) + cut
                carry, parts = last[cut:], []
            else:
                carry, parts = b"".join((carry, *parts, last)), []
                if (cut := carry.rfind(b"\n") + 1) > 0:
                    yield self._chunk(carry[:cut], offset)
                    carry, offset = carry[cut:], offset + cut
                elif len(carry) > LINE_BYTES_MAX + 1:  # its last byte may be the first half of CRLF
                    chunk, carry = self._overlong(carry, rest, offset)
                    offset += chunk.length
                    yield chunk
            held = len(carry)
        if data := parts[0] if len(parts) == 1 and not carry else b"".join((carry, *parts)):
            yield self._chunk(data, offset)

    def _chunk(self, data: bytes, offset: int) -> Chunk:
        first, lines = self.lines + 1, _line_ends(data) + (not data.endswith(b"\n"))
        self.lines += lines
        return Chunk(data, first, offset, len(data), lines)

    def _overlong(self, carry: bytes, rest: Iterator[bytes], offset: int) -> tuple[Chunk, bytes]:
        digest, length, held, end, tail = hashlib.sha256(), 0, b"", b"", b""
        for block in chain((carry,), rest):
            line, end, tail = (held + block).partition(b"\n")
            held = b"\r" if line.endswith(b"\r") else b""  # perhaps the first half of the line end
            digest.update(line.removesuffix(b"\r"))
            length += len(line) - len(held)
            if end:
                break
        self.lines += 1
        whole = length + len(held) + len(end)
        return Chunk(b"", self.lines, offset, whole, 1, True, length, digest.hexdigest()), tail


class _Scratch(threading.local):
    """Room of each thread's own: blocks of small inputs, which are kept, would take what was freed here every time."""

    def __init__(self) -> None:
        self.is_end = np.empty(_BYTES_IN_CACHE, np.bool_)


_scratch = _Scratch()


def _line_ends(data: bytes) -> int:
    """Count line ends as `bytes.count` does, in a fraction of its time and without keeping other threads waiting."""
    whole, is_end, ends = np.frombuffer(data, dtype=np.uint8), _scratch.is_end, 0
    for at in range(0, len(whole), _BYTES_IN_CACHE):
        part = whole[at : at + _BYTES_IN_CACHE]
        ends += int(np.count_nonzero(np.equal(part, 10, is_end[: len(part)])))
    return ends


class _Counted:
    """A raw stream that counts what is taken from it and stops at the size the file had when it was opened."""

    def __init__(self, stream: BinaryIO, content: Content, limit: int | None) -> None:
        self._stream, self._content, self._limit = stream, content, limit
        self._first = self._last = b""

    def read(self, size: int = -1) -> bytes:
        if self._limit is not None:
            left = self._limit - self._content.stored_bytes
            size = left if size < 0 else min(size, left)
            if not size:
                return b""  # another thread may take over while the kernel says so
            if CUT_FROM_BYTES <= size < left:
                size = self._cut_at_line_end(size)
        try:
            data = self._stream.read(size)
        except OSError as error:
            raise InputRefused("unreadable", f"reading failed: {error.strerror}") from error
        self._content.stored_bytes += len(data)
        self._first = self._first or data[:EDGE_BYTES]
        self._last = data[-EDGE_BYTES:] or self._last
        return data

    def _cut_at_line_end(self, size: int) -> int:
        """As many of so many bytes as end with a line, so that chunks need no joining; all if no line ends nearby."""
        end = self._content.stored_bytes + size
        edge = os.pread(self._stream.fileno(), CUT_WITHIN_BYTES, end - CUT_WITHIN_BYTES)
        cut = edge.rfind(b"\n") + 1
        return size - len(edge) + cut if cut else size

    def refuse_change(self, *, is_at_end: bool = False) -> None:
        """Refuse a file that was truncated or rewritten under us; one that only grew is read up to its old size.

        A file that was renamed, removed or replaced by another of its name is not changed: what is open stays whole.

        Args:
            is_at_end: there was nothing left to read.
        """
        before = self._content.status
        if before is None:
            return
        after = os.fstat(self._stream.fileno())
        is_short = is_at_end and self._content.stored_bytes < before.st_size
        if after.st_size < before.st_size or is_short:
            raise InputRefused("changed_while_read", "truncated while it was read; run again when it is complete")
        if after.st_mtime_ns != before.st_mtime_ns and (after.st_size == before.st_size or not self._has_its_edges()):
            raise InputRefused("changed_while_read", "rewritten while it was read; run again when it is complete")

    def _has_its_edges(self) -> bool:
        """Whether the file still begins as it did, and still has what was read last where it was read."""
        descriptor, end = self._stream.fileno(), self._content.stored_bytes
        is_first = os.pread(descriptor, len(self._first), 0) == self._first
        return is_first and os.pread(descriptor, len(self._last), end - len(self._last)) == self._last


def _open(source: Input) -> tuple[BinaryIO, os.stat_result | None]:
    """Its bytes and, of a file, its status."""
    if source.path is None:
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb"), None
    try:
        # O_NONBLOCK: a FIFO without a writer must not hold up the night before fstat can refuse it.
        descriptor = os.open(source.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise InputRefused("unreadable", f"cannot be opened: {error.strerror}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise InputRefused("not_a_file", "not a regular file; give files, folders or - for standard input")
    return FileIO(descriptor), status


def _refuse_bomb(content: Content) -> None:
    limit = content.content_bytes_max
    if limit is not None and content.content_bytes > max(limit, content.stored_bytes):
        raise InputRefused(
            "decompression_bomb", f"decompresses to more than {limit:,} bytes; raise --max-decompressed if it should"
        )
    too_much = content.content_bytes > RATIO_APPLIES_ABOVE_BYTES
    if too_much and content.content_bytes > RATIO_MAX * max(content.stored_bytes, 1):
        raise InputRefused("decompression_bomb", f"decompresses to more than {RATIO_MAX} times its size")


def refuse_unreadable_text(head: bytes) -> None:
    """Refuse content that is no UTF-8 text, by its first bytes.

    Raises:
        InputRefused: `empty_file`, `wrong_encoding` or `not_text`.
    """
    if not head:
        raise InputRefused("empty_file", "has no bytes at all; was the export cut short?")
    if head.startswith(tuple(WIDE_BOMS)):
        encoding = next(encoding for bom, encoding in WIDE_BOMS.items() if head.startswith(bom))
        raise InputRefused("wrong_encoding", f"is {encoding}; save it as UTF-8")
    sample = head[:8192]
    if b"\0" in sample and sample.count(0) * 3 > len(sample):
        raise InputRefused("wrong_encoding", "looks like UTF-16 or UTF-32, or is blank space; save it as UTF-8")
    is_binary = sample.lstrip()[:1] not in (b"{", b"[") and len(sample.translate(None, _CONTROLS)) < len(sample)
    if is_binary and not _is_utf8(sample):
        raise InputRefused("not_text", "is binary, not text; give .jsonl, .csv or .json exports")
    if b"\n" not in sample and sample.count(b"\r") > 1:
        raise InputRefused("cr_line_ends", "its lines end in CR alone; save it with LF or CRLF line ends")


def _is_utf8(sample: bytes) -> bool:
    """Whether it is UTF-8, but for a character that the end may cut."""
    try:
        sample.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True
