"""The package against an independent judge: fate by fate, reason by reason, cost by cost to the last digit.

`tests/oracle.py` shares no code with the package. The logs hold every shape, about 2 % damage of every kind,
duplicates, conflicts, price changes and thresholds; both read them in one night. `make test-oracle` does 200,000.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import damage
import duckdb
import oracle
import pytest
import zstandard
from oracle import gzip

from etl import document_reading
from etl.pipeline import run
from etl.run_report import Options
from etl.warehouse import Warehouse
from fuzz.against_oracle import told_by_oracle, told_by_package

CARD = Path(__file__).parent.parent / "etl" / "card"
RECORDS = int(os.environ.get("COSTROLL_ORACLE_RECORDS", "12000"))
SEEDS = [int(seed) for seed in os.environ.get("COSTROLL_ORACLE_SEEDS", "1 2").split()]

Outcome = tuple[str, str | None]


def content_hash_of(path: Path) -> str:
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    elif data[:4] == b"\x28\xb5\x2f\xfd":
        data = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress(data)
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("seed", SEEDS)
def test_every_fate_and_every_cost_is_what_the_oracle_says(tmp_path: Path, seed: int) -> None:
    logs = tmp_path / "logs"
    files = damage.write_damaged_logs(logs, RECORDS, seed)
    # Of equal records the first stands; the package orders inputs by their content.
    files.sort(key=content_hash_of)
    verdict = oracle.judge(files, card=CARD, now=damage.NOW)

    warehouse = tmp_path / "warehouse"
    report = run([str(logs)], warehouse, Options(), now=damage.NOW.replace(tzinfo=None))

    assert report.counts.read == sum(verdict.counts.values())
    told, judged = fates_told(report), fates_judged(verdict)
    differing = [name for name in told.keys() | judged.keys() if told.get(name) != judged.get(name)]
    assert {name: told.get(name) for name in differing} == {name: judged.get(name) for name in differing}
    assert rejects_published(warehouse) == rejects_judged(verdict)
    assert accepted_published(warehouse, files) == Counter(
        (record.input_name, record.line_number) for record in verdict.records if record.fate == "accepted"
    )
    assert rollup_published(warehouse) == rollup_judged(verdict)
    assert charges_sum(warehouse) == rollups_sum(warehouse)


ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_763_683_200,
    "model": "gpt-4o-mini-2024-07-18",
    "usage": {"prompt_tokens": 1000, "completion_tokens": 100},
}
EMBEDDING = {"object": "list", "data": [], "usage": {"prompt_tokens": 8}}
RESULT = {
    "object": "organization.usage.completions.result",
    "model": "gpt-4o-mini-2024-07-18",
    "input_tokens": 1000,
    "output_tokens": 100,
    "num_model_requests": 2,
}
UNNAMED = {key: value for key, value in RESULT.items() if key != "object"}
BUCKET = {"object": "bucket", "start_time": 1_763_596_800, "end_time": 1_763_600_400}
PLAIN = {"occurred_at": "2025-11-21T01:00:00Z", "model": "gpt-4o-mini-2024-07-18", "output_tokens": 100}


def in_batch(answer: dict[str, object]) -> dict[str, object]:
    """A line of a batch output file."""
    return {"custom_id": "1", "response": {"status_code": 200, "body": answer}}


# Lines, and the fates of their records; what is counted must be the same without being told here.
LINES: dict[str, tuple[object, list[Outcome]]] = {
    "an answer in the response of data": ({"data": {"response": ANSWER}}, [("accepted", "request")]),
    "an answer in the response of an event": ({"event": {"response": ANSWER}}, [("accepted", "request")]),
    "an answer in a chunk": ({"chunk": ANSWER}, [("accepted", "request")]),
    "data that is text with a response that is text": (
        {"data": json.dumps({"response": json.dumps(ANSWER)})},
        [("accepted", "request")],
    ),
    "data that is an answer and has another in its response": (
        {"data": {**ANSWER, "response": {**ANSWER, "id": "chatcmpl-2"}}},
        [("accepted", "request")],
    ),
    "data of an event, which is no place": ({"event": {"data": ANSWER}}, [("rejected", "unknown_shape")]),
    "a failure beside data": ({"status": 500, "data": {"response": ANSWER}}, [("excluded", "http_error")]),
    "a failure below data, which is no status": (
        {"data": {"response": ANSWER, "status_code": 500}},
        [("accepted", "request")],
    ),
    "an error in the response of data": ({"data": {"response": {"error": {}}}}, [("excluded", "error_response")]),
    "a result that does not say what it is": (
        {**BUCKET, "results": [UNNAMED, RESULT]},
        [("rejected", "unknown_shape"), ("accepted", "aggregate")],
    ),
    "results of other things": (
        {**BUCKET, "results": [ANSWER, {"error": {}}, {**RESULT, "object": "other"}]},
        [("accepted", "request"), ("excluded", "error_response"), ("rejected", "unknown_shape")],
    ),
    "a result with an hour of its own": (
        {**BUCKET, "results": [{**RESULT, "start_time": 1_763_604_000, "end_time": 1_763_607_600}]},
        [("accepted", "aggregate")],
    ),
    "a result with an end of its own": (
        {**BUCKET, "results": [{**RESULT, "end_time": 1_763_607_600}]},
        [("accepted", "aggregate")],
    ),
    "a result alone with its hour": (
        {**RESULT, "start_time": 1_763_604_000, "end_time": 1_763_607_600},
        [("accepted", "aggregate")],
    ),
    "a result alone": (RESULT, [("rejected", "missing_timestamp")]),
    "results of two accounts": (
        {**BUCKET, "results": [{**RESULT, "organization_id": name} for name in ("org-1", None, 7)]},
        [("accepted", "aggregate")] * 3,
    ),
    "a bucket in a bucket": (
        {**BUCKET, "results": [{"object": "bucket", "results": [RESULT, RESULT]}, RESULT]},
        [("accepted", "aggregate")] * 3,
    ),
    "results twice": (
        json.dumps({**BUCKET, "results": [RESULT, RESULT]}).replace('"results"', '"results": 1, "results"', 1),
        [("rejected", "duplicate_key")],
    ),
    "start_time twice in a bucket": (
        json.dumps({**BUCKET, "results": [RESULT, RESULT]}).replace('"start_time"', '"start_time": 1, "start_time"', 1),
        [("rejected", "duplicate_key")],
    ),
    "a wrapper whose model is none": (
        {"ts": 1_763_683_200, "model": 5, "request": {"model": "text-embedding-3-small"}, "response": EMBEDDING},
        [("accepted", "request")],
    ),
    "a wrapper whose models are none": (
        {"ts": 1_763_683_200, "model": 5, "request": {"model": {}}, "response": EMBEDDING},
        [("rejected", "missing_model")],
    ),
    "an embedding whose own model is none": (
        {"ts": 1_763_683_200, "model": "text-embedding-3-small", "response": {**EMBEDDING, "model": 5}},
        [("rejected", "invalid_field")],
    ),
    "an answer in data beside a time that is called created": (
        {"created": 1_763_683_200, "data": ANSWER},
        [("accepted", "request")],
    ),
    "an image answer without usage, whatever else it says": (
        {"created": 1_763_683_200, "data": {"error": {}}, "status": 500},
        [("rejected", "missing_usage")],
    ),
    "a record of a bill with an error": (
        {"object": "organization.costs.result", "error": {}, "status": 500},
        [("rejected", "statement_record")],
    ),
    "a tier that is a number in a batch, where it is not used": (
        in_batch({**ANSWER, "service_tier": 5}),
        [("rejected", "invalid_field")],
    ),
    "a tier with a control character in a batch": (
        in_batch({**ANSWER, "service_tier": "fl\x7fex"}),
        [("rejected", "control_character")],
    ),
    "a tier of its own in a batch": (in_batch({**ANSWER, "service_tier": "flex"}), [("accepted", "request")]),
    "a plain record whose model is null": ({**PLAIN, "model": None}, [("rejected", "unknown_shape")]),
    "a plain record without quantities": ({**PLAIN, "output_tokens": None}, [("rejected", "unknown_shape")]),
    "a plain record with more reasoning than output": (
        {**PLAIN, "reasoning_tokens": 101},
        [("rejected", "parts_exceed_whole")],
    ),
    "a plain record whose whole is its parts": (
        {**PLAIN, "input_tokens": 30, "input_uncached_tokens": 10, "video_input_uncached_tokens": 20},
        [("accepted", "request")],
    ),
    "a plain record whose whole is not its parts": (
        {**PLAIN, "input_tokens": 31, "input_uncached_tokens": 10, "video_input_uncached_tokens": 20},
        [("rejected", "parts_exceed_whole")],
    ),
    "a plain record whose parts are not in its whole": (
        {**PLAIN, "input_tokens": 19, "video_input_uncached_tokens": 20},
        [("rejected", "parts_exceed_whole")],
    ),
    "data twice in a bucket, which is not read there": (
        json.dumps({**BUCKET, "data": 1, "results": [RESULT]}).replace('"data"', '"data": 2, "data"', 1),
        [("accepted", "aggregate")],
    ),
}


@pytest.mark.parametrize("name", LINES)
def test_both_readers_say_the_same_of_a_line_on_which_they_could_differ(tmp_path: Path, name: str) -> None:
    line, expected = LINES[name]
    (log := tmp_path / "log.jsonl").write_text(
        f"{json.dumps(ANSWER)}\n{line if isinstance(line, str) else json.dumps(line)}\n"
    )
    assert_both_say(log, [("accepted", "request"), *expected])


LONE = '"\\ud83d"'
DOCUMENTS: dict[str, tuple[str, list[Outcome]]] = {
    "a character cut in half in one of a list": (
        f'{{"object": "list", "data": [\n{json.dumps(ANSWER)},\n{{"id": {LONE}}},\n7]}}',
        [("accepted", "request"), ("rejected", "invalid_json"), ("rejected", "not_an_object")],
    ),
    "a character cut in half beside a list": (
        f'{{"object": "list", "name": {LONE},\n"data": [{json.dumps(ANSWER)}]}}',
        [("accepted", "request")],
    ),
    "a character cut in half in one of a bucket, which is read as a whole": (
        f'{{"object": "page", "data": [\n{json.dumps({**BUCKET, "results": [RESULT, RESULT]})[:-2]},\n{LONE}]}}]}}',
        [("rejected", "invalid_json")],
    ),
    "a character cut in half in an array": (
        f"[{json.dumps(ANSWER)},\n{LONE}]",
        [("accepted", "request"), ("rejected", "invalid_json")],
    ),
}


@pytest.mark.parametrize("decoded_max", [document_reading.DECODED_MAX, 0])  # 0: as if it were long
@pytest.mark.parametrize("name", DOCUMENTS)
def test_both_readers_say_the_same_of_a_document_that_they_could_cut_differently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, decoded_max: int
) -> None:
    monkeypatch.setattr(document_reading, "DECODED_MAX", decoded_max)
    text, expected = DOCUMENTS[name]
    (log := tmp_path / "log.json").write_text(text)
    assert_both_say(log, expected)


def assert_both_say(log: Path, expected: list[Outcome]) -> None:
    """The package and the oracle agree on every record of a file, and on these fates."""
    told, judged = told_by_package(log), told_by_oracle(log)
    assert told == judged
    assert Counter((fate, reason) for fate, reason, *_ in told.elements()) == Counter(expected)


GROUPED = {**RESULT, "project_id": "proj_1", "batch": False, "service_tier": "flex"}
OTHERS_KEY = {**GROUPED, "project_id": "proj_2"}
NEXT_HOUR = {"object": "bucket", "start_time": 1_763_600_400, "end_time": 1_763_604_000}
DAY = {"object": "bucket", "start_time": 1_763_596_800, "end_time": 1_763_683_200}
OVERLAP = ("rejected", "overlapping_aggregate")

# Two exports of one day, and the fates of their records.
EXPORTS: dict[str, tuple[list[object], list[object], list[Outcome], list[Outcome]]] = {
    "the same grouping": (
        [{**BUCKET, "results": [GROUPED]}],
        [{**NEXT_HOUR, "results": [OTHERS_KEY]}],
        [("accepted", None)],
        [("accepted", None)],
    ),
    "one without a tier, by its rows of that day": (
        [{**BUCKET, "results": [GROUPED]}],
        [{**NEXT_HOUR, "results": [{**OTHERS_KEY, "service_tier": None}] * 2}],
        [("accepted", None)],
        [OVERLAP, OVERLAP],
    ),
    "one of batches alone, which need no tier": (
        [{**BUCKET, "results": [GROUPED]}],
        [{**NEXT_HOUR, "results": [{**OTHERS_KEY, "batch": True, "service_tier": None}]}],
        [("accepted", None)],
        [("accepted", None)],
    ),
    "hours and days": (
        [{**DAY, "results": [GROUPED]}],
        [{**BUCKET, "results": [GROUPED]}, {**NEXT_HOUR, "results": [OTHERS_KEY]}],
        [OVERLAP],
        [("accepted", None), ("accepted", None)],
    ),
    "more projects against more keys": (
        [{**BUCKET, "results": [{**RESULT, "project_id": "proj_1"}]}],
        [{**NEXT_HOUR, "results": [{**RESULT, "api_key_id": "key_1"}]}],
        [("accepted", None)],
        [OVERLAP],
    ),
    "an interval of no length, which is no grouping of its day": (
        [{**BUCKET, "results": [GROUPED]}],
        [{**BUCKET, "end_time": BUCKET["start_time"], "results": [RESULT]}, {**NEXT_HOUR, "results": [OTHERS_KEY]}],
        [("accepted", None)],
        [("rejected", "invalid_timestamp"), ("accepted", None)],
    ),
}


@pytest.mark.parametrize("name", EXPORTS)
def test_the_package_and_the_oracle_keep_the_same_of_two_exports_of_one_day(tmp_path: Path, name: str) -> None:
    first, second, *expected = EXPORTS[name]
    for log, lines in (("first.jsonl", first), ("second.jsonl", second)):
        (tmp_path / log).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    files = sorted(tmp_path.iterdir(), key=content_hash_of)
    verdict = oracle.judge(files, card=CARD, now=damage.NOW)

    report = run([str(path) for path in files], tmp_path / "warehouse", Options(), now=damage.NOW.replace(tzinfo=None))

    fates = {
        str(tmp_path / log): Counter(of) for log, of in zip(("first.jsonl", "second.jsonl"), expected, strict=True)
    }
    assert fates_told(report) == fates
    assert fates_judged(verdict) == fates


def plainly(fate: str, reason: str | None) -> Outcome:
    """The oracle gives plain duplicates and conflicts no reason."""
    return fate, None if reason in ("same_content", "content_differs") or fate == "accepted" else reason


def fates_told(report: object) -> dict[str, Counter[Outcome]]:
    told: dict[str, Counter[Outcome]] = {}
    for one in report.inputs:  # type: ignore[attr-defined]
        counts: Counter[Outcome] = Counter()
        for (fate, reason), number in one.reasons.items():
            counts[plainly(fate, reason)] += number
        counts["accepted", None] += one.counts.accepted
        told[one.name] = +counts
    return told


def fates_judged(verdict: oracle.Verdict) -> dict[str, Counter[Outcome]]:
    judged: dict[str, Counter[Outcome]] = {}
    for record in verdict.records:
        judged.setdefault(record.input_name, Counter())[plainly(record.fate, record.reason)] += 1
    return judged


def rejects_published(warehouse: Path) -> Counter[tuple[str, int, str, str | None]]:
    rows = duckdb.sql(
        f"select input_name, line_number, fate, reason from '{warehouse}/current/rejects/*.parquet'"
    ).fetchall()
    return Counter((name, line, *plainly(fate, reason)) for name, line, fate, reason in rows)


def rejects_judged(verdict: oracle.Verdict) -> Counter[tuple[str, int, str, str | None]]:
    return Counter(
        (record.input_name, record.line_number, *plainly(record.fate, record.reason))
        for record in verdict.records
        if record.fate in ("rejected", "conflict")
    )


def accepted_published(warehouse: Path, files: list[Path]) -> Counter[tuple[str, int]]:
    names = {content_hash_of(path): str(path) for path in files}
    rows = duckdb.sql(f"select input_sha256, line_number from '{warehouse}/current/usage/*/*.parquet'").fetchall()
    return Counter((names[digest], line) for digest, line in rows)


def rollup_published(warehouse: Path) -> dict[tuple[object, ...], tuple[int, Decimal | None]]:
    rows = duckdb.sql(
        f"""
        select r.day, r.account_id, r.project_id, r.provider, r.model, r.tier, r.meter, r.caching_status,
               r.context_over_tokens, r.priced_model, t.effective_from, r.rate_usd_per_million, r.source_kind,
               r.price_status, sum(r.quantity)::bigint, sum(r.cost_usd)
        from '{warehouse}/current/rollups/*.parquet' r
        left join '{warehouse}/current/rates/rates-*.parquet' t on t.rate_id = r.rate_id
        group by all
        """
    ).fetchall()
    return {row[:-2]: row[-2:] for row in rows}


def rollup_judged(verdict: oracle.Verdict) -> dict[tuple[object, ...], tuple[int, Decimal | None]]:
    judged: dict[tuple[object, ...], tuple[int, Decimal | None]] = {}
    for cell, (quantity, cost) in verdict.rollup.items():
        since = cell.rate_effective_from
        instant = datetime.fromisoformat(since) if since else None
        judged[tuple(cell._replace(rate_effective_from=instant))] = (quantity, cost)  # type: ignore[arg-type]
    return judged


def charges_sum(warehouse: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(str(Warehouse(warehouse).root / "costroll.duckdb"), read_only=True) as con:
        return con.sql(
            "select day, sum(cost_usd), count(cost_usd) > 0 from charges group by day order by day"
        ).fetchall()


def rollups_sum(warehouse: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(str(Warehouse(warehouse).root / "costroll.duckdb"), read_only=True) as con:
        return con.sql(
            "select day, sum(cost_usd), count(cost_usd) > 0 from rollups where price_status <> 'not_charged' "
            "group by day order by day"
        ).fetchall()
