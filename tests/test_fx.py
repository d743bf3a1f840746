"""Reports in another currency: each day's cost at that day's rate of the user's file, exact, and USD stays beside it.

Two calls of a million prompt tokens of o3 cost USD 2.00 each, on 2025-06-30 and 2025-07-01.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.nights import Ran, costroll, write_jsonl
from tests.test_reprice import call


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fx")
    log = write_jsonl(
        folder / "log.jsonl",
        [
            call("a", "2025-06-30T23:59:59"),
            call("b", "2025-07-01T00:00:00"),
            call("own", "2025-07-01T12:00:00", model="our-own"),
        ],
    )
    assert costroll("run", log, "--warehouse", folder / "warehouse").code == 3  # our own model has no price
    return folder / "warehouse"


def report(warehouse: Path, folder: Path, rates: str, *arguments: str, columns: str = "") -> Ran:
    file = folder / "fx.csv"
    file.write_text(f"currency,effective_from,{columns}units_per_usd\n{rates}")
    return costroll("report", *arguments, "--currency", "EUR", "--fx", file, "--warehouse", warehouse)


def rows(ran: Ran) -> list[dict[str, Any]]:
    assert ran.code == 0, ran.err
    found: list[dict[str, Any]] = json.loads(ran.out)
    return found


def test_each_day_has_the_rate_of_its_day(warehouse: Path, tmp_path: Path) -> None:
    """2.00 x 0.9 = 1.80 up to June, 2.00 x 0.853217 = 1.706434 from July on."""
    file = "EUR,2025-01-01,0.9\nEUR,2025-07-01,0.853217\nJPY,2025-01-01,150\n"
    found = rows(report(warehouse, tmp_path, file, "days", "--json"))
    assert [(row["day"], Decimal(row["cost_usd"]), Decimal(row["cost_eur"])) for row in found] == [
        ("2025-06-30", Decimal("2"), Decimal("1.8")),
        ("2025-07-01", Decimal("2"), Decimal("1.706434")),
    ]


def test_a_line_over_several_days_adds_up_what_each_of_them_costs(warehouse: Path, tmp_path: Path) -> None:
    """1.80 + 1.706434; what has no price has none in EUR either."""
    ran = report(warehouse, tmp_path, "EUR,2025-01-01,0.9\nEUR,2025-07-01,0.853217\n", "models")
    assert ran.out.splitlines() == [
        "provider  model          tier      requests  input_tokens  output_tokens  cost_usd  cost_eur  unpriced_tokens",
        "--------  -------------  --------  --------  ------------  -------------  --------  --------  ---------------",
        "openai    o3-2025-04-16  standard         2     2,000,000                     4.00  3.506434",
        "openai    our-own        standard         1     1,000,000                                           1,000,000",
        "total 4.00 USD = 3.506434 EUR; 1,000,000 units have no price and are not in it: costroll report unpriced",
    ]


def test_a_day_without_a_rate_is_refused_and_named(warehouse: Path, tmp_path: Path) -> None:
    ran = report(warehouse, tmp_path, "EUR,2025-07-01,0.9\n", "days")
    assert (ran.code, ran.out) == (2, "")
    assert "fx.csv has no rate of EUR for 2025-06-30; add them, or choose other days" in ran.err
    assert report(warehouse, tmp_path, "EUR,2025-07-01,0.9\n", "days", "--since", "2025-07-01").code == 0


def test_an_end_is_exclusive(warehouse: Path, tmp_path: Path) -> None:
    ended = "EUR,2025-01-01,2025-07-01,0.9\n"
    assert "EUR for 2025-07-01;" in report(warehouse, tmp_path, ended, "days", columns="effective_to,").err
    longer = "EUR,2025-01-01,2025-07-02,0.9\n"
    assert report(warehouse, tmp_path, longer, "days", columns="effective_to,").code == 0


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("EUR,2025-01-01,0.9\nEUR,2025-01-01,0.8\n", "fx.csv:3: EUR has a rate for 2025-01-01 in line 2 already"),
        ("EUR,2025-01-01,0\n", "fx.csv:2: units_per_usd '0' must be above 0"),
        ("EUR,2025-01-01,0.1234567\n", "at most six decimals"),
        ("EUR,2025-01-01,9e-1\n", "fx.csv:2: units_per_usd '9e-1'"),
        ("EUR,2025-13-01,0.9\n", "fx.csv:2: effective_from '2025-13-01' must be a day"),
        ("eur,2025-01-01,0.9\n", "fx.csv:2: currency 'eur'"),
        ("EUR,2025-01-01\n", "fx.csv:2: has another number of fields than the header"),
        ("JPY,2025-01-01,150\n", "fx.csv has no rate of EUR; it has JPY"),
    ],
)
def test_a_file_that_is_not_clear_is_refused_with_its_line(
    warehouse: Path, tmp_path: Path, lines: str, told: str
) -> None:
    ran = report(warehouse, tmp_path, lines, "days")
    assert (ran.code, told in ran.err) == (2, True), ran.err


def test_what_belongs_together_is_asked_for_together(warehouse: Path, tmp_path: Path) -> None:
    assert costroll("report", "--currency", "EUR", "--warehouse", warehouse).code == 2
    ran = report(warehouse, tmp_path, "EUR,2025-01-01,0.9\n", "quarantine")
    assert "report quarantine has no costs to show in EUR" in ran.err


def test_nothing_stored_changes(warehouse: Path, tmp_path: Path) -> None:
    before = (warehouse / "current").readlink()
    report(warehouse, tmp_path, "EUR,2025-01-01,0.9\n", "periods", "--json")
    assert (warehouse / "current").readlink() == before
