"""A closed month does not move; what comes late for it is booked where a month is open, and every day still adds up.

Each chat is 1,000 tokens in and 100 out of gpt-4o-mini: 1,000 x 0.15 + 100 x 0.60 = 210 millionths = 0.00021 USD.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import closing
from etl.corrections import CELL, MEASURES, booked
from etl.errors import IntegrityError, UsageError
from etl.periods import closed_gaps, figures
from etl.schema import arrow_schema, polars_schema
from etl.verify import verify
from etl.warehouse import Snapshot, Warehouse
from tests.nights import Ran, chat, costroll, costroll_process, rows_of, write_jsonl

CHAT = Decimal("0.00021")
OCTOBER_15 = "rollups/2025-10-15.parquet"
OCTOBER_15_IN_NOVEMBER = "rollups/2025-10-15.corrections-2025-11.parquet"
OCTOBER_15_IN_DECEMBER = "rollups/2025-10-15.corrections-2025-12.parquet"


def at(text: str) -> int:
    """Seconds since 1970 of an instant in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def chats(*days: str, name: str = "") -> list[dict[str, Any]]:
    """A chat at noon of each day; the name makes its id another."""
    return [chat(f"{day}-{name}-{number}", at(f"{day}T12:00")) for number, day in enumerate(days)]


class Nights:
    """A warehouse, and the nights and closes it went through."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.options, self.warehouse = folder, options, folder / "warehouse"
        self.number = 0

    def __call__(self, *arguments: Path | str) -> Ran:
        return costroll(*arguments, "--warehouse", self.warehouse)

    def run(self, records: Sequence[dict[str, Any]], *options: str) -> Ran:
        self.number += 1
        log = write_jsonl(self.folder / f"night-{self.number}.jsonl", records)
        ran = self("run", log, *self.options, *options)
        assert ran.code in (0, 3), ran.err
        return ran

    def close(self, month: str) -> Ran:
        ran = self("close", month)
        assert ran.code == 0, ran.err
        return ran

    def snapshot(self) -> Snapshot:
        found = Warehouse(self.warehouse).current()
        assert found is not None
        return found

    def files(self) -> dict[str, bytes]:
        """The rollup files of the published snapshot."""
        folder = self.snapshot().path
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in (folder / "rollups").iterdir()}

    def rollups(self) -> pl.DataFrame:
        return pl.concat([pl.read_parquet(file) for file in sorted((self.snapshot().path / "rollups").iterdir())])

    def booked(self) -> dict[tuple[str, str, str], Decimal]:
        """What the charged rows cost, by accounting period, class and day."""
        rows = self.rollups().filter(pl.col("price_status") != "not_charged")
        keys = ("accounting_period", "charge_class", "day")
        summed = rows.group_by(keys).agg(pl.col("cost_usd").sum()).sort(keys)
        return {(period, kind, day.isoformat()): cost for period, kind, day, cost in summed.rows()}

    def requires_proof(self) -> None:
        report = verify(Warehouse(self.warehouse))
        assert report.is_proven, report.failures


def net(rollups: pl.DataFrame) -> list[tuple[Any, ...]]:
    """What rollups hold by day and cell, whenever it was booked."""
    summed = rollups.group_by(CELL).agg(pl.col("quantity", "cost_usd").sum()).filter(pl.col("quantity") != 0)
    return summed.sort(CELL).rows()


def inodes(snapshot: Snapshot, table: str) -> dict[str, tuple[int, bytes]]:
    files = snapshot.files(table)
    return {file.relative_to(snapshot.path).as_posix(): (file.stat().st_ino, file.read_bytes()) for file in files}


@pytest.fixture(scope="module")
def first_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a warehouse with two days of October and one of November: 2 + 1 + 1 chats."""
    folder = tmp_path_factory.mktemp("first")
    Nights(folder).run(chats("2025-10-15", "2025-10-15", "2025-10-20", "2025-11-03"))
    return folder


@pytest.fixture
def nights(first_night: Path, tmp_path: Path) -> Nights:
    """That warehouse, for one test to go on with."""
    shutil.copytree(first_night, tmp_path, symlinks=True, dirs_exist_ok=True)
    made = Nights(tmp_path, "--threads", "1")
    made.number = 1
    return made


# -- late records in an open month


def test_a_late_record_writes_its_own_day_and_no_other(nights: Nights) -> None:
    before = {table: inodes(nights.snapshot(), table) for table in ("rollups", "usage")}

    nights.run(chats("2025-10-15", name="late"))

    after = {table: inodes(nights.snapshot(), table) for table in ("rollups", "usage")}
    assert after["rollups"].keys() == before["rollups"].keys()
    touched = {name for name in before["rollups"] if before["rollups"][name] != after["rollups"][name]}
    assert touched == {OCTOBER_15}
    assert {name: after["usage"][name] for name in before["usage"]} == before["usage"]
    assert after["usage"].keys() - before["usage"].keys() == {"usage/2025-10-15/00000002.parquet"}
    assert nights.booked()["2025-10", "usage", "2025-10-15"] == 3 * CHAT


# -- late records of a closed month


def test_a_late_record_of_a_closed_month_is_a_correction_in_the_first_open_one(nights: Nights) -> None:
    nights.close("2025-10")
    frozen = {name: found for name, found in inodes(nights.snapshot(), "rollups").items() if "2025-10" in name}

    said = nights.run(chats("2025-10-15", name="late")).out

    assert "1 record for closed month 2025-10: booked as corrections in 2025-11" in said
    now = inodes(nights.snapshot(), "rollups")
    assert {name: now[name] for name in frozen} == frozen  # the same inodes, the same bytes
    assert now.keys() - frozen.keys() == {OCTOBER_15_IN_NOVEMBER, "rollups/2025-11-03.parquet"}
    assert nights.booked() == {
        ("2025-10", "usage", "2025-10-15"): 2 * CHAT,
        ("2025-10", "usage", "2025-10-20"): CHAT,
        ("2025-11", "correction", "2025-10-15"): CHAT,
        ("2025-11", "usage", "2025-11-03"): CHAT,
    }
    rows = pl.read_parquet(nights.snapshot().path / OCTOBER_15_IN_NOVEMBER)
    assert set(rows.select("meter", "quantity", "cost_usd").rows()) == {
        ("input", 1000, Decimal("0.00015")),
        ("output", 100, Decimal("0.00006")),
        ("requests", 1, Decimal(0)),
    }
    nights.requires_proof()


def test_the_next_late_record_joins_the_correction_while_its_month_is_open(nights: Nights) -> None:
    nights.close("2025-10")
    nights.run(chats("2025-10-15", name="late"))
    nights.run(chats("2025-10-15", name="later"))

    assert nights.booked()["2025-11", "correction", "2025-10-15"] == 2 * CHAT
    assert [name for name in nights.files() if "10-15" in name and "corrections" in name] == [OCTOBER_15_IN_NOVEMBER]


def test_closing_the_next_month_freezes_the_corrections_booked_in_it(nights: Nights) -> None:
    nights.close("2025-10")
    nights.run(chats("2025-10-15", name="late"))
    nights.close("2025-11")
    before = nights.files()

    said = nights.run(chats("2025-10-15", "2025-11-30", name="later")).out

    assert "1 record for closed month 2025-10: booked as corrections in 2025-12" in said
    assert "1 record for closed month 2025-11: booked as corrections in 2025-12" in said
    after = nights.files()
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {
        OCTOBER_15_IN_DECEMBER,
        "rollups/2025-11-30.corrections-2025-12.parquet",  # a day without data when its month was closed
    }
    assert nights.booked()["2025-12", "correction", "2025-10-15"] == CHAT
    assert nights.booked()["2025-12", "correction", "2025-11-30"] == CHAT
    nights.requires_proof()


def test_a_correction_may_be_booked_before_the_closed_months_are_consecutive(nights: Nights) -> None:
    """November is closed while October is open: October's late records stay in October, November's go to December."""
    ran = nights.close("2025-11")
    assert ran.err == "2025-10 has data and is still open\n"

    nights.run(chats("2025-10-15", "2025-11-03", name="late"))

    assert nights.booked() == {
        ("2025-10", "usage", "2025-10-15"): 3 * CHAT,
        ("2025-10", "usage", "2025-10-20"): CHAT,
        ("2025-11", "usage", "2025-11-03"): CHAT,
        ("2025-12", "correction", "2025-11-03"): CHAT,
    }
    nights.requires_proof()


def test_the_month_of_a_record_is_that_of_its_instant_in_utc(nights: Nights) -> None:
    edges = {  # instant -> accounting period, class and UTC day
        "2025-09-30T23:59:59.999999Z": ("2025-09", "usage", "2025-09-30"),
        "2025-10-01T00:00:00.000000Z": ("2025-11", "correction", "2025-10-01"),
        "2025-10-31T23:59:59.999999Z": ("2025-11", "correction", "2025-10-31"),
        "2025-11-01T00:00:00.000000Z": ("2025-11", "usage", "2025-11-01"),
        "2025-10-30T00:30:00+01:00": ("2025-11", "correction", "2025-10-29"),
    }
    nights.close("2025-10")
    plain = {"provider": "openai", "model": "gpt-4o-mini-2024-07-18", "tier": "standard", "input_tokens": 1_000_000}

    nights.run([plain | {"occurred_at": instant, "request_id": instant} for instant in edges])

    booked = nights.booked()
    assert {where: booked.get(where) for where in edges.values()} == dict.fromkeys(edges.values(), Decimal("0.15"))
    nights.requires_proof()


# -- what makes a closed month smaller


def bucket(day: str, tokens: int, requests: int = 10) -> dict[str, Any]:
    """The organisation's usage of a day, of gpt-4o-mini: `tokens` in, nothing out."""
    start = at(f"{day}T00:00")
    result = {"object": "organization.usage.completions.result", "input_tokens": tokens, "output_tokens": 0}
    result |= {"num_model_requests": requests, "model": "gpt-4o-mini-2024-07-18", "batch": False}
    return {"object": "bucket", "start_time": start, "end_time": start + 86_400, "results": [result]}


def test_requests_that_displace_an_aggregate_of_a_closed_month_book_the_exact_difference(tmp_path: Path) -> None:
    """Closed: an aggregate of 1,000,000 tokens in, 0.15 USD. The logs then say 2 chats, 0.00042 USD: 0.14958 less."""
    nights = Nights(tmp_path)
    nights.run([bucket("2025-10-15", 1_000_000)])
    nights.close("2025-10")

    nights.run(chats("2025-10-15", "2025-10-15"))

    rows = pl.read_parquet(nights.snapshot().path / OCTOBER_15_IN_NOVEMBER)
    charged = rows.filter(pl.col("meter") != "requests").select("source_kind", "meter", "quantity", "cost_usd")
    assert set(charged.rows()) == {
        ("aggregate", "input", -1_000_000, Decimal("-0.15")),
        ("request", "input", 2_000, Decimal("0.0003")),
        ("request", "output", 200, Decimal("0.00012")),
    }
    assert set(rows["charge_class"]) == {"correction"}
    assert nights.booked() == {
        ("2025-10", "usage", "2025-10-15"): Decimal("0.15"),
        ("2025-11", "correction", "2025-10-15"): Decimal("-0.14958"),
    }
    nights.requires_proof()
    assert nights.snapshot().manifest["totals"]["cost_usd"] == "0.000420000000"
    report = nights("report", "days", "--format", "csv").out.splitlines()
    assert report[1] == "2025-10-15,2,2000,,200,0.000420000000,"


def test_an_aggregate_that_grows_books_only_what_it_grew_by(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    nights.run([bucket("2025-10-31", 1_000_000)])
    nights.close("2025-10")

    nights.run([bucket("2025-10-31", 1_500_000, requests=12)])

    assert nights.booked()["2025-11", "correction", "2025-10-31"] == Decimal("0.075")
    rows = rows_of(nights.warehouse, "rollups", "accounting_period", "meter", "quantity")
    assert rows == [
        ("2025-10", "input", 1_000_000),
        ("2025-10", "requests", 10),
        ("2025-11", "input", 500_000),
        ("2025-11", "requests", 2),
    ]


def test_a_correction_that_comes_to_nothing_again_leaves_no_file(tmp_path: Path) -> None:
    """An hourly grouping replaces the day's and is replaced back: what is booked is the closed state once more."""
    nights = Nights(tmp_path)
    hour = bucket("2025-10-15", 400_000, requests=4)
    hour["end_time"] = hour["start_time"] + 3600
    nights.run([bucket("2025-10-15", 1_000_000)])
    nights.close("2025-10")
    nights.run([hour], "--replace")
    assert nights.booked()["2025-11", "correction", "2025-10-15"] == Decimal("-0.09")  # 400,000 instead of 1,000,000

    nights.run([bucket("2025-10-15", 1_000_000, requests=10) | {"note": "again"}], "--replace")

    assert nights.files().keys() == {OCTOBER_15}
    nights.requires_proof()


# -- reopening


def test_reopening_folds_open_corrections_back_into_their_day(nights: Nights, tmp_path: Path) -> None:
    late = chats("2025-10-15", name="late")
    nights.close("2025-10")
    nights.run(late)

    ran = nights("reopen", "2025-10", "--reason", "the export was incomplete", "--by", "A. Controller")

    assert ran.code == 0
    assert ran.out.splitlines() == [
        "corrections of 1 day are booked anew",
        "published snapshot 00000004: 2025-10 is open again",
    ]
    never_closed = Nights(tmp_path / "other")
    never_closed.run(chats("2025-10-15", "2025-10-15", "2025-10-20", "2025-11-03"))
    never_closed.run(late)
    assert nights.files() == never_closed.files()
    nights.requires_proof()


def test_corrections_in_a_month_that_stays_closed_do_not_move(nights: Nights) -> None:
    nights.close("2025-10")
    nights.run(chats("2025-10-15", name="late"))
    nights.close("2025-11")
    before = nights.files()

    nights("reopen", "2025-10", "--reason", "a look inside")
    assert nights.files() == before
    nights.run(chats("2025-10-15", name="later"))

    after = nights.files()
    assert {name for name in after if after[name] != before[name]} == {OCTOBER_15}
    assert nights.booked()["2025-10", "usage", "2025-10-15"] == 3 * CHAT  # 4 in all, 1 of them stays in November
    assert nights.booked()["2025-11", "correction", "2025-10-15"] == CHAT
    nights.requires_proof()


def test_what_is_less_than_closed_corrections_is_a_negative_correction_in_its_own_month(tmp_path: Path) -> None:
    """October closed with 1,000,000; 500,000 more in November, closed too; October reopened; 2 chats displace all."""
    nights = Nights(tmp_path)
    nights.run([bucket("2025-10-15", 1_000_000)])
    nights.close("2025-10")
    nights.run([bucket("2025-10-15", 1_500_000, requests=12)])
    nights.close("2025-11")
    nights("reopen", "2025-10", "--reason", "request logs turned up")

    nights.run(chats("2025-10-15", "2025-10-15"))

    assert nights.booked() == {
        ("2025-10", "correction", "2025-10-15"): Decimal("-0.075"),
        ("2025-10", "usage", "2025-10-15"): 2 * CHAT,
        ("2025-11", "correction", "2025-10-15"): Decimal("0.075"),
    }
    nights.requires_proof()


def test_reopening_moves_the_corrections_of_earlier_months_too(nights: Nights) -> None:
    """September's late record was booked in December, as October and November were closed; now October is open."""
    nights.run(chats("2025-09-10"))
    for month in ("2025-09", "2025-10", "2025-11"):
        nights.close(month)
    nights.run(chats("2025-09-10", name="late"))
    assert nights.booked()["2025-12", "correction", "2025-09-10"] == CHAT

    nights("reopen", "2025-10", "--reason", "a late invoice")

    assert nights.booked()["2025-10", "correction", "2025-09-10"] == CHAT
    assert not [name for name in nights.files() if "2025-12" in name]
    nights.requires_proof()


# -- the sums


def test_whatever_was_closed_the_rollups_are_the_days_rated_as_a_whole(nights: Nights, tmp_path: Path) -> None:
    evenings = [
        [*chats("2025-10-15", name="a"), bucket("2025-10-21", 10_000) | {"organization_id": "other"}],
        chats("2025-10-15", "2025-10-21", "2025-12-01", name="b"),
        [bucket("2025-10-21", 20_000, requests=30), *chats("2025-11-03", name="c")],
        chats("2025-10-15", "2025-11-30", name="d"),
    ]
    plain = Nights(tmp_path / "never closed")
    plain.run(chats("2025-10-15", "2025-10-15", "2025-10-20", "2025-11-03"))
    for evening, action in zip(evenings, ("close 2025-10", "close 2025-11", "reopen 2025-10", ""), strict=True):
        if action:
            word, month = action.split()
            nights(word, month, *(["--reason", "test"] if word == "reopen" else []))
        nights.run(evening)
        plain.run(evening)
        assert net(nights.rollups()) == net(plain.rollups())
        nights.requires_proof()


def test_the_same_nights_give_the_same_bytes_in_another_process_with_more_threads(
    nights: Nights, tmp_path: Path
) -> None:
    late = chats("2025-10-15", "2025-10-20", "2025-11-03", name="late")
    nights.close("2025-10")
    nights.run(late)

    other = Nights(tmp_path / "other")
    for arguments in (("run", tmp_path / "night-1.jsonl"), ("close", "2025-10"), ("run", tmp_path / "night-2.jsonl")):
        threads = ["--threads", "4"] if arguments[0] == "run" else []
        done = costroll_process(*arguments, *threads, "--warehouse", other.warehouse)
        assert done.returncode == 0, done.stderr
    assert other.files() == nights.files()


# -- prices that are found later


def test_a_price_found_after_the_close_is_booked_as_a_correction(tmp_path: Path) -> None:
    """1,000 in and 100 out without a price are closed as such. At 2 USD per million in, they are 0.002 USD later."""
    nights = Nights(tmp_path)
    nights.run(chats("2025-10-15") + [one | {"model": "our-own"} for one in chats("2025-10-15", name="own")])
    closed = nights.close("2025-10")
    assert "1,100 units have no price and are not in it" in closed.out
    rates = tmp_path / "rates.csv"
    rates.write_text(
        "provider,model,tier,meter,caching_status,context_over_tokens,effective_from,effective_to,rate_usd_per_million,"
        "status,confidence,source\nopenai,our-own,standard,input,uncached,0,,,2,published,high,our contract\n"
    )
    assert nights("rates", "import", rates, "--apply").code == 0

    nights.run(chats("2025-10-15", name="late"))

    rows = pl.read_parquet(nights.snapshot().path / OCTOBER_15_IN_NOVEMBER)
    own = rows.filter((pl.col("model") == "our-own") & (pl.col("meter") != "requests"))
    assert set(own.select("meter", "price_status", "quantity", "cost_usd").rows()) == {
        ("input", "unpriced_unknown_model", -1000, None),
        ("input", "priced", 1000, Decimal("0.002")),
        ("output", "unpriced_unknown_model", -100, None),
        ("output", "unpriced_no_rate", 100, None),
    }
    assert nights.booked()["2025-11", "correction", "2025-10-15"] == CHAT + Decimal("0.002")
    nights.requires_proof()
    unpriced = nights("report", "unpriced", "--format", "csv").out.splitlines()[1:]
    assert [line.split(",")[0] for line in unpriced] == ["unpriced_no_rate"]  # what healed is not in the list
    assert nights("status", "--json").said["unpriced"] == [
        {"price_status": "unpriced_no_rate", "unit": "tokens", "quantity": 100}
    ]


# -- who reads it by day sees no difference


def test_reports_by_day_a_bill_and_explain_see_the_day_as_a_whole(nights: Nights, tmp_path: Path) -> None:
    nights.close("2025-10")
    nights.run(chats("2025-10-15", name="late"))

    days = nights("report", "days", "--format", "csv").out.splitlines()
    assert days[1] == "2025-10-15,3,3000,,300,0.000630000000,"
    bill = tmp_path / "cost.csv"
    bill.write_text(
        "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id,"
        "organization_id,organization_name\n"
        + "".join(
            f"{at('2025-10-15')},{at('2025-10-16')},2025-10-15,2025-10-16,{amount},usd,"
            f'"gpt-4o-mini-2024-07-18, {kind}",,org,Org\n'
            for amount, kind in (("0.00045", "input"), ("0.00018", "output"))
        )
    )
    assert nights("reconcile", bill, "--tolerance", "0").code == 0
    explained = nights("explain", "--day", "2025-10-15", "--meter", "output", "--json")
    (cell,) = json.loads(explained.out)
    assert (cell["cell"]["quantity"], cell["charged_usd"]) == (300, "0.000180000000")
    assert [(one["accounting_period"], one["charge_class"], one["quantity"]) for one in cell["bookings"]] == [
        ("2025-10", "usage", 200),
        ("2025-11", "correction", 100),
    ]
    query = nights("sql", "SELECT requests, cost_usd FROM daily_costs WHERE day = '2025-10-15'", "--format", "csv")
    assert query.out.splitlines()[1] == "3,0.000630000000"


def test_what_a_correction_takes_back_in_full_is_in_no_view(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    nights.run([bucket("2025-10-15", 1_000_000) | {}])
    nights.close("2025-10")
    nights.run(chats("2025-10-15"))

    kinds = nights("sql", "SELECT DISTINCT source_kind FROM net_rollups", "--format", "csv")
    assert kinds.out.splitlines() == ["source_kind", "request"]


# -- the close itself


def test_a_close_keeps_what_proves_the_month(nights: Nights) -> None:
    parent = nights.snapshot()

    said = nights("close", "2025-10", "--by", "A. Controller", "--note", "ticket 4711", "--json").said

    record = nights.snapshot().manifest["closed"]["2025-10"]
    assert {name: said[name] for name in record} == record
    assert (record["by"], record["note"], record["snapshot"]) == ("A. Controller", "ticket 4711", 2)
    assert record["parent_manifest_sha256"] == parent.manifest_sha256
    assert record["quantities"] == {"input/uncached": 3000, "output/not_applicable": 300, "requests/uncached": 3}
    assert (record["cost_usd"], record["list_cost_usd"]) == ("0.000630000000", "0.000630000000")
    assert (record["records"], record["rows"], record["unpriced_quantity"]) == (3, 6, 0)
    assert record["rate_versions"] == [1]
    assert record["days"] == ["2025-10-15", "2025-10-20"]
    assert len(record["days_without_data"]) == 29
    assert record["reconciliation"] == "unreconciled"
    folder = nights.snapshot().path
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in (OCTOBER_15, "rollups/2025-10-20.parquet")
    ]
    assert record["files_sha256"] == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert said["next_period"] == "2025-11"
    assert nights("close", "--list", "--json").said["closed"] == {"2025-10": record}
    assert nights("status", "--json").said["closed"] == {"2025-10": record}
    assert "closed       2025-10" in nights("status").out


def test_the_close_is_carried_on_and_the_log_forgets_nothing(nights: Nights) -> None:
    nights("close", "2025-10", "--by", "A")
    record = nights.snapshot().manifest["closed"]["2025-10"]
    nights.run(chats("2025-12-01"))
    assert nights.snapshot().manifest["closed"] == {"2025-10": record}

    nights("reopen", "2025-10", "--reason", "wrong export", "--by", "B")
    nights.run(chats("2025-12-02"))
    nights("close", "2025-10", "--note", "again")

    log = nights.snapshot().manifest["period_log"]
    assert [(one["action"], one["month"], one["by"], one["reason"], one["snapshot"]) for one in log] == [
        ("close", "2025-10", "A", None, 2),
        ("reopen", "2025-10", "B", "wrong export", 4),
        ("close", "2025-10", None, "again", 6),
    ]
    assert {one["files_sha256"] for one in log} == {record["files_sha256"]}  # nothing came in between
    listed = nights("close", "--list").out
    assert "wrong export" in listed and listed.count(record["files_sha256"]) == 4


def test_a_dry_run_prints_the_report_and_publishes_nothing(nights: Nights) -> None:
    ran = nights("close", "2025-10", "--dry-run")

    assert ran.out.splitlines()[0] == "close of 2025-10"
    assert ran.out.splitlines()[-1] == "dry run: nothing was published, 2025-10 stays open"
    assert nights.snapshot().number == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["close", "2025-08"], "nothing is booked in 2025-08; the months with data are: 2025-10, 2025-11"),
        (["close", "9999-01"], "9999-01 is not over: it can be closed from 9999-02-01 (UTC) on"),
        (["close", "october"], "Invalid value for '[MONTH]': 'october' does not match"),
        (["close"], "which month? Give one such as 2026-10, or --list"),
        (["reopen", "2025-10", "--reason", "x"], "2025-10 is not closed; closed months: none"),
        (["reopen", "2025-10"], "Missing option '--reason'"),
    ],
)
def test_what_cannot_be_closed_or_reopened_says_why(nights: Nights, arguments: list[str], text: str) -> None:
    ran = nights(*arguments)

    assert ran.code == 2
    assert text in ran.err
    assert nights.snapshot().number == 1


@pytest.mark.parametrize("again", [["close", "2025-10"], ["reopen", "2025-09", "--reason", "a typing error"]])
def test_what_a_killed_close_left_goes_with_the_next_one_though_there_is_nothing_to_do(
    nights: Nights, again: list[str]
) -> None:
    nights("close", "2025-10")
    left = nights.warehouse / ".staging-costroll.duckdb"
    left.write_bytes(b"half a database")

    assert (nights(*again).code, left.exists()) == (2, False)


def test_a_closed_month_cannot_be_closed_again_and_is_not_reopened_without_a_reason(nights: Nights) -> None:
    nights("close", "2025-10", "--by", "A. Controller")

    again = nights("close", "2025-10")
    unexplained = nights("reopen", "2025-10", "--reason", " ")

    since = nights.snapshot().manifest["closed"]["2025-10"]["closed_at"]
    assert (again.code, unexplained.code) == (2, 2)
    assert f"2025-10 is closed since {since} by A. Controller (snapshot 2)" in again.err
    assert "needs a reason" in unexplained.err
    assert nights.snapshot().number == 2


def test_nothing_is_closed_where_nothing_is_published(tmp_path: Path) -> None:
    ran = costroll("close", "2025-10", "--warehouse", tmp_path / "none")

    assert ran.code == 2
    assert "nothing is published" in ran.err
    assert not (tmp_path / "none").exists()


def test_a_month_is_over_with_its_last_microsecond(nights: Nights) -> None:
    last = datetime(2025, 10, 31, 23, 59, 59, 999_999)
    with pytest.raises(UsageError, match="2025-10 is not over"):
        closing.close(nights.warehouse, "2025-10", now=last, dry_run=True)

    first = last + timedelta(microseconds=1)
    assert closing.close(nights.warehouse, "2025-10", now=first, dry_run=True).snapshot is None


def test_a_month_of_corrections_alone_can_be_closed(nights: Nights) -> None:
    nights.close("2025-10")
    nights.close("2025-11")
    nights.run(chats("2025-11-03", name="late"))

    ran = nights.close("2025-12")

    assert "0.00021 USD of it corrections" in ran.out
    assert "0 of 31 have data" in ran.out
    nights.requires_proof()


# -- what must not happen to a closed month


def test_verify_names_a_closed_file_whose_bytes_changed(nights: Nights) -> None:
    nights.close("2025-10")
    file = nights.snapshot().path / OCTOBER_15
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)

    ran = nights("verify")

    assert ran.code == 6
    assert f"{OCTOBER_15}: belongs to closed month 2025-10 and was changed (SHA-256 differs)" in ran.out


def test_nothing_is_published_that_changes_a_closed_month(nights: Nights) -> None:
    nights.close("2025-10")
    warehouse = Warehouse(nights.warehouse)
    with warehouse.lock():
        parent = nights.snapshot()
        builder = warehouse.begin(parent)
        rows = pl.read_parquet(parent.path / OCTOBER_15).with_columns(is_estimated=True)
        builder.write(OCTOBER_15, rows.to_arrow().cast(arrow_schema("rollups")))
        with pytest.raises(IntegrityError, match=r"2025-10-15\.parquet: belongs to closed month 2025-10 and"):
            builder.commit({"action": "run"})
    assert nights.snapshot().number == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda entries: entries.pop(0), "a.parquet: belongs to closed month 2025-10 and is gone"),
        (lambda entries: entries[0].update(sha256="0"), "a.parquet: belongs to closed month 2025-10 and was changed"),
        (
            lambda entries: entries.append({**entries[0], "path": OCTOBER_15.replace("15.", "16.")}),
            "rollups/2025-10-16.parquet: is new in closed month 2025-10",
        ),
        (
            lambda entries: entries.append({**entries[0], "path": "rollups/2025-09-01.corrections-2025-10.parquet"}),
            "rollups/2025-09-01.corrections-2025-10.parquet: is new in closed month 2025-10",
        ),
        (lambda entries: entries[0].update(rows=2), "closed month 2025-10: rows is 2 instead of 1"),
        (
            lambda entries: entries[0]["sums"].update(cost_usd="0.2"),
            "closed month 2025-10: cost_usd is 0.200000000000 instead of 0.100000000000",
        ),
        (
            lambda entries: entries[0]["sums"].update({"input/uncached": 6}),
            "closed month 2025-10: quantities is {'input/uncached': 6} instead of {'input/uncached': 5}",
        ),
    ],
)
def test_each_way_to_touch_a_closed_month_is_told(change: Any, said: str) -> None:
    def entries() -> list[dict[str, Any]]:
        sums = {"input/uncached": 5, "cost_usd": "0.1"}
        return [{"path": OCTOBER_15, "table": "rollups", "sha256": "1", "rows": 1, "sums": sums}]

    closed = {"2025-10": figures(entries(), "2025-10")}
    assert closed_gaps(closed, entries()) == []

    changed = entries()
    change(changed)

    (gap, *_) = closed_gaps(closed, changed)
    assert said.replace("a.parquet", OCTOBER_15) in gap


# -- the rule, for any history

HISTORIES = st.lists(
    st.one_of(
        st.tuples(st.just("whole"), st.lists(st.integers(0, 3), min_size=4, max_size=4)),
        st.tuples(st.sampled_from(["close", "reopen"]), st.sampled_from(["2025-10", "2025-11", "2025-12"])),
    ),
    max_size=8,
)


def day_rows(quantities: Sequence[int]) -> pl.DataFrame:
    """15 October with these quantities: input at 3, input at 5, output without a price, requests."""
    kinds = [("input", "3", "priced"), ("input", "5", "priced"), ("output", None, "unpriced_no_rate")]
    kinds += [("requests", None, "not_charged")]
    rows = []
    for quantity, (meter, rate, status) in zip(quantities, kinds, strict=True):
        cost = None if status.startswith("unpriced") else quantity * Decimal(rate or 0) * Decimal("0.000001")
        row = {"day": date(2025, 10, 15), "meter": meter, "quantity": quantity, "price_status": status}
        row |= {"rate_usd_per_million": rate and Decimal(rate), "cost_usd": cost, "list_cost_usd": cost}
        row |= {"accounting_period": "2025-10", "charge_class": "usage"}
        rows += [row] if quantity else []
    schema = polars_schema("rollups")
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


@given(HISTORIES)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_whatever_is_closed_when_what_is_booked_adds_up_to_the_whole(history: list[tuple[str, Any]]) -> None:
    published, whole, closed = day_rows([0, 0, 0, 0]), day_rows([0, 0, 0, 0]), set[str]()
    for action, value in history:
        if action == "whole":
            whole = day_rows(value)
        elif action == "close":
            closed.add(value)
        else:
            closed.discard(value)
        frozen = published.filter(pl.col("accounting_period").is_in(list(closed)))
        rest = booked(date(2025, 10, 15), whole, frozen, closed)
        published = pl.concat([frozen, rest])

        assert net(published) == net(whole)
        for row in rest.iter_rows(named=True):
            rate = row["rate_usd_per_million"] or 0
            unpriced = row["price_status"].startswith("unpriced")
            assert row["cost_usd"] == (None if unpriced else row["quantity"] * rate * Decimal("0.000001"))
            assert row["quantity"] > 0 or (row["quantity"] < 0 and row["charge_class"] == "correction")
            assert row["accounting_period"] not in closed
            assert row["charge_class"] == "correction" or row["accounting_period"] == "2025-10"


def test_a_cost_that_moves_without_its_quantity_is_refused() -> None:
    whole = day_rows([1, 0, 0, 0])
    dearer = whole.with_columns(cost_usd=pl.col("cost_usd") * 2, list_cost_usd=pl.col("list_cost_usd") * 2)

    with pytest.raises(IntegrityError, match="a cost changed although its quantity and rate did not"):
        booked(date(2025, 10, 15), dearer.cast(dict(whole.schema)), whole, {"2025-10"})


def test_a_list_price_that_moves_beside_a_contract_is_booked_back_and_anew() -> None:
    whole = day_rows([1, 0, 0, 0])
    listed = whole.with_columns(list_cost_usd=pl.col("list_cost_usd") * 2).cast(dict(whole.schema))

    rows = booked(date(2025, 10, 15), listed, whole, {"2025-10"})

    [old], [new] = whole.select(*MEASURES).rows(), listed.select(*MEASURES).rows()
    assert rows.select(*MEASURES).rows() == [tuple(-value for value in old), new]
    assert set(rows["charge_class"]) == {"correction"}


def test_the_same_price_from_another_row_is_nothing_to_book() -> None:
    whole = day_rows([3, 0, 0, 0])
    cut = whole.with_columns(rate_id=pl.lit("the second half"), rate_version=pl.lit(2, pl.Int64))

    assert booked(date(2025, 10, 15), cut, whole, {"2025-10"}).is_empty()


def test_a_cell_is_told_apart_by_every_column_but_the_measures_and_the_booking() -> None:
    assert {*CELL, *MEASURES, "accounting_period", "charge_class"} == set(polars_schema("rollups").names())


# -- the page of the manual


def test_the_example_of_the_manual_is_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parent.parent / "docs" / "closing.md").read_text()
    found = re.findall(r"```console\n\$ costroll ([^\n]*)\n(.*?)```", page, re.DOTALL)
    shown = [(line, text) for line, text in found if "2026-06" not in line]  # accruals have a test of their own
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("october.jsonl"), chats("2025-10-15", "2025-10-15", "2025-10-20", "2025-11-03"))
    write_jsonl(Path("late.jsonl"), chats("2025-10-15", name="late"))
    costroll("run", "october.jsonl")

    printed = [(line, without_what_differs(costroll(*shlex.split(line)).out)) for line, _ in shown]

    assert printed == [(line, without_what_differs(text)) for line, text in shown]
    assert len(shown) == 4


def without_what_differs(text: str) -> str:
    """Instants differ each time, hashes with the version of the Parquet writer, and sources with the card."""
    text = re.sub(r"\b[0-9a-f]{64}\b", "SHA256", text)
    return re.sub(r"(?<=since )\S+Z|(?<=source: ).*", "...", text)
