"""OpenAI moderations: free, so that only the requests are counted.

Rules (OpenAI's moderation guide: "the moderation endpoint is free to use"; the `openai` SDK's
`moderation_create_response.py`): the response has an id and a model, and neither usage nor a time, which the wrapper or
`--date` says.
"""

from __future__ import annotations

from etl.sources.base import Source
from etl.sources.marks import Marks

SOURCE = Source(
    name="openai_moderations",
    title="OpenAI moderation response, inside a wrapper that knows when; it is free, its requests are counted",
    example='{"timestamp":"2025-11-21T10:00:00Z","response":{"id":"modr-1","model":"omni-moderation-latest",'
    '"results":[{"flagged":false}]}}',
    marks=Marks(where={"id": ("modr-*",)}, has=("model", "results")),
    texts={"request_id": "id", "model": "model"},
    counts={},
    quantities={},
)
