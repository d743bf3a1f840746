"""The words that providers use for a service tier, and the tier each of them is.

Sources: the SDKs' types (`openai` chat_completion.py, `anthropic` usage.py, `google-genai` types.py), Anthropic's usage
report (`flex_discount`, `priority_on_demand`), usage exports seen in 2025 and 2026 (`flex-tier`, `incentivized-tier`).
"""

from __future__ import annotations

import polars as pl

STANDARD = "standard"

TIERS = {
    "": STANDARD,
    "default": STANDARD,
    "auto": STANDARD,
    "standard": STANDARD,
    "on_demand": STANDARD,
    "unspecified": STANDARD,
    "TRAFFIC_TYPE_UNSPECIFIED": STANDARD,
    "ON_DEMAND": STANDARD,
    "priority": "priority",
    "priority_on_demand": "priority",
    "ON_DEMAND_PRIORITY": "priority",
    "flex": "flex",
    "flex-tier": "flex",
    "flex_discount": "flex",
    "ON_DEMAND_FLEX": "flex",
    "incentivized-tier": "complimentary",
    "scale": "provisioned",
    "PROVISIONED_THROUGHPUT": "provisioned",
}
# Said without meaning a tier: standard is assumed.
UNSAID = ("", "auto", "unspecified", "TRAFFIC_TYPE_UNSPECIFIED")
# OpenAI renamed its priority tier to fast; Anthropic's fast is a tier of its own.
FAST_IS_PRIORITY = ("openai", "azure")


def tier_named(raw: pl.Expr, provider: pl.Expr) -> pl.Expr:
    """The tier that a word means; an unknown word stands as it is, finds no rate, and shows."""
    is_renamed = (raw == "fast") & provider.is_in(FAST_IS_PRIORITY)
    return pl.when(is_renamed).then(pl.lit("priority")).otherwise(raw.replace(TIERS))
