"""Small files are read many at a time; nothing that is said of any of them may depend on it."""

from __future__ import annotations

import gzip
import itertools
import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import damage
import polars as pl
import pytest
from nights import MINI, NOON, chat, costroll, rows_of, whole, write_jsonl

from etl import csv_rows, reading, spool, tasks
from etl.inputs import find
from etl.reconciling.counts import read_counts

SIZES = (1, 2, 7, 40, 3)


def cut_up(folder: Path) -> int:
    """The JSON lines of damaged logs of many shapes, in files of 1 to 40 lines; some end in blank lines or in none."""
    count = 0
    whole = damage.write_damaged_logs(folder / "whole", 700, seed=3)
    for path in whole:
        if path.suffix in (".jsonl", ".ndjson"):
            lines, sizes = path.read_bytes().split(b"\n"), itertools.cycle(SIZES)
            while lines:
                size = next(sizes)
                taken, lines = lines[:size], lines[size:]
                if any(line.strip() for line in taken) and not taken[0].lstrip().startswith(
                    (b"[", b'{"object":"page"')
                ):
                    end = (b"\n", b"", b"\n\n", b"\r\n")[count % 4 if count % 8 > 3 else 0]
                    (folder / f"{count:04d}.jsonl").write_bytes(b"\n".join(taken) + end)
                    count += 1
        path.unlink()
    return count


def told(inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(inputs, key=lambda one: str(one["name"]))


def test_read_together_or_one_by_one_each_file_has_the_same_fates_rejects_and_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "logs").mkdir()
    files = cut_up(tmp_path / "logs")
    assert files > 30

    together = costroll("run", tmp_path / "logs", "--warehouse", tmp_path / "together", "--json")
    for module in (reading, tasks):
        monkeypatch.setattr(module, "SMALL_BYTES", 0)
    apart = costroll("run", tmp_path / "logs", "--warehouse", tmp_path / "apart", "--json")

    assert (together.code, apart.code) == (3, 3)
    assert told(together.said["inputs"]) == told(apart.said["inputs"])
    assert together.said["counts"] == apart.said["counts"]
    for table in ("usage", "rollups", "rejects"):
        one, other = whole(tmp_path / "together", table), whole(tmp_path / "apart", table)
        assert one.height > 0
        assert one.equals(other), table


def test_places_of_rejects_are_those_in_their_own_file(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "logs/a.jsonl", [chat("a")])
    (tmp_path / "logs/b.jsonl").write_bytes(b'{"broken\n')
    write_jsonl(tmp_path / "logs/c.jsonl", [chat("c"), "{}", chat("d")])
    ran = costroll("run", tmp_path / "logs", "--warehouse", tmp_path / "w")
    assert ran.code == 3
    found = rows_of(tmp_path / "w", "rejects", "input_name", "line_number", "byte_offset", "byte_length", "reason")
    first = len((tmp_path / "logs/c.jsonl").read_bytes().split(b"\n")[0]) + 1
    assert [(Path(str(name)).name, *rest) for name, *rest in sorted(found, key=str)] == [
        ("b.jsonl", 1, 0, 8, "invalid_json"),
        ("c.jsonl", 2, first, 2, "unknown_shape"),
    ]


def test_a_damaged_file_among_them_is_refused_alone(tmp_path: Path) -> None:
    """1,000 x 0.15 + 100 x 0.60 = 0.00021 each; three of five files hold one."""
    for name in "ace":
        write_jsonl(tmp_path / f"logs/{name}.jsonl", [chat(name)])
    packed = gzip.compress(b'{"id":"b"}\n' * 50)
    (tmp_path / "logs/b.jsonl.gz").write_bytes(packed[:-4])
    (tmp_path / "logs/d.jsonl").write_bytes(b"")
    ran = costroll("run", tmp_path / "logs", "--warehouse", tmp_path / "w", "--json")
    assert ran.code == 3
    refused = {Path(one["name"]).name for one in ran.said["inputs"] if one["refusal"]}
    assert "b.jsonl.gz" in refused and not refused & {"a.jsonl", "c.jsonl", "e.jsonl"}
    [(total,)] = [(sum(row[0] for row in rows_of(tmp_path / "w", "rollups", "cost_usd")),)]
    assert total == Decimal("0.00063")


@pytest.mark.parametrize("size", [tasks.SMALL_BYTES - 1, tasks.SMALL_BYTES, tasks.SMALL_BYTES + 1])
def test_around_the_size_that_is_small_nothing_changes(tmp_path: Path, size: int) -> None:
    line = write_jsonl(tmp_path / "logs/a.jsonl", [chat("a")]).read_bytes()
    write_jsonl(tmp_path / "logs/b.jsonl", [chat("b")])
    padding = size - len(line) - 1
    (tmp_path / "logs/a.jsonl").write_bytes(line + b" " * padding + b"\n")
    assert (tmp_path / "logs/a.jsonl").stat().st_size == size
    ran = costroll("run", tmp_path / "logs", "--warehouse", tmp_path / "w", "--json")
    assert (ran.code, ran.said["counts"]["accepted"], ran.said["counts"]["read"]) == (0, 2, 2)


def test_a_small_file_that_unpacks_to_much_is_read_to_its_end_in_its_place(tmp_path: Path) -> None:
    """Eighty lines of a million bytes are three chunks of 30 MiB; (80 + 2) x 0.00021 USD."""
    write_jsonl(tmp_path / "logs/a.jsonl", [chat("a")])
    whole = "".join(json.dumps(chat(f"b{n}", padding=" " * 1_000_000)) + "\n" for n in range(80)).encode()
    assert len(whole) > 2 * reading.GATHERED_BYTES
    (tmp_path / "logs/b.jsonl.gz").write_bytes(gzip.compress(whole))
    assert (tmp_path / "logs/b.jsonl.gz").stat().st_size * reading.UNPACKED_RATIO <= tasks.SMALL_BYTES
    write_jsonl(tmp_path / "logs/c.jsonl", [chat("c")])
    ran = costroll("run", tmp_path / "logs", "--warehouse", tmp_path / "w", "--json")
    assert (ran.code, ran.said["counts"]["accepted"], ran.said["counts"]["read"]) == (0, 82, 82)
    assert sum(row[0] for row in rows_of(tmp_path / "w", "rollups", "cost_usd")) == Decimal("0.01722")


def test_no_more_is_read_together_than_fits_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eighty files of 2 kB, each of which unpacks to 1 MB of lines: 80 MB, read in three or more parts."""
    sizes = []
    at_once = reading.lines_together

    def watched(chunks: Any, *others: Any) -> Any:
        sizes.append(sum(len(chunk.data) for _, chunk in chunks))
        return at_once(chunks, *others)

    monkeypatch.setattr(reading, "lines_together", watched)
    (tmp_path / "logs").mkdir()
    for number in range(80):
        line = json.dumps(chat(str(number), padding=" " * 1_000_000))
        (tmp_path / f"logs/{number:02}.jsonl.gz").write_bytes(gzip.compress(line.encode()))
    ran = costroll("run", tmp_path / "logs", "--warehouse", tmp_path / "w", "--json")
    assert (ran.code, ran.said["counts"]["accepted"]) == (0, 80)
    assert len(sizes) >= 3 and max(sizes) < reading.GATHERED_BYTES + tasks.SMALL_BYTES


def test_rows_behind_what_a_thread_keeps_are_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CSV that has been read to its end may still have rows to be judged."""
    monkeypatch.setattr(reading, "GATHERED_BYTES", 1_000)
    monkeypatch.setattr(csv_rows, "BATCH_ROWS", 10)
    (tmp_path / "logs").mkdir()
    for name in "abc":
        rows = [f"2026-06-01T00:00:00Z,{name}{number},openai,{MINI},1000,100" for number in range(95)]
        text = "\n".join(["occurred_at,request_id,provider,model,input_uncached_tokens,output_tokens", *rows])
        (tmp_path / f"logs/{name}.csv").write_text(text + "\n")
    ran = costroll("run", tmp_path / "logs", "--warehouse", tmp_path / "w", "--json")
    assert (ran.code, ran.said["counts"]["accepted"], ran.said["counts"]["read"]) == (0, 285, 285)
    assert [one["counts"]["read"] for one in told(ran.said["inputs"])] == [95, 95, 95]


def test_records_on_one_line_keep_their_order_among_other_files(tmp_path: Path) -> None:
    """Each document has 500 records on its one line; the two files are put in order as a whole."""
    (tmp_path / "logs").mkdir()
    for name in "ab":
        records = [chat(f"{name}{number:03}") for number in range(500)]
        (tmp_path / f"logs/{name}.json").write_text(json.dumps(records))
    assert costroll("run", tmp_path / "logs", "--warehouse", tmp_path / "w").code == 0
    ids = whole(tmp_path / "w", "usage")["request_id"].to_list()
    assert sorted([ids[:500], ids[500:]]) == [[f"{name}{number:03}" for number in range(500)] for name in "ab"]


def test_small_files_that_wait_on_disk_are_put_in_order_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ten million records no day could stay in memory."""
    for number in range(40):
        records = [chat(f"{number:02}-{line}", NOON + 600 * line) for line in range(5)]
        write_jsonl(tmp_path / f"logs/{number:02}.jsonl", records)
    monkeypatch.setattr(reading, "GATHERED_MAX", 8)
    held = []
    sort_into = spool.Piece.replaced

    def watched(self: spool.Piece, rows: pl.DataFrame) -> spool.Piece:
        piece = sort_into(self, rows)
        held.append(piece._held)
        return piece

    monkeypatch.setattr(spool.Piece, "replaced", watched)
    costroll("run", tmp_path / "logs", "--warehouse", tmp_path / "in_memory")
    assert {isinstance(one, pl.DataFrame) for one in held} == {True}
    held.clear()
    monkeypatch.setattr(spool, "ROWS_IN_MEMORY_MAX", 10)
    costroll("run", tmp_path / "logs", "--warehouse", tmp_path / "on_disk")

    assert {isinstance(one, Path) for one in held} == {True}
    for table in ("usage", "rollups"):
        one, other = (whole(tmp_path / name, table) for name in ("in_memory", "on_disk"))
        assert one.height > 0 and one.equals(other), table
    assert not [path for path in (tmp_path / "on_disk").iterdir() if "spool" in path.name]


def test_documents_and_tables_among_them_say_the_same_as_each_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damaged logs of every kind and shape, each as it is and with others."""
    damage.write_damaged_logs(tmp_path / "logs", 1_500, seed=5)
    assert {path.suffix for path in (tmp_path / "logs").iterdir()} >= {".json", ".csv", ".jsonl"}
    together = costroll("run", tmp_path / "logs", "--warehouse", tmp_path / "together", "--json")
    monkeypatch.setattr(reading, "GATHERED_MAX", 1)
    apart = costroll("run", tmp_path / "logs", "--warehouse", tmp_path / "apart", "--json")

    assert together.said["counts"]["accepted"] > 1_000 and together.said["counts"]["rejected"] > 10
    assert told(together.said["inputs"]) == told(apart.said["inputs"])
    for table in ("usage", "rollups", "rejects"):
        one, other = whole(tmp_path / "together", table), whole(tmp_path / "apart", table)
        assert one.height > 0
        assert one.equals(other), table


def test_sessions_among_them_keep_their_own_lines_before(tmp_path: Path) -> None:
    """What a line takes over comes from the lines before it in its own file, never from its neighbour's."""
    golden = Path(__file__).parent / "golden/codex_cumulative_counters/logs"
    (tmp_path / "logs").mkdir()
    for day in ("2025-11-21", "2025-12-24"):  # a session again, a month later
        for log in golden.iterdir():
            (tmp_path / "logs" / f"{day}-{log.name}").write_text(log.read_text().replace("2025-11-21", day))
    write_jsonl(tmp_path / "logs/z.jsonl", [chat("z")])
    alone = costroll("run", golden, "--warehouse", tmp_path / "alone", "--json").said["counts"]["accepted"]
    ran = costroll("run", tmp_path / "logs", "--warehouse", tmp_path / "w", "--json")
    assert (alone, ran.said["counts"]["accepted"]) == (4, 2 * 4 + 1)


def bucket(day: int, capability: str, model: str) -> str:
    """A day of November 2025 in a usage export; 1763596800 is the 20th."""
    start = 1763596800 + (day - 20) * 86_400
    output = '"output_tokens":0,' if capability == "completions" else ""
    counted = f'"input_tokens":5,{output}"num_model_requests":1,"model":"{model}"'
    result = f'{{"object":"organization.usage.{capability}.result",{counted}}}'
    return f'{{"object":"bucket","start_time":{start},"end_time":{start + 86_400},"results":[{result}]}}'


def test_usage_exports_among_them_cover_each_their_own_days(tmp_path: Path) -> None:
    """The days between are covered, too; those of the other file are not."""
    write_jsonl(tmp_path / "a.jsonl", [bucket(day, "completions", "gpt-4.1") for day in (20, 22, 24)])
    write_jsonl(tmp_path / "b.jsonl", [bucket(day, "embeddings", "text-embedding-3-small") for day in (21, 22)])
    counts = read_counts(find([str(tmp_path)]).inputs, "openai")
    assert counts.days_of == {
        "gpt-4.1": {date(2025, 11, day) for day in (20, 21, 22, 23, 24)},
        "text-embedding-3-small": {date(2025, 11, day) for day in (21, 22)},
    }
