"""Rating: which rate applies, what it costs to the last digit, and what is said where no rate applies."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.errors import IntegrityError, RateCardError
from etl.rate_card import RateCard, shipped_card, thresholds
from etl.rating import rate
from etl.schema import arrow_schema
from tests.small_card import SECOND_VERSION, THIRD_VERSION, card, quantities, rated, then, used

MICROSECOND = timedelta(microseconds=1)


@pytest.fixture(scope="module")
def shipped() -> RateCard:
    return shipped_card()


def cost_of(prices: RateCard, **row: Any) -> Decimal | None:
    [rollup] = rated(prices, used(**row))
    cost: Decimal | None = rollup["cost_usd"]
    return cost


def status_of(prices: RateCard, **row: Any) -> str:
    [rollup] = rated(prices, used(**row))
    return str(rollup["price_status"])


def over(prices: RateCard, prompt_tokens: int) -> int:
    """The largest threshold of the card that a prompt is strictly above."""
    return max((threshold for threshold in thresholds(prices) if prompt_tokens > threshold), default=0)


# ------------------------------------------------------------------------------------------------------------ in force


@pytest.mark.parametrize(
    ("at", "cost_usd"),
    [
        ("2025-06-09T23:59:59.999999", "10"),
        ("2025-06-10T00:00:00.000000", "2"),
        ("2025-06-10T00:00:00.000001", "2"),
    ],
)
def test_a_price_cut_starts_at_its_first_instant(at: str, cost_usd: str) -> None:
    price_cut = card("""
        m  standard  input  uncached  0  -           2025-06-10  10
        m  standard  input  uncached  0  2025-06-10  -           2
    """)
    assert cost_of(price_cut, at=at, quantity=1_000_000) == Decimal(cost_usd)


@pytest.mark.parametrize(
    ("at", "cost_usd"),
    [("2025-06-10T16:59:59.999999", "10"), ("2025-06-10T17:00:00", "2"), ("2025-06-10T17:00:00.000001", "2")],
)
def test_a_price_can_change_during_a_day(at: str, cost_usd: str) -> None:
    price_cut = card("""
        m  standard  input  uncached  0  -                     2025-06-10T17:00:00Z  10
        m  standard  input  uncached  0  2025-06-10T17:00:00Z  -                     2
    """)
    assert cost_of(price_cut, at=at) == Decimal(cost_usd)


@pytest.mark.parametrize(
    ("at", "status"),
    [
        ("2025-05-31T23:59:59.999999", "unpriced_before_first_rate"),
        ("2025-06-01", "priced"),
        ("2025-06-30T23:59:59.999999", "priced"),
        ("2025-07-01", "unpriced_no_rate"),
    ],
)
def test_a_rate_applies_from_its_start_to_before_its_end(at: str, status: str) -> None:
    assert status_of(card("m standard input uncached 0 2025-06-01 2025-07-01 3"), at=at) == status


def test_o3_became_five_times_cheaper_on_the_tenth_of_june_2025(shipped: RateCard) -> None:
    before = [used(model="o3", at="2025-06-09"), used(model="o3", at="2025-06-09", meter="output")]
    after = [used(model="o3", at="2025-06-10"), used(model="o3", at="2025-06-10", meter="output")]
    assert [row["cost_usd"] for row in rated(shipped, *before)] == [Decimal(10), Decimal(40)]
    assert [row["cost_usd"] for row in rated(shipped, *after)] == [Decimal(2), Decimal(8)]


def test_gpt_4o_costs_5_up_to_the_first_of_october_2024_and_2_50_from_the_second(shipped: RateCard) -> None:
    assert cost_of(shipped, model="gpt-4o", at="2024-10-01T23:59:59.999999") == Decimal("5")
    assert cost_of(shipped, model="gpt-4o", at="2024-10-02") == Decimal("2.5")


def test_cached_input_in_batch_costs_what_batch_input_costs_and_says_that_it_is_inferred(shipped: RateCard) -> None:
    [row] = rated(shipped, used(model="gpt-4o-mini", tier="batch", caching_status="cached"))
    assert (row["cost_usd"], row["price_status"]) == (Decimal("0.075"), "priced_inferred")


# --------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("at", "cost_usd"), [("2024-10-01T23:59:59.999999", "5"), ("2024-10-02", "2"), ("2024-10-02T00:00:00.000001", "2")]
)
def test_an_alias_leads_to_the_model_of_that_instant(at: str, cost_usd: str) -> None:
    moving = card(
        """
        m-may     standard  input  uncached  0  -  -  5
        m-august  standard  input  uncached  0  -  -  2
        """,
        """
        m  m-may     -           2024-10-02
        m  m-august  2024-10-02  -
        """,
    )
    assert cost_of(moving, at=at) == Decimal(cost_usd)


@pytest.mark.parametrize(
    ("at", "status"),
    [
        ("2025-05-31T23:59:59.999999", "unpriced_unknown_model"),
        ("2025-06-01", "priced"),
        ("2025-06-30T23:59:59.999999", "priced"),
        ("2025-07-01", "unpriced_unknown_model"),
    ],
)
def test_an_alias_that_is_not_in_force_leads_nowhere(at: str, status: str) -> None:
    assert status_of(card("n standard input uncached 0 - - 5", "m n 2025-06-01 2025-07-01"), at=at) == status


def test_the_rollup_names_the_model_it_was_priced_under() -> None:
    [row] = rated(card("m-may standard input uncached 0 - - 5", "m m-may - -"), used(model="m"))
    assert (row["model"], row["priced_model"]) == ("m", "m-may")
    assert row["rate_id"] == "openai/m-may/standard/input/uncached>0@ever#1"


def test_an_exact_id_with_any_rate_at_all_never_falls_through_to_its_alias() -> None:
    both = card("m batch input uncached 0 - - 1\nm-may standard input uncached 0 - - 5", "m m-may - -")
    assert status_of(both, model="m", tier="standard") == "unpriced_unknown_tier"


@pytest.mark.parametrize(
    ("model", "priced_model", "cost_usd"),
    [
        ("ft:m", "ft:m", "3"),
        ("ft:m:org::id", "ft:m", "3"),
        ("ft:m:org:suffix:id:ckpt-step-50", "ft:m", "3"),
        ("ft:n:org::id", "ft:n-2024", "4"),
        ("ft:special:org::id", "ft:special:org::id", "9"),
    ],
)
def test_a_fine_tuned_model_is_priced_as_itself_else_as_its_base(model: str, priced_model: str, cost_usd: str) -> None:
    tuned = card(
        """
        m                   standard  input  uncached  0  -  -  1
        ft:m                standard  input  uncached  0  -  -  3
        ft:n-2024           standard  input  uncached  0  -  -  4
        ft:special          standard  input  uncached  0  -  -  8
        ft:special:org::id  standard  input  uncached  0  -  -  9
        """,
        "ft:n  ft:n-2024  -  -",
    )
    [row] = rated(tuned, used(model=model))
    assert (row["priced_model"], row["cost_usd"]) == (priced_model, Decimal(cost_usd))


@pytest.mark.parametrize("model", [None, "", "M", "m-2024", "m ", "ft:other:m", "ft::m", "ft:"])
def test_a_similar_name_is_never_a_guess(model: str | None) -> None:
    prices = card("m standard input uncached 0 - - 1\nft:m standard input uncached 0 - - 3")
    [row] = rated(prices, used(model=model))
    assert (row["price_status"], row["cost_usd"], row["priced_model"]) == ("unpriced_unknown_model", None, None)


def test_another_providers_model_of_the_same_name_is_not_this_one() -> None:
    assert status_of(card("m standard input uncached 0 - - 1"), provider="azure") == "unpriced_unknown_model"


# --------------------------------------------------------------------------------------------------------------- bands

LONG_CONTEXT = """
    m  standard  input   uncached        0       -  -  2.50
    m  standard  input   uncached        272000  -  -  5
    m  standard  output  not_applicable  0       -  -  15
    m  standard  output  not_applicable  272000  -  -  22.50
    m  priority  input   uncached        0       -  -  5
"""


@pytest.mark.parametrize(
    ("prompt_tokens", "band", "cost_usd"),
    [(271_999, 0, "2.5"), (272_000, 0, "2.5"), (272_001, 272_000, "5"), (1_000_000, 272_000, "5")],
)
def test_a_threshold_is_strict(prompt_tokens: int, band: int, cost_usd: str) -> None:
    prices = card(LONG_CONTEXT)
    [row] = rated(prices, used(prompt_over_tokens=over(prices, prompt_tokens)))
    assert (row["context_over_tokens"], row["cost_usd"]) == (band, Decimal(cost_usd))


def test_a_threshold_covers_the_whole_request() -> None:
    # 1,000,000 x 5 + 1,000,000 x 22.50, each by 1,000,000
    rows = [used(prompt_over_tokens=272_000), used(prompt_over_tokens=272_000, meter="output")]
    assert [row["cost_usd"] for row in rated(card(LONG_CONTEXT), *rows)] == [Decimal("5"), Decimal("22.5")]


def test_a_band_that_only_another_tier_has_leaves_the_request_unpriced() -> None:
    [row] = rated(card(LONG_CONTEXT), used(tier="priority", prompt_over_tokens=272_000))
    assert (row["price_status"], row["context_over_tokens"]) == ("unpriced_no_rate", 272_000)
    assert cost_of(card(LONG_CONTEXT), tier="priority") == Decimal(5)


@pytest.mark.parametrize(("at", "band"), [("2026-03-12T23:59:59.999999", 200_000), ("2026-03-13", 0)])
def test_a_band_counts_only_while_a_rate_of_it_is_in_force(at: str, band: int) -> None:
    ended = card("""
        m  standard  input  uncached  0       -  -           5
        m  standard  input  uncached  200000  -  2026-03-13  10
    """)
    [row] = rated(ended, used(at=at, prompt_over_tokens=200_000))
    assert row["context_over_tokens"] == band


def test_a_threshold_of_another_model_does_not_matter() -> None:
    prices = card(f"{LONG_CONTEXT}\nn standard input uncached 0 - - 1\nn standard input uncached 128000 - - 2")
    [row] = rated(prices, used(model="n", prompt_over_tokens=272_000))
    assert (row["context_over_tokens"], row["cost_usd"]) == (128_000, Decimal(2))


def test_an_aggregate_that_may_hide_long_requests_is_a_lower_bound() -> None:
    [row] = rated(card(LONG_CONTEXT), used(source_kind="aggregate", prompt_over_tokens=272_000))
    assert (row["price_status"], row["context_over_tokens"], row["cost_usd"]) == (
        "priced_lower_bound",
        0,
        Decimal("2.5"),
    )
    assert status_of(card("m standard input uncached 0 - - 1"), source_kind="aggregate") == "priced"


# -------------------------------------------------------------------------------------------------------- price status

STATUSES = """
    m  standard  input  uncached  0       2025-01-01  -  2
    m  standard  input  uncached  272000  2025-01-01  -  4
    m  standard  input  cached    0       2025-01-01  -  1             inferred
    n  standard  input  uncached  0       2025-01-01  -  2             inferred
    n  standard  input  cached    0       2025-01-01  -  1
    n  flex      input  uncached  0       2025-01-01  -  1             inferred
    n  flex      input  cached    0       2025-01-01  -  1
    p  provisioned    input  uncached  0  2025-01-01  -  0.5
"""


@pytest.mark.parametrize(
    ("row", "status"),
    [
        # The first that applies: each row would also meet a later one.
        ({"meter": "requests", "model": "unheard-of", "tier": None}, "not_charged"),
        ({"model": "unheard-of", "tier": "provisioned"}, "unpriced_unknown_model"),
        ({"tier": "provisioned", "at": "2024-01-01"}, "unpriced_provisioned"),
        ({"tier": "complimentary", "at": "2024-01-01"}, "unpriced_complimentary"),
        ({"tier": "ultrafast", "at": "2024-01-01"}, "unpriced_unknown_tier"),
        ({"tier": None}, "unpriced_unknown_tier"),
        ({"at": "2024-12-31T23:59:59.999999"}, "unpriced_before_first_rate"),
        ({"meter": "output"}, "unpriced_no_rate"),
        ({"source_kind": "aggregate", "cached_is_split": False}, "priced_lower_bound"),
        ({"model": "n", "cached_is_split": False}, "priced_upper_bound"),
        ({"model": "n"}, "priced_inferred"),
        ({"model": "n", "tier": "flex", "cached_is_split": False}, "priced_inferred"),
        ({"model": "p", "tier": "provisioned"}, "priced"),
        ({}, "priced"),
    ],
)
def test_the_first_price_status_that_applies_is_given(row: dict[str, Any], status: str) -> None:
    [rollup] = rated(card(STATUSES), used(**row))
    assert rollup["price_status"] == status
    is_unpriced = status.startswith("unpriced")
    assert (rollup["cost_usd"] is None, rollup["list_cost_usd"] is None) == (is_unpriced, is_unpriced)
    assert (rollup["rate_id"] is None) == (not status.startswith("priced"))


@pytest.mark.parametrize(("at", "status"), [("2024-09-30", "priced"), ("2024-10-01", "priced_upper_bound")])
def test_a_log_that_does_not_split_cached_input_is_an_upper_bound_once_cached_input_is_cheaper(
    at: str, status: str
) -> None:
    prices = card("m standard input uncached 0 - - 2\nm standard input cached 0 2024-10-01 - 1")
    assert status_of(prices, at=at, cached_is_split=False) == status


def test_requests_cost_nothing_and_have_no_rate() -> None:
    [row] = rated(card(STATUSES), used(7, meter="requests", caching_status="cached"))
    assert (row["quantity"], row["unit"], row["cost_usd"]) == (7, "requests", Decimal(0))
    assert (row["rate_usd_per_million"], row["rate_id"], row["rate_version"], row["priced_model"]) == (None,) * 4


# ------------------------------------------------------------------------------------------------------------ versions

FIRST = card("m standard input uncached 0 - - 2")
SECOND = card("m standard input uncached 0 - - 3\nn standard input uncached 0 - - 7", "", 2, SECOND_VERSION)
CORRECTED = then(FIRST, SECOND, superseded=["openai/m/standard/input/uncached>0@ever#1"])


def test_a_day_keeps_the_version_it_was_rated_with() -> None:
    [row] = rated(CORRECTED, used(rate_version=1))
    assert (row["cost_usd"], row["rate_version"]) == (Decimal(2), 1)


def test_a_day_that_was_never_rated_takes_the_newest_version() -> None:
    [row] = rated(CORRECTED, used(rate_version=None))
    assert (row["cost_usd"], row["rate_version"]) == (Decimal(3), 2)


def test_the_rate_version_is_the_one_that_introduced_the_rate() -> None:
    added = then(FIRST, card("n standard input uncached 0 - - 7", "", 2, SECOND_VERSION))
    [row] = rated(added, used(model="m", rate_version=2))
    assert row["rate_version"] == 1


def test_what_found_no_rate_at_its_days_version_is_tried_at_the_newest() -> None:
    [row] = rated(CORRECTED, used(model="n", rate_version=1))
    assert (row["cost_usd"], row["rate_version"], row["price_status"]) == (Decimal(7), 2, "priced")


def test_an_alias_of_a_later_version_heals_too() -> None:
    named = then(FIRST, card("n standard input uncached 0 - - 7", "called-m m - -", 2, SECOND_VERSION))
    [row] = rated(named, used(model="called-m", rate_version=1))
    assert (row["cost_usd"], row["priced_model"]) == (Decimal(2), "m")


def test_an_alias_is_known_until_the_version_that_supersedes_it() -> None:
    first = card("m-1 standard input uncached 0 - - 5\nm-2 standard input uncached 0 - - 6", "m m-1 - -")
    moved = then(first, card("", "m m-2 - -", 2, SECOND_VERSION), superseded=["m"])
    assert [cost_of(moved, rate_version=version) for version in (1, 2, None)] == [Decimal(5), Decimal(6), Decimal(6)]


def test_what_once_healed_keeps_that_price_when_a_still_newer_version_changes_it() -> None:
    third = card("n standard input uncached 0 - - 8", "", 3, THIRD_VERSION)
    moved = then(CORRECTED, third, superseded=["openai/n/standard/input/uncached>0@ever#2"])
    row = used(model="n", rate_version=1, at="2025-11-01")
    healed = pl.DataFrame({"day": [date(2025, 11, 1)], "rate_version": [2]})
    assert [found["cost_usd"] for found in rated(moved, row, healed=healed)] == [Decimal(7)]
    assert [found["cost_usd"] for found in rated(moved, row)] == [Decimal(8)]


def test_a_card_as_it_was_known_rates_as_it_did_then() -> None:
    assert cost_of(CORRECTED.as_known(1)) == Decimal(2)
    assert status_of(CORRECTED.as_known(1), model="n") == "unpriced_unknown_model"
    assert cost_of(CORRECTED.as_known(2)) == Decimal(3)


def test_a_day_rated_with_a_version_the_card_does_not_have_is_refused() -> None:
    with pytest.raises(RateCardError, match="does not have version 5"):
        rated(FIRST, used(rate_version=5))


# ----------------------------------------------------------------------------------------------------------- exactness


@settings(max_examples=20, deadline=None)
@given(
    amounts=st.lists(st.tuples(st.integers(1, 10**12), st.integers(0, 4)), min_size=1, max_size=20),
    millionths=st.lists(st.integers(0, 10**12), min_size=5, max_size=5),
)
def test_rating_loses_no_digit(amounts: list[tuple[int, int]], millionths: list[int]) -> None:
    rates = [Decimal(number).scaleb(-6) for number in millionths]
    prices = card("\n".join(f"m{model} standard input uncached 0 - - {usd:f}" for model, usd in enumerate(rates)))
    found = rated(prices, *(used(amount, model=f"m{model}") for amount, model in amounts))
    exact = sum(amount * rates[model] * Decimal("0.000001") for amount, model in amounts)
    assert sum(row["cost_usd"] for row in found) == exact
    assert sum(row["quantity"] for row in found) == sum(amount for amount, _ in amounts)


@settings(max_examples=20, deadline=None)
@given(
    split=st.datetimes(datetime(2025, 6, 1), datetime(2025, 6, 30)),
    others=st.lists(st.datetimes(datetime(2025, 6, 1), datetime(2025, 6, 30)), max_size=5),
)
def test_splitting_an_interval_at_any_instant_changes_no_cost(split: datetime, others: list[datetime]) -> None:
    halves = card(f"""
        m  standard  input  uncached  0  -                    {split.isoformat()}Z  3
        m  standard  input  uncached  0  {split.isoformat()}Z -                     3
    """)
    instants = [split - MICROSECOND, split, split + MICROSECOND, *others]
    rows = [used(1_234_567, at.isoformat(), project_id=str(number)) for number, at in enumerate(instants)]
    # 1,234,567 x 3 = 3,703,701, as it is without the split
    assert [row["cost_usd"] for row in rated(halves, *rows)] == [Decimal("3.703701")] * len(instants)


def test_the_smallest_and_the_largest_cost_are_exact() -> None:
    assert cost_of(card("m standard input uncached 0 - - 0.000001"), quantity=1) == Decimal("0.000000000001")
    dear = card("m standard input uncached 0 - - 999999999999.999999")
    assert cost_of(dear, quantity=10**12) == Decimal("999999999999999999.000000000000")


# --------------------------------------------------------------------------------------------------- closure and bytes


def test_rows_that_differ_only_in_what_no_price_depends_on_are_summed() -> None:
    rows = [used(3, cached_is_split=True), used(4, cached_is_split=False), used(5, prompt_over_tokens=272_000)]
    [row] = rated(card("m standard input uncached 0 - - 1"), *rows)
    assert (row["quantity"], row["cost_usd"]) == (12, Decimal("0.000012"))


def test_the_bytes_do_not_depend_on_the_order_of_the_quantities(shipped: RateCard) -> None:
    rows = [
        used(quantity, model=model, project_id=project, at=at, meter=meter)
        for quantity, model in enumerate(["o3", "gpt-4o", None, "unheard-of"], 1)
        for project in (None, "a", "B", "é")
        for at in ("2025-06-09", "2025-06-10")
        for meter in ("input", "output")
    ]
    shuffled = random.Random(7).sample(rows, len(rows))
    first, second = rate(quantities(*rows), shipped), rate(quantities(*shuffled).to_arrow(), shipped)
    assert first.equals(second)
    assert first.schema == arrow_schema("rollups")
    assert first["project_id"].to_pylist()[:2] == [None, None]


def test_nothing_in_gives_nothing_out_with_every_column() -> None:
    assert rate(quantities(), FIRST).schema == arrow_schema("rollups")


def test_two_rates_in_force_at_once_are_refused_by_name_and_never_counted_twice() -> None:
    doubled = card("m standard input uncached 0 - - 2\nm standard input uncached 0 2025-01-01 - 3")
    both = r"uncached>0@2025-01-01#1 and openai/m/standard/input/uncached>0@ever#1"
    with pytest.raises(IntegrityError, match=both):
        rated(doubled, used(at="2025-06-01"))


def test_a_sum_that_does_not_fit_64_bits_is_refused() -> None:
    with pytest.raises(IntegrityError):
        rated(FIRST, used(2**63 - 1), used(1))


@pytest.mark.parametrize("wrong", [{"meter": "thoughts"}, {"meter": "output", "caching_status": "cached"}])
def test_what_is_not_in_the_meter_registry_is_not_lost_but_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="do not close after rating"):
        rated(FIRST, used(**wrong))


def test_quantities_without_a_column_or_a_day_are_refused() -> None:
    with pytest.raises(IntegrityError, match="not quantities"):
        rate(quantities(used()).drop("tier"), FIRST)
    with pytest.raises(IntegrityError, match="without `day`"):
        rated(FIRST, used() | {"day": None})
