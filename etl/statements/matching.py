"""Put each of our rows and each line of a bill into one cell of the comparison of a day.

A line of the bill says some of the dimensions, and is a pattern: it takes the rows of ours that have its values. Where
several do, the one that says most takes the row; so a line that says less than its neighbours takes what they leave.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import product
from typing import NamedTuple

from etl.meters import CACHE_WRITES
from etl.statements import EXACT, StatementLine

# Besides the day, in the order in which lines are sorted.
DIMENSIONS = ("model", "tier", "meter", "caching_status", "project_id")
ZERO = Decimal(0)

_FINE_TUNED = re.compile(r"(ft:[^:]+):.*")


class OurRow(NamedTuple):
    """Usage, ours or as the provider counts it; its fields are columns of the table `rollups`."""

    day: date
    model: str | None
    tier: str | None
    meter: str
    caching_status: str
    project_id: str | None
    priced_model: str | None
    unit: str
    context_over_tokens: int
    price_status: str | None
    rate_usd_per_million: Decimal | None
    quantity: int
    cost_usd: Decimal | None


@dataclass
class Cell:
    """One line of the comparison.

    Attributes:
        day: UTC day.
        values: of `DIMENSIONS`; None where the cell is over all of them, or where ours has no such value.
        over: the dimensions that the cell does not tell apart.
        line_items: the bill's own words.
        is_understood: False for a line of the bill that nothing of ours can be held against.
        ours_usd: None where nothing of ours is priced.
        theirs_usd: None where the bill has no line.
        ours_quantity, theirs_quantity: None where there is none, or the cell is over several meters.
        counted_quantity: by the provider's usage export; None without one, or as above.
        unpriced: unit -> quantity of ours without a price.
        rows, counts, lines: what stands here: our rows, the provider's count of usage, the lines of the bill.
    """

    day: date
    values: tuple[str | None, ...]
    over: tuple[str, ...]
    line_items: set[str] = field(default_factory=set)
    is_understood: bool = True
    ours_usd: Decimal | None = None
    theirs_usd: Decimal | None = None
    ours_quantity: int | None = None
    theirs_quantity: Decimal | None = None
    counted_quantity: int | None = None
    unpriced: Counter[str] = field(default_factory=Counter)
    rows: list[OurRow] = field(default_factory=list)
    counts: list[OurRow] = field(default_factory=list)
    lines: list[StatementLine] = field(default_factory=list)

    @property
    def difference_usd(self) -> Decimal:
        """Ours less theirs; a side that has nothing counts as zero."""
        return EXACT.subtract(self.ours_usd or ZERO, self.theirs_usd or ZERO)

    @property
    def has_ours(self) -> bool:
        """Whether any usage of ours, priced or not, stands here."""
        return self.ours_usd is not None or bool(self.unpriced)

    def add_ours(self, row: OurRow) -> None:
        """Take in a row of ours."""
        self.rows.append(row)
        if row.cost_usd is None:
            self.unpriced[row.unit] += row.quantity
        else:
            self.ours_usd = EXACT.add(self.ours_usd or ZERO, row.cost_usd)
        if "meter" not in self.over:
            self.ours_quantity = (self.ours_quantity or 0) + row.quantity

    def add_count(self, row: OurRow) -> None:
        """Take in a row of the provider's own count of usage."""
        self.counts.append(row)
        if "meter" not in self.over:
            self.counted_quantity = (self.counted_quantity or 0) + row.quantity

    def add_theirs(self, line: StatementLine) -> None:
        """Take in a line of the bill."""
        self.lines.append(line)
        self.theirs_usd = EXACT.add(self.theirs_usd or ZERO, line.amount_usd)
        if line.line_item:
            self.line_items.add(line.line_item)
        if line.quantity is not None and "meter" not in self.over:
            self.theirs_quantity = EXACT.add(self.theirs_quantity or ZERO, line.quantity)

    def facts(self) -> dict[str, object]:
        """Everything about it, flat, for a spreadsheet or a program; every amount exact."""
        return {
            "day": self.day,
            **dict(zip(DIMENSIONS, self.values, strict=True)),
            "over": " ".join(self.over),
            "line_items": "; ".join(sorted(self.line_items)),
            "is_understood": self.is_understood,
            "ours_usd": self.ours_usd,
            "theirs_usd": self.theirs_usd,
            "difference_usd": self.difference_usd,
            "ours_quantity": self.ours_quantity,
            "theirs_quantity": self.theirs_quantity,
            "counted_quantity": self.counted_quantity,
            "unpriced": "; ".join(f"{quantity} {unit}" for unit, quantity in sorted(self.unpriced.items())),
        }

    def order(self) -> tuple[object, ...]:
        """Where it stands among the others: by day and dimensions, lines that were not understood last."""
        return (self.day, not self.is_understood, tuple(value or "" for value in self.values), sorted(self.line_items))


def dimensions_of(item: OurRow | StatementLine) -> dict[str, str | None]:
    """The values of `DIMENSIONS` of a row or a line; None where it has or says none."""
    said = item if isinstance(item, OurRow) else item.dimensions
    return {
        "model": said.model,
        "tier": said.tier,
        "meter": said.meter,
        "caching_status": said.caching_status,
        "project_id": item.project_id,
    }


def compared(
    day: date,
    rows: Iterable[OurRow],
    lines: Iterable[StatementLine],
    grain: Sequence[str],
    aliases: Mapping[str, Set[str]],
    counts: Iterable[OurRow] = (),
) -> list[Cell]:
    """Compare one day.

    Args:
        day: the UTC day of all the rows and lines.
        rows: ours.
        lines: theirs.
        grain: the dimensions that are compared.
        aliases: model name -> the snapshots it stood for on that day.
        counts: the usage as the provider counts it.
    """
    bill = _Bill(day, grain, aliases)
    for line in lines:
        bill.cell_of(line).add_theirs(line)
    unbilled: dict[tuple[str | None, ...], Cell] = {}

    def cell_for(row: OurRow) -> Cell:
        values = dimensions_of(row)
        key = tuple(values[name] for name in grain)
        return bill.find(row) or unbilled.setdefault(key, _cell(day, grain, key))

    for row in rows:
        cell_for(row).add_ours(row)
    for row in counts:
        cell_for(row).add_count(row)
    return sorted([*bill.all(), *unbilled.values()], key=Cell.order)


def _cell(day: date, names: Sequence[str], values: Sequence[str | None]) -> Cell:
    said = dict(zip(names, values, strict=True))
    return Cell(
        day, tuple(said.get(name) for name in DIMENSIONS), tuple(name for name in DIMENSIONS if name not in said)
    )


# The dimensions that a line says, and their values.
_Key = tuple[tuple[str, ...], tuple[str, ...]]


class _Bill:
    """The bill's cells of one day, found by what they say."""

    def __init__(self, day: date, grain: Sequence[str], aliases: Mapping[str, Set[str]]) -> None:
        self._day, self._grain, self._aliases = day, grain, aliases
        self._cells: dict[_Key, Cell] = {}
        self._by_snapshot: dict[_Key, Cell] = {}
        self._not_understood: dict[tuple[str | None, str | None], Cell] = {}
        self._shapes: list[tuple[str, ...]] = []

    def all(self) -> list[Cell]:
        """Every cell of the bill."""
        return [*self._cells.values(), *self._not_understood.values()]

    def cell_of(self, line: StatementLine) -> Cell:
        """The cell a line belongs to."""
        said = {name: value for name, value in dimensions_of(line).items() if name in self._grain and value is not None}
        names, values = tuple(said), tuple(said.values())
        if not line.dimensions.is_understood:
            cell = _cell(self._day, names, values)
            cell.is_understood = False
            return self._not_understood.setdefault((line.line_item, said.get("project_id")), cell)
        key = (names, values)
        if key not in self._cells:
            self._cells[key] = _cell(self._day, names, values)
            for snapshot in self._aliases.get(said.get("model", ""), ()):
                self._by_snapshot.setdefault((names, tuple((said | {"model": snapshot}).values())), self._cells[key])
            if names not in self._shapes:
                # Those that say most are asked first.
                self._shapes = sorted([*self._shapes, names], key=lambda shape: (-len(shape), _positions(shape)))
        return self._cells[key]

    def find(self, row: OurRow) -> Cell | None:
        """The cell that takes a row of ours, or None."""
        values: dict[str, Sequence[str | None]] = {name: (value,) for name, value in dimensions_of(row).items()}
        values["model"] = self._names(row)
        if row.caching_status in CACHE_WRITES:
            # A bill does not tell how long the cache keeps what was written.
            values["caching_status"] = (row.caching_status, "cache_write")
        for shape in self._shapes:
            for cells in (self._cells, self._by_snapshot):
                for key in product(*(values[name] for name in shape)):
                    if cell := cells.get((shape, key)):  # type: ignore[arg-type]  # a None is in no key
                        return cell
        return None

    def _names(self, row: OurRow) -> list[str]:
        """What a bill may call the row's model: its name, the base of a fine-tuned one, the snapshot it stood for."""
        if row.model is None:
            return []
        found = [row.model]
        if fine_tuned := _FINE_TUNED.fullmatch(row.model):
            found.append(fine_tuned[1])
        if row.priced_model:
            found.append(row.priced_model)
        return list(dict.fromkeys([*found, *sorted(self._aliases.get(row.model, ()))]))


def _positions(shape: Sequence[str]) -> list[int]:
    return [DIMENSIONS.index(name) for name in shape]
