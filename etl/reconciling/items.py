"""The finest grain at which quantities can be held against one another: our usage, and what the provider counts.

A cell of the comparison has one item, or several where the bill says less than our rows do. The counted quantity of an
item is that of the bill; else that of a usage export; else, where the bill has an amount only, the one it implies.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from etl.meters import METER_BY_NAME
from etl.reconciling.rate_book import RateBook, names_of
from etl.statements import EXACT
from etl.statements.matching import DIMENSIONS, Cell, OurRow, dimensions_of

MILLIONTH = Decimal("0.000001")
PER_MILLION = Decimal(1_000_000)
COMPLIMENTARY = "complimentary"
TOOLS = ("web_search_calls", "file_search_calls", "code_interpreter_sessions")


class Key(NamedTuple):
    """Where an item stands: `DIMENSIONS` and the day."""

    day: date
    model: str | None
    tier: str | None
    meter: str | None
    caching_status: str | None
    project_id: str | None


@dataclass
class Item:
    """Usage of one kind on one day.

    Attributes:
        ours: quantity of ours.
        counted: the provider's quantity; None where it is not known.
        basis: where `counted` comes from: `bill`, `usage export` or `amount`.
        rate: ours in USD per million, of the most of it; what the card has where we have no rows; None without one.
        left: ours less counted, as far as nothing explains it yet.
        names: under which its model may have rates.
    """

    cell: Cell
    key: Key
    unit: str
    ours: int = 0
    cost_usd: Decimal | None = None
    counted: int | None = None
    basis: str = ""
    rate: Decimal | None = None
    left: int = 0
    names: list[str] = field(default_factory=list)
    rows: list[OurRow] = field(default_factory=list)

    def worth(self, quantity: int) -> Decimal:
        """A quantity at the item's rate, USD."""
        return EXACT.multiply(EXACT.multiply(Decimal(quantity), self.rate or Decimal(0)), MILLIONTH)


class Ground(NamedTuple):
    """What items are made from.

    Attributes:
        book: the rates.
        aliases_on: model name -> the snapshots it stood for on a day.
        counted_days: model -> the days on which usage exports cover it.
        billed_days: those on which every line of the bill has its quantity.
        with_projects: whether ours and the usage export name the same projects.
    """

    book: RateBook
    aliases_on: Callable[[date], Mapping[str, Set[str]]]
    counted_days: Mapping[str | None, Set[date]]
    billed_days: Set[date]
    with_projects: bool


def items_of(cells: Iterable[Cell], ground: Ground) -> list[Item]:
    """The items of all cells that can be held against usage."""
    found: list[Item] = []
    for cell in cells:
        if not cell.is_understood:
            continue
        made = _Making(cell, ground)
        for row in cell.rows:
            made.item(row).rows.append(row)
        for row in cell.counts:
            item = made.item(row)
            item.counted = (item.counted or 0) + row.quantity
        if not cell.rows and not cell.counts and _is_single(cell):
            made.empty()
        found += made.finished()
    return found


def _is_single(cell: Cell) -> bool:
    """Whether a cell is no coarser than an item, projects aside."""
    return not set(cell.over) - {"project_id"}


class _Making:
    """The items of one cell in the making."""

    def __init__(self, cell: Cell, ground: Ground) -> None:
        self._cell, self._ground = cell, ground
        self._aliases = ground.aliases_on(cell.day)
        self._items: dict[Key, Item] = {}

    def item(self, row: OurRow) -> Item:
        own = dimensions_of(row)
        said = dict(zip(DIMENSIONS, self._cell.values, strict=True))
        values = {name: own[name] if name in self._cell.over else said[name] for name in DIMENSIONS}
        if "model" in self._cell.over and row.model:
            snapshots = self._aliases.get(row.model, set())
            values["model"] = next(iter(snapshots)) if len(snapshots) == 1 else row.model
        if "project_id" in self._cell.over and not self._ground.with_projects:
            values["project_id"] = None
        key = Key(self._cell.day, **values)
        names = names_of(row.model, row.priced_model, self._aliases)
        made = self._items.setdefault(key, Item(self._cell, key, row.unit, names=names))
        made.names = list(dict.fromkeys([*made.names, *names]))
        return made

    def empty(self) -> None:
        """The item of a cell that has nothing but the bill's lines."""
        said = dict(zip(DIMENSIONS, self._cell.values, strict=True))
        meter = said["meter"]
        unit = METER_BY_NAME[meter].unit if meter in METER_BY_NAME else ""
        key = Key(self._cell.day, **said)
        self._items[key] = Item(self._cell, key, unit, names=names_of(said["model"], None, self._aliases))

    def finished(self) -> list[Item]:
        items = list(self._items.values())
        for item in items:
            item.ours = sum(row.quantity for row in item.rows)
            priced = [row.cost_usd for row in item.rows if row.cost_usd is not None]
            item.cost_usd = None if item.rows and not priced else _sum(priced)
            item.rate = _rate(item, self._ground)
            if item.counted is not None or self._is_covered(item):
                item.counted, item.basis = item.counted or 0, "usage export"
        if len(items) == 1 and _is_single(self._cell):
            self._take_bills_quantity(items[0])
        return items

    def _is_covered(self, item: Item) -> bool:
        """Whether the exports would have the item's usage if there were any."""
        days = self._ground.counted_days
        return any(item.key.day in days.get(name, ()) for name in (item.key.model, *item.names))

    def _take_bills_quantity(self, item: Item) -> None:
        """The bill's own quantity beats every other count, if each of its lines here has one in the meter's unit."""
        if item.key.tier == COMPLIMENTARY:
            return  # a bill may leave out what it gives for nothing
        if not self._cell.lines and self._cell.day in self._ground.billed_days:
            item.counted, item.basis = 0, "bill"
        quantities = [line.quantity for line in self._cell.lines]
        units = {line.quantity_unit for line in self._cell.lines}
        if quantities and None not in quantities and units <= {None, item.unit}:
            whole = _sum(quantity for quantity in quantities if quantity is not None)
            if whole == whole.to_integral_value():
                item.counted, item.basis = int(whole), "bill"


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    found = Decimal(0)
    for amount in amounts:
        found = EXACT.add(found, amount)
    return found


def _rate(item: Item, ground: Ground) -> Decimal | None:
    """The rate of most of an item's usage; of an item without, the one the card has."""
    weights: Counter[Decimal] = Counter()
    for row in item.rows:
        if row.rate_usd_per_million is not None:
            weights[row.rate_usd_per_million] += row.quantity
    if weights:
        return max(weights, key=lambda rate: (weights[rate], rate))
    key = item.key
    if item.rows or None in (key.tier, key.meter, key.caching_status):
        return None
    return ground.book.in_force(item.names, key.tier or "", key.meter or "", key.caching_status or "", key.day)


def by_cell(items: Iterable[Item]) -> dict[int, list[Item]]:
    """The items of each cell, by the cell's id()."""
    found: dict[int, list[Item]] = defaultdict(list)
    for item in items:
        found[id(item.cell)].append(item)
    return found
