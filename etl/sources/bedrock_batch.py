"""AWS Bedrock's batch inference output, one call a line.

Rules (AWS docs, bedrock/userguide/batch-inference-results): a line repeats its request and has the model's answer in
the words of its vendor, Claude's as in the Messages API and Nova's as in its own; a line with an `error` is not
billed. It has no time, so the run's `--date` says, or a `timestamp` of your own; an answer that names no model is set
aside. Bedrock's batch has prices of its own.
"""

from __future__ import annotations

import polars as pl

from etl.sources.base import Source, is_there
from etl.sources.bedrock import QUANTITIES
from etl.sources.marks import Marks

_USAGE = "modelOutput.usage"
SOURCE = Source(
    name="bedrock_batch",
    title="AWS Bedrock batch inference output, one line a call",
    example='{"timestamp":"2025-11-21T11:00:00Z","recordId":"CALL0000001","modelInput":{"max_tokens":64},'
    '"modelOutput":{"id":"msg_bdrk_01","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929","usage":{"input_tokens":400,"output_tokens":20}}}',
    provider="bedrock",
    marks=Marks(has=("recordId", "modelInput")),
    texts={"request_id": "modelOutput.id", "model": "modelOutput.model"},
    instant=("timestamp", "iso_or_epoch"),
    usage=_USAGE,
    counts={
        "input": (f"{_USAGE}.input_tokens", f"{_USAGE}.inputTokens"),
        "cached": (f"{_USAGE}.cache_read_input_tokens", f"{_USAGE}.cacheReadInputTokenCount"),
        "cache_write": (f"{_USAGE}.cache_creation_input_tokens", f"{_USAGE}.cacheWriteInputTokenCount"),
        "output": (f"{_USAGE}.output_tokens", f"{_USAGE}.outputTokens"),
    },
    required=frozenset({"input", "output"}),
    literals={"error": "error"},
    quantities=QUANTITIES,
    excluded={"batch_failed": is_there("error")},
    tier=pl.lit("batch"),
    cached="outside",
    ignored=frozenset({"cache_creation", "service_tier"}),
)
