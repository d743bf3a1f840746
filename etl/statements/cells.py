"""Rows of a bill as text: CSV and JSON cut into cells, and cells into exact numbers and days.

A row of which a number cannot be read stops the reading, naming file and line: a bill is compared whole, or not at all.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from etl.documents import pieces
from etl.errors import UsageError

# The line on which a row begins, and its cells as text; None or blank is no value.
Row = tuple[int, Mapping[str, str | None]]

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?")
_NUMBER_CHARACTERS_MAX = 80
_DAY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(T00:00:00(\.0+)?(Z|\+00:00)?)?")


def header_of(text: str) -> list[str]:
    """The column names of a CSV text."""
    return [column.strip() for column in next(csv.reader(io.StringIO(text.lstrip("\r\n"))), [])]


def csv_rows(text: str, name: str, read: Collection[str]) -> Iterator[Row]:
    """Yield each row that is not blank.

    Args:
        text: the whole file.
        name: of the file, for messages.
        read: the columns that matter; a file whose last column is one of them must end with a line end.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    first = number = 1
    try:
        for cells in reader:
            number, first = first, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = [column.strip() for column in cells]
                continue
            if len(cells) != len(header):
                raise wrong(name, number, f"{len(cells)} fields, where the header has {len(header)}")
            yield number, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise wrong(name, first, f"no CSV row ({error})") from error
    if header and header[-1] in read and not text.endswith(("\n", "\r")):
        # The digits that are missing from a torn number would not be missed.
        raise wrong(name, number, "the last row has no line end and may be cut short; export the file again")


def json_pieces(text: str, name: str) -> Iterator[tuple[int, Any]]:
    """Yield each record of a JSON document with the line on which it begins, its numbers as they were written."""
    for piece in pieces(text):
        try:
            yield piece.line_number, json.loads(piece.text, parse_float=str, parse_int=str)
        except (ValueError, RecursionError) as error:
            raise wrong(name, piece.line_number, f"no JSON ({error})") from error


def text_of(value: object) -> str | None:
    """A JSON value as a cell; what is no text and no number keeps its JSON, and is refused where a number is needed."""
    return value if value is None or isinstance(value, str) else json.dumps(value)


def filled(cells: Mapping[str, str | None], columns: Collection[str]) -> dict[str, str | None]:
    """The cells of these columns; None where one is blank or missing."""
    return {column: (cells.get(column) or "").strip() or None for column in columns}


def exact_number(cell: str | None, column: str, name: str, number: int) -> Decimal | None:
    """An exact number; Decimal() keeps every digit of the text, whatever the precision of sums."""
    if cell is None:
        return None
    if len(cell) > _NUMBER_CHARACTERS_MAX or not _NUMBER.fullmatch(cell):
        raise wrong(name, number, f"{column} {shown(cell)} is no number")
    return Decimal(cell)


def utc_day(cell: str | None, column: str, name: str, number: int) -> date:
    """A UTC day, written as a day or as its midnight."""
    found = _DAY.fullmatch((cell or "").strip())
    try:
        return date.fromisoformat(found[1] if found else "")
    except ValueError:
        raise wrong(name, number, f"{column} {shown(cell)} is no UTC day such as 2025-11-21") from None


def require_dollars(currency: str | None, name: str, number: int) -> None:
    """Refuse an amount of another currency, or of none."""
    if (currency or "").lower() != "usd":
        said = f"the currency is {shown(currency)}" if currency else "the amount has no currency"
        raise wrong(name, number, f"{said}; Costroll compares US dollars only")


def shown(cell: str | None) -> str:
    """A cell as a message quotes it: cut where it is long."""
    text = cell or ""
    return repr(text if len(text) <= 40 else text[:39] + "…")


def wrong(name: str, number: int, text: str) -> UsageError:
    """The error of a row that cannot be read."""
    return UsageError(f"{name}:{number}: {text}")
