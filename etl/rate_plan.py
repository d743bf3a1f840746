"""Compare what a file offers with what the rate table knows: a plan, which changes nothing by itself.

Where the file gives a rate for a stretch of time in which none is known, it is added. Where a new rate begins while
another is in force, and after that one was recorded, the old one is closed at that instant: a price change. Everything
else that differs contradicts what was known: nothing is taken, unless corrections are asked for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

import polars as pl

from etl.errors import RateCardError
from etl.rate_card import RateCard
from etl.rate_offers import EVER, OPEN, VERSIONED, Entry, Offer, minus

ADDED, CHANGED, CLOSED, CORRECTED = "added", "changed", "closed", "corrected"
WITHDRAWN, CONFLICTING = "withdrawn", "conflicting"
KINDS = (ADDED, CHANGED, CORRECTED, CLOSED, WITHDRAWN, CONFLICTING)
_SHOWN = 20

Judge = Callable[[Entry], bool]


class Change(NamedTuple):
    """One line of a plan.

    Attributes:
        kind: one of `KINDS`.
        table: `rates` or another of `VERSIONED`.
        new: the row to be; of a conflict the row that was offered and is not taken; None when a row is withdrawn.
        old: the known row that it touches; None when there is none.
    """

    kind: str
    table: str
    new: Entry | None
    old: Entry | None


@dataclass
class Plan:
    """What applying an offer would do.

    Attributes:
        changes: in the order of tables and keys.
        same: how many offered rows say what is known already.
        new: table -> rows to add.
        superseded: table -> places of the known rows that they replace.
    """

    changes: list[Change] = field(default_factory=list)
    same: int = 0
    new: dict[str, list[Entry]] = field(default_factory=lambda: {table: [] for table in VERSIONED})
    superseded: dict[str, list[int]] = field(default_factory=lambda: {table: [] for table in VERSIONED})

    @property
    def is_empty(self) -> bool:
        """Whether applying it would change nothing."""
        return not any(self.new.values()) and not any(self.superseded.values())

    def counts(self) -> dict[str, int]:
        """How many changes there are of each kind, all kinds in order; and the rows that stay as they are."""
        found = Counter(change.kind for change in self.changes)
        return {kind: found[kind] for kind in KINDS} | {"same": self.same}


def plan(
    card: RateCard, offer: Offer, now: datetime, *, corrects: Judge | None = None, is_complete: bool = False
) -> Plan:
    """Compare an offer with what the card knows now.

    Args:
        card: all its versions.
        offer: from one of `etl.rate_sources`.
        now: where a source tells what holds now, a change that is known for later stays.
        corrects: which known rows the offer may contradict; None: none of them.
        is_complete: the offer is a whole card: of the rows that it may contradict, those it lacks are withdrawn.

    Raises:
        RateCardError: the offer contradicts itself; the message names the rows.
    """
    found = Plan()
    for table in VERSIONED:
        offered = _by_key(_distinct(table, offer.entries.get(table, [])))
        known = _by_key(known_entries(card, table))
        if table == "rates" and corrects is None:
            _leave_aliases(found, offered, known, card)
        for key in sorted(offered.keys() | (known.keys() if is_complete else set()), key=str):
            merge = _Merge(found, table, corrects or (lambda _: False), is_complete)
            merge.key(known.get(key, []), offered.get(key, []), now)
    return found


def _leave_aliases(
    found: Plan, offered: dict[tuple[Any, ...], list[Entry]], known: dict[tuple[Any, ...], list[Entry]], card: RateCard
) -> None:
    """A name that only leads to another model must not get rates by the way: they would end its being an alias."""
    rated = {key[:2] for key in known}
    second_names = {entry.key for entry in known_entries(card, "aliases")} - rated
    for key in [key for key in offered if key[:2] in second_names]:
        found.changes += [Change(CONFLICTING, "rates", entry, None) for entry in offered.pop(key)]


def known_entries(card: RateCard, table: str) -> list[Entry]:
    """What the card knows now of one of its tables."""
    spec = VERSIONED[table]
    frame: pl.DataFrame = getattr(card, table).with_row_index("row").filter(pl.col("superseded_at").is_null())
    own = ["row", "rate_version", "recorded_at", "effective_from", "effective_to"]
    columns = [*own, spec.value, *spec.facts, *spec.key]
    facts_end = len(own) + 1 + len(spec.facts)
    return [
        Entry(
            cells[facts_end:], cells[5], cells[3] or EVER, cells[4] or OPEN, cells[6:facts_end],
            row=cells[0], rate_version=cells[1], recorded_at=cells[2],
        )
        for cells in frame.select(columns).iter_rows()
    ]  # fmt: skip


class _Merge:
    """The comparison of one key, written down in a plan."""

    def __init__(self, found: Plan, table: str, corrects: Judge, is_complete: bool) -> None:
        self._plan, self._table, self._corrects, self._is_complete = found, table, corrects, is_complete
        self._gone: dict[int, list[tuple[datetime, datetime]]] = defaultdict(list)

    def key(self, known: list[Entry], offered: list[Entry], now: datetime) -> None:
        asked = [entry for entry in (_within_known(entry, known, now) for entry in offered) if entry is not None]
        for entry in asked:
            self._take(entry, known)
        self._plan.same += len(offered) - len(asked)  # what lies before anything known is not contradicted
        if self._is_complete:
            self._withdraw(known, asked)
        for entry in known:
            self._close(entry)

    def _take(self, entry: Entry, known: list[Entry]) -> None:
        """Add what is new in one offered row; contradictions stay outside."""
        left_out = []
        touched: list[Entry] = []
        contradicts = False
        for old in known:
            span = max(old.starts_at, entry.starts_at), min(old.ends_at, entry.ends_at)
            if span[0] >= span[1]:
                continue
            if self._is_same(old, entry):
                left_out.append(span)
            elif _is_news(entry, old) or self._corrects(old):
                self._gone[old.row].append(span)
                touched.append(old)
            else:
                contradicts = True
                left_out.append(span)
                self._tell(CONFLICTING, entry.during(*span), old)
        pieces = list(minus((entry.starts_at, entry.ends_at), left_out))
        for piece in pieces:
            new = entry.during(*piece)
            replaced = [old for old in touched if old.starts_at < piece[1] and piece[0] < old.ends_at]
            kind = ADDED if not replaced else CHANGED if all(_is_news(entry, old) for old in replaced) else CORRECTED
            self._plan.new[self._table].append(new)
            self._tell(kind, new, replaced[0] if replaced else None)
        self._plan.same += not pieces and not contradicts

    def _withdraw(self, known: list[Entry], asked: list[Entry]) -> None:
        covered = [(entry.starts_at, entry.ends_at) for entry in asked]
        for old in known:
            if self._corrects(old):
                rest = list(minus((old.starts_at, old.ends_at), covered))
                self._gone[old.row] += rest
                if rest == [(old.starts_at, old.ends_at)]:
                    self._tell(WITHDRAWN, None, old)

    def _close(self, old: Entry) -> None:
        """Supersede a known row that lost a part, and add what is left of it."""
        if not self._gone[old.row]:
            return
        self._plan.superseded[self._table].append(old.row)
        for piece in minus((old.starts_at, old.ends_at), self._gone[old.row]):
            self._plan.new[self._table].append(old.during(*piece))
            self._tell(CLOSED, old.during(*piece), old)

    def _is_same(self, old: Entry, entry: Entry) -> bool:
        if old.value != entry.value or not self._is_complete or not self._corrects(old):
            return old.value == entry.value  # another source that merely agrees changes nothing
        return self._table != "rates" or old.facts[0] == entry.facts[0]  # a newer card may make a rate surer

    def _tell(self, kind: str, new: Entry | None, old: Entry | None) -> None:
        self._plan.changes.append(Change(kind, self._table, new, old))


def _is_news(entry: Entry, old: Entry) -> bool:
    """Whether a rate begins after the known one began and was recorded: that one was right, until then."""
    return entry.starts_at > old.starts_at and entry.starts_at >= old.recorded_at


def _within_known(entry: Entry, known: list[Entry], now: datetime) -> Entry | None:
    """An offered row without what its source does not claim; None when nothing is left."""
    starts_at, ends_at = entry.starts_at, entry.ends_at
    if entry.is_undated and known:
        starts_at = max(starts_at, min(old.starts_at for old in known))
    if entry.holds_until_known:
        later = [old.starts_at for old in known if old.starts_at > max(now, starts_at)]
        ends_at = min([ends_at, *later])
    return entry.during(starts_at, ends_at) if starts_at < ends_at else None


def _by_key(entries: Iterable[Entry]) -> dict[tuple[Any, ...], list[Entry]]:
    found: dict[tuple[Any, ...], list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: entry.starts_at):
        found[entry.key].append(entry)
    return found


def _distinct(table: str, entries: list[Entry]) -> list[Entry]:
    """The entries without repeats.

    Raises:
        RateCardError: one ends before it begins, or two of one key overlap.
    """
    kept = {(entry.key, entry.starts_at, entry.ends_at, entry.value): entry for entry in entries}
    faults = [f"{name(e)} ends {_at(e.ends_at)}, before it begins" for e in kept.values() if e.starts_at >= e.ends_at]
    for same in _by_key(kept.values()).values():
        for one, two in pairwise(same):
            if two.starts_at < one.ends_at:
                faults.append(f"{name(one)} = {one.value} and {name(two)} = {two.value} are both in force")
    if faults:
        more = f"\n... and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise RateCardError(f"the file contradicts itself in its {table}:\n" + "\n".join(faults[:_SHOWN]) + more)
    return list(kept.values())


def name(entry: Entry) -> str:
    """An entry's key and start, for a message."""
    return f"{'/'.join(map(str, entry.key))} from {_at(entry.starts_at)}"


def _at(instant: datetime) -> str:
    return "ever" if instant == EVER else "open" if instant == OPEN else f"{instant.isoformat()}Z"
