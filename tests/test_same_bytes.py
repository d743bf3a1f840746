"""The same records give the same bytes: run again, re-exported, overlapping, shuffled, cut, packed, in any order.

what                                    records  each costs                                              together
o3 on 8 and 9 June 2025                      20  800 x 10 + 200 cached x 2.5 + 100 out x 40 = 0.0125       0.2500
o3 on 10 and 11 June, after the cut          20  800 x 2 + 200 cached x 0.5 + 100 out x 8 = 0.0025         0.0500
o3 on 9 June, without an id                   4  as above, 0.0125                                          0.0500
o3 on 9 June, two claims of one instant       1  1,000 x 10, or 900 x 10 + 400 cached x 2.5 = 0.01         0.0100
an aggregate of another account, 8 June       1  1,000,000 tokens of gpt-4o-mini x 0.15 = 0.15             0.1500
repeats, and earlier claims of 5 ids        5+5  count nothing
damaged lines                                 3  count nothing                                      total  0.5100
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl import analyst, cutting, day_candidates, decompression, framing, reading, spool
from etl.cli import exit_code_of

ROOT = Path(__file__).parent.parent
BOM = b"\xef\xbb\xbf"
EIGHTH = 1_749_340_800  # 2025-06-08T00:00:00Z; o3 became cheaper at the first instant of the tenth
DAYS = ["2025-06-08", "2025-06-09", "2025-06-10", "2025-06-11"]
TOTAL = Decimal("0.51")
DAY = 86_400


def chat(
    request_id: str | None, at: int, prompt: int = 1000, cached: int = 200, completion: int = 100
) -> dict[str, Any]:
    return {
        "id": request_id,
        "object": "chat.completion",
        "created": at,
        "model": "o3-2025-04-16",
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    }


def as_responses(record: dict[str, Any]) -> dict[str, Any]:
    usage = record["usage"]
    return {
        "id": record["id"],
        "object": "response",
        "created_at": record["created"],
        "status": "completed",
        "model": record["model"],
        "usage": {
            "input_tokens": usage["prompt_tokens"],
            "output_tokens": usage["completion_tokens"],
            "input_tokens_details": usage["prompt_tokens_details"],
        },
    }


def lines() -> list[bytes]:
    """The records of the table above, in the order of time."""
    written: list[dict[str, Any] | str] = []
    for day in range(4):
        for number in range(10):
            record = chat(f"{day}-{number}", EIGHTH + day * DAY + number * 8_640)
            wrapper = {"timestamp": "2025-06-01T00:00:00Z", "response": record}
            written.append([record, as_responses(record), wrapper][number % 3])
    repeats = written[3:40:8]
    rivals = [chat(f"{day}-3", EIGHTH + day * DAY + 3 * 8_640 - 1, prompt=5000) for day in range(4)]
    midnight = [chat("2-0", EIGHTH + 2 * DAY - 1, prompt=7000)]
    nameless = [chat(None, EIGHTH + DAY + second) for second in range(4)]
    claims = [chat("claim", EIGHTH + DAY, 1000, 0, 0), chat("claim", EIGHTH + DAY, 1300, 400, 0)]
    results = [
        {
            "object": "organization.usage.completions.result",
            "organization_id": "org-agg",
            "input_tokens": tokens,
            "output_tokens": 0,
            "num_model_requests": requests,
            "model": "gpt-4o-mini-2024-07-18",
            "batch": False,
            "service_tier": None,
        }
        for tokens, requests in ((1_000_000, 50), (900_000, 45))
    ]
    buckets = [
        {"object": "bucket", "start_time": EIGHTH, "end_time": EIGHTH + DAY, "results": [result]} for result in results
    ]
    damaged = ['{"torn', {"hello": "world"}, chat("bad", EIGHTH) | {"usage": None}]
    written += [*repeats, *rivals, *midnight, *nameless, *claims, *buckets, *damaged]
    return [(one if isinstance(one, str) else json.dumps(one)).encode() for one in written]


def run(warehouse: Path, *arguments: Path | str, threads: int = 1) -> tuple[int, dict[str, Any]]:
    """One run: its exit code and what it says."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setenv("COSTROLL_TRACEBACK", "1")
        patch.setattr(analyst, "build_database", lambda *_: None)  # these tests read the manifest
        given = ["run", "--json", "--threads", str(threads), "--warehouse", str(warehouse), *map(str, arguments)]
        code = exit_code_of(given)
    return code, json.loads(out.getvalue())


def cut_into(chunk_bytes: int, patch: pytest.MonkeyPatch) -> None:
    """Have inputs read in chunks of this size instead of 30 MiB, as large ones are."""
    patch.setattr(reading, "SMALL_BYTES", 0)
    patch.setattr(decompression, "BLOCK_BYTES", chunk_bytes)
    patch.setattr(framing, "CHUNK_BYTES", chunk_bytes)
    patch.setattr(cutting, "HEAD_BYTES", min(chunk_bytes, cutting.HEAD_BYTES))


def manifest(warehouse: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((warehouse / "current" / "MANIFEST.json").read_text())
    return found


def hashes(warehouse: Path, *tables: str) -> dict[str, str]:
    """The SHA-256 of every published file of these tables."""
    return {file["path"]: file["sha256"] for file in manifest(warehouse)["files"] if file["table"] in tables}


def write(folder: Path, name: str, content: Sequence[bytes], end: bytes = b"\n") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    data = b"".join(line + end for line in content)
    if name.endswith(".gz"):
        data = gzip.compress(data, mtime=0)
    elif name.endswith(".zst"):
        data = zstandard.ZstdCompressor().compress(data)
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The warehouse after all lines were read from one file in one run."""
    folder = tmp_path_factory.mktemp("whole")
    code, said = run(folder / "warehouse", write(folder, "all.jsonl", lines()))
    assert code == 3
    assert said["counts"] == {
        "read": 64,
        "accepted": 46,
        "duplicate": 6,
        "conflict": 6,
        "excluded": 0,
        "rejected": 3,
    } | {"read": 46 + 6 + 6 + 3}
    return folder / "warehouse"


@pytest.fixture(scope="module")
def rollups(whole: Path) -> dict[str, str]:
    return hashes(whole, "rollups")


def test_the_whole_costs_what_was_worked_out_by_hand(whole: Path, rollups: dict[str, str]) -> None:
    assert list(rollups) == [f"rollups/{day}.parquet" for day in DAYS]
    assert pl.read_parquet(whole / "current/rollups/*.parquet")["cost_usd"].sum() == TOTAL


# ---------------------------------------------------------------------------------------------------------------- again


def test_running_twice_changes_nothing(tmp_path: Path) -> None:
    log = write(tmp_path, "all.jsonl", lines())
    warehouse = tmp_path / "warehouse"
    first, _ = run(warehouse, log)
    before = (warehouse / "current/MANIFEST.json").read_bytes()

    code, said = run(warehouse, log)

    assert (first, code) == (3, 0)  # what was wrong with it was told last night
    assert said["snapshot"] is None
    assert said["inputs"][0]["skipped"] == "unchanged since it was read"
    assert (warehouse / "current/MANIFEST.json").read_bytes() == before
    assert os.listdir(warehouse / "snapshots") == ["00000001"]


@pytest.mark.parametrize("name", ["again.txt", "again.jsonl.gz", "again.jsonl.zst", "-"])
def test_a_file_exported_again_under_another_name_or_packing_changes_no_number(
    tmp_path: Path, whole: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second snapshot remembers that the file is known, and has the very same rollups."""
    shutil.copytree(whole, tmp_path / "warehouse", symlinks=True)
    again = write(tmp_path, "for stdin" if name == "-" else name, lines())

    with again.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        code, said = run(tmp_path / "warehouse", "-" if name == "-" else again)

    assert code == 0
    assert said["snapshot"] == (None if name == "-" else 2)
    assert said["inputs"][0]["skipped"] == "its content was read before"
    for file in (whole / "current").glob("*/*.parquet"):
        if file.parent.name != "inputs":
            assert (tmp_path / "warehouse/current" / file.relative_to(whole / "current")).samefile(
                tmp_path / "warehouse/snapshots/00000001" / file.relative_to(whole / "current")
            )


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_another_copy_of_the_records_counts_nothing_anew(tmp_path: Path, whole: Path, end: bytes) -> None:
    """A line more, or other line ends, make another content: it is read, and every record of it is known."""
    shutil.copytree(whole, tmp_path / "warehouse", symlinks=True)
    before = hashes(tmp_path / "warehouse", "rollups", "usage")

    _, said = run(tmp_path / "warehouse", write(tmp_path, "copy.jsonl", [*lines(), b""], end))

    assert said["snapshot"] == 2
    assert said["counts"]["accepted"] == 0
    assert hashes(tmp_path / "warehouse", "rollups", "usage") == before
    for day in DAYS:  # not even copied
        files = [tmp_path / f"warehouse/snapshots/0000000{n}/rollups/{day}.parquet" for n in (1, 2)]
        assert files[0].samefile(files[1])


# ---------------------------------------------------------------------------------------------------------- overlapping


def test_exports_that_overlap_count_once_in_one_run(tmp_path: Path, rollups: dict[str, str]) -> None:
    everything = lines()
    write(tmp_path / "logs", "first.jsonl", everything[:40])
    write(tmp_path / "logs", "second.jsonl.gz", everything[20:])
    write(tmp_path / "logs", "all.jsonl.zst", everything)

    _, said = run(tmp_path / "warehouse", tmp_path / "logs")

    assert said["counts"]["accepted"] == 46
    assert hashes(tmp_path / "warehouse", "rollups") == rollups


def test_exports_that_overlap_count_once_across_nights(tmp_path: Path, rollups: dict[str, str]) -> None:
    """Files pile up in one folder, and each repeats some of what came before."""
    everything = lines()
    accepted = []
    for name, part in {"1.jsonl": everything[:13], "2.jsonl.gz": everything[9:29], "3.jsonl.zst": everything}.items():
        write(tmp_path / "logs", name, part)
        _, said = run(tmp_path / "warehouse", tmp_path / "logs")
        accepted.append(said["counts"]["accepted"])

    assert accepted == [13, 16, 17]
    assert hashes(tmp_path / "warehouse", "rollups") == rollups


# ----------------------------------------------------------------------------------------------------- cut and shuffled


@st.composite
def arrangements(draw: st.DrawFn) -> dict[str, tuple[list[bytes], bytes, bool]]:
    """All lines in any order, in one to five files of any packing and line end."""
    seed = draw(st.integers(0, 10**6))
    shuffled = lines()
    random.Random(seed).shuffle(shuffled)
    cuts = sorted(draw(st.lists(st.integers(0, len(shuffled)), max_size=4)))
    files = {}
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(shuffled)], strict=True)):
        packing = draw(st.sampled_from(["", ".gz", ".zst"]))
        line_end = draw(st.sampled_from([b"\n", b"\r\n", b"\n\n"]))
        if start < end:
            files[f"{number}.jsonl{packing}"] = (shuffled[start:end], line_end, draw(st.booleans()))
    return files


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(files=arrangements(), threads=st.sampled_from([1, 2]), chunk_bytes=st.sampled_from([4000, 16 << 20]))
def test_no_order_cut_packing_or_number_of_threads_changes_a_byte(
    tmp_path_factory: pytest.TempPathFactory,
    rollups: dict[str, str],
    files: dict[str, tuple[list[bytes], bytes, bool]],
    threads: int,
    chunk_bytes: int,
) -> None:
    folder = tmp_path_factory.mktemp("arranged")
    for name, (content, end, has_bom) in files.items():
        write(folder / "logs", name, [BOM + content[0], *content[1:]] if has_bom else content, end)

    with pytest.MonkeyPatch.context() as patch:
        cut_into(chunk_bytes, patch)
        _, said = run(folder / "warehouse", folder / "logs", threads=threads)

    assert said["counts"]["accepted"] == 46
    assert hashes(folder / "warehouse", "rollups") == rollups


def test_the_order_of_arguments_changes_nothing_at_all(tmp_path: Path, rollups: dict[str, str]) -> None:
    everything = lines()
    random.Random(7).shuffle(everything)
    parts = [[*everything[at * 16 : at * 16 + 16], b'{"torn":%d' % at] for at in range(4)]
    paths = [write(tmp_path / "logs", f"{at}.jsonl", part) for at, part in enumerate(parts)]
    paths.append(write(tmp_path / "logs", "copy of 1.jsonl.gz", parts[1]))
    link = tmp_path / "logs" / "a link to 3.jsonl"
    link.symlink_to(paths[3])
    paths.append(link)

    for name, order in {"one": paths, "two": paths[::-1]}.items():
        run(tmp_path / name, *order, threads=2)

    tables = ("rollups", "usage", "rejects")
    assert hashes(tmp_path / "one", *tables) == hashes(tmp_path / "two", *tables)
    assert hashes(tmp_path / "one", "rollups") == rollups
    assert hashes(tmp_path / "one", "rejects")


def test_a_chunk_boundary_anywhere_in_a_file_changes_nothing(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_into(300, monkeypatch)  # one or two lines
    shutil.copy(whole.parent / "all.jsonl", tmp_path / "all.jsonl")

    run(tmp_path / "warehouse", tmp_path / "all.jsonl", threads=2)

    tables = ("rollups", "usage")
    assert hashes(tmp_path / "warehouse", *tables) == hashes(whole, *tables)
    kept = ["line_number", "byte_offset", "byte_length", "fate", "reason", "line_sha256", "content_hash"]
    rejects = [
        pl.read_parquet(one / "current/rejects/*.parquet").select(kept) for one in (whole, tmp_path / "warehouse")
    ]
    assert rejects[0].rows() == rejects[1].rows()


def test_records_that_wait_on_disk_come_out_the_same(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_into(3000, monkeypatch)
    monkeypatch.setattr(spool, "ROWS_IN_MEMORY_MAX", 10)
    spilled = []
    spill = spool.Spool._spill
    monkeypatch.setattr(spool.Spool, "_spill", lambda self: (spilled.append(self._rows), spill(self)))
    shutil.copy(whole.parent / "all.jsonl", tmp_path / "all.jsonl")

    run(tmp_path / "warehouse", tmp_path / "all.jsonl")

    assert len(spilled) >= 3
    assert hashes(tmp_path / "warehouse", "rollups", "usage") == hashes(whole, "rollups", "usage")
    assert not [name for name in os.listdir(tmp_path / "warehouse") if "spool" in name]


def test_the_ledger_would_say_the_same_of_those_it_is_not_asked_about(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked only about records that may meet another; here about each, on a first night and on a second."""
    asked: list[int] = []
    begin = day_candidates.DayCandidates.__init__

    def open_all(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        asked.append(self.height - int(self._is_open.sum()))
        self.open_all()

    logs = [write(tmp_path, "a.jsonl", lines()[:50]), write(tmp_path, "b.jsonl", lines()[20:])]
    for name in ("few", "each"):
        if name == "each":
            monkeypatch.setattr(day_candidates.DayCandidates, "__init__", open_all)
        for log in logs:
            run(tmp_path / name, log)

    assert sum(asked) > 40
    tables = ("rollups", "usage", "rejects")
    assert hashes(tmp_path / "each", *tables) == hashes(tmp_path / "few", *tables)
    assert manifest(tmp_path / "each")["days"] == manifest(tmp_path / "few")["days"]
    assert hashes(tmp_path / "few", "rollups") == hashes(whole, "rollups")


def test_neither_clock_nor_language_nor_hash_seed_changes_a_byte(tmp_path: Path, whole: Path) -> None:
    shutil.copy(whole.parent / "all.jsonl", tmp_path / "all.jsonl")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONHASHSEED": "12345",
        "TZ": "America/St_Johns",
        "LANG": "C",
        "LC_ALL": "C",
        "POLARS_MAX_THREADS": "1",
    }
    command = [sys.executable, "-m", "etl", "run", "--warehouse", "warehouse", "all.jsonl"]

    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert ran.returncode == 3, ran.stderr
    tables = ("rollups", "usage")
    assert hashes(tmp_path / "warehouse", *tables) == hashes(whole, *tables)
