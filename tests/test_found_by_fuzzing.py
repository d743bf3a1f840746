"""What fuzzing found (docs/fuzzing.md), each as the smallest input that showed it.

All logs are read in one run; a case is a file, with what must come of each of its records.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from etl.errors import IntegrityError, UsageError
from etl.manifest import MANIFEST_NAME, encode, read_snapshot
from etl.settings_file import load
from tests.nights import MINI, NOON, Ran, chat, costroll, rows_of, write_jsonl

DAY_OF_NO_REQUESTS = NOON - 86_400
START = {"object": "bucket", "start_time": DAY_OF_NO_REQUESTS, "end_time": DAY_OF_NO_REQUESTS + 3600}
RESULT = {
    "object": "organization.usage.completions.result",
    "input_tokens": 10,
    "output_tokens": 1,
    "num_model_requests": 1,
    "batch": False,
}


def batch(request_id: str, **changes: Any) -> dict[str, Any]:
    """A line of a batch output file."""
    return {"custom_id": "1", "response": {"status_code": 200, "body": chat(request_id)}, "error": None, **changes}


def embedding(**wrapper: Any) -> dict[str, Any]:
    """An embeddings answer in a wrapper that knows when, but not under which id."""
    answer = {"object": "list", "data": [], "model": "text-embedding-3-small", "usage": {"prompt_tokens": 8}}
    return {"timestamp": "2026-06-01T12:00:00Z", "response": answer, **wrapper}


def twice(record: dict[str, Any], key: str, first: Any) -> str:
    """A record in which a key stands twice, at first with another value."""
    return json.dumps(record).replace(f'"{key}":', f'"{key}": {json.dumps(first)}, "{key}":', 1)


def lines(*records: dict[str, Any] | str) -> bytes:
    """JSON lines."""
    return "".join((record if isinstance(record, str) else json.dumps(record)) + "\n" for record in records).encode()


@dataclass(frozen=True)
class Case:
    """A file, how many of its records are accepted and excluded, and the others' line and reason."""

    content: bytes
    accepted: int = 0
    excluded: int = 0
    rejected: tuple[tuple[int, str], ...] = ()


CASES = {
    # Silently lost before: `excluded`, or no record at all.
    "a page without results is one excluded record.jsonl": Case(
        lines({"object": "page"}, {"object": "page", "data": []}), excluded=2
    ),
    "an empty page as a document is one excluded record.json": Case(b'{\n"object": "page",\n"data": []}', excluded=1),
    "results that are no list are rejected.jsonl": Case(
        lines({**START, "results": RESULT}, {"object": "page", "data": {**START, "results": [RESULT]}}),
        rejected=((1, "invalid_field"), (2, "invalid_field")),
    ),
    "a result that is no object is rejected.jsonl": Case(
        lines({**START, "results": [5, {**RESULT, "model": "one"}]}), accepted=1, rejected=((1, "not_an_object"),)
    ),
    "a bucket inside another record is not understood.jsonl": Case(
        lines({"response": {**START, "results": [RESULT]}}), rejected=((1, "unknown_shape"),)
    ),
    "a plain record inside another record is not understood.jsonl": Case(
        lines({"data": {"occurred_at": "2026-06-01T12:00:00Z", "model": "m", "input_tokens": 5}}),
        rejected=((1, "unknown_shape"),),
    ),
    "a second response that is null hides no usage.jsonl": Case(
        lines(json.dumps(batch("twice-1"))[:-1] + ', "response": null}'), rejected=((1, "duplicate_key"),)
    ),
    "a second error hides no usage.jsonl": Case(
        lines(json.dumps({"response": chat("twice-2")})[:-1] + ', "response": {"error": {}}}'),
        rejected=((1, "duplicate_key"),),
    ),
    "data twice in a list is not guessed.json": Case(
        b'{"object": "list",\n"data": [' + lines(chat("twice-3")) + b'], "data": [' + lines(chat("twice-4")) + b"]}",
        rejected=((1, "duplicate_key"),),
    ),
    "results twice in a bucket are not guessed.jsonl": Case(
        lines(twice({**START, "results": [RESULT]}, "results", 1)), rejected=((1, "duplicate_key"),)
    ),
    "a status that is none of HTTP excludes nothing.jsonl": Case(
        lines({"status": 1763683200, "response": chat("status-1")}, {"status": 600, "response": chat("status-2")}),
        accepted=2,
    ),
    "a status from 400 to 599 excludes.jsonl": Case(
        lines(*({"status": code, "response": chat(f"status-{code}")} for code in (399, 400, 599))),
        accepted=1,
        excluded=2,
    ),
    # A crash before: Python reads no number of more than 4,300 digits.
    "a status of five thousand digits is no status.jsonl": Case(
        lines(f'{{"status": {"9" * 5000}, "x": 1}}'), rejected=((1, "unknown_shape"),)
    ),
    # A crash before: `\d` matches digits of other scripts.
    "digits of other scripts make no time.jsonl": Case(
        lines({"occurred_at": "2026-06-01T٠١:00:00Z", "model": "m", "input_tokens": 5}),
        rejected=((1, "invalid_timestamp"),),
    ),
    # Priced as standard before, at twice the price.
    "a batch line is one whatever its custom_id is.jsonl": Case(lines(batch("custom-1", custom_id=7)), accepted=1),
    # Contradicted one another before: all had no id at all.
    "a wrapper whose id is a number names nothing.jsonl": Case(
        lines(embedding(request_id=7), embedding(request_id=7, user="u"), embedding(id=8)), accepted=3
    ),
    "an empty id names nothing.jsonl": Case(
        lines(chat(""), chat("", prompt=5), embedding(id=""), embedding(id="", user="u")), accepted=4
    ),
    # Depended on the lines beside it before.
    "a form feed or vertical tab around a line is white space.jsonl": Case(
        lines("\f" + json.dumps(chat("feed-1")) + "\v", "\v\f", "{torn", json.dumps(chat("feed-2")) + "\v"),
        accepted=2,
        rejected=((3, "invalid_json"),),
    ),
    "a batch that is neither true nor false is rejected.csv": Case(
        b"start_time,end_time,start_time_iso,end_time_iso,input_tokens,output_tokens,num_model_requests,model,batch\n"
        b'1780315200,1780318800,a,b,10,1,1,two,"false"""\n',
        rejected=((2, "invalid_field"),),
    ),
    # Every line was `invalid_json` before.
    "a row with any count or name is no empty bucket.csv": Case(
        b"start_time,end_time,start_time_iso,end_time_iso,user_id,input_tokens,output_tokens,num_model_requests,"
        b"input_cached_tokens,model,batch\n"
        b"1780315200,1780318800,a,b,,,,,,,\n1780315200,1780318800,a,b,u,,,,,,\n1780315200,1780318800,a,b,,,,,5,,\n",
        excluded=1,
        rejected=((3, "missing_count"), (4, "missing_count")),
    ),
    "elements one a line make a document.json": Case(
        b'{"object":"list","data":[\n'
        + b",\n".join(lines(chat(f"element-{n}")).strip() for n in range(3))
        + b'\n],"has_more":false}\n',
        accepted=3,
    ),
    "keys of a list may stand in any order.json": Case(
        json.dumps({"has_more": False, "data": [chat("order-1"), chat("order-2")], "object": "list"}).encode(),
        accepted=2,
    ),
    "lines behind a torn one are lines.jsonl": Case(
        lines('{"id":"x","choices":[', chat("torn-1"), chat("torn-2")), accepted=2, rejected=((1, "invalid_json"),)
    ),
    "lines that end in a comma are lines.jsonl": Case(
        lines(json.dumps(chat("comma-1")) + ",", json.dumps(chat("comma-2")) + ",", chat("comma-3")),
        accepted=1,
        rejected=((1, "invalid_json"), (2, "invalid_json")),
    ),
}


@dataclass(frozen=True)
class Night:
    """What one run over all cases published."""

    ran: Ran
    counts: dict[str, tuple[int, int, int]]
    rejects: dict[str, tuple[tuple[int, str], ...]]
    tiers: dict[str, str]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "logs").mkdir()
    for name, case in CASES.items():
        (folder / "logs" / name).write_bytes(case.content)
    ran = costroll("run", folder / "logs", "--warehouse", folder / "warehouse")
    counts = rows_of(folder / "warehouse", "inputs", "input_name", "accepted", "excluded", "rejected")
    rejects: dict[str, tuple[tuple[int, str], ...]] = {}
    for name, line, reason in rows_of(folder / "warehouse", "rejects", "input_name", "line_number", "reason"):
        rejects[Path(name).name] = (*rejects.get(Path(name).name, ()), (line, reason))
    yield Night(
        ran,
        {Path(name).name: tuple(numbers) for name, *numbers in counts},  # type: ignore[misc]
        {name: tuple(sorted(found)) for name, found in rejects.items()},
        dict(rows_of(folder / "warehouse", "usage", "request_id", "tier")),
    )


@pytest.mark.parametrize("name", CASES)
def test_every_record_meets_its_fate(night: Night, name: str) -> None:
    case = CASES[name]
    assert night.counts[name] == (case.accepted, case.excluded, len(case.rejected))
    assert night.rejects.get(name, ()) == case.rejected


def test_a_batch_line_without_a_text_for_its_custom_id_has_the_price_of_a_batch(night: Night) -> None:
    assert night.tiers["custom-1"] == "batch"


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({}, "not a readable manifest"),
        ({"format_version": 1}, "members are not those"),
        ({"format_version": True, "snapshot": 1, "files": []}, "members are not those"),
        ({"format_version": "1", "snapshot": 1, "files": []}, "members are not those"),
        ({"format_version": 1, "snapshot": "1", "files": []}, "members are not those"),
        ({"format_version": 1, "snapshot": None, "files": []}, "members are not those"),
        ({"format_version": 1, "snapshot": 1}, "members are not those"),
        ({"format_version": 1, "snapshot": 1, "files": 5}, "members are not those"),
        ({"format_version": 1, "snapshot": 1, "files": ["x"]}, "members are not those"),
        ({"format_version": 1, "snapshot": 2, "files": []}, "calls itself snapshot 2"),
    ],
)
def test_a_manifest_with_the_right_hash_and_wrong_members_is_refused(
    tmp_path: Path, members: dict[str, Any], complaint: str
) -> None:
    folder = tmp_path / "00000001"
    folder.mkdir()
    (folder / MANIFEST_NAME).write_bytes(encode(members))
    with pytest.raises(IntegrityError, match=complaint):
        read_snapshot(folder)


ENTRY = {"path": "inputs/00000001.parquet", "table": "inputs", "rows": 1, "bytes": 9, "sha256": "00", "sums": {}}


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "../inputs/00000001.parquet"},
        {"path": "/inputs/00000001.parquet"},
        {"path": 5},
        {"table": "usage"},
        {"day": "2026-06-01"},
        {"rows": "1"},
        {"rows": True},
        {"bytes": None},
        {"sha256": 0},
        {"sha256": None},
        {"sums": []},
        {"sums": {"cost_usd": 1.5}},
        {"sums": {"cost_usd": "1e3"}},
        {"sums": {"input/cached": "5"}},
    ],
)
def test_a_file_that_a_manifest_describes_wrongly_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = tmp_path / "00000001"
    folder.mkdir()
    manifest = {"format_version": 1, "snapshot": 1, "files": [ENTRY]}
    (folder / MANIFEST_NAME).write_bytes(encode(manifest))
    assert read_snapshot(folder).files("inputs") == [folder / ENTRY["path"]]

    (folder / MANIFEST_NAME).write_bytes(encode({**manifest, "files": [ENTRY | changes]}))
    with pytest.raises(IntegrityError, match="members are not those"):
        read_snapshot(folder)


def test_a_file_that_a_manifest_does_not_describe_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "00000001"
    folder.mkdir()
    for name in ENTRY:
        entry = {key: value for key, value in ENTRY.items() if key != name}
        (folder / MANIFEST_NAME).write_bytes(encode({"format_version": 1, "snapshot": 1, "files": [entry]}))
        with pytest.raises(IntegrityError, match="members are not those"):
            read_snapshot(folder)
        (folder / MANIFEST_NAME).unlink()


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"format_version":1,"x":"\\ud800"}', b"", b"\xff", b"[]"])
def test_bytes_that_are_no_manifest_are_refused(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "00000001"
    folder.mkdir()
    (folder / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(IntegrityError, match="not a readable manifest"):
        read_snapshot(folder)


def test_a_settings_value_too_long_to_be_shown_is_refused_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "costroll.toml").write_text(f"[run]\naccount = 0x{'f' * 5000}\n")
    with pytest.raises(UsageError, match=re.escape("[run] account must be a text, not something of that length")):
        load(tmp_path, None)


def test_an_input_in_the_home_of_nobody_is_refused(tmp_path: Path) -> None:
    (tmp_path / "costroll.toml").write_text('[run]\ninputs = ["~no such user/logs"]\n')
    with pytest.raises(UsageError, match="the home of a user there is not"):
        load(tmp_path, None).inputs()


@pytest.mark.parametrize("cell", ["\\", 'a""\\', "2025-11-21T01:00:00Z\\"])
def test_a_backslash_in_the_time_of_a_csv_row_costs_that_row_only(tmp_path: Path, cell: str) -> None:
    rows = [
        "occurred_at,model,input_tokens,output_tokens",
        f'"{cell}",{MINI},1,1',
        f"2026-06-01T12:00:00Z,{MINI},1000,100",
    ]
    (tmp_path / "log.csv").write_text("".join(f"{row}\n" for row in rows))

    ran = costroll("run", "--json", "--warehouse", tmp_path / "warehouse", tmp_path / "log.csv")

    [found] = ran.said["inputs"]
    assert found["reasons"] == {"rejected/invalid_timestamp": 1}
    assert (found["counts"]["read"], found["counts"]["accepted"]) == (2, 1)


def test_only_a_request_object_alone_is_a_line_that_a_batch_left(tmp_path: Path) -> None:
    log = write_jsonl(tmp_path / "log.jsonl", [chat("a"), {"request": {"contents": []}}, {"request": "text"}])

    ran = costroll("run", "--json", "--warehouse", tmp_path / "warehouse", log)

    [found] = ran.said["inputs"]
    assert found["reasons"] == {"excluded/batch_failed": 1, "rejected/unknown_shape": 1}


def fates_of(folder: Path, *records: Any) -> dict[str, int]:
    """How many records of a log met each (fate, reason)."""
    write_jsonl(folder / "a.jsonl", [json.dumps(record, ensure_ascii=False) for record in records])
    ran = costroll("run", folder / "a.jsonl", "--warehouse", folder / "w", "--json")
    [said] = ran.said["inputs"]
    return {fate: number for fate, number in said["counts"].items() if fate != "read" and number}


@pytest.mark.parametrize(
    "odd",
    [
        {"data": [], "has_more": False, "response": chat("odd")},
        {"object": "bucket", "response": chat("odd")},
        {"object": "page", "response": chat("odd")},
        {"starting_at": "a", "ending_at": "b", "results": [], "response": chat("odd")},
        {"result": [], "result_info": {}, "success": True, "response": chat("odd")},
        {"object": "list", "data": chat("odd")},
        {"has_more": False, "data": chat("odd")},
        {"resourceSpans": [], "response": chat("odd")},
        chat("odd", resourceSpans=[]),
        chat("odd", result=[], result_info={}, success=True),
        {"spans": [], "response": chat("odd")},
    ],
    ids=lambda odd: " ".join(odd)[:40],
)
def test_what_a_line_is_does_not_depend_on_the_lines_around_it(tmp_path: Path, odd: dict[str, Any]) -> None:
    """Alone the strict reader tells; beside lines of a known shape DuckDB would claim it."""
    alone = fates_of(tmp_path / "alone", odd)
    near = [chat("n1"), {"response": chat("n2")}, {"data": chat("n3")}]
    beside = fates_of(tmp_path / "beside", *near, odd, {"response": chat("n4")})
    assert beside == {**alone, "accepted": alone.get("accepted", 0) + 4}


def test_spans_of_ones_own_beside_an_answer_take_nothing_away(tmp_path: Path) -> None:
    assert fates_of(tmp_path, {"spans": [{"name": "db"}], "response": chat("a")}) == {"accepted": 1}


@pytest.mark.parametrize("length", range(8))
def test_a_character_that_duckdb_cuts_in_its_message_ends_no_run(tmp_path: Path, length: int) -> None:
    """Error texts where an answer is expected, of any length before a character of three bytes."""
    text = "\u4e0a\u6e38" + "x" * (40 + length) + "\u670d\u52a1\u5668\u8d85\u65f6" * 20
    odd = {"status": 200, "response": text}
    assert fates_of(tmp_path, {"response": chat("a")}, odd, {"response": chat("b")}) == {"accepted": 2, "rejected": 1}


def test_a_project_that_is_no_text_leaves_it_to_the_wrapper(tmp_path: Path) -> None:
    record = {"project": "checkout", "response": chat("a", metadata={"project_id": 5})}
    assert fates_of(tmp_path, record) == {"accepted": 1}
    assert rows_of(tmp_path / "w", "usage", "project_id") == [("checkout",)]


def test_a_failed_answer_that_is_kept_as_text_is_a_failed_answer(tmp_path: Path) -> None:
    assert fates_of(tmp_path, {"response": '{"status_code":500}'}) == {"excluded": 1}
    assert fates_of(tmp_path / "as_object", {"response": {"status_code": 500}}) == {"excluded": 1}


def test_a_result_whose_own_time_is_null_has_its_buckets(tmp_path: Path) -> None:
    """500 x 0.15 = 0.000075 USD, as without the key."""
    result = {"object": "organization.usage.completions.result", "input_tokens": 500, "output_tokens": 0}
    result |= {"num_model_requests": 1, "model": MINI, "batch": False, "start_time": None}
    bucket = {"object": "bucket", "start_time": 1763683200, "end_time": 1763769600, "results": [result]}
    assert fates_of(tmp_path, bucket) == {"accepted": 1}


def test_a_page_named_twice_is_the_same_as_a_line_and_as_a_document(tmp_path: Path) -> None:
    text = '{"object":"other","object":"page",%s"data":[{"object":"bucket","start_time":1,"end_time":2,"results":[]}]}'
    for name, between in (("line", ""), ("document", "\n")):
        path = tmp_path / f"{name}.json"
        path.write_text(text % between + "\n")
        ran = costroll("run", path, "--warehouse", tmp_path / name, "--json")
        assert (ran.said["counts"]["read"], ran.said["counts"]["rejected"]) == (1, 1), name
