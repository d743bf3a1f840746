"""Cloudflare AI Gateway logs, one call a line, as its API lists them.

Rules (Cloudflare's API reference of `ai-gateway/gateways/{id}/logs`): `cached` is the gateway's own cache: the
provider was not asked, and nothing is billed, although tokens are logged. How much of the input the provider took from
its own cache is not logged, so the cost is an upper bound, unless the gateway counts Anthropic's input as Anthropic
does, without the cache; nor is the tier logged. Failed calls have the status that the client got.
"""

from __future__ import annotations

from etl.sources.base import Source, count, is_http_failure, said, text
from etl.sources.marks import Marks
from etl.sources.providers import provider_named, without_vendor

SOURCE = Source(
    name="cloudflare_gateway",
    title="Cloudflare AI Gateway log, JSONL",
    example='{"id":"01JD0001","created_at":"2025-11-21T12:00:00.100Z","provider":"openai","model":"gpt-4o-mini-2024-07-18",'
    '"path":"chat/completions","status_code":200,"success":true,"cached":false,"tokens_in":1400,"tokens_out":110,'
    '"cost":0.000276}',
    provider=provider_named(text("provider")),
    marks=Marks(has=("provider", "success", "cached", "created_at"), any_of=("tokens_in", "tokens_out")),
    texts={"request_id": "id", "model": "model", "provider": "provider"},
    instant=("created_at", "iso_utc"),
    counts={"prompt": "tokens_in", "completion": "tokens_out"},
    required=frozenset({"prompt"}),
    literals={"cached": "cached", "success": "success", "status": "status_code"},
    quantities={"input_uncached_tokens": count("prompt"), "output_tokens": count("completion")},
    excluded={
        "gateway_cache_hit": said("cached").is_in(["true", "1"]),
        "http_error": is_http_failure("status"),
        "error_response": said("success").is_in(["false", "0"]),
    },
    model=without_vendor(text("model")),
)
