"""Langfuse observations, one a line, in the API's camelCase or the blob storage export's snake_case.

Rules (Langfuse's `observation_v2.py` and the server's `ingestion/types.ts`): only generations and embeddings are
calls; what stands around them may repeat their usage. The server takes every detail out of `input` and `output`, so
that all of `usageDetails` is disjoint: cached tokens beside the input, reasoning beside the output; `total` is
another's sum. There is no provider, so it is the vendor whose name the model has. `usagePricingTierName` is Langfuse's
own table, not a service tier.
"""

from __future__ import annotations

from functools import reduce
from operator import add

import polars as pl

from etl.sources.base import Source, cache_writes, count, mentions_none, reported, said, text
from etl.sources.marks import Marks
from etl.sources.paths import Path, in_both_cases
from etl.sources.providers import vendor_of, without_vendor


def _usage(*names: str) -> Path:
    return tuple(path for name in names for path in in_both_cases(f"usageDetails!.{name}"))


_COUNTS: dict[str, Path] = {
    "input": _usage("input"),
    "output": _usage("output"),
    "cached": _usage("input_cached_tokens", "cache_read_input_tokens", "input_cache_read"),
    "cache_write": _usage("input_cache_creation", "input_cache_creation_tokens", "cache_creation_input_tokens"),
    "audio_input": _usage("input_audio_tokens"),
    "reasoning": _usage("output_reasoning_tokens"),
    "audio_output": _usage("output_audio_tokens"),
    "accepted": _usage("output_accepted_prediction_tokens"),
    "rejected": _usage("output_rejected_prediction_tokens"),
}
_ALL = reduce(add, map(count, _COUNTS))
_IS_CALL = said("type").is_in(["generation", "embedding"])
_HAS_NONE = mentions_none(_COUNTS)

SOURCE = Source(
    name="langfuse",
    title="Langfuse observations, JSONL",
    example='{"id":"ob1","traceId":"tr-1","type":"GENERATION","startTime":"2025-11-21T12:00:00.100Z","level":"DEFAULT",'
    '"model":"gpt-4o-mini-2024-07-18","usageDetails":{"input":120,"input_cached_tokens":1280,"output":110,'
    '"output_reasoning_tokens":0,"total":1510}}',
    provider=vendor_of(text("model")),
    marks=Marks(has=("id", "type"), any_of=("usageDetails", "usage_details"), lacks=("object", "role")),
    texts={
        "request_id": "id",
        "model": ("model", "providedModelName", "provided_model_name"),
        "project_id": in_both_cases("projectId"),
        "user_id": in_both_cases("userId"),
        "workflow_id": in_both_cases("sessionId"),
    },
    instant=(in_both_cases("startTime"), "iso_utc"),
    counts={**_COUNTS, "total": _usage("total")},
    required=frozenset({"input"}),
    literals={"type": "type", "level": "level"},
    quantities={
        "input_uncached_tokens": count("input"),
        "input_cached_tokens": pl.col("count:cached"),
        **cache_writes(vendor_of(text("model")) == "anthropic"),
        "audio_input_uncached_tokens": count("audio_input"),
        "output_tokens": count("output") + count("reasoning") + count("accepted") + count("rejected"),
        "audio_output_tokens": count("audio_output"),
    },
    invalid=(reported("total") & (count("total") > _ALL),),  # a kind of token that is not among them
    excluded={
        "not_usage": ~_IS_CALL & _HAS_NONE,
        "parent_span": ~_IS_CALL,
        "error_response": (said("level") == "error") & _HAS_NONE,
    },
    model=without_vendor(text("model")),
    cached="outside",
)
