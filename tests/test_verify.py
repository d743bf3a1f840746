"""`costroll verify` finds what was changed, lost, added or never right, and names the file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from etl.commands.options import Settings
from etl.commands.verify import command
from etl.errors import IntegrityError, UsageError
from etl.manifest import Snapshot, encode
from etl.verify import VerifyReport, verify
from etl.warehouse import Warehouse
from tests.small_warehouse import (
    FRIDAY_ROLLUP,
    SATURDAY,
    SATURDAY_ROLLUP,
    fill_first_night,
    publish_first_night,
    publish_late_record,
    rollup,
    table,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A warehouse of two snapshots."""
    publish_first_night(tmp_path / "warehouse")
    publish_late_record(tmp_path / "warehouse")
    return tmp_path / "warehouse"


def broken(report: VerifyReport) -> set[str]:
    """The names of the checks that do not hold."""
    return {check.name for check in report.checks if not check.holds}


def flip_bit(path: Path, at: int) -> None:
    """Change one bit, as a failing disk does."""
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def forge(root: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the current manifest and give it a matching hash of its own."""
    snapshot = Warehouse(root).current()
    assert snapshot is not None
    members = json.loads(json.dumps(snapshot.manifest))
    change(members)
    (snapshot.path / "MANIFEST.json").write_bytes(encode(members))


def forge_rollup(root: Path, rows: list[dict[str, Any]]) -> None:
    """Replace Saturday's rollup, and everything the manifest says of it, as a careful forger would."""
    from etl import audit, durable
    from etl.manifest import totals_of

    path = root / "current/rollups/2026-11-21.parquet"
    pq.write_table(table("rollups", rows), path)
    found = audit.measure(Path(os.path.realpath(root / "current")), ["rollups/2026-11-21.parquet"])

    def change(members: dict[str, Any]) -> None:
        entry = next(entry for entry in members["files"] if entry["path"] == "rollups/2026-11-21.parquet")
        entry |= {"rows": len(rows), "sums": found["rollups/2026-11-21.parquet"].sums}
        entry |= {"bytes": path.stat().st_size, "sha256": durable.sha256_of(path)}
        members["totals"] |= totals_of(members["files"])

    forge(root, change)


LATE_ROLLUP = [
    rollup(SATURDAY, "input", "uncached", 15),
    rollup(SATURDAY, "output", "not_applicable", 4),
    rollup(SATURDAY, "requests", "uncached", 2),
]


def test_an_untouched_warehouse_is_proven(root: Path) -> None:
    report = verify(Warehouse(root))

    assert report.is_proven, report.failures
    assert report.snapshot == 2
    assert len(report.checks) == 9


def test_the_forger_of_these_tests_leaves_no_trace_but_the_wrong_rows(root: Path) -> None:
    forge_rollup(root, LATE_ROLLUP)

    assert verify(Warehouse(root)).failures == []


@pytest.mark.parametrize("at", [10, 200, -100, -6])
def test_a_flipped_bit_is_found(root: Path, at: int) -> None:
    flip_bit(root / "current/rollups/2026-11-20.parquet", at)
    report = verify(Warehouse(root))

    assert "files" in broken(report)
    assert any(line.startswith("rollups/2026-11-20.parquet: its bytes were changed") for line in report.failures)


def test_a_deleted_file_is_found(root: Path) -> None:
    (root / "current/usage/2026-11-20/00000001.parquet").unlink()
    report = verify(Warehouse(root))

    assert "usage/2026-11-20/00000001.parquet: is missing" in report.failures
    assert {"files", "usage = rollups"} <= broken(report)


def test_a_truncated_file_is_found(root: Path) -> None:
    path = root / "current/usage/2026-11-20/00000001.parquet"
    path.write_bytes(path.read_bytes()[:-1])

    assert {"files", "rows and sums"} <= broken(verify(Warehouse(root)))


def test_a_file_that_the_manifest_does_not_name_is_found(root: Path) -> None:
    pq.write_table(table("rollups", FRIDAY_ROLLUP), root / "current/rollups/2026-11-20-again.parquet")
    report = verify(Warehouse(root))

    assert broken(report) == {"no other files"}
    assert report.failures == ["rollups/2026-11-20-again.parquet: is not in the manifest"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"cost_usd": Decimal("0.000037500001")}, "cost_usd is not quantity * rate_usd_per_million * 0.000001"),
        ({"cost_usd": None}, "priced, yet without a cost"),
        ({"rate_usd_per_million": Decimal("2.500001")}, "cost_usd is not quantity * rate_usd_per_million * 0.000001"),
        ({"rate_usd_per_million": None}, "cost_usd is not quantity * rate_usd_per_million * 0.000001"),
        ({"price_status": "unpriced_unknown_model"}, "unpriced, yet with a rate or a cost"),
        ({"price_status": "not_charged"}, "not charged, yet with a cost"),
        ({"price_status": "free"}, "an unknown price_status"),
        ({"price_status": None}, "an unknown price_status"),
        ({"day": None}, "another day than its file"),
    ],
)
def test_a_carefully_edited_price_is_found(root: Path, changes: dict[str, Any], complaint: str) -> None:
    forge_rollup(root, [LATE_ROLLUP[0] | changes, *LATE_ROLLUP[1:]])
    report = verify(Warehouse(root))

    assert broken(report) == {"prices"}
    assert f"rollups/2026-11-21.parquet: 1 rows have {complaint}" in report.failures


def test_a_carefully_edited_quantity_is_found(root: Path) -> None:
    forge_rollup(root, [rollup(SATURDAY, "input", "uncached", 14), *LATE_ROLLUP[1:]])
    report = verify(Warehouse(root))

    assert broken(report) == {"usage = rollups"}
    assert report.failures == ["2026-11-21: input/uncached is 15 in usage and 14 in rollups"]


def test_a_clumsily_edited_rollup_is_found_in_every_way(root: Path) -> None:
    path = root / "current/rollups/2026-11-21.parquet"
    pq.write_table(table("rollups", [SATURDAY_ROLLUP[0] | {"cost_usd": Decimal(1)}]), path)

    assert broken(verify(Warehouse(root))) == {"files", "rows and sums", "usage = rollups", "prices"}


def test_a_sum_that_the_manifest_has_wrong_is_found(root: Path) -> None:
    def change(members: dict[str, Any]) -> None:
        members["totals"]["cost_usd"] = "0.003327500001"

    forge(root, change)

    assert verify(Warehouse(root)).failures == [
        "MANIFEST.json: total cost_usd is 0.003327500001 instead of 0.003327500000"
    ]


def test_an_edited_manifest_is_found(root: Path) -> None:
    flip_bit(root / "current/MANIFEST.json", 40)
    report = verify(Warehouse(root))

    assert broken(report) == {"manifest"}
    assert report.snapshot is None


def test_a_rewritten_parent_is_found(root: Path) -> None:
    first = root / "snapshots/00000001"
    members = json.loads((first / "MANIFEST.json").read_text())
    (first / "MANIFEST.json").write_bytes(encode({**members, "host": "elsewhere"}))
    report = verify(Warehouse(root))

    assert broken(report) == {"chain"}
    assert report.failures == ["snapshots/00000001/MANIFEST.json: is not the parent that snapshot 2 names"]


def test_parents_that_were_removed_are_not_missed(root: Path) -> None:
    from etl import durable

    durable.remove_tree(root / "snapshots/00000001")

    assert verify(Warehouse(root)).is_proven


def test_a_run_whose_records_do_not_add_up_is_found(root: Path) -> None:
    def change(members: dict[str, Any]) -> None:
        members["closure"] = {"read": 2, "accepted": 1, "duplicate": 0, "conflict": 0, "excluded": 0, "rejected": 0}

    forge(root, change)

    assert broken(verify(Warehouse(root))) == {"records add up"}


def test_an_input_whose_records_do_not_add_up_is_found(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    with warehouse.lock():
        builder = warehouse.begin(None)
        facts = fill_first_night(builder)
        row = {
            "input_name": "lost.jsonl",
            "read": 5,
            "accepted": 1,
            "duplicate": 0,
            "conflict": 0,
            "excluded": 0,
            "rejected": 3,
        }
        builder.write("inputs/lost.parquet", table("inputs", [row]))
        refused = {"input_name": "refused.jsonl", "refusal": "not_text"}
        builder.write("inputs/refused.parquet", table("inputs", [refused]))
        builder.commit(facts)

    assert verify(warehouse).failures == ["lost.jsonl: its fates do not add up to what was read"]


def test_without_a_warehouse_there_is_nothing_to_verify(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="costroll run"):
        verify(Warehouse(tmp_path / "nowhere"))


def run(root: Path, *arguments: str) -> Result:
    """Run `costroll verify` as the group would."""
    return CliRunner().invoke(command, list(arguments), obj=Settings(root))


def test_the_command_says_proven_last(root: Path) -> None:
    result = run(root)

    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "proven: snapshot 2, 9 of 9 checks hold"


def test_the_command_says_broken_last_and_ends_with_an_integrity_error(root: Path) -> None:
    (root / "current/rollups/2026-11-20.parquet").unlink()
    result = run(root)

    assert isinstance(result.exception, IntegrityError)
    assert result.exception.exit_code == 6
    assert result.stdout.splitlines()[-1].startswith("broken: snapshot 2, ")
    assert "rollups/2026-11-20.parquet: is missing" in result.stdout


def test_the_command_reports_as_json(root: Path) -> None:
    report = json.loads(run(root, "--json").stdout)

    assert report["proven"] is True
    assert [check["name"] for check in report["checks"]][:2] == ["manifest", "chain"]


def test_a_report_is_proven_only_when_every_check_holds(root: Path) -> None:
    report = verify(Warehouse(root))
    spoiled = replace(report.checks[3], failures=["x: is not in the manifest"])

    assert not replace(report, checks=[*report.checks[:3], spoiled, *report.checks[4:]]).is_proven


def test_verify_changes_nothing(root: Path) -> None:
    def state() -> list[tuple[str, int]]:
        return sorted((str(path), path.lstat().st_mtime_ns) for path in root.rglob("*"))

    before = state()
    verify(Warehouse(root))

    assert state() == before


def test_a_snapshot_that_is_not_its_folders_is_found(root: Path) -> None:
    snapshot = Warehouse(root).current()
    assert isinstance(snapshot, Snapshot)
    (snapshot.path / "MANIFEST.json").write_bytes(encode({**snapshot.manifest, "snapshot": 7}))

    assert broken(verify(Warehouse(root))) == {"manifest"}
