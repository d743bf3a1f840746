"""The table `inputs`: every reading of every file, and every file that was refused or held nothing new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import polars as pl

from etl import __version__
from etl.fates import Counts
from etl.run_report import InputReport, Options
from etl.schema import arrow_schema, polars_schema
from etl.warehouse import Snapshot, SnapshotBuilder


def read_inputs_table(parent: Snapshot | None) -> pl.DataFrame:
    """All rows of the table; columns that an older version did not write are NULL."""
    files = parent.files("inputs") if parent else []
    schema = polars_schema("inputs")
    if not files:
        return pl.DataFrame(schema=schema)
    return pl.read_parquet(files, schema=schema, missing_columns="insert")


def write_inputs_table(builder: SnapshotBuilder, inputs: Sequence[InputReport], options: Options) -> None:
    """Write this run's rows."""
    rows = [_row(one, options) | {"at_snapshot": builder.number} for one in inputs]
    table = pl.DataFrame(rows, schema=polars_schema("inputs"), orient="row").sort("input_name")
    builder.write(f"inputs/{builder.number:08d}.parquet", table.to_arrow().cast(arrow_schema("inputs")))


def _row(one: InputReport, options: Options) -> dict[str, Any]:
    facts = {name: value for name, value in one.facts.items() if name != "formats"}
    return {
        **facts,
        **asdict(one.counts if one.counts_now else Counts()),
        "input_name": one.name,
        "input_sha256": None if one.refusal else one.sha256,
        "format": ",".join(sorted(one.facts.get("formats", ()))),
        "refusal": one.refusal and one.refusal[0],
        "skipped": "same_content" if one.skipped else None,
        "assumed_account_id": options.account,
        "options_hash": options.reading_hash(),
        "tool_version": __version__,
    }
