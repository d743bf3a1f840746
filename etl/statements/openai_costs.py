"""Read OpenAI's cost export: the dashboard's `cost_*.csv` in both header generations, and pages of the costs API.

Columns are matched by name, in any order, and unknown ones are ignored; names and e-mail addresses are never kept. A
row of which a number cannot be read stops the reading: a bill is compared whole, or not at all.
Units: `amount_value` in USD with up to 40 decimals, read as text into Decimal and never through a float.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import chain
from typing import Any

from etl.documents import pieces
from etl.errors import InputRefused, UsageError
from etl.framing import UTF8_BOM, Content, Input, refuse_unreadable_text
from etl.statements import EXACT, StatementFile, StatementLine
from etl.statements.line_items import parse

PROVIDER = "openai"
_REQUIRED = ("start_time", "amount_value", "amount_currency")
_READ = (*_REQUIRED, "end_time", "line_item", "project_id", "organization_id", "quantity", "quantity_unit")
# The export of a range without any cost has these columns only, and so has an empty usage export.
_TIME_COLUMNS = {"start_time", "end_time", "start_time_iso", "end_time_iso"}
_RESULT = "organization.costs.result"
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?")
_NUMBER_CHARACTERS_MAX = 80
_EPOCH = re.compile(r"([0-9]{9,10})(\.0*)?")
_DAY_SECONDS = 86_400
_HEAD_BYTES = 1 << 16

# The line on which a row begins, and its cells as text; None or blank is no value.
_Row = tuple[int, Mapping[str, str | None]]


def read(source: Input) -> StatementFile:
    """Read one file of the bill.

    Raises:
        InputRefused: it cannot be read, or is no cost export.
        UsageError: a row holds something that cannot be read; the message names file and line.
    """
    blocks = Content(source).blocks()
    head = b""
    while len(head) < _HEAD_BYTES and (block := next(blocks, b"")):
        head += block
    refuse_unreadable_text(head)
    head = head.removeprefix(UTF8_BOM)
    is_json = head.lstrip()[:1] in (b"{", b"[")
    if is_json:
        _refuse_other_json(head)
    else:
        # Before the rest is read: a year of usage given by mistake is turned away at its first line.
        _refuse_other_csv(head, source.name)
    try:
        text = b"".join(chain([head], blocks)).decode()
    except UnicodeDecodeError as error:
        raise InputRefused("wrong_encoding", f"is not UTF-8 at byte {error.start:,}; save it as UTF-8") from error
    rows = _json_rows(text, source.name) if is_json else _csv_rows(text, source.name)
    lines, days = [], set()
    for number, cells in rows:
        day = _day(cells, source.name, number)
        days.add(day)
        if (line := _line(cells, day, source.name, number)) is not None:
            lines.append(line)
    return StatementFile(source.name, PROVIDER, tuple(lines), frozenset(days))


def _refuse_other_csv(head: bytes, name: str) -> None:
    header = _header(head.decode("utf-8", "replace"))
    doubled = sorted({column for column in header if column in _READ and header.count(column) > 1})
    if doubled:
        raise InputRefused("invalid_header", f"line 1 names the column {doubled[0]!r} twice")
    found = set(header)
    if found.issuperset(_REQUIRED) or (found == _TIME_COLUMNS and _file_name(name).startswith("cost_")):
        return
    if not found.isdisjoint(("input_tokens", "output_tokens", "num_model_requests", "usage_output_tokens")):
        raise InputRefused("unknown_format", "is a usage export, not a bill; give it to `costroll run`")
    if "start_time" in found and "amount_value" in found:
        raise InputRefused("unknown_format", "has no column amount_currency, so its amounts may be no US dollars")
    seen = ", ".join(header[:6]) + (", ..." if len(header) > 6 else "")
    raise InputRefused(
        "unknown_format",
        f"its columns ({seen}) are not those of OpenAI's cost export: {', '.join(_REQUIRED)} are needed",
    )


def _file_name(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _header(text: str) -> list[str]:
    return [column.strip() for column in next(csv.reader(io.StringIO(text.lstrip("\r\n"))), [])]


def _csv_rows(text: str, name: str) -> Iterator[_Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    first = 1
    try:
        for cells in reader:
            number, first = first, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = [column.strip() for column in cells]
                continue
            if len(cells) != len(header):
                raise _wrong(name, number, f"{len(cells)} fields, where the header has {len(header)}")
            yield number, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise _wrong(name, first, f"no CSV row ({error})") from error
    if header and header[-1] in _READ and not text.endswith(("\n", "\r")):
        # The digits that are missing from a torn number would not be missed.
        raise _wrong(name, number, "the last row has no line end and may be cut short; export the file again")


def _refuse_other_json(head: bytes) -> None:
    if b'"organization.usage.' in head:
        raise InputRefused("unknown_format", "is a usage export, not a bill; give it to `costroll run`")
    if b'"bucket"' not in head:
        raise InputRefused("unknown_format", "is JSON, but no page of OpenAI's costs API")


def _json_rows(text: str, name: str) -> Iterator[_Row]:
    """Yield each result of each bucket, at the line on which its bucket begins, its numbers as they were written."""
    for piece in pieces(text):
        try:
            bucket = json.loads(piece.text, parse_float=str, parse_int=str)
        except (ValueError, RecursionError) as error:
            raise _wrong(name, piece.line_number, f"no JSON ({error})") from error
        if not isinstance(bucket, dict) or bucket.get("object") != "bucket":
            raise _wrong(name, piece.line_number, "no bucket of OpenAI's costs API")
        times = {column: _text(bucket.get(column)) for column in ("start_time", "end_time")}
        results = bucket.get("results", bucket.get("result"))  # an older draft of the API called it `result`
        if not isinstance(results, list):
            raise _wrong(name, piece.line_number, "the bucket has no results")
        if not results:
            yield piece.line_number, times
        for result in results:
            if not isinstance(result, dict) or result.get("object") != _RESULT:
                raise _wrong(name, piece.line_number, f"the bucket holds something else than {_RESULT}")
            yield piece.line_number, times | _result_cells(result)


def _result_cells(result: dict[str, Any]) -> dict[str, str | None]:
    amount = result.get("amount")
    # Anything but {value, currency} is kept as text, and then refused as no number.
    cells = amount if isinstance(amount, dict) else {"value": amount}
    found = {column: _text(result.get(column)) for column in _READ[4:]}
    return found | {"amount_value": _text(cells.get("value")), "amount_currency": _text(cells.get("currency"))}


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _day(cells: Mapping[str, str | None], name: str, number: int) -> date:
    start = _epoch(cells.get("start_time"), "start_time", name, number)
    day = datetime.fromtimestamp(start, UTC).date()
    if (cells.get("end_time") or "").strip():
        end = _epoch(cells["end_time"], "end_time", name, number)
        if not start < end <= start - start % _DAY_SECONDS + _DAY_SECONDS:
            raise _wrong(name, number, f"from {start} to {end} is not inside one UTC day; export the costs by day")
    return day


def _epoch(cell: str | None, column: str, name: str, number: int) -> int:
    found = _EPOCH.fullmatch((cell or "").strip())
    if found is None:
        raise _wrong(name, number, f"{column} {_shown(cell)} is no time in seconds since 1970")
    return int(found[1])


def _line(cells: Mapping[str, str | None], day: date, name: str, number: int) -> StatementLine | None:
    """The row's line; None when it only says that the day was covered."""
    own = {column: (cells.get(column) or "").strip() or None for column in _READ}
    line_item, unit = own["line_item"], own["quantity_unit"]
    if own["amount_value"] is None and line_item is None and own["quantity"] is None:
        return None
    currency = own["amount_currency"]
    if own["amount_value"] is not None and (currency or "").lower() != "usd":
        said = f"the currency is {_shown(currency)}" if currency else "the amount has no currency"
        raise _wrong(name, number, f"{said}; Costroll compares US dollars only")
    quantity = _number(own["quantity"], "quantity", name, number)
    if quantity is not None and unit == "1000_tokens":
        quantity, unit = quantity.scaleb(3, EXACT), "tokens"
    amount = _number(own["amount_value"], "amount_value", name, number)
    return StatementLine(
        statement_name=name,
        line_number=number,
        day=day,
        amount_usd=Decimal(0) if amount is None else amount,
        quantity=quantity,
        quantity_unit=unit,
        line_item=line_item,
        project_id=own["project_id"],
        organization_id=own["organization_id"],
        dimensions=parse(line_item, unit),
    )


def _number(cell: str | None, column: str, name: str, number: int) -> Decimal | None:
    """An exact number; Decimal() keeps every digit of the text, whatever the precision of sums."""
    if cell is None:
        return None
    if len(cell) > _NUMBER_CHARACTERS_MAX or not _NUMBER.fullmatch(cell):
        raise _wrong(name, number, f"{column} {_shown(cell)} is no number")
    return Decimal(cell)


def _shown(cell: str | None) -> str:
    text = cell or ""
    return repr(text if len(text) <= 40 else text[:39] + "…")


def _wrong(name: str, number: int, text: str) -> UsageError:
    return UsageError(f"{name}:{number}: {text}")
