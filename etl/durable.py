"""Every write, fsync, rename, link and lock of the warehouse: the small door to the disk.

The warehouse survives a power cut because data reach the disk before the name that makes them visible.
That order is kept in `etl.warehouse`; the steps themselves live here, so that a test can stand in for
the disk. A failed fsync is never tried again on the same file: the run ends, and the next one starts
from new files.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from etl.errors import LockHeldError, StorageError

FILE_MODE = 0o640
PRIVATE_MODE = 0o600
DIR_MODE = 0o750

# File systems that cannot link (or whose inode is out of links) get a copy instead.
_CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS}
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


def write_file(path: Path, data: bytes, mode: int = FILE_MODE) -> None:
    """Create `path` with `data` and bring it to the disk; a file of that name must not exist."""
    with explained("write", path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)  # whatever the umask
            file.write(data)
            file.flush()
            _sync(file.fileno())


def seal_file(path: Path, mode: int = FILE_MODE) -> None:
    """Set the mode of a file that a library wrote, and bring its bytes to the disk."""
    with explained("write", path):
        descriptor = os.open(path, os.O_RDWR)
        try:
            os.fchmod(descriptor, mode)
            _sync(descriptor)
        finally:
            os.close(descriptor)


def make_dir(path: Path) -> None:
    """Create a folder and its missing parents, each with mode 0750 whatever the umask."""
    with explained("create", path):
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
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
            shutil.copyfile(source, target)
            seal_file(target, source.stat().st_mode & 0o777)


def fsync_dir(path: Path) -> None:
    """Bring a folder's entries to the disk: without this a new name may be lost with the power."""
    with explained("sync", path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _sync(descriptor)
        finally:
            os.close(descriptor)


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
    with explained("create", temporary):
        with suppress(FileNotFoundError):
            temporary.unlink()  # of a run that died right here
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
def lock(path: Path) -> Iterator[None]:
    """Hold the lock file exclusively for the length of the `with` block.

    The kernel frees it when the process dies, so a stale lock cannot exist; the text inside only tells
    a person who holds it. The file is never removed: two runs could then hold two different files.

    Raises:
        LockHeldError: another process holds it.
    """
    with explained("open the lock", path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
    try:
        with explained("lock", path):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 1000, 0).decode("utf-8", "replace").strip() or "an unnamed process"
                raise LockHeldError(
                    f"{path.parent} is being written by another run ({holder}); wait for it to end, then run again"
                ) from None
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()} since {now}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with explained("read", path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
