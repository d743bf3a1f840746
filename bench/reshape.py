"""Write a log in another form: cut into files, or compressed.

python -m bench.reshape LOG FOLDER --bytes 50_000     files of about so many bytes, cut at line ends
python -m bench.reshape LOG OUT.gz                    level 6, as gzip does
python -m bench.reshape LOG OUT.zst                   level 3, as zstd does, with a checksum
"""

from __future__ import annotations

import argparse
import gzip
import shutil
from pathlib import Path

import zstandard

_BLOCK_BYTES = 1 << 20


def cut(log: Path, folder: Path, size: int) -> None:
    """Write files of `size` bytes and the rest of a line."""
    folder.mkdir()
    with log.open("rb") as source:
        number = 0
        while block := source.read(size):
            number += 1
            (folder / f"part-{number:06}.jsonl").write_bytes(block + source.readline())


def compress(log: Path, out: Path) -> None:
    """One frame or member, as the usual tools write it."""
    with log.open("rb") as source:
        if out.suffix == ".gz":
            with gzip.GzipFile(out, "wb", compresslevel=6, mtime=0) as packed:
                shutil.copyfileobj(source, packed, _BLOCK_BYTES)
        else:
            with out.open("wb") as target:
                zstandard.ZstdCompressor(level=3, write_checksum=True).copy_stream(source, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--bytes", type=int)
    options = parser.parse_args()
    if options.bytes:
        cut(options.log, options.out, options.bytes)
    else:
        compress(options.log, options.out)


if __name__ == "__main__":
    main()
