"""What a key of costroll.toml may hold, and how a section says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from etl.sizes import size_in_bytes


@dataclass(frozen=True)
class Kind:
    """What a key may hold.

    Attributes:
        words: it in words, for `must be ...`.
        take: turns what TOML gives into the value; raises ValueError or TypeError when it is something else.
        section: of a list of tables, the dataclass that says what one of them may hold.
    """

    words: str
    take: Callable[[Any], Any]
    section: Any = None


def _whole(at_least: int) -> Callable[[Any], int]:
    def take(value: Any) -> int:
        if type(value) is not int or value < at_least:
            raise ValueError
        return value

    return take


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(map(_text, value))


def _zone(value: Any) -> str:
    try:
        return ZoneInfo(_text(value)).key
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError from error


def _count_or_share(value: Any) -> int | Decimal:
    if isinstance(value, Decimal) and 0 < value < 1:
        return value
    return _whole(0)(value)


def _factor(value: Any) -> Decimal:
    if type(value) not in (int, Decimal) or value < 1:
        raise ValueError
    return Decimal(value)


def _day(value: Any) -> date:
    if type(value) is not date:
        raise TypeError
    return value


def _size(value: Any) -> int:
    return size_in_bytes(_text(value))


def tables(value: Any) -> list[dict[str, Any]]:
    """A list of tables; raises TypeError when it is none."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise TypeError
    return value


FLAG = Kind("true or false", _flag)
COUNT = Kind("a whole number, 0 or more", _whole(0))
AT_LEAST_ONE = Kind("a whole number, 1 or more", _whole(1))
TEXT = Kind("a text", _text)
TEXTS = Kind('a list of texts, such as ["logs"]', _texts)
ZONE = Kind('a time zone, such as "UTC" or "Europe/Berlin"', _zone)

COUNT_OR_SHARE = Kind("a whole number, or a share between 0 and 1 such as 0.001", _count_or_share)
FACTOR = Kind("a number, 1 or more", _factor)
SIZE = Kind('a size in quotes, such as "20GB"', _size)
DAY = Kind("a day such as 2026-12-31, without quotes", _day)


def key(kind: Kind, default: Any, meaning: str) -> Any:
    """A key of a section: what it may hold, its value when it is absent, and its line in the documentation."""
    return field(default=default, metadata={"kind": kind, "meaning": meaning})


def _amount(value: Any) -> Decimal:
    if type(value) not in (int, Decimal) or not Decimal(value).is_finite() or value < 0:
        raise ValueError
    return Decimal(value)


def _weights(value: Any) -> str:
    if value not in ("cost", "requests", "equal"):
        raise ValueError
    return str(value)


def _shares(value: Any) -> dict[str, int]:
    if not isinstance(value, dict) or not value:
        raise TypeError
    return {_text(name): _whole(1)(share) for name, share in value.items()}


def tables_with(*names: str) -> Callable[[Any], list[dict[str, Any]]]:
    """Tables that have at least these keys."""

    def take(value: Any) -> list[dict[str, Any]]:
        found = tables(value)
        if any(not one.keys() >= set(names) for one in found):
            raise ValueError
        return found

    return take


AMOUNT = Kind("an amount of USD, 0 or more", _amount)
WEIGHTS = Kind('"cost", "requests" or "equal"', _weights)
SHARES = Kind("a table of whole numbers, 1 or more", _shares)
