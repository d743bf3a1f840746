"""Identity: what counts once, what counts again, which of two contradicting records stands, and what makes way.

Request records are of gpt-4o-mini on 21 November 2025; `tokens` is the whole prompt, and tells contents apart. What is
published is read back from the usage, rollups and rejects files.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from etl import analyst, framing
from etl.cli import exit_code_of

MINI = "gpt-4o-mini-2024-07-18"
FRIDAY = 1_763_683_200  # 2025-11-21T00:00:00Z
DAY = 86_400
NOON = FRIDAY + DAY // 2

# ----------------------------------------------------------------------------------------------------- records and runs


def chat(request_id: str | None, tokens: int = 10, at: int = NOON, **changes: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": tokens, "completion_tokens": 1}
    record = {"id": request_id, "object": "chat.completion", "created": at, "model": MINI, "usage": usage}
    return record | changes


def wrapped(response: Mapping[str, Any], **wrapper: Any) -> dict[str, Any]:
    return {"timestamp": "2025-11-21T12:00:00Z", **wrapper, "response": response}


def batch(envelope_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
    response = {"status_code": 200, "request_id": "r", "body": body}
    return {"id": envelope_id, "custom_id": "c", "response": response, "error": None}


def bucket(
    requests: int, tokens: int = 1000, start: int = FRIDAY, width: int = DAY, **dimensions: str | bool | None
) -> dict[str, Any]:
    """A usage bucket with one result, grouped by model unless said otherwise."""
    result = {
        "object": "organization.usage.completions.result",
        "input_tokens": tokens,
        "output_tokens": 0,
        "num_model_requests": requests,
        "model": MINI,
        "batch": False,
        **dimensions,
    }
    return {"object": "bucket", "start_time": start, "end_time": start + width, "results": [result]}


class Nights:
    """One warehouse and the runs that fill it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.warehouse = folder / "warehouse"
        self.written = 0

    def write(self, *records: Mapping[str, Any] | str, name: str | None = None) -> Path:
        """A file of its own, unless named."""
        self.written += 1
        path = self._folder / (name or f"{self.written:02d}.jsonl")
        lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
        path.write_text("".join(line + "\n" for line in lines))
        return path

    def run(self, *arguments: Path | str) -> tuple[int, dict[str, Any]]:
        out = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
            patch.setenv("COSTROLL_TRACEBACK", "1")
            patch.setattr(analyst, "build_database", lambda *_: None)  # these tests read the Parquet files
            given = ["run", "--json", "--threads", "1", "--warehouse", str(self.warehouse), *map(str, arguments)]
            code = exit_code_of(given)
        return code, json.loads(out.getvalue())

    def read(self, *records: Mapping[str, Any] | str, options: Sequence[str] = ()) -> tuple[int, dict[str, int]]:
        """A night with one new file: how many records met each fate or reason."""
        _, said = self.run(self.write(*records), *options)
        return told(said)

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        """The published rows of a table, sorted."""
        files = sorted((self.warehouse / "current" / table).rglob("*.parquet"))
        if not files:
            return []
        frame = pl.concat([pl.read_parquet(file) for file in files]).select(columns)
        return sorted(frame.rows(), key=str)

    def prompts(self) -> list[tuple[Any, ...]]:
        """Identity and prompt of every record that counts."""
        return self.rows("usage", "request_id", "prompt_tokens")

    def input_by_day(self) -> dict[str, int]:
        """The input tokens of every day that the rollups hold."""
        days: dict[str, int] = {}
        for day, meter, quantity in self.rows("rollups", "day", "meter", "quantity"):
            if meter == "input":
                days[str(day)] = days.get(str(day), 0) + quantity
        return days


def told(said: Mapping[str, Any]) -> tuple[int, dict[str, int]]:
    """How many records were accepted, and how many met each other fate, by reason."""
    reasons: dict[str, int] = {}
    for one in said["inputs"]:
        for reason, number in one["reasons"].items():
            reasons[reason] = reasons.get(reason, 0) + number
    return said["counts"]["accepted"], reasons


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    return Nights(tmp_path)


SAME, SUPERSEDED = "duplicate/same_content", "duplicate/superseded"
CONFLICT = "conflict/content_differs"
BY_REQUESTS, OVERLAPPING = "excluded/counted_by_requests", "rejected/overlapping_aggregate"

# ----------------------------------------------------------------------------------------------------------- duplicates


def test_a_record_counts_once_within_a_file_across_files_and_across_nights(nights: Nights) -> None:
    first = nights.write(chat("x"), chat("x"), chat("y"))
    second = nights.write(chat("z"), chat("x"))

    code, said = nights.run(first, second)
    assert (code, told(said)) == (0, (3, {SAME: 2}))

    assert nights.read(chat("w"), chat("x"), chat("z")) == (1, {SAME: 2})
    assert nights.prompts() == [("w", 10), ("x", 10), ("y", 10), ("z", 10)]
    assert nights.input_by_day() == {"2025-11-21": 40}
    assert nights.rows("rejects", "fate") == []


def test_what_is_not_content_does_not_tell_records_apart(nights: Nights) -> None:
    """Prompts, projects and the order of keys are no content; instant, model, tier and quantities are."""
    reordered = dict(reversed(chat("x").items()))
    other_text = chat("x", choices=[{"message": {"content": "other"}}], metadata={"project_id": "p"})
    explicit = chat("x", service_tier="default")
    detailed = chat("x", usage={"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": None})
    differing = [
        chat("x", at=NOON - 1),
        chat("x", model="gpt-4o"),
        chat("x", service_tier="flex"),
        chat("x", tokens=11),
    ]

    assert nights.read(chat("x"), reordered, other_text, explicit, detailed) == (1, {SAME: 4})
    assert nights.read(*differing) == (0, {CONFLICT: 4})


def test_different_accounts_and_providers_do_not_meet(nights: Nights) -> None:
    def plain(provider: str, account: str | None) -> dict[str, Any]:
        record = {"occurred_at": "2025-11-21T12:00:00Z", "request_id": "x", "model": MINI, "output_tokens": 1}
        return record | {"provider": provider, "account_id": account, "input_tokens": 10, "input_cached_tokens": 0}

    ours = [plain("openai", None), plain("openai", "acme"), plain("openai", "acme-2"), plain("other", "acme")]

    assert nights.read(*ours) == (4, {})
    assert nights.read(wrapped(chat("x"), account="acme"), wrapped(chat("x"), organization_id="new")) == (1, {SAME: 1})
    assert nights.read(chat("x"), chat("y"), options=["--account", "new"]) == (1, {SAME: 1})
    assert nights.rows("usage", "account_id", "provider") == [
        ("acme", "openai"),
        ("acme", "other"),
        ("acme-2", "openai"),
        ("new", "openai"),
        ("new", "openai"),
        (None, "openai"),
    ]


# ------------------------------------------------------------------------------------------------------------ conflicts


@pytest.mark.parametrize("order", [1, -1])
def test_within_a_run_the_later_stands_then_the_larger_hash(nights: Nights, order: int) -> None:
    later = [chat("late", 10, NOON), chat("late", 99, NOON - 1)]
    ties = [chat(f"tie-{number}", 10 * number + file) for number in range(8) for file in (0, 1)]
    names = ["a.jsonl", "b.jsonl"][::order]
    files = [nights.write(later[file], *ties[file::2], name=names[file]) for file in (0, 1)]

    code, said = nights.run(*files)

    assert (code, told(said)) == (3, (9, {CONFLICT: 9}))
    stands = dict(nights.rows("usage", "request_id", "content_hash"))
    losers = nights.rows("rejects", "request_id", "content_hash", "kept_content_hash")
    assert dict(nights.prompts())["late"] == 10
    for request_id, own, kept in losers:
        assert kept == stands[request_id]
        assert request_id == "late" or kept > own
    # Both files win now and then, so it is not the place that decides.
    assert {tokens % 10 for request_id, tokens in nights.prompts() if request_id != "late"} == {0, 1}


def test_of_three_claims_one_stands_and_repeats_are_measured_against_it(nights: Nights) -> None:
    claims = [
        chat("x", 1, NOON - 2),
        chat("x", 2, NOON - 1),
        chat("x", 3, NOON),
        chat("x", 3, NOON),
        chat("x", 1, NOON - 2),
    ]

    assert nights.read(*claims) == (1, {SAME: 1, CONFLICT: 3})
    assert nights.prompts() == [("x", 3)]


def test_what_is_published_stands_and_the_other_is_kept_with_both_hashes(nights: Nights) -> None:
    nights.read(chat("x", 10, NOON), chat("y"))
    [published] = [kept for name, kept in nights.rows("usage", "request_id", "content_hash") if name == "x"]
    before = nights.rows("rollups", "meter", "quantity", "cost_usd")

    code, said = nights.run(nights.write(chat("x", 99, NOON + 60), chat("y")))

    assert (code, told(said)) == (3, (0, {CONFLICT: 1, SAME: 1}))
    assert nights.rows("rollups", "meter", "quantity", "cost_usd") == before
    [row] = nights.rows(
        "rejects", "fate", "request_id", "line_number", "content_hash", "kept_content_hash", "at_snapshot"
    )
    assert row[:3] == ("conflict", "x", 1)
    assert row[3] != row[4] == published
    assert row[5] == 2


def test_an_identity_is_looked_for_a_day_earlier_and_a_day_later(nights: Nights) -> None:
    """`a` is met on neighbouring days, `b` two days apart, `c` on three days in a row."""
    days = [FRIDAY - DAY, FRIDAY, FRIDAY + DAY]  # Thursday to Saturday
    met = {"a": days[:2], "b": days[::2], "c": days}

    assert nights.read(*(chat(name, at=at) for name, instants in met.items() for at in instants)) == (5, {CONFLICT: 2})
    assert [(str(day)[8:], name) for day, name in nights.rows("usage", "day", "request_id")] == [
        ("20", "b"),
        ("20", "c"),  # Saturday's stands, Friday's made way for it, and Thursday's is out of its reach
        ("21", "a"),
        ("22", "b"),
        ("22", "c"),
    ]


def test_the_seconds_around_midnight_are_not_two_requests(nights: Nights) -> None:
    assert nights.read(chat("x", at=FRIDAY - 1)) == (1, {})
    assert nights.read(chat("x", at=FRIDAY), chat("x", at=FRIDAY - DAY - 1)) == (0, {CONFLICT: 2})
    assert nights.read(chat("x", at=FRIDAY + DAY), chat("x", at=FRIDAY - 1)) == (1, {SAME: 1})
    assert nights.input_by_day() == {"2025-11-20": 10, "2025-11-22": 10}
    assert nights.read(chat("z", at=FRIDAY - 3 * DAY), chat("z", at=FRIDAY - 5 * DAY)) == (2, {})


# ------------------------------------------------------------------------------------------------------ without an id


def test_true_repeats_stay_within_a_file_and_exports_of_them_meet(nights: Nights) -> None:
    """A log without ids: the n-th of equal records in one file is the n-th of them in another."""
    call, other = chat(None), chat(None, 11)
    respaced = json.dumps(dict(reversed(call.items())), indent=None, separators=(" , ", " : "))

    assert nights.read(call, call, other, call) == (4, {})
    first, second = nights.write(other, call, respaced), nights.write(call, call, call, call, call, other)
    assert told(nights.run(first, second)[1]) == (2, {SAME: 7})
    assert nights.input_by_day() == {"2025-11-21": 5 * 10 + 11}


def test_a_record_without_any_id_is_identified_by_all_of_it(nights: Nights) -> None:
    """Two calls with equal usage and different answers are two calls."""
    calls = [chat(None, choices=[{"message": {"content": text}}]) for text in ("one", "two")]
    rows = [{"occurred_at": "2025-11-21T12:00:00Z", "model": MINI, "output_tokens": 1, "note": note} for note in "ab"]

    assert nights.read(*calls, *rows) == (4, {})
    assert nights.read(*rows, *calls, calls[0]) == (1, {SAME: 4})
    assert all(name.startswith("sha256:") and "#" in name for [name] in nights.rows("usage", "request_id"))


# ----------------------------------------------------------------------------------------------- wrappers and envelopes


def test_the_records_own_id_and_time_beat_the_wrappers(nights: Nights) -> None:
    later = "2025-11-22T12:00:00Z"
    own = [wrapped(chat("x"), request_id="w1"), wrapped(chat("x"), request_id="w2", timestamp=later), chat("x")]
    two = [wrapped(chat("y"), request_id="w3"), wrapped(chat("z"), request_id="w3")]
    lent = [
        wrapped(chat(None), request_id="w4", id="ignored"),
        wrapped(chat(None), request_id="w4", id="other"),
        wrapped(chat(None), id="w5"),
        wrapped(chat(None, at=None), id="w6", timestamp=later),  # type: ignore[arg-type]
    ]

    assert nights.read(*own, *two, *lent) == (6, {SAME: 3})
    assert [(name, str(at)) for name, at in nights.rows("usage", "request_id", "occurred_at")] == [
        ("w4", "2025-11-21 12:00:00"),
        ("w5", "2025-11-21 12:00:00"),
        ("w6", "2025-11-22 12:00:00"),
        ("x", "2025-11-21 12:00:00"),
        ("y", "2025-11-21 12:00:00"),
        ("z", "2025-11-21 12:00:00"),
    ]


def test_a_batch_answer_is_known_by_its_own_id_else_by_its_envelopes(nights: Nights) -> None:
    answers = [
        batch("batch_req_1", chat("x")),
        batch("batch_req_2", chat("x")),
        batch("batch_req_3", chat(None)),
        batch("batch_req_3", chat(None)),
        batch("batch_req_4", chat(None)),
    ]

    assert nights.read(*answers) == (3, {SAME: 2})
    assert nights.read(chat("x")) == (0, {CONFLICT: 1})  # the same answer, not at the batch price
    assert nights.rows("usage", "request_id", "tier") == [
        ("batch_req_3", "batch"),
        ("batch_req_4", "batch"),
        ("x", "batch"),
    ]


# ----------------------------------------------------------------------------------------------------------- aggregates


def test_of_an_aggregate_the_fullest_state_counts(nights: Nights) -> None:
    """Friday is exported on Friday, on Saturday when it is complete, and once more by mistake."""
    assert nights.read(bucket(50, 5000), bucket(7, 700, start=FRIDAY - DAY)) == (2, {})
    assert nights.read(bucket(60, 6000)) == (1, {})
    assert nights.rows("usage", "requests", "prompt_tokens") == [(60, 6000), (7, 700)]
    assert nights.input_by_day() == {"2025-11-20": 700, "2025-11-21": 6000}

    code, said = nights.run(nights.write(bucket(55, 9000), bucket(60, 6000), bucket(60, 5999)))

    assert (code, told(said)) == (0, (0, {SUPERSEDED: 2, SAME: 1}))
    assert nights.read(bucket(60, 6001)) == (1, {})  # as many requests, more tokens
    assert nights.input_by_day() == {"2025-11-20": 700, "2025-11-21": 6001}
    assert nights.rows("rollups", "meter", "quantity") == [
        ("input", 6001),
        ("input", 700),
        ("requests", 60),
        ("requests", 7),
    ]


def test_within_a_run_the_fullest_aggregate_counts_whatever_the_order(nights: Nights) -> None:
    states = [bucket(50, 5000), bucket(60, 6000), bucket(60, 6000), bucket(55, 9999)]

    assert nights.read(*states) == (1, {SUPERSEDED: 2, SAME: 1})
    assert nights.input_by_day() == {"2025-11-21": 6000}


@pytest.mark.parametrize(
    "other",
    [
        [bucket(5, 500, start=FRIDAY + hour * 3600, width=3600) for hour in range(3)],
        [bucket(5, 500, project_id="p"), bucket(6, 600, project_id="q"), bucket(7, 700, project_id="r")],
    ],
    ids=["hours instead of days", "by project too"],
)
def test_another_width_or_grouping_is_refused_unless_it_replaces(nights: Nights, other: list[dict[str, Any]]) -> None:
    """Both would count the same usage twice."""
    neighbour = bucket(9, 900, start=FRIDAY - DAY)
    nights.read(bucket(20, 2000), neighbour)
    file = nights.write(*other)

    code, said = nights.run(file)
    assert (code, told(said)) == (3, (0, {OVERLAPPING: 3}))
    assert nights.input_by_day() == {"2025-11-20": 900, "2025-11-21": 2000}
    assert [row[0] for row in nights.rows("rejects", "line_number", "reason")] == [1, 2, 3]

    code, said = nights.run(file, "--replace")
    assert (code, told(said)) == (0, (3, {}))
    assert nights.input_by_day()["2025-11-20"] == 900
    assert nights.input_by_day()["2025-11-21"] == sum(one["results"][0]["input_tokens"] for one in other)
    assert nights.rows("rejects", "line_number", "reason") == []


@pytest.mark.parametrize(
    "dimension",
    [{"service_tier": "default"}, {"batch": None}, {"api_source": "responses"}],
    ids=lambda one: next(iter(one)),
)
def test_a_grouping_by_what_only_the_export_knows_is_another_too(nights: Nights, dimension: dict[str, Any]) -> None:
    """A tier that is not said is standard, so both say `standard`: one of them is grouped by it."""
    plain, grouped = bucket(10, 1000), bucket(10, 1000, **dimension)
    nights.read(plain)

    assert nights.read(grouped) == (0, {OVERLAPPING: 1})
    assert nights.input_by_day() == {"2025-11-21": 1000}


def test_an_export_of_batches_alone_grows_into_one_of_all_tiers(nights: Nights) -> None:
    """Batches have no tier where the export is grouped by it."""
    batches = bucket(10, 1000, batch=True, service_tier=None)
    nights.read(batches)

    assert nights.read(batches, bucket(5, 500, batch=False, service_tier="default")) == (1, {SAME: 1})
    assert nights.input_by_day() == {"2025-11-21": 1500}


def test_within_a_run_the_finer_grouping_counts(nights: Nights) -> None:
    finer = [bucket(5, 500, project_id="p"), bucket(6, 600, project_id="q")]

    _, said = nights.run(nights.write(bucket(11, 1100)), nights.write(*finer))

    assert told(said) == (2, {OVERLAPPING: 1})
    assert nights.input_by_day() == {"2025-11-21": 1100}


def test_aggregates_of_other_accounts_and_days_do_not_overlap(nights: Nights) -> None:
    nights.read(bucket(20, 2000))

    others = [
        bucket(1, 100, project_id="p", organization_id="acme"),
        bucket(2, 200, project_id="p", start=FRIDAY + DAY),
    ]
    assert nights.read(*others) == (2, {})
    assert nights.input_by_day() == {"2025-11-21": 2100, "2025-11-22": 200}


# ---------------------------------------------------------------------------------------------- requests and aggregates

FRIDAYS = bucket(3, 3000)
SATURDAYS = bucket(4, 4000, start=FRIDAY + DAY)
OTHERS = bucket(5, 5000, organization_id="acme")


def test_requests_count_instead_of_aggregates_that_were_published_before(nights: Nights) -> None:
    assert nights.read(FRIDAYS, SATURDAYS, OTHERS) == (3, {})

    code, said = nights.run(nights.write(chat("x", 10), chat("y", 20)))

    assert (code, told(said), said["given_way"]) == (0, (2, {}), 1)
    assert nights.rows("usage", "source_kind", "prompt_tokens") == [
        ("aggregate", 4000),
        ("aggregate", 5000),
        ("request", 10),
        ("request", 20),
    ]
    assert nights.input_by_day() == {"2025-11-21": 5030, "2025-11-22": 4000}
    assert nights.read(chat("x"), FRIDAYS) == (0, {SAME: 1, BY_REQUESTS: 1})
    assert exit_code_of(["verify", "--warehouse", str(nights.warehouse)]) == 0


def test_aggregates_do_not_count_where_requests_were_published_before(nights: Nights) -> None:
    assert nights.read(chat("x", 10), chat("y", 20)) == (2, {})

    code, said = nights.run(nights.write(FRIDAYS, SATURDAYS, OTHERS))

    assert (code, told(said)) == (0, (2, {BY_REQUESTS: 1}))
    assert nights.input_by_day() == {"2025-11-21": 5030, "2025-11-22": 4000}


def test_a_day_of_which_only_aggregates_were_known_can_change_over_as_a_whole(nights: Nights) -> None:
    """The day's file of aggregates disappears; the rollup holds the requests alone."""
    nights.read(FRIDAYS)
    nights.read(chat("x", 10))

    assert nights.rows("usage", "source_kind", "prompt_tokens") == [("request", 10)]
    assert nights.rows("rollups", "source_kind", "meter", "quantity") == [
        ("request", "input", 10),
        ("request", "output", 1),
        ("request", "requests", 1),
    ]


def test_within_a_run_requests_count_and_their_aggregates_do_not(nights: Nights) -> None:
    _, said = nights.run(nights.write(FRIDAYS, OTHERS), nights.write(chat("x", 10)))

    assert told(said) == (2, {BY_REQUESTS: 1})
    assert nights.input_by_day() == {"2025-11-21": 5010}


# ------------------------------------------------------------------------------------------ files that were read before


def test_an_unchanged_file_is_not_even_opened_until_rehash(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    really_open = framing._open
    monkeypatch.setattr(framing, "_open", lambda source: opened.append(source.name) or really_open(source))
    file = nights.write(chat("x", 10), chat("y"))
    nights.run(file)
    assert opened == [str(file)]

    assert nights.run(file)[1]["inputs"][0]["skipped"] == "unchanged since it was read"
    assert opened == [str(file)]

    assert nights.run(file, "--rehash")[1]["inputs"][0]["skipped"] == "its content was read before"
    os.utime(file)
    assert nights.run(file)[1]["inputs"][0]["skipped"] == "its content was read before"
    assert opened == [str(file)] * 3
    assert nights.run(file)[1]["inputs"][0]["skipped"] == "unchanged since it was read"
    assert opened == [str(file)] * 3
    assert sorted(os.listdir(nights.warehouse / "snapshots")) == ["00000001", "00000002"]  # the second: its new time


def test_rehash_finds_what_was_changed_in_secret(nights: Nights) -> None:
    """As long as before, and with its old time set again."""
    file = nights.write(chat("x", 10))
    nights.run(file)
    before = file.stat()
    file.write_text(file.read_text().replace('"x"', '"z"'))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size

    assert told(nights.run(file)[1]) == (0, {})
    assert told(nights.run(file, "--rehash")[1]) == (1, {})
    assert nights.prompts() == [("x", 10), ("z", 10)]


def test_a_file_with_rejects_is_read_again_under_other_options(nights: Nights) -> None:
    """Its rejects replace the earlier ones. What was told before is no news: the run ends with 0."""
    other = nights.write("{torn")
    local = {"occurred_at": "2025-11-21 12:00:00", "model": MINI, "output_tokens": 1}
    zoned = local | {"occurred_at": "2025-11-21T12:00:00Z"}
    file = nights.write({**local, "request_id": "local"}, {**zoned, "request_id": "zoned"}, "{torn too")

    assert told(nights.run(file, other)[1]) == (1, {"rejected/naive_timestamp": 1, "rejected/invalid_json": 2})
    assert nights.run(file, other)[1]["snapshot"] is None

    code, said = nights.run(file, other, "--assume-tz", "Europe/Berlin")

    assert (code, said["snapshot"]) == (0, 2)
    assert told(said) == (1, {"duplicate/same_content": 1, "rejected/invalid_json": 2})
    assert said["known_rejects"] == 2
    assert nights.rows("rejects", "line_number", "reason", "at_snapshot") == [
        (1, "invalid_json", 2),
        (3, "invalid_json", 2),
    ]
    assert [str(at) for [at] in nights.rows("usage", "occurred_at")] == ["2025-11-21 11:00:00", "2025-11-21 12:00:00"]
    assert nights.run(file, other, "--assume-tz", "Europe/Berlin")[1]["snapshot"] is None


def test_a_clean_file_is_not_read_again_under_other_options(nights: Nights) -> None:
    file = nights.write(chat("x"))
    nights.run(file)

    assert nights.run(file, "--account", "acme", "--assume-tz", "UTC")[1]["snapshot"] is None


def test_a_log_that_grows_counts_its_new_lines(nights: Nights) -> None:
    """The first night caught the writer in the middle of a line."""
    file = nights.write(chat("x"), chat("y"))
    whole = file.read_text()
    file.write_text(whole[:-20])
    assert told(nights.run(file)[1]) == (1, {"rejected/invalid_json": 1})

    file.write_text(whole + json.dumps(chat("z")) + "\n")

    assert told(nights.run(file)[1]) == (2, {SAME: 1})
    assert nights.input_by_day() == {"2025-11-21": 30}


def test_an_id_that_is_an_empty_string_is_none(nights: Nights) -> None:
    """Else all records without an id would be one request. The wrapper's id counts instead, or a fingerprint."""
    bare = [chat("", 10), chat("", 20), chat("", 20)]
    wrappers = [
        wrapped(chat("", 30), request_id="", id="w-1"),
        batch("b-1", chat("", 40)),
        wrapped(chat("", 50), id=""),
    ]
    rows = [
        {"occurred_at": "2025-11-21T12:00:00Z", "model": MINI, "output_tokens": n, "request_id": ""} for n in (60, 70)
    ]

    accepted, fates = nights.read(*bare, *wrappers, *rows)

    assert (accepted, fates) == (8, {})
    ids = [identity for identity, _ in nights.prompts()]
    assert sorted(identity for identity in ids if not identity.startswith("sha256:")) == ["b-1", "w-1"]
    assert len(set(ids)) == 8


def test_what_is_nested_too_deep_for_python_counts_alone_as_beside_others(nights: Nights) -> None:
    """Nobody reads so deep; what is read of a record does not depend on its neighbours."""
    deep = "[" * 100_000 + "]" * 100_000
    texts = [f'{json.dumps(chat(name))[:-1]},"tools":{deep}}}' for name in ("alone", "beside", "broken")]

    assert nights.read(texts[0]) == (1, {})
    assert nights.read(chat("x"), texts[1], chat("y"), "{torn") == (3, {"rejected/invalid_json": 1})
    assert nights.read(texts[2].replace("[[[]]]", "[[[,]]]")) == (0, {"rejected/invalid_json": 1})


def test_three_torn_lines_and_nothing_else_are_three_rejects(nights: Nights) -> None:
    torn = json.dumps(chat("x"))

    assert nights.read(torn[:-5], torn[:20], torn[:33]) == (0, {"rejected/invalid_json": 3})
    assert nights.rows("rejects", "line_number") == [(1,), (2,), (3,)]
