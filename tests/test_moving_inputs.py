"""Files that grow, rotate, shrink or change under the reader; what is refused is remembered; what is empty is noticed.

A file is changed while it is read by a hook on the reader's own `read`, so that the moment is always the same. Each
record costs 1,000 x 0.15 + 100 x 0.60 = 210 USD per million requests: 0.00021.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from etl import framing, intake
from tests.nights import Ran, chat, costroll, rows_of, write_jsonl

BAD = '{"no":"known shape"}'
TORN = '{"id":"torn","obj'


class Nights:
    """One warehouse, and the nights that fill it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.warehouse = folder, folder / "warehouse"
        self.logs = folder / "logs"

    def run(self, *arguments: Path | str) -> Ran:
        return costroll("run", "--json", "--threads", "1", "--warehouse", self.warehouse, *(arguments or (self.logs,)))

    def write(self, name: str, *records: Any) -> Path:
        return write_jsonl(self.logs / name, records)

    def ids(self) -> list[str]:
        return [identity for (identity,) in rows_of(self.warehouse, "usage", "request_id")]

    def rejects(self) -> list[tuple[Any, ...]]:
        return rows_of(self.warehouse, "rejects", "input_name", "line_number", "reason")

    def cost(self) -> Decimal:
        return sum((cost for (cost,) in rows_of(self.warehouse, "rollups", "cost_usd")), Decimal(0))


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    return Nights(tmp_path)


def refusals(ran: Ran) -> dict[str, str]:
    """File name -> the code it is refused with."""
    return {Path(one["name"]).name: one["refusal"]["code"] for one in ran.said["inputs"] if one["refusal"]}


def counts(ran: Ran) -> dict[str, int]:
    """The fates that any record met."""
    return {fate: number for fate, number in ran.said["counts"].items() if number}


@pytest.fixture
def while_read(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, Callable[[], None]], list[int]]:
    """Do something to a file when its first block has been read. Returns how often that happened, so far."""
    read = framing._Counted.read

    def install(file: Path, act: Callable[[], None], times: int = 1) -> list[int]:
        done: list[int] = []

        def read_and_act(self: Any, size: int = -1) -> bytes:
            block = read(self, size)
            first = self._content.stored_bytes == len(block)
            if self._content.input.path == str(file) and block and first and len(done) < times:
                done.append(1)
                act()
            return block

        monkeypatch.setattr(framing._Counted, "read", read_and_act)
        return done

    return install


def long_log(nights: Nights, name: str = "app.jsonl", records: int = 1500) -> Path:
    """A log of more than the 64 KiB that are read first."""
    file = nights.write(name, *(chat(f"{name}-{number}") for number in range(records)))
    assert file.stat().st_size > 2 << 16
    return file


# --------------------------------------------------------------------------------------------------- while it is read


def test_a_log_that_grows_while_it_is_read_is_read_up_to_the_size_it_had(nights: Nights, while_read: Any) -> None:
    file = long_log(nights)

    def append() -> None:
        with file.open("a") as stream:
            stream.write(json.dumps(chat("late")) + "\n" + TORN)

    done = while_read(file, append)
    first = nights.run()

    assert (done, first.code, counts(first)) == ([1], 0, {"read": 1500, "accepted": 1500})
    second = nights.run()
    assert counts(second) == {"read": 1502, "accepted": 1, "duplicate": 1500, "rejected": 1}
    assert "late" in nights.ids()


@pytest.mark.parametrize("change", ["truncated", "rewritten", "regrown"])
def test_a_file_that_is_changed_under_the_reader_is_read_again_at_once(
    nights: Nights, while_read: Any, change: str
) -> None:
    """Half of the old content and half of the new would be neither."""
    file = long_log(nights)
    new = "".join(json.dumps(chat(f"new-{number}")) + "\n" for number in range(1500))
    old = file.read_text()
    content = {
        "truncated": new[: len(new) // 2],
        "rewritten": old.replace("app.jsonl", "APP.jsonl"),
        "regrown": new * 2,
    }

    def rewrite() -> None:
        file.write_text(content[change])
        os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))

    done = while_read(file, rewrite)
    ran = nights.run()

    assert (done, refusals(ran)) == ([1], {})
    assert len(ran.said["inputs"]) == 1
    assert not [identity for identity in nights.ids() if identity.startswith("app.jsonl")]
    assert nights.run().said["snapshot"] is None


def test_a_file_that_never_stands_still_is_refused_and_tried_again_the_next_night(
    nights: Nights, while_read: Any
) -> None:
    file = long_log(nights)
    nights.write("other.jsonl", chat("other"))

    done = while_read(file, lambda: os.utime(file, ns=(0, 10**18 + len(file.parts) + os.stat(file).st_mtime_ns)), 2)
    first = nights.run()

    assert (done, first.code) == ([1, 1], 3)
    assert refusals(first) == {"app.jsonl": "changed_while_read"}
    [line, _] = first.err.splitlines()
    assert line == f"{file}: changed_while_read: rewritten while it was read; run again when it is complete"
    assert nights.ids() == ["other"]

    assert counts(nights.run()) == {"read": 1500, "accepted": 1500}


def test_half_a_gzip_that_is_replaced_in_place_is_read_again_and_not_called_damaged(
    nights: Nights, while_read: Any
) -> None:
    noise = [chat(f"{number}", user=random.Random(number).randbytes(99).hex()) for number in range(1500)]
    whole = gzip.compress("".join(json.dumps(record) + "\n" for record in noise).encode())
    file = nights.logs / "app.jsonl.gz"
    nights.logs.mkdir()
    file.write_bytes(whole[: len(whole) // 2])

    while_read(file, lambda: file.write_bytes(whole[:200] + whole[100:300]))
    ran = nights.run()

    assert refusals(ran) == {"app.jsonl.gz": "corrupt_gzip"}  # what the second, undisturbed reading found
    file.write_bytes(whole)
    assert counts(nights.run()) == {"read": 1500, "accepted": 1500}


@pytest.mark.parametrize("way", ["renamed", "removed", "replaced"])
def test_a_log_that_is_rotated_away_under_the_reader_is_read_whole(nights: Nights, while_read: Any, way: str) -> None:
    """What is open stays whole, whatever becomes of its name. Nothing counts twice the next night."""
    file = long_log(nights)

    def rotate() -> None:
        if way == "removed":
            file.unlink()
        elif way == "replaced":
            os.replace(nights.write("next.tmp", chat("next")), file)
        else:
            file.rename(nights.logs / "app.1.jsonl")
            nights.write("app.jsonl", chat("next"))

    while_read(file, rotate)

    assert counts(nights.run()) == {"read": 1500, "accepted": 1500}
    second = nights.run(nights.logs) if any(nights.logs.iterdir()) else None
    assert sorted(nights.ids()) == sorted([f"app.jsonl-{n}" for n in range(1500)] + (["next"] if second else []))


def test_a_file_that_vanishes_after_the_folder_was_listed_costs_only_itself(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = nights.write("gone.jsonl", chat("gone"))
    nights.write("other.jsonl", chat("other"))
    take = intake.Intake.take

    def remove_and_take(self: Any, *arguments: Any) -> None:
        gone.unlink()
        take(self, *arguments)

    monkeypatch.setattr(intake.Intake, "take", remove_and_take)
    ran = nights.run()

    assert (ran.code, refusals(ran), nights.ids()) == (3, {"gone.jsonl": "unreadable"}, ["other"])
    assert ran.err.splitlines()[:-1] == [f"{gone}: unreadable: cannot be opened: No such file or directory"]


# ------------------------------------------------------------------------------------------------ from night to night


def test_a_torn_tail_is_gone_when_its_log_has_grown(nights: Nights) -> None:
    file = nights.write("app.jsonl", chat("a"), BAD)
    whole = file.read_text() + json.dumps(chat("b"))
    file.write_text(whole[:-9])
    first = nights.run()
    assert (first.code, counts(first)) == (3, {"read": 3, "accepted": 1, "rejected": 2})
    assert nights.rejects() == [(str(file), 2, "unknown_shape"), (str(file), 3, "invalid_json")]

    file.write_text(whole + "\n")
    second = nights.run()

    assert counts(second) == {"read": 3, "accepted": 1, "duplicate": 1, "rejected": 1}
    assert nights.rejects() == [(str(file), 2, "unknown_shape")]
    assert (second.code, second.said["known_rejects"]) == (0, 1)  # the bad line was told last night
    assert nights.cost() == Decimal("0.00042")


def test_a_log_that_grows_every_night_keeps_one_reject_of_one_bad_line(nights: Nights) -> None:
    for night in range(1, 5):
        nights.write("app.jsonl", BAD, *(chat(str(number)) for number in range(night)))
        assert nights.run().code == (3 if night == 1 else 0)
        assert [line for _, line, _ in nights.rejects()] == [1]


@pytest.mark.parametrize("how", ["renamed", "copied", "packed"])
def test_a_torn_tail_is_gone_when_its_log_was_rotated(nights: Nights, how: str) -> None:
    """Renamed, copied and truncated, or compressed: the rotated log continues the content of last night."""
    file = nights.write("app.jsonl", chat("a"))
    whole = file.read_text() + json.dumps(chat("b")) + "\n"
    file.write_text(whole[:-9])
    nights.run()

    file.write_text(whole)
    rotated = nights.logs / "app-1.jsonl"
    if how == "renamed":
        file.rename(rotated)
    elif how == "copied":
        shutil.copy(file, rotated)
    else:
        (nights.logs / "app-1.jsonl.gz").write_bytes(gzip.compress(whole.encode()))
    nights.write("app.jsonl", chat("c"))
    ran = nights.run()

    assert (ran.code, counts(ran)) == (0, {"read": 3, "accepted": 2, "duplicate": 1})
    assert nights.rejects() == []
    assert sorted(nights.ids()) == ["a", "b", "c"]


def test_a_file_that_only_begins_like_another_does_not_take_its_rejects(nights: Nights) -> None:
    """Both are still there, and both have a bad first line."""
    nights.write("a.jsonl", BAD)
    nights.run()
    nights.write("b.jsonl", BAD, chat("b"))
    nights.run()

    assert [(Path(name).name, line) for name, line, _ in nights.rejects()] == [("a.jsonl", 1), ("b.jsonl", 1)]


def test_a_file_that_was_written_anew_under_its_name_keeps_the_rejects_of_the_old_content(nights: Nights) -> None:
    """Its content does not continue the old one, so the old one's bad line was not seen to be mended."""
    nights.write("app.jsonl", BAD, chat("a"))
    nights.run()
    nights.write("app.jsonl", chat("b"), BAD, chat("c"))
    nights.run()

    assert [line for _, line, _ in nights.rejects()] == [1, 2]


# ----------------------------------------------------------------------------------------------- refused and remembered


def test_what_was_refused_is_passed_over_until_it_changes(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    bill = nights.write("bill.csv", "start_time,amount_value", "2026-06-01,1.00")
    nights.write("app.jsonl", chat("a"))
    assert (nights.run().code, sorted(refusals(nights.run()))) == (3, [])

    opened: list[str] = []
    really_open = framing._open
    monkeypatch.setattr(framing, "_open", lambda source: opened.append(source.name) or really_open(source))
    again = nights.run()

    assert (again.code, again.said["snapshot"], again.err, opened) == (0, None, "", [])
    assert [(Path(one["name"]).name, one["known_refusal"]) for one in again.said["inputs"]] == [
        ("app.jsonl", None),
        ("bill.csv", "statement"),
    ]
    told = costroll("run", "--warehouse", nights.warehouse, nights.logs)
    assert "passed over 1 input that was refused before and is unchanged; --rehash reads such again" in told.out

    assert refusals(nights.run("--rehash", nights.logs)) == {"bill.csv": "statement"}
    bill.write_text(bill.read_text() + "2026-06-02,2.00\n")
    assert refusals(nights.run()) == {"bill.csv": "statement"}


def test_what_was_refused_is_read_again_with_other_options_and_by_another_version(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.write("odd.csv", "a,b", "1,2")
    nights.write("app.jsonl", chat("a"))
    nights.run()

    assert refusals(nights.run("--assume-tz", "UTC", nights.logs)) == {"odd.csv": "unknown_format"}
    assert refusals(nights.run("--assume-tz", "UTC", nights.logs)) == {}
    monkeypatch.setattr("etl.history.__version__", "9.9.9")
    assert refusals(nights.run()) == {"odd.csv": "unknown_format"}


def test_a_night_that_only_remembers_publishes_the_same_rollups(nights: Nights) -> None:
    """The same content under another name is hashed once, not every night."""
    file = nights.write("app.jsonl", chat("a"))
    nights.run()
    before = nights.warehouse / "snapshots/00000001"
    os.link(file, nights.logs / "hard.jsonl")
    shutil.copy(file, nights.logs / "copy.jsonl")
    (nights.logs / "packed.jsonl.gz").write_bytes(gzip.compress(file.read_bytes()))

    second = nights.run()

    assert (second.code, second.said["snapshot"], counts(second)) == (0, 2, {})
    for old in before.glob("rollups/*.parquet"):
        assert (nights.warehouse / "current/rollups" / old.name).samefile(old)
    third = nights.run()
    assert third.said["snapshot"] is None
    assert {one["skipped"] for one in third.said["inputs"]} == {"unchanged since it was read"}
    known = pl.concat([pl.read_parquet(one) for one in nights.warehouse.glob("current/inputs/*.parquet")])
    assert known.filter(pl.col("skipped") == "same_content").height == 3


def test_nothing_is_published_where_nothing_was_ever_read(nights: Nights) -> None:
    nights.write("odd.csv", "a,b", "1,2")

    assert (nights.run().code, nights.run().code) == (3, 3)
    assert not (nights.warehouse / "current").exists()


def test_strict_is_content_with_what_is_known(nights: Nights) -> None:
    nights.write("odd.csv", "a,b", "1,2")
    nights.write("app.jsonl", chat("a"), BAD)
    assert nights.run("--strict", nights.logs).code == 9
    assert nights.run().code == 3

    assert nights.run("--strict", nights.logs).code == 0


# ------------------------------------------------------------------------------------------------------ other accounts


def test_a_log_is_not_counted_again_under_another_account(nights: Nights) -> None:
    """Re-read because of its bad line, its good records would count under both."""
    file = nights.write("app.jsonl", chat("a"), BAD)
    nights.run("--account", "acme", nights.logs)

    second = nights.run("--account", "umbrella", nights.logs)

    assert (second.code, refusals(second)) == (3, {"app.jsonl": "account_changed"})
    assert second.err.splitlines()[:-1] == [
        f"{file}: account_changed: was read with --account acme before, and its records count there; "
        "read it the same way again"
    ]
    assert rows_of(nights.warehouse, "usage", "account_id", "request_id") == [("acme", "a")]
    assert nights.cost() == Decimal("0.00021")
    assert nights.run("--account", "umbrella", nights.logs).code == 0  # told once

    nights.write("app.jsonl", chat("a"), BAD, chat("b"))
    assert refusals(nights.run()) == {"app.jsonl": "account_changed"}
    assert counts(nights.run("--account", "acme", nights.logs))["accepted"] == 1
    assert nights.cost() == Decimal("0.00042")


def test_a_log_of_which_nothing_counts_may_change_its_account(nights: Nights) -> None:
    nights.write("app.jsonl", BAD)
    nights.write("other.jsonl", chat("other"))
    nights.run("--account", "acme", nights.logs)

    nights.write("app.jsonl", BAD, chat("a"))

    assert refusals(nights.run("--account", "umbrella", nights.logs)) == {}
    assert rows_of(nights.warehouse, "usage", "account_id", "request_id") == [("acme", "other"), ("umbrella", "a")]


# ------------------------------------------------------------------------------------------------------- empty exports

NO_BYTES = "empty_file: has no bytes at all; was the export cut short?"
HEADER = "occurred_at,model,input_tokens,output_tokens"
ROW = "2026-06-01T12:00:00Z,gpt-4o-mini-2024-07-18,1000,100"


@pytest.mark.parametrize(
    ("yesterday", "today", "content", "said"),
    [
        ("usage-2026-06-01.csv", "usage-2026-06-02.csv", "", NO_BYTES),
        ("usage-2026-06-01.csv", "usage-2026-06-02.csv.gz", HEADER + "\n", "no_records: holds no records"),
        ("usage-2026-06-01.csv", "usage-2026-06-01.csv", HEADER + "\n", "no_records: holds no records"),
        ("usage-9.csv", "usage-10.csv", "[]", "no_records: holds no records"),
        ("usage-9.csv", "usage-10.csv", '{"object":"page","data":[],"has_more":false}', "no_records: holds no records"),
    ],
)  # fmt: skip
def test_an_empty_export_where_the_day_before_had_data_is_an_alarm_once(
    nights: Nights, yesterday: str, today: str, content: str, said: str
) -> None:
    before = nights.write(yesterday, HEADER, ROW, ROW)
    assert nights.run().code == 0
    file = nights.logs / today
    file.write_bytes(gzip.compress(content.encode()) if today.endswith(".gz") else content.encode())

    second = nights.run()

    assert second.code == 3
    assert second.err.splitlines()[:-1] == [f"{file}: {said}; {before} held 2"]
    [told] = [one for one in second.said["inputs"] if one["name"] == str(file)]
    assert told["held_before"] == {"name": str(before), "records": 2}
    assert (nights.run().code, nights.run().err) == (0, "")


def test_an_empty_export_of_a_new_kind_is_none(nights: Nights) -> None:
    """Another name, or another folder: nobody can say that it should hold something."""
    nights.write("usage-1.csv", HEADER, ROW)
    nights.run()
    nights.write("costs-2.csv", HEADER)
    nights.write("elsewhere/usage-2.csv", HEADER)

    ran = nights.run()

    assert (ran.code, ran.err) == (0, "")


# ------------------------------------------------------------------------------------------------------ decompression


def test_compressed_content_above_the_limit_is_refused_and_plain_content_is_not(nights: Nights) -> None:
    records = [json.dumps(chat(str(number))) + "\n" for number in range(1000)]
    plain = nights.write("plain.jsonl")
    plain.write_text("".join(records))
    (nights.logs / "packed.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes().replace(b'"id"', b' "id"')))

    nights.warehouse.mkdir()
    (nights.warehouse / "costroll.toml").write_text('[run]\nmax_decompressed = "100KB"')
    ran = nights.run(nights.logs)

    assert refusals(ran) == {"packed.jsonl.gz": "decompression_bomb"}
    assert counts(ran) == {"read": 1000, "accepted": 1000}
    (nights.warehouse / "costroll.toml").unlink()
    assert counts(nights.run()) == {"read": 1000, "duplicate": 1000}  # without the limit it is read after all


@pytest.mark.parametrize("size", ["0", "-1", "12 parsecs", "1.5GB", ""])
def test_a_limit_that_is_no_size_is_a_usage_error(nights: Nights, size: str) -> None:
    nights.write("a.jsonl", chat("a"))

    ran = costroll("run", "--warehouse", nights.warehouse, nights.logs, f"--max-decompressed={size}")

    assert ran.code == 2
    assert "is no size; give one such as 500MB, 2GiB or a number of bytes" in ran.err
