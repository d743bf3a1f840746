"""Every write, fsync, rename, link and lock of the warehouse: the small door to the disk.

The warehouse survives a power cut because data reach the disk before the name that makes them visible.
That order is kept in `etl.warehouse`; the steps themselves live here, each as a plain call of `os`, so that
a test can stand in for the disk (tests/faults). Only DuckDB writes past this door, into a file that
`seal_file` then brings to the disk. A failed fsync is never tried again on the same file: the run ends, and
the next one starts from new files.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import IO, Any, cast

from etl.errors import LockHeldError, StorageError

FILE_MODE = 0o640
PRIVATE_MODE = 0o600
DIR_MODE = 0o750
PROBE_PREFIX = ".probe-"

_LOCK_INTERVAL_SECONDS = 0.2
_MANY_FOLDERS, _SYNCS_AT_ONCE = 64, 8

# File systems that cannot link (or whose inode is out of links) get a copy instead.
_CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS}
_PIECE_BYTES = 1 << 20
_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space, then run again",
    errno.EDQUOT: "the disk quota is used up: free some space, then run again",
    errno.EROFS: "the file system is read-only: choose another folder with --warehouse",
    errno.EACCES: "permission denied or read-only: give this user the right to write there",
    errno.EPERM: "permission denied or read-only: give this user the right to write there",
    errno.EMFILE: "too many open files: raise `ulimit -n`, then run again",
}


@contextmanager
def explained(action: str, path: Path) -> Iterator[None]:
    """Turn an OSError into a StorageError that names the path and the way out.

    Also for what libraries write: `with explained("write", path): frame.write_parquet(path)`.
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        advice = _ADVICE.get(error.errno or 0, "nothing was published by this step; mend the disk, then run again")
        raise StorageError(f"cannot {action} {path}: {reason}; {advice}") from error


def _sync(descriptor: int) -> None:
    # On macOS fsync() stops at the drive's cache; F_FULLFSYNC goes through it.
    full_sync = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is None:
        os.fsync(descriptor)
    else:
        fcntl.fcntl(descriptor, full_sync)


class NewFile(io.RawIOBase):
    """A file in the making, for libraries that write to a Python file.

    Attributes:
        failure: what the disk refused; a library may wrap it in an error of its own.
    """

    def __init__(self, descriptor: int) -> None:
        """Write to an open descriptor, which stays its owner's."""
        self.failure: OSError | None = None
        self._descriptor = descriptor
        self._pending = bytearray()
        self._written = 0

    def writable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The number of bytes taken so far."""
        return self._written + len(self._pending)

    def write(self, data: Any) -> int:
        """Take all of `data`; it reaches the operating system in pieces of a megabyte."""
        self._pending += data
        if len(self._pending) >= _PIECE_BYTES:
            self.pass_on()
        return memoryview(data).nbytes

    def pass_on(self) -> None:
        """Hand everything taken so far to the operating system."""
        left = memoryview(bytes(self._pending))
        self._pending.clear()
        while left:
            try:
                done = os.write(self._descriptor, left)  # a full disk may take less than it is given
            except OSError as error:
                self.failure = error
                raise
            self._written += done
            left = left[done:]


@contextmanager
def new_file(path: Path, mode: int = FILE_MODE, *, is_scratch: bool = False) -> Iterator[IO[bytes]]:
    """Create `path`, have the `with` block write it, and bring it to the disk; a file of that name must not exist.

    Args:
        path: its folder exists.
        mode: whatever the umask.
        is_scratch: nobody reads it after this process, so it need not reach the disk.
    """
    with explained("write", path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            os.fchmod(descriptor, mode)
            file = NewFile(descriptor)
            try:
                yield cast("IO[bytes]", file)  # what libraries ask for; they only write
            except Exception as error:
                if file.failure is None or error is file.failure:
                    raise
                raise file.failure from error
            file.pass_on()
            if not is_scratch:
                _sync(descriptor)
        finally:
            os.close(descriptor)


def write_file(path: Path, data: bytes, mode: int = FILE_MODE) -> None:
    """Create `path` with `data` and bring it to the disk; a file of that name must not exist."""
    with new_file(path, mode) as file:
        file.write(data)


def seal_file(path: Path, mode: int = FILE_MODE) -> None:
    """Set the mode of a file that a library wrote, and bring its bytes to the disk."""
    with explained("write", path):
        descriptor = os.open(path, os.O_RDWR)
        try:
            os.fchmod(descriptor, mode)
            _sync(descriptor)
        finally:
            os.close(descriptor)


def write_whole(path: Path, data: bytes, mode: int = FILE_MODE) -> None:
    """Write a file that may exist, so that a reader sees the old bytes or the new ones, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    _make_way(temporary)
    try:
        write_file(temporary, data, mode)
        rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def probe(folder: Path) -> None:
    """Write, sync and remove a small file in a folder.

    Raises:
        StorageError: it cannot be written.
    """
    path = folder / f"{PROBE_PREFIX}{os.getpid()}"
    _make_way(path)
    try:
        write_file(path, bytes(4096))
    finally:
        with explained("remove", path):
            path.unlink(missing_ok=True)


def _make_way(path: Path) -> None:
    """Remove what a run left that died right here; in a container every process has the same number."""
    with explained("remove", path), suppress(FileNotFoundError):
        path.unlink()


def make_dir(path: Path) -> None:
    """Create a folder and its missing parents, each with mode 0750 whatever the umask."""
    with explained("create", path):
        missing = list(takewhile(lambda folder: not folder.exists(), (path, *path.parents)))
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            folder.chmod(DIR_MODE)


def hard_link(source: Path, target: Path) -> None:
    """Give `source` a second name; copy it durably where the file system cannot link."""
    with explained("link", target):
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in _CANNOT_LINK:
                raise
            with source.open("rb") as original, new_file(target, source.stat().st_mode & 0o777) as copy:
                while piece := original.read(_PIECE_BYTES):
                    copy.write(piece)


def fsync_dir(path: Path) -> None:
    """Bring a folder's entries to the disk: without this a new name may be lost with the power."""
    with explained("sync", path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _sync(descriptor)
        finally:
            os.close(descriptor)


def fsync_dirs(folders: Sequence[Path]) -> None:
    """Bring the entries of folders to the disk, in whatever order.

    Each sync waits for the disk to empty its cache. Where there are many, several wait together: the disk does it once.
    """
    if len(folders) < _MANY_FOLDERS:
        for folder in folders:
            fsync_dir(folder)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_SYNCS_AT_ONCE, thread_name_prefix="sync") as pool:
        for _ in pool.map(fsync_dir, folders):
            pass


def rename(source: Path, target: Path) -> None:
    """Rename within one folder or between two, and bring both to the disk."""
    with explained("rename", target):
        source.rename(target)
    for folder in dict.fromkeys((target.parent, source.parent)):
        fsync_dir(folder)


def replace_link(link: Path, target: str) -> None:
    """Point the symbolic link `link` at `target` in one step, then bring that to the disk.

    A reader sees the old target or the new one, never none.
    """
    temporary = link.with_name(f".{link.name}.new")
    _make_way(temporary)
    with explained("create", temporary):
        temporary.symlink_to(target)
    rename(temporary, link)


def remove_tree(path: Path) -> None:
    """Remove a file, a link or a whole folder; it may be gone already."""
    with explained("remove", path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def lock(path: Path, wait_seconds: int = 0, on_wait: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold the lock file exclusively for the length of the `with` block.

    The kernel frees it when the process dies, so a stale lock cannot exist; the text inside only tells
    a person who holds it. The file is never removed: two runs could then hold two different files.

    Args:
        path: the lock file; created if it is missing.
        wait_seconds: how long to wait for whoever holds it.
        on_wait: called once when the waiting begins, with who holds it.

    Raises:
        LockHeldError: another process holds it.
    """
    with explained("open the lock", path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
    try:
        with explained("lock", path):
            until, is_told = time.monotonic() + wait_seconds, False
            while not _is_taken(descriptor):
                holder = os.pread(descriptor, 1000, 0).decode("utf-8", "replace").strip() or "an unnamed process"
                if wait_seconds and not is_told:
                    on_wait(holder)
                    is_told = True
                if time.monotonic() >= until:
                    waited = f", also after {wait_seconds:,} s" if wait_seconds else ""
                    raise LockHeldError(
                        f"{path.parent} is being written by another run ({holder}){waited}; "
                        "wait for it to end, then run again"
                    )
                time.sleep(_LOCK_INTERVAL_SECONDS)
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()} since {now}\n".encode(), 0)
        yield
    finally:
        with suppress(OSError):  # nothing in it needs to reach the disk
            os.close(descriptor)


def _is_taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with explained("read", path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
