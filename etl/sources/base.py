"""What a source is: a declaration of where one provider's record shape keeps its facts.

A source holds no loops. It names the marks by which a record is recognised, the paths of its fields, and how its counts
become disjoint quantities; `etl.decoding` and `etl.judging` do the rest, a whole batch at a time. The guide is
docs/adding-a-source.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import timedelta

import polars as pl

from etl.sources.marks import Marks
from etl.sources.paths import Path, spellings

# What a record may say of who used it: USAGE column -> path. Anything but text there is ignored.
ATTRIBUTION = ("account_id", "project_id", "api_key_id", "user_id", "workflow_id")


def count(name: str) -> pl.Expr:
    """A declared count of the record; 0 where the record does not mention it."""
    return pl.col(f"count:{name}").fill_null(0)


def reported(name: str) -> pl.Expr:
    """Whether the record mentions a declared count at all."""
    return pl.col(f"count:{name}").is_not_null()


def since_previous(name: str) -> pl.Expr:
    """How much a cumulative count has grown since the line before."""
    return count(name) - pl.col(f"count:{name}@previous").fill_null(0)


def text(name: str) -> pl.Expr:
    """A declared text, decoded; NULL where the record does not mention it."""
    return pl.col(f"text:{name}")


def literal(name: str) -> pl.Expr:
    """The raw text of a declared scalar (JSON notation, or a CSV cell)."""
    return pl.col(f"literal:{name}")


def said(name: str) -> pl.Expr:
    """A declared scalar in small letters and without quotes, as JSON or CSV wrote it: `true`, `hit`, `none`."""
    return pl.col(f"literal:{name}").str.strip_chars('"').str.to_lowercase()


def is_there(name: str) -> pl.Expr:
    """Whether a declared scalar, or the object at its path, is there."""
    return pl.col(f"literal:{name}").is_not_null()


def is_http_failure(name: str) -> pl.Expr:
    """Whether a declared scalar is an HTTP status from 400 to 599: providers bill completed requests only."""
    return said(name).cast(pl.Int64, strict=False).is_between(400, 599)


def cache_writes(by_anthropic: pl.Expr) -> dict[str, pl.Expr]:
    """The count `cache_write`, whose lifetime a gateway does not tell: Anthropic's default is five minutes."""
    return {
        "input_cache_write_tokens": pl.when(by_anthropic).then(0).otherwise(count("cache_write")),
        "input_cache_write_5m_tokens": pl.when(by_anthropic).then(count("cache_write")).otherwise(0),
    }


def mentions_none(counts: Iterable[str], texts: Iterable[str] = ()) -> pl.Expr:
    """Whether the record has none of these counts, sound or not, and none of these texts."""
    given = (pl.col(f"given:{name}") for name in counts)
    return ~pl.any_horizontal(*given, *(text(name).is_not_null() for name in texts))


HAS_USAGE = pl.col("literal:has_usage")


@dataclass(frozen=True, eq=False)
class Source:
    """One record shape. A `Path` is text such as `usage.prompt_tokens`, or several spellings: see `etl.sources.paths`.

    Attributes:
        name: as in the usage table's `source` column and after `--format`.
        title: what it is, for `costroll formats`.
        example: one record, as a user would see it.
        marks: by what a JSON object is recognised; None: only ever a CSV.
        columns: for CSV, the header names that give the shape away.
        counted_columns: for CSV, header names of which one at least is there where the header has more than `columns`.
        silent: marks of other lines of the same log, which never hold usage: excluded as `not_usage`.
        provider: whose price list applies: a name, or an expression over `text(...)`.
        kind: `request` or `aggregate`.
        covers: aggregates that cover the same usage in other words have the same name here; else the source's.
        texts: USAGE column -> path of a string (`request_id`, `model`, `tier`, `account_id`...); any other name is for
            an expression below.
        instant: path of the time, and its notation (of `etl.times.NOTATIONS`); None: a wrapper or `--date` says.
        until: of an aggregate, the end of its interval: path and notation, or how long it is.
        usage: path of the object without which the counts cannot exist.
        counts: name -> path of a count.
        counts_are_text: counts may be written as text, as OTLP does.
        required: the counts that must be there.
        requires_any: one of the counts must be there, whichever.
        literals: name -> path of another scalar that a rule below needs.
        dimensions: literals that identify an aggregate beside project, user, key, model and tier.
        quantities: USAGE column -> its disjoint quantity, an expression over `count(...)`.
        exceeding: expressions, true where the parts are larger than their whole.
        invalid: expressions, true where a scalar that prices a record is not of its kind.
        excluded: reason -> expression, true where the record is understood and not billable.
        model, tier, request_id: expressions, where these are not simply the text of that name. `tier` gives the
            provider's word; `etl.sources.tiers` translates it.
        region: an expression for a region with prices of its own; the tier then ends in it: `standard-us`.
        id_texts: the texts that may identify a request; without any of them it needs a fingerprint of the whole record.
        lacks_model: the model may have to come from the request that a wrapper keeps.
        is_state: the lines of one request are states of it: the one with the largest usage stands.
        is_apart: it is billed apart from the provider's own usage: its requests displace only aggregates that cover the
            same, and other requests do not displace its aggregates.
        carried: groups of paths that a line may lack: it takes a group from the last line before with any of it.
        cumulative: counts that grow from line to line; `since_previous(name)` is what the line added.
        cached: for docs/formats.md: whether cached input is `inside` or `outside` the input count.
        counted_as: by which rules `etl.estimates` counts tokens where usage is missing: `chat`, `chat_stream`,
            `responses`; None: it does not.
        ignored: names of counts that are understood and deliberately not read, such as totals.
    """

    name: str
    title: str
    example: str
    counts: Mapping[str, Path]
    quantities: Mapping[str, pl.Expr]
    marks: Marks | None = None
    columns: frozenset[str] = frozenset()
    counted_columns: frozenset[str] = frozenset()
    silent: Marks | None = None
    provider: str | pl.Expr = "openai"
    kind: str = "request"
    covers: str | None = None
    texts: Mapping[str, Path] = field(default_factory=dict)
    instant: tuple[Path, str] | None = None
    until: tuple[Path, str] | timedelta | None = None
    usage: Path | None = None
    counts_are_text: bool = False
    required: frozenset[str] = frozenset()
    requires_any: bool = False
    literals: Mapping[str, Path] = field(default_factory=dict)
    dimensions: tuple[str, ...] = ()
    exceeding: tuple[pl.Expr, ...] = ()
    invalid: tuple[pl.Expr, ...] = ()
    excluded: Mapping[str, pl.Expr] = field(default_factory=dict)
    model: pl.Expr | None = None
    tier: pl.Expr | None = None
    region: pl.Expr | None = None
    request_id: pl.Expr | None = None
    id_texts: tuple[str, ...] = ("request_id",)
    lacks_model: bool = False
    is_state: bool = False
    is_apart: bool = False
    carried: tuple[tuple[str, ...], ...] = ()
    cumulative: frozenset[str] = frozenset()
    cached: str = "inside"
    counted_as: str | None = None
    ignored: frozenset[str] = frozenset()

    def paths(self) -> Iterator[str]:
        """Every path that the shape reads, in every spelling."""
        yield from self.lenient_paths()
        for name, path in self.texts.items():
            if name not in ATTRIBUTION:
                yield from spellings(path)
        for time in (self.instant, self.until):
            if isinstance(time, tuple):
                yield from spellings(time[0])
        for path in (*self.counts.values(), *self.literals.values()):
            yield from spellings(path)

    def lenient_paths(self) -> Iterator[str]:
        """Those of them that may hold anything: who used it does not change what it costs."""
        for name in ATTRIBUTION:
            yield from spellings(self.texts.get(name, ()))

    def has_header(self, names: Set[str]) -> bool:
        """Whether a CSV with these columns is of this shape."""
        is_counted = not self.counted_columns or names == self.columns or bool(self.counted_columns & names)
        return bool(self.columns) and self.columns <= names and is_counted

    def usage_paths(self) -> tuple[str, ...]:
        """Where the usage object may stand."""
        return spellings(self.usage or ())

    @property
    def leans_on_earlier_lines(self) -> bool:
        """Whether its lines must be judged in their order."""
        return bool(self.carried or self.cumulative)

    def id_paths(self) -> Iterator[str]:
        """Where an identity may stand."""
        for name in self.id_texts:
            yield from spellings(self.texts.get(name, ()))


USUAL_METADATA: Mapping[str, Path] = {
    "project_id": "metadata.project_id",
    "user_id": ("metadata.user_id", "metadata.user"),
    "workflow_id": "metadata.workflow_id",
}
