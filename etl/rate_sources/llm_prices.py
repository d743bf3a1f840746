"""llm-prices: `data/<vendor>.json`, or the served `current-v1.json` and `historical-v1.json`; USD per million.

Only the standard tier, and names for people: a model's rate above a context threshold is a model of its own there, with
a suffix such as `-272k`, and some names are not those of the API.
Source: the llm-prices repository.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from etl.rate_offers import EVER, OPEN, Offer, Unmapped, rate_entry
from etl.rate_sources.base import RateSource, exact

NAME = "llm-prices"
PROVIDERS = {"openai": "openai", "anthropic": "anthropic", "google": "google"}
METERS = {
    "input": ("input", "uncached"),
    "input_cached": ("input", "cached"),
    "output": ("output", "not_applicable"),
}
# Names for people -> the API's. A name that is neither here nor refused below is the API's own.
API_NAMES = {
    "gpt-4.5": "gpt-4.5-preview",
    "claude-4.5-haiku": "claude-haiku-4-5",
    "claude-sonnet-4.5": "claude-sonnet-4-5",
    "gemini-3-1-pro-preview": "gemini-3.1-pro-preview",
}
_NO_API_NAME = re.compile(r"claude-3.*|claude-opus-4|claude-opus-4-1|gpt-image-.*")
_THRESHOLD = re.compile(r"(.+)-(\d+)k")


def recognises(content: Any) -> bool:
    """Whether the document is one vendor's models, or the list of prices that is served."""
    if not isinstance(content, dict):
        return False
    return ("vendor" in content and "models" in content) or isinstance(content.get("prices"), list)


def read(content: Any, effective_from: datetime | None, now: datetime) -> Offer:
    """What the file offers; prices without a first day hold since `effective_from`, else since ever."""
    offer = Offer(NAME)
    for vendor, name, prices in _records(content):
        dates = [None if prices.get(day) is None else datetime.fromisoformat(str(prices[day])) for day in _DATES]
        starts_at, ends_at = dates[0] or effective_from or EVER, dates[1] or OPEN
        offer.other_keys += sum(key not in METERS for key in prices)
        for key in METERS.keys() & prices.keys():
            if prices[key] is None:
                offer.other_keys += 1  # the file has no such price
                continue
            reason, model, over = _model(vendor, name)
            try:
                rate = exact(prices[key])
            except ValueError as error:
                reason = str(error)
            if reason:
                offer.unmapped.append(Unmapped(f"{vendor}/{name}", key, reason))
                continue
            offer.mapped_keys += 1
            offer.entries["rates"].append(
                rate_entry(
                    PROVIDERS[vendor], model, "standard", *METERS[key], over,
                    rate=rate, starts_at=starts_at, ends_at=ends_at, source=f"llm-prices, {vendor}/{name}",
                    is_undated=dates[0] is None, holds_until_known=dates[1] is None,
                )
            )  # fmt: skip
    return offer


_DATES = ("from_date", "to_date")


def _records(content: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Vendor, name and prices of each row of either form."""
    for row in content.get("prices", []):
        yield str(row.get("vendor")), str(row.get("id")), row
    for model in content.get("models", []):
        for row in model["price_history"]:
            yield str(content["vendor"]), str(model["id"]), row


def _model(vendor: str, name: str) -> tuple[str, str, int]:
    """Why a row is not taken (empty when it is), the API's name, and the context threshold."""
    if vendor not in PROVIDERS:
        return f"vendor {vendor} is not read", "", 0
    banded = _THRESHOLD.fullmatch(name)
    base, over = (banded[1], int(banded[2]) * 1000) if banded else (name, 0)
    if _NO_API_NAME.fullmatch(base):
        return "a name for people: the API has several models of that name, or none", "", 0
    return "", API_NAMES.get(base, base), over


SOURCE = RateSource(NAME, recognises, read)
