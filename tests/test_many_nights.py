"""A warehouse of many days and nights: a new night reads and copies no old day, and its readings stay few files.

Every day has one call of 1,000 prompt and 100 answer tokens: 0.00021 USD.
"""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from etl import inputs_table
from tests.nights import NOON, Ran, chat, costroll, rows_of, write_jsonl

DAY_SECONDS = 86_400
DAYS = 12
COST = Decimal("0.00021")


def night(folder: Path, name: str, *days: int) -> Ran:
    """A night whose log has one call of each of these days, counted from 2026-06-01."""
    log = write_jsonl(folder / f"{name}.jsonl", [chat(f"{name}-{day}", NOON + day * DAY_SECONDS) for day in days])
    ran = costroll("run", log, "--threads", "1", "--warehouse", folder / "warehouse")
    assert ran.code == 0, ran
    return ran


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    night(folder, "first", *range(DAYS))
    return folder


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path, symlinks=True, dirs_exist_ok=True))


def spoil(warehouse: Path, *spared: int) -> dict[str, int]:
    """Make the files of all days but these unreadable, of the same size; path -> inode of every day's file."""
    inodes = inodes_of(warehouse)
    assert len(inodes) == 2 * DAYS
    for relative in inodes:
        if not any(f"2026-06-{day + 1:02d}" in relative for day in spared):
            path = warehouse / "current" / relative
            path.write_bytes(bytes(path.stat().st_size))
    return inodes


def inodes_of(warehouse: Path) -> dict[str, int]:
    current = warehouse / "current"
    files = [*current.glob("usage/*/*.parquet"), *current.glob("rollups/*.parquet")]
    return {str(path.relative_to(current)): path.stat().st_ino for path in files}


def cost_of(rollups: Path) -> Decimal:
    total: Decimal = pl.read_parquet(rollups)["cost_usd"].sum()
    return total


def test_a_new_day_reads_and_copies_no_old_one(folder: Path) -> None:
    before = spoil(folder / "warehouse", DAYS - 1)  # an id is looked up in its day and the two beside it

    ran = night(folder, "next", DAYS)

    assert "1 day written" in ran.out
    assert before.items() <= inodes_of(folder / "warehouse").items()


def test_a_late_record_reads_its_day_and_those_beside_it_and_writes_its_own(folder: Path) -> None:
    before = spoil(folder / "warehouse", 4, 5, 6)

    night(folder, "late", 5)

    after = inodes_of(folder / "warehouse")
    assert {path for path in before if after[path] != before[path]} == {"rollups/2026-06-06.parquet"}
    assert after.keys() - before.keys() == {"usage/2026-06-06/00000002.parquet"}
    assert cost_of(folder / "warehouse" / "current" / "rollups" / "2026-06-06.parquet") == 2 * COST


def test_the_readings_of_many_nights_come_together_in_one_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs_table, "_MOST_SMALL_FILES", 4)
    monkeypatch.setattr(inputs_table, "_SMALL_ROWS", 3)
    warehouse = folder / "warehouse"
    names = ["first"]
    for number in range(6):
        night(folder, f"night-{number}", DAYS + number)
        names.append(f"night-{number}")
        held = [Path(str(row[0])).stem for row in rows_of(warehouse, "inputs", "input_name")]
        assert sorted(held) == sorted(names)

    # The fifth file takes the rows of four; a file of more rows than are few stays as it is.
    assert sorted(path.name for path in (warehouse / "current" / "inputs").iterdir()) == [
        "00000005.parquet", "00000006.parquet", "00000007.parquet"
    ]  # fmt: skip
    assert rows_of(warehouse, "inputs", "at_snapshot") == [(number,) for number in range(1, 8)]
    again = costroll("run", "--json", *(folder / f"{name}.jsonl" for name in names), "--warehouse", warehouse)
    assert all(one["skipped"] for one in again.said["inputs"])
    assert costroll("verify", "--warehouse", warehouse).code == 0
