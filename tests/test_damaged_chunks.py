"""What DuckDB objects to in a chunk is found line by line; only those lines take the slow, strict reader.

DuckDB stops at the first line of a wrong structure, and names it. Where there are many, they must be found together:
else each would cost a reading of the whole chunk, and a few dozen would send all of it to the strict reader.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nights import chat, costroll, rows_of

from etl.chunk_query import ChunkQuery, Shown, Wanted
from etl.json_lines import JsonLinesReader, _named_by
from etl.json_values import decode, raw_text

# id, usage.a and usage.d.x are wanted: so `usage` and `usage.d` are objects, or nothing.
WANTED = Wanted(["id", "usage.a", "usage.d.x"], [])
SOUND = {
    "all": '{"id":"1","usage":{"a":1,"d":{"x":2}}}',
    "nothing": "{}",
    "a null": '{"id":"1","usage":null}',
    "a null inside": '{"id":"1","usage":{"a":1,"d":null}}',
    "another key twice": '{"id":"1","usage":{"a":1},"zz":1,"zz":2}',
    "another key twice inside": '{"id":"1","usage":{"a":1,"z":1,"z":2}}',
    "any value where a value is wanted": '{"id":{"deep":[1]},"usage":{"a":"text","d":{"x":[]}}}',
    "quotes, brackets and a null as text": '{"id":"\\"}{null","usage":{"a":"null"}}',
}
ODD = {
    "a key twice": '{"id":"1","id":"2"}',
    "an object twice": '{"usage":{"a":1},"usage":{"a":1}}',
    "a key twice inside": '{"usage":{"a":1,"a":1}}',
    "a key twice deep inside": '{"usage":{"d":{"x":1,"x":2}}}',
    "a key twice, once escaped": '{"id":"1","\\u0069d":"2"}',
    "a text for an object": '{"usage":"q"}',
    "a text that reads null": '{"usage":"null"}',
    "an empty text for an object": '{"usage":""}',
    "an array for an object": '{"usage":[1]}',
    "a number inside for an object": '{"usage":{"a":1,"d":5}}',
    "true for an object": '{"usage":true}',
    "an array for a line": "[1,2]",
    "a number for a line": "5",
}


@pytest.fixture(scope="module")
def query() -> ChunkQuery:
    return ChunkQuery()


@pytest.mark.parametrize("line", [*SOUND.values(), *ODD.values()], ids=[*SOUND, *ODD])
def test_a_line_is_odd_where_duckdb_refuses_it(query: ChunkQuery, line: str) -> None:
    data = Shown(line.encode() + b"\n")
    if line in SOUND.values():
        assert query.fields(data, WANTED).height == 1
        assert query.odd_rows(data, WANTED) == []
    else:
        with pytest.raises(duckdb.Error):
            query.fields(data, WANTED)
        assert query.odd_rows(data, WANTED) == [0]


def test_odd_lines_are_numbered_among_those_that_are_not_blank(query: ChunkQuery) -> None:
    lines = ["", SOUND["all"], ODD["a key twice"], "  ", "{torn", ODD["an array for a line"], SOUND["nothing"]]
    assert query.odd_rows(Shown("\n".join(lines).encode()), WANTED) == [1, 3]


@pytest.mark.parametrize(
    "bad", ["{torn", SOUND["all"] + "}", '{"id":"x', ODD["a text for an object"], ODD["a key twice"]]
)
@pytest.mark.parametrize(("before", "blank"), [(0, 0), (1, 0), (5, 3), (2047, 0), (2048, 1), (3000, 99)])
def test_the_line_that_an_objection_names_is_found_behind_blank_ones(
    query: ChunkQuery, bad: str, before: int, blank: int
) -> None:
    lines = [" "] * blank + [SOUND["all"]] * before + [bad, SOUND["all"]]
    with pytest.raises(duckdb.Error) as refused:
        query.fields(Shown("\n".join(lines).encode()), WANTED)
    good = np.arange(blank, len(lines))
    assert _named_by(refused.value, good).tolist() == [blank + before]


def damaged(record: dict[str, Any], kind: str) -> str:
    text = json.dumps(record)
    return {
        "structure": text.replace('"usage": {', '"usage": 5, "unused": {'),
        "key": text.replace('"model": ', '"model": "x", "model": '),
        "torn": text[:-9],
    }[kind]


@pytest.mark.parametrize(
    ("kinds", "reasons"),
    [
        (["structure"], {"invalid_field": 100}),
        (["key"], {"duplicate_key": 100}),
        (["torn"], {"invalid_json": 100}),
        (["structure", "key", "torn"], {"invalid_field": 34, "duplicate_key": 33, "invalid_json": 33}),
    ],
)
def test_a_hundred_bad_lines_of_a_thousand_are_all_that_the_strict_reader_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinds: Sequence[str], reasons: dict[str, int]
) -> None:
    """Every tenth line from the 55th on is bad: lines 55, 65, … 1,045, of 1,100."""
    lines = [json.dumps(chat(f"good-{number}")) for number in range(1, 1101)]
    for count, number in enumerate(range(55, 1046, 10)):
        lines[number - 1] = damaged(chat(f"bad-{number}"), kinds[count % len(kinds)])
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + "\n")
    seen: list[int] = []
    strict_line = JsonLinesReader._strict_line

    def noted(self: JsonLinesReader, line: bytes, number: int, *rest: Any) -> None:
        seen.append(number)
        strict_line(self, line, number, *rest)

    monkeypatch.setattr(JsonLinesReader, "_strict_line", noted)
    ran = costroll("run", tmp_path / "log.jsonl", "--warehouse", tmp_path / "w", "--json")

    assert (ran.said["counts"]["accepted"], ran.said["counts"]["rejected"]) == (1000, 100)
    told = Counter(reason for (reason,) in rows_of(tmp_path / "w", "rejects", "reason"))
    assert told == reasons
    assert sorted(number for number in seen if number) == list(range(55, 1046, 10))  # 0: those that were sniffed


NUMBERS = st.one_of(
    st.from_regex(r"-?(0|[1-9][0-9]{0,20})", fullmatch=True),
    st.from_regex(r"-?(0|[1-9][0-9]{0,11})[.][0-9]{1,12}", fullmatch=True),
    st.from_regex(r"-?[0-9](?:[.][0-9]{1,8})?[eE][+-]?[0-9]{1,3}", fullmatch=True),
)


@settings(deadline=None, max_examples=300)
@given(numbers=st.lists(NUMBERS, min_size=1, max_size=50))
@example(
    numbers=["1763973499.6354699", "1e3", "1e21", "9.99999999999999e-7", "-0", "-0.0", "1e999", "NaN", "-Infinity"]
)
def test_a_number_is_the_same_to_both_readers(query: ChunkQuery, numbers: list[str]) -> None:
    lines = [f'{{"id":{number}}}' for number in numbers]
    fast = query.fields(Shown("\n".join(lines).encode()), WANTED)["id"].to_list()
    assert fast == [raw_text(decode(number)) for number in numbers]


def test_a_time_with_seven_decimals_is_one_instant_whoever_reads_it(tmp_path: Path) -> None:
    """The double next to 1763973499.6354699 is written 1763973499.63547, so it is cut to 635,470 microseconds."""
    record = {
        "object": "response",
        "created_at": 0,
        "model": "gpt-4o",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    lines = [json.dumps({"id": f"resp_{at}"} | record).replace(": 0,", ": 1763973499.6354699,", 1) for at in range(9)]
    lines[3] = lines[3][:-1] + ',"odd":1,}'  # set aside
    lines[5] = lines[5][:-1] + ',"odd":"a,}"}'  # no trailing comma, but what looks like one: it is read strictly
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + "\n")
    assert costroll("run", tmp_path / "log.jsonl", "--warehouse", tmp_path / "w").code == 3
    assert rows_of(tmp_path / "w", "usage", "occurred_at") == [(datetime(2025, 11, 24, 8, 38, 19, 635_470),)] * 8
