"""Read Costroll's own plain statement: any provider's invoice or bill, typed into a CSV file.

    day,amount_usd[,provider,model,tier,meter,caching_status,project_id,quantity,unit,kind,description,list_usd,currency]
    first_day,last_day,amount_usd[, ...]

The words are those of the rollups (docs/columns.md); what a line leaves blank it is not grouped by. Amounts are exact
as typed; one with two decimals or fewer is taken as rounded to cents.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal

from etl.meters import CACHING_STATUSES, METER_BY_NAME
from etl.statements import USAGE, Dimensions, StatementFile, StatementLine
from etl.statements.cells import csv_rows, exact_number, filled, require_dollars, shown, utc_day, wrong

COLUMNS = (
    "day", "first_day", "last_day", "amount_usd", "provider", "model", "tier", "meter", "caching_status", "project_id",
    "quantity", "unit", "kind", "description", "list_usd", "currency",
)  # fmt: skip
_OF_BLANK_DAYS = ("day", "first_day", "last_day", "provider", "currency")
KINDS = (USAGE, "fee", "credit", "discount", "tax")
_HALF_A_CENT = Decimal("0.005")
_CENT_EXPONENT = -2


def has_header(header: list[str], _: str) -> bool:
    """Whether a CSV file with these columns is a plain statement."""
    found = set(header)
    return "amount_usd" in found and ("day" in found or found.issuperset(("first_day", "last_day")))


def read_csv(text: str, name: str) -> StatementFile:
    """Read a plain statement.

    Raises:
        UsageError: a row cannot be read, or the rows name several providers.
    """
    lines, days, providers = [], set[date](), set[str]()
    for number, cells in csv_rows(text, name, COLUMNS):
        own = filled(cells, COLUMNS)
        first, last = _days(own, name, number)
        days.update(first + timedelta(at) for at in range((last - first).days + 1))
        providers.add(own["provider"] or "openai")
        if len(providers) > 1:
            raise wrong(name, number, f"a second provider, {shown(own['provider'])}; give each a file of its own")
        amount = exact_number(own["amount_usd"], "amount_usd", name, number)
        if amount is None:
            if any(own[column] is not None for column in COLUMNS if column not in _OF_BLANK_DAYS):
                raise wrong(name, number, "amount_usd is blank; a line of the bill has an amount")
            continue  # a day on which nothing is billed
        if "currency" in cells:
            require_dollars(own["currency"], name, number)
        lines.append(_line(own, amount, first, last, name, number))
    return StatementFile(name, min(providers, default="openai"), tuple(lines), frozenset(days))


def _days(own: Mapping[str, str | None], name: str, number: int) -> tuple[date, date]:
    if own["day"] is not None:
        if own["first_day"] is not None or own["last_day"] is not None:
            raise wrong(name, number, "has a day and a range of days; give one of them")
        day = utc_day(own["day"], "day", name, number)
        return day, day
    first, last = (utc_day(own[column], column, name, number) for column in ("first_day", "last_day"))
    if last < first:
        raise wrong(name, number, f"last_day {last} is before first_day {first}")
    return first, last


def _line(
    own: Mapping[str, str | None], amount: Decimal, first: date, last: date, name: str, number: int
) -> StatementLine:
    kind = own["kind"] or USAGE
    if kind not in KINDS:
        raise wrong(name, number, f"kind {shown(kind)} is none of {', '.join(KINDS)}")
    meter, status = own["meter"], own["caching_status"]
    if meter is not None and meter not in METER_BY_NAME:
        raise wrong(name, number, f"meter {shown(meter)} is none of {', '.join(METER_BY_NAME)}")
    if status is not None and status not in CACHING_STATUSES:
        raise wrong(name, number, f"caching_status {shown(status)} is none of {', '.join(CACHING_STATUSES)}")
    exponent = amount.as_tuple().exponent
    return StatementLine(
        statement_name=name,
        line_number=number,
        day=first,
        amount_usd=amount,
        quantity=exact_number(own["quantity"], "quantity", name, number),
        quantity_unit=own["unit"],
        line_item=own["description"],
        project_id=own["project_id"],
        organization_id=None,
        # A credit or a tax is held against no usage, whatever it names.
        dimensions=Dimensions(own["model"], own["tier"], meter, status)
        if kind == USAGE or (kind == "fee" and meter)
        else Dimensions(is_understood=False),
        kind=kind,
        list_usd=exact_number(own["list_usd"], "list_usd", name, number),
        rounding_usd=_HALF_A_CENT if isinstance(exponent, int) and exponent >= _CENT_EXPONENT else Decimal(0),
        last_day=last if last > first else None,
    )
