"""OpenAI Responses API objects.

Token semantics (the `openai` SDK's `response_usage.py`): as Chat Completions, with other names. A response
counts when it has usage, whatever its status: an incomplete one is billed. Background polling logs the same
id as queued, in progress and completed; the states without usage are excluded. Of stream events those that end a
response (`response.completed`, `.incomplete`, `.failed`) wrap it whole; those without a response hold no usage.
"""

from __future__ import annotations

from etl.sources.base import HAS_USAGE, USUAL_METADATA, Source, said
from etl.sources.marks import Marks
from etl.sources.openai_chat import EXCEEDING, IGNORED, QUANTITIES

_INPUT = "usage.input_tokens_details"
_OUTPUT = "usage.output_tokens_details"

SOURCE = Source(
    name="openai_responses",
    title="OpenAI Responses API object, bare or in a stream event, one JSON object",
    example=(
        '{"id":"resp_1","object":"response","created_at":1763692200,"status":"completed","model":"gpt-4o-mini-2024-07-18",'
        '"service_tier":"default","usage":{"input_tokens":3000,"input_tokens_details":{"cached_tokens":2816},'
        '"output_tokens":150,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":3150}}'
    ),
    marks=Marks(where={"object": ("response",)}),
    silent=Marks(where={"type": ("response.*",)}, lacks=("response",)),
    texts={"request_id": "id", "model": "model", "tier": "service_tier", **USUAL_METADATA},
    instant=("created_at", "epoch_decimal"),
    usage="usage",
    counts={
        "prompt": "usage.input_tokens",
        "completion": "usage.output_tokens",
        "cached": f"{_INPUT}.cached_tokens",
        "audio_input": f"{_INPUT}.audio_tokens",
        "image_input": f"{_INPUT}.image_tokens",
        "cache_write": f"{_INPUT}.cache_write_tokens",
        "cache_write_12h": f"{_INPUT}.cache_write_tokens_details.ttl_12h_tokens",
        "reasoning": f"{_OUTPUT}.reasoning_tokens",
        "audio_output": f"{_OUTPUT}.audio_tokens",
    },
    required=frozenset({"prompt", "completion"}),
    literals={"status": "status"},
    quantities=QUANTITIES,
    exceeding=EXCEEDING,
    excluded={"not_completed": ~HAS_USAGE & said("status").is_in(["queued", "in_progress", "failed", "cancelled"])},
    counted_as="responses",
    ignored=IGNORED | {"ttl_30m_tokens"},
)
