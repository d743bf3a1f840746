"""LiteLLM's `model_prices_and_context_window.json`: a flat object of models, USD per unit, floats, no dates.

Key grammar: `<base>[_above_1hr|_above_12hr][_above_<N>k_tokens][_batches|_flex|_priority|_ultrafast]`. The first suffix
is the lifetime of a cache entry and no context threshold.
Source: the file itself, as the wheel of litellm 1.109.1 has it.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Any

from etl.rate_offers import OPEN, Entry, Offer, Unmapped, rate_entry
from etl.rate_sources.base import MILLION, RateSource, exact

NAME = "LiteLLM"
PROVIDERS = {
    "openai": "openai",
    "text-completion-openai": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
}  # fmt: skip
METERS = {
    "input_cost_per_token": ("input", "uncached"),
    "output_cost_per_token": ("output", "not_applicable"),
    "cache_read_input_token_cost": ("input", "cached"),
    "input_cost_per_audio_token": ("audio_input", "uncached"),
    "output_cost_per_audio_token": ("audio_output", "not_applicable"),
    "cache_read_input_audio_token_cost": ("audio_input", "cached"),
    # Misnamed: for OpenAI's realtime models it repeats the price of reading cached audio.
    "cache_creation_input_audio_token_cost": ("audio_input", "cached"),
    "input_cost_per_image_token": ("image_input", "uncached"),
    "output_cost_per_image_token": ("image_output", "not_applicable"),
    "cache_read_input_image_token_cost": ("image_input", "cached"),
    "input_cost_per_video_token": ("video_input", "uncached"),
    "output_cost_per_video_token": ("video_output", "not_applicable"),
    "input_cost_per_character": ("speech_characters", "not_applicable"),
}
# The default lifetime of a cache entry has a status of its own with OpenAI, and is five minutes with Anthropic.
CACHE_WRITES = {
    ("openai", ""): "cache_write",
    ("openai", "12hr"): "cache_write_12h",
    ("anthropic", ""): "cache_write_5m",
    ("anthropic", "1hr"): "cache_write_1h",
}
TIERS = {"": "standard", "batches": "batch", "flex": "flex", "priority": "priority", "ultrafast": "ultrafast"}

_KEY = re.compile(
    r"(?P<base>[a-z_]*?)(?:_above_(?P<lifetime>1hr|12hr))?(?:_above_(?P<thousands>\d+)k_tokens)?"
    r"(?:_(?P<tier>batches|flex|priority|ultrafast|balanced|decisions))?"
)
_OTHER_UNIT = "counts what no meter counts, or by another unit"
_IS_PRICE = re.compile(r"cost|price|_dbu|multiplier|provider_specific_entry|free_requests|billing_unit")


class _Untold(Exception):
    """A price key that is not taken; its text is the reason."""


def recognises(content: Any) -> bool:
    """Whether the document is an object of models that name their LiteLLM provider."""
    return isinstance(content, dict) and any(
        isinstance(model, dict) and "litellm_provider" in model for model in content.values()
    )


def read(content: Any, effective_from: datetime | None, now: datetime) -> Offer:
    """What the file offers. It has no dates: rates begin at `effective_from`, else now."""
    offer = Offer(NAME)
    since = effective_from or now
    taken: dict[tuple[Any, ...], Entry] = {}  # of the whole file: `x` and `gemini/x` are one model
    for name, facts in content.items():
        if not isinstance(facts, dict):
            offer.unmapped.append(Unmapped(name, "(the whole entry)", "is no object"))
            continue
        for key, written in facts.items():
            if not _IS_PRICE.search(key):
                offer.other_keys += 1
                continue
            try:
                entry = _entry(name, facts, key, written, since)
                if taken.setdefault(entry.key, entry).value != entry.value:
                    raise _Untold("another key or name of this model has another price for the same thing")
                offer.mapped_keys += 1
            except _Untold as reason:
                offer.unmapped.append(Unmapped(name, key, str(reason)))
    offer.entries["rates"] += taken.values()
    return offer


def _entry(name: str, facts: dict[str, Any], key: str, written: Any, since: datetime) -> Entry:
    whose = facts.get("litellm_provider")
    provider = PROVIDERS.get(str(whose))
    if name == "sample_spec":
        raise _Untold("an example, no model")
    if provider is None:
        raise _Untold(f"provider {whose} is not read")
    parts = _KEY.fullmatch(key)
    if parts is None:
        raise _Untold(_OTHER_UNIT)
    base, lifetime = parts["base"], parts["lifetime"] or ""
    if base == "output_cost_per_reasoning_token":
        return _reasoning(name, facts, key, written, since)
    if parts["tier"] not in (None, *TIERS):
        raise _Untold(f"{parts['tier']} is no service tier that a log names")
    if base == "search_context_cost_per_query":
        written = _one_price(facts, written)
    meter = _meter(provider, facts, base, lifetime)
    if meter is None:
        raise _Untold(_OTHER_UNIT)
    over = int(parts["thousands"] or 0) * 1000
    try:
        rate = exact(written, MILLION)
    except ValueError as error:
        raise _Untold(str(error)) from error
    model = name.removeprefix("gemini/")
    source = f"LiteLLM model_prices, {key}"
    return rate_entry(
        provider, model, TIERS[parts["tier"] or ""], *meter, over,
        rate=rate, starts_at=since, ends_at=OPEN, source=source, holds_until_known=True,
    )  # fmt: skip


def _meter(provider: str, facts: dict[str, Any], base: str, lifetime: str) -> tuple[str, str] | None:
    """The meter and caching status of a key; None when there is none."""
    if base == "cache_creation_input_token_cost":
        status = CACHE_WRITES.get((provider, lifetime))
        return ("input", status) if status else None
    if lifetime:
        return None
    if base == "search_context_cost_per_query":
        return "web_search_calls", "not_applicable"
    if base == "input_cost_per_second" and "input_cost_per_token" not in facts:
        return "transcription_seconds", "not_applicable"  # beside a price of tokens it is only an estimate
    return METERS.get(base)


def _reasoning(name: str, facts: dict[str, Any], key: str, written: Any, since: datetime) -> Entry:
    """Output includes reasoning, so a price of its own must be the output's."""
    output = key.replace("reasoning_token", "token")
    if facts.get(output) != written:
        raise _Untold("reasoning is part of output here, and this price is another one")
    return _entry(name, facts, output, written, since)


def _one_price(facts: dict[str, Any], written: Any) -> Decimal | int:
    """The price of a search, where it is the same for every size of context and none is free."""
    prices = set(written.values()) if isinstance(written, dict) else set()
    if "search_free_requests" in facts:
        raise _Untold("some searches are free, which no rate can say")
    if len(prices) != 1:
        raise _Untold("a search has several prices, and a log does not tell which")
    price: Decimal | int = prices.pop()
    return price


SOURCE = RateSource(NAME, recognises, read)
