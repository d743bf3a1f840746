"""Records without usage whose text is there: counted, marked, and no more than a stand-in for what a provider reports.

The vocabulary is that of tests/small_vocabulary.py: each of its words is one token, of any other word each byte is one.
"""

from __future__ import annotations

import base64
import json
import os
import struct
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import small_vocabulary
from nights import MINI, NOON, chat, costroll, costroll_process, rows_of, write_jsonl

from etl import framing, reading
from etl.estimates import streams
from etl.estimates.images import image_tokens, tiles
from etl.estimates.rules import Counting
from etl.vocabularies import FOLDER_VARIABLE, VOCABULARIES, Vocabularies

# "user" 1 + "Hello" 1 + " world" 1 + around the message 3 + before the answer 3 = 9 tokens; "Hi" + " there" + "!" = 3.
REQUEST = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello world"}]}
ANSWER = [{"index": 0, "message": {"role": "assistant", "content": "Hi there!"}, "finish_reason": "stop"}]


@pytest.fixture(autouse=True)
def vocabulary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return small_vocabulary.install(monkeypatch, tmp_path / "vocabulary")


def without_usage(request_id: str, **changes: Any) -> dict[str, Any]:
    record = chat(request_id, choices=ANSWER) | changes
    del record["usage"]
    return record


def call(request_id: str, request: Any = REQUEST, **changes: Any) -> dict[str, Any]:
    """A line of a gateway that keeps the request beside the answer."""
    return {"request": request, "response": without_usage(request_id, **changes)}


def counted(tmp_path: Path, *records: dict[str, Any], options: tuple[str, ...] = ("--estimate-tokens",)) -> list[Any]:
    """Request id, input, output and whether it is estimated of what is accepted."""
    log = write_jsonl(tmp_path / "app.jsonl", records)
    costroll("run", "--warehouse", tmp_path / "warehouse", *options, log)
    columns = ("request_id", "input_uncached_tokens", "output_tokens", "is_estimated")
    return rows_of(tmp_path / "warehouse", "usage", *columns)


def test_a_call_without_usage_is_counted_from_its_text_and_marked_to_the_rollup(tmp_path: Path) -> None:
    """9 x 0.15 + 3 x 0.60 = 3.15 per million; the other call reports 1,000 and 100: 0.00021."""
    log = write_jsonl(tmp_path / "app.jsonl", [call("a"), chat("b")])

    ran = costroll("run", "--warehouse", tmp_path / "warehouse", "--estimate-tokens", log)

    assert ran.code == 0
    assert ran.closure == "read 2 = accepted 2 + duplicate 0 + conflict 0 + excluded 0 + rejected 0"
    assert "estimated: 1 record had no usage; their tokens were counted from their text" in ran.out
    columns = ("is_estimated", "meter", "quantity", "cost_usd", "price_status")
    assert rows_of(tmp_path / "warehouse", "rollups", *columns) == [
        (False, "input", 1000, Decimal("0.000150000000"), "priced"),
        (False, "output", 100, Decimal("0.000060000000"), "priced"),
        (False, "requests", 1, Decimal(0), "not_charged"),
        (True, "input", 9, Decimal("0.000001350000"), "priced_upper_bound"),
        (True, "output", 3, Decimal("0.000001800000"), "priced"),
        (True, "requests", 1, Decimal(0), "not_charged"),
    ]


def test_without_the_option_such_a_call_is_missing_usage_as_ever(tmp_path: Path) -> None:
    log = write_jsonl(tmp_path / "app.jsonl", [call("a")])

    ran = costroll("run", "--warehouse", tmp_path / "warehouse", log)

    assert ran.code == 3
    assert "missing_usage 1 (first at line 1)" in ran.err
    assert rows_of(tmp_path / "warehouse", "usage") == []


def test_the_settings_file_may_ask_for_it(tmp_path: Path) -> None:
    settings = tmp_path / "costroll.toml"
    settings.write_text("[run]\nestimate_tokens = true\n")
    assert counted(tmp_path, call("a"), options=("--config", str(settings))) == [("a", 9, 3, True)]


TEXT = {"type": "text", "text": "Hello world"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png", "detail": "low"}}
TOOL_CALL = {"id": "call_1", "type": "function", "function": {"name": "get", "arguments": "{}"}}


MESSAGES = [
    # around each message 3, before the answer 3, and the words
    ([{"role": "user", "content": "Hi"}], 3 + 3 + 1 + 1),
    ([{"role": "system", "content": "Hi"}, {"role": "user", "content": "Hi"}], 3 + 2 * (3 + 1 + 1)),
    ([{"role": "user", "name": "Hi", "content": "Hi"}], 3 + 3 + 1 + (1 + 1) + 1),
    ([{"role": "user", "content": "x"}], 3 + 3 + 1 + 1),
    ([{"role": "user", "content": [TEXT, IMAGE]}], 3 + 3 + 1 + 2 + 2833),
    ([{"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}], 3 + 3 + 1 + 1 + 2),
    ([{"role": "user", "content": "<|endoftext|>"}], 3 + 3 + 1 + 13),  # text, not a special token
]


def test_the_tokens_of_messages(tmp_path: Path) -> None:
    calls = [call(f"{number}", REQUEST | {"messages": messages}) for number, (messages, _) in enumerate(MESSAGES)]
    assert counted(tmp_path, *calls) == [(f"{number}", tokens, 3, True) for number, (_, tokens) in enumerate(MESSAGES)]


def test_where_a_wrapper_may_keep_the_request(tmp_path: Path) -> None:
    wrappers: list[dict[str, Any]] = [
        {"request": {"url": "/v1/chat/completions", "body": REQUEST}},
        {"request_body": '{"messages": [{"role": "user", "content": "Hello world"}]}'},
        {"messages": REQUEST["messages"]},
        {"input": REQUEST},
    ]
    calls = [wrapper | {"response": without_usage(f"{number}")} for number, wrapper in enumerate(wrappers)]
    assert counted(tmp_path, *calls) == [(f"{number}", 9, 3, True) for number in range(4)]


def test_legacy_completions_and_the_responses_api(tmp_path: Path) -> None:
    """A prompt without overhead: "Hello" + " world" = 2; a response's is a message: 9, or 14 with instructions."""
    legacy = without_usage("cmpl-1", object="text_completion", choices=[{"index": 0, "text": "Hi there!"}])
    response = {"id": "resp_1", "object": "response", "created_at": NOON, "status": "completed", "model": MINI}
    response["output"] = [{"type": "message", "content": [{"type": "output_text", "text": "Hi there!"}]}]
    found = counted(
        tmp_path,
        {"request": {"prompt": "Hello world"}, "response": legacy},
        {"request": {"input": "Hello world"}, "response": response},
        {"request": {"input": "Hello world", "instructions": "Hi"}, "response": response | {"id": "resp_2"}},
    )
    assert found == [("cmpl-1", 2, 3, True), ("resp_1", 9, 3, True), ("resp_2", 9 + 5, 3, True)]


AUDIO = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
FAR = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}


BEYOND = [
    without_usage("0"),  # no request: half of the bill is not there
    call("1", choices=[]),
    call("2", choices=[{"index": 0, "message": {"role": "assistant", "content": None}}]),
    call("3", model="o3-mini-2025-01-31"),  # its reasoning is billed and not logged
    call("4", model="gpt-5-2025-08-07"),
    call("5", model="gpt-4o-audio-preview"),
    call("6", model="claude-haiku-4-5"),
    call("7", model="gpt-neo-of-our-own"),
    call("8", {"messages": [{"role": "user", "content": [AUDIO]}]}),
    call("9", {"messages": [{"role": "user", "content": [FAR]}]}),  # its size is not in the log
    call("10") | {"usage": {"prompt_tokens": 5}},  # the wrapper reports something
]


def test_what_is_not_all_there_stays_missing_usage(tmp_path: Path) -> None:
    log = write_jsonl(tmp_path / "app.jsonl", BEYOND)

    ran = costroll("run", "--warehouse", tmp_path / "warehouse", "--estimate-tokens", log)

    assert f"missing_usage {len(BEYOND)} (first at line 1)" in ran.err
    assert rows_of(tmp_path / "warehouse", "usage") == []


def test_an_estimate_is_judged_like_any_record(tmp_path: Path) -> None:
    """Its text is all there, and its time is not."""
    log = write_jsonl(tmp_path / "app.jsonl", [call("a", created=None)])
    ran = costroll("run", "--warehouse", tmp_path / "warehouse", "--estimate-tokens", log)
    assert "missing_timestamp 1 (first at line 1)" in ran.err


def test_the_fast_reader_the_strict_one_and_a_document_count_alike(tmp_path: Path) -> None:
    one = call("a")
    doubled = write_jsonl(tmp_path / "doubled.jsonl", ['{"unread":1,"unread":2,' + json.dumps(call("b"))[1:]])
    document = tmp_path / "document.json"
    document.write_text("[\n" + json.dumps(call("c")) + ",\n" + json.dumps(chat("d")) + "\n]\n")
    log = write_jsonl(tmp_path / "plain.jsonl", [one])

    ran = costroll("run", "--warehouse", tmp_path / "warehouse", "--estimate-tokens", log, doubled, document)

    assert ran.code == 0
    columns = ("request_id", "input_uncached_tokens", "output_tokens", "line_number", "is_estimated")
    assert rows_of(tmp_path / "warehouse", "usage", *columns) == [
        ("a", 9, 3, 1, True),
        ("b", 9, 3, 1, True),
        ("c", 9, 3, 2, True),
        ("d", 1000, 100, 3, False),
    ]


REPORTED = chat("a", prompt=8, completion=2)  # less than the 9 and 3 that were estimated


@pytest.mark.parametrize("records", [(call("a"), REPORTED), (REPORTED, call("a"))], ids=["before", "after"])
def test_reported_usage_beats_an_estimate_in_the_same_run(tmp_path: Path, records: tuple[Any, ...]) -> None:
    log = write_jsonl(tmp_path / "app.jsonl", records)

    ran = costroll("run", "--warehouse", tmp_path / "warehouse", "--estimate-tokens", log)

    assert ran.closure == "read 2 = accepted 1 + duplicate 1 + conflict 0 + excluded 0 + rejected 0"
    columns = ("request_id", "input_uncached_tokens", "output_tokens", "is_estimated")
    assert rows_of(tmp_path / "warehouse", "usage", *columns) == [("a", 8, 2, False)]


@pytest.mark.parametrize(
    ("nights", "fate"),
    [((call("a"), REPORTED), "accepted 1 + duplicate 0"), ((REPORTED, call("a")), "accepted 0 + duplicate 1")],
    ids=["before", "after"],
)
def test_reported_usage_beats_an_estimate_of_another_night(tmp_path: Path, nights: tuple[Any, ...], fate: str) -> None:
    for number, record in enumerate(nights):
        log = write_jsonl(tmp_path / f"{number}.jsonl", [record])
        ran = costroll("run", "--warehouse", tmp_path / "warehouse", "--estimate-tokens", log)

    assert f"read 1 = {fate}" in ran.closure
    columns = ("request_id", "input_uncached_tokens", "output_tokens", "is_estimated")
    assert rows_of(tmp_path / "warehouse", "usage", *columns) == [("a", 8, 2, False)]
    assert {row[0] for row in rows_of(tmp_path / "warehouse", "rollups", "is_estimated")} == {False}
    assert costroll("verify", "--warehouse", tmp_path / "warehouse").code == 0


def test_a_log_that_was_read_without_the_option_is_read_again_with_it(tmp_path: Path) -> None:
    log = write_jsonl(tmp_path / "app.jsonl", [call("a"), chat("b")])
    costroll("run", "--warehouse", tmp_path / "warehouse", log)

    ran = costroll("run", "--warehouse", tmp_path / "warehouse", "--estimate-tokens", log)

    assert ran.closure == "read 2 = accepted 1 + duplicate 1 + conflict 0 + excluded 0 + rejected 0"
    assert rows_of(tmp_path / "warehouse", "rejects") == []


def test_daily_costs_tell_what_rests_on_estimates(tmp_path: Path) -> None:
    counted(tmp_path, call("a"), chat("b"))
    query = "select cost_usd::varchar, estimated_cost_usd::varchar from daily_costs"
    ran = costroll("sql", "--json", "--warehouse", tmp_path / "warehouse", query)
    assert "0.000213150000" in ran.out and "0.000003150000" in ran.out


def chunk(request_id: str, content: str | None = None, **changes: Any) -> dict[str, Any]:
    """A line of a gateway that logs each chunk of a stream."""
    choices = [{"index": 0, "delta": {} if content is None else {"content": content}, "finish_reason": None}]
    said = {"id": request_id, "object": "chat.completion.chunk", "created": NOON, "model": MINI, "choices": choices}
    return {"chunk": said | changes}


END = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
USAGE = {"prompt_tokens": 8, "completion_tokens": 2}
PIECES = [{"request": REQUEST} | chunk("a", "Hi"), chunk("a", " there"), chunk("a", "!"), chunk("a", choices=END)]


def test_an_export_and_an_explanation_tell_what_rests_on_estimates(tmp_path: Path) -> None:
    """Output: 3 x 0.60 per million counted from the text, and 100 x 0.60 per million reported."""
    log = write_jsonl(tmp_path / "app.jsonl", [call("a"), chat("b")])
    costroll("run", "--warehouse", tmp_path / "warehouse", "--estimate-tokens", log)
    own = ("--warehouse", tmp_path / "warehouse")

    costroll(*own, "export", "costs", "--month", "2026-06", "--out", tmp_path, "--format", "parquet")
    [file] = tmp_path.glob("*.parquet")
    exported = pl.read_parquet(file).filter(pl.col("meter") == "output")
    explained = costroll(*own, "explain", "--day", "2026-06-01", "--meter", "output").out

    assert sorted(exported.select("cost_usd", "is_estimated").rows()) == [
        (Decimal("0.0000018"), True),
        (Decimal("0.00006"), False),
    ]
    assert explained.count("these tokens were counted by Costroll from the text") == 1


def test_a_stream_without_its_usage_chunk_is_counted_as_a_whole(tmp_path: Path) -> None:
    """Two streams, their chunks mixed; the request stands with the first of each. One is cut off after a word."""
    cut = [{"request": REQUEST} | chunk("b", "Hi"), chunk("b", " there")]
    lines = [PIECES[0], cut[0], *PIECES[1:3], cut[1], PIECES[3]]
    log = write_jsonl(tmp_path / "app.jsonl", lines)

    ran = costroll("run", "--warehouse", tmp_path / "warehouse", "--estimate-tokens", log)

    assert ran.closure == "read 6 = accepted 2 + duplicate 0 + conflict 0 + excluded 4 + rejected 0"
    columns = ("request_id", "input_uncached_tokens", "output_tokens", "line_number", "is_estimated")
    assert rows_of(tmp_path / "warehouse", "usage", *columns) == [("a", 9, 3, 6, True), ("b", 9, 2, 5, True)]
    assert costroll("run", "--warehouse", tmp_path / "warehouse", log).closure.startswith("read 0 =")


@pytest.mark.parametrize(
    "lines",
    [
        [*PIECES, chunk("a", choices=[], usage=USAGE)],
        [*PIECES, chat("a", prompt=8, completion=2)],
        [chunk("a", choices=[], usage=USAGE), *PIECES],
    ],
    ids=["its own", "assembled", "before"],
)
def test_a_stream_that_tells_its_usage_is_not_estimated(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    assert counted(tmp_path, *lines) == [("a", 8, 2, False)]


def test_a_stream_that_is_logged_twice_or_without_its_request_stays_without_usage(tmp_path: Path) -> None:
    twice = [*PIECES, *PIECES]
    bare = [chunk("b", "Hi"), chunk("b", choices=END)]
    log = write_jsonl(tmp_path / "app.jsonl", [*twice, *bare])

    ran = costroll("run", "--warehouse", tmp_path / "warehouse", "--estimate-tokens", log)

    assert ran.closure == "read 10 = accepted 0 + duplicate 0 + conflict 0 + excluded 10 + rejected 0"


def test_streams_are_counted_early_when_many_chunks_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that was counted and then tells its usage is not counted, and one that goes on is not whole."""
    monkeypatch.setattr(streams, "HELD_CHUNKS_MAX", 1)
    monkeypatch.setattr(framing, "CHUNK_BYTES", 500)
    monkeypatch.setattr(reading, "SMALL_BYTES", 0)
    again = [line | {"chunk": line["chunk"] | {"id": "c"}} for line in PIECES]
    told = [line | {"chunk": line["chunk"] | {"id": "b"}} for line in PIECES]
    lines = [*PIECES, *told, *again, chunk("b", choices=[], usage=USAGE), chunk("c", "!")]
    assert counted(tmp_path, *lines) == [("a", 9, 3, True), ("b", 8, 2, False)]


CALLS = [
    {"tool_calls": [{"index": 0, "function": {"name": "get", "arguments": ""}}]},
    {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]},
    {"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]},
]


def test_tool_calls_of_a_stream_are_put_together(tmp_path: Path) -> None:
    """ "get" is 1, "{" and "}" 2."""
    lines = [chunk("a", choices=[{"index": 0, "delta": delta, "finish_reason": None}]) for delta in CALLS]
    assert counted(tmp_path, {"request": REQUEST} | lines[0], *lines[1:]) == [("a", 9, 3, True)]


def png(width: int, height: int) -> str:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height)
    return "data:image/png;base64," + base64.b64encode(head).decode()


def jpeg(width: int, height: int) -> str:
    frame = struct.pack(">HBHH", 17, 8, height, width)
    head = b"\xff\xd8\xff\xe0" + struct.pack(">H14x", 16) + b"\xff\xc0" + frame + bytes(12)
    return "data:image/jpeg;base64," + base64.b64encode(head).decode()


@pytest.mark.parametrize(
    ("width", "height", "number"),
    [
        (512, 512, 1),
        (513, 512, 2),
        (768, 768, 4),
        (1024, 1024, 4),  # to 768 x 768
        (2048, 4096, 6),  # to 1,024 x 2,048, then to 768 x 1,536
        (4096, 2048, 6),
        (1, 1, 1),
        (10000, 100, 4),  # to 2,048 x 20.48
    ],
)
def test_the_tiles_of_an_image(width: int, height: int, number: int) -> None:
    assert tiles(width, height) == number
    assert image_tokens("gpt-4o-2024-08-06", png(width, height), "high") == 85 + 170 * number
    assert image_tokens("gpt-4o-mini-2024-07-18", jpeg(width, height), None) == 2833 + 5667 * number
    assert image_tokens("gpt-4.1-mini-2025-04-14", png(width, height), "high") is None


GIF = b"GIF89a" + struct.pack("<HH", 600, 500)
VP8 = b"RIFF\0\0\0\0WEBP"


@pytest.mark.parametrize(
    "head",
    [
        GIF,
        VP8 + b"VP8 " + bytes(10) + struct.pack("<HH", 600, 500),
        VP8 + b"VP8L" + bytes(5) + struct.pack("<I", 599 | 499 << 14),
        VP8 + b"VP8X" + bytes(8) + (599).to_bytes(3, "little") + (499).to_bytes(3, "little"),
    ],
)
def test_the_size_of_other_images(head: bytes) -> None:
    """600 x 500 takes two tiles: 85 + 2 x 170."""
    assert image_tokens("gpt-4o", "data:image/x;base64," + base64.b64encode(head).decode(), "high") == 425


@pytest.mark.parametrize("url", ["data:image/png;base64,!!!", "data:image/png;base64,AAAA", "data:,x", "cat.png", None])
def test_an_image_whose_size_is_not_to_be_seen_is_not_counted(url: str | None) -> None:
    assert image_tokens("gpt-4o", url, "high") is None


def test_without_a_vocabulary_nothing_is_touched_and_the_way_to_get_one_is_told(
    tmp_path: Path, vocabulary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write_jsonl(tmp_path / "app.jsonl", [call("a")])
    command = ("run", "--warehouse", tmp_path / "warehouse", "--estimate-tokens", log)

    path = vocabulary / VOCABULARIES["o200k_base"].file_name
    path.write_bytes(path.read_bytes() + b"eA== 999\n")
    spoilt = costroll(*command)
    path.unlink()
    missing = costroll(*command)
    monkeypatch.delenv(FOLDER_VARIABLE)
    unnamed = costroll(*command)

    assert [ran.code for ran in (spoilt, missing, unnamed)] == [2, 2, 2]
    assert "is not the vocabulary o200k_base: its SHA-256 differs" in spoilt.err
    assert f"there is no vocabulary o200k_base at {path}" in missing.err
    assert "TIKTOKEN_CACHE_DIR is not set" in unnamed.err
    for ran in (spoilt, missing, unnamed):
        assert 'TIKTOKEN_CACHE_DIR=FOLDER python -c "import tiktoken;' in ran.err
    assert not (tmp_path / "warehouse").exists()


def test_the_text_goes_nowhere(tmp_path: Path) -> None:
    """Canaries in every text that is counted, whatever becomes of the record."""
    canary = "CANARY-the-patient-said"
    request = {"messages": [{"role": "user", "name": canary, "content": canary}], "tools": [{"x": canary}]}
    answer = [{"index": 0, "message": {"role": "assistant", "content": canary}}]
    said = [{"index": 0, "delta": {"content": canary}}]
    stream = [{"request": request} | chunk("e", canary), chunk("e", choices=said)]
    records = [
        *stream,
        call("a", request, choices=answer),
        call("b", request, choices=answer, created=None),
        call("c", request),
    ]
    log = write_jsonl(tmp_path / "app.jsonl", [*records, chat("a"), call("d", request, model="o3", choices=answer)])

    ran = costroll("run", "--json", "--warehouse", tmp_path / "warehouse", "--estimate-tokens", log, with_database=True)

    assert ran.said["estimated"] == 2  # "c" and the stream; of "a" reported usage stands
    assert canary not in ran.out + ran.err
    for path in (tmp_path / "warehouse").rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert canary.encode() not in path.read_bytes()
            assert path.suffix != ".parquet" or canary not in str(pl.read_parquet(path).rows())


REAL = Path(os.environ.get("COSTROLL_TIKTOKEN_CACHE_DIR", ""))


def test_the_patterns_are_those_of_tiktoken(monkeypatch: pytest.MonkeyPatch) -> None:
    from tiktoken_ext import openai_public

    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", lambda *_, **__: {})
    for name, published in VOCABULARIES.items():
        assert openai_public.ENCODING_CONSTRUCTORS[name]()["pat_str"] == published.pattern


BE_PLAIN = "You are a helpful, pattern-following assistant that translates corporate jargon into plain English."
CIRCLE = "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage."
OCEAN = "This late pivot means we don't have time to boil the ocean for the client deliverable."
COOKBOOK = [
    {"role": "system", "content": BE_PLAIN},
    {"role": "system", "name": "example_user", "content": "New synergies will help drive top-line growth."},
    {"role": "system", "name": "example_assistant", "content": "Things working well together will increase revenue."},
    {"role": "system", "name": "example_user", "content": CIRCLE},
    {
        "role": "system",
        "name": "example_assistant",
        "content": "Let's talk later when we're less busy about how to do better.",
    },
    {"role": "user", "content": OCEAN},
]


@pytest.mark.skipif(not REAL.name, reason="COSTROLL_TIKTOKEN_CACHE_DIR names no folder with the published vocabularies")
def test_the_published_vocabularies_count_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples of OpenAI's cookbook "How to count tokens with tiktoken", the last two as the API reported them."""
    monkeypatch.undo()
    real = Vocabularies(REAL)
    assert real.count("o200k_base", "tiktoken is great!") == 6
    assert real.count("cl100k_base", "tiktoken is great!") == 6
    assert real.count("cl100k_base", "お誕生日おめでとう") == 9
    assert real.count("o200k_base", "お誕生日おめでとう") == 8
    assert Counting(real, "gpt-3.5-turbo").chat_request({"messages": COOKBOOK}) == 129
    assert Counting(real, "gpt-4o-mini").chat_request({"messages": COOKBOOK}) == 124


def test_a_process_of_its_own_needs_the_real_vocabulary(tmp_path: Path, vocabulary: Path) -> None:
    """Nothing but the published files is taken outside of these tests."""
    log = write_jsonl(tmp_path / "app.jsonl", [call("a")])
    ran = costroll_process("run", "--warehouse", tmp_path / "warehouse", "--estimate-tokens", log)
    assert ran.returncode == 2
    assert "is not the vocabulary o200k_base" in ran.stderr
