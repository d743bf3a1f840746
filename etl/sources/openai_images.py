"""OpenAI image generations and edits by the gpt-image models, which are billed by tokens.

Semantics (the `openai` SDK's `images_response.py`): `input_tokens` is text and image tokens together, as its details
tell; `output_tokens` are image tokens, but for what `output_tokens_details` calls text. The response names neither its
model nor an id: both come from the wrapper. A DALL-E response holds no usage at all.
"""

from __future__ import annotations

from etl.sources.base import Source, count
from etl.sources.marks import Marks

SOURCE = Source(
    name="openai_images",
    title="OpenAI image response with usage, inside a wrapper that knows the model",
    example='{"timestamp":"2025-11-21T10:00:00Z","request_id":"req_5","request":{"model":"gpt-image-1"},"response":{'
    '"created":1763719200,"data":[{"b64_json":""}],"usage":{"input_tokens":50,"input_tokens_details":'
    '{"text_tokens":10,"image_tokens":40},"output_tokens":1056,"total_tokens":1106}}}',
    marks=Marks(has=("created", "data", "usage.input_tokens"), lacks=("object", "id")),
    texts={"model": "model"},
    lacks_model=True,
    instant=("created", "epoch"),
    usage="usage",
    counts={
        "prompt": "usage.input_tokens",
        "image_input": "usage.input_tokens_details.image_tokens",
        "cached": "usage.input_tokens_details.cached_tokens",
        "completion": "usage.output_tokens",
        "text_output": "usage.output_tokens_details.text_tokens",
    },
    required=frozenset({"prompt", "completion"}),
    quantities={
        "input_uncached_tokens": count("prompt") - count("image_input") - count("cached"),
        "input_cached_tokens": count("cached"),
        "image_input_uncached_tokens": count("image_input"),
        "image_output_tokens": count("completion") - count("text_output"),
        "output_tokens": count("text_output"),
    },
    exceeding=(count("prompt") < count("image_input") + count("cached"), count("text_output") > count("completion")),
    ignored=frozenset({"total_tokens", "text_tokens", "image_tokens"}),
)
