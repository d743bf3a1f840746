"""A key that smells of money and that nobody knows is told: a provider may have added something to bill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from nights import NOON, chat, costroll, write_jsonl

from etl import unknown_keys
from etl.framing import Chunk
from etl.unknown_keys import KeyWatch

KNOWN = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


def with_usage(request_id: str, **more: Any) -> dict[str, Any]:
    return chat(request_id, usage=KNOWN | more)


def told(tmp_path: Path, *records: dict[str, Any]) -> list[str]:
    """The paths of the unknown keys."""
    log = write_jsonl(tmp_path / "app.jsonl", records)
    ran = costroll("run", "--json", "--warehouse", tmp_path / "warehouse", log)
    return [key["path"] for key in ran.said["unknown_keys"]]


def test_an_unknown_key_is_counted_and_told_and_does_not_alarm(tmp_path: Path) -> None:
    new = [with_usage(name, prompt_tokens_details={"hologram_tokens": 7}) for name in "bc"]
    log = write_jsonl(tmp_path / "app.jsonl", [chat("a"), *new])

    ran = costroll("run", "--warehouse", tmp_path / "warehouse", log)

    assert ran.code == 0
    assert ran.err == (
        f"{log}: unknown_key: openai_chat has usage.prompt_tokens_details.hologram_tokens, which Costroll"
        " does not know: in 2 of 3 lines looked at, first at line 2; if it is billed, its cost is not here\n"
    )
    status = costroll("status", "--warehouse", tmp_path / "warehouse")
    assert "keys it did not know: openai_chat usage.prompt_tokens_details.hologram_tokens" in status.out
    left = json.loads((tmp_path / "warehouse/last_run.json").read_text())
    assert left["unknown_keys"] == {"openai_chat usage.prompt_tokens_details.hologram_tokens": 2}
    quiet = costroll("run", "--quiet", "--warehouse", tmp_path / "quiet", log)
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_a_threshold_makes_it_alarm_and_an_acknowledgement_silences_it(tmp_path: Path) -> None:
    log = write_jsonl(tmp_path / "app.jsonl", [with_usage("a", cost=1)])
    settings = tmp_path / "costroll.toml"
    settings.write_text("[alert]\nunknown_keys = 0\n")
    alarmed = costroll("run", "--warehouse", tmp_path / "1", "--config", settings, log)
    settings.write_text(settings.read_text() + '[[alert.acknowledge]]\nreason = "openai_chat usage.cost"\n')
    acknowledged = costroll("run", "--warehouse", tmp_path / "2", "--config", settings, log)

    assert alarmed.code == 3
    assert "needs attention: 1 unknown key that smells of money" in alarmed.err
    assert acknowledged.code == 0


def test_what_holds_nothing_is_no_news(tmp_path: Path) -> None:
    nothing = [None, 0, False, "", {}, [], {"deep_tokens": 0}]
    records = [with_usage(f"{number}", hologram_tokens=value) for number, value in enumerate(nothing)]
    assert told(tmp_path, *records) == []


def test_what_stands_elsewhere_or_does_not_smell_is_not_told(tmp_path: Path) -> None:
    """Only the usage object of a chat completion holds what is billed."""
    record = with_usage("a", seconds=5) | {"my_cost_center": 7, "request": {"max_tokens": 100}}
    assert told(tmp_path, record, {"cost_center": 1, "response": chat("b")}) == []


def test_what_is_no_name_is_not_repeated(tmp_path: Path) -> None:
    names = ["a b_tokens", "PROMPT-CANARY_token", "x" * 80 + "_cost"]
    assert told(tmp_path, *(with_usage(f"{number}", **{name: 5}) for number, name in enumerate(names))) == []


def test_a_wrapped_record_a_document_and_a_table(tmp_path: Path) -> None:
    wrapped = write_jsonl(tmp_path / "a.jsonl", [{"response": with_usage("a", Cached_Audio_Tokens=1)}])
    document = tmp_path / "b.json"
    records = [chat("b"), with_usage("c", details={"cache_hits": 2})]
    document.write_text("[\n" + ",\n".join(map(json.dumps, records)) + "\n]")
    header = "start_time,end_time,start_time_iso,end_time_iso,model,batch,input_tokens,output_tokens,num_model_requests"
    cells = f"{NOON - 43200},{NOON + 43200},2026-06-01,2026-06-02,gpt-4o-mini-2024-07-18,false,1000,100,1"
    table = write_jsonl(tmp_path / "c.csv", [f"{header},input_hologram_tokens,input_idle_tokens", f"{cells},3,0"])

    ran = costroll("run", "--json", "--warehouse", tmp_path / "warehouse", wrapped, document, table)

    assert [(key["source"], key["path"], key["line"]) for key in ran.said["unknown_keys"]] == [
        ("openai_chat", "usage.Cached_Audio_Tokens", 1),
        ("openai_chat", "usage.details.cache_hits", 3),
        ("openai_usage", "input_hologram_tokens", 2),
    ]


def test_a_few_stretches_of_a_large_chunk_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight stretches of three lines, one behind each eighth's beginning: line 52 is in one, line 45 is not."""
    line = json.dumps(chat("a")).encode()
    new = json.dumps(with_usage("b", hologram_tokens=1)).encode()
    line, new = line.ljust(len(new)) + b"\n", new + b"\n"
    monkeypatch.setattr(unknown_keys, "STRETCH_BYTES", 3 * len(line))
    lines = [line] * 100
    lines[44] = lines[51] = new
    watch = KeyWatch(None)

    found = watch.look(Chunk(b"".join(lines), 1, 0, 100), frozenset())
    again = watch.look(Chunk(b"".join(lines), 101, 0, 100), frozenset())

    assert found.looked_at == 24
    assert found.met == {("openai_chat", "usage.hologram_tokens"): (1, 52)}
    assert again.met == {("openai_chat", "usage.hologram_tokens"): (1, 152)}


@pytest.mark.parametrize("data", [b"\n", b"{", b"\n\n\n", b"{}\n{}", b"x" * 100_000, b"x" * 100_000 + b"\n{}\n"])
def test_any_chunk_can_be_looked_at(data: bytes) -> None:
    assert KeyWatch(None).look(Chunk(data, 1, 0, data.count(b"\n")), frozenset()).met == {}
