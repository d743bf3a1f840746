"""Decompress a .gz or .zst on one core and throw the bytes away: Python's gzip module (zlib), or zstandard (libzstd).

    python -m bench.decompress FILE

Both check what the format has to check: CRC-32 and length, or the frame's checksum.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import IO, cast

import zstandard

_BLOCK_BYTES = 1 << 20


def main() -> None:
    path = Path(sys.argv[1])
    size = 0
    block = bytearray(_BLOCK_BYTES)
    with path.open("rb") as packed:
        source = (
            gzip.GzipFile(fileobj=packed)
            if path.suffix == ".gz"
            else zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
        )
        while read := cast("IO[bytes]", source).readinto(block):  # type: ignore[attr-defined]
            size += read
    print(size)


if __name__ == "__main__":
    main()
