"""LiteLLM's logging payload (`StandardLoggingPayload`), as its S3, GCS and webhook callbacks write it, one call a line.

Rules (LiteLLM's `types/utils.py`): tokens, cached tokens and cache hits as in SpendLogs, which the proxy writes from
this payload; times are seconds since 1970 with a fraction. `id` is the provider's response id, so a call that is in
SpendLogs or in the provider's own log as well counts once; without one, the call's own. The tier served stands in the
response; the one in `model_parameters` was only asked for.
"""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from etl.sources import litellm_spend
from etl.sources.base import text
from etl.sources.marks import Marks

SOURCE = replace(
    litellm_spend.SOURCE,
    name="litellm_payload",
    title="LiteLLM logging payload (StandardLoggingPayload), JSONL",
    example='{"id":"chatcmpl-L0101","litellm_call_id":"8c1b-9","call_type":"acompletion","response_cost":0.00018,'
    '"status":"success","custom_llm_provider":"openai","prompt_tokens":1400,"completion_tokens":110,'
    '"startTime":1763726400.1,"model":"gpt-4o-mini","cache_hit":false,'
    '"metadata":{"usage_object":{"prompt_tokens_details":{"cached_tokens":1280}}},"response":{"service_tier":"default"}}',
    marks=Marks(has=("litellm_call_id", "call_type", "startTime"), lacks=("spend",)),
    columns=frozenset(),
    texts={
        "request_id": "id",
        "call": "litellm_call_id",
        "model": "model",
        "tier": "response!.service_tier",
        "provider": "custom_llm_provider",
        "account_id": "metadata!.user_api_key_org_id",
        "project_id": "metadata!.user_api_key_team_id",
        "user_id": ("end_user", "metadata!.user_api_key_user_id"),
        "workflow_id": "trace_id",
    },
    id_texts=("request_id", "call"),
    request_id=pl.coalesce(text("request_id"), text("call")),
)
