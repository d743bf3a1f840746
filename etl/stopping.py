"""SIGTERM, SIGINT and SIGHUP: stop within two seconds wherever the run is, and say what is published.

Python hands a signal to the main thread only, and only between two steps of its own: a long call into DuckDB or Polars,
or a wait for a worker thread, would hold it up. So a thread of its own sees each signal at once. The main thread gets
`GRACE_SECONDS` to unwind (and so to remove what it was building); then the process ends where it is, which leaves no
more than a kill would: the next run sweeps it. A second signal ends at once.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

GRACE_SECONDS = 1.2
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(BaseException):
    """A signal asked to stop; not an Exception, so that nothing that mends errors mends it."""


class _State:
    """Of the process, as signals are."""

    number = 0  # of the signal that came
    is_held = False
    is_over = False
    outcome = "nothing was published"
    tell: Callable[[str], Any] = staticmethod(lambda text: None)


_state = _State()


def signal_number() -> int:
    """The signal that asked this process to stop; 0 if none did."""
    return _state.number


def outcome() -> str:
    """What of this process's work is published, such as `snapshot 7 is published`."""
    return _state.outcome


@contextmanager
def held(published: str) -> Iterator[None]:
    """Let no signal cut the publishing rename from the knowledge that it happened; the stop comes right after.

    Args:
        published: the outcome once the block is through, such as `snapshot 7 is published`.
    """
    _state.is_held = True
    try:
        yield
        _state.outcome = published
    finally:
        _state.is_held = False
    if _state.number:
        raise Stopped


def install(tell: Callable[[str], Any]) -> None:
    """Stop on `SIGNALS` from now on; those that are ignored, as under nohup, stay ignored. From the main thread only.

    Args:
        tell: writes the line that says why the process ends; called from any thread.
    """
    _State.tell = staticmethod(tell)
    receiving, sending = os.pipe()
    os.set_blocking(sending, False)
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    signal.set_wakeup_fd(sending, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(receiving,), name="signals", daemon=True).start()


def finish() -> None:
    """The main thread is through: tell why it ended, and let no further signal interrupt its last steps."""
    _state.is_over = True
    if _state.number:
        _tell(_state.number)


def _tell(number: int) -> None:
    _state.tell(f"stopped by {signal.Signals(number).name}; {_state.outcome}")


def _stop(number: int, _: Any) -> None:
    if not _state.number and not _state.is_over:
        _state.number = number
        if not _state.is_held:
            raise Stopped


def _watch(receiving: int) -> None:
    first = os.read(receiving, 1)[0]
    until = time.monotonic() + GRACE_SECONDS
    while (left := until - time.monotonic()) > 0 or _state.is_held:
        if select.select([receiving], [], [], max(left, 0.05))[0]:
            os._exit(128 + os.read(receiving, 1)[0])
    if not _state.is_over:
        _tell(first)
    os._exit(128 + first)
