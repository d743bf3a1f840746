"""Parts: stretches of an input, or a handful of small inputs, judged and sorted out."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.carrying import Carrier
from etl.cells import Dialect
from etl.decoding import Reading
from etl.estimates.records import RecordOn, with_estimates
from etl.estimates.streams import WITHOUT_USAGE, Chunks, chunks_of
from etl.framing import Chunk
from etl.json_lines import SNIFF_LINES, JsonLinesReader
from etl.judging import judge
from etl.lines import Lines
from etl.raw_rows import ChunkRead, Raw
from etl.schema import polars_schema
from etl.spool import compact
from etl.unknown_keys import UnknownKeys

_DAY = pl.col("occurred_at").dt.date()
_REJECTS = polars_schema("rejects")
_NO_REJECTS = pl.DataFrame(
    schema={
        name: _REJECTS[name] for name in ("line_number", "byte_offset", "byte_length", "fate", "reason", "line_sha256")
    }
)
_NO_CANDIDATES = pl.DataFrame(schema={"line_number": pl.Int64})

# Byte offset, byte length and SHA-256 of lines, by line number.
Places = Callable[[Sequence[int]], Iterator[tuple[int, int, str]]]
Numbers = npt.NDArray[np.int64]


class Origin(NamedTuple):
    """Where a stretch of records comes from.

    Attributes:
        input_index: which input.
        dialect: how its cells are written.
        places: where its lines are.
        record_on: the one record on a line, decoded once more.
    """

    input_index: int
    dialect: Dialect
    places: Places
    record_on: RecordOn = lambda _: None


@dataclass
class Stretch:
    """Records of one input that are read, and not judged so far.

    Attributes:
        read: their raw rows, and what was decided at sight.
        origin: where they come from.
        lines: no line of theirs has a higher number.
    """

    read: ChunkRead
    origin: Origin
    lines: int


@dataclass
class Part:
    """A stretch of one input, judged.

    Attributes:
        input_index: which input.
        candidates: the records without a fate so far, by day, as `etl.spool.compact` leaves them.
        candidate_rows: how many they are.
        rejects: the rejected ones, as far as known, in the table `rejects`.
        reasons: how many records met each (fate, reason).
        unknown_keys: what smells of money and is not known, in those lines that were looked at.
        stored_bytes: how far its input had been read when it was cut; for who watches.
        streams: the chunks of streamed answers, where those without usage are to be estimated.
        sequel: the part of those lines that lean on the lines before them, once these are known.
    """

    input_index: int
    candidates: dict[date, pl.DataFrame]
    candidate_rows: int
    rejects: pl.DataFrame
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    blank_lines: int = 0
    formats: set[str] = field(default_factory=set)
    unknown_keys: UnknownKeys = field(default_factory=UnknownKeys)
    stored_bytes: int = 0
    streams: list[Chunks] = field(default_factory=list)
    sequel: Callable[[Carrier], Part] | None = None


def part_of(stretch: Stretch, reading: Reading) -> Part:
    """Judge raw rows, but for those that lean on earlier lines, which are left to a sequel."""
    read, origin = stretch.read, stretch.origin
    leaning = [raw for raw in read.raws if raw.shape.source.leans_on_earlier_lines]
    if not leaning:
        return _whole_part(read, reading, origin)
    others = [raw for raw in read.raws if not raw.shape.source.leans_on_earlier_lines]
    part = _whole_part(replace(read, raws=others), reading, origin)
    part.sequel = lambda carrier: _whole_part(ChunkRead(carrier.filled(leaning)), reading, origin)
    return part


def parts_of(stretches: Sequence[Stretch], reading: Reading) -> list[Part]:
    """Judge stretches of small inputs, as many at once as can be: that takes hardly longer than one of them.

    Returns:
        A part for each; of those that were judged at once, the first has the candidates of all.
    """
    at_once: defaultdict[Dialect, list[int]] = defaultdict(list)
    for at, one in enumerate(stretches):
        # Who estimates looks at single records again.
        if not one.read.leans_on_earlier_lines and reading.vocabularies is None:
            at_once[one.origin.dialect].append(at)
    parts: dict[int, Part] = {}
    for some in at_once.values():
        if len(some) > 1:
            parts |= zip(some, _judged_at_once([stretches[at] for at in some], reading), strict=True)
    return [parts.get(at) or part_of(one, reading) for at, one in enumerate(stretches)]


def _judged_at_once(stretches: Sequence[Stretch], reading: Reading) -> list[Part]:
    first_lines = _first_lines([one.lines for one in stretches])
    alike: defaultdict[tuple[Any, ...], list[tuple[int, Raw]]] = defaultdict(list)
    decided: list[tuple[int, str, str]] = []
    for one, first in zip(stretches, first_lines.tolist(), strict=False):
        for raw in one.read.raws:
            alike[raw.shape, *raw.frame.schema.items()].append((first - 1, raw))
        decided += [(number + first - 1, fate, reason) for number, fate, reason in one.read.decided]
    whole = ChunkRead([_joined(raws) for raws in alike.values()], decided)
    parts = _parted(
        _judged(whole, reading, Origin(-1, stretches[0].origin.dialect, _nowhere)),
        first_lines,
        [one.origin for one in stretches],
    )
    for part, one in zip(parts, stretches, strict=True):
        part.blank_lines, part.unknown_keys = one.read.blank_lines, one.read.unknown_keys
        part.formats = one.read.formats
    return parts


def _joined(raws: Sequence[tuple[int, Raw]]) -> Raw:
    """Raw rows of one shape and the same columns, each with the lines that stand before its own."""
    frame = pl.concat(raw.frame for _, raw in raws)
    before = np.repeat([lines for lines, _ in raws], [raw.frame.height for _, raw in raws])
    return Raw(raws[0][1].shape, frame.with_columns(pl.col("line_number") + pl.Series(before)))


def estimates_part(estimates: pl.DataFrame, index: int, stored_bytes: int) -> Part:
    """The estimates of an input's streams; their chunks have been told as excluded, and now stand for their streams."""
    withdrawn = Counter({("excluded", WITHOUT_USAGE): -estimates.height})
    candidates = estimates.drop("fate", "reason").with_columns(day=_DAY, input_index=pl.lit(index, pl.Int64))
    by_day = compact(candidates) if candidates.height else {}
    return Part(index, by_day, candidates.height, _rejects([], _nowhere), withdrawn, stored_bytes=stored_bytes)


def lines_together(chunks: Sequence[tuple[int, Chunk]], reader: JsonLinesReader, reading: Reading) -> list[Part] | None:
    """Read and judge the JSON lines of several small inputs at once, which takes hardly longer than those of one.

    Args:
        chunks: the index of each input, and all its lines; none is overlong.
        reader: what reads them.
        reading: how.

    Returns:
        A part for each input; the first has the candidates of all, and how many lines were looked at for unknown keys.
        None where lines lean on earlier ones, or some are blank and nobody counted whose they are.
    """
    first_lines = _first_lines([chunk.lines for _, chunk in chunks])
    data = b"".join(chunk.data if chunk.data.endswith(b"\n") else chunk.data + b"\n" for _, chunk in chunks)
    apart = max(1, len(chunks) // SNIFF_LINES)
    sample = b"".join(chunk.data.split(b"\n", 1)[0] + b"\n" for _, chunk in chunks[::apart])
    read = reader.read(Chunk(data, 1, 0, len(data), int(first_lines[-1]) - 1), [], sample)
    if read.blank_lines or read.leans_on_earlier_lines:
        return None
    judged = _judged(read, reading, Origin(-1, "json", _nowhere))
    parts = _parted(judged, first_lines, [Origin(index, "json", _places_in(chunk)) for index, chunk in chunks])
    for raw in read.raws:
        for at in np.unique(_whose(raw.frame, first_lines)).tolist():
            parts[at].formats.add(raw.shape.source.name)
    parts[0].unknown_keys.looked_at = read.unknown_keys.looked_at
    for (source, path), (records, number) in read.unknown_keys.met.items():
        at = bisect_right(first_lines, number) - 1
        parts[at].unknown_keys.add(source, path, records, number - int(first_lines[at]) + 1)
    return parts


def _first_lines(lines: Sequence[int]) -> Numbers:
    """The first line of each stretch, and what would be the next one's, where they are numbered one after the other."""
    return np.cumsum([1, *lines])


def _whose(rows: pl.DataFrame, first_lines: Numbers) -> Numbers:
    """To which stretch each row belongs."""
    return np.searchsorted(first_lines, rows["line_number"].to_numpy(), side="right") - 1


def _parted(judged: _Judged, first_lines: Numbers, origins: Sequence[Origin]) -> list[Part]:
    """What became of each stretch; the first part has the candidates of all."""
    whose = _whose(judged.candidates, first_lines)
    indexes = np.array([origin.input_index for origin in origins])
    candidates = judged.candidates.with_columns(
        line_number=pl.col("line_number") - pl.Series(first_lines[whose] - 1), input_index=pl.Series(indexes[whose])
    )
    rows = np.bincount(whose, minlength=len(origins)).tolist()
    parts = [Part(origin.input_index, {}, height, _NO_REJECTS) for origin, height in zip(origins, rows, strict=True)]
    fated: defaultdict[int, list[tuple[int, str, str]]] = defaultdict(list)
    for number, fate, reason in judged.fated:
        at = bisect_right(first_lines, number) - 1
        fated[at].append((number - int(first_lines[at]) + 1, fate, reason))
    for at, some in fated.items():
        parts[at].rejects, parts[at].reasons = _rejects(some, origins[at].places), _reasons(some)
    parts[0].candidates = compact(candidates) if candidates.height else {}
    return parts


@dataclass
class _Judged:
    """What became of raw rows.

    Attributes:
        candidates: those without a fate so far.
        fated: the line, fate and reason of the others, in the order of lines.
        streams: the chunks of streamed answers.
    """

    candidates: pl.DataFrame
    fated: list[tuple[int, str, str]]
    streams: list[Chunks]


def _judged(read: ChunkRead, reading: Reading, origin: Origin) -> _Judged:
    fated, candidates, streams = list(read.decided), [_NO_CANDIDATES], []
    # Records on one line keep their order whatever else is read with them.
    for raw in sorted(read.raws, key=lambda raw: raw.shape.name):
        judged = judge(raw.frame, raw.shape, reading, origin.dialect)
        judged = with_estimates(judged, raw.shape, reading, origin.record_on)
        streams.append(chunks_of(judged, raw.shape, reading, origin.record_on))
        others = judged.filter(pl.col("fate").is_not_null())
        if others.height:
            fated += others.select("line_number", "fate", "reason").rows()
            judged = judged.filter(pl.col("fate").is_null())
        candidates.append(judged.drop("fate", "reason").with_columns(day=_DAY))
    return _Judged(pl.concat(candidates, how="diagonal_relaxed"), sorted(fated), streams)


def _whole_part(read: ChunkRead, reading: Reading, origin: Origin) -> Part:
    judged = _judged(read, reading, origin)
    candidates = judged.candidates.with_columns(input_index=pl.lit(origin.input_index, pl.Int64))
    return Part(
        origin.input_index,
        compact(candidates) if candidates.height else {},
        candidates.height,
        _rejects(judged.fated, origin.places),
        _reasons(judged.fated),
        read.blank_lines,
        read.formats,
        read.unknown_keys,
        streams=judged.streams,
    )


def _reasons(fated: Iterable[tuple[int, str, str]]) -> Counter[tuple[str, str]]:
    return Counter((fate, reason) for _, fate, reason in fated)


def _places_in(chunk: Chunk) -> Places:
    return lambda numbers: Lines(chunk).places(numbers)


def _nowhere(_: Sequence[int]) -> Iterator[tuple[int, int, str]]:
    return iter(())


def _rejects(fated: Iterable[tuple[int, str, str]], places: Places) -> pl.DataFrame:
    rejected = [(number, reason) for number, fate, reason in fated if fate == "rejected"]
    if not rejected:
        return _NO_REJECTS
    numbers = [number for number, _ in rejected]
    rows = [
        (number, offset, length, "rejected", reason, digest)
        for (number, reason), (offset, length, digest) in zip(rejected, places(numbers), strict=True)
    ]
    return pl.DataFrame(rows, schema=_NO_REJECTS.schema, orient="row")
