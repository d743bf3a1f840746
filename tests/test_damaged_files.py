"""A published file that was removed or changed behind Costroll's back: exit 6 with its name, and no bug of ours."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.nights import chat, costroll, write_jsonl

COMMANDS: dict[str, list[str]] = {
    "status": ["status"],
    "report": ["report"],
    "report days": ["report", "days"],
    "sql": ["sql", "select sum(cost_usd) from rollups"],
    "explain": ["explain", "--day", "2025-11-21"],
    "reprice": ["reprice"],
    "close": ["close", "2025-11", "--dry-run"],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two records on 2025-11-21."""
    folder = tmp_path_factory.mktemp("made")
    log = write_jsonl(folder / "log.jsonl", [chat("a", 1763719200), chat("b", 1763719200)])
    assert costroll("run", log, "--warehouse", folder / "warehouse").code == 0
    return folder


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def overwritten(path: Path) -> None:
    path.write_bytes(b"x" * path.stat().st_size)


@pytest.mark.parametrize("damage", [Path.unlink, truncated, overwritten])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_damaged_file_is_named_and_is_no_bug_of_ours(
    made: Path, tmp_path: Path, command: str, damage: Callable[[Path], None]
) -> None:
    shutil.copytree(made, tmp_path / "copy", symlinks=True)
    warehouse = tmp_path / "copy/warehouse"
    [file] = (warehouse / "snapshots/00000001/rollups").iterdir()
    damage(file)

    ran = costroll(*COMMANDS[command], "--warehouse", warehouse)

    assert ran.code == 6, ran
    assert f"{file}: not as published; `costroll verify` says all" in ran.err


def test_a_run_that_meets_damaged_rows_of_its_inputs_names_them(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "copy", symlinks=True)
    warehouse = tmp_path / "copy/warehouse"
    [file] = (warehouse / "snapshots/00000001/inputs").iterdir()
    overwritten(file)
    log = write_jsonl(tmp_path / "more.jsonl", [chat("c", 1763719200)])

    ran = costroll("run", log, "--warehouse", warehouse)

    assert ran.code == 6 and f"{file}: not as published" in ran.err


def test_a_wrong_question_to_a_sound_warehouse_stays_a_wrong_question(made: Path) -> None:
    ran = costroll("sql", "select nothing from rollups", "--warehouse", made / "warehouse")

    assert ran.code == 2 and "not as published" not in ran.err
