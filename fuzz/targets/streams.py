"""Decompression: a stream is either refused or gives the bytes that were compressed, never others and never fewer.

The first eight bytes of an input say how its rest is compressed and what then happens to the stream.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from random import Random

import zstandard

from etl.decompression import decompressed
from etl.errors import InputRefused
from fuzz.target import Target, sample_files

CODES = {"truncated_gzip", "corrupt_gzip", "truncated_zstd", "corrupt_zstd", "unsupported_archive"}


def check(data: bytes) -> None:
    """Read the bytes as they are; then compress them, break the stream in a few places and read that."""
    head, content = data[:8].ljust(8, b"\0"), data[8:]
    read(data, head[0] * 3)
    kind, members, harm, step = head[0] % 2, 1 + head[1] % 3, head[2] % 4, 4 + head[3] * 16
    stream = compressed(content, kind, members)
    assert read(stream, step) == content
    r = Random(head)
    if harm == 1:
        short = stream[: r.randrange(len(stream))]
        bare = [short] if len(short) < 4 else []  # too short to be told from plain bytes
        assert read(short, step) in (None, *bare, *prefixes(content, members))
    elif harm == 2:
        at = r.randrange(len(stream))
        changed = stream[:at] + bytes([stream[at] ^ (1 << r.randrange(8))]) + stream[at + 1 :]
        # A bit in the first bytes makes it no such stream: it is then plain, and refused later as no text.
        assert read(changed, step) in (None, content, changed)
    elif harm == 3:
        # gzip allows zero bytes behind a stream; anything else is damage.
        tail = bytes(r.randrange(256) for _ in range(1 + head[4] % 9))
        assert read(stream + tail, step) in ((None, content) if kind == 0 and not any(tail) else (None,))


def compressed(content: bytes, kind: int, members: int) -> bytes:
    """One stream of so many members or frames."""
    parts = cut(content, members)
    if kind == 0:
        return b"".join(gzip.compress(part, mtime=0) for part in parts)
    compressor = zstandard.ZstdCompressor(write_checksum=True)
    return b"".join(compressor.compress(part) for part in parts)


def cut(content: bytes, members: int) -> list[bytes]:
    """Content in so many parts."""
    size = len(content) // members + 1
    return [content[at * size : (at + 1) * size] for at in range(members)]


def prefixes(content: bytes, members: int) -> list[bytes]:
    """What is left where a stream ends exactly between two members: that cannot be told from a whole one."""
    parts = cut(content, members)
    return [b"".join(parts[:count]) for count in range(members)]


def read(stream: bytes, step: int) -> bytes | None:
    """The content of a stream, or None when it is refused with a code for damage."""
    rest = io.BytesIO(stream)
    head = rest.read(step)
    try:
        return b"".join(decompressed(head, rest))
    except InputRefused as refusal:
        assert refusal.code in CODES, refusal
        return None


def seeds() -> Iterator[bytes]:
    """Streams as they are, and contents to compress in every way."""
    yield from sample_files("*.gz", "*.zst")
    for head in ((kind, members, harm, 3, 1) for kind in (0, 1) for members in (0, 2) for harm in range(4)):
        yield bytes(head).ljust(8, b"\x05") + b'{"id":"a"}\n' * 9
    yield zstandard.ZstdCompressor(write_checksum=True).compress(b"x" * 1000)
    yield b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip"  # a frame that holds nothing to read


MAGICS = (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18", b"PK\x03\x04", b"BZh", b"\xfd7zXZ\x00", b"PAR1")
TARGET = Target(check, seeds, words=MAGICS)
