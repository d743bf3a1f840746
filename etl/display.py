"""Tables for people, and the same rows as CSV or JSON: aligned, exact, and coloured on a terminal only.

Money is never shortened or rounded here; where a line is too wide, words give way, numbers do not.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TextIO

FORMATS = ("table", "csv", "json")
_NARROWEST = 8


def money(amount: Decimal | str | None, decimals: int = 2) -> str:
    """An amount in USD with thousands separators: every digit it has, and at least `decimals` places.

    >>> money(Decimal("1234.500000000000")), money(Decimal("0.000012500000")), money(None)
    ('1,234.50', '0.0000125', '')
    """
    if amount is None:
        return ""
    exact = Decimal(amount)
    whole, _, fraction = f"{exact:,f}".partition(".")
    fraction = fraction.rstrip("0").ljust(decimals, "0")
    return f"{whole}.{fraction}" if fraction else whole


def is_terminal(stream: TextIO | None = None) -> bool:
    """Whether a person may be looking at it."""
    return bool((stream or sys.stdout).isatty())


def has_colour(stream: TextIO | None = None) -> bool:
    """Whether to colour: on a terminal, unless NO_COLOR is set or the terminal is dumb."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def styled(text: str, code: str, stream: TextIO | None = None) -> str:
    """The text in an ANSI style, such as `1` for bold or `31` for red, where colours are shown."""
    return f"\x1b[{code}m{text}\x1b[0m" if has_colour(stream) else text


def printable(text: str) -> str:
    r"""Text with its control characters spelled out: a model's name must not steer a terminal.

    >>> print(printable("a\x1b[31m\nb"))
    a\x1b[31m\nb
    """
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], width: int | None = None) -> Iterator[str]:
    """The lines of an aligned table; numbers to the right, NULL as an empty cell.

    Args:
        columns: the headers.
        rows: values of any type DuckDB or Python gives.
        width: how many columns of text fit; None: as wide as the terminal, unlimited when there is none.
    """
    held = [list(row) for row in rows]
    kept = [_kept_decimals([row[at] for row in held]) for at in range(len(columns))]
    cells = [[_cell(value, kept[at]) for at, value in enumerate(row)] for row in held]
    numeric = [_is_numeric([row[at] for row in held]) for at in range(len(columns))]
    headers = [printable(name) for name in columns]
    widths = [max([len(header), *(len(row[at]) for row in cells)]) for at, header in enumerate(headers)]
    if width is None and is_terminal():
        width = shutil.get_terminal_size().columns
    if width is not None:
        widths = _narrowed(widths, numeric, width)
    yield styled(_line(headers, widths, numeric), "1")
    yield _line(["-" * size for size in widths], widths, numeric)
    for row in cells:
        yield _line(row, widths, numeric)


def csv_lines(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """The lines of a CSV file with a header; NULL is empty, Decimals have all their digits."""
    yield _csv_line(columns)
    for values in rows:
        yield _csv_line([_text(value) for value in values])


def json_lines(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """The lines of a JSON array with one object a row; Decimals are strings, so that no reader rounds them.

    A name that occurs twice gets a number, as an object can have it once only.
    """
    names = [
        f"{name}_{columns[:at].count(name) + 1}" if name in columns[:at] else name for at, name in enumerate(columns)
    ]
    before = "["
    for row in rows:
        yield before + json.dumps(dict(zip(names, map(plain, row), strict=True)), ensure_ascii=False)
        before = ","
    yield "[]" if before == "[" else "]"


def plain(value: Any) -> Any:
    """A value as JSON can say it: Decimals and times as strings, NaN and infinity as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    return _text(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (dict, list, tuple, set)):
        return json.dumps(plain(value), ensure_ascii=False)
    return str(value)


def _csv_line(cells: Sequence[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(cells)
    return buffer.getvalue()


def _is_numeric(values: Sequence[Any]) -> bool:
    found = [value for value in values if value is not None]
    return bool(found) and all(
        isinstance(value, (int, float, Decimal, timedelta)) and not isinstance(value, bool) for value in found
    )


def _kept_decimals(values: Sequence[Any]) -> int:
    """How many decimals a column of Decimals needs for its longest value, at least two."""
    fractions = [f"{value:f}".partition(".")[2].rstrip("0") for value in values if isinstance(value, Decimal)]
    return max([2, *map(len, fractions)])


def _cell(value: Any, decimals: int) -> str:
    if isinstance(value, Decimal):
        return money(value, decimals)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return printable(_text(value))


def _narrowed(widths: Sequence[int], numeric: Sequence[bool], width: int) -> list[int]:
    """Take what is too much from the widest words, never from numbers."""
    fitted = list(widths)
    while sum(fitted) + 2 * (len(fitted) - 1) > width:
        words = [at for at, is_number in enumerate(numeric) if not is_number and fitted[at] > _NARROWEST]
        if not words:
            break
        fitted[max(words, key=lambda at: fitted[at])] -= 1
    return fitted


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    fitted = []
    for cell, size, is_number in zip(cells, widths, numeric, strict=True):
        shown = cell if len(cell) <= size else cell[: size - 1] + "…"
        fitted.append(shown.rjust(size) if is_number else shown.ljust(size))
    return "  ".join(fitted).rstrip()
