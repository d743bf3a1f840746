"""What is told on stderr: lines for people, or one JSON object a line for a log collector.

A stderr that is closed or full never changes how a run ends: results and exit status matter more than words about them.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

LEVELS = ("info", "warning", "error")
FORMATS = ("text", "json")


class _Form:
    """Of the process, as its stderr is."""

    is_json = False


def configure(form: str) -> None:
    """Tell everything in one of `FORMATS` from now on."""
    _Form.is_json = form == "json"


def is_json() -> bool:
    """Whether stderr holds JSON objects and nothing else."""
    return _Form.is_json


def tell(level: str, event: str, text: str, **facts: Any) -> None:
    """Write one message.

    Args:
        level: one of `LEVELS`.
        event: what happened, in one word that never changes, such as `refused`; only JSON shows it.
        text: it, for a person.
        facts: it, for a program; only JSON shows them.
    """
    if _Form.is_json:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        text = json.dumps({"time": now, "level": level, "event": event, "message": text} | facts, default=str)
    with suppress(OSError, ValueError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
