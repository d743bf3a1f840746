"""run --metrics-file: valid exposition format, also when the run fails; and status as a dead man's switch."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from etl import __version__
from etl.commands.status import problems_at
from etl.last_run import LastRun
from etl.manifest import Snapshot
from etl.metrics import Metric, recorded
from tests.nights import NOON, chat, costroll, write_jsonl

SAMPLE = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*\})? (-?[0-9.]+(?:e[+-]?[0-9]+)?)'
)


def parsed(path: Path) -> dict[str, str]:
    """The samples of a file in exposition format, by name and labels; fails where it breaks a rule of the format."""
    text = path.read_text()
    assert text.endswith("\n")
    samples: dict[str, str] = {}
    helped, current = set(), ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split(" ")[2]
            assert current not in helped, "one HELP for each name"
            helped.add(current)
        elif line.startswith("# TYPE "):
            assert line == f"# TYPE {current} gauge"
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            assert match[1] == current, "samples stand behind their own HELP and TYPE"
            key = match[1] + (match[2] or "")
            assert key not in samples
            samples[key] = match[3]
    return samples


def night(folder: Path, *options: str) -> tuple[int, dict[str, str]]:
    ran = costroll("run", folder / "logs", "--warehouse", folder / "w", "--metrics-file", folder / "c.prom", *options)
    return ran.code, parsed(folder / "c.prom")


def test_a_run_says_what_it_did(tmp_path: Path) -> None:
    log = write_jsonl(tmp_path / "logs/a.jsonl", [chat("a"), chat("a"), "{", chat("b", model='my"own\\7')])
    code, said = night(tmp_path)
    assert code == 3
    assert said["costroll_last_run_exit_code"] == "3"
    assert said["costroll_last_success_timestamp_seconds"] == said["costroll_last_run_timestamp_seconds"]
    fates = {
        fate: said[f'costroll_last_run_records{{fate="{fate}"}}'] for fate in ("accepted", "duplicate", "rejected")
    }
    assert fates == {"accepted": "2", "duplicate": "1", "rejected": "1"}
    assert said["costroll_last_run_read_bytes"] == str(log.stat().st_size)
    assert said['costroll_last_run_unpriced_quantity{price_status="unpriced_unknown_model"}'] == "1100"
    assert said['costroll_last_run_attention{kind="rejected"}'] == "1"
    assert said["costroll_snapshot_number"] == "1"
    assert (said["costroll_records"], said["costroll_cost_usd"]) == ("2", "0.000210000000")
    assert said["costroll_last_day_cost_usd"] == "0.000210000000"
    assert said["costroll_last_day_timestamp_seconds"] == str(NOON - 12 * 3600)
    assert any(key.startswith(f'costroll_build_info{{version="{__version__}"') for key in said)
    assert (tmp_path / "c.prom").stat().st_mode & 0o777 == 0o644
    assert sorted(os.listdir(tmp_path)) == ["c.prom", "logs", "w"]


def test_a_run_that_fails_keeps_the_last_success(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "logs/a.jsonl", [chat("a")])
    assert night(tmp_path)[0] == 0
    text = (tmp_path / "c.prom").read_text()
    (tmp_path / "c.prom").write_text(re.sub(r"(?m)^(costroll_last_success\S+) \d+$", r"\1 1234", text))
    write_jsonl(tmp_path / "logs/b.jsonl", ["{"])
    code, said = night(tmp_path, "--strict")
    assert (code, said["costroll_last_run_exit_code"]) == (9, "9")
    assert said["costroll_last_success_timestamp_seconds"] == "1234"
    assert "costroll_last_run_read_bytes" not in said
    assert said["costroll_snapshot_number"] == "1"


def test_without_an_earlier_file_the_last_success_is_the_published_snapshots(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "logs/a.jsonl", [chat("a")])
    assert costroll("run", tmp_path / "logs", "--warehouse", tmp_path / "w").code == 0
    (tmp_path / "w/last_run.json").unlink()
    made = datetime.fromisoformat(costroll("status", "--json", "--warehouse", tmp_path / "w").said["published_at"])
    write_jsonl(tmp_path / "logs/b.jsonl", ["{"])
    code, said = night(tmp_path, "--strict")
    assert (code, said["costroll_last_success_timestamp_seconds"]) == (9, str(int(made.timestamp())))


def test_a_night_without_news_is_the_last_success_for_the_metrics_too(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "logs/a.jsonl", [chat("a")])
    assert costroll("run", tmp_path / "logs", "--warehouse", tmp_path / "w").code == 0
    ended(tmp_path / "w", datetime(2026, 6, 3, 2, 15, tzinfo=UTC))
    write_jsonl(tmp_path / "logs/b.jsonl", ["{"])
    code, said = night(tmp_path, "--strict")
    assert (code, said["costroll_last_success_timestamp_seconds"]) == (9, "1780452900")  # 2026-06-03T02:15:00Z


def ended(warehouse: Path, instant: datetime) -> None:
    """Set back when the last run ended."""
    file = warehouse / "last_run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"ended_at": f"{instant:%Y-%m-%dT%H:%M:%S.%fZ}"}))


def test_a_first_run_that_fails_has_no_success_to_tell(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "logs/b.jsonl", ["{"])
    code, said = night(tmp_path, "--strict")
    assert (code, "costroll_last_success_timestamp_seconds" in said, "costroll_snapshot_number" in said) == (
        9,
        False,
        False,
    )


def test_a_bug_of_ours_is_recorded_as_1(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), recorded(tmp_path / "c.prom", tmp_path / "w", datetime.now(UTC)):
        _ = 1 // 0
    assert parsed(tmp_path / "c.prom")["costroll_last_run_exit_code"] == "1"


def test_a_file_that_cannot_be_written_ends_a_good_run_with_5_after_it_is_published(tmp_path: Path) -> None:
    log = write_jsonl(tmp_path / "a.jsonl", [chat("a")])
    ran = costroll("run", log, "--warehouse", tmp_path / "w", "--metrics-file", tmp_path / "nowhere/c.prom")
    assert ran.code == 5 and ran.out.splitlines()[-1].startswith("read 1 = accepted 1 + ")
    place = tmp_path / "nowhere/c.prom"
    assert f"cannot write the metrics to {place}: No such file or directory; snapshot 1 is published" in ran.err
    assert costroll("verify", "--warehouse", tmp_path / "w").code == 0


def test_labels_are_escaped(tmp_path: Path) -> None:
    text = Metric("x", "a\\b\nc", [({"a": 'say "\\"\n'}, 1)]).text()
    assert text == '# HELP x a\\\\b\\nc\n# TYPE x gauge\nx{a="say \\"\\\\\\"\\n"} 1\n'


# -- status as a dead man's switch

NEWEST = datetime(2026, 6, 3, 2, 15)


def snapshot(*days: str) -> Snapshot:
    entries = [{"path": f"rollups/{day}.parquet", "table": "rollups", "day": day} for day in days]
    return Snapshot(7, Path("w/snapshots/00000007"), {"created_at": "2026-06-03T02:15:00.000000Z", "files": entries})


@pytest.mark.parametrize(("minutes", "is_late"), [(-1, False), (0, False), (1, True)])
def test_the_last_run_may_be_as_long_ago_as_max_age_and_no_longer(minutes: int, is_late: bool) -> None:
    now = NEWEST + timedelta(hours=26, minutes=minutes)
    ran = LastRun(NEWEST, 0, 7, {})
    problems = problems_at(snapshot("2026-06-02"), ran, now, timedelta(hours=26), False)
    assert problems == (["the last run that ended well was 26 hours ago, at 2026-06-03 02:15 UTC"] if is_late else [])


@pytest.mark.parametrize(
    ("days", "missing"),
    [
        (["2026-06-01", "2026-06-02"], []),
        (["2026-06-01", "2026-06-03"], ["1: 2026-06-02 without data"]),
        (["2026-06-01"], ["1: 2026-06-02 without data"]),  # yesterday; today may still come
        (["2026-05-30", "2026-06-02"], ["2: 2026-05-31, 2026-06-01 without data"]),
    ],
)
def test_every_day_up_to_yesterday_must_have_data(days: list[str], missing: list[str]) -> None:
    assert problems_at(snapshot(*days), None, NEWEST, None, True) == missing


def test_status_ends_with_3_when_something_is_late(tmp_path: Path) -> None:
    log = write_jsonl(tmp_path / "a.jsonl", [chat("a", created=NOON - 3 * 86_400)])
    costroll("run", log, "--warehouse", tmp_path / "w")
    assert costroll("status", "--warehouse", tmp_path / "w", "--max-age", "1h").code == 0
    ran = costroll("status", "--warehouse", tmp_path / "w", "--missing-days", "--json")
    assert (ran.code, len(ran.said["problems"])) == (3, 1)
    assert ran.err.startswith("needs attention: ")
    assert costroll("status", "--warehouse", tmp_path / "w", "--max-age", "1 day").code == 2


def lateness(warehouse: Path) -> list[str]:
    """What `--max-age 26h` tells."""
    problems: list[str] = costroll("status", "--json", "--max-age", "26h", "--warehouse", warehouse).said["problems"]
    return problems


def two_days_ago() -> datetime:
    return datetime.now(UTC) - timedelta(hours=48, minutes=1)


def test_another_command_does_not_hide_a_missing_run(tmp_path: Path) -> None:
    log = write_jsonl(tmp_path / "a.jsonl", [chat("a", created=NOON - 60 * 86_400)])  # in April
    assert costroll("run", log, "--warehouse", tmp_path / "w").code == 0
    ended(tmp_path / "w", two_days_ago())
    assert costroll("close", "2026-04", "--warehouse", tmp_path / "w").code == 0
    assert [line[:43] for line in lateness(tmp_path / "w")] == ["the last run that ended well was 48 hours a"]


@pytest.mark.parametrize("commit_every", [[], ["--commit-every", "1KB"]])
def test_a_night_without_news_is_a_run_that_ended_well(tmp_path: Path, commit_every: list[str]) -> None:
    log = write_jsonl(tmp_path / "logs/a.jsonl", [chat("a"), chat("a"), "{"])
    run = ["run", str(log.parent), "--warehouse", str(tmp_path / "w"), *commit_every]
    assert costroll(*run).code == 3
    said = costroll("status", "--json", "--warehouse", tmp_path / "w").said["last_run"]
    assert {**said, "ended_at": ""} == {
        "ended_at": "",
        "exit_code": 3,
        "snapshot": 1,
        "read": 3,
        "accepted": 1,
        "duplicate": 1,
        "conflict": 0,
        "excluded": 0,
        "rejected": 1,
        "unknown_keys": {},
    }
    ended(tmp_path / "w", two_days_ago())
    assert len(lateness(tmp_path / "w")) == 1
    assert costroll(*run).code == 0
    said = costroll("status", "--json", "--warehouse", tmp_path / "w").said["last_run"]
    assert (said["exit_code"], said["snapshot"], said["read"]) == (0, 1, 0)
    assert lateness(tmp_path / "w") == []


def test_the_steps_of_one_run_are_remembered_as_one(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "logs/a.jsonl", [chat("a"), "{"])
    write_jsonl(tmp_path / "logs/b.jsonl", [chat("b")])
    ran = costroll("run", tmp_path / "logs", "--warehouse", tmp_path / "w", "--commit-every", "1B")
    said = costroll("status", "--json", "--warehouse", tmp_path / "w").said["last_run"]
    assert ran.code == 3
    assert (said["exit_code"], said["snapshot"], said["read"], said["rejected"]) == (3, 2, 3, 1)


def test_an_empty_folder_in_steps_is_a_run_without_news(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    ran = costroll("run", tmp_path / "logs", "--warehouse", tmp_path / "w", "--commit-every", "1GB")
    assert (ran.code, ran.closure[:8]) == (0, "read 0 =")


def test_a_run_that_fails_is_none_that_ended_well(tmp_path: Path) -> None:
    log = write_jsonl(tmp_path / "a.jsonl", [chat("a")])
    assert costroll("run", log, "--warehouse", tmp_path / "w").code == 0
    before = (tmp_path / "w/last_run.json").read_bytes()
    write_jsonl(log, [chat("a"), "{"])
    assert costroll("run", log, "--warehouse", tmp_path / "w", "--strict").code == 9
    assert (tmp_path / "w/last_run.json").read_bytes() == before


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"7",
        b"[" * 100_000,
        b'{"ended_at": 7}',
        b'{"ended_at": "2999", "exit_code": 0}',
    ],
)
def test_without_a_sound_file_the_newest_snapshot_that_a_run_made_counts(tmp_path: Path, damaged: bytes | None) -> None:
    log = write_jsonl(tmp_path / "a.jsonl", [chat("a", created=NOON - 60 * 86_400)])
    assert costroll("run", log, "--warehouse", tmp_path / "w").code == 0
    made = costroll("status", "--json", "--warehouse", tmp_path / "w").said["published_at"]
    assert costroll("close", "2026-04", "--warehouse", tmp_path / "w").code == 0
    (tmp_path / "w/last_run.json").unlink()
    if damaged is not None:
        (tmp_path / "w/last_run.json").write_bytes(damaged)
    said = costroll("status", "--json", "--warehouse", tmp_path / "w").said
    assert (said["snapshot"], said["action"]) == (2, "close")
    assert (said["last_run"]["ended_at"], said["last_run"]["exit_code"], said["last_run"]["snapshot"]) == (
        made,
        None,
        1,
    )
    assert lateness(tmp_path / "w") == []
    # `run` does not need it, and writes it anew.
    assert costroll("run", log, "--warehouse", tmp_path / "w").code == 0
    assert costroll("status", "--json", "--warehouse", tmp_path / "w").said["last_run"]["exit_code"] == 0


def test_what_a_kill_left_of_the_file_is_swept(tmp_path: Path) -> None:
    log = write_jsonl(tmp_path / "a.jsonl", [chat("a")])
    (tmp_path / "w").mkdir()
    (tmp_path / "w/.last_run.json.123.new").write_bytes(b"{")
    assert costroll("run", log, "--warehouse", tmp_path / "w").code == 0
    assert sorted(os.listdir(tmp_path / "w")) == [".lock", "current", "last_run.json", "snapshots"]
