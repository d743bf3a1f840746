"""LiteLLM proxy SpendLogs, as JSON lines or CSV.

Rules (LiteLLM's `schema.prisma`, `proxy/_types.py` and `llms/anthropic/chat/transformation.py`): `prompt_tokens`
includes cached tokens and cache writes, also for Anthropic; their split is in `metadata.usage_object`, which may be
filtered out: then it is not known. Times are UTC without a zone. A hit of the proxy's own cache has tokens, and costs
nothing at the provider. The id is the provider's response id.
"""

from __future__ import annotations

import polars as pl

from etl.sources.base import Source, cache_writes, count, said, text
from etl.sources.marks import Marks
from etl.sources.providers import provider_named, without_vendor

_KEYS = ("request_id", "spend", "startTime")
_USAGE = "metadata!.usage_object"
_PROMPT, _COMPLETION = f"{_USAGE}.prompt_tokens_details", f"{_USAGE}.completion_tokens_details"
_PARTS = count("cached") + count("cache_write") + count("audio_input")

SOURCE = Source(
    name="litellm_spend",
    title="LiteLLM SpendLogs, JSONL or CSV",
    example='{"request_id":"chatcmpl-L0001","call_type":"acompletion","spend":0.00018,"prompt_tokens":1400,'
    '"completion_tokens":110,"startTime":"2025-11-21 12:00:00.100","model":"gpt-4o-mini-2024-07-18",'
    '"custom_llm_provider":"openai","cache_hit":"False","status":"success",'
    '"metadata":{"usage_object":{"prompt_tokens_details":{"cached_tokens":1280}}}}',
    provider=provider_named(text("provider")).fill_null("openai"),
    marks=Marks(has=_KEYS),
    columns=frozenset(_KEYS),
    texts={
        "request_id": "request_id",
        "model": "model",
        "provider": "custom_llm_provider",
        "account_id": "organization_id",
        "project_id": "team_id",
        "user_id": ("end_user", "user"),
        "workflow_id": "session_id",
    },
    instant=("startTime", "iso_utc_or_epoch"),
    counts={
        "prompt": "prompt_tokens",
        "completion": "completion_tokens",
        "cached": (f"{_PROMPT}.cached_tokens", f"{_USAGE}.cache_read_input_tokens"),
        "cache_write": (f"{_PROMPT}.cache_creation_tokens", f"{_USAGE}.cache_creation_input_tokens"),
        "audio_input": f"{_PROMPT}.audio_tokens",
        "audio_output": f"{_COMPLETION}.audio_tokens",
        "reasoning": f"{_COMPLETION}.reasoning_tokens",
    },
    required=frozenset({"prompt", "completion"}),
    literals={"status": "status", "cache_hit": "cache_hit"},
    quantities={
        "input_uncached_tokens": count("prompt") - _PARTS,
        "input_cached_tokens": pl.col("count:cached"),
        **cache_writes(text("provider") == "anthropic"),
        "audio_input_uncached_tokens": count("audio_input"),
        "output_tokens": count("completion") - count("audio_output"),
        "audio_output_tokens": count("audio_output"),
    },
    exceeding=(count("prompt") < _PARTS, count("reasoning") > count("completion")),
    excluded={"error_response": said("status") == "failure", "gateway_cache_hit": said("cache_hit") == "true"},
    model=without_vendor(text("model")),
    ignored=frozenset({"total_tokens", "prompt_tokens", "completion_tokens", "cache_key", "response_cost"})
    | {"saved_cache_cost", "accepted_prediction_tokens", "rejected_prediction_tokens"},
)
