"""What a source is: a declaration of where one provider's record shape keeps its facts.

A source holds no loops. It names the keys by which a record is recognised, the paths of its fields, and
how its counts become disjoint quantities; `etl.judging` does the rest, a whole batch at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

# A decoded JSON object, or a CSV row as a flat mapping.
Json = Mapping[str, Any]


class Object(dict[str, Any]):
    """A decoded JSON object that remembers which of its keys occurred twice."""

    doubled: frozenset[str] = frozenset()


def with_members(record: Json, members: Json) -> Object:
    """A copy of an object with some members set; what occurred twice is remembered."""
    made = Object({**record, **members})
    made.doubled = getattr(record, "doubled", frozenset())
    return made


def count(name: str) -> pl.Expr:
    """A declared count of the record; 0 where the record does not mention it."""
    return pl.col(f"count:{name}").fill_null(0)


def reported(name: str) -> pl.Expr:
    """Whether the record mentions a declared count at all."""
    return pl.col(f"count:{name}").is_not_null()


def literal(name: str) -> pl.Expr:
    """The raw text of a declared scalar (JSON notation, or a CSV cell)."""
    return pl.col(f"literal:{name}")


@dataclass(frozen=True, eq=False)
class Source:
    """One record shape.

    Attributes:
        name: as in the usage table's `source` column and after `--format`.
        title: what it is, for `costroll formats`.
        provider: whose price list applies, unless `texts["provider"]` says.
        kind: `request` or `aggregate`.
        example: one record, as a user would see it.
        recognises: whether a decoded object is of this shape.
        marker: the key and the values that say the same to a vectorised reader; None: only `recognises` can tell.
        texts: USAGE column -> path of a string (`request_id`, `model`, `tier`, `account_id`...).
        instant: path of the time, and its notation: `epoch`, `epoch_decimal` or `iso`.
        usage: path of the object without which the counts cannot exist.
        counts: name -> path of a count.
        required: the counts that must be there.
        literals: name -> path of another scalar that a rule below needs.
        quantities: USAGE column -> its disjoint quantity, an expression over `count(...)`.
        exceeding: expressions, true where the parts are larger than their whole.
        excluded: reason -> expression, true where the record is understood and not billable.
        tier: an expression for the raw tier where it is not simply `texts["tier"]`.
        unpack: how one object becomes its records, where it holds several.
        columns: for CSV, the header names that give the shape away.
    """

    name: str
    title: str
    example: str
    recognises: Callable[[Json], bool]
    instant: tuple[str, str]
    counts: Mapping[str, str]
    quantities: Mapping[str, pl.Expr]
    provider: str = "openai"
    kind: str = "request"
    marker: tuple[str, tuple[str, ...]] | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    usage: str | None = None
    required: frozenset[str] = frozenset()
    literals: Mapping[str, str] = field(default_factory=dict)
    exceeding: tuple[pl.Expr, ...] = ()
    excluded: Mapping[str, pl.Expr] = field(default_factory=dict)
    tier: pl.Expr | None = None
    unpack: Callable[[Json], Iterator[Json]] | None = None
    columns: frozenset[str] = frozenset()

    def paths(self) -> Iterator[str]:
        """Every dotted path that the shape reads."""
        yield from self.texts.values()
        yield self.instant[0]
        yield from self.counts.values()
        yield from self.literals.values()
        if self.marker:
            yield self.marker[0]


ATTRIBUTION = {
    "project_id": "metadata.project_id",
    "user_id": "metadata.user_id",
    "user_id_2": "metadata.user",
    "workflow_id": "metadata.workflow_id",
}
