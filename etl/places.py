"""Find the bytes of records that were set aside only after they were read, by going through their inputs again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from etl.cutting import csv_reads, joined, opened
from etl.documents import by_first_line, pieces, place_of
from etl.errors import InputRefused
from etl.framing import Chunk, Content, Input
from etl.lines import Lines
from etl.run_report import InputReport
from etl.sources.base import Source

# Byte offset, byte length and SHA-256.
Place = tuple[int, int, str]


def with_places(
    rejects: Sequence[pl.DataFrame], inputs: Sequence[InputReport], only: Source | None = None
) -> list[pl.DataFrame]:
    """Find the bytes of records that were set aside after they were read: their inputs are gone through again.

    Standard input, and a file that has changed meanwhile, cannot be: there the place stays NULL.

    Args:
        rejects: with `input_index` and `line_number`.
        inputs: by input index.
        only: the one source they were read as, if any.
    """
    if not rejects:
        return []
    rows = pl.concat(rejects, how="diagonal")
    found: list[tuple[int, int, int, int, str]] = []
    for (index,), part in rows.partition_by("input_index", as_dict=True).items():
        report = inputs[int(index)]
        if report.path is not None:
            wanted = set(part["line_number"])
            found += [(int(index), number, *place) for number, place in _find_places(report, wanted, only)]
    names = ("input_index", "line_number", "byte_offset", "byte_length", "line_sha256")
    places = pl.DataFrame(found, schema=dict(zip(names, (*[pl.Int64] * 4, pl.String), strict=True)), orient="row")
    return [rows.join(places, on=("input_index", "line_number"), how="left")]


def _find_places(report: InputReport, wanted: set[int], only: Source | None) -> list[tuple[int, Place]]:
    content = Content(Input(report.name, report.path))
    try:
        found = dict(_places(content, wanted, only))
    except InputRefused:
        return []
    return sorted(found.items()) if content.sha256 == report.sha256 else []


def _places(content: Content, wanted: set[int], only: Source | None) -> Iterator[tuple[int, Place]]:
    """The place of each wanted record, cut as it was when it was read."""
    found = opened(content)
    if found.kind == "document":
        text = joined(found.head, found.rest)
        by_line = by_first_line(pieces(text, found.start))
        lines = Lines(Chunk(text.encode(), 1, found.start, 0))
        yield from ((number, place_of(number, by_line, lines)) for number in wanted)
    elif found.kind == "csv":
        for read in csv_reads(content, found, only):
            yield from ((number, read.lines[number].place()) for number in wanted & read.lines.keys())
    else:
        for chunk in content.chunks(found.head, found.rest, found.start):
            numbers = sorted(number for number in wanted if chunk.first_line <= number < chunk.first_line + chunk.lines)
            if numbers:
                yield from zip(numbers, Lines(chunk).places(numbers), strict=True)
