"""A long document is read as lines; nothing that is said of any record may depend on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import damage
import polars as pl
import pytest
from nights import NOON, Ran, chat, costroll, whole

from etl import document_reading, json_lines
from etl.document_reading import DECODED_MAX

TABLES = ("usage", "rollups", "rejects")


def run_both_ways(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Ran]:
    """Run `folder/logs` with documents decoded, and with documents read as lines, however short they are."""
    decoded = costroll("run", folder / "logs", "--warehouse", folder / "decoded", "--json")
    monkeypatch.setattr(document_reading, "DECODED_MAX", 0)
    as_lines = costroll("run", folder / "logs", "--warehouse", folder / "as_lines", "--json")
    return [decoded, as_lines]


def assert_alike(folder: Path) -> None:
    for table in TABLES:
        one, other = (whole(folder / name, table) for name in ("decoded", "as_lines"))
        assert one.height > 0
        assert one.equals(other), table


def test_damaged_documents_say_the_same_both_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages, lists, arrays and records, on one line and over several; of each a few chunks are made."""
    for seed in range(7, 10):
        for path in damage.write_damaged_logs(tmp_path / f"logs/{seed}", 2_000, seed):
            if not any(kind in path.name for kind in ("-array", "-list", "-page")):
                path.unlink()
    monkeypatch.setattr(document_reading, "CHUNK_BYTES", 60_000)
    decoded, as_lines = run_both_ways(tmp_path, monkeypatch)

    assert decoded.said["counts"]["accepted"] > 200 and decoded.said["counts"]["rejected"] > 4
    assert decoded.said["inputs"] == as_lines.said["inputs"]
    assert_alike(tmp_path)


def odd(name: str, kind: int) -> dict[str, Any] | str:
    """A record of its own kind: sound, of a wrong count or structure, without an id, or no object at all."""
    if kind == 0:
        return chat(name, NOON, usage={"prompt_tokens": -1, "completion_tokens": 1})
    if kind == 1:
        return chat(name, NOON, usage=[7])
    if kind == 2:
        return {key: value for key, value in chat(name, NOON, user=name).items() if key != "id"}
    return name if kind == 3 else chat(name, NOON)


@pytest.mark.parametrize("indent", [None, 2], ids=["on one line", "over several lines"])
def test_records_keep_their_order_and_their_lines_whoever_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indent: int | None
) -> None:
    (tmp_path / "logs").mkdir()
    records = [odd(f"r{number:03}", number % 10) for number in range(200)]
    (tmp_path / "logs/array.json").write_text(json.dumps(records, indent=indent))
    decoded, as_lines = run_both_ways(tmp_path, monkeypatch)

    # Of each ten, 0 is rejected, 1 has no usage that is an object, 3 is no object; 2 has its own content as its name.
    assert decoded.said["counts"] == as_lines.said["counts"]
    assert (decoded.said["counts"]["accepted"], decoded.said["counts"]["rejected"]) == (140, 60)
    assert_alike(tmp_path)
    named = whole(tmp_path / "as_lines", "usage").filter(pl.col("request_id").str.starts_with("r"))
    assert named["request_id"].to_list() == [f"r{n:03}" for n in range(200) if n % 10 > 3]


@pytest.mark.parametrize("records", [DECODED_MAX - 1, DECODED_MAX, DECODED_MAX + 1])
def test_around_the_length_from_which_lines_are_made_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: int
) -> None:
    asked = []
    read = json_lines.JsonLinesReader.read
    monkeypatch.setattr(
        json_lines.JsonLinesReader, "read", lambda self, chunk, *rest: asked.append(chunk) or read(self, chunk, *rest)
    )
    (tmp_path / "array.json").write_text(json.dumps([chat(f"r{number}", NOON) for number in range(records)]))
    ran = costroll("run", tmp_path / "array.json", "--warehouse", tmp_path / "w", "--json")
    assert ran.said["counts"]["accepted"] == records
    assert [chunk.lines for chunk in asked] == ([records] if records > DECODED_MAX else [])


def test_a_long_document_that_breaks_off_gives_what_stands_before_the_break(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values one after the other, each over several lines; the last one is cut."""
    (tmp_path / "logs").mkdir()
    text = "\n".join(json.dumps(chat(f"r{number}", NOON), indent=1) for number in range(30))
    (tmp_path / "logs/values.json").write_text(text[:-3])
    decoded, as_lines = run_both_ways(tmp_path, monkeypatch)
    assert decoded.said["counts"] == as_lines.said["counts"]
    assert (decoded.said["counts"]["accepted"], decoded.said["counts"]["rejected"]) == (29, 1)
    assert_alike(tmp_path)


def test_an_unknown_key_is_told_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "logs").mkdir()
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "premium_tokens": 5}
    records = [chat("a", NOON), chat("b", NOON), chat("c", NOON, usage=usage)]
    (tmp_path / "logs/array.json").write_text("[\n" + ",\n".join(map(json.dumps, records)) + "\n]")
    decoded, as_lines = run_both_ways(tmp_path, monkeypatch)
    assert decoded.said["unknown_keys"] == as_lines.said["unknown_keys"]
    assert [(key["path"], key["line"]) for key in as_lines.said["unknown_keys"]] == [("usage.premium_tokens", 4)]
