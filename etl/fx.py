"""Other currencies, for reports: units of a currency for one US dollar, in force by UTC day, from the user's file.

What is stored stays USD. Grain: one row of the file is one rate; it holds from its day until the currency's next row,
or up to and without its `effective_to`. Nothing is guessed: a day without a rate cannot be shown in that currency.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from etl.errors import UsageError

FIELDS = ("currency", "effective_from", "units_per_usd")
MAY_BE_LEFT_OUT = ("effective_to", "source")
_CURRENCY = re.compile(r"[A-Z]{3}")
# With at most six decimals the product with a cost of twelve is exact in DECIMAL(38,18).
_RATE = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
_SHOWN_FAULTS = 20


class FxRate(NamedTuple):
    """One rate.

    Attributes:
        since: the first day.
        until: the day after the last one; None: until further notice.
        units_per_usd: what one US dollar is, at most six decimals.
        line: where it stands in the file.
    """

    since: date
    until: date | None
    units_per_usd: Decimal
    line: int


def read_fx(path: Path, currency: str) -> list[FxRate]:
    """The rates of one currency in a file, by day, each up to the next.

    Raises:
        UsageError: naming each bad line and each overlap, or the currencies that there are instead.
    """
    if not _CURRENCY.fullmatch(currency):
        raise UsageError(f"--currency {currency!r}: must be a code of three capital letters, such as EUR")
    faults: list[str] = []
    rates: dict[str, list[FxRate]] = {}
    for line, row in _rows(path):
        try:
            name, rate = _parsed(line, row)
        except ValueError as error:
            faults.append(f"{path.name}:{line}: {error}")
        else:
            rates.setdefault(name, []).append(rate)
    found = sorted(rates.get(currency, []), key=lambda rate: (rate.since, rate.line))
    for one, after in pairwise(found):
        if one.since == after.since or (one.until or one.since) > after.since:
            faults.append(
                f"{path.name}:{after.line}: {currency} has a rate for {after.since} in line {one.line} already"
            )
    if faults:
        more = f"\n... and {len(faults) - _SHOWN_FAULTS} more" if len(faults) > _SHOWN_FAULTS else ""
        raise UsageError(f"{path.name} has {len(faults)} faults:\n" + "\n".join(faults[:_SHOWN_FAULTS]) + more)
    if not found:
        raise UsageError(f"{path.name} has no rate of {currency}; it has {', '.join(sorted(rates)) or 'none at all'}")
    following = [after.since for after in found[1:]]
    return [one._replace(until=one.until or next_one) for one, next_one in zip(found, [*following, None], strict=True)]


def days_without(rates: Sequence[FxRate], days: Sequence[date]) -> list[date]:
    """The days on which no rate is in force."""
    return [
        day for day in days if not any(one.since <= day and (one.until is None or day < one.until) for one in rates)
    ]


def as_sql(rates: Sequence[FxRate]) -> str:
    """The rates as a relation of (since, until, units_per_usd); nothing but dates and digits stands in it."""
    rows = [
        f"(DATE '{one.since}', '{one.until or 'infinity'}'::DATE, {one.units_per_usd:f}::DECIMAL(12, 6))"
        for one in rates
    ]
    return f"(VALUES {', '.join(rows)}) AS fx(since, until, units_per_usd)"


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            header = reader.fieldnames or []
            if not set(FIELDS) <= set(header) <= {*FIELDS, *MAY_BE_LEFT_OUT} or len(set(header)) < len(header):
                wanted = f"{','.join(FIELDS)}, and may be {', '.join(MAY_BE_LEFT_OUT)} besides"
                raise UsageError(f"{path.name}:1: the columns must be {wanted}; found {','.join(header) or 'nothing'}")
            return [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path.name}: cannot be read as a CSV file in UTF-8: {error}") from error


def _parsed(line: int, row: dict[str, str]) -> tuple[str, FxRate]:
    if None in row or None in row.values():
        raise ValueError("has another number of fields than the header")
    texts = {name: text.strip() for name, text in row.items()}
    if not _CURRENCY.fullmatch(texts["currency"]):
        raise ValueError(f"currency {texts['currency']!r} must be three capital letters, such as EUR")
    since, until = _day("effective_from", texts), _day("effective_to", texts) if texts.get("effective_to") else None
    if until is not None and until <= since:
        raise ValueError(f"effective_to {until} is not after effective_from {since}")
    rate = texts["units_per_usd"]
    if not _RATE.fullmatch(rate) or not Decimal(rate):
        raise ValueError(f"units_per_usd {rate!r} must be above 0, in digits with at most six decimals")
    return texts["currency"], FxRate(since, until, Decimal(rate), line)


def _day(name: str, texts: dict[str, str]) -> date:
    try:
        return date.fromisoformat(texts[name])
    except ValueError:
        raise ValueError(f"{name} {texts[name]!r} must be a day such as 2026-11-21") from None
