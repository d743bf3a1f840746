"""OpenRouter: generation objects of its API, and the two CSVs of its activity page.

Rules (OpenRouter's docs, api-reference/get-a-generation; exports seen in 2025 and 2026): the provider is paid for
`native_tokens_*`, in its own tokens; `tokens_*` there are in another's. Cached tokens are inside the prompt, reasoning
is inside the completion, and a cancelled generation may cost. Times without a zone are taken as UTC. A variant such as
`free` has prices of its own, so it is a tier of that name. OpenRouter sends the bill, so its records say nothing of
what an account uses at the providers themselves; its daily sums make way for its generations. Its fee is not in them.
"""

from __future__ import annotations

import polars as pl

from etl.sources.base import Source, count, text
from etl.sources.marks import Marks
from etl.sources.providers import provider_named, vendor_of, without_vendor

_MODEL = without_vendor(text("model"))
_PROVIDER = pl.coalesce(provider_named(text("provider")), vendor_of(text("model")))
_QUANTITIES = {
    "input_uncached_tokens": count("prompt") - count("cached"),
    "input_cached_tokens": pl.col("count:cached"),
    "output_tokens": count("completion"),
}
_EXCEEDING = (count("reasoning") > count("completion"),)
_REQUIRED = frozenset({"prompt", "completion"})
_GENERATION = Source(
    name="openrouter_generation",
    title="OpenRouter generation, one JSON object, bare or in `data`",
    example='{"data":{"id":"gen-1763726400-aaa","created_at":"2025-11-21T12:00:00.713Z","model":"openai/gpt-4o-mini",'
    '"provider_name":"OpenAI","tokens_prompt":1388,"tokens_completion":108,"native_tokens_prompt":1400,'
    '"native_tokens_completion":110,"native_tokens_reasoning":0,"native_tokens_cached":1280,"usage":0.00018,'
    '"total_cost":0.00018,"is_byok":false,"cancelled":false,"service_tier":null}}',
    provider=_PROVIDER,
    covers="openrouter",
    is_apart=True,
    marks=Marks(has=("id", "is_byok", "created_at"), any_of=("native_tokens_prompt", "tokens_prompt")),
    texts={"request_id": "id", "model": "model", "provider": "provider_name", "tier": "service_tier"},
    instant=("created_at", "iso_utc"),
    counts={name: f"native_tokens_{name}" for name in ("prompt", "completion", "cached", "reasoning")},
    required=_REQUIRED,
    quantities=_QUANTITIES,
    exceeding=_EXCEEDING,
    model=_MODEL,
)
_ACTIVITY = Source(
    name="openrouter_activity",
    title="OpenRouter activity, one generation a row, CSV",
    example="generation_id,created_at,cost_total,tokens_prompt,tokens_completion,tokens_reasoning,tokens_cached,"
    "model_permaslug,provider_name,variant,cancelled\n"
    "gen-1763726410-bbb,2025-11-21 12:00:10.001,0.00018,1400,110,0,1280,openai/gpt-4o-mini,OpenAI,standard,false",
    provider=_PROVIDER,
    covers="openrouter",
    is_apart=True,
    columns=frozenset({"generation_id", "created_at", "model_permaslug", "tokens_prompt", "tokens_completion"}),
    texts={"request_id": "generation_id", "model": "model_permaslug", "provider": "provider_name", "tier": "variant"},
    instant=("created_at", "iso_utc"),
    counts={name: f"tokens_{name}" for name in ("prompt", "completion", "cached", "reasoning")},
    required=_REQUIRED,
    quantities=_QUANTITIES,
    exceeding=_EXCEEDING,
    model=_MODEL,
)
SOURCES = (_GENERATION, _ACTIVITY)
