"""Months: their days, in which of them usage is booked, and whether a closed one still is what was closed.

A closed month's rollup files never change again; what changes after it is booked later: see `etl.corrections`.
"""

from __future__ import annotations

import hashlib
from calendar import monthrange
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import Any

from etl.manifest import add_money, period_of

_MONEY = ("cost_usd", "list_cost_usd")


def month_of(day: date) -> str:
    """The month of a day.

    >>> month_of(date(2026, 10, 31))
    '2026-10'
    """
    return day.isoformat()[:7]


def month_after(month: str) -> str:
    """The following month.

    >>> month_after("2026-12")
    '2027-01'
    """
    year, number = map(int, month.split("-"))
    return f"{year + number // 12:04d}-{number % 12 + 1:02d}"


def days_of(month: str) -> list[date]:
    """Every day of a month."""
    year, number = map(int, month.split("-"))
    return [date(year, number, day) for day in range(1, monthrange(year, number)[1] + 1)]


def booking_period(day: date, closed: Collection[str]) -> str:
    """The month in which usage of a day is booked: its own, or the first after it that is not closed.

    >>> booking_period(date(2026, 10, 31), {"2026-10", "2026-11"})
    '2026-12'
    """
    month = month_of(day)
    while month in closed:
        month = month_after(month)
    return month


def figures(entries: Iterable[Mapping[str, Any]], month: str) -> dict[str, Any]:
    """The files booked in a month and what they hold, as far as the manifest's entries say.

    Returns:
        `files` (path, sha256), `files_sha256`, `rows`, `quantities` by `meter/caching_status`, `cost_usd` and
        `list_cost_usd`. The one hash is over the lines `SHA256  PATH`, as `sha256sum` prints them, in the order of the
        paths.
    """
    of_month = sorted(
        (entry for entry in entries if period_of(entry["path"]) == month), key=lambda entry: str(entry["path"])
    )
    quantities: Counter[str] = Counter()
    costs = dict.fromkeys(_MONEY, "0.000000000000")
    for entry in of_month:
        for name, value in entry["sums"].items():
            if name in _MONEY:
                costs[name] = add_money(costs[name], value)
            else:
                quantities[name] += value
    lines = "".join(f"{entry['sha256']}  {entry['path']}\n" for entry in of_month)
    return {
        "files": [{"path": entry["path"], "sha256": entry["sha256"]} for entry in of_month],
        "files_sha256": hashlib.sha256(lines.encode()).hexdigest(),
        "rows": sum(entry["rows"] for entry in of_month),
        "quantities": {name: quantity for name, quantity in sorted(quantities.items()) if quantity},
        **costs,
    }


def closed_gaps(closed: Mapping[str, Mapping[str, Any]], entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Where a closed month is no longer what was closed, one line for each difference.

    Args:
        closed: month -> what the manifest keeps of its close.
        entries: all files of the snapshot, as in its manifest or as measured.
    """
    by_month: dict[str | None, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in entries if closed else ():
        by_month[period_of(entry["path"])].append(entry)
    gaps = []
    for month, record in sorted(closed.items()):
        now = figures(by_month[month], month)
        before, after = ({one["path"]: one["sha256"] for one in side["files"]} for side in (record, now))
        gaps += [
            f"{path}: belongs to closed month {month} and is gone" for path in sorted(before.keys() - after.keys())
        ]
        gaps += [f"{path}: is new in closed month {month}" for path in sorted(after.keys() - before.keys())]
        gaps += [
            f"{path}: belongs to closed month {month} and was changed (SHA-256 differs)"
            for path in sorted(before.keys() & after.keys())
            if before[path] != after[path]
        ]
        gaps += [
            f"closed month {month}: {name} is {now[name]} instead of {record[name]}"
            for name in ("files_sha256", "rows", "quantities", *_MONEY)
            if before == after and now[name] != record[name]
        ]
    return gaps
