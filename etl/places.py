"""Find the bytes of records that were set aside only after they were read, by going through their inputs again."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from etl.errors import InputRefused
from etl.framing import Content, Input
from etl.lines import Lines
from etl.run_report import InputReport


def with_places(rejects: Sequence[pl.DataFrame], inputs: Sequence[InputReport]) -> list[pl.DataFrame]:
    """Find the bytes of records that were set aside after they were read: their inputs are gone through again.

    Standard input, and a file that has changed meanwhile, cannot be: there the place stays NULL.

    Args:
        rejects: with `input_index` and `line_number`.
        inputs: by input index.
    """
    if not rejects:
        return []
    rows = pl.concat(rejects, how="diagonal")
    found: list[tuple[int, int, int, int, str]] = []
    for (index,), part in rows.partition_by("input_index", as_dict=True).items():
        report = inputs[int(index)]
        if report.path is not None:
            wanted = set(part["line_number"])
            found += [(int(index), number, *place) for number, place in _find_lines(report, wanted)]
    names = ("input_index", "line_number", "byte_offset", "byte_length", "line_sha256")
    places = pl.DataFrame(found, schema=dict(zip(names, (*[pl.Int64] * 4, pl.String), strict=True)), orient="row")
    return [rows.join(places, on=("input_index", "line_number"), how="left")]


def _find_lines(report: InputReport, wanted: set[int]) -> list[tuple[int, tuple[int, int, str]]]:
    content = Content(Input(report.name, report.path))
    found = []
    try:
        for chunk in content.chunks(b"", content.blocks()):
            numbers = sorted(number for number in wanted if chunk.first_line <= number < chunk.first_line + chunk.lines)
            if numbers:
                found += list(zip(numbers, Lines(chunk).places(numbers), strict=True))
    except InputRefused:
        return []
    return found if content.sha256 == report.sha256 else []
