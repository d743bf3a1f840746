"""Helicone requests, as JSON lines of its API or the old exporter's CSV.

Rules (Helicone's `HeliconeRequest` type and its body processors): a `cache_reference_id` other than nothing or the
zero UUID is the gateway's own cache; a status of 0 or less is a call that was not completed. Whether `prompt_tokens`
includes cached tokens changed with its versions. Anthropic's never does. Else `total_tokens`, the provider's own,
tells: it includes them, so where it is only prompt and completion, they are inside the prompt. Where that cannot be
told, they are taken as beside it, which is never too little. The CSV does not tell them, nor a provider, which is then
the model's vendor.
"""

from __future__ import annotations

import polars as pl

from etl.sources.base import Source, cache_writes, count, is_http_failure, reported, said, text
from etl.sources.marks import Marks
from etl.sources.providers import provider_named, vendor_of, without_vendor

_CACHE = count("cached") + count("cache_write") + count("audio_input")
_PROVIDER = pl.coalesce(provider_named(text("provider")), vendor_of(text("model")))
_IS_INSIDE = (
    reported("total") & (count("total") <= count("sent") + count("completion")) & (count("sent") >= _CACHE)
) & ~_PROVIDER.is_in(["anthropic", "bedrock"])
_NO_CACHE = ["", "00000000-0000-0000-0000-000000000000"]
_STATUS = said("status").cast(pl.Int64, strict=False)

SOURCE = Source(
    name="helicone",
    title="Helicone requests, JSONL or CSV",
    example='{"request_id":"b6a1f0c2-r1","request_created_at":"2025-11-21T12:00:00.100Z","response_status":200,'
    '"provider":"OPENAI","model":"gpt-4o-mini-2024-07-18","prompt_tokens":1400,"prompt_cache_read_tokens":1280,'
    '"completion_tokens":110,"total_tokens":1510,"costUSD":0.00018,"cache_reference_id":null}',
    provider=_PROVIDER,
    marks=Marks(has=("request_id", "request_created_at", "response_status")),
    columns=frozenset({"response_id", "response_status", "request_created_at", "latency"}),
    texts={
        "request_id": "request_id",
        "response": "response_id",
        "model": ("response_model", "model", "request_model"),
        "provider": "provider",
        "user_id": ("request_user_id", "helicone_user"),
    },
    id_texts=("request_id", "response"),
    request_id=pl.coalesce(text("request_id"), text("response")),
    instant=("request_created_at", "iso_utc"),
    counts={
        "sent": "prompt_tokens",
        "completion": "completion_tokens",
        "total": "total_tokens",
        "cached": "prompt_cache_read_tokens",
        "cache_write": "prompt_cache_write_tokens",
        "audio_input": "prompt_audio_tokens",
        "audio_output": "completion_audio_tokens",
    },
    required=frozenset({"sent", "completion"}),
    literals={"status": "response_status", "cache": "cache_reference_id"},
    quantities={
        "input_uncached_tokens": count("sent") - pl.when(_IS_INSIDE).then(_CACHE).otherwise(0),
        "input_cached_tokens": pl.col("count:cached"),
        **cache_writes(_PROVIDER == "anthropic"),
        "audio_input_uncached_tokens": count("audio_input"),
        "output_tokens": count("completion") - count("audio_output"),
        "audio_output_tokens": count("audio_output"),
    },
    excluded={
        "gateway_cache_hit": ~said("cache").is_in(_NO_CACHE),
        "http_error": is_http_failure("status"),
        "not_completed": _STATUS <= 0,
    },
    model=without_vendor(text("model")),
)
