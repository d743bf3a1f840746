"""Anthropic Messages API responses.

Token semantics (the `anthropic` SDK's `types/usage.py`): "Total input tokens in a request is the summation of
`input_tokens`, `cache_creation_input_tokens`, and `cache_read_input_tokens`", so `input_tokens` is without the cache;
thinking is inside `output_tokens`. Compatible proxies leave out how cache writes split by lifetime: five minutes then,
the API's default. A message has no time: its wrapper or `--date` says. `speed` fast is a tier of its own, and an
`inference_geo` of a region has prices of its own (docs: about-claude/pricing): the tier then ends in `-us`.
"""

from __future__ import annotations

import polars as pl

from etl.sources.base import Source, count, reported, said, text
from etl.sources.marks import Marks
from etl.sources.paths import Path


def counts_at(usage: str, *others: str) -> dict[str, Path]:
    """The counts of a usage object; of several objects, the first that mentions one."""
    names = {
        "input": "input_tokens",
        "output": "output_tokens",
        "cache_read": "cache_read_input_tokens",
        "cache_write": "cache_creation_input_tokens",
        "cache_write_5m": "cache_creation.ephemeral_5m_input_tokens",
        "cache_write_1h": "cache_creation.ephemeral_1h_input_tokens",
        "web_search": "server_tool_use.web_search_requests",
    }
    return {name: tuple(f"{place}.{path}" for place in (usage, *others)) for name, path in names.items()}


QUANTITIES = {
    "input_uncached_tokens": count("input"),
    "input_cached_tokens": count("cache_read"),
    "input_cache_write_5m_tokens": pl.when(reported("cache_write"))
    .then(count("cache_write") - count("cache_write_1h"))
    .otherwise(count("cache_write_5m")),
    "input_cache_write_1h_tokens": count("cache_write_1h"),
    "output_tokens": count("output"),
    "web_search_calls": count("web_search"),
}
EXCEEDING = (reported("cache_write") & (count("cache_write_5m") + count("cache_write_1h") > count("cache_write")),)
TIER = pl.when(said("speed") == "fast").then(pl.lit("fast")).otherwise(text("tier").fill_null("standard"))
REGION = pl.when(~said("geo").is_in(["", "global", "not_available"])).then(said("geo"))
IGNORED = frozenset({"output_tokens_details", "web_fetch_requests", "cache_creation"})

SOURCE = Source(
    name="anthropic_messages",
    title="Anthropic Messages response, one JSON object, inside a wrapper that knows when",
    example='{"timestamp":"2025-11-21T10:00:00Z","response":{"id":"msg_01A","type":"message","role":"assistant",'
    '"model":"claude-sonnet-4-5-20250929","usage":{"input_tokens":120,"cache_creation_input_tokens":1200,'
    '"cache_read_input_tokens":8000,"cache_creation":{"ephemeral_5m_input_tokens":1200,"ephemeral_1h_input_tokens":0},'
    '"output_tokens":300,"service_tier":"standard"}}}',
    provider="anthropic",
    marks=Marks(where={"type": ("message",), "role": ("assistant",)}, has=("model",)),
    texts={"request_id": "id", "model": "model", "tier": "usage.service_tier"},
    usage="usage",
    counts=counts_at("usage"),
    required=frozenset({"input", "output"}),
    literals={"speed": "usage.speed", "geo": "usage.inference_geo"},
    quantities=QUANTITIES,
    exceeding=EXCEEDING,
    tier=TIER,
    region=REGION,
    cached="outside",
    ignored=IGNORED,
)
