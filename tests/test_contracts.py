"""Contracts: negotiated rates beside the list, by account and time; cost and list cost differ, nothing else moves."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from etl.contracts import Contract, contract_offer, percent_off
from etl.errors import RateCardError, UsageError
from etl.rate_card import RateCard
from etl.rate_checks import check, validated
from etl.rate_offers import EVER, OPEN
from etl.rate_plan import plan
from etl.rate_versions import applied
from tests.nights import chat, costroll, rows_of, write_jsonl
from tests.small_card import SECOND_VERSION, THIRD_VERSION, card, rated, used

LIST = """
    m  standard  input   uncached        0  -           2025-06-10  10
    m  standard  input   uncached        0  2025-06-10  -           2
    m  standard  output  not_applicable  0  -           -           8
"""
ACME = Contract("acme-2026", "acme", datetime(2026, 1, 1), datetime(2027, 1, 1))


def with_contract(prices: RateCard, contract: Contract = ACME, percent: str = "15") -> RateCard:
    offer = percent_off(prices, contract, Decimal(percent))
    return validated(applied(prices, plan(prices, offer, SECOND_VERSION), "a contract", "", SECOND_VERSION))


def costs(prices: RateCard, *rows: dict[str, Any]) -> list[tuple[Decimal, Decimal]]:
    return [(row["cost_usd"], row["list_cost_usd"]) for row in rated(prices, *rows)]


def test_a_percentage_is_written_out_as_rates_of_the_book_where_it_is_in_force() -> None:
    offer = percent_off(card(LIST), ACME, Decimal(15))
    assert [(e.key[3], e.key[-1], str(e.value), e.starts_at, e.ends_at) for e in offer.entries["rates"]] == [
        ("input", "acme-2026", "1.70000000", datetime(2026, 1, 1), datetime(2027, 1, 1)),  # 2 - 15 %
        ("output", "acme-2026", "6.80000000", datetime(2026, 1, 1), datetime(2027, 1, 1)),
    ]


def test_a_rate_of_a_contract_carries_its_book_in_its_id() -> None:
    ids = with_contract(card(LIST)).rates["rate_id"].to_list()
    assert ids[3:] == [
        "acme-2026:openai/m/standard/input/uncached>0@2026-01-01#2",
        "acme-2026:openai/m/standard/output/not_applicable>0@2026-01-01#2",
    ]


@pytest.mark.parametrize(
    ("at", "account", "cost"),
    [
        ("2025-12-31 23:59:59.999999", "acme", "2"),
        ("2026-01-01 00:00:00", "acme", "1.7"),
        ("2026-12-31 23:59:59.999999", "acme", "1.7"),
        ("2027-01-01 00:00:00", "acme", "2"),
        ("2026-06-01 00:00:00", "other", "2"),
        ("2026-06-01 00:00:00", None, "2"),
    ],
)
def test_a_contract_holds_for_its_account_from_its_first_instant_to_before_its_last(
    at: str, account: str | None, cost: str
) -> None:
    prices = with_contract(card(LIST))
    assert costs(prices, used(at=at, account_id=account)) == [(Decimal(cost), Decimal(2))]


def test_a_contract_for_every_account_gives_way_to_an_accounts_own() -> None:
    both = with_contract(card(LIST))
    every = Contract("everyone", None, EVER, OPEN)
    offer = percent_off(both, every, Decimal(5))
    both = validated(applied(both, plan(both, offer, THIRD_VERSION), "another", "", THIRD_VERSION))
    items = [used(at="2026-06-01", account_id=account) for account in ("acme", "other", None)]
    assert costs(both, *items) == [(Decimal("1.9"), 2), (Decimal("1.7"), 2), (Decimal("1.9"), 2)]


def test_what_the_book_does_not_have_costs_the_list_price() -> None:
    book = card("m standard input uncached 0 - - 1")
    offer = percent_off(book, replace(ACME, starts_at=EVER), Decimal(50))
    prices = card(LIST)
    prices = applied(prices, plan(prices, offer, SECOND_VERSION), "a contract", "", SECOND_VERSION)
    output = used(at="2026-06-01", account_id="acme", meter="output")
    [input_row, output_row] = rated(prices, used(at="2026-06-01", account_id="acme"), output)
    assert (input_row["cost_usd"], input_row["list_cost_usd"]) == (Decimal("0.5"), Decimal(2))
    assert (output_row["cost_usd"], output_row["list_cost_usd"]) == (Decimal(8), Decimal(8))


@pytest.mark.parametrize(("over", "band", "cost"), [(0, 0, "0.5"), (200_000, 200_000, "4")])
def test_a_band_that_the_book_does_not_have_costs_the_list_price(over: int, band: int, cost: str) -> None:
    """The book halves 1 below the threshold and is silent above it, where the list asks for 4."""
    prices = card(LIST + "m standard input uncached 200000 - - 4")
    offer = percent_off(card("m standard input uncached 0 - - 1"), replace(ACME, starts_at=EVER), Decimal(50))
    prices = applied(prices, plan(prices, offer, SECOND_VERSION), "a contract", "", SECOND_VERSION)

    [row] = rated(prices, used(at="2026-06-01", account_id="acme", prompt_over_tokens=over))

    assert (row["context_over_tokens"], row["cost_usd"]) == (band, Decimal(cost))
    assert row["list_cost_usd"] == Decimal(4 if over else 2)


def test_a_percentage_off_an_inferred_rate_is_inferred() -> None:
    inferred = "m  standard  input  cached  0  -  -  1  inferred"
    cached = used(at="2026-06-01", account_id="acme", caching_status="cached")

    [mine, plain] = rated(with_contract(card(LIST + inferred)), cached, used(at="2026-06-01", account_id="acme"))

    assert (mine["cost_usd"], mine["price_status"]) == (Decimal("0.85"), "priced_inferred")
    assert (plain["cost_usd"], plain["price_status"]) == (Decimal("1.7"), "priced")


def test_a_model_of_the_contract_alone_costs_that_also_at_list_and_for_nobody_else() -> None:
    offer = percent_off(card("own standard input uncached 0 - - 4"), ACME, Decimal(50))
    prices = card(LIST)
    prices = applied(prices, plan(prices, offer, SECOND_VERSION), "a contract", "", SECOND_VERSION)
    mine, theirs = (used(at="2026-06-01", account_id=account, model="own") for account in ("acme", "other"))
    [own, other] = rated(prices, mine, theirs)
    assert (own["cost_usd"], own["list_cost_usd"], own["price_status"]) == (2, 2, "priced")
    assert other["price_status"] == "unpriced_unknown_model"


def test_a_day_that_was_rated_before_the_contract_was_known_keeps_its_price() -> None:
    prices = with_contract(card(LIST))
    before, after = (used(at="2026-06-01", account_id="acme", rate_version=version) for version in (1, 2))
    assert costs(prices, before) == [(Decimal(2), Decimal(2))]
    assert costs(prices, after) == [(Decimal("1.7"), Decimal(2))]


@pytest.mark.parametrize("percent", ["0", "100", "-5"])
def test_a_percentage_is_above_0_and_below_100(percent: str) -> None:
    with pytest.raises(UsageError, match="above 0 and below 100"):
        percent_off(card(LIST), ACME, Decimal(percent))


def test_a_percentage_that_is_not_exact_in_six_decimals_is_refused_naming_the_rates() -> None:
    odd = card("m standard input uncached 0 - - 0.00001")
    with pytest.raises(RateCardError, match=r"uncached/0/list from ever: 0.00001 would be 0.00000875"):
        percent_off(odd, ACME, Decimal("12.5"))
    # 0.00001 - 10 % = 0.000009 is exact.
    assert percent_off(odd, ACME, Decimal(10)).entries["rates"][0].value == Decimal("0.000009")


@pytest.mark.parametrize("book", ["list", "", "Acme", "a/b", "a:b", "-a"])
def test_a_name_that_no_book_can_have_is_refused(book: str) -> None:
    with pytest.raises(UsageError, match="--book"):
        percent_off(card(LIST), replace(ACME, book=book), Decimal(5))


def test_two_contracts_of_one_account_at_once_are_refused_and_a_dearer_rate_is_a_warning() -> None:
    prices = with_contract(card(LIST))
    second = contract_offer(replace(ACME, book="acme-b"), percent_off(prices, replace(ACME, book="x"), Decimal(20)))
    conflict = plan(prices, second, THIRD_VERSION)
    assert [change.kind for change in conflict.changes if change.table == "contracts"] == ["conflicting"]
    dearer = card(LIST.replace(" 8", " 9").replace(" 2\\n", " 3\\n"))
    assert "contract_dearer_than_list" not in {finding.check for finding in check(prices)}
    offer = percent_off(dearer, ACME, Decimal("0.5"))
    known = card(LIST)
    above = applied(known, plan(known, offer, SECOND_VERSION), "a contract", "", SECOND_VERSION)
    # 9 - 0.5 % = 8.955, and the list says 8.
    assert [finding.check for finding in check(above)] == ["contract_dearer_than_list"]


def test_from_the_command_line_to_the_rollups_and_back(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse"
    done = costroll(
        "rates", "import", "--book", "acme-2026", "--account", "acme", "--percent-off", "10", "--provider", "openai",
        "--effective-from", "2026-01-01", "--apply", "--json", "--warehouse", warehouse,
    )  # fmt: skip
    assert done.code == 0 and done.said["rate_version"] == 2
    log = write_jsonl(tmp_path / "a.jsonl", [chat("a", int(datetime(2026, 6, 1, tzinfo=UTC).timestamp()))])
    assert costroll("run", log, "--account", "acme", "--warehouse", warehouse).code == 0
    rows = {row[0]: row[1:] for row in rows_of(warehouse, "rollups", "meter", "cost_usd", "list_cost_usd", "rate_id")}
    # 1,000 x 0.15 and 100 x 0.60 per million, each less 10 %.
    assert rows["input"][:2] == (Decimal("0.000135"), Decimal("0.00015"))
    assert rows["output"][:2] == (Decimal("0.000054"), Decimal("0.00006"))
    assert rows["input"][2].startswith("acme-2026:openai/gpt-4o-mini-2024-07-18/standard/input/uncached>0@2026-01-01")
    charged = costroll(
        "sql", "SELECT sum(cost_usd) AS c, sum(list_cost_usd) AS l FROM charges", "--json", "--warehouse", warehouse
    )
    assert json.loads(charged.out) == [{"c": "0.000189000000", "l": "0.000210000000"}]
    explained = costroll("explain", "--day", "2026-06-01", "--meter", "input", "--warehouse", warehouse).out
    assert "at list price it is 0.00015 USD; a contract is in force" in explained
    assert costroll("verify", "--warehouse", warehouse).code == 0
    assert costroll("rates", "undo", "2", "--apply", "--warehouse", warehouse).code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--percent-off", "5"],
        ["--book", "acme"],
        ["--book", "acme", "--percent-off", "five"],
        ["--account", "acme", "prices.csv"],
    ],
)
def test_a_command_line_that_is_half_a_contract_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prices.csv").touch()
    assert costroll("rates", "import", *arguments, "--warehouse", tmp_path / "warehouse").code == 2
