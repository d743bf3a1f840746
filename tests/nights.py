"""Costroll as a person or cron meets it: one command line, in this process or in one of its own, and what it published.

For new tests; a test module that needs nothing special should not write its own.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from etl import analyst
from etl.cli import exit_code_of

CHECKOUT = Path(__file__).resolve().parent.parent
MINI = "gpt-4o-mini-2024-07-18"
NOON = 1_780_315_200  # 2026-06-01T12:00:00Z


@dataclass(frozen=True)
class Ran:
    """How one command line ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> dict[str, Any]:
        """What `--json` printed."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def closure(self) -> str:
        """The last line of a run."""
        return self.out.splitlines()[-1]


def costroll(*arguments: Path | str, stdin: str | None = None, with_database: bool = False) -> Ran:
    """Run a command line in this process. A bug of ours is raised here instead of being told in a line.

    Args:
        with_database: also build `costroll.duckdb`; a fifth of a second that few tests need.
    """
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setenv("COSTROLL_TRACEBACK", "1")
        if not with_database:
            patch.setattr(analyst, "build_database", lambda *_: None)
        if stdin is not None:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = exit_code_of([str(argument) for argument in arguments])
    assert "Traceback" not in err.getvalue()
    return Ran(code, out.getvalue(), err.getvalue())


def costroll_process(
    *arguments: Path | str, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command line as a process of its own; `env` is added to this process's, `options` go to subprocess.run."""
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)} | (env or {})
    command = [sys.executable, "-m", "etl", *map(str, arguments)]
    defaults: dict[str, Any] = {"capture_output": True, "text": True, "check": False, "timeout": 120}
    return subprocess.run(command, env=environment, **(defaults | options))


def chat(
    request_id: str, created: int = NOON, prompt: int = 1000, completion: int = 100, **changes: Any
) -> dict[str, Any]:
    """An OpenAI chat completion: by default 1,000 x 0.15 + 100 x 0.60 = 0.00021 USD."""
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    record = {"id": request_id, "object": "chat.completion", "created": created, "model": MINI, "usage": usage}
    return record | changes


def write_jsonl(path: Path, records: Sequence[Mapping[str, Any] | str]) -> Path:
    """Write records, one a line; a text stands as it is."""
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines))
    return path


def whole(warehouse: Path, table: str) -> pl.DataFrame:
    """All published rows of a table that has any, as they are ordered."""
    return pl.concat(map(pl.read_parquet, _files(warehouse, table)))


def _files(warehouse: Path, table: str) -> list[Path]:
    return sorted((warehouse / "current" / table).rglob("*.parquet"))


def rows_of(warehouse: Path, table: str, *columns: str) -> list[tuple[Any, ...]]:
    """The published rows of a table, sorted."""
    if not _files(warehouse, table):
        return []
    frame = whole(warehouse, table)
    return sorted((frame.select(columns) if columns else frame).rows(), key=str)
