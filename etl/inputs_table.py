"""The table `inputs`: every reading of every file, and every file that was refused or held nothing new."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from etl import __version__
from etl.fates import FATES, Counts
from etl.run_report import InputReport, Options
from etl.schema import arrow_schema, polars_schema
from etl.warehouse import Snapshot, SnapshotBuilder

# A night leaves a file of few rows; each costs every later night a link, a sync of its entry and a reading.
_SMALL_ROWS = 4096
_MOST_SMALL_FILES = 32
# The columns that `InputReport.facts` has as they are.
_FACTS = ("stored_bytes", "content_bytes", "lines", "blank_lines", "path", "device", "inode", "modified_ns")


def read_inputs_table(parent: Snapshot | None) -> pl.DataFrame:
    """All rows of the table, the earliest readings first; columns that an older version did not write are NULL."""
    return _read(parent.files("inputs") if parent else [])


def write_inputs_table(builder: SnapshotBuilder, inputs: Sequence[InputReport], options: Options) -> None:
    """Write this run's rows; where many nights have left small files, in one file with theirs, which go."""
    of_run = {
        "assumed_account_id": options.account,
        "options_hash": options.reading_hash(),
        "tool_version": __version__,
        "at_snapshot": builder.number,
    }
    table = pl.DataFrame(_columns(inputs) | of_run, schema=polars_schema("inputs")).sort("input_name")
    small = [(path, entry) for path, entry in builder.carried("inputs") if entry["rows"] < _SMALL_ROWS]
    if len(small) >= _MOST_SMALL_FILES:
        table = pl.concat([_read([path for path, _ in small]), table])
        for _, entry in small:
            builder.drop(entry["path"])
    builder.write(f"inputs/{builder.number:08d}.parquet", table.to_arrow().cast(arrow_schema("inputs")))


def _read(files: list[Path]) -> pl.DataFrame:
    schema = polars_schema("inputs")
    if not files:
        return pl.DataFrame(schema=schema)
    rows = pl.read_parquet(files, schema=schema, missing_columns="insert")
    return rows.sort("at_snapshot", maintain_order=True)


def _columns(inputs: Sequence[InputReport]) -> dict[str, list[Any]]:
    counts = [one.counts if one.counts_now else Counts() for one in inputs]
    return {
        "input_name": [one.name for one in inputs],
        "input_sha256": [None if one.refusal else one.sha256 for one in inputs],
        "format": [",".join(sorted(one.facts.get("formats", ()))) for one in inputs],
        "refusal": [one.refusal and one.refusal[0] for one in inputs],
        "skipped": ["same_content" if one.skipped else None for one in inputs],
        **{name: [getattr(fates, name) for fates in counts] for name in ("read", *FATES)},
        **{name: [one.facts.get(name) for one in inputs] for name in _FACTS},
    }
