"""--threads and --memory-limit: they are kept to, and change no byte of what is published."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from etl import engine
from etl.errors import UsageError
from tests.nights import CHECKOUT, NOON, chat, costroll, costroll_process, write_jsonl

SCRIPT = """
import json, sys
from etl.cli import exit_code_of
code = exit_code_of(sys.argv[1:])
import polars
print(json.dumps([code, polars.thread_pool_size()]))
"""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6,000 calls on three days, one of a hundred of them twice."""
    folder = tmp_path_factory.mktemp("log")
    calls = [chat(f"call-{number}", NOON + number * 43, 1000 + number % 7, 1 + number % 90) for number in range(5940)]
    calls += calls[:60]
    return write_jsonl(folder / "night.jsonl", calls)


def published(warehouse: Path) -> dict[str, bytes]:
    current = warehouse / "current"
    files = [*current.glob("rollups/*.parquet"), *current.glob("usage/*/*.parquet")]
    return {str(file.relative_to(current)): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def without(log: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What is published without any limit."""
    warehouse = tmp_path_factory.mktemp("without")
    assert costroll("run", log, "--warehouse", warehouse).code == 0
    return published(warehouse)


@pytest.mark.parametrize(
    "limits", [["--threads", "1"], ["--threads", "3"], ["--threads", "1", "--memory-limit", "100MB"]], ids=str
)
def test_no_byte_depends_on_a_limit(log: Path, without: dict[str, bytes], tmp_path: Path, limits: list[str]) -> None:
    ran = costroll_process("run", log, "--warehouse", tmp_path, *limits)

    assert ran.returncode == 0, ran.stderr
    assert len(without) == 8  # four days are touched
    assert published(tmp_path) == without


def test_polars_starts_no_more_threads_than_asked_for(log: Path, tmp_path: Path) -> None:
    (tmp_path / "costroll.toml").write_text("[run]\nthreads = 2\n")
    for given, threads in ((["--threads", "1"], 1), (["--threads", "3"], 3), ([], 2)):
        arguments = ["run", str(log), "--quiet", "--warehouse", str(tmp_path), *given]
        ran = subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=True
        )
        assert json.loads(ran.stdout) == [0, threads]


def test_every_database_of_a_command_keeps_to_its_limits() -> None:
    asked = "select current_setting('threads'), current_setting('memory_limit')"
    with engine.connect() as con:
        free = con.execute(asked).fetchall()

    with engine.limited(1, 64 << 20):
        with engine.connect() as con:
            assert con.execute(asked).fetchall() == [(1, "64.0 MiB")]
        with engine.connect(threads=2, memory_limit="32MiB") as con:
            assert con.execute(asked).fetchall() == [(2, "32.0 MiB")]
        assert engine.threads() == 1

    with engine.connect() as con:
        assert con.execute(asked).fetchall() == free
    assert engine.threads() == engine.processors()


def test_too_little_memory_is_said_and_nothing_is_published(log: Path, tmp_path: Path) -> None:
    ran = costroll("run", log, "--warehouse", tmp_path, "--memory-limit", "1MB")

    assert ran.code == 2
    assert "not enough memory; raise --memory-limit" in ran.err
    assert not (tmp_path / "current").exists()
    with (
        pytest.raises(UsageError, match="not enough memory"),
        engine.limited(memory_bytes=1 << 20),
        engine.connect() as con,
    ):
        con.execute("select list(range) from range(10000000)").fetchall()


def test_reprice_takes_the_same_options(log: Path, tmp_path: Path) -> None:
    assert costroll("run", log, "--warehouse", tmp_path).code == 0

    ran = costroll("reprice", "--warehouse", tmp_path, "--threads", "1", "--memory-limit", "200MB")

    assert ran.out.splitlines()[-1] == "nothing to change"
