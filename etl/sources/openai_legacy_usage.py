"""OpenAI's legacy `GET /v1/usage?date=`: intervals of five minutes, by model and kind of call.

Semantics (clients of 2023 to 2025; OpenAI never documented it): `n_context_tokens_total` includes the cached ones;
`snapshot_id` is the model; `aggregation_timestamp` begins the interval. It covers what the organisation's usage covers.
The person's address tells one row from another, so it is the user.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from etl.sources.base import Source, count, said
from etl.sources.marks import Marks

SOURCE = Source(
    name="openai_legacy_usage",
    kind="aggregate",
    title="OpenAI legacy /v1/usage, one day's JSON",
    example='{"object":"list","data":[{"organization_id":"org-1","aggregation_timestamp":1721260800,"n_requests":3,'
    '"operation":"completion","snapshot_id":"gpt-4o-mini-2024-07-18","n_context_tokens_total":1200,'
    '"n_generated_tokens_total":300,"n_cached_context_tokens_total":0,"request_type":""}],"dalle_api_data":[]}',
    covers="openai_usage",
    marks=Marks(has=("aggregation_timestamp", "snapshot_id", "n_context_tokens_total")),
    texts={
        "model": "snapshot_id",
        "account_id": "organization_id",
        "project_id": "project_id",
        "api_key_id": "api_key_id",
        "user_id": "email",
    },
    instant=("aggregation_timestamp", "epoch"),
    until=timedelta(minutes=5),
    literals={"operation": "operation", "request_type": "request_type"},
    dimensions=("operation", "request_type"),
    counts={
        "prompt": "n_context_tokens_total",
        "cached": "n_cached_context_tokens_total",
        "completion": "n_generated_tokens_total",
        "requests": "n_requests",
    },
    required=frozenset({"prompt", "completion", "requests"}),
    quantities={
        "input_uncached_tokens": count("prompt") - count("cached"),
        "input_cached_tokens": pl.col("count:cached"),
        "output_tokens": count("completion"),
    },
    exceeding=(count("prompt") < count("cached"),),
    tier=pl.when(said("request_type") == "batch").then(pl.lit("batch")).otherwise(pl.lit("standard")),
)
