"""Read the files of a rate card: every field as text, every number exact, every fault named with its line.

Grain: one row of `rates.csv` is one rate and one row of `aliases.csv` one second name, each with the interval in which
it is in force: from `effective_from` (inclusive) to `effective_to` (exclusive), UTC.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.resources.abc import Traversable
from io import TextIOWrapper
from operator import itemgetter
from pathlib import Path
from typing import Any

import polars as pl

from etl.errors import RateCardError
from etl.schema import polars_schema

RATE_FIELDS = (
    "provider",
    "model",
    "tier",
    "meter",
    "caching_status",
    "context_over_tokens",
    "effective_from",
    "effective_to",
    "rate_usd_per_million",
    "status",
    "confidence",
    "source",
)
ALIAS_FIELDS = ("provider", "alias", "model", "effective_from", "effective_to", "source", "confidence")
LIST = "list"  # the book of the providers' price lists; any other is a contract's
RATE_STATUSES = ("published", "inferred", "contract")

_MAY_BE_BLANK = ("effective_from", "effective_to", "confidence", "source")
_SHOWN_FAULTS = 20
_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
_COUNT = re.compile(r"[0-9]{1,13}")
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z)?")

CardFile = Path | Traversable


def read_rates(file: CardFile, rate_version: int, recorded_at: datetime) -> pl.DataFrame:
    """Read `rates.csv` as rows of version `rate_version` of the table `rates`.

    Raises:
        RateCardError: naming each bad line, up to twenty.
    """
    columns = _read(
        file, RATE_FIELDS, {"context_over_tokens": _count, "rate_usd_per_million": _rate, "status": _status}
    )
    size = len(columns["model"])
    keys = zip(*(columns[name] for name in RATE_FIELDS[:7]), strict=True)  # up to effective_from
    columns["rate_id"] = [rate_id((*key[:6], LIST), key[6], rate_version) for key in keys]
    columns["book"] = [LIST] * size
    return _versioned(columns, "rates", rate_version, recorded_at)


def read_aliases(file: CardFile, rate_version: int, recorded_at: datetime) -> pl.DataFrame:
    """Read `aliases.csv` as rows of version `rate_version` of the table `aliases`.

    Raises:
        RateCardError: naming each bad line, up to twenty.
    """
    return _versioned(_read(file, ALIAS_FIELDS, {}), "aliases", rate_version, recorded_at)


def _read(file: CardFile, fields: Sequence[str], parsers: dict[str, Callable[[str], Any]]) -> dict[str, list[Any]]:
    """The file's columns, parsed; an instant is parsed in every file."""
    parsers = {**parsers, "effective_from": parse_instant, "effective_to": parse_instant}
    faults: list[str] = []
    lines: list[int] = []
    rows: list[tuple[str, ...]] = []
    for line, row in _records(file, fields, faults):
        lines.append(line)
        rows.append(row)
    columns: dict[str, list[Any]] = {}
    for name, texts in zip(fields, zip(*rows, strict=True) if rows else [()] * len(fields), strict=True):
        # Few texts are distinct, so each is parsed once.
        parsed: dict[str, Any] = {}
        bad: dict[str, str] = {}
        for text in dict.fromkeys(texts):
            try:
                parsed[text] = _parse(name, text.strip(), parsers.get(name, _text))
            except ValueError as error:
                bad[text] = str(error)
        if bad:
            found = [(line, text) for line, text in zip(lines, texts, strict=True) if text in bad]
            faults += [f"{file.name}:{line}: {name} {text!r} {bad[text]}" for line, text in found]
        columns[name] = list(map(parsed.get, texts))
    if faults:
        _refuse(file, faults)
    return columns


def _parse(name: str, text: str, parser: Callable[[str], Any]) -> Any:
    if text:
        return parser(text)
    if name in _MAY_BE_BLANK:
        return None
    raise ValueError("is blank")


def _records(file: CardFile, fields: Sequence[str], faults: list[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Each record's fields in the order of `fields`, with the line on which it begins."""
    try:
        with file.open("rb") as stream, TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, strict=True)
            header = next(reader, [])
            if sorted(header) != sorted(fields):
                found = ",".join(header) or "nothing"
                raise RateCardError(f"{file.name}:1: the columns must be {','.join(fields)}; found {found}")
            in_order = itemgetter(*(header.index(name) for name in fields))
            line = reader.line_num + 1
            for row in reader:
                if len(row) == len(fields):
                    yield line, in_order(row)
                elif row:
                    faults.append(f"{file.name}:{line}: {len(row)} fields where the header has {len(fields)}")
                line = reader.line_num + 1
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RateCardError(f"{file.name}: cannot be read as a CSV file in UTF-8: {error}") from error


def _refuse(file: CardFile, faults: list[str]) -> None:
    more = f"\n... and {len(faults) - _SHOWN_FAULTS} more" if len(faults) > _SHOWN_FAULTS else ""
    raise RateCardError(f"{file.name} has {len(faults)} faults:\n" + "\n".join(faults[:_SHOWN_FAULTS]) + more)


def _versioned(columns: dict[str, list[Any]], table: str, rate_version: int, recorded_at: datetime) -> pl.DataFrame:
    """The columns as a frame of one of the versioned tables."""
    size = len(columns["model"])
    columns["recorded_at"] = [recorded_at] * size
    columns["superseded_at"] = [None] * size
    columns["rate_version"] = [rate_version] * size
    schema = polars_schema(table)
    return pl.DataFrame({name: pl.Series(name, columns[name], dtype) for name, dtype in schema.items()})


def rate_id(key: Sequence[Any], effective_from: datetime | None, rate_version: int) -> str:
    """The name of one rate row; a contract's begins with its book.

    >>> rate_id(("openai", "o3", "batch", "input", "cached", 0, "list"), None, 1)
    'openai/o3/batch/input/cached>0@ever#1'
    >>> rate_id(("openai", "o3", "batch", "input", "cached", 0, "acme-2026"), datetime(2026, 1, 1), 2)
    'acme-2026:openai/o3/batch/input/cached>0@2026-01-01#2'

    Args:
        key: provider, model, tier, meter, caching status, context threshold, book.
        effective_from: None for since ever.
        rate_version: the version that introduces it.
    """
    provider, model, tier, meter, caching_status, over, book = key
    whose = "" if book == LIST else f"{book}:"
    what = f"{provider}/{model}/{tier}/{meter}/{caching_status}>{over}"
    return f"{whose}{what}@{_since(effective_from)}#{rate_version}"


@cache
def _since(effective_from: datetime | None) -> str:
    """How a rate_id writes the start: a date when it is midnight, else the instant.

    >>> _since(None), _since(datetime(2025, 6, 10)), _since(datetime(2025, 6, 10, 17))
    ('ever', '2025-06-10', '2025-06-10T17:00:00Z')
    """
    if effective_from is None:
        return "ever"
    text = effective_from.isoformat()
    return text.removesuffix("T00:00:00") if text.endswith("T00:00:00") else f"{text}Z"


def _text(text: str) -> str:
    if not text.isprintable():
        raise ValueError("contains a control character")
    return text


def parse_instant(text: str) -> datetime:
    """An instant as naive UTC; a date is its first instant.

    >>> parse_instant("2025-06-10"), parse_instant("2025-06-10T17:00:00Z")
    (datetime.datetime(2025, 6, 10, 0, 0), datetime.datetime(2025, 6, 10, 17, 0))

    Raises:
        ValueError: it is written in another way, or does not exist.
    """
    if not _INSTANT.fullmatch(text):
        raise ValueError("must be a date YYYY-MM-DD or an instant YYYY-MM-DDTHH:MM:SSZ, in UTC")
    instant = datetime.fromisoformat(text)
    return instant.astimezone(UTC).replace(tzinfo=None) if instant.tzinfo else instant


def _count(text: str) -> int:
    if not _COUNT.fullmatch(text):
        raise ValueError("must be a whole number written in digits")
    return int(text)


def _rate(text: str) -> Decimal:
    # A float would have lost digits, so the text decides: no exponent, no sign, no more digits than the column holds.
    if not _DECIMAL.fullmatch(text):
        raise ValueError("must be USD per 1,000,000 units as digits with at most six decimals, and not negative")
    return Decimal(text)


def _status(text: str) -> str:
    if text not in RATE_STATUSES:
        raise ValueError(f"must be one of {', '.join(RATE_STATUSES)}")
    return text
