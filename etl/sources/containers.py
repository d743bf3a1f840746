"""Objects that hold several records: API pages and their buckets, lists, traces.

Each entry is a record of its own, recognised by its own keys; it inherits what it lacks from the objects around it.
"""

from __future__ import annotations

from dataclasses import dataclass

from etl.sources.envelopes import PLACES
from etl.sources.marks import Marks


@dataclass(frozen=True, eq=False)
class Container:
    """One level: an object with an array of further containers or of records.

    Attributes:
        marks: by what it is recognised.
        entries: the array's key; a second one for an older spelling.
        inherited: the keys that its entries take over.
        beside: the keys of further arrays, whose entries are records too.
    """

    marks: Marks
    entries: tuple[str, ...]
    inherited: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


# Of OpenAI's legacy usage, beside its tokens.
_OTHER_CALLS = (
    "dalle_api_data", "whisper_api_data", "tts_api_data", "assistant_code_interpreter_data", "retrieval_storage_data",
)  # fmt: skip
CONTAINERS = (
    # OpenAI organisation usage and costs: a page of buckets, a bucket of results.
    Container(Marks(where={"object": ("page",)}), ("data", "result")),
    Container(Marks(where={"object": ("bucket",)}), ("results",), ("start_time", "end_time")),
    # OpenAI's legacy usage: one array for each kind of call.
    Container(
        Marks(where={"object": ("list",)}, any_of=("ft_data", *_OTHER_CALLS)),
        ("data",),
        beside=("ft_data", *_OTHER_CALLS),
    ),
    # Lists of stored completions, batches and the like; an embeddings response has usage beside its data.
    Container(Marks(where={"object": ("list",)}, has=("data",), lacks=("usage", "model")), ("data",)),
    # Anthropic Admin reports: a page of intervals, an interval of results.
    Container(Marks(has=("data",), any_of=("has_more", "next_page"), lacks=("object", "usage", "model")), ("data",)),
    Container(
        Marks(has=("starting_at", "ending_at", "results"), lacks=("object",)),
        ("results",),
        ("starting_at", "ending_at"),
    ),
    # Pages of gateways' and tracers' APIs: Langfuse's observations, Cloudflare's logs.
    Container(Marks(has=("data",), any_of=("meta.totalItems", "meta.cursor"), lacks=("object", "usage")), ("data",)),
    Container(Marks(has=("result", "result_info", "success"), lacks=("object",)), ("result",)),
    # OpenTelemetry traces in OTLP JSON: resources, their scopes, their spans.
    Container(Marks(has=("resourceSpans",), lacks=("object",)), ("resourceSpans",)),
    Container(Marks(has=("scopeSpans",), lacks=("object",)), ("scopeSpans",)),
    # A wrapper of one's own may keep spans of its own beside an answer.
    Container(Marks(has=("spans",), lacks=("object", "usage", "model", *(place[0] for place in PLACES))), ("spans",)),
)
