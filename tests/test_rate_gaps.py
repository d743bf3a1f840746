"""What has no rate: listed by what it touches with the row to add; once the row is there, the next run prices it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from etl.rate_csv import ALIAS_FIELDS, RATE_FIELDS
from tests.nights import NOON, chat, costroll, rows_of, write_jsonl

NEW = {"model": "gpt-99"}


def imported(folder: Path, warehouse: Path, *lines: str, header: tuple[str, ...] = RATE_FIELDS) -> None:
    """Import these lines of rates or aliases."""
    file = folder / "prices.csv"
    file.write_text("\n".join([",".join(header), *lines]) + "\n")
    done = costroll("rates", "import", file, "--apply", "--warehouse", warehouse)
    assert done.code == 0, done.err


def ran(warehouse: Path, log: Path, *options: str) -> tuple[int, str]:
    done = costroll("run", log, "--warehouse", warehouse, *options)
    return done.code, done.out


def costs(warehouse: Path) -> dict[tuple[str, str], Decimal | None]:
    rows = rows_of(warehouse, "rollups", "model", "meter", "cost_usd")
    return {(model, meter): cost for model, meter, cost in rows if meter != "requests"}


def test_gaps_are_listed_by_quantity_each_with_the_row_to_add(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse"
    flex = chat("c", 1_780_315_200, 70_000, 0, model="gpt-4o-mini", service_tier="flex")
    early = chat("d", int(datetime(2025, 4, 15, tzinfo=UTC).timestamp()), 500, 0, model="o3")
    ran(warehouse, write_jsonl(tmp_path / "a.jsonl", [chat("a"), chat("b", NOON, 5_000, 300, **NEW), flex, early]))
    told = costroll("rates", "gaps", "--warehouse", warehouse).out.splitlines()
    rows = told[told.index(",".join(RATE_FIELDS)) + 1 :][:4]
    # o3's rates begin on 2025-04-16, so the row for the day before ends there.
    assert rows == [
        "openai,gpt-4o-mini,flex,input,uncached,0,2026-06-01,,?,published,high,?",
        "openai,gpt-99,standard,input,uncached,0,2026-06-01,,?,published,high,?",
        "openai,o3,standard,input,uncached,0,2025-04-15,2025-04-16,?,published,high,?",
        "openai,gpt-99,standard,output,not_applicable,0,2026-06-01,,?,published,high,?",
    ]
    found = costroll("rates", "gaps", "--json", "--warehouse", warehouse).out
    assert [(gap["reason"], gap["quantity"]) for gap in json.loads(found)] == [
        ("unpriced_unknown_tier", 70_000),
        ("unpriced_unknown_model", 5_000),
        ("unpriced_before_first_rate", 500),
        ("unpriced_unknown_model", 300),
    ]


def test_a_warehouse_without_gaps_says_so(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse"
    ran(warehouse, write_jsonl(tmp_path / "a.jsonl", [chat("a")]))
    assert costroll("rates", "gaps", "--warehouse", warehouse).out.startswith("no gap")


def test_the_next_run_prices_an_old_day_without_new_records_and_says_so(tmp_path: Path) -> None:
    warehouse, log = tmp_path / "warehouse", write_jsonl(tmp_path / "a.jsonl", [chat("a"), chat("b", **NEW)])
    assert ran(warehouse, log)[0] == 3
    before = costs(warehouse)
    assert before["gpt-99", "input"] is None
    imported(tmp_path, warehouse, "openai,gpt-99,standard,input,uncached,0,2026-06-01,,2,published,high,a page")
    assert costs(warehouse) == before
    code, told = ran(warehouse, log)
    assert code == 0
    assert "healed: 1,000 tokens of gpt-99 standard input uncached on 2026-06-01 found their rate\n" in told
    # 1,000 x 2 / 1,000,000; what had a price has the same; the output has no rate still.
    assert costs(warehouse) == before | {("gpt-99", "input"): Decimal("0.002")}
    assert "published" not in ran(warehouse, log)[1]
    assert costroll("verify", "--warehouse", warehouse).code == 0


def test_an_alias_heals_too_and_the_day_remembers_the_version_it_healed_at(tmp_path: Path) -> None:
    warehouse, log = tmp_path / "warehouse", write_jsonl(tmp_path / "a.jsonl", [chat("b", **NEW)])
    ran(warehouse, log)
    alias = "openai,gpt-99,gpt-4o-mini,2026-01-01,{},a page,high"
    imported(tmp_path, warehouse, alias.format(""), header=ALIAS_FIELDS)
    assert "healed: 1,000 tokens" in ran(warehouse, log)[1]
    manifest = json.loads((warehouse / "current/MANIFEST.json").read_text())
    assert manifest["days"]["2026-06-01"]["healed"] == [2]
    # The alias is taken back: a late record of the day still finds it, because the day keeps its versions.
    undone = costroll("rates", "undo", "2", "--apply", "--warehouse", warehouse)
    assert undone.code == 0
    ran(warehouse, write_jsonl(tmp_path / "b.jsonl", [chat("c", **NEW)]))
    assert costs(warehouse)["gpt-99", "input"] == Decimal("0.0003")  # 2 x 1,000 x 0.15


def test_a_healed_day_of_a_closed_month_is_booked_as_corrections(tmp_path: Path) -> None:
    warehouse, log = tmp_path / "warehouse", write_jsonl(tmp_path / "a.jsonl", [chat("b", **NEW)])
    ran(warehouse, log)
    assert costroll("close", "2026-06", "--warehouse", warehouse).code == 0
    imported(tmp_path, warehouse, "openai,gpt-99,standard,input,uncached,0,2026-06-01,,2,published,high,a page")
    ran(warehouse, log)
    rows = rows_of(warehouse, "rollups", "accounting_period", "charge_class", "meter", "quantity", "cost_usd")
    assert ("2026-07", "correction", "input", -1000, None) in rows
    assert ("2026-07", "correction", "input", 1000, Decimal("0.002")) in rows
    assert costroll("verify", "--warehouse", warehouse).code == 0
