"""genai-prices' v2 `data.json`: providers with models, each with dated prices and variants for tiers, USD per million.

A list of prices is a history: the last entry that has begun holds. A variant is a partial overlay for a tier. Its date
is mostly the day on which somebody looked, not the day on which the price began; it is believed only where the base
price changes on the same day, or where it lies ahead.
Source: prices/new_data/v2/data.json of the genai-prices repository, and the wheel of genai-prices 0.2.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from etl.rate_offers import EVER, OPEN, Offer, Unmapped, rate_entry
from etl.rate_sources.base import RateSource, exact

NAME = "genai-prices"
PROVIDERS = {"openai": "openai", "anthropic": "anthropic", "google": "google"}
# Key -> meter, caching status, and how many of its units a million of ours are.
METERS = {
    "input_mtok": ("input", "uncached", 1),
    "output_mtok": ("output", "not_applicable", 1),
    "cache_read_mtok": ("input", "cached", 1),
    "cache_write_5m_mtok": ("input", "cache_write_5m", 1),
    "cache_write_1h_mtok": ("input", "cache_write_1h", 1),
    "input_audio_mtok": ("audio_input", "uncached", 1),
    "cache_audio_read_mtok": ("audio_input", "cached", 1),
    "output_audio_mtok": ("audio_output", "not_applicable", 1),
    "input_image_mtok": ("image_input", "uncached", 1),
    "cache_image_read_mtok": ("image_input", "cached", 1),
    "output_image_mtok": ("image_output", "not_applicable", 1),
    "input_video_mtok": ("video_input", "uncached", 1),
    "output_video_mtok": ("video_output", "not_applicable", 1),
    "web_searches_kcount": ("web_search_calls", "not_applicable", 1000),
    "storage_searches_kcount": ("file_search_calls", "not_applicable", 1000),
}
CACHE_WRITES = {"openai": "cache_write", "anthropic": "cache_write_5m"}
TIERS = {
    ("service_tier", "default"): "standard",
    ("service_tier", "flex"): "flex",
    ("service_tier", "priority"): "priority",
    ("service_tier", "fast"): "priority",  # OpenAI's newer name of it
    ("processing", "batch"): "batch",
    ("speed", "fast"): "fast",  # Anthropic's
}
_Stretch = tuple[datetime, datetime, dict[str, Any]]


class _Untold(Exception):
    """Something that is not taken; its text is the reason."""


def recognises(content: Any) -> bool:
    """Whether the document is a list of providers with models."""
    return isinstance(content, list) and bool(content) and all(isinstance(p, dict) and "models" in p for p in content)


def read(content: Any, effective_from: datetime | None, now: datetime) -> Offer:
    """What the file offers; prices without a date hold since `effective_from`, else since ever."""
    offer = Offer(NAME)
    for provider in content:
        for model in provider["models"]:
            _read_model(offer, str(provider.get("id")), model, effective_from or EVER, now)
    return offer


def _read_model(offer: Offer, whose: str, model: dict[str, Any], since: datetime, now: datetime) -> None:
    where = f"{whose}/{model.get('id')}"
    names, patterns = _names(model)
    offer.unmapped += [
        Unmapped(where, f"match {pattern}", "a pattern: names are never guessed") for pattern in patterns
    ]
    offer.other_keys += sum(name not in ("prices", "price_variants", "match") for name in model)
    try:
        base = _stretches(model["prices"], since)
    except _Untold as reason:
        written = model["prices"]
        for entry in written if isinstance(written, list) else [{"prices": written}]:
            offer.unmapped += [Unmapped(where, key, str(reason)) for key in entry.get("prices", {})]
        base = []
    for stretch in base:
        _take(offer, whose, where, names, "standard", stretch, since)
    # Tiers of an entry that many models share are the tiers of the one it is named for.
    own = [name for name in names if name.startswith(str(model.get("id")))]
    for tier, stretch, why_not in _variants(model, base, since, now):
        if why_not:
            offer.unmapped += [Unmapped(where, f"{tier} {key}", why_not) for key in stretch[2]]
        else:
            _take(offer, whose, where, own, tier, stretch, since)


def _take(
    offer: Offer, whose: str, where: str, names: list[str], tier: str, stretch: _Stretch, since: datetime
) -> None:
    """Map each price of one stretch of time, for each exact name."""
    starts_at, ends_at, prices = stretch
    for key, written in prices.items():
        try:
            found = list(_rates(whose, where, key, written, prices))
        except (_Untold, ValueError) as reason:
            offer.unmapped.append(Unmapped(where, f"{tier} {key}", str(reason)))
            continue
        offer.mapped_keys += 1
        for name in names:
            offer.entries["rates"] += [
                rate_entry(
                    PROVIDERS[whose], name, tier, meter, caching, over,
                    rate=rate, starts_at=starts_at, ends_at=ends_at, source=f"genai-prices data.json, {where}, {key}",
                    is_undated=starts_at == since, holds_until_known=ends_at == OPEN,
                )
                for meter, caching, over, rate in found
            ]  # fmt: skip


def _rates(
    whose: str, where: str, key: str, written: Any, prices: dict[str, Any]
) -> Iterator[tuple[str, str, int, Decimal]]:
    """Meter, caching status, threshold and rate of one price."""
    if whose not in PROVIDERS:
        raise _Untold(f"provider {whose} is not read")
    if key == "cache_write_mtok" and whose in CACHE_WRITES:
        meter, caching, factor = "input", CACHE_WRITES[whose], 1
    elif key in METERS:
        meter, caching, factor = METERS[key]
    elif key == "output_reasoning_mtok" and written == prices.get("output_mtok"):
        meter, caching, factor = METERS["output_mtok"]
    else:
        raise _Untold("counts what no meter counts, or by another unit")
    if key == "output_mtok" and "image" in where and "output_image_mtok" not in prices:
        raise _Untold("a price for whatever comes out; of an image model that is mostly images")
    levels = [(0, written)]
    if isinstance(written, dict):
        levels = [(0, written["base"]), *((_threshold(tier["start"]), tier["price"]) for tier in written["tiers"])]
    for over, price in levels:
        yield meter, caching, over, exact(price, Decimal(factor))


def _threshold(start: int) -> int:
    """The last count that is not over it; some entries name the one before: 271999 for 272000."""
    return start + 1 if start % 1000 == 999 else start


def _stretches(prices: Any, since: datetime) -> list[_Stretch]:
    """The base prices, each with when it holds."""
    history = prices if isinstance(prices, list) else [{"prices": prices}]
    starts = [_start(entry.get("constraint"), since) for entry in history]
    if starts != sorted(set(starts)):
        raise _Untold("its dates are not in order")
    ends = [*starts[1:], OPEN]
    return [(*span, entry["prices"]) for *span, entry in zip(starts, ends, history, strict=True)]


def _start(constraint: dict[str, Any] | None, since: datetime) -> datetime:
    if not constraint:
        return since
    if "start_date" not in constraint:
        raise _Untold("it depends on the hour of the day")
    return datetime.fromisoformat(str(constraint["start_date"]))


def _variants(
    model: dict[str, Any], base: list[_Stretch], since: datetime, now: datetime
) -> Iterator[tuple[str, _Stretch, str]]:
    """The variants: tier, when and what, and why it is not taken (empty when it is)."""
    dated: dict[str, dict[datetime, dict[str, Any]]] = {}
    changes = [starts_at for starts_at, _, _ in base if starts_at <= now]
    for variant in model.get("price_variants") or []:
        when = list(variant["when"].items())
        tier = TIERS.get(when[0]) if len(when) == 1 else None
        nothing = (EVER, OPEN, variant["prices"])
        if tier is None or not base:
            yield str(variant["when"]), nothing, "holds under a condition that is no service tier"
            continue
        start = _start(variant.get("constraint"), since)
        is_believed = start > now or start in changes
        start = start if is_believed else max(changes, default=since)
        same = dated.setdefault(tier, {}).setdefault(start, variant["prices"])
        if same != variant["prices"]:
            yield tier, nothing, "another variant has other prices for the same tier"
    for tier, prices in dated.items():
        starts = sorted(prices)
        for start, end in zip(starts, [*starts[1:], OPEN], strict=True):
            yield tier, (start, end, prices[start]), ""


def _names(model: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The exact names that an entry is for, and the patterns beside them."""
    exact_names, patterns = [str(model.get("id"))], []
    matches = [model.get("match") or {}]
    while matches:
        for how, what in matches.pop().items():
            if how == "or":
                matches += what
            elif how == "equals":
                exact_names.append(str(what))
            else:
                patterns.append(f"{how} {what}")
    return list(dict.fromkeys(exact_names)), patterns


SOURCE = RateSource(NAME, recognises, read)
