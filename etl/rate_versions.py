"""Make the next version of a rate table: rows are added and superseded, never edited and never deleted."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl

from etl.errors import RateCardError, UsageError
from etl.rate_card import RateCard
from etl.rate_csv import ALIAS_FIELDS, LIST, RATE_FIELDS, rate_id
from etl.rate_offers import EVER, OPEN, VERSIONED, Entry
from etl.rate_plan import ADDED, WITHDRAWN, Change, Plan, known_entries
from etl.schema import polars_schema


def applied(card: RateCard, plan: Plan, name: str, sha256: str, recorded_at: datetime) -> RateCard:
    """The card with a plan applied, as its newest version.

    Args:
        card: all its versions; the plan was made from it.
        plan: what is added and superseded.
        name: of the version: where its rows come from.
        sha256: of the file.
        recorded_at: when it is learned, naive UTC.

    Raises:
        UsageError: the clock stands before the instant at which the newest version was recorded.
    """
    version = _next_version(card, recorded_at)
    tables = {}
    for table in VERSIONED:
        frame: pl.DataFrame = getattr(card, table)
        at = pl.when(pl.col("row").is_in(plan.superseded[table])).then(pl.lit(recorded_at, pl.Datetime("us")))
        kept = frame.with_row_index("row").with_columns(superseded_at=at.otherwise("superseded_at")).drop("row")
        tables[table] = pl.concat([kept, _rows(table, plan.new[table], version, recorded_at)])
    row = {"rate_version": [version], "name": [name], "recorded_at": [recorded_at], "sha256": [sha256]}
    versions = pl.concat([card.versions, pl.DataFrame(row, schema=polars_schema("versions"))])
    return RateCard(versions=versions, **tables)


def undo(card: RateCard, rate_version: int) -> Plan:
    """The plan that takes one version back: what it introduced is superseded, what it superseded is known again.

    Raises:
        UsageError: it is the first version, or there is no such version.
        RateCardError: a later version builds on it; it must be undone before.
    """
    if rate_version not in set(card.versions["rate_version"]):
        card.as_known(rate_version)  # says which there are
    if rate_version == card.versions["rate_version"].min():
        raise UsageError(f"version {rate_version} is the first: without it there would be no rate at all")
    recorded_at = card.versions.filter(pl.col("rate_version") == rate_version)["recorded_at"].item()
    plan = Plan()
    for table, spec in VERSIONED.items():
        frame: pl.DataFrame = getattr(card, table)
        own = frame.with_row_index("row").filter(pl.col("rate_version") == rate_version)
        _require_untouched(card, own, rate_version)
        plan.superseded[table] = own["row"].to_list()
        for cells in frame.filter(pl.col("superseded_at") == recorded_at).iter_rows(named=True):
            key, facts = (tuple(cells[name] for name in names) for names in (spec.key, spec.facts))
            since, until = cells["effective_from"] or EVER, cells["effective_to"] or OPEN
            plan.new[table].append(Entry(key, cells[spec.value], since, until, facts))
        known = {entry.row: entry for entry in known_entries(card, table)}
        plan.changes += [Change(WITHDRAWN, table, None, known[row]) for row in plan.superseded[table]]
        plan.changes += [Change(ADDED, table, entry, None) for entry in plan.new[table]]
    if plan.is_empty:
        raise UsageError(f"version {rate_version} changed nothing that could be taken back")
    return plan


def csv_lines(card: RateCard, table: str) -> Iterator[str]:
    """What a card knows now, as the lines of `rates.csv` (the list's rates) or `aliases.csv`."""
    fields = RATE_FIELDS if table == "rates" else ALIAS_FIELDS
    frame: pl.DataFrame = getattr(card.current(), table)
    if table == "rates":
        frame = frame.filter(pl.col("book") == LIST)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="")
    for cells in [fields, *frame.select(fields).sort(*fields[:7], nulls_last=False).iter_rows()]:
        buffer.seek(0)
        buffer.truncate()
        writer.writerow([_text(cell) for cell in cells])
        yield buffer.getvalue()


def written(instant: datetime) -> str:
    """An instant as `rates.csv` has it: a date when it is midnight.

    >>> written(datetime(2025, 6, 10)), written(datetime(2025, 6, 10, 17))
    ('2025-06-10', '2025-06-10T17:00:00Z')
    """
    text = instant.isoformat()
    return text.removesuffix("T00:00:00") if text.endswith("T00:00:00") else f"{text}Z"


def _text(cell: Any) -> str:
    if isinstance(cell, datetime):
        return written(cell)
    if isinstance(cell, Decimal):
        return format(cell.normalize(), "f")
    return "" if cell is None else str(cell)


def _require_untouched(card: RateCard, own: pl.DataFrame, rate_version: int) -> None:
    replaced = own["superseded_at"].drop_nulls().unique()
    later = card.versions.filter(pl.col("recorded_at").is_in(replaced.implode()))["rate_version"].sort()
    if later.len():
        names = ", ".join(map(str, later))
        raise RateCardError(
            f"rows of version {rate_version} were replaced by version {names}: "
            f"undo that first, the latest before the others, if it was not undone already"
        )


def _next_version(card: RateCard, recorded_at: datetime) -> int:
    newest = card.newest()
    before: datetime = card.versions.filter(pl.col("rate_version") == newest)["recorded_at"].item()
    if recorded_at <= before:
        raise UsageError(
            f"version {newest} of the rate table was recorded at {before}Z and this machine's clock says "
            f"{recorded_at}Z: what was known when would be unclear; set the clock"
        )
    return newest + 1


def _rows(table: str, entries: list[Entry], version: int, recorded_at: datetime) -> pl.DataFrame:
    """Entries as rows of a versioned table."""
    spec, schema = VERSIONED[table], polars_schema(table)
    rows: list[dict[str, Any]] = []
    for entry in entries:
        row = dict(zip(spec.key, entry.key, strict=True)) | dict(zip(spec.facts, entry.facts, strict=True))
        row[spec.value] = entry.value
        row["effective_from"] = None if entry.starts_at == EVER else entry.starts_at
        row["effective_to"] = None if entry.ends_at == OPEN else entry.ends_at
        if table == "rates":
            row["rate_id"] = rate_id(entry.key, row["effective_from"], version)
        rows.append(row | {"recorded_at": recorded_at, "superseded_at": None, "rate_version": version})
    return pl.DataFrame(rows, schema=schema, orient="row")
