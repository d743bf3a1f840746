"""OpenTelemetry GenAI spans in OTLP JSON: `resourceSpans`, `scopeSpans`, `spans`.

Rules (OpenTelemetry semantic conventions for GenAI, registry 0.66 and the names before it): whole numbers are text;
cached tokens "SHOULD be included in `gen_ai.usage.input_tokens`", and where they are more than it, the instrumentation
left them out; spans of agents, workflows and tools stand around the calls and may repeat their usage.
"""

from __future__ import annotations

import polars as pl

from etl.sources.base import HAS_USAGE, Source, count, is_there, text
from etl.sources.marks import Marks
from etl.sources.providers import provider_named

_CALLS = ("chat", "text_completion", "embeddings", "generate_content")


def _attribute(kind: str, *names: str) -> tuple[str, ...]:
    return tuple(f"attributes[key={name}].value.{kind}Value" for name in names)


_USAGE = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
_READ = ("cache_read.input_tokens", "cache_read_input_tokens", "input_tokens.cached")
_WRITE = ("cache_creation.input_tokens", "cache_creation_input_tokens")
_TIER = ("openai.response.service_tier", "gen_ai.openai.response.service_tier")
_CACHE = count("cached") + count("cache_write")
_IS_CALL = text("operation").is_in(_CALLS)

SOURCE = Source(
    name="otel_genai",
    title="OpenTelemetry GenAI spans, OTLP JSON",
    example='{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8e","spanId":"c174","startTimeUnixNano":'
    '"1763726400100000000","attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}},'
    '{"key":"gen_ai.provider.name","value":{"stringValue":"openai"}},'
    '{"key":"gen_ai.response.model","value":{"stringValue":"gpt-4o-mini-2024-07-18"}},'
    '{"key":"gen_ai.usage.input_tokens","value":{"intValue":"1400"}},'
    '{"key":"gen_ai.usage.output_tokens","value":{"intValue":"110"}}]}]}]}]}',
    provider=provider_named(text("provider")),
    marks=Marks(has=("traceId", "spanId", "startTimeUnixNano")),
    texts={
        "request_id": _attribute("string", "gen_ai.response.id"),
        "model": _attribute("string", "gen_ai.response.model", "gen_ai.request.model"),
        "tier": _attribute("string", *_TIER),
        "provider": _attribute("string", "gen_ai.provider.name", "gen_ai.system"),
        "operation": _attribute("string", "gen_ai.operation.name"),
        "trace": "traceId",
        "span": "spanId",
    },
    id_texts=("request_id", "span"),
    request_id=pl.coalesce(text("request_id"), pl.format("{}:{}", text("trace"), text("span"))),
    instant=("startTimeUnixNano", "epoch_nanoseconds"),
    usage=tuple(f"attributes[key={name}]" for name in _USAGE),
    counts={
        "prompt": _attribute("int", *_USAGE),
        "completion": _attribute("int", "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
        "cached": _attribute("int", *(f"gen_ai.usage.{name}" for name in _READ)),
        "cache_write": _attribute("int", *(f"gen_ai.usage.{name}" for name in _WRITE)),
        "reasoning": _attribute("int", "gen_ai.usage.reasoning.output_tokens"),
    },
    counts_are_text=True,
    required=frozenset({"prompt"}),
    literals={"error": _attribute("string", "error.type")},
    quantities={
        "input_uncached_tokens": count("prompt") - pl.when(count("prompt") < _CACHE).then(0).otherwise(_CACHE),
        "input_cached_tokens": pl.col("count:cached"),
        "input_cache_write_tokens": count("cache_write"),
        "output_tokens": count("completion"),
    },
    excluded={
        "not_usage": text("operation").is_null() & text("provider").is_null(),
        "parent_span": ~_IS_CALL,
        "error_response": is_there("error") & ~HAS_USAGE,
    },
)
