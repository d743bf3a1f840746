"""What a reconciliation found: lines, named differences, and whether they are within the tolerance."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal

from etl.reconciling.coverage import Coverage
from etl.reconciling.findings import Finding, by_class, total
from etl.statements import EXACT
from etl.statements.matching import ZERO, Cell

_PERCENT = Decimal("0.01")


@dataclass(frozen=True)
class Tolerance:
    """How far something may be off: within either measure is within.

    Attributes:
        usd: in USD; a difference equal to it is within.
        percent: of what the bill has for it.
    """

    usd: Decimal
    percent: Decimal = ZERO

    def holds(self, difference: Decimal, theirs: Decimal) -> bool:
        """Whether a difference is within it, of an amount of theirs."""
        allowed = EXACT.multiply(EXACT.multiply(theirs.copy_abs(), self.percent), _PERCENT)
        return difference.copy_abs() <= max(self.usd, allowed)


@dataclass(frozen=True)
class Reconciliation:
    """The comparison.

    Attributes:
        grains: dimensions, besides the day, by which days are compared -> those days; only days that both sides have.
        cells: every line, sorted by day and dimensions.
        findings: every difference by its name; they add up to the difference, in each line and in all.
        accepted: the classes whose amounts do not count against the tolerance.
    """

    coverage: Coverage
    grains: dict[tuple[str, ...], tuple[date, ...]]
    cells: tuple[Cell, ...]
    findings: tuple[Finding, ...]
    ours_usd: Decimal
    theirs_usd: Decimal
    tolerance: Tolerance
    accepted: frozenset[str] = frozenset()

    @property
    def difference_usd(self) -> Decimal:
        """Ours less theirs, over all lines."""
        return EXACT.subtract(self.ours_usd, self.theirs_usd)

    @property
    def absolute_usd(self) -> Decimal:
        """The sum of the differences without their signs, in which opposite errors do not cancel."""
        return total(cell.difference_usd.copy_abs() for cell in self.cells)

    @property
    def classes(self) -> dict[str, list[Finding]]:
        """The findings of each class that has any."""
        return by_class(self.findings)

    @property
    def open_usd(self) -> Decimal:
        """The difference less what is accepted."""
        return total(self._open().values())

    @property
    def beyond(self) -> tuple[Cell, ...]:
        """The lines that alone are beyond the tolerance."""
        left = self._open()
        return tuple(cell for cell in self.cells if not self.tolerance.holds(left[id(cell)], cell.theirs_usd or ZERO))

    @property
    def days_beyond(self) -> tuple[date, ...]:
        """The days that are beyond the tolerance."""
        left = self._open()
        differences: dict[date, Decimal] = defaultdict(lambda: ZERO)
        theirs: dict[date, Decimal] = defaultdict(lambda: ZERO)
        for cell in self.cells:
            differences[cell.day] = EXACT.add(differences[cell.day], left[id(cell)])
            theirs[cell.day] = EXACT.add(theirs[cell.day], cell.theirs_usd or ZERO)
        return tuple(day for day in sorted(differences) if not self.tolerance.holds(differences[day], theirs[day]))

    @property
    def total_holds(self) -> bool:
        """Whether the total is within the tolerance."""
        return self.tolerance.holds(self.open_usd, self.theirs_usd)

    @property
    def is_reconciled(self) -> bool:
        """Whether neither the total nor any day nor any line is beyond the tolerance."""
        return self.total_holds and not self.days_beyond and not self.beyond

    def findings_of(self, cell: Cell) -> list[Finding]:
        """The named parts of a line's difference."""
        return self._by_cell().get(id(cell), [])

    def facts(self) -> dict[str, object]:
        """Everything about it, for a program; every amount exact."""
        return {
            "coverage": asdict(self.coverage),
            "grains": [{"dimensions": ["day", *grain], "days": days} for grain, days in self.grains.items()],
            "classes": {
                kind: {"findings": len(own), "amount_usd": total(one.amount_usd for one in own)}
                for kind, own in self.classes.items()
            },
            "findings": [one.facts() for own in self.classes.values() for one in own],
            "lines": [cell.facts() for cell in self.cells],
            "ours_usd": self.ours_usd,
            "theirs_usd": self.theirs_usd,
            "difference_usd": self.difference_usd,
            "absolute_difference_usd": self.absolute_usd,
            "accepted_classes": sorted(self.accepted),
            "open_difference_usd": self.open_usd,
            "tolerance_usd": self.tolerance.usd,
            "tolerance_percent": self.tolerance.percent,
            "lines_beyond_tolerance": len(self.beyond),
            "days_beyond_tolerance": self.days_beyond,
            "is_reconciled": self.is_reconciled,
        }

    def _by_cell(self) -> dict[int, list[Finding]]:
        found: dict[int, list[Finding]] = defaultdict(list)
        for one in self.findings:
            found[id(one.cell)].append(one)
        return found

    def _open(self) -> dict[int, Decimal]:
        """Each line's difference, less what is accepted."""
        left = {id(cell): cell.difference_usd for cell in self.cells}
        for one in self.findings:
            if one.kind in self.accepted:
                left[id(one.cell)] = EXACT.subtract(left[id(one.cell)], one.amount_usd)
        return left
