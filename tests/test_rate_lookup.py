"""What the card says about a model: its names, what is in force, and what was before; in cards of a few rows."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import pytest

from etl.errors import UsageError
from etl.rate_card import RateCard
from etl.rate_lookup import Lookup, history, lookup, priced_as
from tests.small_card import SECOND_VERSION, card, then

PRICES = """
    m  priority   input   uncached        0       -           -           7
    m  batch      input   uncached        0       -           -           6
    m  flex       input   uncached        0       -           -           8
    m  ultrafast  input   uncached        0       -           -           9
    m  standard   output  not_applicable  0       -           -           5
    m  standard   input   uncached        272000  -           -           4
    m  standard   input   cached          0       -           -           3
    m  standard   input   uncached        0       2025-06-10  -           2
    m  standard   input   uncached        0       -           2025-06-10  1
    n  standard   input   uncached        0       -           -           10
"""
NAMES = """
    latest  m  -           2025-06-10
    latest  n  2025-06-10  -
"""
CUT = datetime(2025, 6, 10)
BEFORE = datetime(2025, 6, 9, 23, 59, 59, 999_999)


@pytest.fixture(scope="module")
def prices() -> RateCard:
    return card(PRICES, NAMES)


def usd(found: Lookup) -> list[int]:
    return [int(rate) for rate in found.rates["rate_usd_per_million"]]


@pytest.mark.parametrize(("at", "in_force"), [(BEFORE, 1), (CUT, 2)])
def test_the_rates_in_force_are_told_in_the_order_in_which_people_look(
    prices: RateCard, at: datetime, in_force: int
) -> None:
    """Standard, batch, flex, priority, then others; short contexts first; then meters as the registry has them."""
    [found] = lookup(prices, "m", at)
    assert (found.provider, found.path) == ("openai", ("m",))
    assert usd(found) == [in_force, 3, 5, 4, 6, 8, 7, 9]


def test_one_tier_can_be_asked_for(prices: RateCard) -> None:
    [found] = lookup(prices, "m", CUT, tier="standard")
    assert usd(found) == [2, 3, 5, 4]


def test_history_tells_every_rate_in_order_of_time(prices: RateCard) -> None:
    [found] = history(prices, "m")
    assert usd(found)[:2] == [1, 2]
    assert sorted(usd(found)) == list(range(1, 10))


def test_an_alias_leads_to_the_model_that_it_named_then(prices: RateCard) -> None:
    assert [found.path for found in lookup(prices, "latest", BEFORE)] == [("latest", "m")]
    assert [found.path for found in lookup(prices, "latest", CUT)] == [("latest", "n")]
    assert [found.path for found in history(prices, "latest")] == [("latest", "m"), ("latest", "n")]


def test_a_fine_tuned_name_leads_over_its_base() -> None:
    tuned = card("ft:m standard input uncached 0 - - 3\nx standard input uncached 0 - - 4", "ft:y x 2025-06-10 -")
    assert [found.path for found in lookup(tuned, "ft:m:org::id", CUT)] == [("ft:m:org::id", "ft:m")]
    assert [found.path for found in history(tuned, "ft:y:org::id")] == [("ft:y:org::id", "ft:y", "x")]


def test_each_provider_that_has_the_model_answers(prices: RateCard) -> None:
    azure = {"provider": pl.lit("azure")}
    both = RateCard(
        rates=pl.concat([prices.rates.filter(pl.col("model") == "n").with_columns(**azure), prices.rates]),
        aliases=prices.aliases,
        versions=prices.versions,
    )
    assert [(found.provider, usd(found)) for found in lookup(both, "n", CUT)] == [("azure", [10]), ("openai", [10])]
    assert [found.provider for found in lookup(both, "n", CUT, "openai")] == ["openai"]
    assert [found.provider for found in history(both, "n", "azure")] == ["azure"]
    with pytest.raises(UsageError, match="no provider 'aws'; it has azure, openai"):
        lookup(both, "n", CUT, "aws")
    assert priced_as(both, [("openai", "latest", CUT), ("azure", "n", CUT), ("azure", "m", CUT)]) == {
        ("openai", "latest"): "n",
        ("azure", "n"): "n",
    }


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("lates", "near names are latest"),
        ("ates", "near names are latest"),
        ("st", "near names are latest"),  # not alike, but a part of it
        ("zzz", "no name is near it"),
    ],
)
def test_an_unknown_model_is_told_with_the_names_near_it(prices: RateCard, asked: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"no rates of '{asked}', .*{hint}"):
        lookup(prices, asked, CUT)
    with pytest.raises(UsageError, match=f"no rates of '{asked}' of openai"):
        history(prices, asked, "openai")


def test_no_more_than_five_near_names_are_told() -> None:
    many = card("\n".join(f"{letter * 9}-mini standard input uncached 0 - - 1" for letter in "fabcdeg"))
    with pytest.raises(UsageError, match=r"near names are a+-mini, b+-mini, c+-mini, d+-mini, e+-mini$"):
        lookup(many, "mini", CUT)
    alike = card("\n".join(f"model-{letter} standard input uncached 0 - - 1" for letter in "fabcdeg"))
    with pytest.raises(UsageError, match=r"near names are (model-\w, ){4}model-\w$"):
        lookup(alike, "model-", CUT)


def test_the_newest_version_answers() -> None:
    first = card("m standard input uncached 0 - - 2")
    newer = then(
        first,
        card("m standard input uncached 0 - - 3", "called-m m - -", 2, SECOND_VERSION),
        superseded=["openai/m/standard/input/uncached>0@ever#1"],
    )
    [found] = lookup(newer, "called-m", CUT)
    assert (found.path, usd(found)) == (("called-m", "m"), [3])
    [then_known] = lookup(newer.as_known(1), "m", CUT)
    assert usd(then_known) == [2]
