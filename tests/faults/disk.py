"""Stands between Costroll and the operating system, and sees every call that changes the warehouse.

`Disk` replaces the functions of `os` that change a tree of folders, and `fcntl.flock`. Whatever acts inside the
watched folder is passed to `before`, which may let it through or make it fail; the rest of the machine is left alone.

Which calls there are is not a matter of belief: tests/test_faults.py compares them with what `strace` sees.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ETL = str(Path(__file__).resolve().parent.parent.parent / "etl") + os.sep
CHANGING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

# What needs room on the disk can find it full.
TAKES_SPACE = {"open", "write", "pwrite", "mkdir", "rename", "link", "symlink", "fsync"}


@dataclass(frozen=True)
class Call:
    """One call on the watched folder.

    Attributes:
        name: the function of `os`; `library` stands for all that DuckDB wrote into a file of its own.
        path: what it acts on, relative to the watched folder.
        other: the new name of a rename or link, the target of a symlink.
        data: what is written.
        at: the offset of a pwrite; None appends.
        does_create: whether an `open` may make the file.
        site: the lines of etl/ that led here, the innermost last.
    """

    name: str
    path: str
    other: str = ""
    data: bytes = b""
    at: int | None = None
    does_create: bool = False
    site: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} {self.path}" + (f" -> {self.other}" if self.other else "")


Before = Callable[[Call], None]


class Disk:
    """The calls on one folder, in order.

    Attributes:
        calls: what was called, also what failed.
    """

    def __init__(self, watched: Path, before: Before | None = None) -> None:
        self.calls: list[Call] = []
        self._watched = str(watched.absolute())
        self._before = before
        self._is_looking_away = False
        self._open: dict[int, str] = {}
        self._real: dict[str, Any] = {}

    @contextmanager
    def watching(self) -> Iterator[Disk]:
        """Stand between for the length of the `with` block."""
        own = {
            "open": self._os_open,
            "close": self._os_close,
            "rename": self._of_two_names("rename"),
            "replace": self._of_two_names("replace"),
            "link": self._of_two_names("link"),
            "symlink": self._symlink,
            **{name: self._of_descriptor(name) for name in ("write", "pwrite", "fsync", "fchmod", "ftruncate")},
            **{name: self._of_path(name) for name in ("mkdir", "chmod", "unlink", "remove", "rmdir")},
        }
        self._real = {name: getattr(os, name) for name in own}
        flock = fcntl.flock
        try:
            for name, function in own.items():
                setattr(os, name, function)
            fcntl.flock = self._flock(flock)
            yield self
        finally:
            for name, function in self._real.items():
                setattr(os, name, function)
            fcntl.flock = flock

    def open_files(self) -> set[str]:
        """The paths that are open right now, relative to the watched folder."""
        return set(self._open.values())

    def _inside(self, path: Any, folder: int | None = None) -> str | None:
        """The path relative to the watched folder; None when it is elsewhere."""
        if self._is_looking_away:
            return None
        if isinstance(path, int):
            return self._open.get(path)
        text = os.fsdecode(path)
        if folder is not None:
            return f"{self._open[folder]}/{text}" if folder in self._open else None
        text = os.path.abspath(text)
        return os.path.relpath(text, self._watched) if f"{text}/".startswith(f"{self._watched}/") else None

    def _meet(self, call: Call) -> None:
        self.calls.append(call)
        if self._before:
            self._is_looking_away = True  # what `before` itself does to the folder is no call of Costroll
            try:
                self._before(call)
            finally:
                self._is_looking_away = False

    def _os_open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        inside = self._inside(path, dir_fd)
        if inside is None:
            return int(self._real["open"](path, flags, mode, dir_fd=dir_fd))
        if flags & CHANGING_FLAGS and not flags & os.O_CREAT:  # somebody else wrote it, and we seal it
            self._meet(Call("library", inside, data=Path(path).read_bytes(), site=site()))
        name = "open" if flags & CHANGING_FLAGS else "open to read"
        self._meet(Call(name, inside, does_create=bool(flags & os.O_CREAT), site=site()))
        descriptor = int(self._real["open"](path, flags, mode, dir_fd=dir_fd))
        self._open[descriptor] = inside
        return descriptor

    def _os_close(self, descriptor: int) -> None:
        inside = None if self._is_looking_away else self._open.pop(descriptor, None)
        try:
            if inside is not None:
                self._meet(Call("close", inside, site=site()))
        finally:
            self._real["close"](descriptor)  # also when it reports an error, as in Linux

    def _of_descriptor(self, name: str) -> Callable[..., Any]:
        def call(descriptor: int, *arguments: Any) -> Any:
            inside = self._inside(descriptor)
            if inside is not None:
                data = bytes(arguments[0]) if name in ("write", "pwrite") else b""
                at = arguments[1] if name == "pwrite" else arguments[0] if name == "ftruncate" else None
                self._meet(Call(name, inside, data=data, at=at, site=site()))
            return self._real[name](descriptor, *arguments)

        return call

    def _of_path(self, name: str) -> Callable[..., Any]:
        def call(path: Any, *arguments: Any, dir_fd: int | None = None, **more: Any) -> Any:
            inside = self._inside(path, dir_fd)
            if inside is not None:
                self._meet(Call("unlink" if name == "remove" else name, inside, site=site()))
            return self._real[name](path, *arguments, dir_fd=dir_fd, **more)

        return call

    def _of_two_names(self, name: str) -> Callable[..., Any]:
        def call(source: Any, target: Any, **more: Any) -> Any:
            inside = self._inside(source)
            if inside is not None:
                other = self._inside(target) or os.fsdecode(target)
                self._meet(Call("rename" if name == "replace" else name, inside, other, site=site()))
            return self._real[name](source, target, **more)

        return call

    def _symlink(self, target: Any, path: Any, *arguments: Any, **more: Any) -> Any:
        inside = self._inside(path)
        if inside is not None:
            self._meet(Call("symlink", inside, os.fsdecode(target), site=site()))
        return self._real["symlink"](target, path, *arguments, **more)

    def _flock(self, real: Any) -> Callable[[int, int], Any]:
        def call(descriptor: int, operation: int) -> Any:
            inside = self._inside(descriptor)
            if inside is not None:
                self._meet(Call("flock", inside, site=site()))
            return real(descriptor, operation)

        return call


def site() -> tuple[str, ...]:
    """The lines of etl/ that are being executed, the innermost last."""
    lines = []
    frame = sys._getframe(1)
    while frame:
        if frame.f_code.co_filename.startswith(ETL):
            module = frame.f_code.co_filename.removeprefix(ETL).removesuffix(".py")
            lines.append(f"{module}.{frame.f_code.co_name}:{frame.f_lineno}")
        frame = frame.f_back  # type: ignore[assignment]
    return tuple(reversed(lines))


@dataclass(frozen=True)
class Fault:
    """What happens at one call.

    Attributes:
        kind: `kill`, `EIO` or `ENOSPC`.
        is_lasting: every later call fails as well: the disk is gone, or stays full.
        is_torn: half of what is written reaches the file first.
    """

    kind: str
    is_lasting: bool = False
    is_torn: bool = False

    def concerns(self, call: Call) -> bool:
        """Whether the call can meet this fault."""
        if self.is_torn and call.name not in ("write", "library"):
            return False
        if call.name == "library":  # DuckDB's own errors are provoked with real limits, not from here
            return self.kind == "kill"
        return self.kind != "ENOSPC" or (call.name in TAKES_SPACE and (call.name != "open" or call.does_create))

    def strike(self, call: Call, tear: Callable[[], None]) -> None:
        """Make the call fail."""
        if self.is_torn:
            tear()
        if self.kind == "kill":
            os.kill(os.getpid(), 9)
        number = getattr(errno, self.kind)
        raise OSError(number, os.strerror(number))

    def __str__(self) -> str:
        words = [
            self.kind,
            *(["from here on"] if self.is_lasting else []),
            *(["in the middle"] if self.is_torn else []),
        ]
        return " ".join(words)


FAULTS = [
    Fault("kill"),
    Fault("kill", is_torn=True),
    Fault("EIO"),
    Fault("EIO", is_lasting=True),
    Fault("ENOSPC", is_torn=True),
    Fault("ENOSPC"),
    Fault("ENOSPC", is_lasting=True),
]
