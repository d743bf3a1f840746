"""Importing rates: a plan first, then one numbered version; nothing is edited or deleted, all can be undone."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import rate_card
from etl.errors import RateCardError, UsageError
from etl.rate_card import RateCard
from etl.rate_csv import ALIAS_FIELDS, RATE_FIELDS
from etl.rate_offers import Entry, Offer
from etl.rate_plan import Plan, plan
from etl.rate_sources import read_offer
from etl.rate_updates import update
from etl.rate_versions import applied, csv_lines, undo
from tests.nights import chat, costroll, rows_of, write_jsonl
from tests.small_card import FIRST_VERSION, SECOND_VERSION, THIRD_VERSION, card, rated, then, used

HEADER = ",".join(RATE_FIELDS)
KNOWN = """
    m  standard  input  uncached  0  2025-01-01  2025-06-10  10
    m  standard  input  uncached  0  2025-06-10  -           2
"""


def offered(folder: Path, *lines: str) -> Offer:
    """The offer of a file with lines of `model tier meter caching over from to rate`."""
    rows = [["openai", *("" if word == "-" else word for word in line.split()), "published"] for line in lines]
    file = folder / "offer.csv"
    file.write_text("\n".join([HEADER, *(",".join([*row, "high", "a page"]) for row in rows)]) + "\n")
    return read_offer(file, SECOND_VERSION)


def planned(folder: Path, *lines: str, correct: bool = False) -> Plan:
    """The plan of such a file for the card KNOWN."""
    return plan(card(KNOWN), offered(folder, *lines), SECOND_VERSION, corrects=(lambda _: True) if correct else None)


def told(found: Plan) -> list[tuple[str, str, str, str]]:
    """Kind, value, from and to of each change."""
    rows = [(change.kind, change.new or change.old) for change in found.changes]
    return [(kind, str(e.value), str(e.starts_at.date()), str(e.ends_at.date())) for kind, e in rows if e]


def known(prices: RateCard) -> list[tuple[str | None, str | None, str]]:
    """From, to and rate of what is known now."""
    rows = prices.current().rates.sort("effective_from", nulls_last=False)
    columns = rows.select("effective_from", "effective_to", "rate_usd_per_million").rows()
    return [(a and str(a.date()), b and str(b.date()), f"{rate.normalize():f}") for a, b, rate in columns]


# ---------------------------------------------------------------------------------------------------------- the plan


def test_a_rate_for_what_has_none_is_added(tmp_path: Path) -> None:
    found = planned(tmp_path, "m batch input uncached 0 2025-01-01 - 1")
    assert told(found) == [("added", "1.000000", "2025-01-01", "9999-12-31")]


def test_a_rate_that_begins_while_another_is_in_force_closes_it_at_that_instant(tmp_path: Path) -> None:
    found = planned(tmp_path, "m standard input uncached 0 2026-01-01 - 3")
    assert told(found) == [
        ("changed", "3.000000", "2026-01-01", "9999-12-31"),
        ("closed", "2.000000", "2025-06-10", "2026-01-01"),
    ]


def test_a_rate_for_a_while_leaves_the_known_one_before_and_after(tmp_path: Path) -> None:
    found = planned(tmp_path, "m standard input uncached 0 2026-01-01 2026-02-01 3")
    assert [row[0] for row in told(found)] == ["changed", "closed", "closed"]
    after = applied(card(KNOWN), found, "a test", "", SECOND_VERSION)
    assert known(after) == [
        ("2025-01-01", "2025-06-10", "10"),
        ("2025-06-10", "2026-01-01", "2"),
        ("2026-01-01", "2026-02-01", "3"),
        ("2026-02-01", None, "2"),
    ]


def test_what_contradicts_a_known_rate_from_its_beginning_is_not_taken(tmp_path: Path) -> None:
    found = planned(tmp_path, "m standard input uncached 0 2025-06-10 - 4")
    assert told(found) == [("conflicting", "4.000000", "2025-06-10", "9999-12-31")]
    assert found.is_empty


def test_a_change_is_news_from_the_instant_on_at_which_the_old_rate_was_recorded(tmp_path: Path) -> None:
    # The table was recorded on 2026-01-01 with 2 in force: that the rate had changed before contradicts it.
    before = planned(tmp_path, "m standard input uncached 0 2025-12-31T23:59:59.999999Z - 3")
    at = planned(tmp_path, "m standard input uncached 0 2026-01-01 - 3")
    assert (told(before)[0][0], told(at)[0][0]) == ("conflicting", "changed")


def test_with_correct_the_files_word_replaces_it(tmp_path: Path) -> None:
    found = planned(tmp_path, "m standard input uncached 0 2025-06-10 - 4", correct=True)
    assert told(found) == [("corrected", "4.000000", "2025-06-10", "9999-12-31")]
    assert known(applied(card(KNOWN), found, "a test", "", SECOND_VERSION))[1] == ("2025-06-10", None, "4")


def test_a_file_that_says_what_is_known_changes_nothing_however_it_cuts_the_time(tmp_path: Path) -> None:
    found = planned(
        tmp_path,
        "m standard input uncached 0 2025-01-01 2025-03-01 10",
        "m standard input uncached 0 2025-03-01 2025-06-10 10",
        "m standard input uncached 0 2025-06-10 - 2.000000",
    )
    assert found.is_empty
    assert found.counts()["same"] == 3


def test_a_file_that_contradicts_itself_is_refused_naming_both_rows(tmp_path: Path) -> None:
    with pytest.raises(RateCardError) as refused:
        planned(tmp_path, "m batch input uncached 0 2025-01-01 2025-02-01 1", "m batch input uncached 0 2025-01-31 - 2")
    assert "openai/m/batch/input/uncached/0/list from 2025-01-01T00:00:00Z = 1" in str(refused.value)
    assert "openai/m/batch/input/uncached/0/list from 2025-01-31T00:00:00Z = 2" in str(refused.value)


def test_rows_of_a_file_may_meet(tmp_path: Path) -> None:
    meeting = ("m batch input uncached 0 2025-01-01 2025-02-01 1", "m batch input uncached 0 2025-02-01 - 2")
    assert planned(tmp_path, *meeting).counts()["added"] == 2


def test_an_undated_rate_never_reaches_back_before_what_is_known() -> None:
    key = ("openai", "m", "standard", "input", "uncached", 0, "list")
    facts = ("published", "medium", "a page")
    ever, far = datetime(1, 1, 1), datetime(9999, 12, 31)
    offer = Offer("a test", {"rates": [Entry(key, Decimal(10), ever, datetime(2025, 6, 10), facts, is_undated=True)]})
    assert plan(card(KNOWN), offer, SECOND_VERSION).is_empty
    unknown = Offer("a test", {"rates": [Entry(("openai", "n", *key[2:]), Decimal(1), ever, far, facts, True)]})
    assert told(plan(card(KNOWN), unknown, SECOND_VERSION)) == [("added", "1", "0001-01-01", "9999-12-31")]


def test_a_source_that_says_what_holds_now_leaves_announced_changes_alone() -> None:
    announced = card("m standard input uncached 0 - 2026-12-01 2\nm standard input uncached 0 2026-12-01 - 4")
    key = ("openai", "m", "standard", "input", "uncached", 0, "list")
    now = Entry(key, Decimal(3), SECOND_VERSION, datetime(9999, 12, 31), ("published", "medium", "a page"))
    offer = Offer("a test", {"rates": [now._replace(holds_until_known=True)]})
    after = applied(announced, plan(announced, offer, SECOND_VERSION), "a test", "", SECOND_VERSION)
    assert known(after) == [(None, "2026-02-01", "2"), ("2026-02-01", "2026-12-01", "3"), ("2026-12-01", None, "4")]


# ------------------------------------------------------------------------------------------------------ the versions


def test_a_row_is_superseded_and_never_edited(tmp_path: Path) -> None:
    found = planned(tmp_path, "m standard input uncached 0 2026-01-01 - 3")
    after = applied(card(KNOWN), found, "a test", "ab", SECOND_VERSION)
    assert after.rates.head(2).drop("superseded_at").equals(card(KNOWN).rates.drop("superseded_at"))
    assert after.rates["superseded_at"].to_list() == [None, SECOND_VERSION, None, None]
    assert after.rates["rate_id"].to_list()[2:] == [
        "openai/m/standard/input/uncached>0@2026-01-01#2",
        "openai/m/standard/input/uncached>0@2025-06-10#2",
    ]
    assert after.versions.row(1) == (2, "a test", SECOND_VERSION, "ab")


def test_each_version_and_each_date_knows_what_was_known_then(tmp_path: Path) -> None:
    found = planned(tmp_path, "m standard input uncached 0 2025-06-10 - 4", correct=True)
    after = applied(card(KNOWN), found, "a test", "", SECOND_VERSION)
    before = [("2025-01-01", "2025-06-10", "10"), ("2025-06-10", None, "2")]
    assert known(after.as_known(1)) == known(after.as_known_on(SECOND_VERSION - timedelta(microseconds=1))) == before
    assert known(after.as_known_on(SECOND_VERSION))[1] == ("2025-06-10", None, "4")
    with pytest.raises(RateCardError, match="the first version was recorded at 2026-01-01"):
        after.as_known_on(FIRST_VERSION - timedelta(microseconds=1))


def test_undo_makes_known_again_what_was_known_before_and_can_be_undone(tmp_path: Path) -> None:
    found = planned(tmp_path, "m standard input uncached 0 2026-01-01 - 3", "m batch input uncached 0 - - 1")
    changed = applied(card(KNOWN), found, "a test", "", SECOND_VERSION)
    back = applied(changed, undo(changed, 2), "undo", "", THIRD_VERSION)
    assert known(back) == known(card(KNOWN))
    assert known(back.as_known(2)) == known(changed)
    forth = applied(back, undo(back, 3), "undo", "", THIRD_VERSION + timedelta(days=1))
    assert known(forth) == known(changed)


def test_a_version_that_a_later_one_builds_on_is_undone_after_it(tmp_path: Path) -> None:
    first = applied(
        card(KNOWN), planned(tmp_path, "m batch input uncached 0 2025-01-01 - 1"), "a test", "", SECOND_VERSION
    )
    again = plan(first, offered(tmp_path, "m batch input uncached 0 2026-03-01 - 2"), THIRD_VERSION)
    second = applied(first, again, "a test", "", THIRD_VERSION)
    with pytest.raises(RateCardError, match="version 2 were replaced by version 3: undo that first"):
        undo(second, 2)


@pytest.mark.parametrize(("version", "text"), [(1, "is the first"), (2, "no version 2")])
def test_the_first_version_and_one_that_does_not_exist_cannot_be_undone(version: int, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        undo(card(KNOWN), version)


def test_a_clock_that_went_back_is_refused(tmp_path: Path) -> None:
    found = planned(tmp_path, "m batch input uncached 0 - - 1")
    with pytest.raises(UsageError, match="set the clock"):
        applied(card(KNOWN), found, "a test", "", FIRST_VERSION)


# ------------------------------------------------------------------------- against a dictionary, and against no change

DAYS = 12
START = datetime(2025, 1, 1)


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_imports_corrections_and_undos_agree_with_a_plain_dictionary(data: st.DataObject) -> None:
    """The model: for each version a dictionary day -> rate. An import writes its days, an undo takes the one before."""
    prices = card(f"m standard input uncached 0 {START.date()} - 1")
    model = {1: dict.fromkeys(range(DAYS), 1)}
    for version in range(2, data.draw(st.integers(3, 6))):
        at = FIRST_VERSION + timedelta(days=version)
        if version > 2 and data.draw(st.booleans()):
            prices = applied(prices, undo(prices, version - 1), "undo", "", at)
            model[version] = model[version - 2]
            continue
        first, rate = data.draw(st.integers(0, DAYS - 1)), data.draw(st.integers(2, 9))
        last = data.draw(st.integers(first + 1, DAYS))
        span = START + timedelta(days=first), START + timedelta(days=last)
        key = ("openai", "m", "standard", "input", "uncached", 0, "list")
        offer = Offer("a test", {"rates": [Entry(key, Decimal(rate), *span, ("published", "high", "a page"))]})
        found = plan(prices, offer, at, corrects=lambda _: True)
        if found.is_empty:  # the same rate again: as a version it would be without rows
            return
        prices = applied(prices, found, "a test", "", at)
        model[version] = model[version - 1] | dict.fromkeys(range(first, last), rate)
    for version, days in model.items():
        day = {number: (START + timedelta(days=number)).isoformat(sep=" ") for number in days}
        found_rates = rated(prices.as_known(version), *(used(at=text) for text in day.values()))
        assert [int(row["rate_usd_per_million"]) for row in found_rates] == list(days.values())


@given(st.datetimes(datetime(2025, 1, 1, 0, 0, 0, 1), datetime(2025, 12, 31)), st.integers(1, 10**9))
@settings(max_examples=15, deadline=None)
def test_splitting_an_interval_at_any_instant_changes_no_cost(cut: datetime, quantity: int) -> None:
    whole = card("m standard input uncached 0 2025-01-01 2026-01-01 2.675")
    at = f"{cut.isoformat()}Z"
    split = card(
        f"m standard input uncached 0 2025-01-01 {at} 2.675\nm standard input uncached 0 {at} 2026-01-01 2.675"
    )
    instants = [cut - timedelta(microseconds=1), cut, cut + timedelta(microseconds=1)]
    items = [used(quantity, str(instant), rated_at=instant) for instant in instants]
    costs = [[row["cost_usd"] for row in rated(prices, *items)] for prices in (whole, split)]
    assert sum(costs[0]) == sum(costs[1]) == 3 * quantity * Decimal("2.675") / 1_000_000


# --------------------------------------------------------------------------------------------------- through the doors

CHANGE = "openai,gpt-4o-mini-2024-07-18,standard,input,uncached,0,2026-06-01,,0.3,published,high,a page"
NEW_MODEL = "openai,gpt-99,standard,input,uncached,0,2026-01-01,,5,published,high,a page"


def csv_file(folder: Path, *lines: str, header: str = HEADER) -> Path:
    file = folder / "prices.csv"
    file.write_text("\n".join([header, *lines]) + "\n")
    return file


def test_an_import_is_a_plan_until_it_is_applied_and_then_one_version(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse"
    file = csv_file(tmp_path, NEW_MODEL)
    asked = costroll("rates", "import", file, "--warehouse", warehouse)
    assert asked.code == 0 and not warehouse.exists()
    assert "nothing is changed yet: --apply makes it so" in asked.out
    done = costroll("rates", "import", file, "--apply", "--json", "--warehouse", warehouse)
    assert (done.code, done.said["rate_version"], done.said["counts"]["added"]) == (0, 2, 1)
    assert "5.00" in costroll("rates", "show", "gpt-99", "--warehouse", warehouse).out
    assert costroll("rates", "show", "gpt-99", "--as-known-on", "1", "--warehouse", warehouse).code == 2
    assert costroll("verify", "--warehouse", warehouse).code == 0


def test_only_the_files_of_rates_are_new_and_no_published_cost_moves(tmp_path: Path) -> None:
    warehouse, log = tmp_path / "warehouse", write_jsonl(tmp_path / "a.jsonl", [chat("a")])
    costroll("run", log, "--warehouse", warehouse)
    before = rows_of(warehouse, "rollups")
    [old] = (warehouse / "current/rollups").glob("*.parquet")
    inode = old.stat().st_ino
    done = costroll("rates", "import", csv_file(tmp_path, CHANGE), "--correct", "--apply", "--warehouse", warehouse)
    assert done.code == 0
    [new] = (warehouse / "current/rollups").glob("*.parquet")
    assert new.stat().st_ino == inode
    late = write_jsonl(tmp_path / "b.jsonl", [chat("b", prompt=500)])
    costroll("run", late, "--warehouse", warehouse)
    # 1,500 x 0.15: the late record joins its day, which keeps the version it was rated with.
    [cost] = [row[0] for row in rows_of(warehouse, "rollups", "cost_usd", "meter") if row[1] == "input"]
    assert cost == Decimal("0.000225")
    assert [row[:3] for row in before] == [row[:3] for row in rows_of(warehouse, "rollups")]


def test_a_contradiction_that_was_left_ends_with_3(tmp_path: Path) -> None:
    file = csv_file(tmp_path, CHANGE.replace("2026-06-01", "2024-07-18"), NEW_MODEL)
    done = costroll("rates", "import", file, "--apply", "--json", "--warehouse", tmp_path / "warehouse")
    assert (done.code, done.said["counts"]["conflicting"], done.said["counts"]["added"]) == (3, 1, 1)


def test_an_import_that_breaks_a_rule_of_the_table_publishes_nothing(tmp_path: Path) -> None:
    lost = csv_file(tmp_path, "openai,new-name,gpt-98,,,a page,high", header=",".join(ALIAS_FIELDS))
    done = costroll("rates", "import", lost, "--apply", "--warehouse", tmp_path / "warehouse")
    assert done.code == 2 and "aliases_without_rates: openai/new-name leads to gpt-98" in done.err
    assert not (tmp_path / "warehouse/current").exists()


@pytest.mark.parametrize("command", ["diff", "import"])
def test_a_plan_that_could_not_be_applied_is_refused_as_applying_it_is(tmp_path: Path, command: str) -> None:
    lost = csv_file(tmp_path, "openai,gpt-9,standard,inputs,uncached,0,2026-01-01,,1.5,published,high,x")
    planned = costroll("rates", command, lost, "--warehouse", tmp_path / "warehouse")
    assert planned.code == 2 and "unknown_meters" in planned.err


def test_an_alias_is_imported_and_followed(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse"
    file = csv_file(tmp_path, "openai,new-name,gpt-4o-mini,2026-01-01,,a page,high", header=",".join(ALIAS_FIELDS))
    done = costroll("rates", "import", file, "--apply", "--warehouse", warehouse)
    assert "added  aliases: openai/new-name → gpt-4o-mini, from 2026-01-01 to open" in done.out
    assert "openai: new-name → gpt-4o-mini" in costroll("rates", "show", "new-name", "--warehouse", warehouse).out


def test_undo_from_the_command_line_and_the_exported_table_is_the_first_again(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse"
    shipped = costroll("rates", "export", "--warehouse", warehouse).out
    costroll("rates", "import", csv_file(tmp_path, NEW_MODEL, CHANGE), "--apply", "--warehouse", warehouse)
    assert costroll("rates", "export", "--warehouse", warehouse).out != shipped
    undone = costroll("rates", "undo", "2", "--apply", "--warehouse", warehouse)
    assert "with version 3 of the rate table" in undone.out
    assert costroll("rates", "export", "--warehouse", warehouse).out == shipped
    assert "gpt-99" in costroll("rates", "export", "--as-known-on", "2", "--warehouse", warehouse).out


@pytest.mark.parametrize("content", ["[]", "{}", '{"a": NaN}', "{", ""])
def test_a_file_of_no_known_format_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "prices.json"
    file.write_text(content)
    refused = costroll("rates", "diff", file, "--warehouse", tmp_path / "warehouse")
    assert refused.code == 2 and "prices.json: " in refused.err


# ----------------------------------------------------------------------------------------------------- a newer package


def shipped_next_month(monkeypatch: pytest.MonkeyPatch, newer: RateCard) -> None:
    """The package was upgraded, and ships this card."""
    named = newer.versions.with_columns(name=pl.lit("costroll card 2026-12-22"))
    monkeypatch.setattr("etl.rate_updates.shipped_card", lambda: RateCard(newer.rates, newer.aliases, named))
    monkeypatch.setattr(rate_card, "_about_shipped", lambda: {"name": "costroll card 2026-12-22"})


def test_a_newer_card_replaces_the_older_one_and_not_what_was_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = card(
        "m standard input uncached 0 - - 2\nn standard input uncached 0 - - 5\no standard input uncached 0 - - 7"
    )
    old = RateCard(old.rates, old.aliases, old.versions.with_columns(name=pl.lit("costroll card 2026-11-22")))
    imported = plan(old, offered(tmp_path, "n batch input uncached 0 - - 3"), SECOND_VERSION)
    own = applied(old, imported, "import of offer.csv", "", SECOND_VERSION)
    newer = "m standard input uncached 0 - - 1\nn standard input uncached 0 - - 5\nn batch input uncached 0 - - 4"
    shipped_next_month(monkeypatch, card(newer))
    found, name, _ = update(own, THIRD_VERSION)
    assert name == "costroll card 2026-12-22"
    # m costs less now, o is gone from the list, and n in batch is what was imported: the card's 4 is only shown.
    assert [(change.kind, str((change.new or change.old).value)) for change in found.changes] == [  # type: ignore[union-attr]
        ("corrected", "1.000000"),
        ("conflicting", "4.000000"),
        ("withdrawn", "7.000000"),
    ]
    assert found.counts()["same"] == 1
    after = applied(own, found, name, "", THIRD_VERSION)
    assert update(after, THIRD_VERSION)[0].is_empty
    assert list(csv_lines(after, "rates"))[1:] == [
        "openai,m,standard,input,uncached,0,,,1,published,high,a test",
        "openai,n,batch,input,uncached,0,,,3,published,high,a page",
        "openai,n,standard,input,uncached,0,,,5,published,high,a test",
    ]


def test_a_run_announces_a_newer_card_and_does_not_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = tmp_path / "warehouse"
    assert "newer" not in costroll("run", write_jsonl(tmp_path / "a.jsonl", [chat("a")]), "--warehouse", warehouse).err
    monkeypatch.setattr(rate_card, "_about_shipped", lambda: {"name": "costroll card 2026-12-22"})
    again = costroll("run", write_jsonl(tmp_path / "b.jsonl", [chat("b")]), "--warehouse", warehouse)
    assert "ships the newer costroll card 2026-12-22: `costroll rates update` shows" in again.err
    assert "rates        version 1\n" in costroll("status", "--warehouse", warehouse).out


def test_a_card_that_a_warehouse_has_is_no_update(tmp_path: Path) -> None:
    asked = costroll("rates", "update", "--apply", "--warehouse", tmp_path / "warehouse")
    assert asked.code == 0 and asked.out.endswith("nothing to change\n")
    assert then(card(KNOWN), card("n standard input uncached 0 - - 1", "", 2, SECOND_VERSION)).newest() == 2
