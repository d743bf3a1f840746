"""The stories of docs/rates.md: every command they show is run here, in their order, and prints what they say."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.nights import chat, costroll, write_jsonl

PAGE = Path(__file__).parent.parent / "docs" / "rates.md"


def million(request_id: str, model: str, at: str) -> dict[str, Any]:
    """A call with a million prompt tokens and no completion."""
    return chat(request_id, int(datetime.fromisoformat(f"{at}+00:00").timestamp()), 1_000_000, 0, model=model)


def test_the_stories_of_the_manual_are_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story = PAGE.read_text().split("## Three stories")[1].split("\n## Contracts")[0]
    shown = re.findall(r"```console\n\$ costroll ([^\n]*)\n(.*?)```", story, re.DOTALL)
    [correction] = re.findall(r"```csv\n(.*?)```", story, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("correction.csv").write_text(correction)
    write_jsonl(
        Path("calls.jsonl"),
        [
            million("a", "gpt-4o", "2024-10-01T23:59:59"),
            million("b", "gpt-4o", "2024-10-02T00:00:00"),
            million("c", "o3-2025-04-16", "2025-06-09T23:59:59"),
            million("d", "o3-2025-04-16", "2025-06-10T00:00:00"),
            million("e", "o3-2025-04-16", "2025-07-15T12:00:00"),
        ],
    )
    write_jsonl(
        Path("late.jsonl"),
        [million("f", "o3-2025-04-16", "2025-07-15T13:00:00"), million("g", "o3-2025-04-16", "2025-07-16T13:00:00")],
    )
    printed = [(line, costroll(*shlex.split(line)).out) for line, _ in shown]
    assert printed == shown
    assert len(shown) == 12
    assert datetime.now(UTC) > datetime(2026, 11, 22, tzinfo=UTC)  # the correction is of what the card knew then
