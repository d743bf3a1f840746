"""The warehouse's promises: one rename publishes, a fault leaves the old snapshot, the next run heals."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from etl import analyst, durable
from etl.errors import IntegrityError, LockHeldError, StorageError, UsageError
from etl.manifest import FORMAT_VERSION, encode
from etl.warehouse import Warehouse
from tests.small_warehouse import (
    FRIDAY,
    FRIDAY_ROLLUP,
    FRIDAY_USAGE,
    SATURDAY,
    SATURDAY_ROLLUP,
    fill_first_night,
    publish_first_night,
    publish_late_record,
    rollup,
    table,
    usage,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A warehouse of one snapshot, in a folder whose name needs care in SQL and in patterns."""
    folder = tmp_path / "it's [a] day=x *" / "warehouse"
    publish_first_night(folder)
    return folder


def leftovers(root: Path) -> list[str]:
    """What a run left beside the published state."""
    hidden = [path.name for path in root.iterdir() if path.name.startswith(".") and path.name != ".lock"]
    published = (root / "current").readlink().name
    return hidden + [path.name for path in (root / "snapshots").iterdir() if path.name > published]


def test_before_the_first_run_there_is_no_snapshot(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "warehouse")

    assert not warehouse.exists()
    assert warehouse.current() is None
    assert not warehouse.root.exists()


def test_a_commit_publishes_the_files_their_sums_and_the_facts(root: Path) -> None:
    snapshot = Warehouse(root).current()

    assert snapshot is not None
    assert snapshot.number == 1
    assert snapshot.days() == [FRIDAY, SATURDAY]
    assert snapshot.files("rollups", FRIDAY) == [snapshot.path / "rollups/2026-11-20.parquet"]
    assert snapshot.manifest["parent"] is None
    assert snapshot.manifest["closure"]["read"] == 4
    # 0.00325 on Friday and 0.000055 on Saturday
    assert snapshot.manifest["totals"]["cost_usd"] == "0.003305000000"
    friday = next(entry for entry in snapshot.entries if entry["path"] == "rollups/2026-11-20.parquet")
    assert friday["sums"] == {
        "input/uncached": 1000,
        "input/cached": 200,
        "output/not_applicable": 50,
        "requests/cached": 1,
        "requests/uncached": 1,
        "cost_usd": "0.003250000000",
        "list_cost_usd": "0.003250000000",
    }


def test_the_next_snapshot_shares_unchanged_files_with_its_parent(root: Path) -> None:
    first = Warehouse(root).current()
    second = publish_late_record(root)

    assert first is not None
    assert second.manifest["parent"] == {"number": 1, "manifest_sha256": first.manifest_sha256}
    for name in ("rollups/2026-11-20.parquet", "usage/2026-11-21/00000001.parquet", "rejects/00000001.parquet"):
        assert (first.path / name).stat().st_ino == (second.path / name).stat().st_ino
    replaced = "rollups/2026-11-21.parquet"
    assert (first.path / replaced).stat().st_ino != (second.path / replaced).stat().st_ino
    assert pq.read_table(first.path / replaced)["quantity"].to_pylist() == [10, 3, 1]  # the old one is as it was
    assert len(second.files("usage", SATURDAY)) == 2


def test_the_same_rows_give_the_same_bytes(root: Path, tmp_path: Path) -> None:
    again = publish_first_night(tmp_path / "again")
    first = Warehouse(root).current()

    assert first is not None
    assert [entry["sha256"] for entry in first.entries] == [entry["sha256"] for entry in again.entries]


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_modes_do_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        snapshot = publish_first_night(tmp_path / "warehouse")
        analyst.build_database(Warehouse(tmp_path / "warehouse"))
    finally:
        os.umask(before)

    for path in [tmp_path / "warehouse", *(tmp_path / "warehouse").rglob("*")]:
        if path.is_symlink():
            continue
        is_reject = path.suffix == ".parquet" and path.parent.name == "rejects"
        wanted = 0o750 if path.is_dir() else 0o600 if is_reject else 0o640
        if path.name != ".lock":
            assert stat.S_IMODE(path.stat().st_mode) == wanted, path
    assert snapshot.files("rejects")


FAULTS = ["new_file", "hard_link", "write_file", "fsync_dir", "rename", "replace_link"]


@pytest.mark.parametrize("step", FAULTS)
def test_a_full_disk_at_any_step_leaves_the_old_snapshot_and_the_next_run_heals(
    root: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError(f"{step}: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(durable, step, full)
        with pytest.raises(StorageError, match=step):
            publish_late_record(root)
    current = Warehouse(root).current()
    assert current is not None
    assert current.number == 1

    assert publish_late_record(root).number == 2
    assert leftovers(root) == []


DIE = """
import os, sys
from pathlib import Path
from etl import durable
from tests.small_warehouse import publish_late_record
step, at = sys.argv[2], int(sys.argv[3])
real = getattr(os, step)
calls = 0
def dying(*args, **kwargs):
    global calls
    calls += 1
    if calls == at:
        os._exit(77)
    return real(*args, **kwargs)
setattr(os, step, dying)
publish_late_record(Path(sys.argv[1]))
"""
# The second rename is the one that moves `current`: dying right before it leaves a complete snapshot 2 behind.
DEATHS = [
    ("mkdir", 2),
    ("link", 1),
    ("link", 5),
    ("fsync", 2),
    ("fsync", 5),
    ("rename", 1),
    ("symlink", 1),
    ("rename", 2),
]


@pytest.mark.parametrize(("step", "at"), DEATHS)
def test_a_killed_run_leaves_the_old_snapshot_and_the_next_run_sweeps(root: Path, step: str, at: int) -> None:
    died = subprocess.run([sys.executable, "-c", DIE, str(root), step, str(at)], env=os.environ | {"PYTHONPATH": "."})

    assert died.returncode == 77
    current = Warehouse(root).current()
    assert current is not None
    assert current.number == 1
    assert leftovers(root) != []
    assert publish_late_record(root).number == 2
    assert leftovers(root) == []


def test_an_error_after_the_rename_of_the_link_keeps_what_is_published(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = durable.fsync_dir

    def fail_on_root(path: Path) -> None:
        if path == root and (root / "current").readlink().name == "00000002":
            raise StorageError("the last sync failed")
        real(path)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "fsync_dir", fail_on_root)
        with pytest.raises(StorageError, match="last sync"):
            publish_late_record(root)

    current = Warehouse(root).current()
    assert current is not None
    assert current.number == 2


def test_everything_new_is_on_the_disk_before_the_link_moves(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[tuple[str, int | str]] = []
    real_sync, real_rename = durable._sync, os.rename

    def sync(descriptor: int) -> None:
        events.append(("sync", os.fstat(descriptor).st_ino))
        real_sync(descriptor)

    def rename(source: Path, target: Path) -> None:
        events.append(("rename", Path(target).name))
        real_rename(source, target)

    monkeypatch.setattr(durable, "_sync", sync)
    monkeypatch.setattr(os, "rename", rename)
    snapshot = publish_late_record(root)

    at = events.index(("rename", "current"))
    before = {inode for kind, inode in events[:at] if kind == "sync"}
    shared = {path.stat().st_ino for path in (root / "snapshots/00000001").rglob("*.parquet")}
    for path in [root, root / "snapshots", snapshot.path, *snapshot.path.rglob("*")]:
        assert path.stat().st_ino in before | shared, path
    assert events[at + 1 :] == [("sync", root.stat().st_ino)]


def test_a_discarded_snapshot_leaves_nothing(root: Path) -> None:
    warehouse = Warehouse(root)
    with warehouse.lock():
        builder = warehouse.begin(warehouse.current())
        builder.write("usage/2026-11-22/00000002.parquet", table("usage", []))
        builder.discard()

    assert leftovers(root) == []


def commit_second(root: Path, fill: Callable[..., dict[str, object]]) -> None:
    """Publish a second snapshot with what `fill` writes and returns as facts."""
    warehouse = Warehouse(root)
    with warehouse.lock():
        builder = warehouse.begin(warehouse.current())
        builder.commit(fill(builder))


@pytest.mark.parametrize(
    ("expected", "complaint"),
    [
        ({"rows": 4}, "rows is 3 instead of 4"),
        ({"sums": {"cost_usd": "0.000055000001"}}, "cost_usd is 0.000055000000 instead of 0.000055000001"),
        ({"sums": {"input/uncached": 11}}, "input/uncached is 10 instead of 11"),
        ({"sums": {"input/cached": 1}}, "input/cached is 0 instead of 1"),
    ],
)
def test_what_the_disk_does_not_confirm_is_not_published(
    root: Path, expected: dict[str, object], complaint: str
) -> None:
    name = "rollups/2026-11-21.parquet"

    def fill(builder):  # type: ignore[no-untyped-def]
        builder.write(name, table("rollups", SATURDAY_ROLLUP))
        return {"expected": {name: expected}}

    with pytest.raises(IntegrityError, match=complaint):
        commit_second(root, fill)
    assert Warehouse(root).numbers() == [1]
    assert leftovers(root) == []


def test_a_rollup_that_lost_a_token_is_not_published(root: Path) -> None:
    def fill(builder):  # type: ignore[no-untyped-def]
        builder.write(
            "rollups/2026-11-21.parquet",
            table("rollups", [rollup(SATURDAY, "input", "uncached", 9), *SATURDAY_ROLLUP[1:]]),
        )
        return {}

    with pytest.raises(IntegrityError, match=r"2026-11-21: input/uncached is 10 in usage and 9 in rollups"):
        commit_second(root, fill)


def test_usage_without_a_rollup_is_not_published(root: Path) -> None:
    def fill(builder):  # type: ignore[no-untyped-def]
        builder.write("usage/2026-11-21/00000002.parquet", table("usage", [usage(SATURDAY, "d", output_tokens=1)]))
        return {}

    with pytest.raises(IntegrityError, match=r"output/not_applicable is 4 in usage and 3 in rollups"):
        commit_second(root, fill)


def test_records_that_do_not_add_up_are_not_published(root: Path) -> None:
    counts = {"read": 3, "accepted": 1, "duplicate": 0, "conflict": 0, "excluded": 0, "rejected": 1}

    with pytest.raises(IntegrityError, match="does not add up"):
        commit_second(root, lambda _: {"closure": counts})


def test_a_file_with_foreign_columns_is_not_published(root: Path) -> None:
    def fill(builder):  # type: ignore[no-untyped-def]
        builder.write("usage/2026-11-22/00000002.parquet", table("usage", []).drop_columns(["requests"]))
        return {}

    with pytest.raises(IntegrityError, match="requests"):
        commit_second(root, fill)


def test_nothing_is_published_upon_a_parent_that_lost_a_file(root: Path) -> None:
    (root / "current/rollups/2026-11-20.parquet").unlink()

    with pytest.raises(IntegrityError, match=r"rollups/2026-11-20.parquet: is missing"):
        publish_late_record(root)


def test_a_dropped_day_is_gone_and_the_old_snapshot_still_has_it(root: Path) -> None:
    def fill(builder):  # type: ignore[no-untyped-def]
        builder.drop("usage/2026-11-21/00000001.parquet")
        builder.drop("rollups/2026-11-21.parquet")
        return {}

    commit_second(root, fill)
    warehouse = Warehouse(root)
    current = warehouse.current()

    assert current is not None
    assert current.days() == [FRIDAY]
    assert list(current.manifest["days"]) == ["2026-11-20"]
    assert warehouse.snapshot(1).days() == [FRIDAY, SATURDAY]


def test_going_back_publishes_the_old_files_under_a_new_number(root: Path) -> None:
    publish_late_record(root)
    warehouse = Warehouse(root)
    with warehouse.lock():
        builder = warehouse.begin(warehouse.current())
        builder.keep_from(warehouse.snapshot(1))
        third = builder.commit({})

    assert third.number == 3
    assert third.entries == warehouse.snapshot(1).entries
    assert third.manifest["parent"]["number"] == 2


def test_snapshots_above_a_link_moved_by_hand_are_not_swept(root: Path) -> None:
    publish_late_record(root)
    commit_second(root, lambda _: {})
    (root / "current").unlink()
    (root / "current").symlink_to("snapshots/00000001")

    with pytest.raises(IntegrityError, match="snapshots/00000003"):
        publish_late_record(root)
    assert Warehouse(root).numbers() == [1, 2, 3]


def test_a_lost_link_is_told_from_an_empty_warehouse(root: Path) -> None:
    publish_late_record(root)
    (root / "current").unlink()

    with pytest.raises(IntegrityError, match="ln -s snapshots/00000002 current"):
        Warehouse(root).current()


def test_an_edited_manifest_is_refused(root: Path) -> None:
    manifest = root / "current/MANIFEST.json"
    manifest.write_text(manifest.read_text().replace('"input/uncached":1000', '"input/uncached":1001'))

    with pytest.raises(IntegrityError, match="does not match its own hash"):
        Warehouse(root).current()


def test_a_newer_format_is_refused_with_advice(root: Path) -> None:
    snapshot = Warehouse(root).current()
    assert snapshot is not None
    (snapshot.path / "MANIFEST.json").write_bytes(encode({**snapshot.manifest, "format_version": FORMAT_VERSION + 1}))

    with pytest.raises(UsageError, match=r"newer Costroll.*upgrade"):
        Warehouse(root).current()


HOLD = """
import sys
from pathlib import Path
from etl.warehouse import Warehouse
with Warehouse(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_told_who_holds_the_lock(root: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": "."},
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockHeldError, match=rf"pid {holder.pid} on .* since 20\d\d-"), Warehouse(root).lock():
            pass
        holder.communicate("")

    with Warehouse(root).lock():  # free as soon as the holder is gone, whatever the file still says
        pass


def test_begin_outside_the_lock_is_a_bug(root: Path) -> None:
    warehouse = Warehouse(root)

    with pytest.raises(RuntimeError, match="lock"):
        warehouse.begin(warehouse.current())


def test_a_parent_that_is_no_longer_current_is_refused(root: Path) -> None:
    warehouse = Warehouse(root)
    stale = warehouse.current()
    publish_late_record(root)

    with warehouse.lock(), pytest.raises(IntegrityError, match="run again"):
        warehouse.begin(stale)


@pytest.mark.parametrize(
    "name", ["../outside.parquet", "/abs.parquet", "usage/x.parquet", "rollups/tmp.csv", "other/x.parquet", "usage"]
)
def test_a_file_that_no_reader_would_find_is_refused(root: Path, name: str) -> None:
    warehouse = Warehouse(root)
    with warehouse.lock():
        builder = warehouse.begin(warehouse.current())
        with pytest.raises(ValueError, match=r"file|isoformat"):
            builder.new_file(name).__enter__()


@pytest.mark.parametrize(
    ("code", "advice"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "permission denied or read-only")],
)
def test_a_disk_error_names_the_path_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, advice: str
) -> None:
    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(durable, "_sync", fail)
    with pytest.raises(StorageError, match=rf"{tmp_path.name}.*{advice}"):
        durable.write_file(tmp_path / "file", b"bytes")


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    durable.write_file(tmp_path / "file", b"first")

    with pytest.raises(StorageError, match="exists"):
        durable.write_file(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"


def test_where_links_are_impossible_the_file_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cross_device(*_: object) -> None:
        raise OSError(errno.EXDEV, "cross-device link")

    durable.write_file(tmp_path / "source", b"bytes", durable.PRIVATE_MODE)
    monkeypatch.setattr(os, "link", cross_device)
    durable.hard_link(tmp_path / "source", tmp_path / "target")

    assert (tmp_path / "target").read_bytes() == b"bytes"
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o600


def test_plain_patterns_read_the_same_in_every_engine(tmp_path: Path) -> None:
    publish_first_night(tmp_path / "warehouse")
    publish_late_record(tmp_path / "warehouse")
    current = tmp_path / "warehouse/current"
    want = 1000 + 200 + 50 + 2 + 15 + 4 + 2

    assert duckdb.connect().execute(
        "select sum(quantity) from read_parquet(?)", [f"{current}/rollups/*.parquet"]
    ).fetchone() == (want,)
    assert pl.read_parquet(f"{current}/rollups/*.parquet")["quantity"].sum() == want
    assert pd.read_parquet(current / "rollups")["quantity"].sum() == want
    assert sum(pq.read_table(current / "rollups")["quantity"].to_pylist()) == want
    assert duckdb.connect().execute(
        "select count(*) from read_parquet(?)", [f"{current}/usage/*/*.parquet"]
    ).fetchone() == (4,)
    assert pl.read_parquet(f"{current}/usage/*/*.parquet").height == 4


def test_a_polars_writer_can_write_a_new_file_itself(root: Path) -> None:
    def fill(builder):  # type: ignore[no-untyped-def]
        frame = pl.DataFrame(table("usage", [usage(SATURDAY, "d", output_tokens=1)]))
        with builder.new_file("usage/2026-11-21/00000002.parquet") as file:
            frame.write_parquet(file)
        rows = [
            SATURDAY_ROLLUP[0],
            rollup(SATURDAY, "output", "not_applicable", 4),
            rollup(SATURDAY, "requests", "uncached", 2),
        ]
        builder.write("rollups/2026-11-21.parquet", table("rollups", rows))
        return {
            "expected": {"usage/2026-11-21/00000002.parquet": {"rows": 1, "sums": {"output_tokens": 1, "requests": 1}}}
        }

    commit_second(root, fill)

    assert len((Warehouse(root).current() or pytest.fail()).files("usage", SATURDAY)) == 2


def test_the_first_run_can_die_before_its_link_and_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "replace_link", full)
        with pytest.raises(StorageError):
            publish_first_night(tmp_path)
    assert Warehouse(tmp_path).numbers() == [1]
    assert Warehouse(tmp_path).current() is None

    assert publish_first_night(tmp_path).number == 1


def test_the_builder_refuses_expectations_of_files_it_did_not_write(root: Path) -> None:
    with pytest.raises(ValueError, match="not new"):
        commit_second(root, lambda _: {"expected": {"rollups/2026-11-20.parquet": {"rows": 5}}})


def test_the_first_night_has_every_table_it_wrote(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    with warehouse.lock():
        builder = warehouse.begin(None)
        facts = fill_first_night(builder)
        builder.write("rates/rates.parquet", table("rates", []))
        builder.write("rates/aliases.parquet", table("aliases", []))
        builder.write("rates/versions.parquet", table("versions", []))
        snapshot = builder.commit(facts)

    assert [path.name for path in snapshot.files("rates")] == ["rates.parquet"]
    assert [path.name for path in snapshot.files("aliases")] == ["aliases.parquet"]
    assert [path.name for path in snapshot.files("versions")] == ["versions.parquet"]
    assert snapshot.files("statements") == []


def test_a_file_that_is_still_being_written_is_read_back_when_it_is_whole(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    with warehouse.lock():
        builder = warehouse.begin(None)
        builder.write("usage/2026-11-20/00000001.parquet", table("usage", FRIDAY_USAGE))
        with builder.new_file("rollups/2026-11-20.parquet") as file:
            builder.read_back_beside()
            pq.write_table(table("rollups", FRIDAY_ROLLUP), file)
        snapshot = builder.commit({"expected": {"rollups/2026-11-20.parquet": {"sums": {"cost_usd": "0.00325"}}}})
    assert [(entry["path"], entry["rows"]) for entry in snapshot.entries] == [
        ("rollups/2026-11-20.parquet", len(FRIDAY_ROLLUP)), ("usage/2026-11-20/00000001.parquet", 2)
    ]  # fmt: skip


def test_a_file_that_is_read_back_early_is_held_to_what_is_expected_of_it_later(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    for is_wrong in (True, False):
        with warehouse.lock():
            builder = warehouse.begin(warehouse.current())
            builder.write("usage/2026-11-20/00000001.parquet", table("usage", FRIDAY_USAGE))
            builder.read_back_beside()
            builder.write("rollups/2026-11-20.parquet", table("rollups", FRIDAY_ROLLUP))
            expected = {"usage/2026-11-20/00000001.parquet": {"rows": 3 if is_wrong else 2}}
            if is_wrong:
                with pytest.raises(IntegrityError, match="rows is 2 instead of 3"):
                    builder.commit({"expected": expected})
            else:
                snapshot = builder.commit({"expected": expected})
    assert [entry["path"] for entry in snapshot.entries] == [
        "rollups/2026-11-20.parquet", "usage/2026-11-20/00000001.parquet"
    ]  # fmt: skip
