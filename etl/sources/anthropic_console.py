"""Anthropic Console's usage export, CSV: a row for each UTC day, model, key, workspace and tier.

Semantics (exports of 2025 and 2026; Anthropic's Admin usage report, which sums the same usage): counts are disjoint;
older exports do not split cache writes by lifetime, which is five minutes by default. A `speed` fast is a tier of its
own, a region in `inference_geo` has prices of its own. Export one of the two, the Console's or the report: they cover
the same.
"""

from __future__ import annotations

from datetime import timedelta

from etl.sources.anthropic_messages import REGION
from etl.sources.anthropic_usage import TIER
from etl.sources.base import Source, count

_INPUT = "usage_input_tokens"

SOURCE = Source(
    name="anthropic_console",
    title="Anthropic Console usage export, CSV",
    example="usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
    "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,"
    "usage_output_tokens,web_search_count,inference_geo,speed\n"
    "2025-11-21,claude-haiku-4-5-20251001,nightly,Default,standard,≤ 200k,1500000,400000,100000,9000000,500000,0,,",
    provider="anthropic",
    kind="aggregate",
    covers="anthropic_messages",
    columns=frozenset({"usage_date_utc", "model_version", f"{_INPUT}_no_cache", "usage_output_tokens"}),
    texts={"model": "model_version", "tier": "usage_type", "project_id": "workspace", "api_key_id": "api_key"},
    instant=("usage_date_utc", "date"),
    until=timedelta(days=1),
    literals={"context_window": "context_window", "geo": "inference_geo", "speed": "speed"},
    dimensions=("context_window", "geo", "speed"),
    counts={
        "input": f"{_INPUT}_no_cache",
        "output": "usage_output_tokens",
        "cache_read": f"{_INPUT}_cache_read",
        "cache_write_5m": (f"{_INPUT}_cache_write_5m", f"{_INPUT}_cache_write"),
        "cache_write_1h": f"{_INPUT}_cache_write_1h",
        "web_search": "web_search_count",
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
