"""Records that are known and hold no usage to price: what becomes of them, and why.

Sources: Azure OpenAI's diagnostics log (`RequestResponse`; Elastic's integration lists its fields: lengths in bytes,
and no tokens); OpenAI's costs API, vector store usage, image responses of DALL-E, and batch guide; Anthropic's cost
report, whose amounts are cents as text.
"""

from __future__ import annotations

from typing import NamedTuple

from etl.sources.marks import Marks


class Other(NamedTuple):
    """A record that no source takes: by what it is recognised, and its fate and reason."""

    marks: Marks
    fate: str
    reason: str


OTHERS = (
    Other(Marks(where={"object": ("organization.costs.result",)}), "rejected", "statement_record"),
    Other(Marks(has=("amount", "currency", "starting_at")), "rejected", "statement_record"),
    Other(Marks(where={"object": ("organization.usage.vector_stores.result",)}), "rejected", "no_meter"),
    Other(Marks(where={"event": ("ShoeboxCallResult",), "category": ("RequestResponse",)}), "rejected", "no_tokens"),
    Other(Marks(where={"event": ("ShoeboxCallResult",)}), "excluded", "not_usage"),
    Other(Marks(has=("created", "data"), lacks=("object", "id", "error", "usage")), "rejected", "missing_usage"),
)
