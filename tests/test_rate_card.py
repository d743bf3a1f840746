"""The rate card: read exactly or refused by line, checked, and known as of each of its versions."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from time import process_time

import pytest

from etl.engine import sql
from etl.errors import RateCardError
from etl.rate_card import RateCard, change_instants, current_card, load_card, shipped_card, thresholds
from etl.rate_checks import FAIL, WARN, check, check_names, severity, validated
from etl.rate_csv import ALIAS_FIELDS, RATE_FIELDS
from etl.schema import polars_schema
from tests.small_card import SECOND_VERSION, THIRD_VERSION, card, then

GOOD = "openai,m,standard,input,uncached,0,2025-06-10,,2.5,published,high,a page"
HEADER = ",".join(RATE_FIELDS)
RECORDED = datetime(2026, 1, 1)


def load(folder: Path, *lines: str, header: str = HEADER) -> RateCard:
    """A card whose rates.csv has these lines below the header."""
    rates = folder / "rates.csv"
    rates.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return load_card(rates, name="a test", recorded_at=RECORDED)


def with_field(name: str, text: str) -> str:
    """The good line with one field replaced."""
    fields = GOOD.split(",")
    fields[RATE_FIELDS.index(name)] = text
    return ",".join(fields)


# ------------------------------------------------------------------------------------------------------------- reading


def test_a_row_is_read_as_it_is_written(tmp_path: Path) -> None:
    [row] = load(tmp_path, GOOD).rates.to_dicts()
    assert row == {
        "rate_id": "openai/m/standard/input/uncached>0@2025-06-10#1",
        "provider": "openai",
        "model": "m",
        "tier": "standard",
        "meter": "input",
        "caching_status": "uncached",
        "context_over_tokens": 0,
        "effective_from": datetime(2025, 6, 10),
        "effective_to": None,
        "rate_usd_per_million": Decimal("2.500000"),
        "book": "list",
        "status": "published",
        "confidence": "high",
        "source": "a page",
        "recorded_at": RECORDED,
        "superseded_at": None,
        "rate_version": 1,
    }


@pytest.mark.parametrize(
    ("effective_from", "rate_id_ends", "instant"),
    [
        ("", "@ever#1", None),
        ("2025-06-10", "@2025-06-10#1", datetime(2025, 6, 10)),
        ("2025-06-10T00:00:00Z", "@2025-06-10#1", datetime(2025, 6, 10)),
        ("2025-06-10T17:00:00Z", "@2025-06-10T17:00:00Z#1", datetime(2025, 6, 10, 17)),
        ("2025-06-10T17:00:00.000001Z", "@2025-06-10T17:00:00.000001Z#1", datetime(2025, 6, 10, 17, 0, 0, 1)),
    ],
)
def test_a_start_is_a_day_or_an_instant_or_since_ever(
    tmp_path: Path, effective_from: str, rate_id_ends: str, instant: datetime | None
) -> None:
    [row] = load(tmp_path, with_field("effective_from", effective_from)).rates.to_dicts()
    assert row["effective_from"] == instant
    assert row["rate_id"].endswith(rate_id_ends)


@pytest.mark.parametrize("text", ["0", "0.000001", "0.1", "2.675", "123456.654321", "999999999999.999999"])
def test_a_rate_is_exactly_what_is_written(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, with_field("rate_usd_per_million", text)).rates["rate_usd_per_million"].item() == Decimal(
        text
    )


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("rate_usd_per_million", "0.1234567"),
        ("rate_usd_per_million", "1e3"),
        ("rate_usd_per_million", "-1"),
        ("rate_usd_per_million", "+1"),
        ("rate_usd_per_million", "NaN"),
        ("rate_usd_per_million", "Infinity"),
        ("rate_usd_per_million", "1_000"),
        ("rate_usd_per_million", ".5"),
        ("rate_usd_per_million", "٣"),
        ("rate_usd_per_million", "1000000000000"),
        ("rate_usd_per_million", ""),
        ("context_over_tokens", "272k"),
        ("context_over_tokens", "-1"),
        ("context_over_tokens", ""),
        ("effective_from", "2025-02-30"),
        ("effective_from", "2025-06-10T17:00:00"),
        ("effective_from", "2025-06-10T17:00:00+02:00"),
        ("effective_to", "10.06.2025"),
        ("status", "rumoured"),
        ("status", ""),
        ("model", ""),
        ("tier", " "),
        ("model", "m\x1b[31m"),
    ],
)
def test_a_field_that_cannot_be_read_exactly_is_refused_with_its_file_and_line(
    tmp_path: Path, field: str, text: str
) -> None:
    with pytest.raises(RateCardError, match=rf"rates\.csv:3: {field} {re.escape(repr(text))} "):
        load(tmp_path, GOOD, with_field(field, text))


def test_the_line_is_the_physical_one_on_which_the_row_begins(tmp_path: Path) -> None:
    two_lines = with_field("source", '"a page\nand its second line"')
    with pytest.raises(RateCardError) as refused:
        load(tmp_path, two_lines, with_field("status", "?"))
    assert re.findall(r"rates\.csv:\d+: \w+", str(refused.value)) == ["rates.csv:4: status", "rates.csv:2: source"]


def test_every_fault_is_named_up_to_twenty(tmp_path: Path) -> None:
    with pytest.raises(RateCardError) as refused:
        load(tmp_path, *[with_field("rate_usd_per_million", "x")] * 23)
    text = str(refused.value)
    assert "rates.csv has 23 faults" in text
    assert text.count("rates.csv:") == 20
    assert text.endswith("... and 3 more")


@pytest.mark.parametrize(
    ("header", "line"),
    [(HEADER, "openai,m"), (HEADER, GOOD + ",more"), (HEADER.replace("tier,", ""), GOOD), ("", ""), (HEADER, '"torn')],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, header: str, line: str) -> None:
    with pytest.raises(RateCardError, match=r"rates\.csv"):
        load(tmp_path, line, header=header)


def test_columns_may_stand_in_any_order_and_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    turned = load(tmp_path, ",".join(reversed(GOOD.split(","))), header="\ufeff" + ",".join(reversed(RATE_FIELDS)))
    assert turned.rates.equals(load(tmp_path, GOOD).rates)


def test_bytes_that_are_not_utf_8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rates.csv").write_bytes(HEADER.encode() + b"\n\xff\n")
    with pytest.raises(RateCardError, match="UTF-8"):
        load_card(tmp_path / "rates.csv", name="a test", recorded_at=RECORDED)


def test_when_it_was_recorded_is_kept_in_utc(tmp_path: Path) -> None:
    (tmp_path / "rates.csv").write_text(f"{HEADER}\n{GOOD}\n")
    east = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    loaded = load_card(tmp_path / "rates.csv", name="a test", recorded_at=east)
    assert loaded.versions["recorded_at"].item() == datetime(2026, 1, 1)


# ----------------------------------------------------------------------------------------------------- the shipped card


def test_the_shipped_card_breaks_no_rule_and_raises_no_doubt() -> None:
    assert check(validated(shipped_card())) == []


def test_the_shipped_card_has_the_schemas_and_distinct_rate_ids() -> None:
    shipped = shipped_card()
    assert shipped.rates.schema == polars_schema("rates")
    assert shipped.aliases.schema == polars_schema("aliases")
    assert shipped.versions.schema == polars_schema("versions")
    assert shipped.rates["rate_id"].is_unique().all()
    assert shipped.newest() == 1


def test_the_card_read_back_from_parquet_is_the_same(tmp_path: Path) -> None:
    shipped = current_card()
    paths = [tmp_path / f"{name}.parquet" for name in ("rates", "aliases", "versions")]
    for path, frame in zip(paths, (shipped.rates, shipped.aliases, shipped.versions), strict=True):
        frame.write_parquet(path)
    again = current_card(paths)
    assert again.rates.equals(shipped.rates) and again.aliases.equals(shipped.aliases)
    assert again.versions.equals(shipped.versions)


# ----------------------------------------------------------------------------------------------- thresholds and changes


def test_the_thresholds_are_those_above_zero_in_order() -> None:
    bands = "\n".join(f"m standard input uncached {over} - - 1" for over in (272000, 0, 128000, 272000))
    assert thresholds(card(bands)) == [128_000, 272_000]


def test_only_changes_during_a_day_cut_it() -> None:
    prices = card(
        "m standard input uncached 0 2025-06-10 2025-06-11T17:00:00Z 1",
        "a m 2025-06-12T00:00:00.000001Z 2025-06-13T00:00:00Z",
    )
    assert change_instants(prices) == [datetime(2025, 6, 11, 17), datetime(2025, 6, 12, 0, 0, 0, 1)]


# ------------------------------------------------------------------------------------------------------------- versions


def test_a_version_knows_what_was_recorded_by_then_and_not_yet_superseded() -> None:
    first = card("m standard input uncached 0 - - 2")
    second = card("m standard input uncached 0 - - 3", "", 2, SECOND_VERSION)
    both = then(first, second, superseded=["openai/m/standard/input/uncached>0@ever#1"])
    all_three = then(both, card("n standard input uncached 0 - - 1", "", 3, THIRD_VERSION))
    known = {version: all_three.as_known(version).current().rates["rate_id"].to_list() for version in (1, 2, 3)}
    assert known == {
        1: ["openai/m/standard/input/uncached>0@ever#1"],
        2: ["openai/m/standard/input/uncached>0@ever#2"],
        3: ["openai/m/standard/input/uncached>0@ever#2", "openai/n/standard/input/uncached>0@ever#3"],
    }
    assert [all_three.as_known(version).newest() for version in (1, 2, 3)] == [1, 2, 3]


def test_a_version_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RateCardError, match="no version 2; there are: 1"):
        card("m standard input uncached 0 - - 2").as_known(2)


# --------------------------------------------------------------------------------------------------------------- checks


def found(prices: RateCard) -> list[tuple[str, str]]:
    return [(finding.severity, finding.check) for finding in check(prices)]


def test_overlapping_rates_are_refused_naming_both() -> None:
    overlap = card("""
        m  standard  input  uncached  0  -                      2025-06-10T00:00:00.000001Z  10
        m  standard  input  uncached  0  2025-06-10             -                            2
    """)
    with pytest.raises(RateCardError) as refused:
        validated(overlap)
    assert "openai/m/standard/input/uncached>0@ever#1" in str(refused.value)
    assert "openai/m/standard/input/uncached>0@2025-06-10#1" in str(refused.value)


def test_rates_that_meet_do_not_overlap() -> None:
    meeting = "m standard input uncached 0 - 2025-06-10 10\nm standard input uncached 0 2025-06-10 - 2"
    assert check(card(meeting)) == []


@pytest.mark.parametrize("changed", ["n standard", "m batch"])
def test_rates_of_different_things_may_be_in_force_together(changed: str) -> None:
    assert check(card(f"m standard input uncached 0 - - 10\n{changed} input uncached 0 - - 2")) == []


def test_a_superseded_rate_overlaps_nothing() -> None:
    first = card("m standard input uncached 0 - - 2")
    second = card("m standard input uncached 0 - - 3", "", 2, SECOND_VERSION)
    assert check(then(first, second, superseded=["openai/m/standard/input/uncached>0@ever#1"])) == []
    assert found(then(first, second)) == [(FAIL, "overlapping_rates")]


@pytest.mark.parametrize(
    ("ends", "findings"), [("2025-06-09", 1), ("2025-06-10", 1), ("2025-06-10T00:00:00.000001Z", 0)]
)
def test_an_interval_must_end_after_it_begins(ends: str, findings: int) -> None:
    assert found(card(f"m standard input uncached 0 2025-06-10 {ends} 1")) == [(FAIL, "empty_intervals")] * findings


@pytest.mark.parametrize("meter", ["thoughts uncached", "output cached", "input not_applicable", "requests uncached"])
def test_a_rate_for_what_is_not_charged_is_refused(meter: str) -> None:
    prices = card(f"m standard input uncached 0 - - 1\nm standard {meter} 0 - - 1")
    assert found(prices) == [(FAIL, "unknown_meters")]


RATED = "m standard input uncached 0 - - 1\nn standard input uncached 0 - - 1"


@pytest.mark.parametrize(
    ("aliases", "findings"),
    [
        ("a m - 2025-06-10\na n 2025-06-10 -", []),
        ("a m - 2025-06-11\na n 2025-06-10 -", [(FAIL, "overlapping_aliases")]),
        ("a nowhere - -", [(FAIL, "aliases_without_rates")]),
        ("a b - -\nb m - -", [(FAIL, "aliases_without_rates")]),
        ("a m 2025-06-10 2025-06-10", [(FAIL, "empty_intervals")]),
        ("m m - -", [(FAIL, "alias_cycles")]),
        ("m n - 2025-06-10\nn m 2025-06-10 -", []),
        ("m n - 2025-06-11\nn m 2025-06-10 -", [(FAIL, "alias_cycles")] * 2),
    ],
)
def test_an_alias_leads_to_one_rated_model_at_a_time(aliases: str, findings: list[tuple[str, str]]) -> None:
    assert found(card(RATED, aliases)) == findings


def test_a_version_recorded_before_its_predecessor_is_refused() -> None:
    first = card("m standard input uncached 0 - - 1", recorded_at=SECOND_VERSION)
    assert found(then(first, card("n standard input uncached 0 - - 1", "", 2, SECOND_VERSION))) == [
        (FAIL, "versions_out_of_order")
    ]


def test_batch_dearer_than_standard_at_the_same_time_is_a_warning() -> None:
    swapped = "m standard input uncached 0 2025-01-01 2025-06-10 1\nm batch input uncached 0 {} - 2"
    assert found(card(swapped.format("2025-06-09"))) == [(WARN, "batch_dearer_than_standard")]
    assert found(card(swapped.format("2025-06-10"))) == []


@pytest.mark.parametrize(
    ("then_rate", "checks"),
    [
        ("15.9", []),
        ("16", [(WARN, "far_from_neighbour")]),
        ("0.26", []),
        ("0.25", [(WARN, "far_from_neighbour")]),
        ("0", []),
    ],
)
def test_a_rate_of_eight_times_its_neighbour_in_time_is_a_warning(
    then_rate: str, checks: list[tuple[str, str]]
) -> None:
    prices = f"m standard input uncached 0 - 2025-06-10 2\nm standard input uncached 0 2025-06-10 - {then_rate}"
    assert found(card(prices)) == checks


def test_a_cached_rate_above_the_uncached_one_is_a_warning() -> None:
    prices = "m standard input uncached 0 - - 2\nm standard input cached 0 - - {}"
    assert found(card(prices.format("2"))) == []
    assert found(card(prices.format("2.000001"))) == [(WARN, "cached_dearer_than_uncached")]


def test_output_without_input_is_a_warning_and_no_reason_to_refuse() -> None:
    half = card("m standard output not_applicable 0 - - 1")
    assert found(validated(half)) == [(WARN, "output_without_input")]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("M standard", "model of openai has rates as M and as m"),
        ("m Standard", "tier has rates as Standard and as standard"),
        ("n batch", None),
    ],
)
def test_names_that_differ_in_case_only_are_a_warning(other: str, said: str | None) -> None:
    two = card(f"m standard input uncached 0 - - 1\n{other} input uncached 0 - - 1")
    assert [(one.check, one.text) for one in check(two)] == ([("spelt_twice", said)] if said else [])


def test_every_check_states_its_name_and_severity() -> None:
    assert check_names()
    for name in check_names():
        assert severity(name) in (FAIL, WARN)
        assert f"-- Check:    {name}\n" in sql(f"checks/{name}")


@pytest.mark.slow
def test_a_hundred_thousand_rates_are_loaded_and_checked_in_seconds(tmp_path: Path) -> None:
    years = [("", "2021-01-01"), *((f"202{year}-01-01", f"202{year + 1}-01-01") for year in range(1, 5))]
    meters = ["input,uncached", "input,cached", "output,not_applicable", "image_input,cached"]
    lines = [
        f"openai,m{model},{tier},{meter},0,{since},{until},{model % 1000}.25,published,high,a test"
        for model in range(2_500)
        for tier in ("standard", "batch")
        for meter in meters
        for since, until in years
    ]
    began = process_time()
    large = load(tmp_path, *lines)
    assert check(large) == []
    assert large.rates.height == 100_000
    # About 2 s of work; work and not time, because the machine may be busy, and even work costs more then.
    assert process_time() - began < 10


def test_aliases_are_read_with_their_intervals(tmp_path: Path) -> None:
    aliases = tmp_path / "aliases.csv"
    aliases.write_text(",".join(ALIAS_FIELDS) + "\nopenai,a,m,,2024-10-02,a page,high\n")
    (tmp_path / "rates.csv").write_text(f"{HEADER}\n{GOOD}\n")
    loaded = load_card(tmp_path / "rates.csv", aliases, name="a test", recorded_at=RECORDED)
    row = loaded.aliases.select("alias", "model", "effective_from", "effective_to").row(0)
    assert row == ("a", "m", None, datetime(2024, 10, 2))
