"""Costroll's own plain format, for logs of providers it does not know: CSV or one JSON object a line.

The columns are those of the usage table (docs/formats.md). Quantities are disjoint as they stand; the one convenience
is `input_tokens`, the whole prompt, which may stand instead of `input_uncached_tokens`.
"""

from __future__ import annotations

import polars as pl

from etl.meters import QUANTITY_COLUMNS
from etl.sources.base import Source, count, reported, text
from etl.sources.marks import Marks

_TEXTS = ("provider", "request_id", "account_id", "project_id", "api_key_id", "user_id", "workflow_id", "model", "tier")
_COLUMNS = tuple(column for column, _, _ in QUANTITY_COLUMNS)
_PROMPT_COLUMNS = tuple(column for column, meter, _ in QUANTITY_COLUMNS if meter.endswith("input"))
_PARTS = pl.sum_horizontal(count(column) for column in _PROMPT_COLUMNS if column != "input_uncached_tokens")
_UNCACHED = (
    pl.when(reported("input_tokens"))
    .then(count("input_tokens") - _PARTS)
    .otherwise(pl.col("count:input_uncached_tokens"))
)


SOURCE = Source(
    name="plain",
    title="Costroll's own plain format, CSV or JSONL",
    example=(
        "occurred_at,request_id,provider,model,tier,input_uncached_tokens,input_cached_tokens,output_tokens\n"
        "2025-11-21T01:00:00Z,req-1,openai,gpt-4o-mini-2024-07-18,standard,128,1920,310"
    ),
    marks=Marks(has=("occurred_at", "model"), any_of=("input_tokens", *_COLUMNS)),
    columns=frozenset({"occurred_at", "model"}),
    provider=text("provider").fill_null("openai"),
    texts={name: name for name in _TEXTS},
    instant=("occurred_at", "iso"),
    cached="outside",
    counts={
        "input_tokens": "input_tokens",
        "reasoning": "reasoning_tokens",
        **{column: column for column in _COLUMNS},
    },
    requires_any=True,
    quantities={
        **{column: pl.col(f"count:{column}") for column in _COLUMNS},
        "input_uncached_tokens": _UNCACHED,
    },
    exceeding=(
        reported("input_tokens") & (count("input_tokens") < _PARTS),
        reported("input_tokens") & reported("input_uncached_tokens") & (count("input_uncached_tokens") != _UNCACHED),
        reported("output_tokens") & (count("reasoning") > count("output_tokens")),
    ),
)  # fmt: skip
