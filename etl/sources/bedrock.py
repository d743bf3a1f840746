"""AWS Bedrock's model invocation log, one call a line, as S3 and CloudWatch keep it; in a CSV, its fields with dots.

Rules (AWS docs, bedrock/userguide/model-invocation-logging; a sample of 2025 with cache counts): `inputTokenCount` is
without the cache; how long cache writes last is not told, and Claude's default is five minutes. Older logs have no
cache counts: what is cached is not known then. A call with an `errorCode` and no output is not billed. Bedrock has
prices of its own, for its own names of models. They are cut out of ARNs, but for an application's inference profile,
which names none.
"""

from __future__ import annotations

import polars as pl

from etl.sources.base import Source, cache_writes, count, is_there, reported, text
from etl.sources.marks import Marks

_NAMED_ARN = r"^arn:[^:]*:bedrock:[^:]*:[^:]*:(?:foundation-model|inference-profile)/"
_IS_CLAUDE = text("model").str.contains("claude")
QUANTITIES = {
    "input_uncached_tokens": count("input"),
    "input_cached_tokens": pl.col("count:cached"),
    **cache_writes(_IS_CLAUDE),
    "output_tokens": count("output"),
}
SOURCE = Source(
    name="bedrock",
    title="AWS Bedrock model invocation log, JSONL or a CSV of its fields",
    example='{"schemaType":"ModelInvocationLog","timestamp":"2025-11-21T11:00:02Z","accountId":"123456789012","region":'
    '"us-east-1","requestId":"ff4b6c63-0001","operation":"Converse","modelId":"anthropic.claude-sonnet-4-5-20250929-v1:0",'
    '"input":{"inputTokenCount":120,"cacheReadInputTokenCount":8000,"cacheWriteInputTokenCount":1200},'
    '"output":{"outputTokenCount":300}}',
    provider="bedrock",
    marks=Marks(where={"schemaType": ("ModelInvocationLog",)}),
    columns=frozenset({"requestId", "modelId", "input.inputTokenCount"}),
    texts={
        "request_id": "requestId",
        "model": "modelId",
        "account_id": "accountId",
        "project_id": "requestMetadata.project_id",
        "user_id": "requestMetadata.user_id",
        "workflow_id": "requestMetadata.workflow_id",
    },
    instant=(("timestamp", "@timestamp"), "iso_utc"),
    counts={
        "input": "input.inputTokenCount",
        "cached": "input.cacheReadInputTokenCount",
        "cache_write": "input.cacheWriteInputTokenCount",
        "output": "output.outputTokenCount",
    },
    required=frozenset({"input"}),
    literals={"error": "errorCode"},
    quantities=QUANTITIES,
    excluded={"error_response": is_there("error") & ~reported("output")},
    model=text("model").str.replace(_NAMED_ARN, ""),
    cached="outside",
)
