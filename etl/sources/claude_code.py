"""Claude Code session logs: `~/.claude/projects/**/*.jsonl`, one event a line.

Rules (ccusage, `adapter/claude`): only assistant messages hold usage; a message is written several times while it
streams, with growing usage, and again in the logs of its side chains, under the same message id: it counts once, with
its largest usage. `<synthetic>` messages and API errors are made up by the client.
"""

from __future__ import annotations

from etl.sources.anthropic_messages import EXCEEDING, IGNORED, QUANTITIES, REGION, TIER, counts_at
from etl.sources.base import HAS_USAGE, Source, said, text
from etl.sources.marks import Marks

_OTHER_LINES = (
    "user", "system", "summary", "progress", "attachment", "file-history-snapshot", "queue-operation", "last-prompt",
    "permission-mode", "custom-title", "agent-name",
)  # fmt: skip

SOURCE = Source(
    name="claude_code",
    title="Claude Code session log, one event a line",
    example='{"type":"assistant","sessionId":"2c1e4d9a","timestamp":"2025-11-21T09:00:06.480Z","requestId":"req_011CC1",'
    '"isSidechain":false,"message":{"id":"msg_01CC1","type":"message","role":"assistant",'
    '"model":"claude-sonnet-4-5-20250929","usage":{"input_tokens":4,"cache_creation_input_tokens":800,'
    '"cache_read_input_tokens":15000,"output_tokens":412,"service_tier":"standard"}}}',
    provider="anthropic",
    marks=Marks(where={"type": ("assistant",)}, has=("sessionId", "message.role")),
    silent=Marks(where={"type": _OTHER_LINES}, any_of=("sessionId", "leafUuid", "messageId")),
    texts={
        "request_id": "message.id",
        "model": "message.model",
        "tier": "message.usage.service_tier",
        "workflow_id": "sessionId",
    },
    instant=("timestamp", "iso"),
    usage="message.usage",
    counts=counts_at("message.usage"),
    required=frozenset({"input", "output"}),
    literals={"speed": "message.usage.speed", "geo": "message.usage.inference_geo", "is_error": "isApiErrorMessage"},
    quantities=QUANTITIES,
    exceeding=EXCEEDING,
    excluded={
        "synthetic": (text("model") == "<synthetic>") | (said("is_error") == "true"),
        "not_usage": ~HAS_USAGE,
    },
    tier=TIER,
    region=REGION,
    is_state=True,
    cached="outside",
    ignored=IGNORED,
)
