"""OpenAI embeddings responses: no id and no time of their own, so both come from the wrapper around them.

Token semantics (the `openai` SDK's `create_embedding_response.py`): `prompt_tokens` only; there is no output.
"""

from __future__ import annotations

import polars as pl

from etl.sources.base import Source, count
from etl.sources.marks import Marks

SOURCE = Source(
    name="openai_embeddings",
    title="OpenAI embeddings response, inside a wrapper that knows when",
    example='{"timestamp":"2025-11-21T01:00:05Z","request_id":"req_3","response":{"object":"list","data":[],'
    '"model":"text-embedding-3-small","usage":{"prompt_tokens":512,"total_tokens":512}}}',
    marks=Marks(where={"object": ("list",)}, has=("usage",)),
    texts={"model": "model"},
    lacks_model=True,
    usage="usage",
    counts={"prompt": "usage.prompt_tokens"},
    required=frozenset({"prompt"}),
    quantities={"input_uncached_tokens": count("prompt"), "input_cached_tokens": pl.lit(0, pl.Int64)},
    ignored=frozenset({"total_tokens"}),
)
