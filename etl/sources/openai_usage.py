"""OpenAI organisation usage (completions): API pages, one bucket a line, and the dashboard's CSV.

Semantics (the `openai` SDK's `usage_completions_response.py`, and exports seen in 2025 and 2026):
- a null dimension means "not grouped by it", so a null model cannot be priced and a null tier is no standard;
- with `input_uncached_tokens`, `input_tokens` includes cached, cache-write, audio and image tokens, and the audio and
  image counts are uncached only; without it (before 2025) `input_tokens` is text, and audio stands beside it;
- a row has no id: its dimensions and interval identify it, and a later export of the same interval may be larger.
"""

from __future__ import annotations

import polars as pl

from etl.sources.base import Source, count, is_there, literal, mentions_none, reported, said, text
from etl.sources.marks import Marks

RESULT = "organization.usage.completions.result"

_TEXTS = {"tier": "service_tier", "account_id": "organization_id"} | {
    name: name for name in ("project_id", "user_id", "api_key_id", "model")
}
_COUNTS = {
    "prompt": "input_tokens", "uncached": "input_uncached_tokens", "cached": "input_cached_tokens",
    "cache_write": "input_cache_write_tokens", "cache_write_12h": "input_cache_write_12h_tokens",
    "audio_input": "input_audio_tokens", "audio_cached": "input_cached_audio_tokens",
    "image_input": "input_image_tokens", "image_cached": "input_cached_image_tokens",
    "completion": "output_tokens", "audio_output": "output_audio_tokens", "image_output": "output_image_tokens",
    "requests": "num_model_requests",
}  # fmt: skip
_IS_NEW = reported("uncached")
_CACHED_MEDIA = count("audio_cached") + count("image_cached")
_MEDIA_OUTPUT = count("audio_output") + count("image_output")
_NEW_UNCACHED = count("uncached") - count("audio_input") - count("image_input")
_OLD_UNCACHED = count("prompt") - count("cached") - count("cache_write")


def _either(new: pl.Expr, old: pl.Expr) -> pl.Expr:
    return pl.when(_IS_NEW).then(new).otherwise(old)


SOURCE = Source(
    name="openai_usage", kind="aggregate",
    title="OpenAI organisation usage: API page, bucket per line, or the dashboard's completions_usage CSV",
    example='{"object":"bucket","start_time":1763683200,"end_time":1763769600,"results":[{"object":"' + RESULT + '",'
    '"input_tokens":4212,"output_tokens":1673,"num_model_requests":3,"project_id":"proj_1","model":"gpt-4o-mini-2024-07-18"'
    ',"batch":false,"service_tier":"default","input_cached_tokens":1280,"input_uncached_tokens":2932}]}',
    marks=Marks(where={"object": (RESULT,)}),
    columns=frozenset({"start_time", "end_time", "start_time_iso", "end_time_iso"}), texts=_TEXTS,
    counted_columns=frozenset({"input_tokens"}),  # exports of images or sessions begin with the same columns
    instant=("start_time", "epoch"), until=("end_time", "epoch"),
    literals={name: name for name in ("object", "batch", "api_source")}, dimensions=("batch", "api_source"),
    counts=_COUNTS,
    required=frozenset({"prompt", "completion", "requests"}),
    quantities={
        "input_uncached_tokens": _either(_NEW_UNCACHED, _OLD_UNCACHED),
        "input_cached_tokens": _either(count("cached") - _CACHED_MEDIA, count("cached")),
        "input_cache_write_tokens": count("cache_write") - count("cache_write_12h"),
        "input_cache_write_12h_tokens": count("cache_write_12h"),
        "audio_input_uncached_tokens": _either(count("audio_input"), count("audio_input") - count("audio_cached")),
        "audio_input_cached_tokens": count("audio_cached"),
        "audio_output_tokens": count("audio_output"),
        "image_input_uncached_tokens": _either(count("image_input"), count("image_input") - count("image_cached")),
        "image_input_cached_tokens": count("image_cached"),
        "image_output_tokens": count("image_output"),
        "output_tokens": _either(count("completion") - _MEDIA_OUTPUT, count("completion")),
    },
    exceeding=(
        _IS_NEW & (count("uncached") + count("cached") + count("cache_write") != count("prompt")),
        count("cache_write_12h") > count("cache_write"),
    ),
    invalid=(~literal("batch").str.to_lowercase().is_in(["true", "false"]),),
    excluded={"empty_bucket": mentions_none(_COUNTS, _TEXTS) & ~is_there("object")},
    tier=pl.when(said("batch") == "true")
    .then(pl.lit("batch"))
    .when(said("batch") == "false")
    .then(text("tier").fill_null("standard"))
    .otherwise(text("tier")),
    ignored=frozenset({"input_text_tokens", "output_text_tokens", "input_cached_text_tokens"}),
)  # fmt: skip
