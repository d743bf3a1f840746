"""Repricing: what a changed rate table makes of published days, cell by cell, and nothing moves before --apply.

A call of o3 has a million prompt tokens: USD 2.00 from 2025-06-10 on. A made-up notice says 1.50 for July 2025.
"""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from etl.rate_csv import RATE_FIELDS
from tests.nights import Ran, chat, costroll, rows_of, write_jsonl

O3 = "o3-2025-04-16"
OLD_RATE = f"openai/{O3}/standard/input/uncached>0@2025-06-10#1"
NEW_RATE = f"openai/{O3}/standard/input/uncached>0@2025-07-01#2"


def call(request_id: str, at: str, model: str = O3, **changes: Any) -> dict[str, Any]:
    """A call with a million prompt tokens and no completion."""
    created = int(datetime.fromisoformat(f"{at}+00:00").timestamp())
    return chat(request_id, created, 1_000_000, 0, model=model, **changes)


def rate_file(path: Path, rate: str, since: str = "2025-07-01", until: str = "2025-08-01", model: str = O3) -> Path:
    row = f"openai,{model},standard,input,uncached,0,{since},{until},{rate},published,high,a late notice"
    path.write_text(f"{','.join(RATE_FIELDS)}\n{row}\n")
    return path


class Warehouse:
    """A warehouse and the command lines on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root, self.nights = folder, folder / "warehouse", 0

    def __call__(self, *arguments: Path | str, code: int = 0) -> Ran:
        ran = costroll(*arguments, "--warehouse", self.root)
        assert ran.code == code, ran
        return ran

    def night(self, *records: dict[str, Any]) -> Ran:
        self.nights += 1
        log = write_jsonl(self.folder / f"night-{self.nights}.jsonl", records)
        ran = costroll("run", log, "--threads", "1", "--warehouse", self.root)
        assert ran.code in (0, 3), ran
        return ran

    def correct(self, rate: str, **which: str) -> None:
        file = rate_file(self.folder / "correction.csv", rate, **which)
        self("rates", "import", file, "--correct", "--apply")

    def plan(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        return self("reprice", "--json", *arguments, code=code).said

    @property
    def current(self) -> int:
        return int((self.root / "current").readlink().name)

    def rollups(self, snapshot: int | None = None) -> dict[str, bytes]:
        folder = self.root / "snapshots" / f"{snapshot or self.current:08d}" / "rollups"
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    def cost_of(self, day: str) -> Decimal:
        rows = rows_of(self.root, "rollups", "day", "cost_usd")
        return sum((cost for of, cost in rows if str(of) == day and cost), Decimal(0))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """June 20 and July 15, one call each, rated at version 1; version 2 says 1.50 for July."""
    made = Warehouse(tmp_path_factory.mktemp("first"))
    made.night(call("a", "2025-06-20T12:00:00"), call("b", "2025-07-15T12:00:00"))
    made.correct("1.5")
    return made.folder


@pytest.fixture
def warehouse(first: Path, tmp_path: Path) -> Warehouse:
    shutil.copytree(first, tmp_path, symlinks=True, dirs_exist_ok=True)
    made = Warehouse(tmp_path)
    made.nights = 1
    return made


def test_the_plan_shows_old_new_delta_and_the_rate_rows_and_changes_nothing(warehouse: Warehouse) -> None:
    before = warehouse.rollups()

    plan = warehouse.plan("--since", "2025-07-01", "--until", "2025-07-31")

    [cell] = plan["cells"]
    assert (cell["day"], cell["model"], cell["tier"], cell["meter"], cell["caching_status"]) == (
        "2025-07-15", O3, "standard", "input", "uncached"
    )  # fmt: skip
    assert cell["quantity"] == 1_000_000
    costs = [Decimal(cell[name]) for name in ("old_cost_usd", "new_cost_usd", "delta_usd")]
    assert costs == [Decimal("2"), Decimal("1.5"), Decimal("-0.5")]
    assert [row["rate_id"] for row in cell["old_rates"]] == [OLD_RATE]
    assert [(row["rate_id"], row["rate_version"], row["source"]) for row in cell["new_rates"]] == [
        (NEW_RATE, 2, "a late notice")
    ]
    assert Decimal(plan["delta_usd"]) == Decimal("-0.5")
    assert (plan["snapshot"], warehouse.current, warehouse.rollups()) == (None, 2, before)


def test_a_person_reads_the_same(warehouse: Warehouse) -> None:
    assert warehouse("reprice", "--since", "2025-07-01").out.splitlines() == [
        "day         provider  model          tier      meter  caching    quantity  old_usd  new_usd  delta_usd  cause",
        "----------  --------  -------------  --------  -----  --------  ---------  -------  -------  ---------  -----",
        "2025-07-15  openai    o3-2025-04-16  standard  input  uncached  1,000,000     2.00     1.50      -0.50  [1]",
        f"[1] - 2.00 USD per million: {OLD_RATE} of version 1, costroll card 2026-11-22.2",
        f"[1] + 1.50 USD per million: {NEW_RATE} of version 2, import of correction.csv, costroll CSV",
        "days 1 = changed 1 + unchanged 0 + expired 0",
        "at version 2 of the rate table: 2.00 USD -> 1.50 USD, -0.50",
        "nothing is changed yet: --apply makes it so",
    ]


def test_apply_publishes_once_what_the_plan_says_and_then_nothing_is_left(warehouse: Warehouse) -> None:
    applied = warehouse.plan("--since", "2025-07-01", "--apply")

    assert (applied["snapshot"], warehouse.current) == (3, 3)
    assert warehouse.cost_of("2025-07-15") == Decimal("1.5")
    assert warehouse.rollups()["2025-06-20.parquet"] == warehouse.rollups(2)["2025-06-20.parquet"]
    assert warehouse.plan("--since", "2025-07-01", "--apply")["snapshot"] is None
    assert warehouse.current == 3
    assert "proven" in warehouse("verify").out
    # June's rate was cut in two by the import: the same price, now from another row.
    assert warehouse.plan()["cells"] == []
    assert warehouse.plan()["same_price_cells"] == 1


@pytest.mark.parametrize(
    ("since", "until", "days"),
    [
        ("2025-07-14", "2025-07-14", None),
        ("2025-07-15", "2025-07-15", ["2025-07-15"]),
        ("2025-07-16", "2025-07-16", None),
    ],
)
def test_both_ends_of_the_stretch_belong_to_it(
    warehouse: Warehouse, since: str, until: str, days: list[str] | None
) -> None:
    ran = warehouse("reprice", "--json", "--since", since, "--until", until, code=0 if days else 2)
    assert days is None or ran.said["days"]["changed"] == days
    assert days or "nothing is published from" in ran.err


def test_what_comes_late_is_rated_with_the_version_the_day_took(warehouse: Warehouse) -> None:
    """Before the repricing a late call costs 2.00, as its day did; after it 1.50."""
    warehouse.night(call("late", "2025-07-15T13:00:00"))
    assert warehouse.cost_of("2025-07-15") == 2 * Decimal("2")

    warehouse("reprice", "--apply")
    warehouse.night(call("later", "2025-07-15T14:00:00"))

    assert warehouse.cost_of("2025-07-15") == 3 * Decimal("1.5")
    assert warehouse.plan("--apply")["snapshot"] is None


def test_a_day_without_a_change_takes_the_version_too(warehouse: Warehouse) -> None:
    """June 20 keeps every cost; a late call of a model that version 3 made cheaper takes the new price."""
    warehouse.correct("1", since="2025-06-01", until="2025-07-01", model="gpt-4.1-2025-04-14")
    plan = warehouse.plan("--until", "2025-06-30", "--apply")
    assert (plan["cells"], plan["days"]["changed"]) == ([], ["2025-06-20"])  # its rate row is another one

    warehouse.night(call("late", "2025-06-20T13:00:00", model="gpt-4.1-2025-04-14"))

    assert warehouse.cost_of("2025-06-20") == Decimal("2") + Decimal("1")


def test_as_known_on_gives_back_what_the_first_night_said_to_the_byte(warehouse: Warehouse) -> None:
    said = warehouse.rollups(1)
    warehouse("reprice", "--apply")
    assert warehouse.rollups()["2025-07-15.parquet"] != said["2025-07-15.parquet"]

    dry = warehouse.plan("--as-known-on", "1")
    assert Decimal(dry["delta_usd"]) == Decimal("0.5")
    warehouse("reprice", "--as-known-on", "1", "--apply")

    assert warehouse.rollups() == said
    warehouse("reprice", "--apply")
    assert warehouse.rollups() == warehouse.rollups(3)


def test_as_known_on_a_day_is_what_was_recorded_before_it(warehouse: Warehouse) -> None:
    """The shipped card was recorded at noon of 2026-11-22, the correction when this test began."""
    assert warehouse.plan("--as-known-on", "2026-11-22T12:00:00Z")["rate_version"] == 1
    assert warehouse.plan("--as-known-on", "9999-01-01")["rate_version"] == 2
    ran = warehouse("reprice", "--as-known-on", "2026-11-22T11:59:59Z", code=2)
    assert "nothing was known on 2026-11-22 11:59:59" in ran.err
    assert "the rate card has no version 9" in warehouse("reprice", "--as-known-on", "9", code=2).err


def test_an_undone_correction_gives_the_old_costs_back(warehouse: Warehouse) -> None:
    warehouse("reprice", "--apply")
    warehouse("rates", "undo", "2", "--apply")

    plan = warehouse.plan("--apply")

    assert Decimal(plan["delta_usd"]) == Decimal("0.5")
    assert warehouse.cost_of("2025-07-15") == Decimal("2")


def test_in_a_closed_month_the_difference_is_a_correction_and_its_files_stay(warehouse: Warehouse) -> None:
    warehouse("close", "2025-07")
    closed = warehouse.rollups()

    plan = warehouse.plan("--apply")

    assert plan["corrections"] == {"2025-07": "2025-08"}
    now = warehouse.rollups()
    assert {name: now[name] for name in ("2025-07-15.parquet",)} == {"2025-07-15.parquet": closed["2025-07-15.parquet"]}
    rows = rows_of(warehouse.root, "rollups", "accounting_period", "charge_class", "quantity", "cost_usd", "meter")
    booked = [row[:4] for row in rows if row[0] == "2025-08" and row[4] == "input"]
    assert booked == [
        ("2025-08", "correction", -1_000_000, Decimal("-2")),
        ("2025-08", "correction", 1_000_000, Decimal("1.5")),
    ]
    assert warehouse.cost_of("2025-07-15") == Decimal("1.5")
    assert "proven" in warehouse("verify").out
    # Taken back, nothing is left to correct.
    warehouse("reprice", "--since", "2025-07-01", "--as-known-on", "1", "--apply")
    assert warehouse.rollups()["2025-07-15.parquet"] == closed["2025-07-15.parquet"]
    assert not [name for name in warehouse.rollups() if "corrections" in name]


def test_the_same_price_from_another_row_corrects_nothing_in_a_closed_month(warehouse: Warehouse) -> None:
    warehouse("close", "2025-06")
    before = warehouse.rollups()

    plan = warehouse.plan("--until", "2025-06-30", "--apply")

    assert (plan["same_price_cells"], plan["days"]["changed"], plan["corrections"]) == (1, [], {})
    assert warehouse.rollups() == before


def test_expired_days_are_left_and_told(warehouse: Warehouse) -> None:
    warehouse("close", "2025-06")
    warehouse("close", "2025-07")
    warehouse.night(call("new", "2025-09-01T12:00:00"))
    (warehouse.root / "costroll.toml").write_text("[retention]\nusage_days = 30\n")
    warehouse("gc")

    ran = warehouse("reprice", "--apply")

    assert "days 3 = changed 0 + unchanged 1 + expired 2" in ran.out
    assert "expired days keep their costs" in ran.out
    assert warehouse.cost_of("2025-07-15") == Decimal("2")


def test_a_price_that_is_lost_needs_attention(warehouse: Warehouse) -> None:
    """Nothing was known of our own model at version 1: taken back to it, its million tokens have no price."""
    warehouse.correct("7", model="our-own")
    warehouse.night(call("own", "2025-07-20T12:00:00", model="our-own"))
    assert warehouse.cost_of("2025-07-20") == Decimal("7")

    plan = warehouse.plan("--as-known-on", "1", "--apply", code=3)

    [cell] = [cell for cell in plan["cells"] if cell["model"] == "our-own"]
    assert (cell["old_cost_usd"], cell["new_cost_usd"]) == ("7.000000000000", None)
    assert (cell["old_unpriced_quantity"], cell["new_unpriced_quantity"]) == (0, 1_000_000)
    assert [row["price_status"] for row in cell["new_rates"]] == ["unpriced_unknown_model"]
    assert Decimal(cell["delta_usd"]) == Decimal("-7")
    # Record by record it has none either, although version 3 knows one; the next record of the day brings it back.
    charges = "SELECT sum(cost_usd), count(*), min(price_status) FROM charges WHERE model = 'our-own'"
    assert warehouse("sql", charges, "--format", "csv").out.splitlines()[1] == ",1,unpriced_unknown_model"
    warehouse.night(call("own 2", "2025-07-20T13:00:00", model="our-own"))
    assert warehouse.cost_of("2025-07-20") == 2 * Decimal("7")
    assert warehouse("sql", charges, "--format", "csv").out.splitlines()[1] == "14.000000000000,2,priced"


def test_the_list_price_beside_a_contract_is_corrected_by_itself(warehouse: Warehouse) -> None:
    """The book says 1; the list goes from 2 to 1.50 when the month is closed: the cost stays, at list it is 1.50."""
    negotiated = rate_file(warehouse.folder / "negotiated.csv", "1", since="2025-01-01", until="")
    warehouse("rates", "import", negotiated, "--book", "acme", "--apply")
    warehouse("reprice", "--as-known-on", "1", "--apply")
    warehouse("rates", "undo", "2", "--apply", code=0)
    warehouse("reprice", "--since", "2025-07-01", "--apply")
    assert warehouse.cost_of("2025-07-15") == Decimal("1")
    warehouse("close", "2025-07")
    warehouse.correct("1.5")

    plan = warehouse.plan("--since", "2025-07-01", "--apply")

    [cell] = plan["cells"]
    assert (cell["old_cost_usd"], cell["new_cost_usd"]) == ("1.000000000000", "1.000000000000")
    assert (cell["old_list_cost_usd"], cell["new_list_cost_usd"]) == ("2.000000000000", "1.500000000000")
    totals = json.loads((warehouse.root / "current" / "MANIFEST.json").read_text())["totals"]
    assert Decimal(totals["list_cost_usd"]) == Decimal("2") + Decimal("1.5")
    assert "proven" in warehouse("verify").out


def test_until_before_since_and_an_empty_warehouse_are_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    ran = warehouse("reprice", "--since", "2025-07-02", "--until", "2025-07-01", code=2)
    assert "--until 2025-07-01 is before --since 2025-07-02" in ran.err
    empty = costroll("reprice", "--apply", "--warehouse", tmp_path / "none")
    assert (empty.code, (tmp_path / "none").exists()) == (2, False)
    assert "nothing is published" in empty.err
