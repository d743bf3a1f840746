"""Azure API Management's gateway log of language models (`ApiManagementGatewayLlmLog`), as CSV or JSON lines.

Rules (Azure Monitor's reference of the table; `api-management-howto-llm-logs`): a long message is split over several
rows by `SequenceNumber`, of which the others have no counts; rows of a request are states of it. Cached tokens, tier
and status are not logged: the input is an upper bound, the tier is assumed, and a row without model and tokens is a
call that was not served. The portal writes US dates without a zone, in UTC.
"""

from __future__ import annotations

import polars as pl

from etl.sources.base import Source, count, reported, text
from etl.sources.marks import Marks

_KEYS = ("CorrelationId", "DeploymentName")

SOURCE = Source(
    name="azure_apim",
    title="Azure API Management gateway log (ApiManagementGatewayLlmLog), CSV or JSONL",
    example=(
        "TimeGenerated [UTC],CorrelationId,RequestId,SequenceNumber,DeploymentName,ModelName,PromptTokens,"
        'CompletionTokens\n"11/21/2025, 8:00:01.123 AM",c0ffee01,chatcmpl-Az1,0,prod-mini,gpt-4o-mini-2024-07-18,420,60'
    ),
    provider="azure",
    marks=Marks(has=(*_KEYS, "TimeGenerated")),
    columns=frozenset({*_KEYS, "PromptTokens", "CompletionTokens"}),
    texts={
        "request_id": "RequestId",
        "correlation": "CorrelationId",
        "model": "ModelName",
        "workflow_id": "DeploymentName",
    },
    id_texts=("request_id", "correlation"),
    request_id=pl.coalesce(text("request_id"), text("correlation")),
    instant=(("TimeGenerated [UTC]", "TimeGenerated"), "american_utc"),
    counts={"prompt": "PromptTokens", "completion": "CompletionTokens"},
    required=frozenset({"prompt", "completion"}),
    quantities={"input_uncached_tokens": count("prompt"), "output_tokens": count("completion")},
    excluded={
        "not_usage": ~reported("prompt") & ~reported("completion"),
        "not_completed": (count("prompt") + count("completion") == 0) & (text("model").fill_null("") == ""),
    },
    is_state=True,
    ignored=frozenset({"TotalTokens"}),
)
