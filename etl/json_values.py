"""Decoded JSON that keeps what a bill depends on: numbers as they were written, and which keys occurred twice."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

# An id that is an empty string is none.
NO_TEXT = '""'
# No field that is read lies as deep as this.
LEVELS_KEPT = 64
# A decoded JSON object, or a CSV row as a flat mapping.
Json = Mapping[str, Any]


class Object(dict[str, Any]):
    """A decoded JSON object that remembers which of its keys occurred twice."""

    doubled: frozenset[str] = frozenset()


class Literal(str):
    """A JSON number or constant as it was written."""

    __slots__ = ()


def with_members(record: Json, members: Json) -> Object:
    """A copy of an object with some members set; what occurred twice is remembered."""
    made = Object({**record, **members})
    made.doubled = getattr(record, "doubled", frozenset())
    return made


def _object(pairs: list[tuple[str, Any]]) -> Object:
    made = Object(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        made.doubled = frozenset(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return made


_DECIMAL = re.compile(r"[.eE]")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
# What JSON does not know, in the spellings that DuckDB lets pass; Python reads the first of each.
_NO_NUMBERS = re.compile(r'"(?:[^"\\]|\\.)*"?|(-?)\b(?:(nan)|inf(?:inity)?)\b', re.IGNORECASE)
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=Literal, parse_float=Literal, parse_constant=Literal)


def decode(text: str) -> Any:
    """Decode one JSON value, keeping numbers as they were written.

    `NaN` and `Infinity` pass, also as `nan`, `inf` and in other capitals: some writers have them, and DuckDB, which
    reads most lines, lets them pass where nobody reads them.

    Raises:
        ValueError: it is not one JSON value.
        RecursionError: it is nested too deep.
    """
    try:
        value = _DECODER.decode(text)
    except ValueError:
        if (tolerated := _NO_NUMBERS.sub(_as_python_writes, text)) == text:
            raise
        value = _DECODER.decode(tolerated)
    if _SURROGATE_ESCAPE.search(text):
        # A lone surrogate is no character; encoding says so. UnicodeEncodeError is a ValueError.
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _as_python_writes(found: re.Match[str]) -> str:
    if found[0].startswith('"'):
        return found[0]
    return "NaN" if found[2] else f"{found[1]}Infinity"


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')


def flattened(text: str) -> str:
    """Sound JSON with everything nested deeper than `LEVELS_KEPT` replaced by a string that holds its SHA-256."""
    parts, level, at = [], 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            level += 1
            if level == LEVELS_KEPT + 1:
                parts.append(text[at : token.start()])
                at = token.start()
        elif token[0] in "]}":
            level -= 1
            if level == LEVELS_KEPT:
                parts.append(f'"sha256:{hashlib.sha256(text[at : token.end()].encode()).hexdigest()}"')
                at = token.end()
    return "".join((*parts, text[at:]))


def decoded_text(value: Any) -> Any:
    """A value, or what it holds where it is the text of a JSON object; None where that cannot be read."""
    if not isinstance(value, str) or isinstance(value, Literal):
        return value
    if not value.lstrip().startswith("{"):
        return value
    try:
        return decode(value)
    except (ValueError, RecursionError):
        return None


def raw_text(value: Any) -> str | None:
    """The JSON text of a scalar; of an array or object only its first character."""
    if value is None:
        return None
    if isinstance(value, Literal):
        return _number(str(value))
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "{" if isinstance(value, dict) else "["


def _number(text: str) -> str:
    """A number as DuckDB passes it on, which reads most lines: what is no integer is the double next to it.

    So `1763973499.6354699` is 1763973499.63547 for whoever reads it: a record has one instant.
    """
    if not _DECIMAL.search(text) or not math.isfinite(value := float(text)):
        return "0" if text == "-0" else text
    if value and not 1e-6 <= abs(value) < 1e21:
        digits, exponent = repr(value).split("e")
        return f"{digits}e{int(exponent)}"
    plain = format(Decimal(repr(value)), "f")
    return plain if "." in plain else f"{plain}.0"
