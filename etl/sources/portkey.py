"""Portkey's log export, one call a line.

Rules (Portkey's docs, product/observability/logs-export; the gateway's `providers/anthropic/chatComplete.ts`): `cost`
is in cents; `cache_status` HIT or SEMANTIC HIT is the gateway's own cache, and nothing is billed. The response's
usage, where it was exported, knows more than the units do: without it, cached tokens are not known. Portkey's answers
of Anthropic keep `prompt_tokens` without the cache and add it to `total_tokens` only; Anthropic's own usage has no
total. The response's id is the provider's, so a call that is also in the application's log counts once.
"""

from __future__ import annotations

import polars as pl

from etl.sources.base import Source, cache_writes, count, is_http_failure, reported, said, text
from etl.sources.marks import Marks
from etl.sources.providers import provider_named, vendor_of, without_vendor

_BODY = "response!.body!"
_USAGE = f"{_BODY}.usage"
_PROMPT = (f"{_USAGE}.prompt_tokens_details", f"{_USAGE}.input_tokens_details")
_COMPLETION = (f"{_USAGE}.completion_tokens_details", f"{_USAGE}.output_tokens_details")
_PROVIDER = pl.coalesce(provider_named(text("provider")), vendor_of(text("model")))
_CACHE = count("cached") + count("cache_write")
_IS_OUTSIDE = (
    pl.when(reported("total"))
    .then(count("total") > count("units_in") + count("completion"))
    .otherwise(reported("read") | reported("cache_write"))
)
_INSIDE = pl.when(_IS_OUTSIDE).then(0).otherwise(_CACHE) + count("audio_input")

SOURCE = Source(
    name="portkey",
    title="Portkey log export, JSONL",
    example='{"id":"pk1","created_at":"2025-11-21T12:00:00.100Z","is_success":1,"ai_org":"openai","ai_model":'
    '"gpt-4o-mini-2024-07-18","req_units":1400,"res_units":110,"cost":0.018,"response_status_code":200,'
    '"cache_status":"MISS","response":{"body":{"usage":{"prompt_tokens":1400,"completion_tokens":110,'
    '"total_tokens":1510,"prompt_tokens_details":{"cached_tokens":1280}},"service_tier":"default"}}}',
    provider=_PROVIDER,
    marks=Marks(any_of=("ai_model", "ai_org", "req_units")),
    texts={
        "request_id": f"{_BODY}.id",
        "log": "id",
        "model": ("ai_model", f"{_BODY}.model"),
        "provider": "ai_org",
        "tier": (f"{_BODY}.service_tier", f"{_USAGE}.service_tier"),
        "workflow_id": "trace_id",
    },
    id_texts=("request_id", "log"),
    request_id=pl.coalesce(text("request_id"), text("log")),
    instant=("created_at", "iso_utc"),
    counts={
        "units_in": (f"{_USAGE}.prompt_tokens", f"{_USAGE}.input_tokens", "req_units"),
        "completion": (f"{_USAGE}.completion_tokens", f"{_USAGE}.output_tokens", "res_units"),
        "total": f"{_USAGE}.total_tokens",
        "read": f"{_USAGE}.cache_read_input_tokens",
        "cached": (*(f"{path}.cached_tokens" for path in _PROMPT), f"{_USAGE}.cache_read_input_tokens"),
        "cache_write": (f"{_USAGE}.cache_creation_input_tokens", *(f"{path}.cache_write_tokens" for path in _PROMPT)),
        "audio_input": tuple(f"{path}.audio_tokens" for path in _PROMPT),
        "audio_output": tuple(f"{path}.audio_tokens" for path in _COMPLETION),
        "reasoning": tuple(f"{path}.reasoning_tokens" for path in _COMPLETION),
    },
    required=frozenset({"units_in", "completion"}),
    literals={"success": "is_success", "status": "response_status_code", "cache": "cache_status"},
    quantities={
        "input_uncached_tokens": count("units_in") - _INSIDE,
        "input_cached_tokens": pl.col("count:cached"),
        **cache_writes(_PROVIDER == "anthropic"),
        "audio_input_uncached_tokens": count("audio_input"),
        "output_tokens": count("completion") - count("audio_output"),
        "audio_output_tokens": count("audio_output"),
    },
    exceeding=(count("reasoning") > count("completion"),),
    excluded={
        "gateway_cache_hit": said("cache").str.ends_with("hit"),
        "http_error": is_http_failure("status"),
        "error_response": said("success").is_in(["0", "false"]),
    },
    model=without_vendor(text("model")),
)
