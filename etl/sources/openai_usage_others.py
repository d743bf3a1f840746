"""OpenAI organisation usage beside completions: one source for each endpoint, as each counts what no other does.

Semantics (the `openai` SDK's `admin/organization/usage_*_response.py`): a null dimension means "not grouped by it"; a
row has no id, its kind, dimensions and interval identify it. Moderations are free: only their requests count. The
`num_model_requests` of a web search are counted by the completions they were part of. Code interpreter sessions and
file searches name no model. The bytes of vector stores are rent, which no meter counts: `etl.sources.others`.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from etl.sources.base import Source, count
from etl.sources.marks import Marks

_DIMENSIONS = ("object", "size", "source", "vector_store_id", "context_level", "api_source")
_TOKENS = {"input_uncached_tokens": count("counted"), "input_cached_tokens": pl.lit(0, pl.Int64)}


def _endpoint(
    path: str, title: str, model: str, counted: str, quantities: Mapping[str, pl.Expr], requests: str | None = None
) -> Source:
    """The source of one endpoint.

    Args:
        path: what stands in the object's name.
        title: what it counts.
        model: one that it may name, for the example; "" if it names none.
        counted: the key of its count.
        quantities: where that count goes.
        requests: the key of the number of requests, if no other endpoint counts them.
    """
    result = f"organization.usage.{path}.result"
    named = f',"model":"{model}"' if model else ""
    return Source(
        name=f"openai_usage_{path}",
        kind="aggregate",
        title=f"OpenAI organisation usage of {title}: API page, or bucket per line",
        example='{"object":"bucket","start_time":1763683200,"end_time":1763769600,"results":[{"object":"'
        f'{result}","{counted}":12{f""","{requests}":3""" if requests else ""},"project_id":"proj_1"{named}}}]}}',
        marks=Marks(where={"object": (result,)}),
        texts={"account_id": "organization_id"}
        | {name: name for name in ("project_id", "user_id", "api_key_id", "model")},
        instant=("start_time", "epoch"),
        until=("end_time", "epoch"),
        literals={name: name for name in _DIMENSIONS},
        dimensions=_DIMENSIONS,
        counts={"counted": counted} | ({"requests": requests} if requests else {}),
        required=frozenset({"counted"}),
        quantities=quantities,
    )


_ASKED = "num_model_requests"

SOURCES = (
    _endpoint("embeddings", "embeddings", "text-embedding-3-small", "input_tokens", _TOKENS, _ASKED),
    _endpoint("moderations", "moderations", "omni-moderation-latest", "input_tokens", {}, _ASKED),
    _endpoint("images", "images", "dall-e-3", "images", {"generated_images": count("counted")}, _ASKED),
    _endpoint("audio_speeches", "speech", "tts-1", "characters", {"speech_characters": count("counted")}, _ASKED),
    _endpoint(
        "audio_transcriptions", "transcriptions", "whisper-1", "seconds",
        {"transcription_seconds": count("counted")}, _ASKED,
    ),
    _endpoint(
        "code_interpreter_sessions", "code interpreter sessions", "", "num_sessions",
        {"code_interpreter_sessions": count("counted")},
    ),
    _endpoint("file_searches", "file searches", "", "num_requests", {"file_search_calls": count("counted")}),
    _endpoint("web_searches", "web searches", "gpt-4o", "num_requests", {"web_search_calls": count("counted")}),
)  # fmt: skip
