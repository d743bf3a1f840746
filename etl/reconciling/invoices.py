"""From the provider's cost to the invoice, and the credits that pay it: a bridge whose steps add up, exactly.

invoices.csv   number,period,net,tax,credit_applied,currency[,provider]       period is a month such as 2025-11
credits.csv    day,kind,amount,currency[,note]       kind is opening, purchase, grant, usage, expiry or closing

ours - each class of difference = the bill;  bill + what the invoice adds = net;  net + tax - credit applied = due
opening + purchases + grants - usage - expiry = closing
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from etl.errors import StorageError, UsageError
from etl.periods import days_of
from etl.reconciling.findings import total
from etl.reconciling.quantities import Expected
from etl.reconciling.result import Reconciliation
from etl.statements import EXACT
from etl.statements.cells import (
    Row,
    csv_rows,
    exact_number,
    filled,
    header_of,
    require_dollars,
    shown,
    utc_day,
    wrong,
)  # fmt: skip
from etl.statements.matching import DIMENSIONS, ZERO

_INVOICE_COLUMNS = ("number", "period", "net", "tax", "credit_applied", "currency", "provider")
_CREDIT_COLUMNS = ("day", "kind", "amount", "currency")
CREDIT_KINDS = ("opening", "purchase", "grant", "usage", "expiry", "closing")
_TAKEN = ("usage", "expiry")
_EXPLANATION_COLUMNS = ("class", "day", *DIMENSIONS, "quantity")
# Providers write invoices in cents; each line of one may be rounded.
_HALF_A_CENT = Decimal("0.005")


@dataclass(frozen=True)
class Invoice:
    """One invoice of a provider.

    Attributes:
        days: of its month.
        net_usd, tax_usd, credit_usd: before tax, the tax, and what credits pay of it.
    """

    number: str
    days: tuple[date, ...]
    net_usd: Decimal
    tax_usd: Decimal
    credit_usd: Decimal


@dataclass(frozen=True)
class Step:
    """One line of a bridge or a roll-forward: an amount that is reached, or what leads from one to the next."""

    step: str
    amount_usd: Decimal
    is_sum: bool = False


def read_invoices(path: Path, provider: str) -> list[Invoice]:
    """Read the invoices of one provider; those without a provider are taken as its own.

    Raises:
        UsageError: the file cannot be read, or an invoice stands in it twice.
    """
    found, seen = [], set()
    for number, cells in _rows(path, _INVOICE_COLUMNS, ("number", "period", "net", "currency")):
        own = filled(cells, _INVOICE_COLUMNS)
        require_dollars(own["currency"], path.name, number)
        if own["provider"] not in (None, provider):
            continue
        if own["number"] is None or own["number"] in seen:
            raise wrong(path.name, number, f"invoice {shown(own['number'])} has no number, or stands here twice")
        seen.add(own["number"])
        amounts = [exact_number(own[column], column, path.name, number) for column in ("net", "tax", "credit_applied")]
        if amounts[0] is None:
            raise wrong(path.name, number, "an invoice without a net amount")
        net, tax, credit = (amount or ZERO for amount in amounts)
        found.append(Invoice(own["number"], _month(own["period"], path.name, number), net, tax, credit))
    return found


def bridge(result: Reconciliation, invoices: Sequence[Invoice]) -> list[Step]:
    """Lead from our rating over the bill to what is due.

    Raises:
        UsageError: the invoices are of other days than the bill.
    """
    billed = set(result.coverage.days)
    invoiced = {day for invoice in invoices for day in invoice.days}
    if billed != invoiced:
        raise UsageError(
            f"the invoices are for {_span(invoiced)} and the bill for {_span(billed)}: give those of the same days"
        )
    net = total(invoice.net_usd for invoice in invoices)
    steps = [Step("ours, as rated", result.ours_usd, is_sum=True)]
    for kind, own in result.classes.items():
        steps.append(Step(kind, total(one.amount_usd for one in own).copy_negate()))
    steps.append(Step("the provider's cost", result.theirs_usd, is_sum=True))
    left = EXACT.subtract(net, result.theirs_usd)
    if left:
        is_rounding = left.copy_abs() <= _HALF_A_CENT * max(len(invoices), 1)
        steps.append(Step("rounding of the invoice" if is_rounding else "invoice differs from cost", left))
    steps.append(Step("invoices, net", net, is_sum=True))
    tax, credit = total(one.tax_usd for one in invoices), total(one.credit_usd for one in invoices)
    steps += [Step("tax", tax), Step("credit applied", EXACT.subtract(ZERO, credit))]
    steps.append(Step("due", EXACT.subtract(EXACT.add(net, tax), credit), is_sum=True))
    return steps


def unexplained_of(steps: Sequence[Step]) -> Decimal:
    """What of a bridge or a roll-forward has no name but its own."""
    return total(one.amount_usd for one in steps if one.step in ("invoice differs from cost", "does not close"))


def roll_forward(path: Path, days: Sequence[date], invoices: Sequence[Invoice]) -> list[Step]:
    """Lead from the opening balance of credits to the closing one.

    Args:
        path: the file of credits.
        days: of the month; movements on other days are refused.
        invoices: whose credits must be the usage.

    Raises:
        UsageError: the file cannot be read, or has no opening or closing balance.
    """
    sums: dict[str, Decimal] = {}
    for number, cells in _rows(path, _CREDIT_COLUMNS, _CREDIT_COLUMNS):
        own = filled(cells, _CREDIT_COLUMNS)
        require_dollars(own["currency"], path.name, number)
        kind, amount = own["kind"] or "", exact_number(own["amount"], "amount", path.name, number)
        if kind not in CREDIT_KINDS or amount is None or amount < 0:
            raise wrong(path.name, number, f"needs an amount of 0 or more and a kind of {', '.join(CREDIT_KINDS)}")
        day = utc_day(own["day"], "day", path.name, number)
        if kind not in ("opening", "closing") and day not in days:
            raise wrong(path.name, number, f"{day} is not among the days of the bill")
        if kind in ("opening", "closing") and kind in sums:
            raise wrong(path.name, number, f"a second {kind} balance")
        sums[kind] = EXACT.add(sums.get(kind, ZERO), amount)
    if not {"opening", "closing"} <= sums.keys():
        raise UsageError(f"{path.name}: needs one opening and one closing balance")
    steps = [Step("opening", sums["opening"], is_sum=True)]
    for kind in CREDIT_KINDS[1:-1]:
        amount = sums.get(kind, ZERO)
        steps.append(Step(kind, EXACT.subtract(ZERO, amount) if kind in _TAKEN else amount))
    applied = total(one.credit_usd for one in invoices)
    used = sums.get("usage", ZERO)
    if invoices and applied != used:
        raise UsageError(f"{path.name}: usage of {used} is not the {applied} that the invoices have as credit applied")
    left = EXACT.subtract(sums["closing"], total(step.amount_usd for step in steps))
    if left:
        steps.append(Step("does not close", left))
    return [*steps, Step("closing", sums["closing"], is_sum=True)]


def read_explanations(path: Path) -> list[Expected]:
    """Read the timing items that an earlier reconciliation carried over.

    Raises:
        UsageError: the file cannot be read.
    """
    found = []
    for number, cells in _rows(path, _EXPLANATION_COLUMNS, ("class", "day", "meter", "quantity")):
        own = filled(cells, _EXPLANATION_COLUMNS)
        quantity = exact_number(own["quantity"], "quantity", path.name, number)
        if own["class"] is None or quantity is None or quantity != quantity.to_integral_value():
            raise wrong(path.name, number, "needs a class and a whole quantity")
        origin = f"{utc_day(own['day'], 'day', path.name, number)} ({path.name})"
        model, tier, meter, status, project = (own[name] for name in DIMENSIONS)
        found.append(Expected(own["class"], model, tier, meter, status, project, int(quantity), origin))
    return found


def facts(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Steps, flat."""
    return [{"step": one.step, "amount_usd": one.amount_usd, "is_sum": one.is_sum} for one in steps]


def _rows(path: Path, columns: Sequence[str], required: Sequence[str]) -> list[Row]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8") from error
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error.strerror})") from error
    missing = [column for column in required if column not in header_of(text)]
    if missing:
        raise UsageError(f"{path}: has no column {', '.join(missing)}; its columns are to be {', '.join(columns)}")
    return list(csv_rows(text, path.name, columns))


def _month(period: str | None, name: str, number: int) -> tuple[date, ...]:
    try:
        return tuple(days_of(period or ""))
    except ValueError:
        raise wrong(name, number, f"period {shown(period)} is no month such as 2025-11") from None


def _span(days: set[date]) -> str:
    return f"{min(days)} to {max(days)}" if days else "no day"
