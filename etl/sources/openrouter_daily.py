"""OpenRouter's activity by day and model, the CSV of its activity page.

Rules (exports seen in 2025 and 2026; OpenRouter's `ActivityItem`): a row sums a UTC day of one model; reasoning is
inside the completion. Cached tokens, providers and tiers are not told: the cost is an upper bound at the prices of the
model's vendor. `Usage` and `BYOK Usage` are OpenRouter's own dollars and are not read. Where generations of a day are
known, they count, and the day's sum does not.
"""

from __future__ import annotations

from datetime import timedelta

from etl.sources.base import Source, count, text
from etl.sources.providers import vendor_of, without_vendor

SOURCE = Source(
    name="openrouter_daily",
    title="OpenRouter activity by day and model, CSV",
    example="Date,Slug,Usage,BYOK Usage,Requests,Prompt Tokens,Completion Tokens,Reasoning Tokens\n"
    '"2025-11-21 00:00:00","openai/gpt-4o-mini","0.0430","0","115","170965","30099","0"',
    provider=vendor_of(text("slug")),
    kind="aggregate",
    covers="openrouter",
    is_apart=True,
    columns=frozenset({"Date", "Slug", "Requests", "Prompt Tokens", "Completion Tokens"}),
    texts={"model": "Slug", "slug": "Slug"},
    instant=("Date", "iso_utc"),
    until=timedelta(days=1),
    counts={
        "input": "Prompt Tokens",
        "completion": "Completion Tokens",
        "reasoning": "Reasoning Tokens",
        "requests": "Requests",
    },
    required=frozenset({"input", "completion", "requests"}),
    quantities={"input_uncached_tokens": count("input"), "output_tokens": count("completion")},
    exceeding=(count("reasoning") > count("completion"),),
    model=without_vendor(text("model")),
)
