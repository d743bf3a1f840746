"""Export what is booked in a month: one table in files, and a control sheet that proves them equal to the warehouse.

Grain: see sql/exports/focus.sql and sql/exports/costs.sql. An export is a pure function of the snapshot, the mapping
file and the options: the same ones give the same bytes.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from etl import __version__, analyst, durable
from etl.attribution import By, attributed
from etl.engine import literal, sql
from etl.errors import IntegrityError, StrictError, UsageError
from etl.export_files import require_same, writing
from etl.manifest import Snapshot

FOCUS_VERSION = "1.4"
KINDS = ("focus", "costs")
FORMS = ("parquet", "csv")
# Who sells and bills a provider's API, and under which name. A provider that is not here stands under its own name.
ISSUERS = {
    "openai": ("OpenAI", "OpenAI API"),
    "anthropic": ("Anthropic", "Claude API"),
    "google": ("Google", "Gemini API"),
    "azure": ("Microsoft", "Azure OpenAI"),
    "bedrock": ("Amazon Web Services", "Amazon Bedrock"),
}
# unit -> ConsumedUnit, PricingUnit, how many pricing units one unit is, and what of a rate per 1,000,000 one costs.
# FOCUS writes a unit as a plural noun in capitals, with its number before it.
PRICING_UNITS = {
    "tokens": ("Tokens", "1000000 Tokens", "0.000001", "1"),
    "characters": ("Characters", "1000000 Characters", "0.000001", "1"),
    "calls": ("Calls", "1000 Calls", "0.001", "0.001"),
    "sessions": ("Sessions", "Sessions", "1", "0.000001"),
    "seconds": ("Seconds", "Seconds", "1", "0.000001"),
    "images": ("Images", "Images", "1", "0.000001"),
}
# The columns whose sums must be the warehouse's, by kind: cost_usd, then list_cost_usd.
_COSTS = {"focus": ("ContractedCost", "ListCost"), "costs": ("cost_usd", "list_cost_usd")}
_WHOLE_SQL = """
    SELECT price_status, unit, count(*) AS rows, sum(quantity)::HUGEINT AS quantity,
        sum(cost_usd)::DECIMAL(38, 12) AS cost_usd, sum(list_cost_usd)::DECIMAL(38, 12) AS list_cost_usd
    FROM rollups WHERE accounting_period = {month} GROUP BY ALL ORDER BY ALL
"""
_DAYS_SQL = "SELECT DISTINCT day FROM rollups WHERE accounting_period = {month} ORDER BY day"


@dataclass(frozen=True)
class Asked:
    """What is to be exported.

    Attributes:
        kind: one of `KINDS`.
        month: of booking, such as 2026-10.
        forms: some of `FORMS`.
        by: what to tell the costs apart by; None: nothing.
        billing_account: FOCUS needs an account; this one stands where the records name none.
        is_billed: whether BilledCost and EffectiveCost of FOCUS are the rated cost; else 0.
        is_strict: refuse to leave out what has no price.
    """

    kind: str
    month: str
    forms: Sequence[str] = FORMS
    by: By | None = None
    billing_account: str | None = None
    is_billed: bool = True
    is_strict: bool = False


@dataclass
class Exported:
    """What was written.

    Attributes:
        unpriced: price status and unit -> quantity: in the warehouse, and without a price.
        is_closed: whether the month is; else its figures can still change.
        rows: of the table.
        cost_usd, list_cost_usd: the sums, in the file and in the warehouse.
        files: name, rows, bytes and SHA-256 of each.
        not_told_apart: note -> cost of what `by` says nothing about.
        escaped_cells: text cells of the CSV that got an apostrophe.
        rows_without_account: of FOCUS, which wants one in each.
    """

    unpriced: dict[tuple[str, str], int]
    is_closed: bool
    rows: int = 0
    cost_usd: Decimal = Decimal(0)
    list_cost_usd: Decimal = Decimal(0)
    files: list[dict[str, Any]] = field(default_factory=list)
    not_told_apart: dict[str, Decimal] = field(default_factory=dict)
    escaped_cells: int = 0
    rows_without_account: int = 0

    def add(self, kind: str, piece: pl.DataFrame) -> None:
        """Count a piece of the table."""
        cost, list_cost = _COSTS[kind]
        self.rows += piece.height
        self.cost_usd += _total(piece[cost])
        self.list_cost_usd += _total(piece[list_cost])
        note = "x_AttributionNote" if kind == "focus" else "note"
        for why, usd in piece.filter(pl.col(note).is_not_null()).group_by(note).agg(pl.col(cost).sum()).rows():
            self.not_told_apart[why] = self.not_told_apart.get(why, Decimal(0)) + (usd or 0)
        if kind == "focus":
            self.rows_without_account += piece["BillingAccountId"].null_count()


def export(snapshot: Snapshot, asked: Asked, folder: Path) -> Exported:
    """Write the files and, last, the control sheet; a file of the same name is replaced whole.

    Raises:
        UsageError: nothing is booked in the month, or FOCUS lacks an account.
        StrictError: something has no price and `is_strict`; nothing was written.
        IntegrityError: the sums in the table or in a file are not the warehouse's.
        StorageError: the disk refuses.
    """
    whole = analyst.frame(snapshot, _WHOLE_SQL.format(month=literal(asked.month)))
    if whole.is_empty():
        months = [
            row[0] for row in analyst.query(snapshot, "SELECT DISTINCT accounting_period FROM rollups ORDER BY 1").rows
        ]
        raise UsageError(f"nothing is booked in {asked.month}; the months are {', '.join(months)}")
    done = Exported(_unpriced(whole), asked.month in snapshot.manifest.get("closed", {}))
    if asked.is_strict and done.unpriced:
        raise StrictError(f"{asked.month}: {_unpriced_words(done)} have no price; nothing was written")
    name = f"{asked.kind}-{asked.month}"
    facts = {"FocusVersion": FOCUS_VERSION} if asked.kind == "focus" else {}
    with writing(folder, name, asked.forms, facts) as files:
        days = [day for (day,) in analyst.query(snapshot, _DAYS_SQL.format(month=literal(asked.month))).rows]
        for piece in analyst.frames(snapshot, (_text(asked, day) for day in days)):
            done.add(asked.kind, piece)
            files.write(piece)
        _require_whole(asked, whole, done)
    done.escaped_cells = files.escaped_cells
    sums = dict(zip(_COSTS[asked.kind], (done.cost_usd, done.list_cost_usd), strict=True))
    for form in asked.forms:
        path = folder / f"{name}.{form}"
        require_same(path, done.rows, sums)
        size = path.stat().st_size
        done.files.append({"name": path.name, "rows": done.rows, "bytes": size, "sha256": durable.sha256_of(path)})
    durable.write_whole(folder / f"{name}.control.csv", _control(snapshot, asked, whole, done))
    return done


def _text(asked: Asked, day: date) -> str:
    """The query of a day: what is asked, the tables that FOCUS needs, what is booked, and the export itself."""
    values = [literal(asked.month), f"DATE '{day}'"]
    values += [literal(asked.billing_account) if asked.billing_account else "NULL::VARCHAR"]
    values += [literal(asked.by.name) if asked.by else "NULL::VARCHAR", str(asked.is_billed).lower()]
    issuers = ", ".join(f"({literal(name)}, {literal(a)}, {literal(b)})" for name, (a, b) in ISSUERS.items())
    units = ", ".join(
        f"({literal(unit)}, {literal(consumed)}, {literal(priced)}, {quantity}::DECIMAL(7, 6), {price}::DECIMAL(7, 6))"
        for unit, (consumed, priced, quantity, price) in PRICING_UNITS.items()
    )
    parts = [
        f"asked(month, day, billing_account_id, attributed_by, is_billed) AS (VALUES ({', '.join(values)}))",
        f"issuers(provider, provider_name, service_name) AS (VALUES {issuers})",
        f"pricing_units(unit, consumed, priced, quantity_factor, price_factor) AS (VALUES {units})",
    ]
    if asked.by:
        parts.append(attributed(asked.by, day, day).strip())
    parts.append(f"booked AS (\n{sql('exports/booked_by' if asked.by else 'exports/booked')}\n)")
    return f"WITH {', '.join(parts)}\n{sql(f'exports/{asked.kind}')}"


def _unpriced(whole: pl.DataFrame) -> dict[tuple[str, str], int]:
    return {
        (status, unit): quantity
        for status, unit, quantity in whole.select("price_status", "unit", "quantity").rows()
        if status.startswith("unpriced")
    }


def _total(values: pl.Series) -> Decimal:
    return sum((value for value in values if value is not None), Decimal(0))


def _require_whole(asked: Asked, whole: pl.DataFrame, done: Exported) -> None:
    """Hold the table against the warehouse, before a file gets its name."""
    sums = [done.cost_usd, done.list_cost_usd]
    wanted = [_total(whole[name]) for name in ("cost_usd", "list_cost_usd")]
    if sums != wanted:
        raise IntegrityError(
            f"{asked.month}: the export adds up to {sums} USD, the rollups to {wanted}; nothing was written"
        )
    if done.rows_without_account:
        raise UsageError(
            f"{done.rows_without_account:,} of {done.rows:,} rows name no account, and FOCUS wants one in each: "
            "say whose they are with --billing-account ID"
        )


def _unpriced_words(done: Exported) -> str:
    return ", ".join(f"{quantity:,} {unit} ({status})" for (status, unit), quantity in done.unpriced.items())


def _control(snapshot: Snapshot, asked: Asked, whole: pl.DataFrame, done: Exported) -> bytes:
    """The control sheet: what was exported from what, what was left out and why, sums on both sides, and hashes."""
    buffer = io.StringIO()
    write = csv.writer(buffer, lineterminator="\n").writerow
    write(["section", "item", "warehouse", "file", "difference"])
    for item, value in _origin(snapshot, asked, done).items():
        write(["origin", item, value, "", ""])
    for name, usd in (("cost_usd", done.cost_usd), ("list_cost_usd", done.list_cost_usd)):
        write(["sums", name, f"{_total(whole[name]):f}", f"{usd:f}", f"{_total(whole[name]) - usd:f}"])
    for status, unit, rows, quantity, cost, _ in whole.rows():
        fate = "left out" if asked.kind == "focus" and not status.startswith("priced") else "exported"
        fate = "left out" if status == "not_charged" else fate
        write([fate, f"{quantity} {unit} in {rows} rollup rows, {status}", "" if cost is None else f"{cost:f}", "", ""])
    for why, usd in sorted(done.not_told_apart.items()):
        write(["not told apart", why, "", f"{usd:f}", ""])
    for file in done.files:
        write(["files", file["name"], "", f"{file['rows']} rows, {file['bytes']} bytes", ""])
        write(["files", f"SHA-256 of {file['name']}", "", file["sha256"], ""])
    return buffer.getvalue().encode()


def _origin(snapshot: Snapshot, asked: Asked, done: Exported) -> dict[str, str]:
    facts = {
        "export": f"FOCUS {FOCUS_VERSION}, Cost and Usage" if asked.kind == "focus" else "costs",
        "month of booking": asked.month,
        "month is closed": "yes" if done.is_closed else "no: its figures can still change",
        "snapshot": str(snapshot.number),
        "SHA-256 of its manifest": snapshot.manifest_sha256,
        "rate version": json.dumps(snapshot.manifest.get("rate_version")),
        "Costroll": __version__,
        "text cells with an apostrophe in the CSV": str(done.escaped_cells),
    }
    if asked.by:
        facts["told apart by"] = asked.by.name
        if asked.by.mapping:
            facts["SHA-256 of the mapping file"] = asked.by.mapping.sha256
    if asked.kind == "focus":
        facts["BilledCost and EffectiveCost"] = (
            "as rated" if asked.is_billed else "0: the provider's own dataset has them"
        )
    return facts
