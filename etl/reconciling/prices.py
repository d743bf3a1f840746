"""Explain what is left of a line once quantities agree: another price, a fee, a credit, rounding; else nothing does.

A price is explained by a rate of the card that gives the billed amount exactly, never by one that comes near.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from etl.reconciling.findings import Finding, total
from etl.reconciling.items import MILLIONTH, PER_MILLION, TOOLS, Item
from etl.reconciling.rate_book import Rate, RateBook, is_in_force
from etl.statements import EXACT, USAGE
from etl.statements.matching import ZERO, Cell

UPLIFT = Decimal("1.1")
_RATE_DECIMALS = 6
_LOWER_BOUND = "priced_lower_bound"
_SAME_RATIO_MODELS = 2


@dataclass(frozen=True)
class Price:
    """A unit price that a bill would have, and why."""

    kind: str
    rate: Decimal
    evidence: str


def prices_for(item: Item, book: RateBook) -> Iterator[Price]:
    """The unit prices that are not ours and that a bill may have for good reason, the likelier first."""
    key, ours = item.key, item.rate
    rates = list(book.of(item.names, key.meter or "", key.caching_status or ""))
    now = [rate for rate in rates if is_in_force(rate, key.day)]
    for rate in now:
        if rate.tier == key.tier and rate.context_over_tokens and rate.rate_usd_per_million != ours:
            yield Price("long_context_band", rate.rate_usd_per_million, _row("the rate", rate))
    for rate in now:
        if rate.tier == key.tier and not rate.context_over_tokens and rate.rate_usd_per_million != ours:
            kind = (
                "long_context_band" if any(row.context_over_tokens for row in item.rows) else "missing_or_outdated_rate"
            )
            yield Price(kind, rate.rate_usd_per_million, _row("the rate", rate))
    if ours is not None:
        yield Price("regional_uplift", EXACT.multiply(ours, UPLIFT), f"1.1 times our rate of {_money(ours)}")
    for rate in now:
        if rate.tier != key.tier and not rate.context_over_tokens and rate.rate_usd_per_million != ours:
            yield Price("tier_differs", rate.rate_usd_per_million, _row("the rate", rate))
    for rate in rates:
        if rate.tier == key.tier and not is_in_force(rate, key.day) and rate.rate_usd_per_million != ours:
            yield Price(
                "missing_or_outdated_rate",
                rate.rate_usd_per_million,
                _row("a rate that was not in force that day,", rate),
            )


def _row(what: str, rate: Rate) -> str:
    return f"billed at {what} {rate.rate_id}"


def explain_prices(cell: Cell, items: Sequence[Item], left: Decimal, book: RateBook) -> Iterator[Finding]:
    """The findings of one line; their sum is `left`, exactly.

    Args:
        cell: the line.
        items: those in it.
        left: ours less theirs, less what differences of quantity explain.
        book: the rates.
    """
    for part in (_fees, _discounts, _given):
        for found in part(cell, items):
            left = EXACT.subtract(left, found.amount_usd)
            yield found
    if left:
        yield _named(cell, items, left, book)


def _fees(cell: Cell, _: Sequence[Item]) -> Iterator[Finding]:
    """Lines that bill no usage, and tools that our logs do not show."""
    for line in cell.lines:
        amount = line.amount_usd.copy_negate()
        if line.kind in ("credit", "discount", "tax"):
            yield Finding(
                "credits_and_discounts", cell, amount, f"{line.kind} on the bill: {line.line_item or 'no text'}"
            )
        elif line.kind == "fee" and not cell.is_understood:
            yield Finding("tool_fees", cell, amount, f"fee on the bill: {line.line_item or 'no text'}")
        elif not cell.is_understood and line.amount_usd < 0:
            yield Finding("credits_and_discounts", cell, amount, f"negative amount: {line.line_item}")


def _discounts(cell: Cell, _: Sequence[Item]) -> Iterator[Finding]:
    """Discounts that the bill itself shows, as list price beside cost."""
    for line in cell.lines:
        if line.list_usd is not None and line.kind == USAGE and line.list_usd != line.amount_usd:
            amount = EXACT.subtract(line.list_usd, line.amount_usd)
            yield Finding(
                "credits_and_discounts", cell, amount, f"the bill's own list price is {_money(line.list_usd)}"
            )


def _given(cell: Cell, items: Sequence[Item]) -> Iterator[Finding]:
    """Quantities that the bill has at 0."""
    if len(items) != 1 or items[0].basis != "bill" or items[0].rate is None:
        return
    given = total(line.quantity or ZERO for line in cell.lines if not line.amount_usd)
    if given and given == given.to_integral_value():
        amount = items[0].worth(int(given))
        unit = items[0].unit
        yield Finding("complimentary", cell, amount, f"the bill has {int(given):,} {unit} at 0", int(given), unit)


def _named(cell: Cell, items: Sequence[Item], left: Decimal, book: RateBook) -> Finding:
    """One name for all that is left."""
    if not cell.is_understood:
        words = ", ".join(sorted(cell.line_items)) or "a line without text"
        return Finding("unexplained", cell, left, f"no rule reads this line of the bill: {words}")
    if left.copy_abs() <= total(line.rounding_usd for line in cell.lines):
        return Finding("rounding", cell, left, "no more than the provider's rounding of its amounts")
    if _is_tool(cell, items):
        return Finding("tool_fees", cell, left, _tool_evidence(cell, items))
    if not cell.has_ours:
        return Finding("late_or_lost", cell, left, "billed, and in none of our logs")
    if cell.theirs_usd is None:
        counted = any(item.counted for item in items)
        words = "counted by the provider, and not billed" if counted else "in our logs, and neither counted nor billed"
        return Finding("late_or_lost", cell, left, words)
    if len(items) == 1:
        return _price(cell, items[0], left, book)
    if cell.unpriced and not any(item.cost_usd for item in items):
        return Finding("missing_or_outdated_rate", cell, left, "we have no rate for any of it")
    if cell.ours_usd and EXACT.multiply(cell.ours_usd, UPLIFT) == cell.theirs_usd:
        return Finding("regional_uplift", cell, left, "the bill is 1.1 times ours")
    return Finding("unexplained", cell, left, "the bill says too little to tell")


def _is_tool(cell: Cell, items: Sequence[Item]) -> bool:
    meter = cell.values[2]
    return meter in TOOLS and all(item.cost_usd is None or not item.rows for item in items)


def _tool_evidence(cell: Cell, items: Sequence[Item]) -> str:
    quantity = sum(item.counted or 0 for item in items)
    words = ", ".join(sorted(cell.line_items)) or str(cell.values[2])
    return f"{words}: token logs do not show it" + (f"; billed for {quantity:,}" if quantity else "")


def _price(cell: Cell, item: Item, left: Decimal, book: RateBook) -> Finding:
    """One kind of usage, of which the quantity is settled: what unit price does the bill imply?"""
    billed, quantity = cell.theirs_usd or ZERO, _charged_quantity(cell, item)
    values = tuple(item.key[1:])

    def found(kind: str, evidence: str, amount: int | None = quantity) -> Finding:
        return Finding(kind, cell, left, evidence, amount, item.unit, values)

    if quantity:
        for price in prices_for(item, book):
            if _agrees(cell, EXACT.multiply(EXACT.multiply(price.rate, Decimal(quantity)), MILLIONTH), billed):
                return found(price.kind, price.evidence)
        if band := _part_in_band(item, left, book):
            return found("long_context_band", f"{band:,} {item.unit} of it at the rate of the band above", band)
        if (implied := _implied(billed, quantity)) is not None:
            ours = "we have none" if item.rate is None or item.cost_usd is None else f"ours is {_money(item.rate)}"
            word = f"the bill implies {_money(implied)} USD per million {item.unit}, {ours}"
            return replace(found("missing_or_outdated_rate", word), implied_rate=implied)
    if item.cost_usd is None or item.rate is None:
        return found("missing_or_outdated_rate", "we have no rate for it, and the bill implies none exactly")
    return found("unexplained", f"no rate gives {_money(billed)} USD for {quantity:,} {item.unit}")


def _charged_quantity(cell: Cell, item: Item) -> int:
    """What the bill charges: what it counts, less what it has at 0."""
    counted = item.ours if item.counted is None else item.counted
    if item.basis != "bill":
        return counted
    return counted - int(total(line.quantity or ZERO for line in cell.lines if not line.amount_usd))


def _agrees(cell: Cell, amount: Decimal, billed: Decimal) -> bool:
    difference = EXACT.subtract(amount, billed).copy_abs()
    return difference <= total(line.rounding_usd for line in cell.lines)


def _part_in_band(item: Item, left: Decimal, book: RateBook) -> int | None:
    """How much of an aggregate must be above a threshold to give the billed amount; None: no whole part of it does."""
    if item.rate is None or not any(row.price_status == _LOWER_BOUND for row in item.rows):
        return None
    for rate in book.of(item.names, item.key.meter or "", item.key.caching_status or ""):
        step = EXACT.subtract(rate.rate_usd_per_million, item.rate)
        if rate.context_over_tokens and rate.tier == item.key.tier and is_in_force(rate, item.key.day) and step > 0:
            part, rest = divmod(EXACT.multiply(left.copy_negate(), PER_MILLION), step)
            if not rest and 0 < part <= item.ours:
                return int(part)
    return None


def _implied(billed: Decimal, quantity: int) -> Decimal | None:
    """The unit price in USD per million, if it is one that a price list could have."""
    per_million = (EXACT.multiply(billed, PER_MILLION) / quantity).quantize(MILLIONTH)
    exact = EXACT.multiply(per_million, Decimal(quantity)) == EXACT.multiply(billed, PER_MILLION)
    return per_million if exact and per_million >= 0 else None


def _money(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def joined_discounts(findings: Sequence[Finding]) -> list[Finding]:
    """Call one and the same ratio to our rates, over several models, a discount instead of so many outdated rates."""
    ratios: dict[Decimal, set[str | None]] = {}
    for one in findings:
        if (ratio := _ratio(one)) is not None:
            ratios.setdefault(ratio, set()).add((one.values or one.cell.values)[0])
    common = {ratio for ratio, models in ratios.items() if len(models) >= _SAME_RATIO_MODELS and ratio < 1}
    return [
        replace(
            one,
            kind="credits_and_discounts",
            evidence=f"billed at {ratio.normalize():f} of our rates, over several models",
        )
        if (ratio := _ratio(one)) in common and ratio is not None
        else one
        for one in findings
    ]


def _ratio(one: Finding) -> Decimal | None:
    """Theirs to ours, of a line that has a price of its own and nothing else; None where it has none that ends."""
    ours, theirs = one.cell.ours_usd, one.cell.theirs_usd
    if one.kind != "missing_or_outdated_rate" or not ours or theirs is None:
        return None
    ratio = (theirs / ours).quantize(MILLIONTH)
    return ratio if EXACT.multiply(ratio, ours) == theirs else None
