"""Explain differences of quantity: what is there twice, what stands elsewhere, and what only one side has.

Each finding is a quantity at our own rate; what prices then leave is for `etl.reconciling.prices`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from etl.reconciling.findings import Finding
from etl.reconciling.items import COMPLIMENTARY, Item, Key
from etl.reconciling.repeats import Repeat
from etl.statements.matching import DIMENSIONS

# The dimension in which two items differ -> the class of what moved between them. Tiers first: they change the price.
_MOVES = {
    "tier": "tier_differs",
    "caching_status": "dimension_differs",
    "day": "day_boundary",
    "project_id": "dimension_differs",
    "model": "dimension_differs",
}
_BATCH = "batch"


@dataclass(frozen=True)
class Expected:
    """A timing item that an earlier reconciliation carried over to this one.

    Attributes:
        quantity: ours less theirs back then; so theirs less ours here.
    """

    kind: str
    model: str | None
    tier: str | None
    meter: str | None
    caching_status: str | None
    project_id: str | None
    quantity: int
    origin: str


def explain_quantities(
    items: Sequence[Item], repeated: Sequence[Repeat], expected: Sequence[Expected], days: Sequence[date]
) -> list[Finding]:
    """The findings about quantities; `Item.left` is used up on the way.

    Args:
        items: whose counted quantity is known.
        repeated: what our logs hold twice.
        expected: timing items of an earlier month.
        days: those of the bill, in order.
    """
    known = [item for item in items if item.counted is not None]
    for item in known:
        item.left = item.ours - (item.counted or 0)
    found = list(_duplicates(items, repeated))
    for partial in (False, True):
        for dimension, kind in _MOVES.items():
            found += _moved(known, dimension, kind, partial=partial)
    found += _brought(known, expected)
    found += _at_the_end(known, days)
    found += _one_sided(known)
    return found


def finding(item: Item, kind: str, quantity: int, evidence: str, *, is_carried: bool = False) -> Finding:
    """A quantity of an item, at its rate: positive where ours has more."""
    values = tuple(getattr(item.key, name) for name in DIMENSIONS)
    return Finding(kind, item.cell, item.worth(quantity), evidence, abs(quantity), item.unit, values, is_carried)


def repeated_in(items: Sequence[Item], repeated: Sequence[Repeat]) -> dict[str, list[tuple[Item, int]]]:
    """What each file that is a copy adds to which items."""
    held = defaultdict(list)
    for item in items:
        held[item.key.day, item.key.meter, item.key.caching_status, item.key.tier].append(item)
    by_file: dict[str, list[tuple[Item, int]]] = defaultdict(list)
    for one in repeated:
        near = held.get((one.day, one.meter, one.caching_status, one.tier), ())
        if fits := [item for item in near if _holds(item, one)]:
            by_file[one.input_name].append((fits[0], one.quantity))
    return by_file


def _duplicates(items: Sequence[Item], repeated: Sequence[Repeat]) -> Iterator[Finding]:
    """What files that are copies add, file by file, unless the provider counts the calls of a file twice as well."""
    for name, own in repeated_in(items, repeated).items():
        known = [(item, quantity) for item, quantity in own if item.counted is not None]
        before = sum(abs(item.left) for item, _ in known)
        if known and sum(abs(item.left - quantity) for item, quantity in known) >= before:
            continue
        for item, quantity in own:
            item.left -= quantity
            evidence = f"{quantity:,} {item.unit} of {name} stand in another file too"
            yield finding(item, "duplicates", quantity, evidence)


def _holds(item: Item, one: Repeat) -> bool:
    return any(row.model == one.model and row.project_id == one.project_id for row in item.rows)


def _moved(items: Sequence[Item], dimension: str, kind: str, *, partial: bool) -> Iterator[Finding]:
    """Pairs of items that differ in one dimension only, of which the one has too much and the other too little.

    Where quantities are equal this needs no more proof. A part of a quantity is taken as moved only where that is how
    providers work: a batch that goes over midnight, tokens given for nothing.
    """
    groups: dict[tuple[object, ...], list[Item]] = defaultdict(list)
    for item in items:
        if item.left:
            groups[tuple(value for name, value in zip(Key._fields, item.key, strict=True) if name != dimension)].append(
                item
            )
    for group in groups.values():
        more = [item for item in group if item.left > 0]
        less = [item for item in group if item.left < 0]
        for high in more:
            for low in less:
                if dimension == "day" and abs(high.key.day - low.key.day) != timedelta(1):
                    continue
                if high.left <= 0 or low.left >= 0 or (not partial and high.left != -low.left):
                    continue
                if partial and not _moves_in_parts(high.key, low.key, dimension):
                    continue
                quantity = min(high.left, -low.left)
                yield from _move(high, low, quantity, dimension, kind)


def _moves_in_parts(high: Key, low: Key, dimension: str) -> bool:
    is_billed_later = dimension == "day" and high.tier == _BATCH and high.day < low.day
    return is_billed_later or (dimension == "tier" and low.tier == COMPLIMENTARY)


def _move(high: Item, low: Item, quantity: int, dimension: str, kind: str) -> Iterator[Finding]:
    high.left -= quantity
    low.left += quantity
    ours, theirs = getattr(high.key, dimension), getattr(low.key, dimension)
    if COMPLIMENTARY in (high.key.tier, low.key.tier):
        kind = "complimentary"
    where = f"the {low.basis} has" if low.basis != "amount" else "the bill's amount is for"
    evidence = f"{quantity:,} {high.unit}: ours has them under {dimension} {ours}, {where} them under {theirs}"
    yield finding(high, kind, quantity, evidence)
    if low.rate is not None:
        yield finding(low, kind, -quantity, evidence)


def _brought(items: Sequence[Item], expected: Sequence[Expected]) -> Iterator[Finding]:
    """Timing items of the month before: theirs has them now."""
    for one in expected:
        for item in sorted(items, key=lambda item: item.key.day):
            same = all(getattr(item.key, name) in (None, getattr(one, name)) for name in DIMENSIONS)
            if same and item.left < 0 and one.quantity > 0:
                quantity = min(-item.left, one.quantity)
                item.left += quantity
                evidence = f"{quantity:,} {item.unit} were carried over from {one.origin}"
                yield finding(item, one.kind, -quantity, evidence)
                break


def _at_the_end(items: Sequence[Item], days: Sequence[date]) -> Iterator[Finding]:
    """Batches of the bill's last day that are not billed yet: the next bill should have them."""
    for item in items:
        if days and item.key.day == days[-1] and item.key.tier == _BATCH and item.left > 0:
            quantity, item.left = item.left, 0
            evidence = f"{quantity:,} {item.unit} of the last day's batches; the next bill should have them"
            yield finding(item, "day_boundary", quantity, evidence, is_carried=True)


def _one_sided(items: Sequence[Item]) -> Iterator[Finding]:
    """What only one side has. Without a rate there is no money in it that could be told from a wrong price."""
    for item in items:
        if not item.left or item.rate is None or item.key.tier == COMPLIMENTARY:
            continue
        quantity, item.left = item.left, 0
        source = {
            "bill": "the bill counts",
            "usage export": "the usage export counts",
            "amount": "the bill's amount is for",
        }
        counted = f"{source[item.basis]} {item.counted or 0:,} {item.unit}, our logs {item.ours:,}"
        which = "missing in our logs" if quantity < 0 else "not (yet) with the provider"
        yield finding(
            item, "late_or_lost", quantity, f"{abs(quantity):,} {item.unit} {which}: {counted}{_second(item)}"
        )


def _second(item: Item) -> str:
    """What the usage export says where the bill has counted."""
    other = item.cell.counted_quantity
    if item.basis != "bill" or other is None:
        return ""
    return "; so does the usage export" if other == item.counted else f"; the usage export counts {other:,}"
