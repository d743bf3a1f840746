"""OpenAI organisation usage (completions): API pages, one bucket a line, and the dashboard's CSV.

Semantics (the `openai` SDK's `usage_completions_response.py`, and exports seen in 2025 and 2026):
- a null dimension means "not grouped by it", so a null model cannot be priced and a null tier is no standard;
- with `input_uncached_tokens`, `input_tokens` includes cached, cache-write, audio and image tokens, and the audio and
  image counts are uncached only; without it (before 2025) `input_tokens` is text, and audio stands beside it;
- a row has no id: its dimensions and interval identify it, and a later export of the same interval may be larger.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from etl.sources.base import Json, Source, count, literal, reported, with_members

RESULT = "organization.usage.completions.result"

_IS_NEW = reported("uncached")
_CACHED_MEDIA = count("audio_cached") + count("image_cached")
_NEW_UNCACHED = count("uncached") - count("audio_input") - count("image_input")
_OLD_UNCACHED = count("prompt") - count("cached") - count("cache_write")
_OLD_AUDIO = count("audio_input") - count("audio_cached")
_OLD_IMAGE = count("image_input") - count("image_cached")


def _either(new: pl.Expr, old: pl.Expr) -> pl.Expr:
    return pl.when(_IS_NEW).then(new).otherwise(old)


def _recognises(record: Json) -> bool:
    return record.get("object") in ("page", "bucket", RESULT) and "starting_at" not in record


def _results(record: Json) -> Iterator[Json]:
    """Yield a page's or a bucket's results, each with its bucket's interval; an empty bucket yields itself."""
    if record.get("object") == "page":
        for bucket in record.get("data") or record.get("result") or ():
            yield from _results(bucket) if isinstance(bucket, dict) else ()
    elif record.get("object") == "bucket":
        interval = {key: record.get(key) for key in ("start_time", "end_time")}
        doubled: frozenset[str] = getattr(record, "doubled", frozenset()) & {"start_time", "end_time", "results"}
        results = record.get("results")
        for result in results if isinstance(results, list) and results else ({"object": "bucket"},):
            made = with_members(result if isinstance(result, dict) else {}, interval)
            made.doubled |= doubled
            yield made
    else:
        yield record


def _is(name: str, word: str) -> pl.Expr:
    return literal(name).str.to_lowercase() == word


SOURCE = Source(
    name="openai_usage",
    title="OpenAI organisation usage: API page, bucket per line, or the dashboard's completions_usage CSV",
    kind="aggregate",
    example=(
        '{"object":"bucket","start_time":1763683200,"end_time":1763769600,"results":[{"object":"' + RESULT + '",'
        '"input_tokens":4212,"output_tokens":1673,"num_model_requests":3,"project_id":"proj_1","model":'
        '"gpt-4o-mini-2024-07-18","batch":false,"service_tier":"default","input_cached_tokens":1280,'
        '"input_uncached_tokens":2932}]}'
    ),
    recognises=_recognises,
    columns=frozenset({"start_time", "end_time", "start_time_iso", "end_time_iso"}),
    unpack=_results,
    texts={
        "model": "model",
        "tier": "service_tier",
        "account_id": "organization_id",
        "project_id": "project_id",
        "user_id": "user_id",
        "api_key_id": "api_key_id",
    },
    instant=("start_time", "epoch"),
    literals={"object": "object", "batch": "batch", "api_source": "api_source"},
    counts={
        "end": "end_time",
        "prompt": "input_tokens",
        "completion": "output_tokens",
        "requests": "num_model_requests",
        "uncached": "input_uncached_tokens",
        "cached": "input_cached_tokens",
        "cache_write": "input_cache_write_tokens",
        "cache_write_12h": "input_cache_write_12h_tokens",
        "audio_input": "input_audio_tokens",
        "audio_cached": "input_cached_audio_tokens",
        "audio_output": "output_audio_tokens",
        "image_input": "input_image_tokens",
        "image_cached": "input_cached_image_tokens",
        "image_output": "output_image_tokens",
    },
    required=frozenset({"end", "prompt", "completion", "requests"}),
    quantities={
        "input_uncached_tokens": _either(_NEW_UNCACHED, _OLD_UNCACHED),
        "input_cached_tokens": _either(count("cached") - _CACHED_MEDIA, count("cached")),
        "input_cache_write_tokens": count("cache_write") - count("cache_write_12h"),
        "input_cache_write_12h_tokens": count("cache_write_12h"),
        "audio_input_uncached_tokens": _either(count("audio_input"), _OLD_AUDIO),
        "audio_input_cached_tokens": count("audio_cached"),
        "audio_output_tokens": count("audio_output"),
        "image_input_uncached_tokens": _either(count("image_input"), _OLD_IMAGE),
        "image_input_cached_tokens": count("image_cached"),
        "image_output_tokens": count("image_output"),
        "output_tokens": _either(
            count("completion") - count("audio_output") - count("image_output"), count("completion")
        ),
    },
    exceeding=(
        _IS_NEW & (count("uncached") + count("cached") + count("cache_write") != count("prompt")),
        count("cache_write_12h") > count("cache_write"),
    ),
    excluded={
        "empty_bucket": pl.all_horizontal(
            pl.col(f"count:{name}").is_null() for name in ("prompt", "completion", "requests")
        )
        & pl.col("text:model").is_null()
        & (literal("object").is_null() | (literal("object") == '"bucket"'))
    },
    tier=pl.when(_is("batch", "true"))
    .then(pl.lit("batch"))
    .when(_is("batch", "false"))
    .then(pl.col("text:tier").fill_null("standard"))
    .otherwise(pl.col("text:tier")),
)
