"""What is known of models beside their rates: context window, maximum output and shutdown date, in card/models.csv.

Grain: one row is one model id of one provider. Nothing is rated with it; reports compare it with the usage.
Source: of each row in its column `source`; docs/rates.md says how they were read.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from datetime import date
from functools import cache
from importlib import resources

import polars as pl

from etl.schema import polars_schema

_READ: Mapping[str, Callable[[str], object]] = {
    **dict.fromkeys(("provider", "model", "source"), str),
    **dict.fromkeys(("context_window_tokens", "max_output_tokens"), int),
    "shutdown_on": date.fromisoformat,
}


@cache
def shipped_models() -> pl.DataFrame:
    """The table `models` of the installed package."""
    text = resources.files("etl").joinpath("card", "models.csv").read_text(encoding="utf-8")
    rows = [
        {name: _READ[name](cell) if cell else None for name, cell in row.items()}
        for row in csv.DictReader(text.splitlines())
    ]
    return pl.DataFrame(rows, schema=polars_schema("models"))
