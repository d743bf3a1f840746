"""What is known of models beside their rates: context window, maximum output and shutdown date, in card/models.csv.

Grain: one row is one model id of one provider. Nothing is rated with it; reports compare it with the usage.
Source: of each row in its column `source`; docs/rates.md says how they were read.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import polars as pl

from etl.schema import polars_schema


@cache
def shipped_models() -> pl.DataFrame:
    """The table `models` of the installed package."""
    file = resources.files("etl").joinpath("card", "models.csv")
    with file.open("rb") as stream:
        texts = pl.read_csv(stream, infer_schema=False)
    return texts.with_columns(pl.col("shutdown_on").str.to_date()).cast(polars_schema("models"))
