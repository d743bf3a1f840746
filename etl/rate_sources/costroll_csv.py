"""Costroll's own CSV: rates with the columns of the shipped `rates.csv`, or second names as in `aliases.csv`."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path

import polars as pl

from etl.errors import RateCardError
from etl.rate_csv import ALIAS_FIELDS, LIST, read_aliases, read_rates
from etl.rate_offers import EVER, OPEN, VERSIONED, Entry, Offer

NAME = "costroll CSV"
_LEARNED = datetime(1970, 1, 1)  # an offer has no system time yet


def read(file: Path, book: str = LIST) -> Offer:
    """What the file offers; its intervals are taken as they are written.

    Args:
        file: rates or aliases; its header tells.
        book: the book that its rates are of.

    Raises:
        RateCardError: naming each bad line.
    """
    table = "aliases" if set(ALIAS_FIELDS) == set(_header(file)) else "rates"
    frame = read_aliases(file, 0, _LEARNED) if table == "aliases" else read_rates(file, 0, _LEARNED)
    offer = Offer(NAME)
    offer.entries[table] = entries(table, frame.with_columns(book=pl.lit(book)) if table == "rates" else frame)
    offer.mapped_keys = frame.height
    return offer


def entries(table: str, frame: pl.DataFrame) -> list[Entry]:
    """Rows of a versioned table as entries."""
    spec = VERSIONED[table]
    columns = ["effective_from", "effective_to", spec.value, *spec.facts, *spec.key]
    facts_end = 3 + len(spec.facts)
    return [
        Entry(cells[facts_end:], cells[2], cells[0] or EVER, cells[1] or OPEN, cells[3:facts_end])
        for cells in frame.select(columns).iter_rows()
    ]


def _header(file: Path) -> list[str]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            return next(csv.reader(stream), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RateCardError(f"{file.name}: cannot be read as a CSV file in UTF-8: {error}") from error
