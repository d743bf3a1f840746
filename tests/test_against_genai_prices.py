"""Costs against genai-prices, a price calculator by others with a list of its own: record by record, to the last digit.

Each record is given to both as its provider sends it: genai-prices takes the tokens out of it by its own rules. Where
its list says something else than our card, the model stands in `DIFFERENT` with the reason; nothing else may differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from nights import CHECKOUT, costroll, write_jsonl

genai_prices = pytest.importorskip("genai_prices")
CARD = pl.read_csv(CHECKOUT / "etl/card/rates.csv", infer_schema=False)
DAYS = (datetime(2025, 11, 21, 12, tzinfo=UTC), datetime(2026, 6, 1, 12, tzinfo=UTC))
# Prompt, cached of it, output. Prices change above 128,000, 200,000 and 272,000 tokens of prompt.
SIZES = {"plain": (1000, 0, 100), "cached": (2048, 1024, 300), "long": (150_000, 0, 10), "longer": (300_000, 0, 10)}

Record = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One call, before it is put in a provider's words."""

    name: str
    at: datetime
    model: str
    prompt: int
    cached: int
    output: int


def openai_chat(call: Call) -> Record:
    usage: Record = {"prompt_tokens": call.prompt, "completion_tokens": call.output}
    usage |= {"prompt_tokens_details": {"cached_tokens": call.cached}}
    usage |= {"completion_tokens_details": {"reasoning_tokens": call.output // 2}}
    kind = {"object": "chat.completion", "created": int(call.at.timestamp())}
    return {"id": call.name, "model": call.model, "usage": usage} | kind


def openai_responses(call: Call) -> Record:
    usage: Record = {"input_tokens": call.prompt, "output_tokens": call.output}
    usage |= {"input_tokens_details": {"cached_tokens": call.cached}}
    usage |= {"output_tokens_details": {"reasoning_tokens": call.output // 2}}
    kind = {"object": "response", "created_at": int(call.at.timestamp()), "status": "completed"}
    return {"id": call.name, "model": call.model, "usage": usage} | kind


def anthropic(call: Call) -> Record:
    usage = {"input_tokens": call.prompt - call.cached, "cache_read_input_tokens": call.cached}
    usage |= {"output_tokens": call.output}
    return {"id": call.name, "type": "message", "role": "assistant", "model": call.model, "usage": usage}


def google(call: Call) -> Record:
    usage = {"promptTokenCount": call.prompt, "cachedContentTokenCount": call.cached}
    usage |= {"candidatesTokenCount": call.output // 2, "thoughtsTokenCount": call.output - call.output // 2}
    return {"responseId": call.name, "modelVersion": call.model, "candidates": [], "usageMetadata": usage}


# Shape -> the provider, there as here, and what genai-prices calls the shape.
SHAPES = {
    openai_chat: ("openai", "chat"),
    openai_responses: ("openai", "responses"),
    anthropic: ("anthropic", "default"),
    google: ("google", "default"),
}

NO_CACHED = "their list has no price of cached input, and takes that of input; ours has one, from LiteLLM's"
# (model, size) -> why. A price that is not said for a size is the same.
DIFFERENT: Mapping[tuple[str, str], str] = {
    ("claude-sonnet-4-20250514", "longer"): "dearer above 200,000 tokens, in ours until 2026-04-30; not in their list",
    ("claude-sonnet-4-5", "longer"): "dearer above 200,000 tokens, in ours until 2026-04-30; in their list for ever",
    ("claude-sonnet-4-5-20250929", "longer"): "as claude-sonnet-4-5",
    ("ft:gpt-4o-2024-08-06", "cached"): NO_CACHED,
    ("ft:gpt-4o-2024-11-20", "cached"): NO_CACHED,
    ("ft:gpt-4o-mini-2024-07-18", "cached"): NO_CACHED,
    ("gemini-2.5-flash-image", "cached"): NO_CACHED,
    ("gemini-2.5-pro-preview-tts", "cached"): NO_CACHED,
    ("gemini-3.8-flash-lite-tts", "cached"): NO_CACHED,
    ("gemini-3.8-flash-tts", "cached"): NO_CACHED,
    ("gpt-4o-search-preview", "cached"): NO_CACHED,
    ("gpt-4o-search-preview-2025-03-11", "cached"): NO_CACHED,
    ("gpt-4o-mini-tts", "plain"): "its output is audio: text output is in doubt in ours (10 USD), and 12 in theirs",
    ("gpt-4o-mini-tts", "long"): "as the plain one",
    ("gpt-4o-mini-tts", "longer"): "as the plain one",
}


def models_of(provider: str) -> list[str]:
    """The models that our card sells input and output of, in the standard tier."""
    rows = CARD.filter(provider=provider, tier="standard")
    inputs, outputs = (set(rows.filter(meter=meter)["model"]) for meter in ("input", "output"))
    return sorted(inputs & outputs)


def their_cost(record: Record, provider: str, flavor: str, at: datetime) -> Decimal | None:
    """What genai-prices says it costs; None where it does not know the model."""
    from genai_prices.data import providers

    [theirs] = [one for one in providers if one.id == provider]
    try:
        model, usage = theirs.extract_usage(record, api_flavor=flavor)
        price = genai_prices.calc_price(usage, model, provider_id=provider, genai_request_timestamp=at)
    except LookupError:
        return None
    return Decimal(price.total_price)


def our_costs(warehouse: Path) -> dict[str, Decimal]:
    """By request, what it costs; without those of which anything has no price."""
    query = (
        "select request_id, sum(cost_usd)::varchar as cost_usd from charges group by all"
        " having bool_and(price_status not like 'unpriced%')"
    )
    ran = costroll("sql", "--json", "--warehouse", warehouse, query)
    return {row["request_id"]: Decimal(row["cost_usd"]) for row in json.loads(ran.out)}


def test_each_record_costs_what_genai_prices_says_or_the_reason_is_known(tmp_path: Path) -> None:
    lines, theirs, sizes = [], {}, {}
    for shape, (provider, flavor) in SHAPES.items():
        for model in models_of(provider):
            for at in DAYS:
                for size, tokens in SIZES.items():
                    name = f"{shape.__name__} {model} {at:%Y-%m} {size}"
                    record = shape(Call(name, at, model, *tokens))
                    lines.append({"timestamp": at.isoformat(), "response": record})
                    theirs[name] = their_cost(record, provider, flavor, at)
                    sizes[name] = (model, size)
    ran = costroll("run", "--warehouse", tmp_path / "warehouse", write_jsonl(tmp_path / "log.jsonl", lines))
    ours = our_costs(tmp_path / "warehouse")

    assert ran.closure == (
        f"read {len(lines):,} = accepted {len(lines):,} + duplicate 0 + conflict 0 + excluded 0 + rejected 0"
    )
    both = {name: cost for name, cost in theirs.items() if cost is not None and name in ours}
    differing = {name for name, cost in both.items() if cost != ours[name]}
    unexplained = {name: (ours[name], both[name]) for name in differing if sizes[name] not in DIFFERENT}
    assert unexplained == {}
    assert {sizes[name] for name in differing} == DIFFERENT.keys(), "a reason that is none any more"
    # What one of the two has no price for is not compared; most is.
    assert len(both) - len(differing) > 2000
