"""A model's rates through time, as a person reads them: one line for each stretch in which nothing changes.

Grain: one line is one tier, context band and stretch of time; one column is one meter and caching status.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise
from typing import Any

import polars as pl

from etl.meters import QUANTITY_COLUMNS
from etl.rate_offers import EVER, OPEN

INFERRED_MARK = "*"
_What = tuple[str, str]
_Line = tuple[str, int, datetime, datetime, dict[_What, str]]


def timeline(rates: pl.DataFrame) -> tuple[list[str], list[list[Any]], bool]:
    """The lines of a table of rates.

    Args:
        rates: rows of the table `rates` of one model and book, in the order in which tiers are to be shown.

    Returns:
        The columns, the lines, and whether any rate is inferred, which is marked with `*`.
    """
    lines = [
        line
        for group in rates.partition_by("tier", "context_over_tokens", maintain_order=True)
        for line in _lines(group)
    ]
    present = {what for line in lines for what in line[4]}
    shown = [(meter, status) for _, meter, status in QUANTITY_COLUMNS if (meter, status) in present]
    shown = [what for what in shown if not _repeats_input(what, lines)]
    cells = [[line[4].get(what, "") for what in shown] for line in lines]
    columns = ["tier", "over", "from", "to", *(_heading(what) for what in shown)]
    rows = [
        [tier, over or None, _day(starts_at), _day(ends_at), *texts]
        for (tier, over, starts_at, ends_at, _), texts in zip(lines, cells, strict=True)
    ]
    return columns, rows, any(text.endswith(INFERRED_MARK) for texts in cells for text in texts)


def _lines(group: pl.DataFrame) -> Iterable[_Line]:
    """The stretches of one tier and band between the instants at which anything changes."""
    entries = [
        ((row["meter"], row["caching_status"]), row["effective_from"] or EVER, row["effective_to"] or OPEN, _text(row))
        for row in group.iter_rows(named=True)
    ]
    instants = sorted({instant for _, starts_at, ends_at, _ in entries for instant in (starts_at, ends_at)})
    tier, over = group["tier"][0], group["context_over_tokens"][0]
    lines: list[_Line] = []
    for starts_at, ends_at in pairwise(instants):
        cells = {what: text for what, since, until, text in entries if since <= starts_at < until}
        if lines and lines[-1][4] == cells and lines[-1][3] == starts_at:
            lines[-1] = (*lines[-1][:3], ends_at, cells)
        elif cells:
            lines.append((tier, over, starts_at, ends_at, cells))
    return lines


def _text(row: dict[str, Any]) -> str:
    whole, _, fraction = f"{row['rate_usd_per_million']:f}".partition(".")
    mark = INFERRED_MARK if row["status"] == "inferred" else ""
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}{mark}"


def _repeats_input(what: _What, lines: list[_Line]) -> bool:
    """Whether image input costs what text input costs, everywhere: then one column says both."""
    if what[0] != "image_input":
        return False
    same = ("input", what[1])
    pairs = [(line[4][what], line[4].get(same, "")) for line in lines if what in line[4]]
    return all(image.rstrip(INFERRED_MARK) == text.rstrip(INFERRED_MARK) for image, text in pairs)


def _heading(what: _What) -> str:
    meter, status = what
    if status in ("uncached", "not_applicable"):
        return meter
    return status if meter == "input" else f"{meter} {status}"


def _day(instant: datetime) -> str:
    if instant in (EVER, OPEN):
        return "ever" if instant == EVER else "open"
    text = instant.isoformat()
    return text.removesuffix("T00:00:00") if text.endswith("T00:00:00") else f"{text}Z"
