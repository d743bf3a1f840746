"""OpenAI transcriptions, whole or as the stream's last event: billed by tokens, or by seconds (whisper-1).

Semantics (the `openai` SDK's `transcription.py` and `transcription_text_done_event.py`): `usage.type` says which of the
two it is; `input_tokens` is text (the prompt) and audio tokens together. There is no id, time or model of its own: they
come from the wrapper.
"""

from __future__ import annotations

import polars as pl

from etl.sources.base import Source, count, reported, said
from etl.sources.marks import Marks

_IS_DURATION = said("kind") == "duration"

SOURCE = Source(
    name="openai_transcriptions",
    title="OpenAI transcription with usage, inside a wrapper that knows when and the model",
    example='{"timestamp":"2025-11-21T10:00:00Z","request_id":"req_6","model":"gpt-4o-mini-transcribe","response":{'
    '"text":"hello","usage":{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":0,'
    '"audio_tokens":14},"output_tokens":45,"total_tokens":59}}}',
    marks=Marks(has=("text",), where={"usage.type": ("tokens", "duration")}),
    silent=Marks(where={"type": ("transcript.text.delta", "transcript.text.segment")}),
    texts={"model": "model"},
    lacks_model=True,
    usage="usage",
    counts={
        "prompt": "usage.input_tokens",
        "audio_input": "usage.input_token_details.audio_tokens",
        "completion": "usage.output_tokens",
        "seconds": "usage.seconds",
    },
    literals={"kind": "usage.type"},
    quantities={
        "input_uncached_tokens": count("prompt") - count("audio_input"),
        "input_cached_tokens": pl.lit(0, pl.Int64),
        "audio_input_uncached_tokens": count("audio_input"),
        "output_tokens": count("completion"),
        "transcription_seconds": pl.when(_IS_DURATION).then(count("seconds")).otherwise(0),
    },
    exceeding=(count("prompt") < count("audio_input"),),
    invalid=(pl.when(_IS_DURATION).then(~reported("seconds")).otherwise(~reported("prompt")),),
    ignored=frozenset({"total_tokens", "text_tokens"}),
)
