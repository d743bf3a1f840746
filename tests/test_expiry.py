"""Usage that expires: the costs stay to the byte, and what comes late for an expired day still counts once.

gpt-4o-mini at 0.15 and 0.60 USD per million tokens; a chat of 1,000 in and 100 out costs 0.00021 USD. May is closed.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from etl.warehouse import Snapshot, Warehouse
from tests.nights import NOON, Ran, chat, costroll, rows_of, write_jsonl

DAY = 24 * 60 * 60
MAY_30 = NOON - 2 * DAY
WAREHOUSE = Path("warehouse")
A_LATE_ONE = chat("late", MAY_30, prompt=3000)  # 0.00045 + 0.00006 = 0.00051


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of its own, with the warehouse in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COSTROLL_WAREHOUSE", str(WAREHOUSE))


def night(name: str, *records: dict[str, Any]) -> Ran:
    """One more file of logs, and the nightly run."""
    return costroll("run", write_jsonl(Path("logs") / f"{name}.jsonl", records))


def keep(usage_days: int, snapshots: int = 14) -> None:
    """Write the retention into the warehouse's settings."""
    text = f"[retention]\nusage_days = {usage_days}\nsnapshots = {snapshots}\nhours = 0\n"
    (WAREHOUSE / "costroll.toml").write_text(text)


def closed_may(*extra: dict[str, Any]) -> None:
    """May 30 and June 1 and 2 with a chat each, and May closed."""
    night("1", chat("may-a", MAY_30), chat("june-a"), chat("june-b", NOON + DAY), *extra)
    costroll("close", "2026-05")


def expired_may(*extra: dict[str, Any]) -> None:
    """The same, and the usage of May expired."""
    closed_may(*extra)
    keep(usage_days=1)
    ran = costroll("gc")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[0] == "usage of 1 day expired (2026-05-30 to 2026-05-30); every cost stays"


def current() -> Snapshot:
    snapshot = Warehouse(WAREHOUSE).current()
    assert snapshot is not None
    return snapshot


def rollups() -> dict[str, str]:
    """The published rollup files by name, as hashes of their bytes."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in current().files("rollups")}


def test_costs_stay_to_the_byte_when_usage_expires() -> None:
    closed_may()
    before = rollups()
    keep(usage_days=1)

    planned = costroll("gc", "--dry-run")
    assert planned.out.splitlines()[0] == "usage of 1 day would expire (2026-05-30 to 2026-05-30); every cost stays"
    assert current().number == 2
    costroll("gc")

    assert (current().number, current().action) == (3, "gc")
    assert rollups() == before
    assert rows_of(WAREHOUSE, "usage", "request_id") == [("june-a",), ("june-b",)]
    [(identity, _)] = rows_of(WAREHOUSE, "identities")
    assert identity == hashlib.sha256(b'[null,"openai","may-a"]').digest()[:16]
    kept = current().manifest["expired"]["2026-05-30"]
    assert kept["records"] == 1
    assert kept["sums"] == {"input_uncached_tokens": 1000, "output_tokens": 100, "requests": 1}
    verified = costroll("verify")
    assert verified.code == 0
    assert "the usage of 1 has expired: against the sums that were kept of it" in verified.out
    assert costroll("gc").out.splitlines()[0] == "no snapshot to remove"


@pytest.mark.parametrize(("usage_days", "expires"), [(1, True), (2, True), (3, False)])
def test_a_day_expires_when_it_is_more_than_so_many_days_before_the_newest(usage_days: int, expires: bool) -> None:
    closed_may()  # May 30 is three days before June 2, the newest
    keep(usage_days)

    expired = costroll("gc", "--dry-run", "--json").said["expired_days"]
    assert expired == (["2026-05-30"] if expires else [])


def test_the_usage_of_an_open_month_never_expires() -> None:
    night("1", chat("may-a", MAY_30), chat("june-a"), chat("june-b", NOON + DAY))
    keep(usage_days=1)

    assert costroll("gc", "--json").said["expired_days"] == []


def test_duplicates_and_conflicts_of_an_expired_day_are_recognised() -> None:
    expired_may()
    before = rollups()

    ran = night("2", chat("may-a", MAY_30), chat("new", NOON + DAY))
    assert ran.closure == "read 2 = accepted 1 + duplicate 1 + conflict 0 + excluded 0 + rejected 0"
    ran = night("3", chat("may-a", MAY_30, prompt=1001))
    assert ran.closure == "read 1 = accepted 0 + duplicate 0 + conflict 1 + excluded 0 + rejected 0"
    assert ran.code == 3
    ran = night("4", chat("may-a", MAY_30 + DAY))  # the same request a day later is found, too
    assert ran.closure == "read 1 = accepted 0 + duplicate 0 + conflict 1 + excluded 0 + rejected 0"

    assert rollups()["2026-05-30.parquet"] == before["2026-05-30.parquet"]
    assert rollups()["2026-06-01.parquet"] == before["2026-06-01.parquet"]
    assert [row[0] for row in rows_of(WAREHOUSE, "rejects", "request_id")] == ["may-a", "may-a"]
    assert costroll("verify").code == 0


def test_a_late_record_of_an_expired_day_is_a_correction_of_its_own_cost() -> None:
    expired_may()

    ran = night("2", A_LATE_ONE)

    assert ran.closure == "read 1 = accepted 1 + duplicate 0 + conflict 0 + excluded 0 + rejected 0"
    booked = pl.read_parquet(current().path / "rollups/2026-05-30.corrections-2026-06.parquet")
    assert booked["cost_usd"].sum() == Decimal("0.00051")
    assert set(booked["charge_class"]) == {"correction"}
    assert booked.filter(meter="input")["quantity"].to_list() == [3000]
    assert costroll("verify").code == 0


def test_late_nights_come_to_the_same_bytes_whether_usage_expired_or_not(tmp_path: Path) -> None:
    late = [
        [A_LATE_ONE, chat("may-a", MAY_30)],
        [chat("later", MAY_30, prompt=5), chat("may-a", MAY_30, prompt=7), chat("x", MAY_30, model="gpt-unheard-of")],
        [chat("later", MAY_30, prompt=5), chat("may-31", MAY_30 + DAY), chat("june-c", NOON)],
    ]

    closed_may()
    counts = [night(f"late-{at}", *records).closure for at, records in enumerate(late)]
    kept = rollups()
    WAREHOUSE.rename("kept")
    expired_may()
    assert [night(f"late-{at}", *records).closure for at, records in enumerate(late)] == counts

    assert rollups() == kept
    assert costroll("verify").code == 0


def test_what_came_late_expires_in_its_turn() -> None:
    expired_may()
    night("2", A_LATE_ONE)
    before = rollups()

    assert costroll("gc", "--json").said["expired_days"] == ["2026-05-30"]

    assert rollups() == before
    assert len(rows_of(WAREHOUSE, "identities")) == 2
    assert current().manifest["expired"]["2026-05-30"]["sums"]["input_uncached_tokens"] == 4000
    again = night("3", A_LATE_ONE, chat("may-a", MAY_30))
    assert again.closure == "read 2 = accepted 0 + duplicate 2 + conflict 0 + excluded 0 + rejected 0"
    assert costroll("verify").code == 0


def bucket(tokens: int) -> dict[str, Any]:
    """The organisation's usage of May 30: ten requests."""
    start = MAY_30 - DAY // 2
    result = {"object": "organization.usage.completions.result", "input_tokens": tokens, "output_tokens": 0}
    result |= {"num_model_requests": 10, "model": "gpt-4o-mini-2024-07-18", "batch": False}
    return {"object": "bucket", "start_time": start, "end_time": start + DAY, "results": [result]}


def test_what_cannot_be_compared_with_an_expired_aggregate_is_rejected_and_not_counted_twice() -> None:
    night("1", bucket(1_000_000), chat("june-a"), chat("june-b", NOON + DAY))
    costroll("close", "2026-05")
    keep(usage_days=1)
    costroll("gc")
    before = rollups()

    again = night("2", bucket(1_000_000))
    assert again.closure == "read 1 = accepted 0 + duplicate 1 + conflict 0 + excluded 0 + rejected 0"
    fuller = night("3", bucket(1_000_001))  # it would replace the counted one, were that still there
    assert fuller.closure == "read 1 = accepted 0 + duplicate 0 + conflict 1 + excluded 0 + rejected 0"
    requests = night("4", chat("late", MAY_30))
    assert requests.closure == "read 1 = accepted 0 + duplicate 0 + conflict 0 + excluded 0 + rejected 1"
    assert "usage_expired" in requests.err
    assert rollups() == before


def test_an_aggregate_of_an_expired_day_of_requests_is_excluded() -> None:
    expired_may()

    ran = night("2", bucket(1_000_000))

    assert ran.closure == "read 1 = accepted 0 + duplicate 0 + conflict 0 + excluded 1 + rejected 0"
    assert costroll("verify").code == 0


def test_readers_of_records_say_that_they_have_expired() -> None:
    expired_may()

    explained = costroll("explain", "--day", "2026-05-30", "--meter", "input").out
    assert "1,000 tokens x 0.15 USD / 1,000,000 = 0.00015 USD" in explained
    assert "the records of this day have expired (`costroll gc`), so the lines behind it cannot be shown" in explained
    assert "counted in" not in explained
    ran = costroll("sql", "select count(*) from charges", "--format", "csv")
    assert ran.out.split() == ["count_star()", "4"]  # two chats, input and output
    assert ran.err == "costroll: 1 day has no records any more in usage and charges; the view expired_days has them\n"
    assert costroll("sql", "select count(*) from rollups").err == ""
    shown = costroll("sql", "select * from expired_days", "--format", "csv").out
    assert shown.splitlines()[1] == "2026-05-30,1,3"
    assert "records      2; those of 1 day have expired" in costroll("status").out


def test_the_bytes_come_free_with_the_last_snapshot_that_holds_the_usage() -> None:
    closed_may()
    usage = current().files("usage")
    size = {path.parent.name: path.stat().st_size for path in usage}
    keep(usage_days=1, snapshots=1)

    said = costroll("gc", "--json").said

    # The close of May would keep the usage of May on the disk for ever, so it is pinned no longer.
    assert said["removed"] == [1, 2]
    assert said["pinned"] == {"3": ["current"]}
    assert said["freed_bytes"] > size["2026-05-30"]
    assert not list(WAREHOUSE.rglob("usage/2026-05-30"))


def test_rolling_back_brings_back_the_usage_that_a_kept_snapshot_holds() -> None:
    expired_may()

    assert costroll("rollback").code == 0

    assert len(rows_of(WAREHOUSE, "usage")) == 3
    assert current().expired_days() == []
    assert costroll("verify").code == 0
