"""What a month has cost up to a day, and its journal lines: debits equal credits, in cents, whatever was rounded.

gpt-4o-mini at 0.15 USD per million: 100,000 tokens are 0.015 USD, so each cost centre below is half a cent from a cent.
"""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.nights import CHECKOUT, Ran, chat, costroll, write_jsonl

JUNE_1 = 1_780_272_000  # 2026-06-01T00:00:00Z
DAY = 86_400


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """0.015 USD of `search` on the 1st and of `agents` on the 2nd; of `search` again on the 20th, and in July."""
    folder = tmp_path_factory.mktemp("accrual")
    days = {"search": (0, 19, 30), "agents": (1,)}
    records = [
        chat(f"{project}-{day}", JUNE_1 + day * DAY, 100_000, 0, metadata={"project_id": project})
        for project, own in days.items()
        for day in own
    ]
    assert costroll("run", write_jsonl(folder / "log.jsonl", records), "--warehouse", folder / "w").code == 0
    return folder / "w"


def said(warehouse: Path, *arguments: str) -> list[dict[str, Any]]:
    ran: Ran = costroll("--warehouse", warehouse, "--json", "report", *arguments)
    assert ran.code == 0, ran.err
    return ran.said  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("through", "search"), [("2026-06-19", "0.015"), ("2026-06-20", "0.030"), ("2026-06-30", "0.030")]
)
def test_an_accrual_is_what_is_booked_in_the_month_up_to_the_day(warehouse: Path, through: str, search: str) -> None:
    rows = said(warehouse, "accrual", "--through", through)

    assert [(row["cost_centre"], Decimal(row["cost_usd"])) for row in rows] == [
        ("agents", Decimal("0.015")),
        ("search", Decimal(search)),
    ]
    assert {row["accounting_period"] for row in rows} == {"2026-06"}


def test_the_journal_balances_in_cents(warehouse: Path) -> None:
    """0.015 is 0.02 in cents, twice; the liability is their sum, 0.04, and not 0.03."""
    rows = said(warehouse, "journal", "--through", "2026-06-02")

    assert [(row["ledger_account"], row["cost_centre"], row["debit_usd"], row["credit_usd"]) for row in rows] == [
        ("expense", "agents", "0.02", None),
        ("expense", "search", "0.02", None),
        ("accrued liability", None, None, "0.04"),
    ]
    assert sum(Decimal(row["exact_usd"]) for row in rows) == 0


def test_the_journal_says_how_much_it_leaves_out_as_it_has_no_price(warehouse: Path, tmp_path: Path) -> None:
    """Of the model that nobody knows: 1,000 tokens in and 100 out on the 3rd, of which the 2nd knows nothing."""
    shutil.copytree(warehouse, tmp_path / "w", symlinks=True)
    unknown = chat("unknown", JUNE_1 + 2 * DAY, 1_000, 100, model="my-own")
    costroll("run", write_jsonl(tmp_path / "more.jsonl", [unknown]), "--warehouse", tmp_path / "w")

    def told(through: str) -> str:
        return str(costroll("--warehouse", tmp_path / "w", "report", "journal", "--through", through).err)

    assert "1,100 units have no price and are in no line: costroll report unpriced" in told("2026-06-03")
    assert told("2026-06-02") == ""


def test_an_accrual_needs_its_day_and_nothing_else_has_one(warehouse: Path) -> None:
    for arguments in (
        ["accrual"],
        ["days", "--through", "2026-06-02"],
        ["journal", "--through", "2026-06-02", "--since", "2026-06-01"],
    ):
        ran = costroll("--warehouse", warehouse, "report", *arguments)
        assert ran.code == 2 and "--through" in ran.err


def test_the_journal_of_the_documentation_is_what_is_printed(warehouse: Path) -> None:
    printed = costroll("--warehouse", warehouse, "report", "journal", "--through", "2026-06-20").out

    assert printed in (CHECKOUT / "docs" / "closing.md").read_text()
