"""A finding: a named part of the difference between our rating and the bill, with its money and its evidence.

The findings of a comparison add up to its difference, exactly; what has no other name is `unexplained`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from etl.statements import EXACT
from etl.statements.matching import DIMENSIONS, ZERO, Cell

# Class -> what it means; in the order in which a person wants to hear of them.
CLASSES = {
    "late_or_lost": "usage that one side has and the other has not: a lost log, a late record",
    "duplicates": "usage that our logs hold twice, under two identities",
    "day_boundary": "usage that is on one day with us and on the next in the bill, such as a batch billed when it ends",
    "tier_differs": "the same usage in another service tier, or billed at another tier's rate",
    "dimension_differs": "the same usage under another caching status, project or model",
    "complimentary": "usage that the provider gave for nothing",
    "missing_or_outdated_rate": "no rate of ours, or another than the bill's: the unit price that the bill implies",
    "long_context_band": "usage rated in one context band and billed in another",
    "regional_uplift": "billed a tenth above the rate: data residency",
    "tool_fees": "tools and other fees that token logs do not show",
    "credits_and_discounts": "credits, discounts and taxes on the bill",
    "rounding": "no more than the provider's own rounding of its amounts",
    "unexplained": "no rule explains it",
}


@dataclass(frozen=True)
class Finding:
    """One named part of the difference.

    Attributes:
        kind: of `CLASSES`.
        cell: the line of the comparison in which it stands.
        amount_usd: its part of ours less theirs.
        evidence: what it rests on, in words.
        quantity, unit: the usage that makes it; None where there is none.
        values: of `DIMENSIONS`, where they are finer than the cell's.
        is_carried: a timing item: the next statement should hold the other side of it.
        implied_rate: the unit price in USD per million that the bill implies, where our card has none like it.
    """

    kind: str
    cell: Cell
    amount_usd: Decimal
    evidence: str
    quantity: int | None = None
    unit: str | None = None
    values: tuple[str | None, ...] | None = None
    is_carried: bool = False
    implied_rate: Decimal | None = None

    @property
    def day(self) -> date:
        """The UTC day, or the first of them."""
        return self.cell.day

    def facts(self) -> dict[str, object]:
        """Everything about it, flat; the amount exact."""
        return {
            "class": self.kind,
            "day": self.day,
            **dict(zip(DIMENSIONS, self.values or self.cell.values, strict=True)),
            "line_items": "; ".join(sorted(self.cell.line_items)),
            "quantity": self.quantity,
            "unit": self.unit,
            "amount_usd": self.amount_usd,
            "evidence": self.evidence,
            "is_carried": self.is_carried,
            "implied_usd_per_million": self.implied_rate,
        }


def total(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum."""
    found = ZERO
    for amount in amounts:
        found = EXACT.add(found, amount)
    return found


def by_class(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """The findings of each class, the largest first; classes in the order of `CLASSES`."""
    held = list(findings)
    found = {kind: [one for one in held if one.kind == kind] for kind in CLASSES}
    return {
        kind: sorted(own, key=lambda one: (-one.amount_usd.copy_abs(), one.cell.order()))
        for kind, own in found.items()
        if own
    }
