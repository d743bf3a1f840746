"""At 02:00 nobody looks: signals, missing streams, odd environments; the exit status and one clear line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from etl import durable, stopping
from tests.nights import CHECKOUT, Ran, chat, costroll, costroll_process, write_jsonl

# What a run is doing when the signal comes. Each takes minutes if nothing stops it.
BUSY = {
    "DuckDB on the main thread": """
from etl import pipeline
def slow(*_):
    send()
    duckdb.sql("select sum(a.range % 7) from range(1000000) a, range(1000000) b").fetchall()
pipeline.Rater.rate = slow
""",
    "Polars on the main thread": """
from etl import pipeline
def slow(*_):
    send()
    pl.select(pl.int_range(20_000_000)).lazy().select(sum(pl.first().sin() for _ in range(400))).collect()
pipeline.Rater.rate = slow
""",
    "DuckDB on a worker thread": """
from etl import parts
def slow(*_):
    send()
    duckdb.connect().sql("select sum(a.range % 7) from range(1000000) a, range(1000000) b").fetchall()
parts.part_of = slow
""",
    "waiting for the disk": """
from etl import durable
def slow(*_):
    send()
    time.sleep(60)
durable._sync = slow
""",
}

DRIVER = """
import os, signal, sys, threading, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
import duckdb, polars as pl
from etl import cli, durable
def send(after=0.1, number=signal.{name}):
    threading.Timer(after, os.kill, (os.getpid(), number)).start()
    print(time.monotonic() + after, flush=True)
{patch}
sys.argv = ["costroll", "run", "a.jsonl"]
cli.main()
"""


def driven(folder: Path, patch: str, name: str = "SIGTERM") -> subprocess.CompletedProcess[str]:
    """A run of a.jsonl in a process of its own, with a part of it replaced."""
    write_jsonl(folder / "a.jsonl", [chat("a")])
    return subprocess.run(
        [sys.executable, "-c", DRIVER.format(patch=patch, name=name)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("busy", BUSY)
def test_a_signal_stops_a_run_within_two_seconds_wherever_it_is(tmp_path: Path, busy: str) -> None:
    ran = driven(tmp_path, BUSY[busy])
    took = time.monotonic() - float(ran.stdout.splitlines()[0])
    assert (ran.returncode, ran.stderr) == (143, "costroll: stopped by SIGTERM; nothing was published\n")
    assert took < 2, f"{took:.2f} s"
    assert not (tmp_path / "warehouse/current").is_symlink()
    # What it left is swept by the next run.
    assert costroll("run", tmp_path / "a.jsonl", "--warehouse", tmp_path / "warehouse").code == 0
    left = {path.name for path in (tmp_path / "warehouse").iterdir()}
    assert left == {".lock", "current", "last_run.json", "snapshots"}


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGHUP", 129), ("SIGTERM", 143)])
def test_each_signal_ends_with_its_own_status_and_leaves_nothing_behind(tmp_path: Path, name: str, code: int) -> None:
    patch = "pipeline_of_now = __import__('etl.pipeline').pipeline\n"
    patch += "def slow(*_):\n    send()\n    time.sleep(30)\npipeline_of_now.Rater.rate = slow"
    ran = driven(tmp_path, patch, name)
    assert (ran.returncode, ran.stderr) == (code, f"costroll: stopped by {name}; nothing was published\n")
    assert [path.name for path in (tmp_path / "warehouse").iterdir()] == [".lock"]


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    twice = "\n".join(
        (
            "from etl import pipeline",
            "def slow(*_):",
            "    send(0.1), send(0.2, signal.SIGINT)",
            '    duckdb.connect().sql("select sum(a.range % 7) from range(1000000) a, range(1000000) b").fetchall()',
            "from etl import parts",
            "parts.part_of = slow",  # on a worker thread, for which the first signal waits
        )
    )
    ran = driven(tmp_path, twice)
    took = time.monotonic() - float(ran.stdout.splitlines()[1])
    assert ran.returncode == 130
    assert took < stopping.GRACE_SECONDS - 0.2


MOVES_LINK = """
before = durable.replace_link
def moving(*arguments):
    {first}
    {second}
    time.sleep(0.3)
durable.replace_link = moving
"""


def test_a_signal_just_before_the_commit_waits_for_it_and_says_what_is_published(tmp_path: Path) -> None:
    patch = MOVES_LINK.format(first="send(0); time.sleep(0.1)", second="before(*arguments)")
    ran = driven(tmp_path, patch)
    assert (ran.returncode, ran.stderr) == (143, "costroll: stopped by SIGTERM; snapshot 1 is published\n")
    assert os.readlink(tmp_path / "warehouse/current") == "snapshots/00000001"
    assert costroll("run", tmp_path / "a.jsonl", "--warehouse", tmp_path / "warehouse").out.startswith("skipped 1 ")


def test_a_signal_just_after_the_commit_says_so_too(tmp_path: Path) -> None:
    ran = driven(tmp_path, MOVES_LINK.format(first="before(*arguments)", second="send(0)"))
    assert (ran.returncode, ran.stderr) == (143, "costroll: stopped by SIGTERM; snapshot 1 is published\n")
    assert costroll("verify", "--warehouse", tmp_path / "warehouse").code == 0


def test_under_nohup_a_hangup_is_ignored(tmp_path: Path) -> None:
    patch = "\n".join(
        (
            "signal.signal(signal.SIGHUP, signal.SIG_IGN)",
            "from etl import pipeline",
            "before = pipeline.Rater.rate",
            "def slow(*arguments):",
            "    os.kill(os.getpid(), signal.SIGHUP)",
            "    return before(*arguments)",
            "pipeline.Rater.rate = slow",
        )
    )
    assert driven(tmp_path, patch).returncode == 0


@pytest.mark.slow
def test_a_real_run_over_a_real_log_stops_in_time_at_any_moment(tmp_path: Path) -> None:
    logs = tmp_path / "log.jsonl"
    generate = [sys.executable, str(CHECKOUT / "bench/generate_logs.py"), "600_000", str(logs), "--days", "9"]
    subprocess.run(generate, check=True, capture_output=True)
    for after in (0.7, 1.2, 1.7):
        warehouse = tmp_path / f"stopped_after_{after}"
        command = [sys.executable, "-m", "etl", "run", str(logs), "--warehouse", str(warehouse)]
        process = subprocess.Popen(
            command,
            env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(after)
        process.send_signal(signal.SIGTERM)
        at = time.monotonic()
        _, err = process.communicate(timeout=30)
        assert time.monotonic() - at < 2
        assert process.returncode in (143, -15)  # -15: it was still importing
        assert "Traceback" not in err
        # A quick machine may have published by then, and says so.
        assert (warehouse / "current").is_symlink() == ("snapshot 1 is published" in err)


# -- streams


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cron")
    write_jsonl(folder / "logs/a.jsonl", [chat("a")])
    assert costroll("run", folder / "logs", "--warehouse", folder / "w").code == 0
    return folder / "w"


def in_shell(warehouse: Path, script: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A line of a crontab; `$COSTROLL` is the command and `$LOGS` the folder of logs."""
    added = {
        "COSTROLL": f"{sys.executable} -m etl",
        "LOGS": str(warehouse.parent / "logs"),
        "PYTHONPATH": str(CHECKOUT),
        "COSTROLL_WAREHOUSE": str(warehouse),
    }
    return subprocess.run(
        ["bash", "-c", script], env=os.environ | added | env, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_reader_that_leaves_early_ends_it_with_141_and_no_words(warehouse: Path) -> None:
    ran = in_shell(warehouse, '$COSTROLL report costs | true; echo "${PIPESTATUS[0]}"')
    assert (ran.stdout, ran.stderr) == ("141\n", "")


def test_a_full_disk_under_stdout_is_told_apart_from_one_under_the_warehouse(warehouse: Path) -> None:
    ran = in_shell(warehouse, "$COSTROLL report > /dev/full")
    assert ran.returncode == 5
    assert ran.stderr == (
        "costroll: standard output: No space left on device; some of the result is lost; nothing was published\n"
    )


def test_a_run_whose_summary_cannot_be_written_says_that_it_is_published(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "logs/a.jsonl", [chat("a")])
    ran = in_shell(tmp_path / "new", "$COSTROLL run $LOGS > /dev/full")
    assert ran.returncode == 5
    assert ran.stderr.endswith("some of the result is lost; snapshot 1 is published\n")


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("$COSTROLL report >&-", 0),
        ("$COSTROLL run $LOGS >&-", 0),
        ("$COSTROLL run $LOGS <&- >&- 2>&-", 0),
        ("$COSTROLL nonsense 2>&-", 2),
        ("$COSTROLL nonsense 2>/dev/full", 2),
        ("$COSTROLL run /nowhere 2>/dev/full", 2),
    ],
)
def test_streams_that_are_closed_or_full_do_not_change_the_exit_status(warehouse: Path, script: str, code: int) -> None:
    ran = in_shell(warehouse, script)
    assert (ran.returncode, "Traceback" in ran.stderr, "Exception" in ran.stderr) == (code, False, False)


def test_a_file_never_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    # A file opened as descriptor 1 would get what is printed.
    write_jsonl(tmp_path / "logs/a.jsonl", [chat("a")])
    assert in_shell(tmp_path / "new", "$COSTROLL run $LOGS >&- 2>&-").returncode == 0
    assert costroll("verify", "--warehouse", tmp_path / "new").code == 0
    assert (tmp_path / "new/.lock").read_text().startswith("pid ")
    assert "published" not in (tmp_path / "new/.lock").read_text()


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
    ids=str,
)
def test_names_that_the_encoding_lacks_end_no_run(tmp_path: Path, env: dict[str, str]) -> None:
    write_jsonl(tmp_path / "logs/é-日.jsonl", [chat("a"), "{", chat("b", model="日本")])
    ran = costroll_process("run", tmp_path / "logs", "--warehouse", tmp_path / "w", env=env, text=False)
    assert (ran.returncode, b"invalid_json: 1 record is set aside" in ran.stderr) == (3, True)
    told = costroll_process("report", "--json", "--warehouse", tmp_path / "w", env=env, text=False)
    assert "日本" in {
        row["model"] for row in json.loads(told.stdout.decode("latin-1" if b"\xe9" in told.stdout else "utf-8"))
    }


def test_without_home_terminal_or_path_it_runs_as_ever(tmp_path: Path) -> None:
    logs = write_jsonl(tmp_path / "a.jsonl", [chat("a")])
    ran = subprocess.run(
        [sys.executable, "-m", "etl", "run", str(logs), "--warehouse", str(tmp_path / "w")],
        env={"PYTHONPATH": str(CHECKOUT)},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (tmp_path / "w/costroll.duckdb").exists()


def test_with_json_logs_every_line_of_stderr_is_an_object(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "logs/a.jsonl", [chat("a"), "{"])
    (tmp_path / "logs/b.json.gz").write_bytes(b"\x1f\x8b nothing")
    (tmp_path / "logs/notes.txt").write_text("")
    ran = costroll_process("--log-format", "json", "run", tmp_path / "logs", "--warehouse", tmp_path / "w")
    told = [json.loads(line) for line in ran.stderr.splitlines()]
    assert (ran.returncode, [one["event"] for one in told]) == (
        3,
        ["set_aside", "refused", "other_files", "attention"],
    )
    assert [one["level"] for one in told] == ["warning", "warning", "info", "warning"]
    assert told[0]["reasons"] == {"rejected/invalid_json": 1}

    for words in (["nonsense"], ["report", "--bad"], ["run", "/nowhere"]):
        ran = costroll_process("--log-format=json", *words)
        (line,) = ran.stderr.splitlines()
        one = json.loads(line)
        assert (ran.returncode, one["level"], one["event"]) == (2, "error", "usage")
        assert one["time"].endswith("Z")


# -- two runs at once


def test_a_second_run_ends_with_4_and_says_who_holds_the_lock_since_when(tmp_path: Path) -> None:
    logs = write_jsonl(tmp_path / "a.jsonl", [chat("a")])
    (tmp_path / "w").mkdir()
    with durable.lock(tmp_path / "w/.lock"):
        for wait, said in (("0", ""), ("1", ", also after 1 s")):
            ran = costroll("run", logs, "--warehouse", tmp_path / "w", "--wait", wait)
            assert (ran.code, ran.out) == (4, "")
            waiting = f"; waiting up to {wait} s for its end"
            assert [waiting in line for line in ran.err.splitlines()] == ([False] if wait == "0" else [True, False])
            assert f"being written by another run (pid {os.getpid()} on " in ran.err
            assert f"Z){said}; wait for it to end, then run again" in ran.err


def test_a_run_that_waits_starts_when_the_other_has_ended(tmp_path: Path) -> None:
    logs = write_jsonl(tmp_path / "a.jsonl", [chat("a")])
    (tmp_path / "w").mkdir()
    is_held, may_end = threading.Event(), threading.Event()

    def other() -> None:
        with durable.lock(tmp_path / "w/.lock"):
            is_held.set()
            may_end.wait(30)

    thread = threading.Thread(target=other)
    thread.start()
    is_held.wait(30)
    threading.Timer(0.3, may_end.set).start()
    assert costroll("run", logs, "--warehouse", tmp_path / "w", "--wait", "60", "--quiet") == Ran(0, "", "")
    thread.join()
