"""CSV that a spreadsheet may open: no cell of text is taken for a formula.

Source: OWASP, "CSV Injection": a cell that begins with =, +, -, @, a tab or a carriage return can be run as a formula;
an apostrophe before it makes it text. Numbers are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_PATTERN = "^[" + "".join({"-": r"\-"}.get(letter, letter) for letter in _STARTS) + "]"


def safe(value: Any) -> Any:
    """A value as a spreadsheet may see it.

    >>> safe("=1+1"), safe("gpt-4o"), safe(-5)
    ("'=1+1", 'gpt-4o', -5)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_STARTS) else value


def safe_rows(rows: Sequence[Sequence[Any]]) -> Iterator[list[Any]]:
    """Rows as a spreadsheet may see them."""
    return ([safe(value) for value in row] for row in rows)


def safe_frame(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """A frame as a spreadsheet may see it, and how many of its cells got an apostrophe."""
    import polars as pl  # a report of a few rows does without

    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    if not texts:
        return frame, 0
    begins = pl.col(*texts).str.contains(_PATTERN)
    count = sum(frame.select(begins.sum()).row(0))
    return frame.with_columns(pl.when(begins).then("'" + pl.col(*texts)).otherwise(pl.col(*texts)).name.keep()), count
