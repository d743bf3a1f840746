"""OpenAI speech as it streams: the last event, `speech.audio.done`, holds the usage; the others are sound.

Semantics (the `openai` SDK's `speech_audio_done_event.py`): `input_tokens` is the text, `output_tokens` are sound.
Speech that is not streamed answers with sound alone, so no log can hold its usage; the organisation's usage counts its
characters. An event has no id, time or model: they come from the wrapper.
"""

from __future__ import annotations

import polars as pl

from etl.sources.base import Source, count
from etl.sources.marks import Marks

SOURCE = Source(
    name="openai_speech",
    title="OpenAI speech.audio.done stream event, inside a wrapper that knows when and the model",
    example='{"timestamp":"2025-11-21T10:00:00Z","request_id":"req_7","model":"gpt-4o-mini-tts","event":{'
    '"type":"speech.audio.done","usage":{"input_tokens":14,"output_tokens":101,"total_tokens":115}}}',
    marks=Marks(where={"type": ("speech.audio.done",)}),
    silent=Marks(where={"type": ("speech.audio.delta",)}),
    texts={"model": "model"},
    lacks_model=True,
    usage="usage",
    counts={"prompt": "usage.input_tokens", "completion": "usage.output_tokens"},
    required=frozenset({"prompt", "completion"}),
    quantities={
        "input_uncached_tokens": count("prompt"),
        "input_cached_tokens": pl.lit(0, pl.Int64),
        "audio_output_tokens": count("completion"),
    },
    ignored=frozenset({"total_tokens"}),
)
