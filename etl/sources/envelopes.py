"""What may stand around a provider's object: batch envelopes, with their tier and failures, and wrappers of one's own.

Sources of the rules: the providers' batch guides. A batch is billed for its completed requests only; lines that failed,
expired or were cancelled are not. Its tier is `batch`, whatever the object inside says of itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from etl.sources.marks import Marks


@dataclass(frozen=True, eq=False)
class Envelope:
    """A line of a provider's file that holds the object of one request.

    Attributes:
        name: for docs/formats.md.
        marks: by what the line is recognised.
        place: where the object is.
        failed: marks of a line whose request failed, expired or was cancelled.
        texts, times, statuses: what the line may say where the object does not, as for a wrapper.
        sources: the sources that it may hold; empty: any.
    """

    name: str
    marks: Marks
    place: tuple[str, ...]
    failed: Marks
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    times: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    sources: frozenset[str] = frozenset()

    def may_hold(self, source: str) -> bool:
        """Whether it may hold records of a source."""
        return not self.sources or source in self.sources


# What a wrapper of one's own may say: USAGE column -> the wrapper's keys, first one wins.
WRAPPER_TEXTS: Mapping[str, tuple[str, ...]] = {
    "request_id": ("request_id", "id"),
    "model": ("model", "request.model"),
    "account_id": ("account_id", "account", "organization_id"),
    "project_id": ("project_id", "project"),
    "user_id": ("user_id", "user"),
    "api_key_id": ("api_key_id",),
    "workflow_id": ("workflow_id", "workflow"),
}
WRAPPER_TIMES = ("timestamp", "time", "created_at", "ts", "@timestamp")
WRAPPER_STATUSES = ("status", "status_code", "response.status_code")
# Where it may keep the object, in the order in which they are tried.
PLACES = (
    ("response",), ("response", "body"), ("body",), ("response_body",), ("output",), ("completion",), ("data",),
    ("event",), ("chunk",), ("event", "response"), ("data", "response"),
)  # fmt: skip

ENVELOPES = (
    Envelope(
        name="OpenAI Batch output and error files",
        marks=Marks(has=("custom_id",), any_of=("response", "error"), lacks=("method",)),
        place=("response", "body"),
        failed=Marks(lacks=("response",)),
        texts=WRAPPER_TEXTS,
        times=WRAPPER_TIMES,
        statuses=WRAPPER_STATUSES,
    ),
    Envelope(
        name="Anthropic Message Batch results",
        marks=Marks(where={"custom_id": ("*",), "result.type": ("succeeded", "errored", "canceled", "expired")}),
        place=("result", "message"),
        failed=Marks(where={"result.type": ("errored", "canceled", "expired")}),
        times=WRAPPER_TIMES,
    ),
    Envelope(
        name="Vertex batch prediction output",
        marks=Marks(has=("processed_time", "response")),
        place=("response",),
        failed=Marks(lacks=("response.usageMetadata", "response.usage_metadata", "response.candidates")),
        times=("processed_time",),
        sources=frozenset({"gemini"}),
    ),
    Envelope(
        name="Gemini batch results",
        marks=Marks(has=("key",), any_of=("response", "error"), lacks=WRAPPER_TIMES),
        place=("response",),
        failed=Marks(lacks=("response",)),
        sources=frozenset({"gemini"}),
    ),
)
