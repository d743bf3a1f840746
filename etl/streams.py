"""The three standard streams as cron leaves them: closed, full, gone, or in an encoding that cannot hold a name."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import signal
import sys
from typing import Any, TextIO

from etl.errors import StorageError

_ESCAPES = "costroll"


class OutputLost(StorageError):
    """Standard output takes no more: its disk is full, or whoever read it is gone."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output: {error.strerror}; some of the result is lost")
        self.is_closed_pipe = error.errno == errno.EPIPE
        if self.is_closed_pipe:
            self.exit_code = 128 + signal.SIGPIPE


class _Output(io.FileIO):
    """Descriptor 1, whose errors cannot be taken for those of the warehouse's disk."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            raise OutputLost(error) from error


def prepare() -> None:
    """Open what is closed, and let no character end a run.

    A closed stream would leave its number to the next file that is opened, and a stray print would write into it.
    Where the locale says no more than ASCII, UTF-8 is written, as Python does under LANG=C; a character that another
    encoding lacks stands as `\\u00e9`, which JSON reads as well.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    codecs.register_error(_ESCAPES, _escaped)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = _writer(_Output(1, "w", closefd=False), sys.stdout)
    sys.stderr = _writer(io.FileIO(2, "w", closefd=False), sys.stderr)


def _writer(descriptor: io.FileIO, before: TextIO | None) -> TextIO:
    encoding = codecs.lookup(before.encoding if before else "utf-8").name
    return io.TextIOWrapper(
        io.BufferedWriter(descriptor),
        encoding="utf-8" if encoding == "ascii" else encoding,
        errors=_ESCAPES,
        line_buffering=descriptor.isatty() or descriptor.fileno() == 2,
    )


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    text = "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
    return text, error.end


def finish() -> None:
    """Give up what cannot be written: it must not change the exit status when the interpreter ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, OutputLost):
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
