"""Anthropic Admin usage report: pages of intervals with results (`/v1/organizations/usage_report/messages`).

Semantics (the report's reference, checked against a real one in 2026): counts are disjoint; a null dimension means "not
grouped by it", so a null model or tier finds no price; a null workspace may also be the default one. There is no number
of requests and no id: dimensions and interval identify a row, and a later report of an interval may be larger.
"""

from __future__ import annotations

import polars as pl

from etl.sources.anthropic_messages import REGION
from etl.sources.base import Source, count, said, text
from etl.sources.marks import Marks

# Unlike a message's, a tier that is not told is not grouped by: it finds no price.
TIER = pl.when(said("speed") == "fast").then(pl.lit("fast")).otherwise(text("tier"))

SOURCE = Source(
    name="anthropic_usage",
    title="Anthropic Admin usage report: API page, or one interval a line",
    example='{"starting_at":"2025-11-21T00:00:00Z","ending_at":"2025-11-22T00:00:00Z","results":[{'
    '"uncached_input_tokens":1500000,"cache_creation":{"ephemeral_1h_input_tokens":100000,"ephemeral_5m_input_tokens":'
    '400000},"cache_read_input_tokens":9000000,"output_tokens":500000,"server_tool_use":{"web_search_requests":0},'
    '"api_key_id":"apikey_01Rj","model":"claude-sonnet-4-5-20250929","service_tier":"standard",'
    '"context_window":"0-200k","inference_geo":"global"}]}',
    provider="anthropic",
    kind="aggregate",
    covers="anthropic_messages",
    marks=Marks(has=("uncached_input_tokens", "output_tokens", "starting_at")),
    texts={
        "model": "model",
        "tier": "service_tier",
        "project_id": "workspace_id",
        "api_key_id": "api_key_id",
        "user_id": ("account_id", "service_account_id"),
    },
    instant=("starting_at", "iso"),
    until=("ending_at", "iso"),
    literals={"context_window": "context_window", "geo": "inference_geo", "speed": "speed"},
    dimensions=("context_window", "geo", "speed"),
    counts={
        "input": "uncached_input_tokens",
        "output": "output_tokens",
        "cache_read": "cache_read_input_tokens",
        "cache_write_5m": "cache_creation.ephemeral_5m_input_tokens",
        "cache_write_1h": "cache_creation.ephemeral_1h_input_tokens",
        "web_search": "server_tool_use.web_search_requests",
    },
    required=frozenset({"input", "output"}),
    quantities={
        "input_uncached_tokens": count("input"),
        "input_cached_tokens": count("cache_read"),
        "input_cache_write_5m_tokens": count("cache_write_5m"),
        "input_cache_write_1h_tokens": count("cache_write_1h"),
        "output_tokens": count("output"),
        "web_search_calls": count("web_search"),
    },
    tier=TIER,
    region=REGION,
    cached="outside",
)
