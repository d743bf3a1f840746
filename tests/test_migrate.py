"""A warehouse of an older version: refused until it is migrated, and the same costs afterwards.

format_1.tar.gz was made by version 0.1.0: two nights of gpt-4o-mini at 0.15 and 0.60 USD per million tokens.

| file    | records                                                                                  |
|---------|------------------------------------------------------------------------------------------|
| 1.jsonl | may-a and june-a, 0.00021 USD each; june-x of a model without a rate; a torn line        |
| 2.jsonl | may-late, 2,000 in and 100 out; june-b, 1,000 in and 200 out; june-a with other content  |

Together 0.00042 + (0.00030 + 0.00006) + (0.00015 + 0.00012) = 0.00105 USD.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from etl.manifest import FORMAT_VERSION, encode
from etl.warehouse import Warehouse
from tests.nights import NOON, chat, costroll, rows_of, write_jsonl

OLD = Path(__file__).parent / "format_1.tar.gz"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A warehouse in format 1 of two snapshots, its logs beside it."""
    with tarfile.open(OLD) as archive:
        archive.extractall(tmp_path, filter="tar")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COSTROLL_WAREHOUSE", "warehouse")
    return tmp_path / "warehouse"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


READERS = ("status", "verify", "snapshots", "rollback", "gc", "path", "report", "sql SELECT(1)")


@pytest.mark.parametrize("words", ["run logs", *READERS])
def test_every_command_says_that_an_older_warehouse_is_to_be_migrated(old: Path, words: str) -> None:
    before = contents(old)

    ran = costroll(*words.split())

    assert (ran.code, ran.out) == (2, "")
    assert "written in format 1 by an older Costroll" in ran.err
    assert "run `costroll migrate` once" in ran.err
    assert {name: data for name, data in contents(old).items() if name != ".lock"} == before


def test_migrate_publishes_the_same_rollups_in_the_new_format(old: Path) -> None:
    before = contents(old / "snapshots")
    rollups = contents(old / "current/rollups")

    ran = costroll("migrate")

    assert ran.code == 0
    assert ran.out.splitlines() == [
        "published snapshot 00000003 in format 2: 2 files written anew",
        "every rollup is the same file as before",
    ]
    assert contents(old / "current/rollups") == rollups
    after = contents(old / "snapshots")
    assert {name: after[name] for name in before} == before  # the old snapshots are as they were
    assert rows_of(old, "inputs", "input_name", "accepted", "skipped", "assumed_account_id") == [
        ("logs/1.jsonl", 3, None, None),
        ("logs/2.jsonl", 2, None, None),
    ]
    snapshot = Warehouse(old).current()
    assert snapshot is not None
    assert (snapshot.manifest["action"], snapshot.manifest["migrated_from_format"]) == ("migrate", 1)
    assert snapshot.manifest["days"] == Warehouse(old).snapshot(2).manifest["days"]


def test_a_migrated_warehouse_is_proven_with_all_its_snapshots(old: Path) -> None:
    costroll("migrate")

    proven = [line for line in costroll("verify", "--all").out.splitlines() if line.startswith("proven")]
    assert len(proven) == 3
    assert "chain: 3 manifests" in costroll("verify").out
    assert [
        (row["action"], row["format_version"], row["days_written"], row["cost_usd"])
        for row in costroll("snapshots", "--json").said
    ] == [
        ("run", 1, 2, "0.000420000000"),
        ("run", 1, 2, "0.001050000000"),
        ("migrate", 2, 0, "0.001050000000"),
    ]


def test_nights_go_on_after_the_migration(old: Path) -> None:
    costroll("migrate")

    again = costroll("run", "logs/2.jsonl")
    assert again.closure == "read 0 = accepted 0 + duplicate 0 + conflict 0 + excluded 0 + rejected 0"
    file = write_jsonl(Path("logs/3.jsonl"), [chat("june-a"), chat("june-c", NOON)])
    ran = costroll("run", str(file))

    assert ran.closure == "read 2 = accepted 1 + duplicate 1 + conflict 0 + excluded 0 + rejected 0"
    assert "all published days cost 0.00126 USD" in ran.out  # 0.00105 + 0.00021
    assert costroll("verify").code == 0


def test_rolling_back_to_an_older_format_publishes_it_in_the_new_one(old: Path) -> None:
    costroll("migrate")
    costroll("rollback", "1")

    snapshot = Warehouse(old).current()
    assert snapshot is not None
    assert snapshot.format_version == FORMAT_VERSION
    assert contents(old / "current/rollups") == contents(old / "snapshots/00000001/rollups")
    assert costroll("verify").code == 0
    assert costroll("run", "logs").closure == (
        "read 3 = accepted 2 + duplicate 0 + conflict 1 + excluded 0 + rejected 0"
    )


def test_a_second_migration_does_nothing(old: Path) -> None:
    costroll("migrate")
    ran = costroll("migrate")

    assert (ran.code, ran.out) == (0, f"nothing to do: {old} is in format 2 already\n")
    assert Warehouse(old).numbers() == [1, 2, 3]


def test_a_damaged_warehouse_is_not_migrated(old: Path) -> None:
    rollup = old / "current/rollups/2026-05-30.parquet"
    data = bytearray(rollup.read_bytes())
    data[200] ^= 1
    rollup.write_bytes(data)

    ran = costroll("migrate")

    assert ran.code == 6
    assert (
        "not migrated, because snapshot 2 is not intact: rollups/2026-05-30.parquet: its bytes were changed" in ran.err
    )
    assert (old / "current").readlink() == Path("snapshots/00000002")


@pytest.mark.parametrize("words", ["run logs", "migrate", *READERS])
def test_a_newer_format_is_refused_by_every_command(old: Path, words: str) -> None:
    manifest = old / "current/MANIFEST.json"
    manifest.write_bytes(encode({**json.loads(manifest.read_text()), "format_version": FORMAT_VERSION + 1}))

    ran = costroll(*words.split())

    assert (ran.code, ran.out) == (2, "")
    assert f"written in format {FORMAT_VERSION + 1} by a newer Costroll" in ran.err
    assert "upgrade it with `pip install --upgrade costroll`" in ran.err


def test_there_is_nothing_to_migrate_where_nothing_is_published(tmp_path: Path) -> None:
    ran = costroll("migrate", "--warehouse", tmp_path / "none")

    assert ran.code == 2
    assert "there is nothing to migrate" in ran.err
    assert not (tmp_path / "none").exists()
