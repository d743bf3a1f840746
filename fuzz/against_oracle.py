"""Our reading of one file beside that of `tests/oracle.py`: record by record, before identity is looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import damage
import oracle
import polars as pl

from etl import reading
from etl.decoding import Reading
from etl.framing import Input
from etl.json_lines import JsonLinesReader
from etl.meters import QUANTITY_COLUMNS
from etl.parts import Part
from etl.reading import read_inputs
from fuzz.target import scratch

NOW = damage.NOW
OPTIONS = Reading(latest=(NOW + oracle.timedelta(days=1)).replace(tzinfo=None), account="own-account")
RULES = oracle.Rules(oracle.micros_of(NOW) + oracle.DAY, "own-account")
COLUMN = {(meter, status): column for column, meter, status in QUANTITY_COLUMNS}
INSTANT = pl.Datetime("us")

LAST_SECOND = 253_402_300_799  # of the calendar, at the end of 9999

# A record's fate, reason and usage; of an excluded one the line is not told.
Told = tuple[Any, ...]

# Opening a database costs more than reading a small file, so all inputs share one.
shared_reader = cache(JsonLinesReader)


def require_agreement(name: str, content: bytes) -> None:
    """Both say the same of every record of a file of this name and content."""
    path = scratch() / name
    path.write_bytes(content)
    ours, theirs = told_by_package(path), told_by_oracle(path)
    if ours != theirs:
        only_ours, only_theirs = sorted((ours - theirs).items(), key=str), sorted((theirs - ours).items(), key=str)
        raise AssertionError(f"the package says {only_ours[:5]}\nthe oracle says  {only_theirs[:5]}")


def told_by_package(path: Path) -> Counter[Told]:
    """What the package makes of each record."""
    told: Counter[Told] = Counter()
    with patch.object(reading, "JsonLinesReader", shared_reader):
        parts = list(read_inputs([Input(path.name, path)], OPTIONS, threads=1))
    for part in parts:
        if isinstance(part, Part):
            told.update(_told_of_part(part))
        elif part.refusal is not None:
            told["refused", part.refusal.code] += 1
    return told


def _told_of_part(part: Part) -> Iterator[Told]:
    rejects = part.rejects.select("line_number", "reason").rows()
    yield from (("rejected", reason, number) for number, reason in rejects)
    for (fate, reason), count in part.reasons.items():
        if fate == "rejected":
            assert count == sum(reason == other for _, other in rejects)
        else:
            yield from [(fate, reason)] * count
    rows = [row for frame in part.candidates.values() for row in frame.iter_rows(named=True)]
    assert len(rows) == part.candidate_rows
    yield from map(_told_of_row, rows)


def _told_of_row(row: dict[str, Any]) -> Told:
    quantities = tuple(sorted((name, row[name]) for name in COLUMN.values() if row.get(name)))
    is_named = row["source_kind"] == "request" and not row["is_fingerprint"]
    return (
        *("accepted", row["source_kind"], row["line_number"], row["occurred_at"].isoformat()),
        *(row.get("provider"), row.get("model"), row.get("tier"), row.get("account_id"), row.get("project_id")),
        *(row["requests"], row["request_id"] if is_named else None, row.get("interval_end"), quantities),
    )


def told_by_oracle(path: Path) -> Counter[Told]:
    """What the oracle makes of each record."""
    try:
        outcomes = list(oracle.read_file(path, RULES))
    except oracle.RefusedFile as refusal:
        return Counter([("refused", str(refusal))])
    return Counter(_told_of_outcome(number, outcome) for number, outcome in outcomes)


def _told_of_outcome(number: int, outcome: oracle.Outcome) -> Told:
    if isinstance(outcome, oracle.Refused):
        return ("rejected", outcome.reason, number) if outcome.fate == "rejected" else (outcome.fate, outcome.reason)
    sums: Counter[str] = Counter()
    for key, quantity in outcome.quantities.items():
        sums[COLUMN[key]] += quantity
    quantities = tuple(sorted((name, quantity) for name, quantity in sums.items() if quantity))
    at = pl.Series([outcome.instant]).cast(INSTANT).item()
    is_request = outcome.source_kind == "request"
    return (
        *("accepted", outcome.source_kind, number, at.isoformat()),
        *(outcome.provider, outcome.model, outcome.tier, outcome.account_id, outcome.project_id),
        *(outcome.requests, outcome.request_id if is_request else None),
        *(None if outcome.ends is None else _calendar_second(outcome.ends), quantities),
    )


def _calendar_second(instant: int) -> int:
    """An instant in seconds; the package keeps the calendar's last one for whatever is outside of it."""
    seconds = instant // oracle.SECOND
    return seconds if abs(seconds) <= LAST_SECOND else LAST_SECOND
