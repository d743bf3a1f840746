"""OpenAI Chat Completions as they stream, one chunk a line.

Semantics (the `openai` SDK's `chat_completion_chunk.py`): with `stream_options.include_usage` the last chunk, whose
`choices` are empty, holds the usage of the whole request; on all others it is null. Some proxies repeat the usage so
far in each chunk: the chunks of an id are states of one request, and the largest is billed. An interrupted stream
never gets its last chunk: what it cost is not in the log. The first chunk of Azure has neither an id nor a model.
"""

from __future__ import annotations

from dataclasses import replace

from etl.sources import openai_chat
from etl.sources.base import HAS_USAGE
from etl.sources.marks import Marks

SOURCE = replace(
    openai_chat.SOURCE,
    name="openai_chat_stream",
    title="OpenAI Chat Completions stream chunks, one a line",
    example=(
        '{"id":"chatcmpl-9","object":"chat.completion.chunk","created":1763691200,"model":"gpt-4o-mini-2024-07-18",'
        '"service_tier":"default","choices":[],"usage":{"prompt_tokens":1600,"completion_tokens":12,"total_tokens":1612,'
        '"prompt_tokens_details":{"cached_tokens":1536}}}'
    ),
    marks=Marks(where={"object": ("chat.completion.chunk",)}),
    excluded={"chunk_without_usage": ~HAS_USAGE},
    is_state=True,
    counted_as="chat_stream",
)
