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
from typing import TYPE_CHECKING, Any

from etl.schema import polars_schema

if TYPE_CHECKING:
    import polars as pl

_READ: Mapping[str, Callable[[str], object]] = {
    **dict.fromkeys(("provider", "model", "source"), str),
    **dict.fromkeys(("context_window_tokens", "max_output_tokens"), int),
    "shutdown_on": date.fromisoformat,
}


def model_rows() -> list[dict[str, Any]]:
    """The rows of the table `models` of the installed package."""
    text = resources.files("etl").joinpath("card", "models.csv").read_text(encoding="utf-8")
    return [
        {name: _READ[name](cell) if cell else None for name, cell in row.items()}
        for row in csv.DictReader(text.splitlines())
    ]


@cache
def shipped_models() -> pl.DataFrame:
    """The table `models` of the installed package."""
    import polars as pl  # queries take the rows as they are

    return pl.DataFrame(model_rows(), schema=polars_schema("models"))
