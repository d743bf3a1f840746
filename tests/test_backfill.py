"""run --commit-every: a stop in the middle costs one step, and the bytes in the end are those of one go."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from etl.commands.run import progress_line
from tests.nights import CHECKOUT, NOON, chat, costroll, rows_of, write_jsonl

KILLED_AFTER_TWO_COMMITS = """
import os, sys
from etl import cli, durable
before, commits = durable.replace_link, []
def counted(*arguments):
    before(*arguments)
    commits.append(1)
    if len(commits) == 2:
        os._exit(137)
durable.replace_link = counted
cli.main()
"""


def year(folder: Path) -> Path:
    """Five exports, of which neighbours share a day and a record: 5 x 3 records, 4 of them duplicates."""
    for number in range(5):
        at = NOON + number * 86_400
        records = [chat(f"{number}", at), chat(f"{number + 1}", at + 86_400), chat(f"own{number}", at, prompt=7)]
        write_jsonl(folder / f"logs/{number}.jsonl", records)
    return folder / "logs"


def rollups(warehouse: Path) -> dict[str, str]:
    files = (warehouse / "current/rollups").glob("*.parquet")
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_killed_in_the_middle_and_started_again_it_ends_with_the_bytes_of_one_go(tmp_path: Path) -> None:
    logs = year(tmp_path)
    assert costroll("run", logs, "--warehouse", tmp_path / "one").code == 0
    steps = ["run", str(logs), "--warehouse", str(tmp_path / "steps"), "--commit-every", "1"]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_AFTER_TWO_COMMITS, *steps],
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert killed.returncode == 137
    assert os.readlink(tmp_path / "steps/current") == "snapshots/00000002"

    again = costroll(*steps)

    assert again.code == 0
    assert "skipped 2 inputs that were read before\n" in again.out
    assert again.closure.startswith("read 9 = accepted 6 + duplicate 3 + ")
    assert rollups(tmp_path / "steps") == rollups(tmp_path / "one")
    # Which of two equal records stands for both is the first that was read; what it says is the same.
    said = ("request_id", "occurred_at", "input_uncached_tokens", "output_tokens")
    assert rows_of(tmp_path / "steps", "usage", *said) == rows_of(tmp_path / "one", "usage", *said)
    assert costroll("verify", "--warehouse", tmp_path / "steps").code == 0


def test_the_steps_tell_one_result(tmp_path: Path) -> None:
    logs = year(tmp_path)
    write_jsonl(logs / "7.jsonl", ["{"])
    ran = costroll("run", logs, "--warehouse", tmp_path / "w", "--commit-every", "1")
    assert ran.code == 3
    assert ran.err.splitlines()[-1] == "needs attention: 1 rejected record"
    assert "created the warehouse" in ran.out and "6 days written (2026-06-01 to 2026-06-06)" in ran.out
    assert ran.closure == "read 16 = accepted 11 + duplicate 4 + conflict 0 + excluded 0 + rejected 1"


def test_a_threshold_that_is_a_share_is_one_of_all_steps_together(tmp_path: Path) -> None:
    logs = year(tmp_path)
    write_jsonl(logs / "7.jsonl", ["{"])  # 1 of 16, but all of its own step
    (tmp_path / "c.toml").write_text("[alert]\nrejected = 0.0625")
    ran = costroll("run", logs, "--warehouse", tmp_path / "w", "--commit-every", "1", "--config", tmp_path / "c.toml")
    assert ran.code == 0


def test_a_step_ends_with_the_input_that_reaches_the_size(tmp_path: Path) -> None:
    logs = year(tmp_path)
    size = (logs / "0.jsonl").stat().st_size
    for step, commits in ((size, 5), (size + 1, 3), (5 * size, 1)):
        warehouse = tmp_path / str(step)
        assert costroll("run", logs, "--warehouse", warehouse, "--commit-every", str(step)).code == 0
        assert os.readlink(warehouse / "current") == f"snapshots/{commits:08d}"


def test_strict_cannot_be_kept_in_steps(tmp_path: Path) -> None:
    ran = costroll("run", year(tmp_path), "--warehouse", tmp_path / "w", "--commit-every", "1", "--strict")
    assert (ran.code, (tmp_path / "w").exists()) == (2, False)


def test_progress_tells_share_speed_and_what_is_left() -> None:
    assert progress_line(0, 1_000_000_000, 0) == "0 %  0 of 1,000 MB"
    assert progress_line(250_000_000, 1_000_000_000, 5) == "25 %  250 of 1,000 MB  50 MB/s  0:00:15 left"
    assert progress_line(999_999_999, 1_000_000_000, 100).startswith("99 %")
    assert progress_line(0, 0, 0) == "100 %  0 of 0 MB"
