"""Before a run starts: may it write here, is there room for what it will write, and can the file system be trusted?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from etl import durable
from etl.errors import StorageError
from etl.framing import Input

# An estimate of what a run writes at its peak, spool, snapshot and costroll.duckdb together. Measured on 200,000 chat
# completions of 506 bytes, all of them spooled: 0.16 of the plain log (the spool alone 0.11), and 2.65 of the same log
# as .zst (the spool 1.8), which was a sixteenth of it.
_LEAST_BYTES = 16 << 20
_PLAIN_DIVISOR = 4
_COMPRESSED_FACTOR = 4
_LEAST_INODES = 1_000
_INODES_PER_DAY = 4
_COMPRESSED = (".gz", ".zst")

# Here a lock may not exclude, a rename may not be one step, or another machine may see it late.
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre")


def needed_bytes(inputs: Sequence[Input]) -> int:
    """What reading these may need on the warehouse's disk: a quarter of plain bytes, four times compressed ones."""
    plain = compressed = 0
    for source in inputs:
        if source.name.lower().endswith(_COMPRESSED):
            compressed += source.size
        else:
            plain += source.size
    return _LEAST_BYTES + plain // _PLAIN_DIVISOR + compressed * _COMPRESSED_FACTOR


def require_room(root: Path, inputs: Sequence[Input]) -> None:
    """Refuse to start what the disk cannot hold.

    Raises:
        StorageError: there is less room than `needed_bytes`, or there are too few inodes.
    """
    needed = needed_bytes(inputs)
    with durable.explained("look at", root):
        found = os.statvfs(root)
    available = found.f_bavail * found.f_frsize
    # Hard links take no inode, but folders do: one for each day of usage, besides the new files. Some file systems
    # make inodes as they need them, and count none.
    inodes = _LEAST_INODES + _INODES_PER_DAY * _days(root)
    if found.f_files and found.f_favail < inodes:
        raise StorageError(
            f"{root}: this run may need {inodes:,} inodes there, and {found.f_favail:,} are available; "
            "nothing was published: remove some files (`costroll gc` removes snapshots)"
        )
    if available < needed:
        raise StorageError(
            f"{root}: this run may need {needed:,} bytes there, and {available:,} are available; "
            "nothing was published: free some space (`costroll gc` removes snapshots), or read fewer files at a time"
        )


def _days(root: Path) -> int:
    """How many days of usage are published."""
    try:
        return len(os.listdir(root / "current" / "usage"))
    except OSError:
        return 0


def require_writable(root: Path) -> None:
    """Write, sync and remove a small file where the run will write in the end, not only where it begins.

    Raises:
        StorageError: the disk or the operating system refused.
    """
    for folder in (root, root / "snapshots"):
        if folder.is_dir():
            durable.probe(folder)


def warning(root: Path) -> str | None:
    """What to know of the file system, if it is not a local one; None where it is, or cannot be told."""
    kind = _file_system(root.resolve())
    if kind is None or not (kind in _NETWORK or kind.startswith("fuse")):
        return None
    return (
        f"{root} is on a file system of type {kind}: locks and renames may not hold between machines; "
        "let one machine only write there, or keep the warehouse on a local disk and copy its snapshots"
    )


def _file_system(path: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """The type of the file system that a path is on, where the kernel lists them as Linux does."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    found: tuple[int, str | None] = (-1, None)
    for line in lines:
        _, place, kind, *_ = line.split(" ")
        place = place.replace("\\040", " ")
        # Of two mounts on one place the later covers the earlier.
        if path.is_relative_to(place) and len(place) >= found[0]:
            found = (len(place), kind)
    return found[1]
