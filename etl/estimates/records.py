"""Records that lack their usage: count it from their text, and judge them again with it, marked as estimated.

Grain: one judged row in, one out; a record whose text does not hold all that is billed keeps its fate. The text is
looked up in the line once more, counted, and forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from etl.containers import Decided, entries
from etl.decoding import Reading
from etl.estimates.rules import Counting, NotCountable
from etl.json_values import Json, Literal, decode, decoded_text, with_members
from etl.judging import judge
from etl.lines import WHITE_SPACE
from etl.raw_rows import raw_frame, taken_row
from etl.shapes import Shape, recognise
from etl.sources.base import Source
from etl.sources.paths import spellings, value_at
from etl.vocabularies import Vocabularies

# Where a wrapper may keep the request: the object itself, or its JSON text.
REQUEST_PLACES = ("request!.body!", "request!", "request_body!", "body!", "input!", "kwargs!")
REQUEST_KEYS = ("messages", "prompt", "input")
# The record on a line; None where the line holds no record, or several.
RecordOn = Callable[[int], Json | None]


def with_estimates(judged: pl.DataFrame, shape: Shape, reading: Reading, record_on: RecordOn) -> pl.DataFrame:
    """The judged rows of one shape, those without usage judged again with an estimate where there is one."""
    if reading.vocabularies is None or shape.source.counted_as is None:
        return judged
    rows = []
    for number in judged.filter(pl.col("reason") == "missing_usage")["line_number"]:
        line = record_on(number)
        record = recognised(line, shape, reading) if line is not None else None
        if line is None or record is None:
            continue
        row = estimated_row(record, shape, reading, request_of(record, shape), record_at(record, shape.place), line)
        if row is not None:
            rows.append(row | {"line_number": number})
    if not rows:
        return judged
    again = judged_estimates(rows, shape, reading)
    rest = judged.filter(~pl.col("line_number").is_in(again["line_number"].implode()))
    return pl.concat([rest, again], how="diagonal").sort("line_number", maintain_order=True)


def only_record(line: bytes) -> Json | None:
    """The one record of a line that was read already; None where it holds several, or is nested too deep to look at."""
    try:
        value = decode(line.strip(WHITE_SPACE).decode())
    except (ValueError, RecursionError):
        return None
    found = list(entries(value)) if isinstance(value, dict) else []
    return None if len(found) != 1 or isinstance(found[0], Decided) else found[0]


def judged_estimates(rows: list[dict[str, Any]], shape: Shape, reading: Reading) -> pl.DataFrame:
    """Judge records with an estimate for usage. How much of the input was cached nobody knows: an upper bound."""
    judged = judge(raw_frame(rows), shape, reading)
    return judged.with_columns(is_estimated=pl.lit(True), input_cached_tokens=pl.lit(None, pl.Int64))


def recognised(line: Json, shape: Shape, reading: Reading) -> Json | None:
    """A line's record of that shape, with what was JSON text on the way taken apart."""
    found = recognise(line, reading.only)
    return found.record if found.shape == shape else None


def estimated_row(
    record: Json, shape: Shape, reading: Reading, request: Json | None, answer: Json, whole: Json | None = None
) -> dict[str, Any] | None:
    """A record's raw row with an estimate for usage; None where that cannot be told. `line_number` is to be set.

    Args:
        record: it, as `recognised` gives it.
        shape: what it is.
        reading: the options.
        request: what was asked, if the log has it.
        answer: what was answered, as a whole.
        whole: the record as it was logged, if that is another; for its fingerprint.
    """
    assert reading.vocabularies is not None
    try:
        counts = _counted(request, answer, shape, reading.vocabularies)
    except NotCountable:
        return None
    return taken_row(shape, with_usage(record, shape, counts), 0, whole or record)


def _counted(request: Json | None, answer: Json, shape: Shape, vocabularies: Vocabularies) -> tuple[int, int]:
    """The tokens of the request and of the answer."""
    if request is None:
        raise NotCountable
    counting = Counting(vocabularies, answer.get("model"))
    if shape.source.counted_as == "responses":
        return counting.responses_request(request), counting.responses_answer(answer)
    return counting.chat_request(request), counting.chat_answer(answer)


def request_of(record: Json, shape: Shape) -> Json | None:
    """The request that a wrapper keeps beside the answer; None where there is none, or the wrapper tells usage."""
    if not shape.place or isinstance(decoded_text(record.get("usage")), dict):
        return None
    places = [place for place in REQUEST_PLACES if place.split("!")[0] != shape.place[0]]
    for found in (*(value_at(record, place) for place in places), record):
        if isinstance(found, dict) and any(found.get(key) is not None for key in REQUEST_KEYS):
            return found
    return None


def record_at(record: Json, place: tuple[str, ...]) -> Json:
    """The provider's object in a recognised record."""
    found: Any = record
    for key in place:
        found = found[key]
    assert isinstance(found, dict)
    return found


def with_usage(record: Json, shape: Shape, counts: tuple[int, int]) -> Json:
    """The record with a usage object in its provider's words."""
    names = [_last_key(shape.source, name) for name in ("prompt", "completion")]
    usage = {name: Literal(count) for name, count in zip(names, counts, strict=True)}
    [usage_key] = spellings(shape.source.usage or ())
    inner: Json = with_members(record_at(record, shape.place), {usage_key: usage})
    for depth in range(len(shape.place) - 1, -1, -1):
        inner = with_members(record_at(record, shape.place[:depth]), {shape.place[depth]: inner})
    return inner


def _last_key(source: Source, count: str) -> str:
    [path] = spellings(source.counts[count])
    return path.rpartition(".")[2]
