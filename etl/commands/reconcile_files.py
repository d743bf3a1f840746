"""What a reconciliation leaves behind for a meeting and for the files: `costroll reconcile --out DIR`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from etl import display, durable
from etl.commands import reconcile_page, reconcile_report
from etl.commands.reconcile_report import Told
from etl.reconciling import Finding
from etl.reconciling.invoices import facts as step_facts
from etl.spreadsheets import safe_rows
from etl.statements.matching import DIMENSIONS

# The columns of a rate file as `costroll rates import` reads it.
_RATE_COLUMNS = (
    "provider", "model", "tier", "meter", "caching_status", "context_over_tokens", "effective_from", "effective_to",
    "rate_usd_per_million", "status", "confidence", "source",
)  # fmt: skip
EXPLANATION_COLUMNS = ("class", "day", *DIMENSIONS, "quantity", "unit", "amount_usd", "evidence")
_DECIMAL_DIGITS_MAX = 38


def write_all(folder: Path, told: Told) -> list[Path]:
    """Write every file; returns their paths.

    Raises:
        StorageError: the disk refuses.
    """
    durable.make_dir(folder)
    result = told.result
    findings = [one.facts() for own in result.classes.values() for one in own]
    lines = reconcile_report.line_facts(result)
    texts = {
        "summary.txt": "".join(f"{line}\n" for line in reconcile_report.summary(told)),
        "lines.csv": csv_text(lines),
        "findings.csv": csv_text(findings),
        "explanations.csv": csv_text(explanations(result.findings), EXPLANATION_COLUMNS),
        "rates_to_add.csv": csv_text(rates_to_add(told), _RATE_COLUMNS),
        "bridge.csv": csv_text([*step_facts(told.bridge), *step_facts(told.credits)], ("step", "amount_usd", "is_sum")),
        "reconciliation.json": reconcile_report.as_json(told) + "\n",
        "reconciliation.html": reconcile_page.page(told),
    }
    written = []
    for name, text in texts.items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    for name, rows in (("lines.parquet", lines), ("findings.parquet", findings)):
        frame(rows).write_parquet(folder / name)
        written.append(folder / name)
    return written


def csv_text(rows: Sequence[dict[str, Any]], columns: Sequence[str] = ("day",)) -> str:
    """Rows as CSV; the columns are those of the rows, where there are any."""
    names = list(rows[0]) if rows else list(columns)
    safe = safe_rows([list(row.values()) for row in rows])
    return "".join(f"{line}\n" for line in display.csv_lines(names, safe))


def frame(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Rows as a table; money is DECIMAL where 38 digits hold every value exactly, else text."""
    columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    return pl.DataFrame([_series(name, values) for name, values in columns.items()])


def _series(name: str, values: Sequence[Any]) -> pl.Series:
    amounts = [value for value in values if isinstance(value, Decimal)]
    if not amounts:
        return pl.Series(name, values)
    scale = max(max(0, -_exponent(one)) for one in amounts)
    whole = max(len(one.as_tuple().digits) + _exponent(one) for one in amounts)
    if scale + max(whole, 1) > _DECIMAL_DIGITS_MAX:
        return pl.Series(name, [None if value is None else f"{value:f}" for value in values], dtype=pl.String)
    return pl.Series(name, values, dtype=pl.Decimal(_DECIMAL_DIGITS_MAX, scale))


def _exponent(amount: Decimal) -> int:
    exponent = amount.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def explanations(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The timing items that the next statement should hold the other side of."""
    return [{name: one.facts()[name] for name in EXPLANATION_COLUMNS} for one in findings if one.is_carried]


def rates_to_add(told: Told) -> list[dict[str, Any]]:
    """The rate rows that would explain what is billed at a price we lack, each from the first day it was seen."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in _proposed(told):
        found.setdefault(tuple(str(row[name]) for name in _RATE_COLUMNS if name != "effective_from"), row)
    return list(found.values())


def _proposed(told: Told) -> Iterator[dict[str, Any]]:
    names = ", ".join(file.name for file in told.statement.files)
    for one in sorted(told.result.findings, key=lambda one: one.day):
        if one.implied_rate is None or one.kind != "missing_or_outdated_rate":
            continue
        model, tier, meter, status, _ = one.values or one.cell.values
        yield {
            "provider": told.statement.provider,
            "model": model,
            "tier": tier,
            "meter": meter,
            "caching_status": status,
            "context_over_tokens": 0,
            "effective_from": one.day,
            "effective_to": None,
            "rate_usd_per_million": one.implied_rate,
            "status": "inferred",
            "confidence": "low",
            "source": f"implied by {names}",
        }
