"""What a warehouse must hold: a second telling of the rules, in dicts and Decimal, without a line of Costroll.

It is slow and plain on purpose. A day is what it holds; a month is what was booked in it; a snapshot is a copy of all.
The rules are those of docs/identity.md, docs/rates.md and docs/closing.md.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

MILLIONTH = Decimal("0.000001")
NOT_CHARGED = "not_charged"


class Request(NamedTuple):
    """One call. Two of one account and id are the same content when they are equal."""

    account: str
    request_id: str
    day: date
    second: int
    model: str
    tier: str
    uncached: int
    cached: int
    output: int

    @property
    def identity(self) -> tuple[str, str]:
        """What it is counted once by."""
        return self.account, self.request_id


class Bucket(NamedTuple):
    """A day's usage of one account and model, as the organisation's API tells it."""

    account: str
    day: date
    model: str
    requests: int
    uncached: int
    cached: int
    output: int

    @property
    def identity(self) -> tuple[str, str]:
        """What it is counted once by, within its day."""
        return self.account, self.model

    @property
    def size(self) -> tuple[int, int]:
        """The larger one stands."""
        return self.requests, self.uncached + self.cached + self.output


Record = Request | Bucket
RateKey = tuple[str, str, str, str]  # model, tier, meter, caching status
Rates = Mapping[RateKey, Mapping[date, Decimal]]


class Item(NamedTuple):
    """What tells the usage of a day apart, before it has a price."""

    account: str
    kind: str
    rate_key: RateKey


class Cell(NamedTuple):
    """What tells the rollup rows of a day apart."""

    item: Item
    rate: Decimal | None
    price_status: str

    def cost(self, quantity: int) -> Decimal | None:
        """NULL without a price; of requests 0."""
        if self.price_status == NOT_CHARGED:
            return Decimal(0)
        return None if self.rate is None else quantity * self.rate * MILLIONTH


class Night(NamedTuple):
    """What a run must tell: the fates of what it read, and the days it wrote."""

    fates: Counter[str]
    days: set[date]


@dataclass
class Books:
    """The state of a warehouse.

    Attributes:
        rates: the rate table, one entry for each version: what each key costs on each day.
        requests, buckets: day -> identity -> what was accepted.
        versions: day -> the rate versions that it keeps.
        booked: day and accounting period -> cell -> quantity.
        closed: closed month -> the snapshot of its close.
        tried: the newest rate version at which a run tried what has no price.
        known_contents: the contents of files that were read.
    """

    rates: list[Rates]
    requests: defaultdict[date, dict[tuple[str, str], Request]] = field(default_factory=lambda: defaultdict(dict))
    buckets: defaultdict[date, dict[tuple[str, str], Bucket]] = field(default_factory=lambda: defaultdict(dict))
    versions: dict[date, tuple[int, ...]] = field(default_factory=dict)
    booked: dict[tuple[date, str], Counter[Cell]] = field(default_factory=dict)
    closed: dict[str, int] = field(default_factory=dict)
    tried: int = 0
    known_contents: set[tuple[Record, ...]] = field(default_factory=set)

    def read(self, files: Iterable[Sequence[Record]]) -> Night:
        """Read files: settle what is new, day by day from the last to the first, and write the days that changed."""
        new = {tuple(records) for records in files} - self.known_contents
        by_day: defaultdict[date, list[Record]] = defaultdict(list)
        for record in [record for content in new for record in content]:
            by_day[record.day].append(record)
        fates: Counter[str] = Counter()
        touched = set()
        for day in sorted(by_day, reverse=True):
            of_day = by_day[day]
            before = dict(self.requests[day]), dict(self.buckets[day])
            fates += self._settle_requests(day, [one for one in of_day if isinstance(one, Request)])
            fates += self._settle_buckets(day, [one for one in of_day if isinstance(one, Bucket)])
            if before != (self.requests[day], self.buckets[day]):
                touched.add(day)
        days = touched | self._healing(touched)
        for day in days:
            self._write(day)
        if new or days:
            self.tried = len(self.rates)
        self.known_contents |= new
        return Night(fates, days)

    def is_closable(self, month: str) -> bool:
        """Whether it is open and something is booked in it."""
        return month not in self.closed and any(period == month for _, period in self.booked)

    def reopen(self, month: str) -> None:
        """Open a closed month; what is booked elsewhere, in an open month, moves to where it belongs now."""
        del self.closed[month]
        for day in sorted({day for day, _ in self.booked}):
            open_periods = {period for of, period in self.booked if of == day} - self.closed.keys()
            if open_periods - {self.period_of(day)}:
                self._book(day, self.whole(day))

    def reprice(self, version: int | None) -> bool:
        """Rate every day again with one version of the rates, None: the newest. Returns whether anything changes."""
        before = deepcopy((self.versions, self.booked))
        known = self.rates[:version]
        for day in self.versions:
            self.versions[day] = (len(known),)
            quantities = self._quantities(day)
            if quantities:
                self._book(day, {self._priced(day, item, known): quantities[item] for item in quantities})
        return before != (self.versions, self.booked)

    def cost(self) -> Decimal:
        """Of everything that is booked and has a price."""
        return sum(
            (cell.cost(quantity) or Decimal(0) for cells in self.booked.values() for cell, quantity in cells.items()),
            Decimal(0),
        )

    def period_of(self, day: date) -> str:
        """The month in which usage of a day is booked now."""
        month = day.replace(day=1)
        while f"{month:%Y-%m}" in self.closed:
            month = (month + timedelta(days=31)).replace(day=1)
        return f"{month:%Y-%m}"

    def whole(self, day: date) -> Counter[Cell]:
        """Everything that is booked for a day, whenever it was."""
        total: Counter[Cell] = Counter()
        for (of, _), cells in self.booked.items():
            if of == day:
                total.update(cells)
        return total

    def _settle_requests(self, day: date, candidates: Sequence[Request]) -> Counter[str]:
        fates: Counter[str] = Counter()
        known: dict[tuple[str, str], Request] = {}
        for near in (-1, 0, 1):  # of the day after, also what this run accepted: it came first
            known |= self.requests[day + timedelta(days=near)]
        for one in sorted(candidates, key=lambda one: one.second, reverse=True):
            standing = known.get(one.identity)
            if standing is None:
                self.requests[day][one.identity] = known[one.identity] = one
                fates["accepted"] += 1
            else:
                fates["duplicate" if one == standing else "conflict"] += 1
        return fates

    def _settle_buckets(self, day: date, candidates: Sequence[Bucket]) -> Counter[str]:
        fates: Counter[str] = Counter()
        counted = {account for account, _ in self.requests[day]}
        buckets = {identity: one for identity, one in self.buckets[day].items() if one.account not in counted}
        for one in sorted(candidates, key=lambda one: one.size, reverse=True):
            standing = buckets.get(one.identity)
            if one.account in counted:
                fates["excluded"] += 1
            elif standing is None or one.size > standing.size:
                buckets[one.identity] = one
                fates["accepted"] += 1
            else:
                fates["duplicate"] += 1
        self.buckets[day] = buckets
        return fates

    def _healing(self, touched: set[date]) -> set[date]:
        """The other days on which the newest rates price something that had no price."""
        newest = len(self.rates)
        if newest <= self.tried:
            return set()
        return {
            day
            for day, versions in self.versions.items()
            if day not in touched
            and any(self._is_healed_by(newest, versions, day, item) for item in self._quantities(day))
        }

    def _is_healed_by(self, version: int, versions: tuple[int, ...], day: date, item: Item) -> bool:
        found = [self.rates[one - 1].get(item.rate_key, {}).get(day) for one in (*versions, version)]
        return found[-1] is not None and not any(rate is not None for rate in found[:-1])

    def _write(self, day: date) -> None:
        """Rate the day as a whole, at the versions that it keeps."""
        newest, quantities = len(self.rates), self._quantities(day)
        versions = self.versions.get(day, (newest,))
        if any(self._is_healed_by(newest, versions, day, item) for item in quantities):
            versions = (*versions, newest)
        self.versions[day] = versions
        self._book(day, {self._priced(day, item, self.rates): quantity for item, quantity in quantities.items()})

    def _quantities(self, day: date) -> Counter[Item]:
        total: Counter[Item] = Counter()
        for one in (*self.requests[day].values(), *self.buckets[day].values()):
            total.update(dict(_items(one)))
        return Counter({item: quantity for item, quantity in total.items() if quantity})

    def _priced(self, day: date, item: Item, rates: Sequence[Rates]) -> Cell:
        """The first rate that one of the day's versions has; else why the newest of the versions has none."""
        model, tier, meter, _ = item.rate_key
        if meter == "requests":
            return Cell(item, None, NOT_CHARGED)
        for version in sorted(self.versions[day]):
            rate = rates[version - 1].get(item.rate_key, {}).get(day)
            if rate is not None:
                return Cell(item, rate, "priced")
        known = {key: days for key, days in rates[-1].items() if days}
        if model not in {key[0] for key in known}:
            return Cell(item, None, "unpriced_unknown_model")
        if (model, tier) not in {key[:2] for key in known}:
            return Cell(item, None, "unpriced_unknown_tier")
        has_later = bool(known.get(item.rate_key))
        return Cell(item, None, "unpriced_before_first_rate" if has_later else "unpriced_no_rate")

    def _book(self, day: date, whole: Mapping[Cell, int]) -> None:
        """Book what a day holds, less what its closed months hold, in the first month that is open."""
        rest = Counter(whole)
        for period in [period for of, period in self.booked if of == day]:
            if period in self.closed:
                rest.subtract(self.booked[day, period])
            else:
                del self.booked[day, period]
        left = Counter({cell: quantity for cell, quantity in rest.items() if quantity})
        if left:
            self.booked[day, self.period_of(day)] = left


def _items(one: Record) -> Iterator[tuple[Item, int]]:
    """A record's quantities. Of a bucket with cached tokens it is not known which requests had them."""
    kind, tier = ("request", one.tier) if isinstance(one, Request) else ("aggregate", "standard")
    with_cached = "cached" if kind == "request" else "not_applicable"
    for meter, status, quantity in (
        ("requests", with_cached if one.cached else "uncached", one.requests if isinstance(one, Bucket) else 1),
        ("input", "uncached", one.uncached),
        ("input", "cached", one.cached),
        ("output", "not_applicable", one.output),
    ):
        yield Item(one.account, kind, (one.model, tier, meter, status)), quantity
