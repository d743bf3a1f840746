"""OpenAI Batch objects, as the API lists them: the totals of a whole batch.

Semantics (the `openai` SDK's `batch.py`): `usage` is there for batches created since September 2025, and sums what the
output file holds line by line. So it is an aggregate: where requests of that account and day are logged, these count,
and beside the organisation's usage only one of the two does. The day is the one on which the batch began to run, as
its lines have it. An older batch has no totals: its output file does.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from etl.sources.base import HAS_USAGE, Source, count, said
from etl.sources.marks import Marks
from etl.sources.openai_chat import IGNORED

_WITHOUT_USAGE = ("validating", "failed", "in_progress", "finalizing", "cancelling")

SOURCE = Source(
    name="openai_batches",
    kind="aggregate",
    title="OpenAI Batch object with usage, one JSON object or a list of them",
    example='{"id":"batch_1","object":"batch","model":"gpt-4o-mini-2024-07-18","status":"completed",'
    '"created_at":1763693200,"in_progress_at":1763693300,"request_counts":{"total":10,"completed":8,"failed":2},'
    '"usage":{"input_tokens":3448,"input_tokens_details":{"cached_tokens":2304},"output_tokens":18}}',
    covers="openai_usage",
    marks=Marks(where={"object": ("batch",)}),
    texts={"model": "model"},
    instant=(("in_progress_at", "created_at"), "epoch"),
    until=timedelta(days=1),
    usage="usage",
    literals={"id": "id", "status": "status"},
    dimensions=("id",),
    counts={
        "prompt": "usage.input_tokens",
        "cached": "usage.input_tokens_details.cached_tokens",
        "completion": "usage.output_tokens",
        "reasoning": "usage.output_tokens_details.reasoning_tokens",
        "requests": "request_counts.completed",
    },
    required=frozenset({"prompt", "completion"}),
    quantities={
        "input_uncached_tokens": count("prompt") - count("cached"),
        "input_cached_tokens": count("cached"),
        "output_tokens": count("completion"),
    },
    exceeding=(count("prompt") < count("cached"), count("reasoning") > count("completion")),
    excluded={"not_completed": ~HAS_USAGE & said("status").is_in(_WITHOUT_USAGE)},
    tier=pl.lit("batch"),
    ignored=IGNORED,
)
