"""Whatever a folder holds, each record meets its fate, each unreadable file is named in one line, the rest is priced.

Almost all cases stand in one folder that is read in one run: no case can spoil another. A case is a file, with the fate
of every record in it by line, or the code it is refused with. Records are of 2025-11-21, 01:00 UTC.
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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from etl import analyst, cutting, decompression, framing, reading
from etl.cli import exit_code_of
from etl.lines import Lines

MINI = "gpt-4o-mini-2024-07-18"
ONE_O_CLOCK = 1_763_686_800  # 2025-11-21T01:00:00Z
OCTOBER = 1_759_276_800  # 2025-10-01T00:00:00Z: no requests on this day, so aggregates count
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


def bucket(*results: Mapping[str, Any], start: int = OCTOBER) -> dict[str, Any]:
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


@dataclass(frozen=True, eq=False)
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
        return self.lines_about_shown(shown(path))

    def lines_about_shown(self, name: str) -> list[str]:
        start = f"{name}: "
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
        patch.setattr(analyst, "build_database", lambda *_: None)  # these tests read the Parquet files
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
    # That a key is not known says nothing of any record's fate.
    lines = [line for line in night.lines_about(path) if not line.startswith("unknown_key: ")]
    kept = {row["reason"] for row in night.rejects if shown(row["input_name"]) == shown(path)}
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


def identified(cases: Iterable[Case]) -> list[Any]:
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
PYTHONISMS = ("NaN", "Infinity", "-Infinity")  # what Python writes and reads, and JSON does not know
NOT_FINITE = (*PYTHONISMS, "nan", "-nan", "NAN", "inf", "-inf", "INF", "infinity", "-Infinity", "iNfInItY")
TRILLION = 10**12


@dataclass(frozen=True)
class Position:
    """Where a count stands.

    Attributes:
        record: makes the record around a placeholder, given an id of its own.
        column: the USAGE column that shows it.
        is_required: whether it must be there.
    """

    record: Callable[[str], dict[str, Any]]
    column: str
    is_required: bool = False


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


def verdict_of(place: str, number: str | None) -> str:
    verdict, _ = NUMBERS[number]
    if verdict == ABSENT:
        return "missing_count" if POSITIONS[place].is_required else OK
    return verdict


def number_case(name: str, place: str, numbers: Sequence[str | None]) -> Case:
    """A file with a line for each of these forms of a number."""
    texts = [with_number(POSITIONS[place].record(f"{name}-{at}"), number) for at, number in enumerate(numbers)]
    fates = {line: verdict_of(place, number) for line, number in enumerate(numbers, 1)}
    return Case(f"{name}.jsonl", jsonl(*texts), fates)


# Sound JSON goes to the fast reader as a whole; among all forms it must set apart those that it cannot read; and each
# form alone is read by whatever its file ends up with.
SOUND = [number for number in NUMBERS if NUMBERS[number][0] != "invalid_json" and number not in PYTHONISMS]
NUMBER_CASES: dict[Case, tuple[str, Sequence[str | None]]] = {}
for _place in POSITIONS:
    for _kind, _numbers in (("sound", SOUND), ("all", list(NUMBERS))):
        NUMBER_CASES[number_case(f"{_place} {_kind}", _place, _numbers)] = (_place, _numbers)
for _at, _number in enumerate(NUMBERS):
    NUMBER_CASES[number_case(f"chat prompt {_at:02d}", "chat prompt", [_number])] = ("chat prompt", [_number])


@pytest.fixture(scope="module")
def number_night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return read_together(tmp_path_factory.mktemp("numbers"), list(NUMBER_CASES))


@pytest.mark.parametrize("case", identified(NUMBER_CASES))
def test_a_count_is_a_whole_number_in_digits_or_its_record_is_rejected(number_night: Night, case: Case) -> None:
    path = number_night.warehouse.parent / "logs" / case.name

    assert_fates(number_night, case, path)

    place, numbers = NUMBER_CASES[case]
    sha256 = number_night.input(path)["sha256"]
    column = POSITIONS[place].column
    counted = {r["line_number"]: r[column] or 0 for r in number_night.usage if r["input_sha256"] == sha256}
    assert counted == {
        line: NUMBERS[number][1] or 0 for line, number in enumerate(numbers, 1) if case.fates[line] == OK
    }


def test_the_good_file_beside_all_wrong_numbers_is_priced(number_night: Night) -> None:
    assert_good_file_is_priced(number_night, number_night.warehouse.parent / "logs" / "good.jsonl")
    assert number_night.code == 3


# A cell as it stands in a CSV row -> its verdict, and its value where it has one. An empty cell is absent.
CELLS: dict[str, tuple[str, int | None]] = {
    "0": (OK, 0),
    "12": (OK, 12),
    "007": (OK, 7),
    "12.0": (OK, 12),
    "12.000": (OK, 12),
    '"12"': (OK, 12),
    "1000000000000": (OK, 10**12),
    "1000000000000.0": (OK, 10**12),
    "1000000000001": (RANGE, None),
    "9223372036854775808": (RANGE, None),
    "123456789012345678901234567890": (RANGE, None),
    "": (ABSENT, None),
    '""': (ABSENT, None),
    "1.5": (WRONG, None),
    "12.01": (WRONG, None),
    "12.": (WRONG, None),
    ".0": (WRONG, None),
    "-5": (WRONG, None),
    "-0": (WRONG, None),
    "+7": (WRONG, None),
    "1e3": (WRONG, None),
    "0x10": (WRONG, None),
    "1_000": (WRONG, None),
    '"1,000"': (WRONG, None),
    " 7": (WRONG, None),
    "7 ": (WRONG, None),
    " ": (WRONG, None),
    "true": (WRONG, None),
    "NaN": (WRONG, None),
    "null": (WRONG, None),
    "١٢": (WRONG, None),
}
PLAIN_HEADER = "occurred_at,request_id,model,input_tokens,input_cached_tokens,output_tokens"
USAGE_HEADER = (
    "start_time,end_time,start_time_iso,end_time_iso,input_tokens,output_tokens,num_model_requests,project_id,model,"
    "service_tier,batch,input_cached_tokens"
)


def usage_row(project_id: str, output: str = "100", cached: str = "0") -> str:
    end = OCTOBER + 86_400
    return f"{OCTOBER},{end},2025-10-01,2025-10-02,{TRILLION},{output},1,{project_id},{MINI},default,false,{cached}"


def cell_case(name: str, header: str, rows: Sequence[str], absent: str) -> Case:
    """A file with a row for each of `CELLS`, in their order."""
    verdicts = [absent if verdict == ABSENT else verdict for verdict, _ in CELLS.values()]
    return Case(f"{name}.csv", "".join(f"{row}\n" for row in [header, *rows]).encode(), dict(enumerate(verdicts, 2)))


PLAIN_ROW = f"2025-11-21T01:00:00Z,plain-{{}},{MINI},{TRILLION},{{}},1"
# Each file with the USAGE column that shows the count.
CELL_CASES = {
    cell_case(
        "plain cached", PLAIN_HEADER, [PLAIN_ROW.format(at, cell) for at, cell in enumerate(CELLS)], OK
    ): "input_cached_tokens",
    cell_case(
        "usage output", USAGE_HEADER, [usage_row(f"out-{at}", cell) for at, cell in enumerate(CELLS)], "missing_count"
    ): "output_tokens",
    cell_case(
        "usage cached", USAGE_HEADER, [usage_row(f"in-{at}", cached=cell) for at, cell in enumerate(CELLS)], OK
    ): "input_cached_tokens",
}


@pytest.mark.parametrize("case", identified(CELL_CASES))
def test_a_csv_count_is_digits_and_perhaps_a_point_and_zeros(night: Night, case: Case) -> None:
    path = night.warehouse.parent / "logs" / case.name

    assert_fates(night, case, path)

    column, sha256 = CELL_CASES[case], night.input(path)["sha256"]
    counted = {r["line_number"]: r[column] or 0 for r in night.usage if r["input_sha256"] == sha256}
    assert counted == {line: value or 0 for line, (_, value) in enumerate(CELLS.values(), 2) if case.fates[line] == OK}


# ----------------------------------------------------------------------------------------------------------- JSON lines


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def beside(stem: str, *odd: str | bytes | Mapping[str, Any], fates: str | Sequence[str], end: bytes = b"\n") -> Case:
    """A file with odd lines between two good ones."""
    each = [fates] * len(odd) if isinstance(fates, str) else list(fates)
    assert len(each) == len(odd)
    content = jsonl(chat(f"{stem}-first"), *odd, chat(f"{stem}-last"), end=end)
    return Case(f"{stem}.jsonl", content, dict(enumerate([OK, *each, OK], 1)))


def in_usage(stem: str, **usage: Any) -> dict[str, Any]:
    return chat(stem, usage={"prompt_tokens": 1000, "completion_tokens": 100, **usage})


def doubled(record: Mapping[str, Any] | str, before: str, extra: str) -> str:
    """A record's text with an extra member put before another; both keys then stand in one object."""
    text = record if isinstance(record, str) else text_of(record)
    assert text.count(before) == 1, before
    return text.replace(before, f"{extra},{before}")


RAW_PROMPT = b'"content":"' + CANARY.encode() + b'"'


def with_content(stem: str, content: bytes) -> bytes:
    """A chat line whose answer, which Costroll does not read, has these bytes."""
    line = text_of(chat(stem)).encode()
    assert line.count(RAW_PROMPT) == 1
    return line.replace(RAW_PROMPT, b'"content":"' + content + b'"')


JSON_CASES = [
    Case("bom.jsonl", BOM + jsonl(chat("bom-1"), "{torn", chat("bom-2")), {1: OK, 2: "invalid_json", 3: OK}),
    Case("bom torn.jsonl", BOM + jsonl('{"torn', chat("bomtorn-2")), {1: "invalid_json", 2: OK}),
    Case("bom twice.jsonl", BOM + BOM + jsonl(chat("bom2-1"), chat("bom2-2")), {1: "invalid_json", 2: OK}),
    Case("crlf.jsonl", jsonl(chat("crlf-1"), chat("crlf-2"), "{torn", end=b"\r\n"), {1: OK, 2: OK, 3: "invalid_json"}),
    Case(
        "blank lines.jsonl",
        b"\n\r\n \t\n" + jsonl(chat("blank-1"), "", "  ", chat("blank-2"), "{torn", "\t") + b"\n  ",
        {4: OK, 7: OK, 8: "invalid_json"},
    ),
    *(
        # Of an input as many lines are looked at as hold anything, 50 at most.
        Case(
            f"{blank} blank lines first.jsonl",
            b"\n" * blank + jsonl(chat(f"late-{blank}-1"), "{torn", chat(f"late-{blank}-2")),
            {blank + 1: OK, blank + 2: "invalid_json", blank + 3: OK},
        )
        for blank in (49, 50, 51)
    ),
    Case(
        "blank lines before a torn one.jsonl",
        b"\r\n" * 60 + jsonl("{torn", chat("torn-2")),
        {61: "invalid_json", 62: OK},
    ),
    Case("no final newline.jsonl", jsonl(chat("end-1"), chat("end-2"))[:-1], {1: OK, 2: OK}),
    Case("torn end.jsonl", jsonl(chat("tail-1"), chat("tail-2"))[:-20], {1: OK, 2: "invalid_json"}),
    Case("spaces around.jsonl", jsonl(f"  {text_of(chat('pad-1'))}\t ", "  {torn "), {1: OK, 2: "invalid_json"}),
    beside("two objects", text_of(chat("two-1")) + text_of(chat("two-2")), fates="invalid_json"),
    beside("two objects apart", text_of(chat("apart-1")) + " " + text_of(chat("apart-2")), fates="invalid_json"),
    beside("trailer", text_of(chat("trailer-1")) + "TRAILER", text_of(chat("trailer-2")) + "}", fates="invalid_json"),
    beside("garbage", "garbage", "}{", "{", '{"id":', "{'id':'x'}", '{"a":1 /* no */}', fates="invalid_json"),
    # Where an object ends on a line and another begins on the next, they are lines and no document.
    Case("damaged from the first.jsonl", jsonl("{'id':'x'}", '{"a":1]}'), {1: "invalid_json", 2: "invalid_json"}),
    beside("not objects", "null", "7", '"text"', "true", "[]", "[{}]", "NaN", fates="not_an_object"),
    beside("unknown", "{}", '{"hello":"world"}', '{"model":"x","tokens":5}', fates="unknown_shape"),
    beside(
        "control characters",
        with_content("control-1", b"a\tb"),
        with_content("control-2", b"a\x01b"),
        chat("control\x003"),
        chat("control-4", model="gpt\x7f"),
        chat("control-5", service_tier="flex\u0085"),
        with_content("control-6", b"a\\u0000b"),
        fates=["invalid_json", "invalid_json", *["control_character"] * 3, OK],
    ),
    # Whoever reads a line, whatever stands beside it: what nobody reads may be no number.
    Case(
        "not finite.jsonl",
        jsonl(*(text_of(chat(f"not-finite-{at}"))[:-1] + f',"n":{word}}}' for at, word in enumerate(NOT_FINITE))),
        dict.fromkeys(range(1, len(NOT_FINITE) + 1), OK),
    ),
    beside(
        "not finite, odd lines beside",
        *(text_of(chat(f"finite-odd-{at}"))[:-1] + f',"n":[{word}]}}' for at, word in enumerate(NOT_FINITE)),
        *(doubled(chat(f"finite-double-{at}"), '"model"', '"model":"x"') for at in range(12)),
        text_of(chat("finite-text"))[:-1] + ',"n":nanx}',
        text_of(chat("finite-sign"))[:-1] + ',"n":--inf}',
        "{torn",
        fates=[*[OK] * len(NOT_FINITE), *["duplicate_key"] * 12, *["invalid_json"] * 3],
    ),
    beside("escaped quotes without end", '{"a":' + '\\"' * 300_000 + ",}", fates="invalid_json"),
    beside("nul bytes", b"\0" * 20, b"\0" + text_of(chat("nul-1")).encode(), fates="invalid_json"),
    beside("nul in text", with_content("nul-2", b"a\0b"), fates="invalid_json"),
    beside(
        "invalid utf8",
        with_content("utf8-1", b"caf\xe9"),
        text_of(chat("utf8-2")).encode().replace(b"utf8-2", b"utf8-\xff"),
        text_of(chat("utf8-3")).encode().replace(b'"model"', b'"mod\xc3"'),
        b"\xff\xfe\xfd",
        with_content("utf8-5", b"\xed\xa0\x80"),
        with_content("utf8-6", "é\u2028🙂".encode()),
        fates=[*["invalid_utf8"] * 5, OK],
    ),
    beside(
        "lone surrogates",
        text_of(chat("surrogate-X")).replace("X", r"\ud800"),
        text_of(chat("surrogate-X")).replace("X", r"\udc00"),
        text_of(chat("surrogate-X")).replace("X", r"\uDBFFx"),
        with_content("surrogate-4", rb"\ud800"),
        with_content("surrogate-5", rb"\udc00\ud800"),
        with_content("surrogate-6", rb"\ud83d\ude42"),
        with_content("surrogate-7", rb"\\ud800"),
        fates=[*["invalid_json"] * 5, OK, OK],
    ),
    beside(
        "duplicate keys",
        doubled(chat("doubled-1"), '"id":', '"id":"x"'),
        doubled(chat("doubled-2"), '"model":', '"model":"gpt-4o"'),
        doubled(chat("doubled-3"), '"model":', f'"model":"{MINI}"'),
        doubled(chat("doubled-4"), '"created":', '"created":1'),
        doubled(chat("doubled-5"), '"usage":', '"usage":null'),
        doubled(chat("doubled-6"), '"prompt_tokens":', '"prompt_tokens":5'),
        doubled(chat("doubled-7"), '"object":', '"object":"response"'),
        doubled(chat("doubled-8"), '"model":', '"service_tier":"flex","service_tier":"batch"'),
        doubled(chat("doubled-9"), '"model":', '"i\\u0064":"x"'),
        doubled(
            in_usage("doubled-10", prompt_tokens_details={"cached_tokens": 5}), '"cached_tokens":', '"cached_tokens":5'
        ),
        doubled(
            in_usage("doubled-11", prompt_tokens_details={"cached_tokens": 5}),
            '"prompt_tokens_details":',
            '"prompt_tokens_details":{}',
        ),
        doubled(chat("doubled-12"), '"model":', '"metadata":{"project_id":"a","project_id":"b"}'),
        fates="duplicate_key",
    ),
    beside(
        "duplicate keys around",
        doubled(wrapped("doubled-20"), '"timestamp":', '"timestamp":"2025-11-21T02:00:00Z"'),
        doubled(wrapped("doubled-21"), '"response":', '"response":{}'),
        doubled(wrapped("doubled-22"), '"id":', '"id":"x"'),
        wrapped("doubled-23", response=doubled(chat("doubled-23"), '"model":', '"model":"x"')),
        doubled(batch("doubled-24"), '"response":', '"response":null'),
        doubled(batch("doubled-25"), '"body":', '"body":{}'),
        doubled(plain("doubled-26"), '"input_tokens":', '"input_tokens":1'),
        doubled(responses("doubled-27"), '"output_tokens":', '"output_tokens":1'),
        fates="duplicate_key",
    ),
    beside(
        "duplicate keys elsewhere",
        doubled(chat("doubled-30"), '"model":', '"seed":1,"seed":2'),
        doubled(chat("doubled-31"), '"index":', '"index":1'),
        in_usage("doubled-32", total_tokens=1, extra={"a": 1}),
        fates=OK,
    ),
    beside(
        "trailing commas",
        text_of(chat("comma-1"))[:-1] + ",}",
        text_of(chat("comma-2"))[:-1] + ", }",
        text_of(chat("comma-3")).replace('"completion_tokens":100}', '"completion_tokens":100,}'),
        text_of(chat("comma-4", tags=[1, 2])).replace("2]", "2,]"),
        text_of(chat("comma-5", tags=[1, 2])).replace("2]", "2 , ]"),
        text_of(chat("comma-6", tags=[1, 2])).replace("2]", "2,\t]"),
        text_of(chat("comma-6", tags=[1, 2])).replace("2]", "2,\r]"),
        text_of(chat("comma-6", tags=[])).replace("[]", "[,]"),
        text_of(chat("comma-7", tags={})).replace('"tags":{}', '"tags":{,}'),
        text_of(chat("comma-8", note='",}')).replace('"created"', '"x":[1,],"created"'),
        with_content("comma-9", b",}"),
        with_content("comma-10", b',] \\",}\\" ,}'),
        with_content("comma-11", b"\\\\"),
        with_content("comma-12", b"a,}\\\\"),
        text_of(chat("comma-13")).replace('"model"', '"a,}":"b,]","model"'),
        fates=[*["invalid_json"] * 10, *[OK] * 5],
    ),
    # Each alone in its file: nothing else makes the fast reader look twice.
    *(
        beside(f"comma before {name}", text_of(chat(f"before-{name}"))[:-1] + f",{space}}}", fates="invalid_json")
        for name, space in {"a bracket": "", "a space": " ", "spaces": "   ", "a tab": "\t", "a return": "\r"}.items()
    ),
    beside(
        "depth",
        chat("deep-1", deep=json.loads(nested(60))),
        text_of(plain("deep-2"))[:-1] + f',"deep":{nested(100_000)}}}',
        nested(100_000),
        text_of(chat("deep-3"))[:-1] + f',"deep":{nested(100_000)}}}',
        text_of(chat("deep-4"))[:-1] + f',"deep":{nested(100_000)[:-1]}}}',
        text_of(chat("deep-5"))[:-1] + f',"deep":{nested(1000)[:1000]},{nested(1000)[1000:]}}}',
        fates=[OK, OK, "not_an_object", OK, "invalid_json", "invalid_json"],
    ),
    beside(
        "usage",
        chat("usage-1", usage=None),
        {key: value for key, value in chat("usage-2").items() if key != "usage"},
        chat("usage-3", usage=[]),
        chat("usage-4", usage=5),
        chat("usage-5", usage="none"),
        chat("usage-6", usage={}),
        chat("usage-7", usage={"Prompt_Tokens": 5, "completion_tokens": 5}),
        in_usage("usage-8", prompt_tokens_details=7),
        in_usage("usage-9", prompt_tokens_details=None, completion_tokens_details={}),
        responses("usage-10", usage=None),
        responses("usage-11", usage=None, status="incomplete"),
        fates=[
            "missing_usage",
            "missing_usage",
            *["invalid_field"] * 3,
            "missing_count",
            "missing_count",
            "invalid_field",
            OK,
            "missing_usage",
            "missing_usage",
        ],
    ),
    beside(
        "parts",
        in_usage("parts-1", prompt_tokens_details={"cached_tokens": 1001}),
        in_usage("parts-2", prompt_tokens_details={"cached_tokens": 1000}),
        in_usage("parts-3", prompt_tokens_details={"cached_tokens": 600, "audio_tokens": 401}),
        in_usage("parts-4", prompt_tokens_details={"cached_tokens": 600, "cache_write_tokens": 401}),
        in_usage("parts-5", completion_tokens_details={"reasoning_tokens": 101}),
        in_usage("parts-6", completion_tokens_details={"audio_tokens": 101}),
        in_usage("parts-7", completion_tokens_details={"audio_tokens": 60, "reasoning_tokens": 60}),
        plain("parts-8", input_cached_tokens=1001),
        plain("parts-9", input_uncached_tokens=999),
        in_usage("parts-10", total_tokens=7),
        fates=["parts_exceed_whole", OK, *["parts_exceed_whole"] * 4, OK, *["parts_exceed_whole"] * 2, OK],
    ),
    beside(
        "fields",
        chat(7, created=ONE_O_CLOCK),  # type: ignore[arg-type]
        chat("field-2", model=["gpt-4o"]),
        chat("field-3", model=None),
        chat("field-4", model=""),
        chat("field-5", service_tier={"a": 1}),
        chat("field-6", metadata=7, user=[1]),
        chat("field-7", metadata={"project_id": 7}),
        fates=["invalid_field", "invalid_field", "missing_model", "missing_model", "invalid_field", OK, OK],
    ),
    beside(
        "times",
        chat("time-1", created=None),
        chat("time-2", created="2025-11-21T01:00:00Z"),
        chat("time-3", created=str(ONE_O_CLOCK)),
        chat("time-4", created=ONE_O_CLOCK * 1000),
        chat("time-5", created=ONE_O_CLOCK + 0.5),
        chat("time-6", created=True),
        chat("time-7", created="-1"),
        chat("time-8", created=0),
        chat("time-9", created=10**30),
        responses("time-10", created_at=ONE_O_CLOCK + 0.5),
        plain("time-11", occurred_at="2025-11-21 01:00:00"),
        plain("time-12", occurred_at="2025-11-21"),
        plain("time-13", occurred_at="2025-02-30T00:00:00Z"),
        plain("time-14", occurred_at="2025-11-21T24:00:00Z"),
        plain("time-15", occurred_at="11/21/2025 01:00:00Z"),
        plain("time-16", occurred_at=""),
        plain("time-17", occurred_at=7),
        plain("time-18", occurred_at="2025-11-21T23:59:60Z"),
        plain("time-19", occurred_at="2025-11-21 01:00:00.1234567+05:30"),
        plain("time-20", occurred_at="2999-11-21T01:00:00Z"),
        wrapped("time-21", timestamp="2025-11-21T01:00:00", response=chat("time-21", created=None)),
        wrapped("time-22", timestamp=ONE_O_CLOCK + 0.25, response=chat("time-22", created=None)),
        fates=[
            "missing_timestamp",
            *["invalid_timestamp"] * 2,
            "implausible_timestamp",
            *["invalid_timestamp"] * 3,
            "implausible_timestamp",
            "implausible_timestamp",
            OK,
            "naive_timestamp",
            *["invalid_timestamp"] * 3,
            "invalid_timestamp",
            "missing_timestamp",
            "invalid_timestamp",
            OK,
            OK,
            "implausible_timestamp",
            "naive_timestamp",
            OK,
        ],
    ),
    Case(
        "excluded.jsonl",
        jsonl(
            chat("excluded-first"),
            {"error": {"message": CANARY, "type": "server_error"}},
            {"timestamp": "2025-11-21T01:00:00Z", "response": {"error": {"message": CANARY}}},
            {"timestamp": "2025-11-21T01:00:00Z", "status": 429, "response": {"error": {"message": "slow down"}}},
            {"timestamp": "2025-11-21T01:00:00Z", "status": 500, "response": None},
            wrapped("excluded-5", status=503),
            wrapped("excluded-6", status="ok"),
            wrapped("excluded-7", status=200),
            batch("excluded-8", response=None, error={"code": "batch_expired"}),
            batch("excluded-9", response={"status_code": 400, "body": {"error": {}}}),
            responses("excluded-10", usage=None, status="in_progress"),
            bucket(start=OCTOBER),
            {"custom_id": "c", "method": "POST", "url": "/v1/chat/completions", "body": {"model": MINI}},
        ),
        {
            **dict.fromkeys((1, 7, 8), OK),
            13: "batch_input",
            0: [
                *["error_response"] * 2,
                *["http_error"] * 4,
                "batch_failed",
                "not_completed",
                "empty_bucket",
            ],
        },
    ),
]


# -------------------------------------------------------------------------------------------------- files and encodings


def gz(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def zst(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(content)


def log(stem: str, lines: int = 2) -> bytes:
    return jsonl(*(chat(f"{stem}-{line}") for line in range(lines)))


def with_bit_flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def png() -> bytes:
    """A grey picture of 64 x 64."""

    def part(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + bytes((x * y) % 256 for x in range(64)) for y in range(64))
    header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("log.jsonl", content)
    return buffer.getvalue()


def parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"id": ["a"]}), buffer)
    return buffer.getvalue()


BOTH = {1: OK, 2: OK}
LONG = gz(log("gz-long", 2000))
LONG_ZST = zst(log("zst-long", 2000))
FILE_CASES = [
    Case("gz cut in the middle.jsonl.gz", LONG[: len(LONG) // 2], refused="truncated_gzip"),
    Case("gz without its trailer.jsonl.gz", gz(log("gz-trailer"))[:-8], refused="truncated_gzip"),
    Case("gz cut in its header.jsonl.gz", gz(log("gz-header"))[:5], refused="truncated_gzip"),
    Case("gz with a wrong crc.jsonl.gz", with_bit_flipped(gz(log("gz-crc")), -8), refused="corrupt_gzip"),
    Case("gz with a wrong length.jsonl.gz", with_bit_flipped(gz(log("gz-length")), -1), refused="corrupt_gzip"),
    Case("gz damaged.jsonl.gz", LONG[:3000] + b"\xff" * 50 + LONG[3050:], refused="corrupt_gzip"),
    Case("gz and garbage.jsonl.gz", gz(log("gz-garbage")) + b"garbage", refused="corrupt_gzip"),
    Case("gz and zeros.jsonl.gz", gz(log("gz-zeros")) + b"\0" * 512, BOTH),
    Case("gz members.jsonl.gz", gz(log("gz-one")) + gz(log("gz-two")), {1: OK, 2: OK, 3: OK, 4: OK}),
    Case("gz cut line members.jsonl.gz", gz(log("gz-cut")[:100]) + gz(log("gz-cut")[100:]), BOTH),
    Case("gz member then cut.jsonl.gz", gz(log("gz-three")) + LONG[:2000], refused="truncated_gzip"),
    Case("gz of nothing.jsonl.gz", gz(b""), refused="empty_file"),
    Case("gz in gz.jsonl.gz", gz(gz(log("gz-gz"))), refused="not_text"),
    Case("zst cut in the middle.jsonl.zst", LONG_ZST[: len(LONG_ZST) // 2], refused="truncated_zstd"),
    Case("zst cut in its header.jsonl.zst", LONG_ZST[:4], refused="truncated_zstd"),
    Case("zst with a wrong checksum.jsonl.zst", with_bit_flipped(zst(log("zst-sum")), -1), refused="corrupt_zstd"),
    Case("zst and garbage.jsonl.zst", zst(log("zst-garbage")) + b"garbage", refused="corrupt_zstd"),
    Case("zst frames.jsonl.zst", zst(log("zst-one")) + zst(log("zst-two")), {1: OK, 2: OK, 3: OK, 4: OK}),
    Case("zst frame then cut.jsonl.zst", zst(log("zst-three")) + LONG_ZST[:200], refused="truncated_zstd"),
    Case("gz inside.jsonl", gz(log("sniff-gz")), BOTH),
    Case("zst inside.jsonl", zst(log("sniff-zst")), BOTH),
    Case("plain inside.jsonl.gz", log("sniff-plain"), BOTH),
    Case("zst inside.jsonl.gz", zst(log("sniff-zst-gz")), BOTH),
    Case("csv inside.jsonl", f"{PLAIN_HEADER}\n2025-11-21T01:00:00Z,sniff,{MINI},1,,1\n".encode(), {2: OK}),
    Case("jsonl inside.csv", log("sniff-jsonl"), BOTH),
    Case("empty.jsonl", b"", refused="empty_file"),
    Case("empty.csv", b"", refused="empty_file"),
    Case("empty.jsonl.gz", b"", refused="empty_file"),
    Case("empty.jsonl.zst", b"", refused="empty_file"),
    Case("picture.jsonl", png(), refused="not_text"),
    Case("utf16.jsonl", log("utf16").decode().encode("utf-16"), refused="wrong_encoding"),
    Case("utf16 le without bom.jsonl", log("utf16le").decode().encode("utf-16-le"), refused="wrong_encoding"),
    Case("utf16 be without bom.jsonl", log("utf16be").decode().encode("utf-16-be"), refused="wrong_encoding"),
    Case("utf16 be with bom.jsonl", b"\xfe\xff" + log("utf16x").decode().encode("utf-16-be"), refused="wrong_encoding"),
    Case("utf32.jsonl", log("utf32").decode().encode("utf-32"), refused="wrong_encoding"),
    Case("utf16.csv", f"{PLAIN_HEADER}\n".encode("utf-16"), refused="wrong_encoding"),
    Case("cr alone.jsonl", jsonl(chat("cr-1"), chat("cr-2"), chat("cr-3"), end=b"\r"), refused="cr_line_ends"),
    Case("archive.jsonl", zipped(log("zip")), refused="unsupported_archive"),
    Case("xz.jsonl", lzma.compress(log("xz")), refused="unsupported_archive"),
    Case("bz2.jsonl", bz2.compress(log("bz2")), refused="unsupported_archive"),
    Case("parquet.jsonl", parquet(), refused="unsupported_archive"),
    Case("prose.jsonl", b"Dear diary,\ntoday the model said nothing.\n", refused="unknown_format"),
    Case("prose.csv", f"{CANARY}, {CANARY}\nand so on\n".encode(), refused="invalid_header"),
    Case("one line of prose.jsonl", CANARY.encode(), refused="unknown_format"),
    # Names that a shell, a glob or an SQL text would take for something else. Each holds one broken line, so that
    # stderr must name it.
    *(
        Case(name, jsonl("{torn", chat(f"name-{at}")), {1: "invalid_json", 2: OK})
        for at, name in enumerate(
            [
                'it\'s "quoted".jsonl',
                "with spaces  and\ttab.jsonl",
                "[1]*.jsonl",
                "1x.jsonl",
                "what?.jsonl",
                "two\nlines.jsonl",
                "return\rand\x1b[31mred.jsonl",
                "--quiet.jsonl",
                "-.jsonl",
                "$(reboot); drop table usage;--.jsonl",
                "{a,b}.jsonl",
                "~.jsonl",
                "naïve 模型 🙂.jsonl",
                "UPPER.JSONL",
                "nd.ndjson",
                f"{'long' * 60}.jsonl",
            ]
        )
    ),
    Case(os.fsdecode(b"latin-\xe9.jsonl"), jsonl("{torn", chat("latin-1")), {1: "invalid_json", 2: OK}),
]

# ------------------------------------------------------------------------------------------------------------ documents

OCTOBER_2 = OCTOBER + 86_400
DOCUMENT_CASES = [
    Case(
        "array.json",
        json.dumps([chat("array-1"), {"a": 1}, chat("array-3")], indent=1).encode(),
        {2: OK, 21: "unknown_shape", 24: OK},
    ),
    Case(
        "array on one line.json",
        text_of([chat("line-1"), {"a": 1}, {"b": 2}]).encode(),
        {  # type: ignore[arg-type]
            1: [OK, "unknown_shape", "unknown_shape"]
        },
    ),
    Case("pretty.json", json.dumps(chat("pretty-1"), indent=2).encode(), {1: OK}),
    Case(
        "pretty objects.json",
        (json.dumps(chat("pretty-2"), indent=2) + "\n" + json.dumps({"a": 1}, indent=2) + "\n").encode(),
        {1: OK, 20: "unknown_shape"},
    ),
    Case(
        "list.json",
        json.dumps(
            {"object": "list", "data": [chat("list-1"), {"é": 1}, {"b": 1}]}, indent=1, ensure_ascii=False
        ).encode(),
        {4: OK, 23: "unknown_shape", 26: "unknown_shape"},
    ),
    Case(
        "bom document.json",
        BOM + json.dumps([chat("bomdoc-1"), {"a": 1}], indent=1).encode(),
        {2: OK, 21: "unknown_shape"},
    ),
    Case(
        "page.json",
        b"""{
  "object": "page",
  "data": [
    {"object": "bucket", "start_time": 1759276800, "end_time": 1759363200, "results": [
      {"object": "organization.usage.completions.result", "input_tokens": 5, "output_tokens": 1,
       "num_model_requests": 1, "project_id": "page-1", "model": "gpt-4o", "service_tier": "default", "batch": false},
      {"object": "organization.usage.completions.result", "input_tokens": 1.5, "output_tokens": 1,
       "num_model_requests": 1, "project_id": "page-2", "model": "gpt-4o", "service_tier": "default", "batch": false}
    ]},
    {"object": "bucket", "start_time": 1759363200, "end_time": 1759449600, "results": []}
  ],
  "has_more": false
}
""",
        {5: OK, 7: "invalid_count", 0: "empty_bucket"},
    ),
    Case(
        "broken tail.json",
        json.dumps(chat("tail-a"), indent=1).encode() + b"\n" + json.dumps(chat("tail-b"), indent=1).encode()[:-40],
        {1: OK, 20: "invalid_json"},
    ),
    Case(
        "array with a broken tail.json",
        json.dumps([chat("tail-c"), chat("tail-d")], indent=1).encode()[:-60],
        {1: "invalid_json"},
    ),
    Case("not utf8.json", b'{\n "a": "caf\xe9"\n}\n', refused="wrong_encoding"),
    Case("deep.json", b"[\n" + nested(100_000).encode() + b"\n]", {1: "too_deep"}),
    Case("empty array.json", b"[\n]\n", {}),
]

# ------------------------------------------------------------------------------------------------------------------ CSV


def csv_log(stem: str, *rows: str, header: str = PLAIN_HEADER, end: str = "\n") -> bytes:
    """A CSV file; a row that is only a number is a good one."""
    good = f"2025-11-21T01:00:00Z,{stem}-{{}},{MINI},1000,,100"
    return "".join((good.format(row) if row.isdigit() else row) + end for row in [header, *rows]).encode()


CSV_CASES = [
    Case(
        "short and long rows.csv",
        csv_log("csv-a", "1", "2025-11-21T01:00:00Z,short,x", "2", "a,b,c,d,e,f,g", "3"),
        {2: OK, 3: "invalid_csv", 4: OK, 5: "invalid_csv", 6: OK},
    ),
    Case(
        "stray quotes.csv",
        csv_log("csv-b", "1", '2025-11-21T01:00:00Z,"a"b"c",m,1,,1', "2"),
        {2: OK, 3: "invalid_csv", 4: OK},
    ),
    Case(
        "unclosed quote.csv",
        csv_log("csv-c", "1", '2025-11-21T01:00:00Z,"open,m,1,,1', "2", "3"),
        {2: OK, 3: "invalid_csv", 4: OK, 5: OK},
    ),
    Case(
        "two stray quotes.csv",
        csv_log("csv-c2", "1", 'x,"open,m,1,,1', "2", "3", 'x,"again,m,1,,1', "4"),
        {2: OK, 3: "invalid_csv", 4: OK, 5: OK, 6: "invalid_csv", 7: OK},
    ),
    Case(
        "quote open to the end.csv",
        csv_log("csv-d", *map(str, range(50)), '2025-11-21T01:00:00Z,"open,m,1,,1'),
        {**dict.fromkeys(range(2, 52), OK), 52: "invalid_csv"},
    ),
    Case(
        "quoted newlines.csv",
        csv_log(
            "csv-e",
            '2025-11-21T01:00:00Z,csv-e-1,"gpt-4o\nof mine",1,,1',
            f"2025-11-21T01:00:00Z,csv-e-2,{MINI},1,,1",
            'x,"a\n""b"",\nc",m,1,,1',
            f"2025-11-21T01:00:00Z,csv-e-3,{MINI},1,,1",
        ),
        {2: "control_character", 4: OK, 5: "control_character", 8: OK},
    ),
    Case(
        "quoted newlines with crlf.csv",
        csv_log("csv-f", '2025-11-21T01:00:00Z,csv-f-1,"gpt-4o\r\nof mine",1,,1', "2", end="\r\n"),
        {2: "control_character", 4: OK},
    ),
    Case(
        "notes with quoted newlines.csv",
        csv_log(
            "csv-g",
            f'2025-11-21T01:00:00Z,csv-g-1,{MINI},1,,1,"{CANARY},\n\nsaid ""he"""',
            f"2025-11-21T01:00:00Z,csv-g-2,{MINI},1,,1,",
            header=PLAIN_HEADER + ",notes",
        ),
        {2: OK, 5: OK},
    ),
    Case(
        "wide notes.csv",
        csv_log(
            "csv-h", f"2025-11-21T01:00:00Z,csv-h-1,{MINI},1,,1,{'long ' * 40_000}", header=PLAIN_HEADER + ",notes"
        ),
        {2: OK},
    ),
    Case(
        "odd line separators.csv",
        csv_log(
            "csv-i",
            f'2025-11-21T01:00:00Z,csv-i-1,{MINI},1,,1,a\u2028b\x0cc\x85d,"quoted"',
            f'2025-11-21T01:00:00Z,csv-i-2,{MINI},1,,1,a,"a\u2028b\x0cc"',
            header=PLAIN_HEADER + ",notes,more",
        ),
        {2: OK, 3: OK},
    ),
    Case(
        "doubled column.csv",
        csv_log("csv-j", "1", header=PLAIN_HEADER.replace("request_id", "model")),
        refused="invalid_header",
    ),
    Case("unclosed header.csv", csv_log("csv-k", "1", header='"' + PLAIN_HEADER), refused="invalid_header"),
    Case("semicolons.csv", csv_log("csv-l", "1").replace(b",", b";"), refused="unknown_format"),
    Case("tabs.csv", csv_log("csv-m", "1").replace(b",", b"\t"), refused="unknown_format"),
    Case("no header.csv", csv_log("csv-n", "1", "2", header="0"), refused="unknown_format"),
    Case("header alone.csv", csv_log("csv-o"), {}),
    Case("torn last row.csv", csv_log("csv-p", "1", "2")[:-1], {2: OK, 3: "torn_tail"}),
    Case("torn in the middle.csv", csv_log("csv-q", "1", "2")[:-30], {2: OK, 3: "invalid_csv"}),
    Case(
        "nul.csv",
        csv_log("csv-r", "1", "2025-11-21T01:00:00Z,a\0b,m,1,,1", "2", "\0\0\0\0"),
        {2: OK, 3: "invalid_csv", 4: OK, 5: "invalid_csv"},
    ),
    Case(
        "latin1.csv",
        csv_log("csv-s", "1", f"2025-11-21T01:00:00Z,XX,{MINI},1,,1", "2").replace(b"XX", b"caf\xe9"),
        {2: OK, 3: "invalid_utf8", 4: OK},
    ),
    Case("bom.csv", BOM + csv_log("csv-t", "1", "torn"), {2: OK, 3: "invalid_csv"}),
    Case("crlf.csv", csv_log("csv-u", "1", "torn", "2", end="\r\n"), {2: OK, 3: "invalid_csv", 4: OK}),
    Case(
        "blank rows.csv", b"\n\r\n" + csv_log("csv-v", "1", "", "  ", "2", "torn", ""), {4: OK, 7: OK, 8: "invalid_csv"}
    ),
    Case(
        "columns in any order.csv",
        csv_log(
            "csv-w", f"1,zzz,{MINI},5,2025-11-21T01:00:00Z", header="output_tokens,mood,model,input_tokens,occurred_at"
        ),
        {2: OK},
    ),
    Case("header twice.csv", csv_log("csv-x", "1", PLAIN_HEADER, "2"), {2: OK, 3: "invalid_count", 4: OK}),
    Case("total.csv", csv_log("csv-y", "1", "Total,,,1000,,100"), {2: OK, 3: "missing_model"}),
    Case(
        "usage rows.csv",
        f"{USAGE_HEADER}\n{usage_row('csv-z')}\n{OCTOBER},{OCTOBER_2},2025,2025{',' * 8}\n".encode(),
        {2: OK, 0: "empty_bucket"},
    ),
    Case("bill.csv", b"start_time,end_time,amount_value,line_item\n1,2,3,x\n", refused="statement"),
]


ODD_CASES = [*JSON_CASES, *FILE_CASES, *DOCUMENT_CASES, *CSV_CASES]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return read_together(tmp_path_factory.mktemp("odd"), [*ODD_CASES, *CELL_CASES])


@pytest.mark.parametrize("case", identified(ODD_CASES))
def test_every_record_and_every_file_meets_its_fate(night: Night, case: Case) -> None:
    assert_fates(night, case, night.warehouse.parent / "logs" / case.name)


def test_the_good_file_beside_all_odd_ones_is_priced(night: Night) -> None:
    assert_good_file_is_priced(night, night.warehouse.parent / "logs" / "good.jsonl")
    assert night.code == 3


def test_what_is_wrong_with_a_file_takes_one_line(night: Night) -> None:
    """`NAME: CODE: text`, whatever is in the name; on stderr only what needs attention follows."""
    named = [line for one in night.said["inputs"] for line in night.lines_about_shown(one["name"])]
    assert len(named) + 1 == len(night.err.splitlines())
    assert night.err.splitlines()[-1].startswith("needs attention: ")
    assert all(re.match(r"[a-z_0-9]+: \S", line) for line in named)


def test_the_fates_of_all_files_add_up(night: Night) -> None:
    fates = ("accepted", "duplicate", "conflict", "excluded", "rejected")
    for counts in (night.said["counts"], *(one["counts"] for one in night.said["inputs"])):
        assert counts["read"] == sum(counts[fate] for fate in fates)
    assert night.said["counts"]["accepted"] == len(night.usage)
    assert night.said["counts"]["rejected"] == len(night.rejects)


def test_every_reject_points_at_its_line(night: Night, number_night: Night) -> None:
    documents = {case.name for case in DOCUMENT_CASES}
    quoted = {"quoted newlines.csv", "quoted newlines with crlf.csv"}
    checked = Counter[str]()
    for one in (night, number_night):
        logs = one.warehouse.parent / "logs"
        paths = {shown(logs / os.fsdecode(name)): logs / os.fsdecode(name) for name in os.listdir(os.fsencode(logs))}
        for row in one.rejects:
            path = paths[shown(row["input_name"])]
            content = content_of(path)
            assert_points_at_its_bytes(row, content, in_document=path.name in documents)
            checked[path.name] += 1
    assert checked.keys() >= quoted | {"bom.jsonl", "crlf.jsonl", "bom document.json", "array.json"}


def test_no_prompt_is_copied_anywhere(night: Night) -> None:
    """Every accepted, rejected and excluded record of that night held one."""
    canaries = [CANARY.encode(), b"the-patient-said", b"Dear diary"]
    files = [path for path in night.warehouse.rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += "\n".join(map(str, pl.read_parquet(path).rows())).encode()
        assert not [canary for canary in canaries if canary in content], path
    printed = (night.out + night.err).encode()
    assert not [canary for canary in canaries if canary in printed]


# ----------------------------------------------------------------------------------------------------------- long lines


def chat_of_length(request_id: str, length: int) -> bytes:
    """A chat line of exactly this many bytes."""
    line = with_content(request_id, b"%s")
    return line.replace(b"%s", b"x" * (length - len(line) + 2))


@pytest.mark.parametrize("block_bytes", [decompression.BLOCK_BYTES, MIB])
def test_a_line_of_16_mib_is_read_and_a_longer_one_costs_only_itself(
    tmp_path: Path, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it fits into two blocks, or is passed over while the blocks go by."""
    monkeypatch.setattr(decompression, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(framing, "CHUNK_BYTES", block_bytes)
    odd = [
        chat_of_length("long-1", 16 * MIB),
        chat_of_length("long-2", 16 * MIB + 1),
        chat_of_length("long-3", 20_000_000),
    ]
    assert [len(line) for line in odd] == [16_777_216, 16_777_217, 20_000_000]
    case = beside("long", *odd, fates=[OK, "line_too_long", "line_too_long"])
    good_row = f"2025-11-21T01:00:00Z,csv-long-{{}},{MINI},1,,1,"
    rows = [
        good_row.format(1),
        good_row.format(2) + "x" * 20_000_000,
        good_row.format(3),
        good_row.format(4) + '"a note that begins',
        "x" * (16 * MIB + 1),
        'and ends"',
        good_row.format(5),
    ]
    fates = [OK, "line_too_long", OK, "invalid_csv", "line_too_long", "invalid_csv", OK]
    as_csv = Case("long.csv", csv_log("", *rows, header=PLAIN_HEADER + ",notes"), dict(enumerate(fates, 2)))

    night = read_together(tmp_path, [case, as_csv])

    logs = tmp_path / "logs"
    assert_good_file_is_priced(night, logs / "good.jsonl")
    for one in (case, as_csv):
        assert_fates(night, one, logs / one.name)
    for row in night.rejects:
        assert_points_at_its_bytes(row, Path(row["input_name"]).read_bytes())


@settings(max_examples=100, deadline=None)
@example(lengths=[30, 31], ends=[b"\r\n"] * 12, is_ended=True, has_bom=False, chunk_bytes=1, head_bytes=0)
@example(lengths=[40, 0, 5], ends=[b"\n"] * 12, is_ended=False, has_bom=True, chunk_bytes=7, head_bytes=0)
@given(
    lengths=st.lists(st.integers(0, 60), max_size=12),
    ends=st.lists(st.sampled_from([b"\n", b"\r\n"]), min_size=12, max_size=12),
    is_ended=st.booleans(),
    has_bom=st.booleans(),
    chunk_bytes=st.integers(1, 50),
    head_bytes=st.integers(0, 40),
)
def test_every_byte_belongs_to_one_line_wherever_the_chunks_are_cut(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    ends: list[bytes],
    is_ended: bool,
    has_bom: bool,
    chunk_bytes: int,
    head_bytes: int,
) -> None:
    """Here a line may have 30 bytes instead of 16 MiB."""
    start = BOM if has_bom else b""
    lines = [bytes([97 + at % 26]) * length for at, length in enumerate(lengths)]
    content = start + b"".join(line + end for line, end in zip(lines, ends, strict=False))
    if not is_ended:
        content = content.removesuffix(b"\n").removesuffix(b"\r")
    expected = [line.removesuffix(b"\r") for line in content[len(start) :].split(b"\n")]
    if not expected[-1]:
        expected.pop()
    path = tmp_path_factory.getbasetemp() / "cut.jsonl"
    path.write_bytes(content)

    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decompression, "BLOCK_BYTES", chunk_bytes)
        patch.setattr(framing, "CHUNK_BYTES", chunk_bytes)
        patch.setattr(framing, "LINE_BYTES_MAX", 30)
        source = framing.Content(framing.Input("cut.jsonl", path))
        blocks = source.blocks()
        head = b""
        while len(head) < len(start) + head_bytes and (block := next(blocks, b"")):
            head += block
        offset = len(start)
        for chunk in source.chunks(head[offset:], blocks, offset):
            assert (chunk.first_line, chunk.offset) == (len(found) + 1, offset)
            offset += chunk.length
            if chunk.is_overlong:
                assert chunk.content_length > 30
                found.append((chunk.content_length, chunk.sha256))
            else:
                places = list(Lines(chunk).places(range(chunk.first_line, chunk.first_line + chunk.lines)))
                for at, length, sha256 in places:
                    assert hashlib.sha256(content[at : at + length]).hexdigest() == sha256
                    found.append((length, sha256))

    assert offset == len(content)
    assert found == [(len(line), hashlib.sha256(line).hexdigest()) for line in expected]
    assert source.sha256 == hashlib.sha256(content).hexdigest()


# ------------------------------------------------------------------------------------------ paths and what they lead to


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.jsonl"
    path.write_bytes(jsonl(chat("good-1"), chat("good-2")))
    return path


def costs(night: Night) -> Decimal:
    rows = rows_of(night.warehouse, "rollups/*")
    return sum((row["cost_usd"] for row in rows), Decimal(0))


def test_a_missing_path_is_named_and_the_others_are_priced(tmp_path: Path, good: Path) -> None:
    missing = [tmp_path / "gone.jsonl", tmp_path / "gone*.jsonl", tmp_path / "no\nway.jsonl"]

    night = run(tmp_path / "warehouse", missing[0], good, *missing[1:])

    assert night.code == 3
    for path in missing:
        assert night.lines_about(path) == ["unreadable: there is no such file or folder"]
    assert len(night.err.splitlines()) == 4  # and the line of what needs attention
    assert costs(night) == Decimal("0.00042")  # 2 x (1,000 x 0.15 + 100 x 0.60) / 1,000,000


@pytest.mark.parametrize("name", ["gone.jsonl", "*.nothing", os.fsdecode(b"caf\xe9.jsonl"), ""])
def test_when_no_path_names_anything_it_is_a_usage_error(tmp_path: Path, name: str) -> None:
    night = run(tmp_path / "warehouse", tmp_path / "not here" / name)

    assert night.code == 2
    assert night.err.startswith("costroll: no PATH names anything: ")
    assert shown(name) in night.err
    assert not night.out.removeprefix("{}")
    assert not (tmp_path / "warehouse").exists()


def test_a_file_that_may_not_be_read_is_named_and_the_others_are_priced(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The administrator may read everything, so the refusal is staged."""
    secret = tmp_path / "secret.jsonl"
    secret.write_bytes(log("secret"))
    really_open = os.open

    def open_unless_secret(path: Any, *rest: Any, **options: Any) -> int:
        if Path(path) == secret:
            raise PermissionError(13, "Permission denied", str(path))
        return really_open(path, *rest, **options)

    monkeypatch.setattr(os, "open", open_unless_secret)
    night = run(tmp_path / "warehouse", secret, good)

    assert night.code == 3
    assert night.lines_about(secret) == ["unreadable: cannot be opened: Permission denied"]
    assert costs(night) == Decimal("0.00042")


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may read everything")
def test_a_folder_that_may_not_be_listed_is_named_and_the_others_are_priced(tmp_path: Path, good: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "log.jsonl").write_bytes(log("secret"))
    secret.chmod(0)

    night = run(tmp_path / "warehouse", secret, good)
    secret.chmod(0o700)

    assert night.code == 3
    assert night.lines_about(secret) == ["unreadable: cannot be listed: Permission denied"]
    assert costs(night) == Decimal("0.00042")


def test_a_folder_that_may_not_be_searched_is_named_and_the_others_are_priced(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking whether it is a warehouse asks for what is in it."""
    secret = tmp_path / "secret"
    secret.mkdir()
    really_stat = os.stat

    def stat_unless_inside(path: Any, *rest: Any, **options: Any) -> os.stat_result:
        if isinstance(path, Path) and path.parent == secret:
            raise PermissionError(13, "Permission denied", str(path))
        return really_stat(path, *rest, **options)

    monkeypatch.setattr(os, "stat", stat_unless_inside)
    night = run(tmp_path / "warehouse", secret, good)

    assert night.code == 3
    assert night.lines_about(secret) == ["unreadable: cannot be listed: Permission denied"]
    assert costs(night) == Decimal("0.00042")


@pytest.mark.parametrize("end", ["", "\n"], ids=["no line end", "a line end"])
def test_a_page_on_one_line_is_cut_whatever_stands_behind_its_records(tmp_path: Path, end: str) -> None:
    """Its rejected record has the place of its own, not that of the whole page."""
    (log := tmp_path / "page.json").write_text(f'{{"object":"list","data":[{{"a":1}}],"meta":{{"b":2}}}}{end}')
    night = run(tmp_path / "warehouse", log)
    [row] = rows_of(night.warehouse, "rejects/*")
    # {"object":"list","data":[ are 25 bytes, {"a":1} are 7.
    assert (row["reason"], row["byte_offset"], row["byte_length"]) == ("unknown_shape", 25, 7)


@pytest.mark.parametrize(("seconds", "reasons"), [(-1, ["invalid_timestamp"]), (0, ["invalid_timestamp"]), (1, [])])
def test_an_interval_ends_after_it_begins(tmp_path: Path, seconds: int, reasons: list[str]) -> None:
    start = OCTOBER + 5 * 86_400
    odd = bucket(result("odd"), start=start) | {"end_time": start + seconds}
    log = tmp_path / "usage.jsonl"
    log.write_text(f"{json.dumps(bucket(result('sound')))}\n{json.dumps(odd)}\n")

    night = run(tmp_path / "warehouse", log)

    assert [row["reason"] for row in rows_of(night.warehouse, "rejects/*")] == reasons
    assert len(rows_of(night.warehouse, "usage/*/*")) == 2 - len(reasons)


@pytest.mark.parametrize("header", ["num_sessions", "images,size,num_model_requests,model", "characters,model"])
def test_a_dashboard_export_of_something_else_is_no_empty_completions_export(
    tmp_path: Path, good: Path, header: str
) -> None:
    export = tmp_path / "sessions.csv"
    times = "1763683200,1763769600,2025-11-21T00:00:00+00:00,2025-11-22T00:00:00+00:00"
    cells = ",".join(["40.0"] + [""] * header.count(","))
    export.write_text(f"start_time,end_time,start_time_iso,end_time_iso,{header}\n{times},{cells}\n")

    night = run(tmp_path / "warehouse", export, good)

    assert night.code == 3 and costs(night) == Decimal("0.00042")
    [line] = night.lines_about(export)
    assert line.startswith("unknown_format: its CSV columns (start_time, end_time, start_time_iso, end_time_iso")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("other.csv", "occurred_at,model,prompt_tokens\n2025-11-21T10:00:00Z,gpt-4o,1000000\n"),
        ("blank.csv", "occurred_at,model,output_tokens\n2025-11-21T10:00:00Z,gpt-4o,\n"),
    ],
)
def test_a_plain_record_without_any_quantity_is_rejected_and_costs_nothing_unseen(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)

    night = run(tmp_path / "warehouse", tmp_path / name)

    assert night.code == 3 and night.fates(tmp_path / name) == {2: ["missing_count"]}


def test_a_disk_that_fails_in_the_middle_of_a_file_costs_only_that_file(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = tmp_path / "failing.jsonl"
    failing.write_bytes(log("failing", 2000))
    read = framing._Counted.read

    def read_until_the_bad_sector(self: Any, size: int = -1) -> bytes:
        if self._content.input.path == str(failing) and self._content.stored_bytes >= 1 << 16:
            self._stream = FailingDisk()
        return read(self, size)

    class FailingDisk:
        def read(self, size: int) -> bytes:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(framing._Counted, "read", read_until_the_bad_sector)
    night = run(tmp_path / "warehouse", failing, good)

    assert night.code == 3
    assert night.lines_about(failing) == ["unreadable: reading failed: Input/output error"]
    assert len(night.usage) == 2
    assert costs(night) == Decimal("0.00042")


def test_a_file_that_shrinks_while_it_is_read_costs_only_itself(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrinking = tmp_path / "shrinking.jsonl"
    shrinking.write_bytes(log("shrinking", 2000))
    read = framing._Counted.read

    def read_and_truncate(self: Any, size: int = -1) -> bytes:
        if self._content.input.path == str(shrinking) and self._content.stored_bytes:
            os.truncate(shrinking, 1 << 16)
        return read(self, size)

    monkeypatch.setattr(framing._Counted, "read", read_and_truncate)
    night = run(tmp_path / "warehouse", shrinking, good)

    assert night.code == 3
    [line] = night.lines_about(shrinking)
    assert line.startswith("changed_while_read: ")
    assert len(night.usage) == 2


def test_a_folder_gives_its_logs_and_nothing_that_could_block_or_loop(tmp_path: Path) -> None:
    logs, outside = tmp_path / "logs", tmp_path / "outside"
    for folder in (logs / "nested" / "folder.jsonl", logs / ".git", outside):
        folder.mkdir(parents=True)
    (logs / "a.jsonl").write_bytes(log("a", 1))
    (logs / "nested" / "folder.jsonl" / "b.csv.gz").write_bytes(gz(csv_log("b", "1")))
    (outside / "c.jsonl").write_bytes(log("c", 1))
    (outside / "never.jsonl").write_bytes(log("never", 1))
    for hidden in (logs / ".hidden.jsonl", logs / ".git" / "d.jsonl"):
        hidden.write_bytes(log(hidden.parent.name, 1))
    for other in ("README", "notes.txt", "log.jsonl.bak", "log.gz"):
        (logs / other).write_text("nothing\n")
    (logs / "link.jsonl").symlink_to(outside / "c.jsonl")
    (logs / "same.jsonl").symlink_to("a.jsonl")
    (logs / "folder").symlink_to(outside)
    (logs / "up").symlink_to("..")
    (logs / "gone.jsonl").symlink_to("nothing.jsonl")
    (logs / "loop.jsonl").symlink_to("loop.jsonl")
    (logs / "null.jsonl").symlink_to("/dev/null")
    os.mkfifo(logs / "pipe.jsonl")
    warehouse = logs / "warehouse"

    first, second = run(warehouse, logs), run(warehouse, logs)

    for night, code, lines in ((first, 3, 6), (second, 0, 1)):  # what is no file is told once
        assert night.code == code
        for name in ("gone.jsonl", "loop.jsonl", "null.jsonl", "pipe.jsonl"):
            assert [line[:12] for line in night.lines_about(logs / name)] == ["not_a_file: "] * (night is first)
        assert "6 other files in the folders were left alone" in night.err.splitlines()
        assert len(night.err.splitlines()) == lines
        assert {row["request_id"] for row in night.usage} == {"a-0", "b-1", "c-0"}
    assert second.said["snapshot"] is None


def test_what_is_no_file_is_refused_when_it_is_named(tmp_path: Path, good: Path) -> None:
    fifo, dangling, device = tmp_path / "fifo.jsonl", tmp_path / "dangling.jsonl", Path(os.devnull)
    os.mkfifo(fifo)
    dangling.symlink_to("nowhere")

    for _ in range(2):  # whoever names it wants to know each time
        night = run(tmp_path / "warehouse", fifo, device, dangling, good)
        assert night.code == 3
        for named in (fifo, device, dangling):
            [line] = night.lines_about(named)
            assert line.startswith("not_a_file: ")
    assert costs(night) == Decimal("0.00042")


def test_a_link_to_a_folder_is_followed_when_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jsonl").write_bytes(log("a"))
    (tmp_path / "link").symlink_to("real")

    assert run(tmp_path / "warehouse", tmp_path / "link").said["counts"]["accepted"] == 2


def test_a_name_beats_a_glob_and_a_leading_dash_needs_two_dashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("[1]*.jsonl", "1x.jsonl", "1y.jsonl", "--quiet.jsonl", "it's.jsonl"):
        Path(name).write_bytes(log(name, 1))

    literal = run(tmp_path / "one", "[1]*.jsonl")
    globbed = run(tmp_path / "two", "--", "--quiet.jsonl", "1*.jsonl", "it?s.jsonl")

    assert [one["name"] for one in literal.said["inputs"]] == ["[1]*.jsonl"]
    assert [one["name"] for one in globbed.said["inputs"]] == ["--quiet.jsonl", "1x.jsonl", "1y.jsonl", "it's.jsonl"]
    assert [literal.code, globbed.code] == [0, 0]


# ------------------------------------------------------------------------------------------------------------ conflicts


def test_a_conflict_points_at_its_line_too(tmp_path: Path) -> None:
    """Of each pair the later one stands; the other is quarantined with both hashes."""
    early, late = ONE_O_CLOCK, ONE_O_CLOCK + 1

    def pair(stem: str, first: int, second: int) -> list[dict[str, Any]]:
        return [chat(stem, created=first), chat(f"{stem}-other"), chat(stem, created=second)]

    files = {
        "crlf.jsonl": jsonl("", *pair("one", late, early), end=b"\r\n"),
        "bom.jsonl": BOM + jsonl(*pair("two", early, late)),
        "packed.jsonl.gz": gz(jsonl(*pair("three", early, late), "{torn")),
        "rows.csv": csv_log(
            "rows",
            f'2025-11-21T01:00:00Z,four,{MINI},1,,1,"a\nb"',
            f'2025-11-21T01:00:01Z,four,{MINI},1,,1,"a\nb"',
            header=PLAIN_HEADER + ",notes",
        ),
        "pretty.json": json.dumps(pair("five", early, late), indent=2).encode(),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)

    night = run(tmp_path / "warehouse", *(tmp_path / name for name in files))

    conflicts = [row for row in night.rejects if row["fate"] == "conflict"]
    assert {(Path(row["input_name"]).name, row["line_number"], row["request_id"]) for row in conflicts} == {
        ("crlf.jsonl", 4, "one"),
        ("bom.jsonl", 1, "two"),
        ("packed.jsonl.gz", 1, "three"),
        ("rows.csv", 2, "four"),
        ("pretty.json", 2, "five"),
    }
    stands = {row["request_id"]: row["content_hash"] for row in night.usage}
    for row in conflicts:
        file = Path(row["input_name"])
        assert_points_at_its_bytes(row, content_of(file), in_document=file.suffix == ".json")
        assert row["kept_content_hash"] == stands[row["request_id"]] != row["content_hash"]
    assert night.code == 3
    assert night.lines_about(tmp_path / "bom.jsonl") == [
        "content_differs: 1 record is set aside: content_differs 1 (first at line 1)"
    ]


# --------------------------------------------------------------------------------------------------------- a mixed file


def mixed(stem: str, at: int) -> list[tuple[dict[str, Any] | str, str | None, dict[str, Any]]]:
    """One record of every shape: what is written, the source it is recognised by, and what USAGE says of it."""
    name, prompt = f"{stem}-{at}", 1000 + at
    usage = {"prompt_tokens": prompt, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 7}}
    inner = {"input_tokens": prompt, "output_tokens": 10, "output_tokens_details": {"reasoning_tokens": 3}}
    counted = {"input_uncached_tokens": prompt - 7, "input_cached_tokens": 7, "output_tokens": 10}
    body = chat(f"{name}-batch", usage=usage, service_tier="default")
    vector = {"object": "list", "data": [], "model": "text-embedding-3-small", "usage": {"prompt_tokens": prompt}}
    return [
        (
            chat(f"{name}-chat", usage=usage, service_tier="flex", metadata={"project_id": "p"}),
            "openai_chat",
            counted | {"request_id": f"{name}-chat", "tier": "flex", "project_id": "p"},
        ),
        (
            responses(f"{name}-resp", usage=inner),
            "openai_responses",
            {"request_id": f"{name}-resp", "input_uncached_tokens": prompt, "reasoning_tokens": 3, "tier": "standard"},
        ),
        (
            batch(name, response={"status_code": 200, "body": body}),
            "openai_chat",
            counted | {"request_id": f"{name}-batch", "tier": "batch", "project_id": None},
        ),
        (
            wrapped("", response=text_of(chat(f"{name}-text", usage=usage, created=None)), project="q"),
            "openai_chat",
            counted | {"request_id": f"{name}-text", "tier": "standard", "project_id": "q"},
        ),
        (
            {"ts": ONE_O_CLOCK, "request_id": f"{name}-vector", "output": vector},
            "openai_embeddings",
            {"request_id": f"{name}-vector", "input_uncached_tokens": prompt, "model": "text-embedding-3-small"},
        ),
        (
            bucket(result(name, input_tokens=prompt, input_cached_tokens=7)),
            "openai_usage",
            {"input_uncached_tokens": prompt - 7, "input_cached_tokens": 7, "project_id": name, "requests": 1},
        ),
        (
            plain(f"{name}-plain", input_tokens=prompt, input_cached_tokens=7, tier="priority"),
            "plain",
            counted | {"request_id": f"{name}-plain", "output_tokens": 100, "tier": "priority"},
        ),
        (chat(f"{name}-bad", usage={"prompt_tokens": 1.5, "completion_tokens": 1}), None, {"reason": "invalid_count"}),
        (f'{{"torn": "{name}', None, {"reason": "invalid_json"}),
        ({"hello": name}, None, {"reason": "unknown_shape"}),
    ]


@pytest.mark.parametrize(
    ("order", "chunk_bytes"),
    [
        ("interleaved", framing.CHUNK_BYTES),
        ("one shape after another", framing.CHUNK_BYTES),
        ("one shape after another", 9000),
    ],
)
def test_a_mixed_file_gets_each_record_right(
    tmp_path: Path, order: str, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SMALL_BYTES", 0)
    monkeypatch.setattr(decompression, "BLOCK_BYTES", chunk_bytes)
    monkeypatch.setattr(framing, "CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr(cutting, "HEAD_BYTES", min(chunk_bytes, cutting.HEAD_BYTES))
    rounds = [mixed("mixed", at) for at in range(21)]
    records = (
        list(itertools.chain(*rounds)) if order == "interleaved" else list(itertools.chain(*zip(*rounds, strict=True)))
    )
    assert len(records) == 210
    (tmp_path / "mixed.jsonl").write_bytes(jsonl(*(written for written, _, _ in records)))

    night = run(tmp_path / "warehouse", tmp_path / "mixed.jsonl")

    found = {row["line_number"]: row for row in (*night.usage, *night.rejects)}
    assert len(night.usage) + len(night.rejects) == len(found) == 210
    for line, (_, source, expected) in enumerate(records, 1):
        assert found[line].get("source") == source
        assert {name: found[line][name] for name in expected} == expected
    assert night.said["counts"] == {
        "read": 210, "accepted": 147, "duplicate": 0, "conflict": 0, "excluded": 0, "rejected": 63
    }  # fmt: skip
