"""OpenAI Chat Completions responses, and legacy completions, which share their usage object.

Token semantics (the `openai` SDK's `completion_usage.py`; docs/fates.md):
- `prompt_tokens` includes cached, cache-write, audio and image tokens;
- `completion_tokens` includes reasoning and audio tokens, and rejected predictions, which are billed.
"""

from __future__ import annotations

from etl.sources.base import USUAL_METADATA, Source, count
from etl.sources.marks import Marks

_PROMPT = "usage.prompt_tokens_details"
_COMPLETION = "usage.completion_tokens_details"

PROMPT_PARTS = count("cached") + count("cache_write") + count("audio_input") + count("image_input")

# Shared with the Responses API, whose usage differs in names only.
QUANTITIES = {
    "input_uncached_tokens": count("prompt") - PROMPT_PARTS,
    "input_cached_tokens": count("cached"),
    "input_cache_write_tokens": count("cache_write") - count("cache_write_12h"),
    "input_cache_write_12h_tokens": count("cache_write_12h"),
    "audio_input_uncached_tokens": count("audio_input"),
    "image_input_uncached_tokens": count("image_input"),
    "output_tokens": count("completion") - count("audio_output"),
    "audio_output_tokens": count("audio_output"),
}
EXCEEDING = (
    count("prompt") < PROMPT_PARTS,
    count("cache_write_12h") > count("cache_write"),
    count("audio_output") > count("completion"),
    count("reasoning") > count("completion"),
)
# Totals; predictions, accepted or rejected, are inside the completion and billed like it; text is the rest.
IGNORED = frozenset({"total_tokens", "text_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"})

SOURCE = Source(
    name="openai_chat",
    title="OpenAI Chat Completions response, one JSON object",
    example=(
        '{"id":"chatcmpl-1","object":"chat.completion","created":1763686801,"model":"gpt-4o-mini-2024-07-18",'
        '"service_tier":"default","usage":{"prompt_tokens":2048,"completion_tokens":310,"total_tokens":2358,'
        '"prompt_tokens_details":{"cached_tokens":1920},"completion_tokens_details":{"reasoning_tokens":0}}}'
    ),
    marks=Marks(where={"object": ("chat.completion", "text_completion")}, lacks=("prompt_filter_results",)),
    texts={"request_id": "id", "model": "model", "tier": "service_tier", **USUAL_METADATA},
    instant=("created", "epoch"),
    usage="usage",
    counts={
        "prompt": "usage.prompt_tokens",
        "completion": "usage.completion_tokens",
        "cached": f"{_PROMPT}.cached_tokens",
        "audio_input": f"{_PROMPT}.audio_tokens",
        "image_input": f"{_PROMPT}.image_tokens",
        "cache_write": f"{_PROMPT}.cache_write_tokens",
        "cache_write_12h": f"{_PROMPT}.cache_write_tokens_details.ttl_12h_tokens",
        "reasoning": f"{_COMPLETION}.reasoning_tokens",
        "audio_output": f"{_COMPLETION}.audio_tokens",
    },
    required=frozenset({"prompt", "completion"}),
    quantities=QUANTITIES,
    exceeding=EXCEEDING,
    counted_as="chat",
    ignored=IGNORED,
)
