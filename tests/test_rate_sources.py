"""The public files of rates: every price key is mapped or listed with its reason; each format's traps, one by one.

The files here are small and made up; docs/public_rates.py takes the real ones out of their wheels.
"""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from etl.rate_offers import EVER, OPEN, Offer
from etl.rate_plan import plan
from etl.rate_sources import read_offer
from etl.rate_sources.base import MILLION, exact
from tests.nights import costroll
from tests.small_card import card

NOW = datetime(2026, 11, 22, 12)


def offer(folder: Path, content: Any, effective_from: datetime | None = None) -> Offer:
    """The offer of a JSON document; a text is written as it is."""
    file = folder / "prices.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_offer(file, NOW, effective_from)


def rates(found: Offer) -> dict[tuple[Any, ...], str]:
    """(model, tier, meter, caching status, threshold) -> rate."""
    return {entry.key[1:6]: f"{entry.value.normalize():f}" for entry in found.entries["rates"]}  # type: ignore[union-attr]


def unmapped(found: Offer) -> dict[str, str]:
    return {one.key: one.reason for one in found.unmapped}


# ------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("per_token", "per_million"),
    [
        ("1.5e-07", "0.15"),
        ("1.4999999999999999e-07", "0.15"),
        ("5.0000000000000004e-08", "0.05"),
        ("0.00001", "10"),
        ("0", "0"),
        ("1.25e-10", "0.000125"),
        ("3", "3000000"),
    ],
)
def test_a_price_of_one_token_becomes_that_of_a_million_exactly(per_token: str, per_million: str) -> None:
    assert exact(Decimal(per_token), MILLION) == Decimal(per_million)


@pytest.mark.parametrize(
    "per_token",
    [
        "1.23456789e-07",  # 0.123456789: nine decimals that somebody meant
        "1.2345678901234567e-07",  # 17 digits, and no short number within the float's own noise
        "1.5000000000001e-07",  # 14 digits: too few for a float's noise
        "-1e-07",
        "1e10",
        "Infinity",
    ],
)
def test_a_price_that_is_not_exact_in_six_decimals_is_refused(per_token: str) -> None:
    with pytest.raises(ValueError, match=r"six decimals|negative or too large"):
        exact(Decimal(per_token), MILLION)


@pytest.mark.parametrize("written", [True, "0.1", None, [1]])
def test_what_is_no_number_is_no_price(written: Any) -> None:
    with pytest.raises(ValueError, match="not a number"):
        exact(written)


# ------------------------------------------------------------------------------------------------------- LiteLLM

REASONING = "reasoning is part of output here, and this price is another one"
LITELLM = """{
  "sample_spec": {"litellm_provider": "one of them", "input_cost_per_token": 0.0},
  "m": {"litellm_provider": "openai", "max_input_tokens": 1000, "supports_vision": true,
        "input_cost_per_token": 1.4999999999999999e-07, "output_cost_per_token": 6e-07,
        "input_cost_per_token_batches": 7.5e-08, "input_cost_per_token_above_272k_tokens_flex": 2e-06,
        "cache_creation_input_token_cost": 1e-06, "cache_creation_input_token_cost_above_12hr_above_272k_tokens": 3e-06,
        "output_cost_per_reasoning_token": 6e-07, "input_cost_per_token_balanced": 1e-06,
        "regional_processing_uplift_multiplier_eu": 1.1,
        "search_context_cost_per_query": {"search_context_size_low": 0.01, "search_context_size_high": 0.01}},
  "claude": {"litellm_provider": "anthropic", "input_cost_per_token": 3e-06,
        "cache_creation_input_token_cost": 3.75e-06,
        "cache_creation_input_token_cost_above_1hr": 6e-06, "provider_specific_entry": {"fast": 6.0},
        "search_context_cost_per_query": {"search_context_size_low": 0.01, "search_context_size_high": 0.02}},
  "gemini/g": {"litellm_provider": "gemini", "input_cost_per_token": 1e-06, "output_cost_per_reasoning_token": 9e-06},
  "g": {"litellm_provider": "gemini", "input_cost_per_token": 2e-06},
  "whisper": {"litellm_provider": "openai", "input_cost_per_second": 0.0001},
  "transcriber": {"litellm_provider": "openai", "input_cost_per_token": 2.5e-06, "input_cost_per_second": 0.0001},
  "azure/m": {"litellm_provider": "azure", "input_cost_per_token": 1e-06}
}"""


def test_every_price_key_of_litellm_is_mapped_or_listed(tmp_path: Path) -> None:
    found = offer(tmp_path, LITELLM)
    assert rates(found) == {
        ("m", "standard", "input", "uncached", 0): "0.15",
        ("m", "standard", "output", "not_applicable", 0): "0.6",
        ("m", "batch", "input", "uncached", 0): "0.075",
        ("m", "flex", "input", "uncached", 272_000): "2",
        ("m", "standard", "input", "cache_write", 0): "1",
        ("m", "standard", "input", "cache_write_12h", 272_000): "3",
        ("m", "standard", "web_search_calls", "not_applicable", 0): "10000",
        ("claude", "standard", "input", "uncached", 0): "3",
        ("claude", "standard", "input", "cache_write_5m", 0): "3.75",
        ("claude", "standard", "input", "cache_write_1h", 0): "6",
        ("g", "standard", "input", "uncached", 0): "1",
        ("whisper", "standard", "transcription_seconds", "not_applicable", 0): "100",
        ("transcriber", "standard", "input", "uncached", 0): "2.5",
    }
    assert [(one.where, one.key, one.reason) for one in found.unmapped] == [
        ("sample_spec", "input_cost_per_token", "an example, no model"),
        ("m", "input_cost_per_token_balanced", "balanced is no service tier that a log names"),
        ("m", "regional_processing_uplift_multiplier_eu", "counts what no meter counts, or by another unit"),
        ("claude", "provider_specific_entry", "counts what no meter counts, or by another unit"),
        ("claude", "search_context_cost_per_query", "a search has several prices, and a log does not tell which"),
        ("gemini/g", "output_cost_per_reasoning_token", REASONING),
        ("g", "input_cost_per_token", "another key or name of this model has another price for the same thing"),
        ("transcriber", "input_cost_per_second", "counts what no meter counts, or by another unit"),
        ("azure/m", "input_cost_per_token", "provider azure is not read"),
    ]  # fmt: skip
    # 13 rates, and the reasoning key that repeats the output's; eight providers, max_input_tokens, supports_vision.
    assert (found.mapped_keys, found.other_keys) == (14, 10)
    keys = sum(len(model) for model in json.loads(LITELLM).values())
    assert keys == found.mapped_keys + found.other_keys + len(found.unmapped)


def test_rates_of_litellm_begin_at_the_import_or_when_the_user_says(tmp_path: Path) -> None:
    assert {entry.starts_at for entry in offer(tmp_path, LITELLM).entries["rates"]} == {NOW}
    since = datetime(2026, 1, 1)
    assert {entry.starts_at for entry in offer(tmp_path, LITELLM, since).entries["rates"]} == {since}


# -------------------------------------------------------------------------------------------------- genai-prices


HISTORY = [{"prices": {"input_mtok": 10}}, {"constraint": {"start_date": "2025-06-10"}, "prices": {"input_mtok": 2}}]


def genai(**model: Any) -> list[dict[str, Any]]:
    """A v2 document of one OpenAI model."""
    return [{"id": "openai", "models": [{"id": "m", "match": {"equals": "m"}, **model}]}]


def test_genai_prices_of_one_entry_are_for_each_of_its_exact_names_and_for_no_pattern(tmp_path: Path) -> None:
    match = {"or": [{"equals": "m"}, {"equals": "m-2026-01-01"}, {"starts_with": "m-"}]}
    found = offer(tmp_path, genai(match=match, prices={"input_mtok": 0.15, "web_searches_kcount": 10}))
    assert rates(found) == {
        ("m", "standard", "input", "uncached", 0): "0.15",
        ("m", "standard", "web_search_calls", "not_applicable", 0): "10000",
        ("m-2026-01-01", "standard", "input", "uncached", 0): "0.15",
        ("m-2026-01-01", "standard", "web_search_calls", "not_applicable", 0): "10000",
    }
    assert unmapped(found) == {"match starts_with m-": "a pattern: names are never guessed"}


def test_a_list_of_genai_prices_is_a_history(tmp_path: Path) -> None:
    entries = offer(tmp_path, genai(prices=HISTORY)).entries["rates"]
    assert [(str(e.value), e.starts_at, e.ends_at, e.is_undated) for e in entries] == [
        ("1E+1", EVER, datetime(2025, 6, 10), True),
        ("2", datetime(2025, 6, 10), OPEN, False),
    ]


def test_a_date_of_verification_is_no_date_of_a_price(tmp_path: Path) -> None:
    looked = {
        "when": {"processing": "batch"}, "constraint": {"start_date": "2026-10-14"}, "prices": {"input_mtok": 1}
    }  # fmt: skip
    ahead = {"when": {"processing": "batch"}, "constraint": {"start_date": "2027-01-01"}, "prices": {"input_mtok": 3}}
    entries = offer(tmp_path, genai(prices=HISTORY, price_variants=[looked, ahead])).entries["rates"]
    # Somebody looked on 2026-10-14: the price holds since the last change that is known, and until the announced one.
    batch = [(str(e.value), e.starts_at, e.ends_at) for e in entries if e.key[2] == "batch"]
    assert batch == [
        ("1", datetime(2025, 6, 10), datetime(2027, 1, 1)),
        ("3", datetime(2027, 1, 1), OPEN),
    ]


def test_a_variant_is_a_partial_overlay_and_what_it_lacks_has_no_rate(tmp_path: Path) -> None:
    flex = {"when": {"service_tier": "flex"}, "prices": {"input_mtok": 1}}
    fast = {"when": {"service_tier": "fast"}, "prices": {"output_mtok": 9}}
    slow = {"when": {"speed": "slow"}, "prices": {"output_mtok": 9}}
    prices = {"input_mtok": 2, "output_mtok": 6}
    found = offer(tmp_path, genai(prices=prices, price_variants=[flex, fast, slow]))
    assert {key[1:3]: rate for key, rate in rates(found).items() if key[1] != "standard"} == {
        ("flex", "input"): "1",
        ("priority", "output"): "9",
    }
    assert unmapped(found) == {"{'speed': 'slow'} output_mtok": "holds under a condition that is no service tier"}


def test_tiers_do_not_leak_to_the_other_models_of_an_entry(tmp_path: Path) -> None:
    match = {"or": [{"equals": "m"}, {"equals": "m-2026-01-01"}, {"equals": "chat-latest"}]}
    flex = {"when": {"service_tier": "flex"}, "prices": {"input_mtok": 1}}
    found = offer(tmp_path, genai(match=match, prices={"input_mtok": 2}, price_variants=[flex]))
    assert sorted(key[0] for key in rates(found) if key[1] == "flex") == ["m", "m-2026-01-01"]


def test_a_threshold_is_the_last_count_that_is_not_over_it_also_where_an_older_file_names_the_one_before(
    tmp_path: Path,
) -> None:
    price = {"base": 2.5, "tiers": [{"start": 271_999, "price": 5}]}
    assert rates(offer(tmp_path, genai(prices={"input_mtok": price}))) == {
        ("m", "standard", "input", "uncached", 0): "2.5",
        ("m", "standard", "input", "uncached", 272_000): "5",
    }


def test_what_genai_prices_says_otherwise_is_listed(tmp_path: Path) -> None:
    by_hour = [{"prices": {"input_mtok": 1}}, {"constraint": {"start_time": "16:30:00Z"}, "prices": {"input_mtok": 2}}]
    assert unmapped(offer(tmp_path, genai(prices=by_hour))) == {"input_mtok": "it depends on the hour of the day"}
    image = genai(id="m-image", prices={"output_mtok": 40})
    assert "mostly images" in unmapped(offer(tmp_path, image))["standard output_mtok"]
    other = [{"id": "groq", "models": [{"id": "m", "match": {"equals": "m"}, "prices": {"input_mtok": 1}}]}]
    assert unmapped(offer(tmp_path, other)) == {"standard input_mtok": "provider groq is not read"}


# ---------------------------------------------------------------------------------------------------- llm-prices


def test_llm_prices_have_names_for_people_and_a_model_for_each_threshold(tmp_path: Path) -> None:
    def model(name: str, rate: float, **dates: str | None) -> dict[str, Any]:
        row = {"input": rate, "output": 10, "input_cached": None, "from_date": None, "to_date": None, **dates}
        return {"id": name, "name": name, "price_history": [row]}

    models = [model("claude-4.5-haiku", 1), model("claude-sonnet-4.5-200k", 6), model("claude-3.5-sonnet", 3)]
    found = offer(tmp_path, {"vendor": "anthropic", "models": models})
    assert rates(found) == {
        ("claude-haiku-4-5", "standard", "input", "uncached", 0): "1",
        ("claude-haiku-4-5", "standard", "output", "not_applicable", 0): "10",
        ("claude-sonnet-4-5", "standard", "input", "uncached", 200_000): "6",
        ("claude-sonnet-4-5", "standard", "output", "not_applicable", 200_000): "10",
    }
    assert {one.where for one in found.unmapped} == {"anthropic/claude-3.5-sonnet"}
    # 3 models x input and output; input_cached is null, and two dates each.
    assert (found.mapped_keys, len(found.unmapped), found.other_keys) == (4, 2, 9)


def test_the_last_day_of_llm_prices_is_exclusive_and_the_served_form_is_read_too(tmp_path: Path) -> None:
    row = {"id": "m", "vendor": "openai", "name": "M", "input": 2.5, "output": 15, "input_cached": 0.25}
    [first, *_] = offer(tmp_path, {"prices": [row | {"from_date": None, "to_date": "2026-07-30"}]}).entries["rates"]
    assert (first.starts_at, first.ends_at, first.is_undated) == (EVER, datetime(2026, 7, 30), True)


# ----------------------------------------------------------------------------------------------- in a rate table


def test_a_name_that_is_an_alias_gets_no_rates_by_the_way(tmp_path: Path) -> None:
    known = card("m standard input uncached 0 - - 2", "latest m - -")
    match = {"or": [{"equals": "m"}, {"equals": "latest"}]}
    found = plan(known, offer(tmp_path, genai(match=match, prices={"input_mtok": 2})), NOW)
    assert found.counts()["conflicting"] == 1 and found.is_empty
    corrected = plan(known, offer(tmp_path, genai(match=match, prices={"input_mtok": 2})), NOW, corrects=lambda _: True)
    assert corrected.counts()["added"] == 1


def test_a_plan_of_a_public_file_closes_over_its_keys_and_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "litellm.json"
    file.write_text(LITELLM)
    done = costroll("rates", "diff", file, "--warehouse", tmp_path / "warehouse")
    assert "keys 33 = mapped 14 + unmapped 9 + not about prices 10\n" in done.out
    assert "unmapped  1 keys: provider azure is not read\n" in done.out
    assert "unmapped  azure/m: input_cost_per_token" not in done.out
    everything = costroll("rates", "diff", file, "--all", "--warehouse", tmp_path / "warehouse").out
    assert "unmapped  azure/m: input_cost_per_token: provider azure is not read\n" in everything
    assert not (tmp_path / "warehouse").exists()


def test_contract_rates_do_not_come_from_a_price_list(tmp_path: Path) -> None:
    file = tmp_path / "litellm.json"
    file.write_text(LITELLM)
    with pytest.raises(Exception, match="LiteLLM has list prices"):
        read_offer(file, NOW, book="acme-2026")
