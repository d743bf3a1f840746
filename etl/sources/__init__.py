"""The sources, in the order in which they are asked. Adding one: docs/adding-a-source.md."""

from __future__ import annotations

from etl.sources import openai_chat, openai_embeddings, openai_responses, openai_usage, plain
from etl.sources.base import Source

SOURCES: tuple[Source, ...] = (
    openai_chat.SOURCE,
    openai_responses.SOURCE,
    openai_usage.SOURCE,
    openai_embeddings.SOURCE,
    plain.SOURCE,
)
SOURCE_BY_NAME = {source.name: source for source in SOURCES}
