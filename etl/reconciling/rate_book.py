"""The rates known now, asked by a reconciliation: which one applies, and which others would explain a price.

Rates of contracts are not asked: a bill that follows one differs from the list by what the contract says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple

import polars as pl

from etl.rate_csv import LIST


class Rate(NamedTuple):
    """One row of the table `rates`, as far as it is needed here."""

    rate_id: str
    model: str
    tier: str
    meter: str
    caching_status: str
    context_over_tokens: int
    effective_from: datetime | None
    effective_to: datetime | None
    rate_usd_per_million: Decimal


class RateBook:
    """The list rates of one provider.

    Args:
        rates: the table `rates`, or None.
        provider: whose rates to take.
    """

    def __init__(self, rates: pl.DataFrame | None, provider: str) -> None:
        self._rates: defaultdict[tuple[str, str, str], list[Rate]] = defaultdict(list)
        if rates is None:
            return
        known = rates.filter(pl.col("provider") == provider, pl.col("superseded_at").is_null(), pl.col("book") == LIST)
        for values in known.select(Rate._fields).rows():
            rate = Rate(*values)
            self._rates[rate.model, rate.meter, rate.caching_status].append(rate)

    def of(self, names: list[str], meter: str, status: str) -> Iterator[Rate]:
        """Every rate of a model, under the first of its names that has any, for one meter and caching status."""
        for name in names:
            if found := self._rates.get((name, meter, status)):
                yield from found
                return

    def in_force(self, names: list[str], tier: str, meter: str, status: str, day: date) -> Decimal | None:
        """The base rate at the start of a day; None when there is none."""
        for rate in self.of(names, meter, status):
            if rate.tier == tier and not rate.context_over_tokens and is_in_force(rate, day):
                return rate.rate_usd_per_million
        return None


def is_in_force(rate: Rate, day: date) -> bool:
    """Whether a rate applies at any moment of a UTC day."""
    start = datetime.combine(day, time())
    starts = rate.effective_from is None or rate.effective_from < start + timedelta(1)
    return starts and (rate.effective_to is None or rate.effective_to > start)


def names_of(model: str | None, priced_model: str | None, aliases: Mapping[str, Set[str]]) -> list[str]:
    """Under which names a model may have rates: the one it was priced under, its own, its base, what it stood for."""
    found = [name for name in (priced_model, model) if name]
    if model and model.startswith("ft:"):
        found.append(":".join(model.split(":")[:2]))
    for name in list(found):
        found += sorted(aliases.get(name, ()))
    return list(dict.fromkeys(found))
