"""Read OpenAI's cost export: the dashboard's `cost_*.csv` in both header generations, and pages of the costs API.

Columns are matched by name, in any order, and unknown ones are ignored; names and e-mail addresses are never kept.
Units: `amount_value` in USD with up to 40 decimals, read as text into Decimal and never through a float.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from etl.errors import InputRefused
from etl.statements import EXACT, StatementFile, StatementLine
from etl.statements.cells import (
    Row,
    csv_rows,
    exact_number,
    filled,
    json_pieces,
    require_dollars,
    shown,
    text_of,
    wrong,
)  # fmt: skip
from etl.statements.line_items import parse

PROVIDER = "openai"
_REQUIRED = ("start_time", "amount_value", "amount_currency")
COLUMNS = (*_REQUIRED, "end_time", "line_item", "project_id", "organization_id", "quantity", "quantity_unit")
# The export of a range without any cost has these columns only, and so has an empty usage export.
TIME_COLUMNS = {"start_time", "end_time", "start_time_iso", "end_time_iso"}
_RESULT = "organization.costs.result"
_EPOCH = re.compile(r"([0-9]{9,10})(\.0*)?")
_DAY_SECONDS = 86_400
# OpenAI writes some amounts through a binary float, with noise behind the fifteenth digit.
_FLOAT_NOISE = Decimal("0.000000001")


def has_header(header: list[str], name: str) -> bool:
    """Whether a CSV file with these columns is a cost export.

    Raises:
        InputRefused: it nearly is one.
    """
    found = set(header)
    if found.issuperset(_REQUIRED) or (found == TIME_COLUMNS and _file_name(name).startswith("cost_")):
        return True
    if "start_time" in found and "amount_value" in found:
        raise InputRefused("unknown_format", "has no column amount_currency, so its amounts may be no US dollars")
    return False


def read_csv(text: str, name: str) -> StatementFile:
    """Read the dashboard's export."""
    return _file(csv_rows(text, name, COLUMNS), name)


def read_json(text: str, name: str) -> StatementFile:
    """Read pages of the costs API."""
    return _file(_json_rows(text, name), name)


def _file(rows: Iterator[Row], name: str) -> StatementFile:
    lines, days = [], set()
    for number, cells in rows:
        day = _day(cells, name, number)
        days.add(day)
        if (line := _line(cells, day, name, number)) is not None:
            lines.append(line)
    return StatementFile(name, PROVIDER, tuple(lines), frozenset(days))


def _file_name(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _json_rows(text: str, name: str) -> Iterator[Row]:
    """Yield each result of each bucket, at the line on which its bucket begins, its numbers as they were written."""
    for number, bucket in json_pieces(text, name):
        if not isinstance(bucket, dict) or bucket.get("object") != "bucket":
            raise wrong(name, number, "no bucket of OpenAI's costs API")
        times = {column: text_of(bucket.get(column)) for column in ("start_time", "end_time")}
        results = bucket.get("results", bucket.get("result"))  # an older draft of the API called it `result`
        if not isinstance(results, list):
            raise wrong(name, number, "the bucket has no results")
        if not results:
            yield number, times
        for result in results:
            if not isinstance(result, dict) or result.get("object") != _RESULT:
                raise wrong(name, number, f"the bucket holds something else than {_RESULT}")
            yield number, times | _result_cells(result)


def _result_cells(result: dict[str, Any]) -> dict[str, str | None]:
    amount = result.get("amount")
    # Anything but {value, currency} is kept as text, and then refused as no number.
    cells = amount if isinstance(amount, dict) else {"value": amount}
    found = {column: text_of(result.get(column)) for column in COLUMNS[4:]}
    return found | {"amount_value": text_of(cells.get("value")), "amount_currency": text_of(cells.get("currency"))}


def _day(cells: Mapping[str, str | None], name: str, number: int) -> date:
    start = _epoch(cells.get("start_time"), "start_time", name, number)
    day = datetime.fromtimestamp(start, UTC).date()
    if (cells.get("end_time") or "").strip():
        end = _epoch(cells["end_time"], "end_time", name, number)
        if not start < end <= start - start % _DAY_SECONDS + _DAY_SECONDS:
            raise wrong(name, number, f"from {start} to {end} is not inside one UTC day; export the costs by day")
    return day


def _epoch(cell: str | None, column: str, name: str, number: int) -> int:
    found = _EPOCH.fullmatch((cell or "").strip())
    if found is None:
        raise wrong(name, number, f"{column} {shown(cell)} is no time in seconds since 1970")
    return int(found[1])


def _line(cells: Mapping[str, str | None], day: date, name: str, number: int) -> StatementLine | None:
    """The row's line; None when it only says that the day was covered."""
    own = filled(cells, COLUMNS)
    line_item, unit = own["line_item"], own["quantity_unit"]
    if own["amount_value"] is None and line_item is None and own["quantity"] is None:
        return None
    if own["amount_value"] is not None:
        require_dollars(own["amount_currency"], name, number)
    quantity = exact_number(own["quantity"], "quantity", name, number)
    if quantity is not None and unit == "1000_tokens":
        quantity, unit = quantity.scaleb(3, EXACT), "tokens"
    amount = exact_number(own["amount_value"], "amount_value", name, number)
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
        rounding_usd=_FLOAT_NOISE,
    )
