"""The life of snapshots: listed, gone back to, and what stays the same through all of it.

Two nights, rated by the shipped card at 0.15 and 0.60 USD per million tokens of gpt-4o-mini:

| night | records                                        | cost of all days                     |
|-------|------------------------------------------------|--------------------------------------|
| 1     | june-1: 1,000 in, 100 out on 2026-06-01        | 0.00015 + 0.00006 = 0.00021          |
| 2     | june-2: 2,000 in, 100 out on 2026-06-02        | 0.00021 + 0.00030 + 0.00006 = 0.00057 |
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from etl.collecting import collect
from etl.errors import LockHeldError
from etl.settings_file import RetentionSection
from etl.warehouse import Warehouse
from tests.nights import NOON, Ran, chat, costroll, rows_of, write_jsonl

DAY = 24 * 60 * 60


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """After two nights and after three, a folder with the warehouse and its logs."""
    two, three = (tmp_path_factory.mktemp("nights") / "work" for _ in range(2))
    two.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COSTROLL_WAREHOUSE", "warehouse")
        patch.chdir(two)
        night("1", chat("june-1"))
        night("2", chat("june-2", NOON + DAY, prompt=2000))
        copy(two, three)
        patch.chdir(three)
        night("3", chat("late", prompt=500))  # writes the rollup of 2026-06-01 anew
    return {2: two, 3: three}


def copy(source: Path, target: Path) -> Path:
    """Copy a folder; what is one file under two names is so in the copy."""
    copied: dict[int, str] = {}

    def copy_once(one: str, other: str) -> None:
        inode = os.stat(one).st_ino
        if inode in copied:
            os.link(copied[inode], other)
        else:
            copied[inode] = shutil.copy2(one, other)

    shutil.copytree(source, target, symlinks=True, copy_function=copy_once)
    return target


@pytest.fixture
def nights(tmp_path: Path, templates: dict[int, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A warehouse after two nights; the current folder holds it and its logs."""
    return enter(copy(templates[2], tmp_path / "work"), monkeypatch)


@pytest.fixture
def three(tmp_path: Path, templates: dict[int, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same after three."""
    return enter(copy(templates[3], tmp_path / "work"), monkeypatch)


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder, with the warehouse in it."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COSTROLL_WAREHOUSE", "warehouse")
    return folder / "warehouse"


def night(name: str, *records: dict[str, Any]) -> Ran:
    """One more file in the folder of logs, and the nightly run."""
    write_jsonl(Path("logs") / f"{name}.jsonl", records)
    return costroll("run", "logs")


def rollup_bytes(warehouse: Path) -> dict[str, str]:
    """The published rollup files by name, as hashes of their bytes."""
    files = sorted((warehouse / "current/rollups").iterdir())
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def listed(*names: str) -> list[tuple[Any, ...]]:
    """What `costroll snapshots --json` says of each snapshot."""
    return [tuple(row[name] for name in names) for row in costroll("snapshots", "--json").said]


def test_snapshots_lists_what_is_kept_and_what_made_it(nights: Path) -> None:
    wanted = ("snapshot", "action", "days_written", "records", "cost_usd", "is_current", "pinned")

    assert listed(*wanted) == [
        (1, "run", 1, 1, "0.000210000000", False, []),
        (2, "run", 1, 2, "0.000570000000", True, ["current"]),
    ]
    header, _, first, second = costroll("snapshots").out.splitlines()
    assert header.split() == ["snapshot", "published_at", "action", "days_written", "records", "cost_usd", "pinned"]
    assert first.split()[3:] == ["run", "1", "1", "0.00021"]
    assert second.split()[3:] == ["run", "1", "2", "0.00057", "current"]


def test_a_snapshot_whose_manifest_was_changed_is_listed_as_damaged(nights: Path) -> None:
    manifest = nights / "snapshots/00000001/MANIFEST.json"
    manifest.write_text(manifest.read_text().replace("0.00021", "0.00012"))

    [(number, damage), (_, none)] = listed("snapshot", "damage")
    assert number == 1
    assert "does not match its own hash" in damage
    assert none is None
    assert "DAMAGED" in costroll("snapshots").out


def test_rollback_publishes_the_files_of_the_snapshot_before_under_a_new_number(nights: Path) -> None:
    ran = costroll("rollback")

    assert ran.code == 0
    assert ran.out.splitlines() == [
        "published snapshot 00000003: the files of snapshot 00000001 again",
        "all published days cost 0.00021 USD",
        "1 file was read since then: `costroll run` reads them again",
    ]
    assert (nights / "current").readlink() == Path("snapshots/00000003")
    assert rows_of(nights, "usage", "request_id") == [("june-1",)]
    assert listed("snapshot", "action", "rolled_back_to", "days_written") == [
        (1, "run", None, 1),
        (2, "run", None, 1),
        (3, "rollback", 1, 1),  # 2026-06-02 is gone from it
    ]
    assert costroll("verify").code == 0
    again = nights / "snapshots/00000003/rollups/2026-06-01.parquet"
    assert again.samefile(nights / "snapshots/00000001/rollups/2026-06-01.parquet")


def test_the_night_after_a_rollback_comes_to_the_same_bytes(three: Path) -> None:
    before = rollup_bytes(three)

    costroll("rollback", "1")
    assert rollup_bytes(three) != before
    ran = costroll("run", "logs")

    assert ran.closure == "read 2 = accepted 2 + duplicate 0 + conflict 0 + excluded 0 + rejected 0"
    assert rollup_bytes(three) == before
    assert costroll("verify").code == 0


def test_a_second_rollback_brings_back_what_the_first_undid(nights: Path) -> None:
    before = rollup_bytes(nights)

    costroll("rollback")
    costroll("rollback")

    assert rollup_bytes(nights) == before
    assert listed("rolled_back_to") == [(None,), (None,), (1,), (2,)]


def test_a_rollback_goes_to_any_snapshot_that_is_kept_and_to_no_other(nights: Path) -> None:
    for number, text in (
        ("2", "snapshot 2 is the published one already"),
        ("3", "there is no snapshot 3 to go back to; kept before the published one: 1"),
    ):
        ran = costroll("rollback", number)
        assert (ran.code, ran.err) == (2, f"costroll: {text}\n")
    assert costroll("rollback", "0").code == 2
    assert (nights / "current").readlink() == Path("snapshots/00000002")


def test_the_first_snapshot_has_none_to_go_back_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COSTROLL_WAREHOUSE", raising=False)

    ran = costroll("rollback")
    assert ran.code == 2
    assert "nothing is published" in ran.err
    assert not Path("warehouse").exists()

    night("1", chat("june-1"))
    ran = costroll("rollback")
    assert (ran.code, ran.err) == (2, "costroll: snapshot 1 is the only one kept: there is none to go back to\n")


def test_a_damaged_file_does_not_come_back(three: Path) -> None:
    old = three / "snapshots/00000002/rollups/2026-06-01.parquet"
    data = bytearray(old.read_bytes())
    data[200] ^= 1
    old.write_bytes(data)

    ran = costroll("rollback")

    assert ran.code == 6
    assert "rollups/2026-06-01.parquet: its bytes were changed (SHA-256 differs); nothing was published" in ran.err
    assert (three / "current").readlink() == Path("snapshots/00000003")


def test_rollback_builds_the_analysts_database_again(nights: Path) -> None:
    import duckdb

    costroll("rollback", with_database=True)

    with duckdb.connect(str(nights / "costroll.duckdb"), read_only=True) as con:
        assert con.execute("select distinct day::varchar from rollups").fetchall() == [("2026-06-01",)]


def test_status_tells_the_room_that_only_old_snapshots_take(three: Path) -> None:
    own = [three / f"snapshots/{number:08d}/MANIFEST.json" for number in (1, 2)]
    own.append(
        three / "snapshots/00000001/rollups/2026-06-01.parquet"
    )  # one file, which snapshot 2 shares and 3 has not

    said = costroll("status", "--json").said

    assert said["snapshots_kept"] == 3
    assert said["old_snapshots_bytes"] == sum(file.stat().st_size for file in own)
    assert said["bytes_per_million_records"] is None  # of three records it would say nothing
    assert "per million" not in costroll("status").out
    assert f"older kept   2 snapshots, {said['old_snapshots_bytes']:,} bytes" in costroll("status").out


def test_rolling_back_does_not_undo_the_close_of_a_month(nights: Path) -> None:
    costroll("close", "2026-06")

    ran = costroll("rollback")
    assert ran.code == 2
    assert ran.err == (
        "costroll: snapshot 2 cannot be published again: "
        "2026-06 was closed since (`costroll reopen 2026-06 --reason TEXT` first)\n"
    )
    assert (nights / "current").readlink() == Path("snapshots/00000003")

    costroll("reopen", "2026-06", "--reason", "a wrong file was read")
    assert costroll("rollback", "1").code == 0
    assert rows_of(nights, "usage", "request_id") == [("june-1",)]
    assert costroll("verify").code == 0


def test_rolling_back_does_not_undo_a_reopening(nights: Path) -> None:
    costroll("close", "2026-06")
    costroll("reopen", "2026-06", "--reason", "a wrong file was read")

    ran = costroll("rollback")
    assert ran.code == 2
    assert "snapshot 3 cannot be published again: 2026-06 was closed then and is open now" in ran.err


def test_what_was_read_after_a_close_can_be_undone(nights: Path) -> None:
    costroll("close", "2026-06")
    before = rollup_bytes(nights)
    night("3", chat("late", prompt=500))  # booked as a correction in 2026-07

    assert costroll("rollback").code == 0
    assert rollup_bytes(nights) == before
    assert "2026-06" in Warehouse(nights).snapshot(5).manifest["closed"]
    assert costroll("verify").code == 0


# -- gc


def keep(snapshots: int, hours: int = 0) -> None:
    """Write the retention into the warehouse's settings."""
    Path("warehouse/costroll.toml").write_text(f"[retention]\nsnapshots = {snapshots}\nhours = {hours}\n")


def test_gc_keeps_everything_that_is_young(three: Path) -> None:
    keep(snapshots=1, hours=48)

    assert costroll("gc").out == "no snapshot to remove\nkept: 1 to 3\n"
    assert len(listed("snapshot")) == 3


def test_gc_removes_what_is_beyond_both_limits_and_says_what_came_free(three: Path) -> None:
    keep(snapshots=2)
    # Snapshot 2 shares every other file of snapshot 1, the rollup of 2026-06-01 among them.
    own = (three / "snapshots/00000001/MANIFEST.json").stat().st_size

    planned = costroll("gc", "--dry-run")
    assert planned.out == f"would remove 1 snapshot: 1\n{own:,} bytes would come free\nkept: 2 to 3\n"
    assert Warehouse(three).numbers() == [1, 2, 3]

    assert costroll("gc").out == f"removed 1 snapshot: 1\n{own:,} bytes came free\nkept: 2 to 3\n"
    assert Warehouse(three).numbers() == [2, 3]
    assert costroll("gc").out == "no snapshot to remove\nkept: 2 to 3\n"


def test_gc_counts_a_shared_file_when_its_last_name_goes(three: Path) -> None:
    keep(snapshots=1)
    gone = [three / f"snapshots/{number:08d}/MANIFEST.json" for number in (1, 2)]
    gone.append(three / "snapshots/00000001/rollups/2026-06-01.parquet")  # the same file in both, and in no other

    freed = sum(path.stat().st_size for path in gone)
    assert costroll("gc", "--json").said == {
        "dry_run": False,
        "expired_days": [],
        "removed": [1, 2],
        "freed_bytes": freed,
        "kept": [3],
        "pinned": {"3": ["current"]},
    }
    assert costroll("status", "--json").said["old_snapshots_bytes"] == 0


def test_the_chain_is_proven_across_what_gc_removed(three: Path) -> None:
    keep(snapshots=1)
    costroll("rollback", "1")
    shutil.rmtree(three / "snapshots/00000002")

    assert "ok      chain: 3 manifests" in costroll("verify").out
    costroll("gc")
    night("4", chat("june-4"))
    assert "ok      chain: 2 manifests" in costroll("verify").out
    assert [row["days_written"] for row in costroll("snapshots", "--json").said] == [2, 2]


def test_the_close_of_a_month_is_pinned(nights: Path) -> None:
    costroll("close", "2026-06")
    night("3", chat("late", prompt=500))
    night("4", chat("june-4"))
    keep(snapshots=1)

    assert listed("snapshot", "action", "pinned")[2:4] == [(3, "close", ["close of 2026-06"]), (4, "run", [])]
    assert costroll("gc").out.splitlines()[0] == "removed 3 snapshots: 1 to 2, 4"
    assert Warehouse(nights).numbers() == [3, 5]
    assert costroll("verify", "--all").code == 0


@pytest.mark.parametrize(("microseconds", "removed"), [(-1, []), (0, []), (1, [1])])
def test_the_age_counts_from_the_instant_of_publishing(three: Path, microseconds: int, removed: list[int]) -> None:
    warehouse = Warehouse(three)
    now = warehouse.snapshot(1).published_at + timedelta(hours=48, microseconds=microseconds)

    done = collect(warehouse, RetentionSection(snapshots=1, hours=48), dry_run=True, now=now)

    assert done.removed == removed


def test_a_clock_that_was_set_back_removes_nothing(three: Path) -> None:
    warehouse = Warehouse(three)
    now = warehouse.snapshot(1).published_at - timedelta(days=365)

    assert collect(warehouse, RetentionSection(snapshots=1, hours=0), dry_run=True, now=now).removed == []


def test_a_damaged_snapshot_stays_for_a_person_to_look_at(three: Path) -> None:
    keep(snapshots=1)
    (three / "snapshots/00000001/MANIFEST.json").write_text("{}")

    assert costroll("gc").out.splitlines()[0] == "removed 1 snapshot: 2"


def test_gc_does_not_run_beside_a_night(three: Path) -> None:
    keep(snapshots=1)
    with Warehouse(three).lock():
        ran = costroll("gc")

    assert ran.code == LockHeldError.exit_code
    assert Warehouse(three).numbers() == [1, 2, 3]


class Killed(BaseException):
    """Stands for the signal that no program survives."""


def dying_at(step: int, real: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    """A system call that is never made, as it would be the one with this number among all that are."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if len(calls) == step:
            raise Killed
        calls.append(real.__name__)
        return real(*args, **kwargs)

    return call


def gc_killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run gc until it would make the system call of that number; returns the calls that it made."""
    calls: list[str] = []
    with monkeypatch.context() as patch:
        for name in ("rename", "unlink", "rmdir", "fsync"):
            patch.setattr(os, name, dying_at(step, getattr(os, name), calls))
        try:
            costroll("gc")
        except Killed:
            return calls
    return [*calls, "done"]


def test_gc_killed_at_any_step_leaves_only_whole_snapshots(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(snapshots=1)
    steps = 0
    while True:
        one = copy(three, three.parent / f"copy-{steps}")
        monkeypatch.setenv("COSTROLL_WAREHOUSE", str(one))
        if gc_killed_at(steps, monkeypatch)[-1:] == ["done"]:
            break
        warehouse = Warehouse(one)
        for number in warehouse.numbers():
            snapshot = warehouse.snapshot(number)
            assert all((snapshot.path / entry["path"]).is_file() for entry in snapshot.entries), steps
        current = warehouse.current()
        assert current is not None and current.number == 3
        costroll("gc")
        assert warehouse.numbers() == [3], steps
        assert not list(one.glob(".staging*")), steps
        steps += 1
    assert steps > 20  # two renames, and every file and folder of two snapshots


def test_the_next_night_sweeps_what_a_killed_gc_left(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(snapshots=1)
    assert "rename" in gc_killed_at(8, monkeypatch)
    assert [path.name for path in three.glob(".staging*")] == [".staging-removed-00000001"]

    assert night("4", chat("june-4")).code == 0
    assert not list(three.glob(".staging*"))
    assert costroll("verify", "--all").code == 0


# -- verify


def test_verify_proves_an_older_snapshot_or_all_that_are_kept(three: Path) -> None:
    assert costroll("verify", "--snapshot", "1").out.splitlines()[-1] == "proven: snapshot 1, 9 of 9 checks hold"
    said = costroll("verify", "--all").out.splitlines()
    assert [line for line in said if line.startswith("proven")] == [
        f"proven: snapshot {number}, 9 of 9 checks hold" for number in (1, 2, 3)
    ]
    assert [report["snapshot"] for report in costroll("verify", "--all", "--json").said] == [1, 2, 3]


def test_damage_in_an_older_snapshot_is_found_there_and_only_there(three: Path) -> None:
    old = three / "snapshots/00000002/rollups/2026-06-01.parquet"  # snapshot 1 has the same file
    data = bytearray(old.read_bytes())
    data[200] ^= 1
    old.write_bytes(data)

    assert costroll("verify").code == 0
    ran = costroll("verify", "--all", "--json")
    assert ran.code == 6
    assert [(report["snapshot"], report["proven"]) for report in ran.said] == [(1, False), (2, False), (3, True)]
    assert costroll("verify", "--snapshot", "2").code == 6


def test_verify_names_a_snapshot_that_is_not_there(three: Path) -> None:
    ran = costroll("verify", "--snapshot", "4")
    assert (ran.code, ran.out) == (2, "")
    assert "there is no snapshot 4; `costroll snapshots` lists those that are kept" in ran.err
    assert costroll("verify", "--all", "--snapshot", "1").code == 2
