"""The oracle itself, checked by hand: every expected number is worked out beside the test that needs it.

The prices come from the small card below, so that this page can be read without another.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from damage import (
    DAMAGES,
    EXPORTS,
    HARMLESS,
    HARMLESS_TEXT,
    LINE_DAMAGES,
    NOW,
    ODD_LINES,
    PLAIN_HEADERS,
    RESULT_DAMAGES,
    ROW_DAMAGES,
    WRAPPER_DAMAGES,
    Author,
    Draft,
    Folder,
    can_take,
    compact,
    damage_result,
    damage_row,
    plain_row,
    row_can_take,
    usage_result,
    with_repeated_place,
    write_damaged_logs,
)
from oracle import Cell, Record, Verdict, judge

RATES = """\
provider,model,tier,meter,caching_status,context_over_tokens,effective_from,effective_to,rate_usd_per_million,status
openai,gpt-4o-mini,standard,input,uncached,0,2024-07-18,,0.15,published
openai,gpt-4o-mini,standard,input,cached,0,2024-10-01,,0.075,published
openai,gpt-4o-mini,standard,output,not_applicable,0,2024-07-18,,0.60,published
openai,gpt-4o-mini,standard,image_input,uncached,0,2024-07-18,,0.15,inferred
openai,gpt-4o-mini,batch,input,uncached,0,2024-07-18,,0.075,published
openai,gpt-4o-mini,batch,output,not_applicable,0,2024-07-18,,0.30,published
openai,ft:gpt-4o-mini,standard,input,uncached,0,,,0.30,published
openai,gpt-4o-2024-05-13,standard,input,uncached,0,2024-05-13,,5,published
openai,gpt-4o-2024-08-06,standard,input,uncached,0,2024-08-06,,2.50,published
openai,o3,standard,input,uncached,0,2025-04-16,2025-06-10,10,published
openai,o3,standard,input,uncached,0,2025-06-10,,2,published
openai,gpt-5.4,standard,input,uncached,0,2026-03-05,,2.50,published
openai,gpt-5.4,standard,input,uncached,272000,2026-03-05,,5,published
openai,gpt-5.4,priority,input,uncached,0,2026-03-05,,5,published
openai,gpt-5.4,provisioned,output,not_applicable,0,2026-03-05,,1,published
anthropic,claude,fast,input,uncached,0,,,30,published
"""
ALIASES = """\
provider,alias,model,effective_from,effective_to
openai,gpt-4o,gpt-4o-2024-05-13,2024-05-13,2024-10-02T00:00:00Z
openai,gpt-4o,gpt-4o-2024-08-06,2024-10-02T00:00:00Z,
openai,gpt-4o-mini,gpt-4o-2024-05-13,,
openai,ft:mini,ft:gpt-4o-mini,,
openai,lost,no-such-model,,
"""
Judge = Callable[..., Verdict]


@pytest.fixture
def card(tmp_path: Path) -> Path:
    folder = tmp_path / "card"
    folder.mkdir()
    (folder / "rates.csv").write_text(RATES)
    (folder / "aliases.csv").write_text(ALIASES)
    return folder


@pytest.fixture
def judged(tmp_path: Path, card: Path) -> Judge:
    """Judge files that are given as texts, lists of lines or bytes, by name."""

    def judge_files(account: str | None = None, **files: Any) -> Verdict:
        paths = []
        for name, content in files.items():
            suffix, content = name.rpartition("_")[2], "\n".join(content) if isinstance(content, list) else content
            paths.append(tmp_path / f"{name.rpartition('_')[0]}.{suffix}")
            paths[-1].write_bytes(content if isinstance(content, bytes) else content.encode())
        return judge(paths, card=card, now=NOW, account=account)

    return judge_files


def chat(
    prompt: int = 0, output: int = 0, *, at: str = "2025-11-21T00:00:00", model: str = "gpt-4o-mini", **more: Any
) -> str:
    """A line of Chat Completions; `cached` and the like go into the details of the prompt."""
    details = {key: more.pop(key) for key in ("cached_tokens", "audio_tokens", "image_tokens") if key in more}
    record: dict[str, Any] = {"id": "chatcmpl-1", "object": "chat.completion", "created": seconds(at), "model": model}
    record["usage"] = {"prompt_tokens": prompt, "completion_tokens": output, "prompt_tokens_details": details}
    return json.dumps(record | more)


def seconds(at: str) -> int:
    return int(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp())


def fates(verdict: Verdict) -> list[tuple[str, str | None]]:
    return [(record.fate, record.reason) for record in verdict.records]


def costs(verdict: Verdict) -> dict[tuple[str, str], Decimal | None]:
    """Cost by meter and caching status, requests left out."""
    return {(cell.meter, cell.caching_status): cost for cell, (_, cost) in priced_cells(verdict).items()}


def priced_cells(verdict: Verdict) -> dict[Cell, tuple[int, Decimal | None]]:
    return {cell: amount for cell, amount in verdict.rollup.items() if cell.meter != "requests"}


def only_cell(verdict: Verdict) -> Cell:
    (cell,) = priced_cells(verdict)
    return cell


# -------------------------------------------------------------------------------------------------------------- prices


def test_a_million_uncached_tokens_cost_the_rate(judged: Judge) -> None:
    verdict = judged(a_jsonl=chat(1_000_000))
    assert costs(verdict) == {("input", "uncached"): Decimal("0.15")}
    assert only_cell(verdict).price_status == "priced"
    assert only_cell(verdict).rate_effective_from == "2024-07-18"


def test_cached_uncached_and_output_are_priced_apart_and_reasoning_is_output(judged: Judge) -> None:
    # 2,048 - 1,920 = 128 x 0.15 = 19.2;  1,920 x 0.075 = 144;  310 x 0.60 = 186 (millionths of a dollar)
    line = json.loads(chat(2048, 310, cached_tokens=1920))
    line["usage"]["completion_tokens_details"] = {"reasoning_tokens": 300}
    assert costs(judged(a_jsonl=json.dumps(line))) == {
        ("input", "uncached"): Decimal("0.0000192"),
        ("input", "cached"): Decimal("0.000144"),
        ("output", "not_applicable"): Decimal("0.000186"),
    }


def test_image_tokens_leave_the_text_and_their_inferred_rate_shows(judged: Judge) -> None:
    verdict = judged(a_jsonl=chat(1000, image_tokens=400))
    assert {(cell.meter, cell.price_status): amount for cell, amount in priced_cells(verdict).items()} == {
        ("input", "priced"): (600, Decimal("0.00009")),
        ("image_input", "priced_inferred"): (400, Decimal("0.00006")),
    }


def test_requests_are_counted_and_cost_nothing(judged: Judge) -> None:
    lines = [chat(10, id="a"), chat(10, id="b"), chat(2048, id="c", cached_tokens=1024)]
    cells = {
        cell.caching_status: (cell, amount)
        for cell, amount in judged(a_jsonl=lines).rollup.items()
        if cell.meter == "requests"
    }
    assert {status: amount for status, (_, amount) in cells.items()} == {
        "uncached": (2, Decimal(0)),
        "cached": (1, Decimal(0)),
    }
    assert {cell.price_status for cell, _ in cells.values()} == {"not_charged"}
    assert {cell.rate_usd_per_million for cell, _ in cells.values()} == {None}


def test_a_batch_line_wins_over_the_tier_inside_it(judged: Judge) -> None:
    body = json.loads(chat(1_000_000, service_tier="default"))
    line = {"id": "batch_req_1", "custom_id": "1", "response": {"status_code": 200, "body": body}, "error": None}
    assert costs(judged(a_jsonl=json.dumps(line))) == {("input", "uncached"): Decimal("0.075")}


@pytest.mark.parametrize(
    ("at", "rate"), [("2025-06-09T23:59:59", "10"), ("2025-06-10T00:00:00", "2"), ("2025-06-10T00:00:01", "2")]
)
def test_a_rate_holds_from_its_first_instant_until_just_before_its_last(judged: Judge, at: str, rate: str) -> None:
    assert only_cell(judged(a_jsonl=chat(5, at=at, model="o3"))).rate_usd_per_million == Decimal(rate)


@pytest.mark.parametrize(("prompt", "band", "cost"), [(272_000, 0, "0.68"), (272_001, 272_000, "1.360005")])
def test_a_context_band_is_strict_and_takes_the_whole_prompt(judged: Judge, prompt: int, band: int, cost: str) -> None:
    # 272,000 x 2.50 / 1,000,000 = 0.68;  272,001 x 5 / 1,000,000 = 1.360005
    verdict = judged(a_jsonl=chat(prompt, at="2026-03-06T00:00:00", model="gpt-5.4"))
    assert only_cell(verdict).context_over_tokens == band
    assert costs(verdict) == {("input", "uncached"): Decimal(cost)}


@pytest.mark.parametrize(
    ("model", "at", "found"),
    [
        ("gpt-4o-mini", "2025-11-21T00:00:00", "gpt-4o-mini"),  # rates of its own beat its alias
        ("gpt-4o", "2024-10-01T23:59:59", "gpt-4o-2024-05-13"),
        ("gpt-4o", "2024-10-02T00:00:00", "gpt-4o-2024-08-06"),
        ("ft:gpt-4o-mini:acme::1", "2025-11-21T00:00:00", "ft:gpt-4o-mini"),
        ("ft:mini:acme:x:1:ckpt-step-5", "2025-11-21T00:00:00", "ft:gpt-4o-mini"),
        ("gpt-4o-mini-2030", "2025-11-21T00:00:00", None),  # never by a prefix
        ("ft:gpt-4o-mini-x", "2025-11-21T00:00:00", None),
        ("GPT-4O-MINI", "2025-11-21T00:00:00", None),
        ("lost", "2025-11-21T00:00:00", None),
    ],
)
def test_a_model_is_found_exactly_or_by_alias_or_as_a_fine_tune(
    judged: Judge, model: str, at: str, found: str | None
) -> None:
    cell = only_cell(judged(a_jsonl=chat(5, at=at, model=model)))
    assert (cell.model, cell.priced_model) == (model, found)
    assert (cell.price_status == "unpriced_unknown_model") == (found is None)


@pytest.mark.parametrize(
    ("model", "tier", "at", "prompt", "status"),
    [
        ("nobody", "scale", "2025-11-21", 5, "unpriced_unknown_model"),
        ("gpt-4o-mini", "scale", "2025-11-21", 5, "unpriced_provisioned"),
        ("gpt-5.4", "scale", "2026-03-06", 5, "unpriced_no_rate"),  # the tier has rates, for output only
        ("gpt-4o-mini", "incentivized-tier", "2025-11-21", 5, "unpriced_complimentary"),
        ("gpt-4o-mini", "flex", "2025-11-21", 5, "unpriced_unknown_tier"),
        ("gpt-4o-mini", "Default", "2025-11-21", 5, "unpriced_unknown_tier"),
        ("gpt-4o-mini", None, "2024-07-17", 5, "unpriced_before_first_rate"),
        ("gpt-5.4", "fast", "2026-03-06", 272_000, "priced"),
        ("gpt-5.4", "priority", "2026-03-06", 272_001, "unpriced_no_rate"),  # the band exists in another tier
    ],
)
def test_the_first_price_status_that_applies(
    judged: Judge, model: str, tier: str | None, at: str, prompt: int, status: str
) -> None:
    verdict = judged(a_jsonl=chat(prompt, at=at, model=model, service_tier=tier))
    assert only_cell(verdict).price_status == status
    assert (next(iter(costs(verdict).values())) is None) == status.startswith("unpriced")


def test_a_log_that_does_not_split_cached_input_is_an_upper_bound(judged: Judge) -> None:
    header = "occurred_at,model,tier,input_tokens,output_tokens\n"
    rows = "2025-11-21T00:00:00Z,gpt-4o-mini,,100,10\n2025-11-21T00:00:00Z,gpt-4o-mini,batch,100,10\n"
    statuses = {(c.tier, c.meter): c.price_status for c in priced_cells(judged(a_csv=header + rows))}
    assert statuses == {
        ("standard", "input"): "priced_upper_bound",
        ("standard", "output"): "priced",
        ("batch", "input"): "priced",  # the card has no cheaper cached rate in batch
        ("batch", "output"): "priced",
    }


def test_fast_is_a_tier_of_its_own_at_anthropic(judged: Judge) -> None:
    text = "occurred_at,model,provider,tier,input_uncached_tokens\n2025-11-21 01:00:00+01:00,claude,anthropic,fast,2\n"
    verdict = judged(a_csv=text)
    assert (only_cell(verdict).tier, costs(verdict)) == ("fast", {("input", "uncached"): Decimal("0.00006")})


# ------------------------------------------------------------------------------------------------------------ identity


def test_the_same_record_twice_is_counted_once_wherever_it_stands(judged: Judge) -> None:
    wrapped = json.dumps({"request_id": "r1", "ts": 5, "response": json.loads(chat(5))})
    verdict = judged(a_jsonl=[chat(5), chat(5)], b_jsonl=wrapped)
    assert fates(verdict) == [("accepted", None), ("duplicate", None), ("duplicate", None)]


def test_of_two_contents_the_later_one_stands(judged: Judge) -> None:
    lines = [chat(5, at="2025-11-21T10:00:00"), chat(6, at="2025-11-22T11:00:00"), chat(7, at="2025-11-21T23:00:00")]
    assert [record.fate for record in judged(a_jsonl=lines).records] == ["conflict", "accepted", "conflict"]


def test_an_id_comes_back_as_a_new_record_after_two_days(judged: Judge) -> None:
    lines = [chat(5, at="2025-11-21T23:59:59"), chat(6, at="2025-11-23T00:00:00")]
    assert judged(a_jsonl=lines).counts["accepted"] == 2


def test_records_without_an_id_repeat_within_a_file_and_meet_across_files(judged: Judge) -> None:
    line = {
        "timestamp": "2025-11-21T00:00:00Z",
        "response": {"object": "list", "model": "e", "usage": {"prompt_tokens": 5}},
    }
    verdict = judged(a_jsonl=[json.dumps(line)] * 2, b_jsonl=[json.dumps(line, indent=None, separators=(",", ":"))] * 3)
    assert [record.fate for record in verdict.records] == ["accepted", "accepted", "duplicate", "duplicate", "accepted"]


def test_one_id_in_two_accounts_is_two_records(judged: Judge) -> None:
    lines = [json.dumps({"account_id": name, "response": json.loads(chat(5))}) for name in "ab"]
    verdict = judged(account="c", a_jsonl=[*lines, chat(5)])
    assert {cell.account_id for cell in verdict.rollup} == {"a", "b", "c"}


# ---------------------------------------------------------------------------------------------------------- aggregates

DAY = {"object": "bucket", "start_time": seconds("2025-11-21"), "end_time": seconds("2025-11-22")}


def bucket(*results: dict[str, Any]) -> str:
    kind = {"object": "organization.usage.completions.result", "model": "gpt-4o-mini", "batch": False}
    return json.dumps({**DAY, "results": [kind | result for result in results]})


def quantities(verdict: Verdict) -> dict[tuple[str, str], int]:
    return {(cell.meter, cell.caching_status): quantity for cell, (quantity, _) in verdict.rollup.items()}


def test_todays_usage_rows_hold_audio_inside_the_whole(judged: Judge) -> None:
    row = {
        "input_tokens": 1000,
        "input_uncached_tokens": 600,
        "input_cached_tokens": 300,
        "input_cache_write_tokens": 100,
    }
    row |= {"input_audio_tokens": 50, "input_cached_audio_tokens": 20, "output_tokens": 90, "output_audio_tokens": 30}
    assert quantities(judged(a_jsonl=bucket(row | {"num_model_requests": 4}))) == {
        ("requests", "not_applicable"): 4,
        ("input", "uncached"): 550,
        ("input", "cached"): 280,
        ("input", "cache_write"): 100,
        ("audio_input", "uncached"): 50,
        ("audio_input", "cached"): 20,
        ("output", "not_applicable"): 60,
        ("audio_output", "not_applicable"): 30,
    }


def test_older_usage_rows_hold_audio_beside_the_text(judged: Judge) -> None:
    row = {"input_tokens": 1000, "input_cached_tokens": 300, "input_audio_tokens": 50, "output_tokens": 90}
    assert quantities(judged(a_jsonl=bucket(row | {"output_audio_tokens": 30, "num_model_requests": 4}))) == {
        ("requests", "not_applicable"): 4,
        ("input", "uncached"): 700,
        ("input", "cached"): 300,
        ("audio_input", "uncached"): 50,
        ("output", "not_applicable"): 90,
        ("audio_output", "not_applicable"): 30,
    }


def test_usage_rows_give_way_to_the_requests_of_their_day(judged: Judge) -> None:
    row = {"input_tokens": 9, "output_tokens": 0, "num_model_requests": 1}
    alone, beside = judged(a_jsonl=bucket(row)), judged(a_jsonl=bucket(row), b_jsonl=chat(5))
    assert fates(alone) == [("accepted", None)]
    assert fates(beside) == [("excluded", "counted_by_requests"), ("accepted", None)]
    assert quantities(beside) == {("requests", "uncached"): 1, ("input", "uncached"): 5}


def test_the_usage_row_with_more_requests_stands(judged: Judge) -> None:
    small, large = ({"input_tokens": 9 * n, "output_tokens": 0, "num_model_requests": n} for n in (1, 2))
    verdict = judged(a_jsonl=bucket(small), b_jsonl=bucket(large), c_jsonl=bucket(large, {**large, "model": "gpt-4o"}))
    duplicates = [("duplicate", "superseded"), ("accepted", None), ("duplicate", None), ("accepted", None)]
    assert fates(verdict) == duplicates


@pytest.mark.parametrize(
    ("batch", "tier", "expected", "status"),
    [
        (True, "default", "batch", "priced"),
        (False, None, "standard", "priced"),
        (None, None, None, "unpriced_unknown_tier"),
        (None, "default", "standard", "priced"),
    ],
)
def test_the_tier_of_usage_rows(
    judged: Judge, batch: bool | None, tier: str | None, expected: str | None, status: str
) -> None:
    row = {"input_tokens": 9, "output_tokens": 0, "num_model_requests": 0, "batch": batch, "service_tier": tier}
    cell = only_cell(judged(a_jsonl=bucket(row)))
    assert (cell.tier, cell.price_status) == (expected, status)


def test_usage_rows_may_hide_long_prompts(judged: Judge) -> None:
    row = {"model": "gpt-5.4", "input_tokens": 10**6, "output_tokens": 0, "num_model_requests": 2}
    line = json.loads(bucket(row)) | {"start_time": seconds("2026-03-06"), "end_time": seconds("2026-03-07")}
    verdict = judged(a_jsonl=json.dumps(line))
    assert (only_cell(verdict).price_status, costs(verdict)["input", "uncached"]) == (
        "priced_lower_bound",
        Decimal("2.5"),
    )


@pytest.mark.parametrize(
    ("leads_on", "expected"),
    [({"has_more": False}, ("accepted", None)), ({"next_page": None}, ("rejected", "unknown_shape"))],
)
def test_a_page_without_object_is_known_by_what_leads_on(
    judged: Judge, leads_on: dict[str, Any], expected: tuple[str, str | None]
) -> None:
    row = {"model": "gpt-4o-mini", "input_tokens": 9, "output_tokens": 0, "num_model_requests": 1}
    page = {"data": [json.loads(bucket(row))]} | leads_on
    assert fates(judged(a_jsonl=json.dumps(page))) == [expected]


def test_the_dashboards_csv_counts_like_the_api(judged: Judge) -> None:
    text = "start_time,end_time,start_time_iso,end_time_iso,num_model_requests,model,batch,service_tier,input_tokens,"
    text += "output_tokens,input_cached_tokens,input_uncached_tokens\n"
    text += "1763683200,1763769600,,,3.0,gpt-4o-mini,FALSE,default,1000000.0,0.0,200000.0,800000.0\n"
    text += "1763769600,1763856000,,,,,,,,,,\n"
    verdict = judged(a_csv=text)
    assert fates(verdict) == [("accepted", None), ("excluded", "empty_bucket")]
    # 800,000 x 0.15 = 0.12;  200,000 x 0.075 = 0.015
    assert costs(verdict) == {("input", "uncached"): Decimal("0.12"), ("input", "cached"): Decimal("0.015")}


# --------------------------------------------------------------------------------------------------------------- lines


def test_records_are_numbered_by_the_line_on_which_they_begin(judged: Judge) -> None:
    lines = b"\xef\xbb\xbf" + chat(1, id="a").encode() + b"\r\n  \r\n" + bucket({}, {}).encode() + b"\r\nnull"
    document = '[\n {"error":\n  {}},\n 5\n]'
    table = 'occurred_at,note,model,output_tokens\n,"two\nlines",m,1\n\n,,m,1\n'
    records = judged(a_jsonl=lines, b_json=document, c_csv=table).records
    assert [(Path(record.input_name).name, record.line_number, record.reason) for record in records] == [
        ("a.jsonl", 1, None),
        ("a.jsonl", 3, "missing_count"),
        ("a.jsonl", 3, "missing_count"),
        ("a.jsonl", 4, "not_an_object"),
        ("b.json", 2, "error_response"),
        ("b.json", 4, "not_an_object"),
        ("c.csv", 2, "missing_timestamp"),
        ("c.csv", 5, "missing_timestamp"),
    ]


@pytest.mark.parametrize(
    ("text", "instant_or_reason"),
    [
        ("2025-06-10T01:02:03.4567899Z", "2025-06-10T01:02:03.456789"),
        ("2025-06-10 01:02:03+02:00", "2025-06-09T23:02:03"),
        ("2025-12-31T23:59:60Z", "2025-12-31T23:59:59.999999"),
        ("2025-06-10T01:02:03", "naive_timestamp"),
        ("2025-06-10", "invalid_timestamp"),
        ("2025-06-10T24:00:00Z", "invalid_timestamp"),
        ("2025-02-30T00:00:00Z", "invalid_timestamp"),
        ("2019-12-31T23:59:59.999999Z", "implausible_timestamp"),
        ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00"),
        ("2026-11-23T02:00:00Z", "2026-11-23T02:00:00"),
        ("2026-11-23T02:00:00.000001Z", "implausible_timestamp"),
    ],
)
def test_times(judged: Judge, text: str, instant_or_reason: str) -> None:
    verdict = judged(a_csv=f"occurred_at,model,output_tokens\n{text},m,1\n")
    (record,) = verdict.records
    if record.reason is not None:
        assert record.reason == instant_or_reason
    else:
        assert only_cell(verdict).day == datetime.fromisoformat(instant_or_reason).date()


# --------------------------------------------------------------------------------------------------------- damaged logs

SHAPES: dict[str, Callable[[Author], Draft]] = {
    "chat": lambda author: author.chat(wants_details=True),
    "responses": lambda author: author.responses(wants_details=True),
    "batch": lambda author: author.batched(author.chat(wants_details=True)),
    "wrapped": lambda author: author.wrapped(author.responses(wants_details=True)),
    "embeddings": lambda author: author.wrapped(author.embeddings()),
}
FIRST = chat(5, id="first")


def second_record(judged: Judge, lines: Sequence[str | bytes]) -> Record:
    content = b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)
    records: list[Record] = judged(a_jsonl=content).records
    assert len(records) == 2
    return records[1]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("shape", ["chat", "responses", "batch", "wrapped"])
def test_each_damage_gets_the_reason_it_is_filed_under(judged: Judge, damage: Any, shape: str) -> None:
    for seed in range(12):
        draft = SHAPES[shape](Author(seed))
        if not can_take(damage, draft):
            return
        damage.apply(Random(seed), draft)
        record = second_record(judged, [FIRST, draft.text()])
        assert (record.fate, record.reason) == (damage.fate, damage.reason), draft.text()


@pytest.mark.parametrize("damage", WRAPPER_DAMAGES)
def test_each_damage_to_a_wrapper_gets_its_reason(judged: Judge, damage: Any) -> None:
    for seed in range(12):
        draft = SHAPES["embeddings"](Author(seed))
        damage.apply(Random(seed), draft)
        text = with_repeated_place(draft.text())
        record = second_record(judged, [FIRST, text])
        assert (record.fate, record.reason) == (damage.fate, damage.reason), text


@pytest.mark.parametrize("damage", LINE_DAMAGES)
def test_each_damage_to_a_line_gets_its_reason(judged: Judge, damage: Any) -> None:
    for seed in range(12):
        line = damage.apply(Random(seed), SHAPES["chat"](Author(seed)).text())
        assert second_record(judged, [FIRST, line]).reason == damage.reason, line


@pytest.mark.parametrize("odd", ODD_LINES)
def test_each_odd_line_gets_its_reason(judged: Judge, odd: Any) -> None:
    record = second_record(judged, [FIRST, odd.text])
    assert (record.fate, record.reason) == (odd.fate, odd.reason)


@pytest.mark.parametrize("damage", ROW_DAMAGES)
@pytest.mark.parametrize("format_name", ["csv", "jsonl"])
@pytest.mark.parametrize("variant", list(PLAIN_HEADERS))
def test_each_damage_to_a_plain_row_gets_its_reason(
    judged: Judge, tmp_path: Path, damage: Any, format_name: str, variant: str
) -> None:
    if not row_can_take(damage, variant, format_name):
        return
    for seed in range(8):
        row = plain_row(Author(seed), variant)
        damage_row(Random(seed), row, variant, format_name, damage)
        text: Any = compact({key: value for key, value in row.items() if value is not None})
        if format_name == "csv":
            text = Folder(tmp_path, seed).csv_text(list(row), [row])
        (record,) = judged(**{f"a_{format_name}": text}).records
        assert (record.fate, record.reason) == (damage.fate, damage.reason), text


@pytest.mark.parametrize("damage", RESULT_DAMAGES)
def test_each_damage_to_a_usage_row_gets_its_reason(judged: Judge, tmp_path: Path, damage: Any) -> None:
    export = EXPORTS["usage-page"]
    for seed in range(8):
        for is_csv, values in ((False, damage.json_values), (True, damage.csv_values)):
            if not values:
                continue
            row = usage_result(Author(seed), export, export.first_day, 1)
            damage_result(Random(seed), row, is_csv=is_csv, damage=damage)
            text: Any = compact({**DAY, "results": [row]})
            if is_csv:
                row = {"start_time": 1_763_683_200, "end_time": 1_763_769_600} | row
                del row["object"]
                text = Folder(tmp_path, seed).csv_text(list(row), [row])
            (record,) = judged(**{"a_csv" if is_csv else "a_jsonl": text}).records
            assert (record.fate, record.reason) == ("rejected", damage.reason), text


@pytest.mark.parametrize("change", range(len(HARMLESS) + len(HARMLESS_TEXT)))
def test_harmless_changes_change_nothing(judged: Judge, change: int) -> None:
    for seed in range(12):
        draft = SHAPES["chat"](Author(seed))
        if change < len(HARMLESS):
            HARMLESS[change](Random(seed), draft)
            text = draft.text()
        else:
            text = HARMLESS_TEXT[change - len(HARMLESS)](Random(seed), draft.text())
        assert second_record(judged, [FIRST, text]).fate == "accepted", text


def test_damaged_logs_are_written_alike_from_the_same_seed(tmp_path: Path) -> None:
    first, second = (write_damaged_logs(tmp_path / name, 2000, seed=3) for name in "ab")
    assert [path.name for path in first] == [path.name for path in second]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.parametrize("seed", range(3))
def test_damaged_logs_hold_what_was_asked_for_and_every_record_has_one_fate(
    tmp_path: Path, card: Path, seed: int
) -> None:
    files = write_damaged_logs(tmp_path / "logs", 3000, seed)
    verdict = judge(files, card=card, now=NOW)
    assert len(verdict.records) == sum(verdict.counts.values()) == 3000
    assert verdict.refused == {}
    assert all(verdict.counts.values())


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_files_changes_neither_rollup_nor_counts(tmp_path: Path, card: Path, seed: int) -> None:
    files = write_damaged_logs(tmp_path / "logs", 3000, seed)
    one, other = judge(files, card=card, now=NOW), judge(files[::-1], card=card, now=NOW)
    assert one.rollup == other.rollup
    reasons = [Counter((record.fate, record.reason) for record in verdict.records) for verdict in (one, other)]
    assert reasons[0] == reasons[1]
