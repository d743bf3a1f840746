"""Judge a rate card's content with the checks of `sql/checks/`; each returns the rows that offend.

Grain: one finding is one offending row, or pair of rows, of one check.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import duckdb

from etl.engine import connect, create_view, sql, sql_folder
from etl.errors import RateCardError
from etl.rate_card import RateCard, register

FAIL = "fail"
WARN = "warn"
_SHOWN_FINDINGS = 20


@dataclass(frozen=True)
class Finding:
    """One fault of a rate card.

    Attributes:
        check: the name of the check: its file in `sql/checks/`.
        severity: `fail` when the card cannot be used, `warn` when a person should look.
        text: what is wrong, naming the rows.
    """

    check: str
    severity: str
    text: str


def check_names() -> list[str]:
    """The names of all checks."""
    files = sql_folder().joinpath("checks").iterdir()
    return sorted(file.name.removesuffix(".sql") for file in files if file.name.endswith(".sql"))


def check(card: RateCard) -> list[Finding]:
    """Run every check on what `card` knows now; what fails comes first."""
    with connect() as con:
        register(con, card)
        create_view(con, "meters")
        findings = [finding for name in check_names() for finding in _run(con, name)]
    return sorted(findings, key=lambda finding: (finding.severity != FAIL, finding.check))


def new_warnings(before: RateCard, after: RateCard) -> list[str]:
    """The warnings that a new version of a card raises, and the one before did not."""
    if after is before:
        return []
    known, found = ({f"{f.check}: {f.text}" for f in check(card) if f.severity == WARN} for card in (before, after))
    return sorted(found - known)


def validated(card: RateCard) -> RateCard:
    """The same card, when nothing fails.

    Raises:
        RateCardError: naming the offending rows, up to twenty.
    """
    failures = [finding for finding in check(card) if finding.severity == FAIL]
    if failures:
        lines = [f"{failure.check}: {failure.text}" for failure in failures[:_SHOWN_FINDINGS]]
        if len(failures) > _SHOWN_FINDINGS:
            lines.append(f"... and {len(failures) - _SHOWN_FINDINGS} more")
        raise RateCardError(f"the rate card cannot be used, {len(failures)} rows break its rules:\n" + "\n".join(lines))
    return card


def severity(name: str) -> str:
    """The severity that a check's header states."""
    stated = re.search(r"^-- Severity: +(fail|warn)$", sql(f"checks/{name}"), re.MULTILINE)
    assert stated, f"sql/checks/{name}.sql does not state its severity"
    return stated[1]


def _run(con: duckdb.DuckDBPyConnection, name: str) -> list[Finding]:
    return [Finding(name, severity(name), text) for (text,) in con.sql(sql(f"checks/{name}")).fetchall()]
