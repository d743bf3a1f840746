"""What a file of rates offers, whoever's format it has: dated values, and the keys that could not be mapped.

Grain: one entry is one row of a versioned table without its system time: a rate, or a second name of a model.
Units: rates in USD per 1,000,000 units, exact; times are naive UTC, the start inclusive, the end exclusive.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

# "Since ever" and "until further notice", as instants that compare.
EVER = datetime(1, 1, 1)
OPEN = datetime(9999, 12, 31)


@dataclass(frozen=True)
class Versioned:
    """How a versioned table is told apart: `key` columns say of what, `value` what it is, `facts` how it is known."""

    key: tuple[str, ...]
    value: str
    facts: tuple[str, ...]


VERSIONED = {
    "rates": Versioned(
        ("provider", "model", "tier", "meter", "caching_status", "context_over_tokens", "book"),
        "rate_usd_per_million",
        ("status", "confidence", "source"),
    ),
    "aliases": Versioned(("provider", "alias"), "model", ("source", "confidence")),
    "contracts": Versioned(("account_id",), "book", ("source",)),
}


class Entry(NamedTuple):
    """One value of one key over one stretch of time.

    Attributes:
        key: in the order of `VERSIONED[table].key`.
        value: the rate, or the model that an alias leads to.
        starts_at: inclusive; `EVER` for since ever.
        ends_at: exclusive; `OPEN` for until further notice.
        facts: in the order of `VERSIONED[table].facts`.
        is_undated: the source does not say when the value began: it never reaches back before what is known.
        holds_until_known: the source says what holds now, not for how long: it ends where a known change begins.
        row: of a known entry, its place in the table; else -1.
        rate_version: of a known entry, the version that introduced it; else 0.
        recorded_at: of a known entry, when it was learned; else `EVER`.
    """

    key: tuple[Any, ...]
    value: Decimal | str
    starts_at: datetime
    ends_at: datetime
    facts: tuple[str | None, ...]
    is_undated: bool = False
    holds_until_known: bool = False
    row: int = -1
    rate_version: int = 0
    recorded_at: datetime = EVER

    def during(self, starts_at: datetime, ends_at: datetime) -> Entry:
        """The same, over another stretch of time."""
        return self._replace(starts_at=starts_at, ends_at=ends_at)


class Unmapped(NamedTuple):
    """A key of a file that says something about prices, and is not taken.

    Attributes:
        where: the model, as the file names it.
        key: the key.
        reason: why, in a few words.
    """

    where: str
    key: str
    reason: str


@dataclass
class Offer:
    """What one file offers.

    Attributes:
        form: the name of its format.
        entries: table -> entries.
        unmapped: price keys that were not taken.
        mapped_keys: price keys that were.
        other_keys: keys that say nothing about prices.
    """

    form: str
    entries: dict[str, list[Entry]] = field(default_factory=lambda: {table: [] for table in VERSIONED})
    unmapped: list[Unmapped] = field(default_factory=list)
    mapped_keys: int = 0
    other_keys: int = 0


def rate_entry(
    *names: Any,
    rate: Decimal,
    starts_at: datetime,
    ends_at: datetime,
    source: str,
    is_undated: bool = False,
    holds_until_known: bool = False,
) -> Entry:
    """A published list rate that one source supports; `names` are the key's columns but the book."""
    facts = ("published", "medium", source)
    return Entry((*names, "list"), rate, starts_at, ends_at, facts, is_undated, holds_until_known)


def minus(
    span: tuple[datetime, datetime], holes: list[tuple[datetime, datetime]]
) -> Iterator[tuple[datetime, datetime]]:
    """What is left of a stretch of time without some others, in order.

    >>> day = [datetime(2026, 1, day) for day in range(1, 8)]
    >>> [(a.day, b.day) for a, b in minus((day[0], day[6]), [(day[4], day[5]), (day[1], day[3])])]
    [(1, 2), (4, 5), (6, 7)]
    """
    at, end = span
    for starts_at, ends_at in sorted(holes):
        if at < min(starts_at, end):
            yield at, min(starts_at, end)
        at = max(at, ends_at)
    if at < end:
        yield at, end
