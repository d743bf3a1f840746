"""Whatever a night's folder holds, each record meets its fate, each unreadable file is named in one line, and the rest is priced.

Almost all cases stand in one folder that is read in one run: no case can spoil another. A case is a file, with the fate
of every record in it by line, or the code it is refused with. Times are 2025-11-21, 01:00 UTC unless they say otherwise.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import io
import itertools
import json
import lzma
import os
import re
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from etl import analyst
from etl.cli import exit_code_of

MINI = "gpt-4o-mini-2024-07-18"
ONE_O_CLOCK = 1_763_686_800  # 2025-11-21T01:00:00Z
MIB = 1 << 20
BOM = b"\xef\xbb\xbf"
CANARY = "CANARY-7f3a-the-patient-said"

# -------------------------------------------------------------------------------------------------------------- records


def text_of(record: Mapping[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False)


def chat(request_id: str | None, **changes: Any) -> dict[str, Any]:
    """A Chat Completions response: 1,000 tokens in, 100 out, with a prompt and an answer that must never be copied."""
    record = {
        "id": request_id,
        "object": "chat.completion",
        "created": ONE_O_CLOCK,
        "model": MINI,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": CANARY}}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100},
    }
    return record | changes


def responses(request_id: str, **changes: Any) -> dict[str, Any]:
    record = {
        "id": request_id,
        "object": "response",
        "created_at": ONE_O_CLOCK,
        "status": "completed",
        "model": MINI,
        "usage": {"input_tokens": 1000, "output_tokens": 100},
    }
    return record | changes


def batch(request_id: str, **changes: Any) -> dict[str, Any]:
    response = {"status_code": 200, "request_id": "r", "body": chat(request_id)}
    return {"id": f"batch_req_{request_id}", "custom_id": "c", "response": response, "error": None} | changes


def wrapped(request_id: str, **changes: Any) -> dict[str, Any]:
    return {"timestamp": "2025-11-21T01:00:00Z", "user": "u", "response": chat(request_id)} | changes


def bucket(*results: Mapping[str, Any], start: int = ONE_O_CLOCK - 3600) -> dict[str, Any]:
    return {"object": "bucket", "start_time": start, "end_time": start + 86_400, "results": list(results)}


def result(project_id: str, **changes: Any) -> dict[str, Any]:
    record = {
        "object": "organization.usage.completions.result",
        "input_tokens": 1000,
        "output_tokens": 100,
        "num_model_requests": 1,
        "project_id": project_id,
        "model": MINI,
        "batch": False,
        "service_tier": "default",
    }
    return record | changes


def plain(request_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "occurred_at": "2025-11-21T01:00:00Z",
        "request_id": request_id,
        "model": MINI,
        "input_tokens": 1000,
        "output_tokens": 100,
    } | changes


def jsonl(*records: Mapping[str, Any] | str | bytes, end: bytes = b"\n") -> bytes:
    """Lines of JSON; what is given as text or bytes stands as it is."""
    lines = [r if isinstance(r, bytes) else r.encode() if isinstance(r, str) else text_of(r).encode() for r in records]
    return b"".join(line + end for line in lines)


# ------------------------------------------------------------------------------------------------------------ one night


@dataclass(frozen=True)
class Case:
    """A file, and what must become of it.

    Attributes:
        name: of the file.
        content: its bytes.
        fates: by line: `accepted`, or the reason of every record that begins there.
        refused: the code with which the whole file is refused.
    """

    name: str
    content: bytes
    fates: Mapping[int, str | Sequence[str]] = field(default_factory=dict)
    refused: str | None = None


@dataclass
class Night:
    """What one run printed and published."""

    code: int
    out: str
    err: str
    warehouse: Path

    def __post_init__(self) -> None:
        self.said = json.loads(self.out)
        self.usage = rows_of(self.warehouse, "usage/*/*")
        self.rejects = rows_of(self.warehouse, "rejects/*")

    def input(self, path: Path | str) -> dict[str, Any]:
        """What the run says about one input."""
        [found] = [one for one in self.said["inputs"] if one["name"] == shown(path)]
        return found

    def lines_about(self, path: Path | str) -> list[str]:
        """What stderr says about one input, without its name."""
        start = f"{shown(path)}: "
        return [line.removeprefix(start) for line in self.err.splitlines() if line.startswith(start)]

    def fates(self, path: Path | str) -> dict[int, list[str]]:
        """Every record's fate or reason by the line it begins on; 0 holds those that no table keeps a line of."""
        found = self.input(path)
        fates: dict[int, list[str]] = {}
        for row in self.usage:
            if row["input_sha256"] == found["sha256"]:
                fates.setdefault(row["line_number"], []).append("accepted")
        kept = Counter(("accepted", "accepted") for _ in itertools.chain(*fates.values()))
        for row in self.rejects:
            if row["input_sha256"] == found["sha256"]:
                fates.setdefault(row["line_number"], []).append(row["reason"])
                kept[row["fate"], row["reason"]] += 1
        told = Counter({tuple(key.split("/")): number for key, number in found["reasons"].items()})
        told["accepted", "accepted"] = found["counts"]["accepted"]
        for (_, reason), number in (told - kept).items():
            fates.setdefault(0, []).extend([reason] * number)
        assert sum(map(len, fates.values())) == found["counts"]["read"], found
        return {line: sorted(reasons) for line, reasons in fates.items()}


def rows_of(warehouse: Path, files: str) -> list[dict[str, Any]]:
    """All rows of a published table, by plain glob."""
    found = sorted((warehouse / "current").glob(f"{files}.parquet"))
    return pl.concat([pl.read_parquet(file) for file in found]).to_dicts() if found else []


def shown(path: Path | str) -> str:
    """A name as the run prints it: on one line, whatever bytes it has."""
    name = os.fsencode(path).decode("utf-8", "backslashreplace")
    return name.translate({10: "\\n", 13: "\\r", 27: "\\e"})


def run(warehouse: Path, *arguments: Path | str) -> Night:
    """One run. A bug of ours is raised here instead of being told in a line."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setenv("COSTROLL_TRACEBACK", "1")
        patch.setattr(analyst, "build_database", lambda _: None)  # these tests read the Parquet files
        code = exit_code_of(["run", "--json", "--threads", "2", "--warehouse", str(warehouse), *map(str, arguments)])
    assert "Traceback" not in err.getvalue()
    if not out.getvalue():
        out.write("{}")
    return Night(code, out.getvalue(), err.getvalue(), warehouse)


def read_together(folder: Path, cases: Sequence[Case]) -> Night:
    """Write the cases and a good file into a folder, and read it."""
    logs = folder / "logs"
    logs.mkdir()
    assert len({case.name for case in cases}) == len(cases)
    for case in cases:
        (logs / case.name).write_bytes(case.content)
    (logs / "good.jsonl").write_bytes(jsonl(chat("good-1"), chat("good-2")))
    return run(folder / "warehouse", logs)


def assert_good_file_is_priced(night: Night, good: Path) -> None:
    """2 x (1,000 x 0.15 + 100 x 0.60) / 1,000,000 = 0.00042, in the whole or as part of it."""
    assert night.input(good)["counts"]["accepted"] == 2
    [sha256] = [one["sha256"] for one in night.said["inputs"] if one["name"] == shown(good)]
    assert sorted(row["line_number"] for row in night.usage if row["input_sha256"] == sha256) == [1, 2]


def assert_fates(night: Night, case: Case, path: Path) -> None:
    """Each record has its fate, and stderr says in one line what a person must know."""
    if case.refused:
        assert night.input(path)["refusal"]["code"] == case.refused
        assert night.input(path)["counts"]["read"] == 0
        [line] = night.lines_about(path)
        assert re.fullmatch(rf"{case.refused}: \S.*", line)
        return
    assert night.input(path)["refusal"] is None, night.input(path)
    expected = {line: [fates] if isinstance(fates, str) else sorted(fates) for line, fates in case.fates.items()}
    assert night.fates(path) == expected
    lines = night.lines_about(path)
    kept = {reason for row in night.rejects for reason in [row["reason"]] if row["input_name"] == shown(path)}
    assert len(lines) == (1 if kept else 0)
    for line in lines:
        assert line.partition(": ")[0] in kept
        assert all(reason in line for reason in kept)


def content_of(path: Path) -> bytes:
    data = path.read_bytes()
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress(data)
    return data


def assert_points_at_its_bytes(row: Mapping[str, Any], content: bytes, *, in_document: bool = False) -> None:
    """A reject names bytes of the file that begin on its line and have its hash."""
    start, end = row["byte_offset"], row["byte_offset"] + row["byte_length"]
    assert hashlib.sha256(content).hexdigest() == row["input_sha256"]
    assert hashlib.sha256(content[start:end]).hexdigest() == row["line_sha256"]
    assert content[:start].count(b"\n") + 1 == row["line_number"]
    assert row["byte_length"] > 0
    if not in_document:
        assert start == 0 or content[start - 1 : start] == b"\n" or content[:start] == BOM
        assert end == len(content) or content[end : end + 2] == b"\r\n" or content[end : end + 1] == b"\n"


def identified(cases: Sequence[Case]) -> list[Any]:
    return [pytest.param(case, id=ascii(case.name).strip("'")) for case in cases]


# -------------------------------------------------------------------------------------------------------------- numbers

OK, ABSENT, WRONG, RANGE = "accepted", "absent", "invalid_count", "count_out_of_range"
MISSING = None
# A number as it stands in the JSON -> its verdict, and its value where it has one.
NUMBERS: dict[str | None, tuple[str, int | None]] = {
    "0": (OK, 0),
    "12": (OK, 12),
    "-0": (OK, 0),
    "1000000000000": (OK, 10**12),
    "1000000000001": (RANGE, None),
    "9007199254740993": (RANGE, None),
    "9223372036854775807": (RANGE, None),
    "9223372036854775808": (RANGE, None),
    "18446744073709551616": (RANGE, None),
    "123456789012345678901234567890": (RANGE, None),
    "-5": (RANGE, None),
    "-123456789012345678901234567890": (RANGE, None),
    "1.5": (WRONG, None),
    "1.0": (WRONG, None),
    "9007199254740993.0": (WRONG, None),
    "1e3": (WRONG, None),
    "1E+3": (WRONG, None),
    "1e400": (WRONG, None),
    '"12"': (WRONG, None),
    '"1,234"': (WRONG, None),
    '""': (WRONG, None),
    "true": (WRONG, None),
    "false": (WRONG, None),
    "NaN": (WRONG, None),
    "Infinity": (WRONG, None),
    "-Infinity": (WRONG, None),
    "{}": (WRONG, None),
    "[12]": (WRONG, None),
    "null": (ABSENT, None),
    MISSING: (ABSENT, None),
    "007": ("invalid_json", None),
    "+7": ("invalid_json", None),
    "0x10": ("invalid_json", None),
    "1_000": ("invalid_json", None),
    ".5": ("invalid_json", None),
    "1.": ("invalid_json", None),
    "None": ("invalid_json", None),
}
TRILLION = 10**12


@dataclass(frozen=True)
class Position:
    """Where a count stands.

    Attributes:
        record: makes the record around a placeholder, given an id of its own.
        is_required: whether it must be there.
        column: the USAGE column that shows it.
        counted: what the column holds for a value.
    """

    record: Callable[[str], dict[str, Any]]
    column: str
    is_required: bool = False
    counted: Callable[[int], int] = lambda value: value


def _chat(request_id: str, usage: Mapping[str, Any]) -> dict[str, Any]:
    return chat(request_id, usage={"prompt_tokens": TRILLION, "completion_tokens": TRILLION} | usage)


def _responses(request_id: str, usage: Mapping[str, Any]) -> dict[str, Any]:
    return responses(request_id, usage={"input_tokens": TRILLION, "output_tokens": TRILLION} | usage)


HOLE = "the count goes here"
POSITIONS = {
    "chat prompt": Position(lambda i: _chat(i, {"prompt_tokens": HOLE}), "input_uncached_tokens", True),
    "chat completion": Position(lambda i: _chat(i, {"completion_tokens": HOLE}), "output_tokens", True),
    "chat cached": Position(
        lambda i: _chat(i, {"prompt_tokens_details": {"cached_tokens": HOLE}}), "input_cached_tokens"
    ),
    "chat image": Position(
        lambda i: _chat(i, {"prompt_tokens_details": {"image_tokens": HOLE}}), "image_input_uncached_tokens"
    ),
    "chat 12h cache write": Position(
        lambda i: _chat(
            i,
            {
                "prompt_tokens_details": {
                    "cache_write_tokens": TRILLION,
                    "cache_write_tokens_details": {"ttl_12h_tokens": HOLE},
                }
            },
        ),
        "input_cache_write_12h_tokens",
    ),
    "chat reasoning": Position(
        lambda i: _chat(i, {"completion_tokens_details": {"reasoning_tokens": HOLE}}), "reasoning_tokens"
    ),
    "responses input": Position(lambda i: _responses(i, {"input_tokens": HOLE}), "input_uncached_tokens", True),
    "responses cached": Position(
        lambda i: _responses(i, {"input_tokens_details": {"cached_tokens": HOLE}}), "input_cached_tokens"
    ),
    "batch cached": Position(
        lambda i: batch(
            i,
            response={
                "status_code": 200,
                "body": _chat(i, {"prompt_tokens_details": {"cached_tokens": HOLE}}),
            },
        ),
        "input_cached_tokens",
    ),
    "wrapped completion": Position(
        lambda i: wrapped(i, response=_chat(i, {"completion_tokens": HOLE})), "output_tokens", True
    ),
    "embeddings prompt": Position(
        lambda i: {
            "timestamp": "2025-11-21T01:00:00Z",
            "request_id": i,
            "response": {
                "object": "list",
                "model": "text-embedding-3-small",
                "data": [],
                "usage": {"prompt_tokens": HOLE},
            },
        },
        "input_uncached_tokens",
        True,
    ),
    "bucket output": Position(
        lambda i: bucket(result(i, input_tokens=TRILLION, output_tokens=HOLE)), "output_tokens", True
    ),
    "bucket cached": Position(
        lambda i: bucket(result(i, input_tokens=TRILLION, input_cached_tokens=HOLE)), "input_cached_tokens"
    ),
    "plain cached": Position(
        lambda i: plain(i, input_tokens=TRILLION, input_cached_tokens=HOLE), "input_cached_tokens"
    ),
}


def with_number(record: Mapping[str, Any], number: str | None) -> str:
    """The record's text with a number, as it is written, or without its key."""
    hole = json.dumps(HOLE)
    text = text_of(record)
    assert text.count(hole) == 1
    return text.replace(hole, number) if number is not None else re.sub(rf'"\w+":{hole},?', "", text).replace(",}", "}")


def number_case(place: str, number: str | None, at: int) -> Case:
    position = POSITIONS[place]
    name = f"{place} {at:02d}"
    verdict, _ = NUMBERS[number]
    if verdict == ABSENT:
        verdict = "missing_count" if position.is_required else "accepted"
    if place == "embeddings prompt" and number is MISSING:
        verdict = "unknown_shape"  # nothing else tells an embeddings response from any other list
    if place.startswith("bucket"):
        lines = [position.record(f"{name} before"), position.record(f"{name} this"), position.record(f"{name} after")]
        texts = [with_number(lines[0], "1"), with_number(lines[1], number), with_number(lines[2], "1")]
    else:
        texts = [with_number(position.record(f"{name} this"), number)]
        texts = [text_of(chat(f"{name} before")), *texts, text_of(chat(f"{name} after"))]
    return Case(f"{name}.jsonl", jsonl(*texts), {1: OK, 2: verdict, 3: OK})


NUMBER_CASES = {
    (place, number): number_case(place, number, at) for place in POSITIONS for at, number in enumerate(NUMBERS)
}
