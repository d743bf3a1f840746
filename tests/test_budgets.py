"""Budgets with exit code 8, and the forecast to month end: the one figure of Costroll that is an estimate.

A chat of gpt-4o-mini with N million tokens in costs N x 0.15 USD. 2026-06-01 is a Monday.
"""

from __future__ import annotations

import csv
import io
import shutil
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from etl.forecasting import forecast
from tests.nights import NOON, Ran, chat, costroll, write_jsonl

DAY = 24 * 60 * 60
WAREHOUSE = Path("warehouse")
JUNE_1 = date(2026, 6, 1)


def days(*costs: str, first: date = JUNE_1) -> dict[date, Decimal]:
    return {first + timedelta(days=at): Decimal(cost) for at, cost in enumerate(costs)}


def june(costs: dict[date, Decimal]) -> Any:
    return forecast(costs, "2026-06", min(costs), max(costs))


def test_ten_equal_days_of_thirty_end_in_three_times_as_much_without_any_doubt() -> None:
    found = june(days(*["2.50"] * 10))
    assert (found.spent_usd, found.days_left, found.basis_days) == (Decimal("25.00"), 20, 10)
    assert (found.estimate_usd, found.low_usd, found.high_usd) == (Decimal(75), Decimal(75), Decimal(75))


def test_the_interval_of_days_that_differ_worked_by_hand() -> None:
    # Eight days of 1 and 3 in turn: mean 2, spent 16, 22 days to come: 16 + 44 = 60.
    # s2 = 8 x 1 / 7 = 1.142857; s2 x (22 + 22 x 22 / 8) = 1.142857 x 82.5 = 94.285714; its root is 9.710083.
    # 1.2816 x 9.710083 = 12.444...: 60 - 12.44 = 47.56 and 60 + 12.44 = 72.44.
    found = june(days(*["1", "3"] * 4))
    assert (found.estimate_usd, found.low_usd, found.high_usd) == (Decimal("60"), Decimal("47.56"), Decimal("72.44"))


def test_a_month_of_weekdays_is_forecast_by_weekday() -> None:
    # Two weeks from Monday June 1: 5 on each weekday, 0 at the weekend: 50. 16 days are to come: two more whole weeks
    # from Monday June 15 to June 28, a Monday and a Tuesday: 12 weekdays x 5 = 60.
    found = june(days(*["5", "5", "5", "5", "5", "0", "0"] * 2))
    assert (found.spent_usd, found.estimate_usd) == (Decimal(50), Decimal(110))


@pytest.mark.parametrize(("known", "has_interval"), [(6, False), (7, True), (8, True)])
def test_fewer_than_seven_days_have_an_estimate_without_an_interval(known: int, has_interval: bool) -> None:
    found = june(days(*["1"] * known))
    assert found.estimate_usd == Decimal(30)
    assert (found.low_usd is not None, found.high_usd is not None) == (has_interval, has_interval)


@pytest.mark.parametrize(("known", "estimate"), [(13, "92.31"), (14, "88"), (15, "88")])
def test_weekdays_count_from_two_weeks_on(known: int, estimate: str) -> None:
    # 4 on each weekday, 0 at weekends: the 22 weekdays of June 2026 make 88, and so it is forecast by weekday.
    # Without: 10 weekdays in 13 days, 40 + 17 x 40 / 13 = 92.3077.
    week = ["4", "4", "4", "4", "4", "0", "0"]
    assert june(days(*(week * 3)[:known])).estimate_usd == Decimal(estimate)


def test_only_the_last_28_days_are_gone_by_and_days_without_data_cost_nothing() -> None:
    # May 1 to 31 cost 100 a day, June 1 to 28 nothing: 28 days of 0 make an estimate of 0.
    costs = days(*["100"] * 31, first=date(2026, 5, 1)) | {date(2026, 6, 28): Decimal(0)}
    found = forecast(costs, "2026-06", date(2026, 5, 1), date(2026, 6, 28))
    assert (found.basis_days, found.estimate_usd) == (28, Decimal(0))
    # One day less, and May 31 is among them; but no Sunday (as it is) is left in June after June 28.
    earlier = forecast(costs, "2026-06", date(2026, 5, 1), date(2026, 6, 27))
    assert earlier.estimate_usd == Decimal(25)  # June 28 is a Sunday: (100 + 0 + 0 + 0) / 4


def test_a_month_that_is_over_is_what_it_cost() -> None:
    found = june(days(*["1"] * 30))
    assert (found.days_left, found.estimate_usd, found.low_usd, found.high_usd) == (0, *[Decimal(30)] * 3)


def test_the_low_end_is_never_below_what_is_spent() -> None:
    found = june(days("0", "0", "0", "0", "0", "0", "0", "700"))
    assert found.low_usd == found.spent_usd == Decimal(700)


# -- through the command line


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """June 1: k1 3 USD; June 2: k2 1.50 USD, nobody 0.15 USD: 4.65 USD, and 1,100 tokens without a price."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("made"))
        records = [
            call("1", NOON, 20, api_key_id="k1"),
            call("2", NOON + DAY, 10, api_key_id="k2"),
            call("3", NOON + DAY, 1),
            call("4", NOON, 0, api_key_id="k2") | {"response": chat("x", model="my-own")},
        ]
        costroll("run", write_jsonl(Path("log.jsonl"), records), "--warehouse", WAREHOUSE)
        return WAREHOUSE.absolute()


def call(request_id: str, created: int, millions: int, **who: str) -> dict[str, Any]:
    response = chat(f"chat-{request_id}", created, millions * 1_000_000, 0)
    return {"timestamp": created, "request_id": request_id, "status": 200, "response": response} | who


@pytest.fixture
def warehouse(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COSTROLL_WAREHOUSE", str(WAREHOUSE))
    shutil.copytree(made, WAREHOUSE, symlinks=True)
    Path("keys.csv").write_text("api_key,team\nk1,search\nk2,shop\n")
    return WAREHOUSE


def settings(*limits: str) -> None:
    text = '[attribution]\nmapping = "../keys.csv"\n' + "".join(f"[[budget.limit]]\n{limit}\n" for limit in limits)
    (WAREHOUSE / "costroll.toml").write_text(text)


def report(*arguments: str, code: int = 0) -> list[dict[str, str]]:
    ran = costroll("report", *arguments, "--format", "csv")
    assert ran.code == code, ran
    return list(csv.DictReader(io.StringIO(ran.out)))


@pytest.mark.parametrize(
    ("usd", "code", "status"), [("4.64", 8, "over"), ("4.65", 0, "likely over"), ("4.66", 0, "likely over")]
)
def test_a_budget_is_over_when_more_was_spent_not_when_it_is_just_spent(
    usd: str, code: int, status: str, warehouse: Path
) -> None:
    settings(f'name = "all"\nusd = {usd}')
    [row] = report("budgets", code=code)
    assert (row["budget"], row["month"], row["status"]) == ("all", "2026-06", status)
    assert (Decimal(row["spent_usd"]), Decimal(row["left_usd"])) == (Decimal("4.65"), Decimal(usd) - Decimal("4.65"))
    assert row["unpriced"] == "1100"


def test_budgets_of_teams_go_by_the_mapping_file(warehouse: Path) -> None:
    settings(
        'name = "search"\nusd = 100\nby = "team"\nvalue = "search"',
        'name = "shop"\nusd = 1\nby = "team"\nvalue = "shop"',
        'name = "nobody"\nusd = 1\nby = "team"\nvalue = "nobody"',
    )
    rows = report("budgets", code=8)
    assert [(row["value"], Decimal(row["spent_usd"]), row["status"], row["note"]) for row in rows] == [
        ("search", Decimal(3), "within", ""),
        ("shop", Decimal("1.5"), "over", ""),
        ("nobody", Decimal(0), "within", "nobody has that name"),
    ]


def test_as_of_a_day_only_what_was_spent_until_then_counts(warehouse: Path) -> None:
    settings('name = "all"\nusd = 4')
    [row] = report("budgets", "--as-of", "2026-06-01")
    assert Decimal(row["spent_usd"]) == Decimal(3)


def test_the_forecast_says_it_is_an_estimate(warehouse: Path) -> None:
    ran: Ran = costroll("report", "forecast")
    assert "what is called an estimate is one" in ran.err
    [row] = report("forecast")
    # (3 + 1.65) / 2 a day for 28 more days: 4.65 + 65.10 = 69.75
    assert (row["days_left"], row["basis_days"], row["estimate_usd"], row["estimate_low_usd"]) == (
        "28",
        "2",
        "69.75",
        "",
    )
    assert row["unpriced"] == "1100"


def test_the_forecast_by_team(warehouse: Path) -> None:
    settings()
    rows = report("forecast", "--by", "team")
    # 3 + 1.5 x 28 = 45; 1.5 + 0.75 x 28 = 22.50; 0.15 + 0.075 x 28 = 2.25: together 69.75
    assert [(row["team"], row["estimate_usd"]) for row in rows] == [
        ("search", "45.00"),
        ("shop", "22.50"),
        ("", "2.25"),
    ]


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("usd = 5", "[budget] limit must be tables [[budget.limit]], each with name and usd"),
        ('name = "a"\nusd = 5\nby = "team"', "and by and value or neither"),
        ('name = "a"\nusd = -1', "usd must be an amount of USD, 0 or more, not -1"),
        ('name = "a"\nusd = nan', "usd must be an amount of USD, 0 or more, not NaN"),
        ('name = "a"\nusd = 1\nby = "squad"\nvalue = "x"', "--by 'squad': there are api_key"),
    ],
)
def test_a_budget_that_cannot_be_one_is_refused(limit: str, said: str, warehouse: Path) -> None:
    settings(limit)
    ran = costroll("report", "budgets")
    assert ran.code == 2
    assert said in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["budgets"], "there is no budget: put [[budget.limit]]"),
        (["forecast", "--month", "2026-07"], "2026-07 has not begun on 2026-06-02"),
        (["forecast", "--since", "2026-06-01"], "forecast is of a whole month"),
        (["days", "--month", "2026-06"], "--month and --as-of go with budgets, forecast, not with days"),
        (["budgets", "--by", "team"], "--by goes with"),
        (["days", "--by", "team", "--share"], "--share goes with"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: list[str], said: str, warehouse: Path) -> None:
    settings()
    ran = costroll("report", *arguments)
    assert ran.code == 2
    assert said in ran.err
