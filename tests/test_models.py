"""What is known of models beside their rates: limits that records can exceed, and the days of their shutdown."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from etl.model_facts import shipped_models
from tests.nights import MINI, chat, costroll, write_jsonl
from tests.test_close import at

# 2025-08-01T12:00:00Z; the context window of gpt-4o-mini is 128,000 tokens, its longest answer 16,384.
AUGUST = at("2025-08-01T12:00")


def report(folder: Path, name: str, *records: dict[str, Any]) -> list[dict[str, Any]]:
    warehouse = folder / "warehouse"
    assert costroll("run", write_jsonl(folder / "log.jsonl", records), "--warehouse", warehouse).code in (0, 3)
    found: list[dict[str, Any]] = json.loads(costroll("report", name, "--json", "--warehouse", warehouse).out)
    return found


def test_each_model_stands_once_with_a_source_and_something_to_say() -> None:
    models = shipped_models()
    assert not models.select("provider", "model").is_duplicated().any()
    assert models["source"].null_count() == 0
    assert models.filter(pl.all_horizontal(pl.col(models.columns[2:5]).is_null())).is_empty()
    [row] = models.filter(pl.col("model") == MINI).rows(named=True)
    assert (row["context_window_tokens"], row["max_output_tokens"]) == (128_000, 16_384)
    assert row["shutdown_on"] == date(2027, 1, 14)


def test_exactly_the_limit_is_within_it_and_one_token_more_is_beyond(tmp_path: Path) -> None:
    found = report(
        tmp_path,
        "beyond",
        chat("below", AUGUST, 127_999, 16_383),
        chat("at", AUGUST, 128_000, 16_384),
        chat("long question", AUGUST, 128_001, 10),
        chat("long answer", AUGUST, 10, 16_385),
    )
    assert [(row["request_id"], row["limit"], row["allowed_tokens"], row["tokens"]) for row in found] == [
        ("long question", "context window", 128_000, 128_001),
        ("long answer", "maximum output", 16_384, 16_385),
    ]
    assert [(Path(row["input_name"]).name, row["line_number"]) for row in found] == [("log.jsonl", 3), ("log.jsonl", 4)]


def test_a_fine_tuned_model_has_the_limits_of_its_base(tmp_path: Path) -> None:
    [row] = report(tmp_path, "beyond", chat("a", AUGUST, 128_001, 1, model=f"ft:{MINI}:acme::9xYz"))
    assert (row["model"], row["allowed_tokens"]) == (f"ft:{MINI}:acme::9xYz", 128_000)


def test_use_after_the_day_of_the_shutdown_is_shown_with_its_cost(tmp_path: Path) -> None:
    """o3-mini-2025-01-31 was shut down on 2026-10-23: a million prompt tokens of the day after cost 1.10."""
    found = report(
        tmp_path,
        "shutdowns",
        chat("before", at("2026-10-22T12:00"), 1_000_000, 0, model="o3-mini-2025-01-31"),
        chat("on the day", at("2026-10-23T23:59"), 1_000_000, 0, model="o3-mini-2025-01-31"),
        chat("after", at("2026-10-24T00:00"), 1_000_000, 0, model="o3-mini-2025-01-31"),
        chat("still there", at("2026-10-24T00:00")),
    )
    facts = ("shutdown_on", "model", "last_day", "requests", "requests_after", "cost_usd", "cost_after_usd")
    assert [tuple(row[name] for name in facts) for row in found] == [
        ("2026-10-23", "o3-mini-2025-01-31", "2026-10-24", 3, 1, "3.300000000000", "1.100000000000"),
        ("2027-01-14", MINI, "2026-10-24", 1, None, "0.000210000000", None),
    ]
    assert [row["unpriced"] for row in found] == [0, 0]


def test_what_has_no_price_stands_beside_the_cost_of_a_model_that_is_shut_down(tmp_path: Path) -> None:
    """No rate of the tier `provisioned` is known: 1,000 tokens in and 100 out have no price."""
    [row] = report(
        tmp_path,
        "shutdowns",
        chat("priced", AUGUST, 1_000_000, 0),
        chat("unpriced", AUGUST, 1_000, 100, service_tier="scale"),
    )
    assert (row["cost_usd"], row["unpriced"]) == ("0.150000000000", 1_100)


def test_an_analyst_can_ask_for_them(tmp_path: Path) -> None:
    report(tmp_path, "beyond", chat("a", AUGUST))
    query = f"SELECT context_window_tokens, shutdown_on FROM models WHERE model = '{MINI}'"
    ran = costroll("sql", query, "--format", "csv", "--warehouse", tmp_path / "warehouse")
    assert ran.out.splitlines() == ["context_window_tokens,shutdown_on", "128000,2027-01-14"]
