"""What must never be copied is nowhere: not printed, not published, not left behind, whatever is wrong with the logs.

Canaries stand in every place of a log that Costroll has no business with, in every fixture of the catalogue of faults.
What it keeps on purpose is listed in docs/privacy.md.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
import zstandard

from etl import parts, spool
from etl.cli import exit_code_of
from tests.catalogue import FAULTS
from tests.nights import MINI, NOON, Ran, chat, costroll, rows_of, write_jsonl

PROMPT, KEY = "PROMPT-CANARY-the-patient-said", "sk-CANARY-proj-0123456789abcdef"
CANARIES = (PROMPT.encode(), KEY.encode(), b"CANARY")
EVERYWHERE = {
    "messages": [{"role": "user", "content": PROMPT}],
    "headers": {"Authorization": f"Bearer {KEY}", KEY: PROMPT},
    PROMPT: {PROMPT: [PROMPT]},
    "api_key": KEY,
    "system_fingerprint": PROMPT,
    "deep": json.loads("[" * 90 + json.dumps(PROMPT) + "]" * 90),
}


def with_canaries(content: bytes) -> bytes:
    """The content of a fixture with canaries in every record, and in lines of their own."""
    members = json.dumps(EVERYWHERE)[1:-1].encode()
    content = content.replace(b'"object":"chat.completion"', members + b',"object":"chat.completion"')
    content = content.replace(b",100,", f",100,{PROMPT} {KEY}".encode())
    torn = json.dumps(chat("torn", **EVERYWHERE)).encode()[:-30]
    return content + (b"" if not content.strip() else b"\n".join((b"", f"# {PROMPT} {KEY}".encode(), torn)))


def decoded(path: Path) -> bytes:
    """A file's bytes and, of Parquet, also its pages as they are stored, its values and its statistics."""
    data = path.read_bytes()
    if path.suffix != ".parquet":
        return data
    parts = [data, "\n".join(map(str, pl.read_parquet(path).rows())).encode()]
    parts.append(str(pq.ParquetFile(path).metadata.to_dict()).encode())
    at = data.find(zstandard.FRAME_HEADER)
    while at >= 0:
        try:
            parts.append(zstandard.ZstdDecompressor().decompressobj().decompress(data[at:]))
        except zstandard.ZstdError:
            parts.append(b"")  # four bytes that only look like the beginning of a page
        at = data.find(zstandard.FRAME_HEADER, at + 1)
    return b"\n".join(parts)


def leaks(folder: Path) -> list[str]:
    """The files below a folder that hold a canary."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if any(canary in decoded(path) for canary in CANARIES)]


def is_silent(ran: Ran) -> bool:
    """Whether neither stream holds a canary."""
    return not any(canary in (ran.out + ran.err).encode() for canary in CANARIES)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixtures of the catalogue, with canaries."""
    folder = tmp_path_factory.mktemp("logs")
    for fault in FAULTS:
        if fault.content is not None and fault.number != 33:  # a line of 16 MiB
            place = folder / f"{fault.number:03d}"
            place.mkdir()
            packed = fault.content.startswith(b"\x1f\x8b")
            content = gzip.decompress(fault.content) if packed and not fault.refused else fault.content
            (place / fault.file).write_bytes(with_canaries(content))
    bill = ["start_time,amount_value,note", f"2026-06-01,1.00,{PROMPT}"]
    write_jsonl(folder / "bill.csv", bill)
    write_jsonl(folder / "odd.csv", [f"{PROMPT},{KEY}", "1,2"])
    write_jsonl(folder / "doubled.csv", [f"{PROMPT},{PROMPT}", "1,2"])
    (folder / "document.json").write_text(json.dumps([chat("d", **EVERYWHERE), {"object": PROMPT}, PROMPT], indent=1))
    (folder / "broken.json").write_text(json.dumps([chat("e", **EVERYWHERE)], indent=1)[:-40])
    return folder


def test_no_canary_is_printed_published_or_left_on_the_disk(
    tmp_path: Path, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything waits on the disk on its way, and that is looked into, too."""
    monkeypatch.setattr(spool, "ROWS_IN_MEMORY_MAX", 1)
    seen: list[int] = []
    take = spool.Spool.take

    def look_and_take(self: Any, day: Any) -> list[spool.Piece]:
        for path in self._folder.glob("*.arrow"):
            seen.append(path.stat().st_size)
            assert not any(canary in path.read_bytes() + str(pl.read_ipc(path).rows()).encode() for canary in CANARIES)
        return take(self, day)

    monkeypatch.setattr(spool.Spool, "take", look_and_take)
    warehouse = tmp_path / "warehouse"

    ran = costroll("run", "--warehouse", warehouse, logs, with_database=True)

    assert ran.code == 3 and seen
    assert len(rows_of(warehouse, "usage")) > 50 and len(rows_of(warehouse, "rejects")) > 50
    assert is_silent(ran)
    assert leaks(warehouse) == []
    for command in (["run", "--json", "--log-format", "json", "--rehash", logs], ["report", "quarantine"]):
        assert is_silent(costroll("--warehouse", warehouse, *command))


def test_a_run_that_breaks_says_and_leaves_nothing(
    tmp_path: Path, logs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """DuckDB quotes the line it stumbles over; so does this error, which nobody expects."""

    def stumble(*_: Any) -> Any:
        raise RuntimeError(f"Original Line: {PROMPT} {KEY}")

    monkeypatch.setattr(parts, "judge", stumble)
    monkeypatch.delenv("COSTROLL_TRACEBACK", raising=False)

    code = exit_code_of(["run", "--warehouse", str(tmp_path / "warehouse"), str(logs)])

    printed = capsys.readouterr()
    assert code == 1
    assert re.search(r"a bug of ours: RuntimeError at test_privacy.py:\d+ from parts.py:\d+; ", printed.err)
    assert is_silent(Ran(code, printed.out, printed.err))
    assert leaks(tmp_path) == []


def test_an_id_that_is_a_secret_key_is_kept_as_a_hash(tmp_path: Path) -> None:
    """Ids are kept; a key that somebody logged in their place is not. Equal keys have equal hashes."""
    secret = "sk-proj-0123456789abcdefghij"
    records = [
        {"request_id": "w1", "api_key_id": secret, "user": f"Bearer {secret}", "response": chat("r1")},
        {"request_id": "w2", "api_key_id": secret, "user": "sk-team", "response": chat("r2")},
        {"request_id": "w3", "api_key_id": "key_abc", "user": "sk", "response": chat(secret)},
    ]
    (tmp_path / "rows.csv").write_text(
        f"occurred_at,model,output_tokens,request_id,api_key_id\n2026-06-01T12:00:00Z,{MINI},1,r4,{secret}\n"
    )
    log = write_jsonl(tmp_path / "app.jsonl", records)

    ran = costroll("run", "--warehouse", tmp_path / "warehouse", log, tmp_path / "rows.csv")

    rows = {row[0]: row[1:] for row in rows_of(tmp_path / "warehouse", "usage", "request_id", "api_key_id", "user_id")}
    assert ran.code == 0
    [hashed] = {rows[name][0] for name in ("r1", "r2", "r4")}
    assert hashed.startswith("secret:") and len(hashed) == 39
    assert rows["r1"][1].startswith("secret:") and rows["r1"][1] != hashed
    assert rows["r2"][1] == "sk-team"
    assert rows[hashed] == ("key_abc", "sk")
    everything = b"".join(decoded(path) for path in (tmp_path / "warehouse").rglob("*") if path.is_file())
    assert secret.encode() not in everything


def test_modes_let_the_group_read_the_costs_and_the_owner_alone_the_quarantine(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse"
    before = os.umask(0)
    try:
        log = write_jsonl(tmp_path / "app.jsonl", [chat("a", created=NOON), "{torn"])
        assert costroll("run", "--warehouse", warehouse, log, with_database=True).code == 3
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in warehouse.rglob("*") if not path.is_symlink()}

    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o750}
    assert {mode for path, mode in modes.items() if path.parent.name == "rejects"} == {0o600}
    others = {mode for path, mode in modes.items() if path.is_file() and path.parent.name != "rejects"}
    assert others <= {0o640, 0o600}


@pytest.mark.parametrize(
    ("account", "said"),
    [
        ("sk-abcdefghijklmnop12345", "the account looks like a secret key; give the id or name of the account"),
        ("two\nlines", "the account is blank or has control characters"),
        (" ", "the account is blank or has control characters"),
    ],
)
def test_an_account_that_can_be_none_is_refused_and_not_repeated(tmp_path: Path, account: str, said: str) -> None:
    log = write_jsonl(tmp_path / "log.jsonl", [chat("a")])

    ran = costroll("run", log, "--account", account, "--warehouse", tmp_path / "w")

    assert ran.code == 2 and said in ran.err and "sk-abc" not in ran.err
    assert not (tmp_path / "w").exists()
