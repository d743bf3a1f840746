"""`costroll report accrual` and `journal`: what a month has cost up to a day, for the books."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from etl.errors import UsageError
from etl.manifest import Snapshot

# Report -> what it shows; the query is sql/reports/<report>.sql.
REPORTS = {
    "accrual": "what a month has cost up to --through, by cost centre (project)",
    "journal": "the same as journal lines in cents, expense against accrued liability",
}


def refuse_others(name: str, through: date | None, others: Sequence[object]) -> None:
    """Refuse `--through` without these reports, these without it, and with it what else chooses rows."""
    if (name in REPORTS) != (through is not None):
        raise UsageError(
            f"--through DAY goes with {' and '.join(REPORTS)}, which need it: report accrual --through DAY"
        )
    if through is not None and any(others):
        raise UsageError("--through takes the month of its day; no other choice of rows goes with it")


def unpriced(snapshot: Snapshot, through: date) -> str | None:
    """What the journal leaves out, as nobody knows what it costs, in a sentence."""
    columns, lines = rows(snapshot, "accrual", through)
    units = sum(line[columns.index("unpriced")] for line in lines)
    return f"{units:,} units have no price and are in no line: costroll report unpriced" if units else None


def rows(snapshot: Snapshot, name: str, through: date) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    """What is booked in the month of a day, of usage up to it: columns and rows."""
    from etl import analyst
    from etl.engine import sql

    conditions = f"accounting_period = '{through:%Y-%m}' AND day <= DATE '{through}'"
    chosen = f"WITH chosen AS (SELECT * FROM rollups WHERE {conditions})"  # noqa: S608  # nothing but dates is put in
    answer = analyst.query(snapshot, f"{chosen}\n{sql(f'reports/{name}')}")
    return answer.columns, list(answer.rows)
