"""Azure OpenAI Chat Completions and legacy completions: OpenAI's object with the verdicts of Azure's content filter.

Rules (Azure OpenAI reference, `prompt_filter_results`): `model` is the model behind the deployment; the deployment's
name is in the request's URL only. What a deployment is (global, data zone, regional, provisioned) decides its price and
is not in the record, and `gpt-35-turbo` is Azure's own spelling. So its provider is `azure`, with rates of its own: it
is never priced with OpenAI's list.
"""

from __future__ import annotations

from dataclasses import replace

from etl.sources import openai_chat
from etl.sources.marks import Marks

SOURCE = replace(
    openai_chat.SOURCE,
    name="azure_openai",
    title="Azure OpenAI response with content filter results, one JSON object",
    example=(
        '{"id":"chatcmpl-Az9","object":"chat.completion","created":1763713200,"model":"gpt-4o-mini-2024-07-18",'
        '"usage":{"prompt_tokens":1500,"completion_tokens":60,"prompt_tokens_details":{"cached_tokens":1408}},'
        '"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}'
    ),
    provider="azure",
    marks=Marks(where={"object": ("chat.completion", "text_completion")}, has=("prompt_filter_results",)),
)
