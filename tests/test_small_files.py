"""Small files are read many at a time; nothing that is said of any of them may depend on it."""

from __future__ import annotations

import gzip
import itertools
from decimal import Decimal
from pathlib import Path
from typing import Any

import damage
import polars as pl
import pytest
from nights import chat, costroll, rows_of, write_jsonl

from etl import reading

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


def whole(warehouse: Path, table: str) -> pl.DataFrame:
    files = sorted((warehouse / "current" / table).rglob("*.parquet"))
    return pl.concat(pl.read_parquet(file) for file in files)


def test_read_together_or_one_by_one_each_file_has_the_same_fates_rejects_and_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "logs").mkdir()
    files = cut_up(tmp_path / "logs")
    assert files > 30

    together = costroll("run", tmp_path / "logs", "--warehouse", tmp_path / "together", "--json")
    monkeypatch.setattr(reading, "SMALL_BYTES", 0)
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


@pytest.mark.parametrize("size", [reading.SMALL_BYTES - 1, reading.SMALL_BYTES, reading.SMALL_BYTES + 1])
def test_around_the_size_that_is_small_nothing_changes(tmp_path: Path, size: int) -> None:
    line = write_jsonl(tmp_path / "logs/a.jsonl", [chat("a")]).read_bytes()
    write_jsonl(tmp_path / "logs/b.jsonl", [chat("b")])
    padding = size - len(line) - 1
    (tmp_path / "logs/a.jsonl").write_bytes(line + b" " * padding + b"\n")
    assert (tmp_path / "logs/a.jsonl").stat().st_size == size
    ran = costroll("run", tmp_path / "logs", "--warehouse", tmp_path / "w", "--json")
    assert (ran.code, ran.said["counts"]["accepted"], ran.said["counts"]["read"]) == (0, 2, 2)


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
