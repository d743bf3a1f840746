"""The sources, in the order in which they are asked. Adding one: docs/adding-a-source.md."""

from __future__ import annotations

from etl.sources import (
    anthropic_messages,
    anthropic_stream,
    anthropic_usage,
    azure_apim,
    azure_openai,
    claude_code,
    codex_cli,
    gemini,
    litellm_spend,
    openai_batches,
    openai_chat,
    openai_chat_stream,
    openai_embeddings,
    openai_fine_tuning,
    openai_images,
    openai_legacy_usage,
    openai_moderations,
    openai_responses,
    openai_speech,
    openai_transcriptions,
    openai_usage,
    openai_usage_others,
    otel_genai,
    plain,
)
from etl.sources.base import Source

SOURCES: tuple[Source, ...] = (
    openai_chat.SOURCE,
    openai_responses.SOURCE,
    openai_usage.SOURCE,
    openai_embeddings.SOURCE,
    anthropic_messages.SOURCE,
    anthropic_stream.SOURCE,
    claude_code.SOURCE,
    codex_cli.SOURCE,
    anthropic_usage.SOURCE,
    gemini.SOURCE,
    otel_genai.SOURCE,
    litellm_spend.SOURCE,
    openai_chat_stream.SOURCE,
    azure_openai.SOURCE,
    openai_batches.SOURCE,
    *openai_usage_others.SOURCES,
    openai_legacy_usage.SOURCE,
    openai_fine_tuning.SOURCE,
    openai_speech.SOURCE,
    openai_transcriptions.SOURCE,
    openai_images.SOURCE,
    openai_moderations.SOURCE,
    azure_apim.SOURCE,
    plain.SOURCE,
)
SOURCE_BY_NAME = {source.name: source for source in SOURCES}
