"""What can go wrong, in the reader's words, with the exit status each kind ends in.

Every error that a user can meet derives from `CostrollError`. Its text says what is wrong and where,
what was expected, and what to do. Only `etl.cli` turns an error into an exit status.
"""

from __future__ import annotations


class CostrollError(Exception):
    """An error for the person at the keyboard; never shown as a traceback.

    Attributes:
        exit_code: the exit status it ends in.
        event: its name among the messages.
    """

    exit_code = 1
    event = "error"


class UsageError(CostrollError):
    """The command line or a settings file asks for something that cannot be done."""

    exit_code = 2
    event = "usage"


class RateCardError(UsageError):
    """A rate card breaks one of its rules; the message names the offending rows."""


class LockHeldError(CostrollError):
    """Another run is writing to this warehouse."""

    exit_code = 4
    event = "locked"


class StorageError(CostrollError):
    """The disk or the operating system refused to read or write."""

    exit_code = 5
    event = "storage"


class MetricsLost(StorageError):
    """The run went well, and the file that should tell of it cannot be written."""


class IntegrityError(CostrollError):
    """The warehouse, or a sum that must close, does not hold; nothing was published."""

    exit_code = 6
    event = "integrity"


class StrictError(CostrollError):
    """`--strict` was given and the run met something that needs attention; nothing was published."""

    exit_code = 9
    event = "strict"


class InputRefused(Exception):
    """One input cannot be read at all; the rest of the night's input still is.

    Attributes:
        code: the reason code, from `etl.fates.REFUSALS`.
        text: what was found and what to do, without the file's name.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
