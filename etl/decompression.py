"""Decompress a stream by what its first bytes say, with every checksum verified."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import Protocol

import zstandard

from etl.errors import InputRefused

# A little more than a chunk, since a file is read up to a line end: see `etl.framing`.
BLOCK_BYTES = (30 << 20) + (1 << 16)


class Readable(Protocol):
    """What is read from."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        ...


GZIP_MAGIC = b"\x1f\x8b"


ZSTD_MAGICS = (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + n, 0x2A, 0x4D, 0x18]) for n in range(16)))


ARCHIVE_MAGICS = {
    b"PK\x03\x04": "zip",
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
    b"7z\xbc\xaf": "7-Zip",
    b"PAR1": "Parquet",
}


def decompressed(head: bytes, stream: Readable) -> Iterator[bytes]:
    """Yield the content in blocks.

    Args:
        head: bytes already taken from the stream; they tell what it is, whatever its name says.
        stream: the rest.

    Raises:
        InputRefused: it is damaged, ends early, or is an archive that is not read.
    """
    if head.startswith(GZIP_MAGIC):
        return _gunzip(_Peeked(head, stream))
    if head.startswith(ZSTD_MAGICS):
        return _unzstd(_Peeked(head, stream))
    for magic, kind in ARCHIVE_MAGICS.items():
        if head.startswith(magic):
            raise InputRefused("unsupported_archive", f"{kind} is not read; give .jsonl, .csv, .json, .gz or .zst")
    return _plain(_Peeked(head, stream))


class _Peeked:
    """A stream with its first bytes put back."""

    def __init__(self, head: bytes, stream: Readable) -> None:
        self._head, self._stream = head, stream

    def read(self, size: int = -1) -> bytes:
        if self._head:
            data, self._head = self._head, b""
            if size >= 0:
                data, self._head = data[:size], data[size:]
            return data
        return self._stream.read(size)


def _plain(stream: _Peeked) -> Iterator[bytes]:
    while block := stream.read(BLOCK_BYTES):
        yield block


def _gunzip(stream: _Peeked) -> Iterator[bytes]:
    reader = gzip.GzipFile(fileobj=stream, mode="rb")  # type: ignore[call-overload]  # it only needs read()
    try:
        while block := reader.read(BLOCK_BYTES):
            yield block
    except EOFError as error:
        raise InputRefused("truncated_gzip", "ends in the middle of its gzip stream; copy it again") from error
    except (gzip.BadGzipFile, zlib.error, OSError) as error:
        raise InputRefused("corrupt_gzip", f"its gzip stream is damaged ({error}); copy it again") from error


def _unzstd(stream: _Peeked) -> Iterator[bytes]:
    """Decompress frame after frame; python-zstandard verifies each frame's checksum."""
    # Small steps: a crafted frame expands each of them up to 32,000 times.
    step = 1024
    pending = stream.read(step)
    while pending:
        decompressor = zstandard.ZstdDecompressor().decompressobj()
        while not decompressor.eof:
            if not pending and not (pending := stream.read(step)):
                raise InputRefused("truncated_zstd", "ends in the middle of its zstd stream; copy it again")
            try:
                block = decompressor.decompress(pending)
            except zstandard.ZstdError as error:
                raise InputRefused("corrupt_zstd", f"its zstd stream is damaged ({error}); copy it again") from error
            pending = decompressor.unused_data if decompressor.eof else b""
            if block:
                yield block
        pending = pending or stream.read(step)
