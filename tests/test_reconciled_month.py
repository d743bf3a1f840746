"""A whole month, with six things wrong between the logs and the bill: each is found, with its exact amount.

Logs, usage export and bill come from tests/synthetic_month.py, which knows nothing of the package and sums what each
cause is worth on its way. The size here is small; `make test-month` takes 300,000 requests (COSTROLL_MONTH_REQUESTS).
"""

from __future__ import annotations

import csv
import io
import os
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.nights import Ran, costroll
from tests.synthetic_month import CAUSES, DAYS, Month, write

REQUESTS = int(os.environ.get("COSTROLL_MONTH_REQUESTS", "3000"))
# Cause -> the class it is found under, and the days of June on which.
FOUND_AS = {
    "complimentary": ("complimentary", {5}),
    "midnight_batch": ("day_boundary", {9, 10}),
    "price_change": ("missing_or_outdated_rate", set(range(20, DAYS + 1))),
    "tool_fees": ("tool_fees", {3, 11}),
    "lost_log": ("late_or_lost", {17}),
    "file_twice": ("duplicates", {21}),
}


def run(warehouse: Path, *paths: Path) -> Ran:
    ran = costroll("run", *paths, "--warehouse", warehouse)
    assert ran.code == 0, ran.out + ran.err
    return ran


def reconciled(warehouse: Path, month: Month, *options: str) -> dict[str, Any]:
    ran = costroll("--warehouse", warehouse, "--json", "reconcile", month.bill, month.usage, *options)
    assert ran.code in (0, 7), ran.err
    return ran.said | {"exit_code": ran.code}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Month, dict[str, Any]]]:
    """Cause left out, or `nothing` -> the month, and what is said of it. Three nights are enough for all of them."""
    base = tmp_path_factory.mktemp("month")
    months = {
        name: write(base / name, REQUESTS, [one for one in CAUSES if one != name]) for name in ("nothing", *CAUSES)
    }
    warehouse = base / "warehouse"
    found = {}
    # The first night: without the second copy. Then it comes, and at last the log that was lost.
    run(warehouse, months["file_twice"].logs)
    found["file_twice"] = reconciled(warehouse, months["file_twice"])
    run(warehouse, months["nothing"].logs)
    for name in months.keys() - {"file_twice", "lost_log"}:
        found[name] = reconciled(warehouse, months[name])
    run(warehouse, months["lost_log"].logs)
    found["lost_log"] = reconciled(warehouse, months["lost_log"])
    # The warehouse of the last night, and the same bill without quantities, as OpenAI exported it in 2025.
    old = months["lost_log"].bill.with_name("cost_old.csv")
    old.write_text(without_quantities(months["lost_log"].bill.read_text()))
    found["old export"] = reconciled(warehouse, replace(months["lost_log"], bill=old))
    months["old export"] = months["lost_log"]
    alone = costroll("--warehouse", warehouse, "--json", "reconcile", old)
    found["amounts alone"], months["amounts alone"] = alone.said, months["lost_log"]
    return {name: (months[name], found[name]) for name in months}


def without_quantities(text: str) -> str:
    rows = list(csv.reader(text.splitlines()))
    kept = [at for at, name in enumerate(rows[0]) if not name.startswith("quantity")]
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows([[row[at] for at in kept] for row in rows])
    return lines.getvalue()


def amounts(answer: dict[str, Any]) -> dict[str, Decimal]:
    return {kind: Decimal(own["amount_usd"]) for kind, own in answer["classes"].items()}


@pytest.mark.parametrize("left_out", ["nothing", *CAUSES, "old export"])
def test_each_cause_is_found_with_its_exact_amount_and_nothing_else(
    answers: dict[str, tuple[Month, dict[str, Any]]], left_out: str
) -> None:
    month, answer = answers[left_out]
    planted = {FOUND_AS[cause][0]: usd for cause, usd in month.worth.items()}

    assert len(planted) == len(CAUSES) - (left_out != "nothing")
    assert amounts(answer) == planted
    assert Decimal(answer["difference_usd"]) == sum(planted.values())
    assert answer["exit_code"] == 7


def test_amounts_alone_tell_everything_but_what_was_given_for_nothing(
    answers: dict[str, tuple[Month, dict[str, Any]]],
) -> None:
    """Without quantities and without a usage export, free tokens look like tokens that the provider never had."""
    month, answer = answers["amounts alone"]
    planted = {FOUND_AS[cause][0]: usd for cause, usd in month.worth.items()}

    assert amounts(answer) == {"late_or_lost": planted.pop("complimentary")} | planted


def test_each_cause_is_found_on_its_own_days(answers: dict[str, tuple[Month, dict[str, Any]]]) -> None:
    _, answer = answers["nothing"]
    days = defaultdict(set)
    for finding in answer["findings"]:
        days[finding["class"]].add(int(finding["day"][-2:]))

    assert days == dict(FOUND_AS.values())


def test_the_coverage_stands_first_and_says_how_finely_the_sides_meet(
    answers: dict[str, tuple[Month, dict[str, Any]]],
) -> None:
    month, answer = answers["nothing"]

    assert list(answer)[list(answer).index("account") + 1] == "coverage"
    [grain] = answer["grains"]
    assert grain["dimensions"] == ["day", "model", "tier", "meter", "caching_status", "project_id"]
    assert len(grain["days"]) == DAYS
    assert answer["coverage"]["counted_requests"] == month.requests
