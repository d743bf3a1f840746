"""Anthropic stream events, one a line: `message_start`, then `message_delta`s whose usage is cumulative.

Semantics (the `anthropic` SDK's `raw_message_delta_event.py` and `message_delta_usage.py`): a delta repeats the counts
so far and names no message, so it belongs to the last `message_start` before it and takes from that one what it leaves
out. All events of a message are states of one request; the largest is billed. An interrupted stream is billed for what
its last event says.
"""

from __future__ import annotations

from etl.sources.anthropic_messages import EXCEEDING, IGNORED, QUANTITIES, REGION, TIER, counts_at
from etl.sources.base import Source
from etl.sources.marks import Marks

_COUNTS = counts_at("usage", "message.usage")
_STARTED = {"id": "message.id", "model": "message.model", "tier": "message.usage.service_tier"}
_SPEED, _GEO = "message.usage.speed", "message.usage.inference_geo"

SOURCE = Source(
    name="anthropic_stream",
    title="Anthropic stream events, one a line, inside wrappers that know when",
    example='{"timestamp":"2025-11-21T10:00:00Z","event":{"type":"message_start","message":{"id":"msg_01S","type":'
    '"message","role":"assistant","model":"claude-sonnet-4-5-20250929","usage":{"input_tokens":2095,'
    '"cache_read_input_tokens":1024,"output_tokens":1,"service_tier":"standard"}}}}',
    provider="anthropic",
    marks=Marks(where={"type": ("message_start", "message_delta")}),
    silent=Marks(
        where={
            "type": ("content_block_start", "content_block_delta", "content_block_stop", "message_stop", "ping"),
        }
    ),
    texts={"request_id": _STARTED["id"], "model": _STARTED["model"], "tier": _STARTED["tier"]},
    usage=("usage", "message.usage"),
    counts=_COUNTS,
    required=frozenset({"input", "output"}),
    literals={"speed": _SPEED, "geo": _GEO},
    quantities=QUANTITIES,
    exceeding=EXCEEDING,
    tier=TIER,
    region=REGION,
    is_state=True,
    carried=((*_STARTED.values(), _SPEED, _GEO, "message.usage?", *(paths[-1] for paths in _COUNTS.values())),),
    cached="outside",
    ignored=IGNORED,
)
