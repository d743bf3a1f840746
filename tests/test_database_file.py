"""`costroll.duckdb` is made from the published snapshot, and a run mends it when it is not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tests.nights import chat, costroll, write_jsonl


def rollup_rows_in(database: Path) -> tuple[int]:
    with duckdb.connect(str(database), read_only=True) as con:
        row = con.execute("select count(*) from rollups").fetchone()
    assert row is not None
    return row


def lose(database: Path) -> None:
    database.unlink()


def cut(database: Path) -> None:
    database.write_bytes(database.read_bytes()[:5000])


def keep_the_one_before(database: Path) -> None:
    shutil.copyfile(database.with_name("older.file"), database)


@pytest.mark.parametrize("spoil", [lose, cut, keep_the_one_before])
def test_a_run_with_nothing_new_mends_the_database(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    """As after a run that died between its commit and the database."""
    warehouse, logs = tmp_path / "warehouse", tmp_path / "logs"
    write_jsonl(logs / "a.jsonl", [chat("a")])
    costroll("--warehouse", warehouse, "run", logs, with_database=True)
    database = warehouse / "costroll.duckdb"
    shutil.copyfile(database, database.with_name("older.file"))
    write_jsonl(logs / "b.jsonl", [chat("b")])
    costroll("--warehouse", warehouse, "run", logs, with_database=True)
    spoil(database)

    again = costroll("--warehouse", warehouse, "run", logs, with_database=True)

    assert (again.code, again.out.splitlines()[-2]) == (0, "nothing new to publish")
    assert rollup_rows_in(database) == (3,)
    with duckdb.connect(str(database), read_only=True) as con:
        mark = con.execute("select comment from duckdb_tables() where table_name = 'rates_history'").fetchone()
    assert mark is not None
    assert mark[0].startswith("of snapshot 2, ")


def test_a_database_that_is_as_it_should_be_is_left_alone(tmp_path: Path) -> None:
    warehouse, logs = tmp_path / "warehouse", write_jsonl(tmp_path / "a.jsonl", [chat("a")])
    costroll("--warehouse", warehouse, "run", logs, with_database=True)
    before = (warehouse / "costroll.duckdb").stat()

    costroll("--warehouse", warehouse, "run", logs, with_database=True)

    after = (warehouse / "costroll.duckdb").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_log_that_someone_left_beside_the_database_goes_with_it(tmp_path: Path) -> None:
    warehouse, logs = tmp_path / "warehouse", tmp_path / "logs"
    write_jsonl(logs / "a.jsonl", [chat("a")])
    costroll("--warehouse", warehouse, "run", logs, with_database=True)
    (warehouse / "costroll.duckdb.wal").write_bytes(b"of another file")
    write_jsonl(logs / "b.jsonl", [chat("b")])

    costroll("--warehouse", warehouse, "run", logs, with_database=True)

    assert not (warehouse / "costroll.duckdb.wal").exists()
    assert rollup_rows_in(warehouse / "costroll.duckdb") == (3,)
