"""Codex CLI session logs: `~/.codex/sessions/**/*.jsonl`, one event a line.

Rules (as ccusage and ccstats read them): `token_count` events hold counters of the whole session and the usage of
the last call; a log of an old version has the counters only, and a call is what they have grown by. An event whose
counters have not grown repeats the one before. Cached tokens are inside the input, reasoning inside the output. The
model is that of the last `turn_context`. A resumed session repeats its events at their old times: they count once.
"""

from __future__ import annotations

import polars as pl

from etl.sources.base import Source, count, reported, since_previous, text
from etl.sources.marks import Marks

_NAMES = {
    "input": "input_tokens",
    "cached": "cached_input_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_output_tokens",
}
_LAST, _TOTAL = "payload.info.last_token_usage", "payload.info.total_token_usage"
_TOTALS = ("total_input", "total_cached", "total_output")


def _call(name: str) -> pl.Expr:
    return pl.when(reported("input")).then(count(name)).otherwise(since_previous(f"total_{name}"))


SOURCE = Source(
    name="codex_cli",
    title="Codex CLI session log, one event a line",
    example='{"timestamp":"2025-11-21T09:00:00.000Z","type":"turn_context","payload":{"model":"gpt-5-codex"}}\n'
    '{"timestamp":"2025-11-21T09:00:05.000Z","type":"event_msg","payload":{"type":"token_count","info":{'
    '"total_token_usage":{"input_tokens":1000,"cached_input_tokens":200,"output_tokens":500,"reasoning_output_tokens":200},'
    '"last_token_usage":{"input_tokens":1000,"cached_input_tokens":200,"output_tokens":500,"reasoning_output_tokens":200}}}}',
    marks=Marks(where={"type": ("turn_context", "event_msg")}, has=("timestamp", "payload")),
    silent=Marks(where={"type": ("session_meta", "response_item", "compacted")}, has=("timestamp", "payload")),
    texts={"model": "payload.model", "at": "timestamp"},
    id_texts=("at",),
    request_id=pl.format("codex:{}:{}:{}", text("at"), count("total_input"), count("total_output")),
    instant=("timestamp", "iso"),
    counts={
        **{name: f"{_LAST}.{path}" for name, path in _NAMES.items()},
        **{f"total_{name}": f"{_TOTAL}.{path}" for name, path in _NAMES.items()},
    },
    quantities={
        "input_uncached_tokens": _call("input") - _call("cached"),
        "input_cached_tokens": _call("cached"),
        "output_tokens": _call("output"),
    },
    excluded={
        "not_usage": ~reported("input") & ~reported("total_input"),
        "repeated": reported("total_input")
        & (since_previous("total_input") == 0)
        & (since_previous("total_output") == 0),
    },
    carried=(("payload.model",),),
    cumulative=frozenset(_TOTALS),
    ignored=frozenset({"total_tokens"}),
)
