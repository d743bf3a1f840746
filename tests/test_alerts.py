"""What ends a run with 3: the thresholds of [alert], what is acknowledged, and what an earlier run told of."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from etl.alerts import Thing, judge, things_of_days
from etl.settings_file import Acknowledgement, AlertSection
from tests.nights import NOON, Ran, chat, costroll, write_jsonl

TODAY = date(2026, 6, 1)
DAY_SECONDS = 86_400


def night(folder: Path, alert: str, *options: str) -> Ran:
    """A run over everything in logs/, with these settings."""
    (folder / "costroll.toml").write_text(alert)
    return costroll("run", folder / "logs", "--warehouse", folder / "w", "--config", folder / "costroll.toml", *options)


def one_bad_in_ten(folder: Path) -> None:
    write_jsonl(folder / "logs/a.jsonl", [*[chat(f"a{n}") for n in range(9)], "{"])


@pytest.mark.parametrize(
    ("allowed", "code"),
    [("0", 3), ("1", 0), ("2", 0), ("0.09", 3), ("0.1", 0), ("0.11", 0)],  # 1 of 10 records read is rejected
)
def test_a_threshold_is_a_number_of_records_or_their_share_and_more_than_it_alarms(
    tmp_path: Path, allowed: str, code: int
) -> None:
    one_bad_in_ten(tmp_path)
    ran = night(tmp_path, f"[alert]\nrejected = {allowed}")
    assert (ran.code, ran.closure) == (
        code,
        "read 10 = accepted 9 + duplicate 0 + conflict 0 + excluded 0 + rejected 1",
    )
    assert ("needs attention: 1 rejected record\n" in ran.err) == (code == 3)


def test_strict_holds_to_the_same_thresholds(tmp_path: Path) -> None:
    one_bad_in_ten(tmp_path)
    assert night(tmp_path, "", "--strict").code == 9
    assert night(tmp_path, "[alert]\nrejected = 1", "--strict").code == 0


def test_what_needs_attention_is_told_kind_by_kind(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "logs/a.jsonl", [chat("a"), chat("a", prompt=7), "{", chat("b", model="my-own-7")])
    (tmp_path / "logs/b.jsonl.gz").write_bytes(b"\x1f\x8b nothing")
    ran = night(tmp_path, "", "--json")
    assert ran.code == 3
    # my-own-7: 1,000 prompt and 100 completion tokens.
    assert ran.said["alarms"] == {"rejected": 1, "conflicts": 1, "refused": 1, "unpriced": 1100}
    assert ran.err.splitlines()[-1] == (
        "needs attention: 1 rejected record, 1 conflict, 1,100 units without a price, 1 refused input"
    )


@pytest.mark.parametrize(
    ("acknowledged", "code"),
    [
        ('model = "my-own-*"', 0),
        ('model = "my-own-*"\nreason = "unpriced_unknown_model"', 0),
        ('model = "my-own-*"\nreason = "unpriced_no_rate"', 3),
        ('model = "my-own-8"', 3),
        ('reason = "unpriced_unknown_model"', 0),
        ('file = "*"', 3),  # a sum over files is not about one
        ('model = "my-own-7"\nuntil = 1999-12-31', 3),
        ('model = "my-own-7"\nuntil = 9999-12-31', 0),
    ],
)
def test_an_acknowledged_model_is_counted_and_alarms_nobody(tmp_path: Path, acknowledged: str, code: int) -> None:
    write_jsonl(tmp_path / "logs/a.jsonl", [chat("a"), chat("b", model="my-own-7")])
    ran = night(tmp_path, f'[[alert.acknowledge]]\n{acknowledged}\nnote = "ours"')
    assert ran.code == code
    told = "acknowledged: 1,100 units without a price: unpriced_unknown_model of my-own-7 (ours)\n"
    assert (told in ran.err) == (code == 0)
    assert "unpriced_unknown_model: 1,100 units have no price" in ran.out


def test_an_acknowledged_reason_in_a_file_does_not_cover_another_file(tmp_path: Path) -> None:
    settings = '[[alert.acknowledge]]\nreason = "invalid_json"\nfile = "old-*.jsonl"'
    write_jsonl(tmp_path / "logs/old-1.jsonl", [chat("a"), "{"])
    assert night(tmp_path, settings).code == 0
    write_jsonl(tmp_path / "logs/new-1.jsonl", [chat("b"), "{"])
    ran = night(tmp_path, settings)
    assert (ran.code, ran.err.splitlines()[-1]) == (3, "needs attention: 1 rejected record")


def test_an_acknowledgement_holds_through_its_last_day() -> None:
    alert = AlertSection(acknowledge=(Acknowledgement(reason="x", until=TODAY),))
    things = [Thing("rejected", 1, "x")]
    assert judge(things, alert, 1, TODAY).alarms == {}
    assert judge(things, alert, 1, date(2026, 6, 2)).numbers() == {"rejected": 1}


def test_a_refused_file_alarms_once(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "logs/a.jsonl", [chat("a")])
    (tmp_path / "logs/b.jsonl.gz").write_bytes(b"\x1f\x8b nothing")
    assert night(tmp_path, "").code == 3
    ran = night(tmp_path, "")
    assert (ran.code, ran.err) == (0, "")
    assert "passed over 1 input that was refused before and is unchanged" in ran.out


def test_an_empty_export_after_one_with_records_alarms_unless_allowed(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "logs/day-2026-06-01.jsonl", [chat("a")])
    assert night(tmp_path, "").code == 0
    write_jsonl(tmp_path / "logs/day-2026-06-02.jsonl", [])
    ran = night(tmp_path, "")
    assert (ran.code, ran.err.splitlines()[-1]) == (3, "needs attention: 1 empty input after one with records")


# -- days as a whole; chat() costs 0.00021 USD


def days(*costs: int) -> dict[date, Decimal]:
    """1 June, 2 June ... cost so many USD; None: no data."""
    return {date(2026, 6, number): Decimal(cost) for number, cost in enumerate(costs, 1)}


JUMP = AlertSection(cost_jump=Decimal(3), cost_jump_days=6)


@pytest.mark.parametrize(("cost", "alarms"), [(12, 0), (13, 1)])
def test_a_day_may_cost_so_many_times_the_median_and_no_more(cost: int, alarms: int) -> None:
    # The six days before: 1 2 4 5 9 9, the lower of the two in the middle is 4, and 3 x 4 = 12.
    after = days(9, 1, 9, 2, 5, 4, cost)
    assert len(things_of_days({}, after, [date(2026, 6, 7)], JUMP)) == alarms


def test_a_day_is_compared_when_five_before_it_have_data_and_it_is_new() -> None:
    after = days(1, 1, 1, 1, 1, 9)
    assert [one.day for one in things_of_days({}, after, after, JUMP)] == [date(2026, 6, 6)]
    assert things_of_days({}, days(1, 1, 1, 1, 9), [date(2026, 6, 5)], JUMP) == []
    assert things_of_days({}, after, [date(2026, 6, 5)], JUMP) == []
    assert things_of_days({}, after, after, AlertSection()) == []


def test_missing_days_are_those_that_this_run_passed_over(tmp_path: Path) -> None:
    settings = "[alert]\nmissing_days = 1"
    write_jsonl(tmp_path / "logs/1.jsonl", [chat("a"), chat("b", created=NOON - 5 * DAY_SECONDS)])  # 27 May, 1 June
    assert night(tmp_path, settings).code == 0
    write_jsonl(tmp_path / "logs/2.jsonl", [chat("c", created=NOON + 2 * DAY_SECONDS)])  # 3 June: one is missing
    assert night(tmp_path, settings).code == 0
    write_jsonl(tmp_path / "logs/3.jsonl", [chat("d", created=NOON + 5 * DAY_SECONDS)])  # 6 June: two are
    ran = night(tmp_path, settings)
    assert (ran.code, ran.err) == (3, "needs attention: 2 missing days (2026-06-04, 2026-06-05)\n")
    assert night(tmp_path, settings).code == 0


# -- a quiet night


def test_a_quiet_run_prints_nothing_when_all_is_well_and_everything_when_it_is_not(tmp_path: Path) -> None:
    one_bad_in_ten(tmp_path)
    (tmp_path / "logs/notes.txt").write_text("")
    for form in ([], ["--json"]):
        ran = night(tmp_path, "[alert]\nrejected = 1", "--quiet", "--rehash", *form)
        assert (ran.code, ran.out, ran.err) == (0, "", "")
    write_jsonl(tmp_path / "logs/b.jsonl", ["{"])
    ran = night(tmp_path, "", "--quiet")
    assert (ran.code, ran.err.splitlines()[-1]) == (3, "needs attention: 1 rejected record")
    assert ran.closure.startswith("read 1 = ")


def test_must_exist_does_not_take_a_typing_error_for_a_new_warehouse(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "logs/a.jsonl", [chat("a")])
    ran = night(tmp_path, "", "--must-exist")
    assert (ran.code, "--must-exist: there is no warehouse" in ran.err, (tmp_path / "w").exists()) == (2, True, False)
    assert night(tmp_path, "").code == 0
    assert night(tmp_path, "", "--must-exist").code == 0


def test_reading_again_in_another_zone_what_stays_rejected_changes_no_day(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "logs/a.jsonl", [chat("a"), "{"])
    assert night(tmp_path, "").code == 3
    ran = night(tmp_path, "", "--assume-tz", "Europe/Berlin")
    assert ran.code == 0  # the bad line was told of last night
    assert "published snapshot 00000002: no day changed\n" in ran.out


def test_the_acknowledgements_stand_in_the_json(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "logs/a.jsonl", [chat("a"), "{"])
    said = json.loads(night(tmp_path, '[[alert.acknowledge]]\nreason = "invalid_*"', "--json").out)
    assert said["acknowledged"] == [
        {
            "thing": {
                "kind": "rejected",
                "number": 1,
                "reason": "invalid_json",
                "file": str(tmp_path / "logs/a.jsonl"),
            },
            "by": {"reason": "invalid_*"},
        }
    ]


@pytest.mark.parametrize(
    ("text", "must_say"),
    [
        ("[alert]\nrejected = 1.5", "[alert] rejected must be a whole number, or a share between 0 and 1"),
        ("[alert]\ncost_jump = 0.5", "[alert] cost_jump must be a number, 1 or more, not 0.5"),
        ("[alert]\ncost_jump = nan", "[alert] cost_jump must be a number, 1 or more"),
        ("[alert.acknowledge]\nmodel = 'x'", "[alert] acknowledge must be tables [[alert.acknowledge]]"),
        ("[[alert.acknowledge]]\nnote = 'x'", "each with a model, a reason or a file"),
        ("[[alert.acknowledge]]\nmodell = 'x'\nfile = 'x'", "[[alert.acknowledge]] has no key 'modell'; there are: "),
        ("[[alert.acknowledge]]\nmodel = 'x'\nuntil = '2026-12-31'", "until must be a day such as 2026-12-31, without"),
        ("[[alert.acknowledge]]\nmodel = 'x'\nuntil = 2026-12-31T00:00:00", "until must be a day such as 2026-12-31"),
    ],
)
def test_a_mistake_in_the_thresholds_is_refused(tmp_path: Path, text: str, must_say: str) -> None:
    one_bad_in_ten(tmp_path)
    ran = night(tmp_path, text)
    assert (ran.code, must_say in ran.err) == (2, True), ran.err


def test_a_strict_run_says_what_is_wrong_though_it_publishes_nothing(tmp_path: Path) -> None:
    log = write_jsonl(tmp_path / "log.jsonl", ["{"])

    ran = costroll("--json", "run", log, "--strict", "--warehouse", tmp_path / "w")

    assert ran.code == 9
    assert f"{log}: invalid_json: 1 record is set aside: invalid_json 1 (first at line 1)" in ran.err
    assert "nothing was published\nread 1 = accepted 0" in ran.err
    answer = json.loads(ran.out)
    assert (answer["snapshot"], answer["alarms"]) == (None, {"rejected": 1})
    assert not (tmp_path / "w/current").exists()
