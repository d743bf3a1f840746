"""Streamed answers whose usage chunk is not in the log: put their texts together, and count them when the input ends.

Grain: many lines in, one estimated record for each stream that never told its usage, on the line of its last chunk.
Chunks come in the order of the input, so this is done by the thread that collects what others have read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import polars as pl

from etl.decoding import Reading
from etl.estimates.records import RecordOn, estimated_row, judged_estimates, recognised, record_at, request_of
from etl.json_values import Json
from etl.shapes import Shape

WITHOUT_USAGE = "chunk_without_usage"
# So many chunks wait for their usage; when there are more, finished streams are counted, and their texts forgotten.
HELD_CHUNKS_MAX = 1_000_000


class Fragment(NamedTuple):
    """A chunk without usage: whose it is, where it stands, and what it says."""

    request_id: str
    shape: Shape
    line_number: int
    record: Json


class Chunks(NamedTuple):
    """What a stretch of lines says of streams: the chunks without usage, and the ids of those that told theirs."""

    fragments: list[Fragment]
    reported: list[str]


def chunks_of(judged: pl.DataFrame, shape: Shape, reading: Reading, record_on: RecordOn) -> Chunks:
    """The chunks among judged rows of one shape."""
    if reading.vocabularies is None or shape.source.counted_as != "chat_stream":
        return Chunks([], [])
    named = judged.filter(pl.col("request_id").is_not_null())
    fragments = []
    for number, request_id in named.filter(reason=WITHOUT_USAGE).select("line_number", "request_id").rows():
        line = record_on(number)
        record = recognised(line, shape, reading) if line is not None else None
        if record is not None:
            fragments.append(Fragment(request_id, shape, number, record))
    return Chunks(fragments, named.filter(pl.col("fate").is_null())["request_id"].to_list())


@dataclass
class _Choice:
    texts: dict[str, list[str]] = field(default_factory=dict)
    calls: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    is_finished: bool = False

    def take(self, choice: Json) -> bool:
        """Add a chunk's part of the choice; False where what it says cannot be put together."""
        delta = choice.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        said = [(self.texts, key, delta.get(key)) for key in ("content", "refusal")]
        calls = delta.get("tool_calls") or []
        if not isinstance(calls, list) or delta.get("audio") is not None:
            return False
        for call in (*calls, *([{"function": delta["function_call"]}] if delta.get("function_call") else [])):
            function = call.get("function") if isinstance(call, dict) else None
            if not isinstance(function, dict):
                return False
            own = self.calls.setdefault(str(call.get("index")), {})
            said += [(own, key, function.get(key)) for key in ("name", "arguments")]
        given = [(texts, key, value) for texts, key, value in said if value is not None]
        if not all(isinstance(value, str) for *_, value in given) or (self.is_finished and any(v for *_, v in given)):
            return False
        for texts, key, value in given:
            texts.setdefault(key, []).append(value)
        self.is_finished |= choice.get("finish_reason") is not None
        return True

    def message(self) -> dict[str, Any]:
        """The message that the chunks make."""
        whole: dict[str, Any] = {key: "".join(texts) for key, texts in self.texts.items()}
        calls = [{"function": {key: "".join(texts) for key, texts in call.items()}} for call in self.calls.values()]
        return whole | ({"tool_calls": calls} if calls else {})


@dataclass
class _Stream:
    choices: dict[str, _Choice] = field(default_factory=dict)
    request: Json | None = None
    model: Any = None
    last: Fragment | None = None
    is_whole: bool = True
    row: dict[str, Any] | None = None

    def take(self, fragment: Fragment) -> None:
        inner = record_at(fragment.record, fragment.shape.place)
        self.request = self.request or request_of(fragment.record, fragment.shape)
        self.model = inner.get("model") or self.model
        choices = inner.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            own = self.choices.setdefault(str(choice.get("index")), _Choice()) if isinstance(choice, dict) else None
            self.is_whole &= own is not None and own.take(choice)
        # A chunk after the stream was counted: the log says it twice.
        self.is_whole &= self.row is None or not choices
        self.last = fragment if self.row is None else self.last

    @property
    def is_finished(self) -> bool:
        return bool(self.choices) and all(choice.is_finished for choice in self.choices.values())

    def count(self, reading: Reading) -> None:
        """Turn the texts into a row; they are forgotten."""
        if self.row is None and self.last is not None and self.is_whole and self.request is not None:
            answer = {"model": self.model, "choices": [{"message": one.message()} for one in self.choices.values()]}
            row = estimated_row(self.last.record, self.last.shape, reading, self.request, answer)
            self.row = row and row | {"line_number": self.last.line_number}
            self.is_whole = self.row is not None
        self.request = None
        self.choices = {index: _Choice(is_finished=True) for index in self.choices}


class OpenStreams:
    """The streams of one input that have not told their usage so far."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._streams: dict[str, _Stream] = {}
        self._reported: set[str] = set()
        self._held = 0

    def take(self, fragments: Sequence[Fragment], reported: Collection[str]) -> None:
        """The chunks of the next lines."""
        self._reported.update(reported)
        for request_id in reported:
            self._streams.pop(request_id, None)
        for fragment in fragments:
            if fragment.request_id not in self._reported:
                stream = self._streams.setdefault(fragment.request_id, _Stream())
                stream.take(fragment)
        self._held += len(fragments)
        if self._held > HELD_CHUNKS_MAX:
            for stream in self._streams.values():
                if stream.is_finished:
                    stream.count(self._reading)
            self._held = 0

    def closed(self) -> Iterator[pl.DataFrame]:
        """The estimates of those that never told, judged; what a record lacks beside its usage leaves it as it was."""
        rows: dict[Shape, list[dict[str, Any]]] = {}
        for stream in self._streams.values():
            stream.count(self._reading)
            if stream.row is not None and stream.is_whole and stream.last is not None:
                rows.setdefault(stream.last.shape, []).append(stream.row)
        for shape, own in rows.items():
            yield judged_estimates(own, shape, self._reading).filter(pl.col("fate").is_null())
