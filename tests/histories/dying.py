"""A process that dies at one of its calls to the disk, without a process: from then on no call reaches the disk."""

from __future__ import annotations

from pathlib import Path

from tests.faults.disk import Call, Disk


class DiedError(BaseException):
    """Nothing may catch it and go on, as nothing goes on after a kill -9."""


class DyingDisk(Disk):
    """Lets so many calls through that change the warehouse, and no more.

    Attributes:
        has_died: whether a call was not let through.
    """

    def __init__(self, watched: Path, calls: int) -> None:
        super().__init__(watched)
        self.has_died = False
        self._left = calls

    def _meet(self, call: Call) -> None:  # not by `before`: that looks away meanwhile, also from other threads
        if self._left <= 0:
            self.has_died = True
            raise DiedError(str(call))
        self._left -= 1
