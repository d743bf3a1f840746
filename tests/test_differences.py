"""Every kind of difference between our logs and a bill, alone: it gets its class, its exact money and its place.

The warehouse, at list prices in USD per million: gpt-4.1 2 in, 0.5 cached, 8 out, batch 1 in; gpt-4.1-mini 0.40 in.

    2025-11-21  gpt-4.1 standard  1,000,000 uncached 2   500,000 cached 0.25   100,000 out 0.80     proj_a
                gpt-4.1 batch     1,000,000 uncached 1                                              proj_a
                gpt-4.1-mini      1,000,000 uncached 0.40                                           proj_b
    2025-11-22  gpt-4.1 standard    100,000 uncached 0.20                                           proj_a
    2025-11-23  gpt-4.1 batch     2,000,000 uncached 2                                              proj_a
"""

from __future__ import annotations

import csv
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl.cli import exit_code_of
from etl.framing import Input
from etl.reconciling import Tolerance, Witnesses, reconcile
from etl.statements import combined
from tests.test_reconcile import NEW_HEADER, chat, compare, csv_row, in_batch, publish, read

MODEL, MINI = "gpt-4.1-2025-04-14", "gpt-4.1-mini-2025-04-14"
FRIDAY, SATURDAY, SUNDAY = "2025-11-21", "2025-11-22", "2025-11-23"
# Day, amount, line item, project, quantity; in agreement with the warehouse.
AGREED = (
    (FRIDAY, "2.00", f"{MODEL}, input", "proj_a", "1000000"),
    (FRIDAY, "0.25", f"{MODEL}, cached input", "proj_a", "500000"),
    (FRIDAY, "0.80", f"{MODEL}, output", "proj_a", "100000"),
    (FRIDAY, "1.00", f"batch api | {MODEL}, input", "proj_a", "1000000"),
    (FRIDAY, "0.40", f"{MINI}, input", "proj_b", "1000000"),
    (SATURDAY, "0.20", f"{MODEL}, input", "proj_a", "100000"),
    (SUNDAY, "2.00", f"batch api | {MODEL}, input", "proj_a", "2000000"),
)
Line = tuple[str, str, str, str, str]
JUNE_1 = {"start_time": 1_780_272_000, "end_time": 1_780_358_400}


def other_project(record: dict[str, Any]) -> dict[str, Any]:
    return record | {"metadata": {"project_id": "proj_b"}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("differences") / "warehouse"
    records = [
        chat(1, FRIDAY, MODEL, 1_500_000, 500_000, 100_000),
        in_batch(chat(2, FRIDAY, MODEL, 1_000_000, 0, 0)),
        other_project(chat(3, FRIDAY, MINI, 1_000_000, 0, 0)),
        chat(4, SATURDAY, MODEL, 100_000, 0, 0),
        in_batch(chat(5, SUNDAY, MODEL, 2_000_000, 0, 0)) | {"id": "batch_req_2"},
    ]
    publish(folder, records)
    return folder


def export(folder: Path, lines: list[Line], *, with_quantities: bool = True, name: str = "cost_november.csv") -> Path:
    rows = [
        csv_row(NEW_HEADER, day, amount, item, project, **({"quantity": f"{quantity}.0"} if with_quantities else {}))
        for day, amount, item, project, quantity in lines
    ]
    file = folder / name
    file.write_text("".join(f"{line}\n" for line in [NEW_HEADER, *rows]))
    return file


def changed(*changes: tuple[int, Line | None]) -> list[Line]:
    """The agreed bill with other lines in these places, or without them."""
    lines: list[Line | None] = list(AGREED)
    for at, line in changes:
        lines[at] = line
    return [line for line in lines if line is not None]


def found(answer: dict[str, Any]) -> list[tuple[str, str, Decimal]]:
    return [(one["class"], one["day"], Decimal(one["amount_usd"])) for one in answer["findings"]]


def test_the_agreed_bill_agrees_with_and_without_quantities(root: Path, tmp_path: Path) -> None:
    for with_quantities in (True, False):
        code, answer = compare(
            root, export(tmp_path, list(AGREED), with_quantities=with_quantities), "--tolerance", "0"
        )
        assert (code, answer["findings"]) == (0, [])


BATCH = f"batch api | {MODEL}, input"
CASES = {
    # 1 token more on the bill, at 2 per million.
    "one token lost": ([(0, (FRIDAY, "2.000002", f"{MODEL}, input", "proj_a", "1000001"))],
                       [("late_or_lost", FRIDAY, "-0.000002")]),
    "one cached token too many": ([(1, (FRIDAY, "0.2499995", f"{MODEL}, cached input", "proj_a", "499999"))],
                                  [("late_or_lost", FRIDAY, "0.0000005")]),
    # 100,000 of ours uncached are cached on the bill: 0.2 of ours, 0.05 of theirs.
    "another caching status": ([(0, (FRIDAY, "1.80", f"{MODEL}, input", "proj_a", "900000")),
                                (1, (FRIDAY, "0.30", f"{MODEL}, cached input", "proj_a", "600000"))],
                               [("dimension_differs", FRIDAY, "0.2"), ("dimension_differs", FRIDAY, "-0.05")]),
    # Half of the batch was not billed as a batch: 1,000,000 x 1 = 1 becomes 500,000 x 1 and 500,000 x 2.
    "another tier": ([(0, (FRIDAY, "3.00", f"{MODEL}, input", "proj_a", "1500000")),
                      (3, (FRIDAY, "0.50", BATCH, "proj_a", "500000"))],
                     [("tier_differs", FRIDAY, "-1"), ("tier_differs", FRIDAY, "0.5")]),
    "another project": ([(4, (FRIDAY, "0.40", f"{MINI}, input", "proj_a", "1000000"))],
                        [("dimension_differs", FRIDAY, "-0.4"), ("dimension_differs", FRIDAY, "0.4")]),
    # The batch of Friday is billed on Saturday.
    "another day": ([(3, (SATURDAY, "1.00", BATCH, "proj_a", "1000000"))],
                    [("day_boundary", FRIDAY, "1"), ("day_boundary", SATURDAY, "-1")]),
    "a part of a batch": ([(3, (FRIDAY, "0.75", BATCH, "proj_a", "750000")),
                           (5, (SATURDAY, "0.20", f"{MODEL}, input", "proj_a", "100000"))],
                          [("late_or_lost", FRIDAY, "0.25")]),
    # A third of Sunday's batch is not billed yet; Sunday is the last day of the bill.
    "the end of the bill": ([(6, (SUNDAY, "1.50", BATCH, "proj_a", "1500000"))], [("day_boundary", SUNDAY, "0.5")]),
    "batch at the standard rate": ([(3, (FRIDAY, "2.00", BATCH, "proj_a", "1000000"))],
                                   [("tier_differs", FRIDAY, "-1")]),
    # 2.2 = 1.1 x 2
    "regional uplift": ([(0, (FRIDAY, "2.20", f"{MODEL}, input", "proj_a", "1000000"))],
                        [("regional_uplift", FRIDAY, "-0.2")]),
    "a new price": ([(0, (FRIDAY, "1.75", f"{MODEL}, input", "proj_a", "1000000"))],
                    [("missing_or_outdated_rate", FRIDAY, "0.25")]),
    "given for nothing": ([(5, (SATURDAY, "0", f"{MODEL}, input", "proj_a", "100000"))],
                          [("complimentary", SATURDAY, "0.2")]),
    "a tool": ([(5, (SATURDAY, "0.03", "web search tool calls", "proj_a", "3"))],
               [("late_or_lost", SATURDAY, "0.2"), ("tool_fees", SATURDAY, "-0.03")]),
    # 0.333333 USD for 1,000,000 tokens would be a price with six decimals; for 3,000,000 tokens there is none.
    "nothing explains it": ([(6, (SUNDAY, "0.333333333333", BATCH, "proj_a", "2000000"))],
                            [("unexplained", SUNDAY, "1.666666666667")]),
    "a line of unknown words": ([(5, (SATURDAY, "0.20", "evals | gpt-4.1, input", "proj_a", "100000"))],
                                [("late_or_lost", SATURDAY, "0.2"), ("unexplained", SATURDAY, "-0.2")]),
    # The last digit of an amount that went through a float.
    "noise of a float": ([(0, (FRIDAY, "2.0000000000000004", f"{MODEL}, input", "proj_a", "1000000"))],
                         [("rounding", FRIDAY, "-0.0000000000000004")]),
    "a discount on everything of two models": ([(0, (FRIDAY, "1.80", f"{MODEL}, input", "proj_a", "1000000")),
                                                (4, (FRIDAY, "0.36", f"{MINI}, input", "proj_b", "1000000"))],
                                               [("credits_and_discounts", FRIDAY, "0.2"),
                                                ("credits_and_discounts", FRIDAY, "0.04")]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_difference_has_its_class_its_money_and_its_place(root: Path, tmp_path: Path, case: str) -> None:
    changes, expected = CASES[case]
    code, answer = compare(root, export(tmp_path, changed(*changes)), "--tolerance", "0")  # type: ignore[arg-type]

    assert found(answer) == [(kind, day, Decimal(amount)) for kind, day, amount in expected]
    assert code == 7
    assert sum(amount for _, _, amount in found(answer)) == Decimal(answer["difference_usd"])


@pytest.mark.parametrize("case", ["one token lost", "another day", "batch at the standard rate", "regional uplift"])
def test_amounts_alone_tell_as_much_where_they_are_whole_units(root: Path, tmp_path: Path, case: str) -> None:
    changes, expected = CASES[case]
    file = export(tmp_path, changed(*changes), with_quantities=False)  # type: ignore[arg-type]
    _, answer = compare(root, file, "--tolerance", "0")

    assert found(answer) == [(kind, day, Decimal(amount)) for kind, day, amount in expected]


def test_a_usage_export_tells_a_quantity_from_a_price_where_the_bill_has_amounts_only(
    root: Path, tmp_path: Path
) -> None:
    """The bill asks 0.1 for what we rate at 0.2. Either half of the tokens is not theirs, or the price is half."""
    usage = tmp_path / "completions_usage.csv"
    header = "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,model,batch,service_tier"
    header += ",input_tokens,output_tokens"

    def answer(counted: int) -> list[tuple[str, str, Decimal]]:
        usage.write_text(f"{header}\n1763769600,1763856000,,,proj_a,1,{MODEL},False,default,{counted},0\n")
        lines = changed((5, (SATURDAY, "0.10", f"{MODEL}, input", "proj_a", "")))
        return found(compare(root, export(tmp_path, lines, with_quantities=False), usage)[1])

    assert answer(50_000) == [("late_or_lost", SATURDAY, Decimal("0.1"))]
    # 100,000 tokens at 1 per million: the batch rate.
    assert answer(100_000) == [("tier_differs", SATURDAY, Decimal("0.1"))]


@pytest.mark.parametrize(
    ("tolerances", "code"),
    # The bill is 0.50 short of 6.65, all of it in one line of 2.00: 25 % of that line, of Sunday, 7.5 % of the whole.
    [(["0.5"], 0), (["0.49"], 7), (["33.34%"], 0), (["33.33%"], 7), (["0.49", "34%"], 0), (["8%"], 7)],
)
def test_a_tolerance_is_an_amount_or_a_percentage_of_the_bill(
    root: Path, tmp_path: Path, tolerances: list[str], code: int
) -> None:
    """0.50 of 1.50 billed is 33.3333 %."""
    file = export(tmp_path, changed((6, (SUNDAY, "1.50", BATCH, "proj_a", "1500000"))))
    options = [word for text in tolerances for word in ("--tolerance", text)]

    assert compare(root, file, *options)[0] == code


def test_small_differences_of_a_day_add_up_beyond_the_tolerance(root: Path, tmp_path: Path) -> None:
    """Two lines of a day are 0.006 off each, and the day 0.012."""
    lines = changed(
        (0, (FRIDAY, "2.006", f"{MODEL}, input", "proj_a", "1000000")),
        (2, (FRIDAY, "0.806", f"{MODEL}, output", "proj_a", "100000")),
    )
    code, answer = compare(root, export(tmp_path, lines))

    assert code == 7 and answer["lines_beyond_tolerance"] == 0 and answer["days_beyond_tolerance"] == [FRIDAY]
    assert compare(root, export(tmp_path, lines), "--tolerance", "0.012")[0] == 0


def test_an_accepted_class_is_shown_and_not_held_against_the_tolerance(root: Path, tmp_path: Path) -> None:
    file = export(tmp_path, changed((5, (SATURDAY, "0", f"{MODEL}, input", "proj_a", "100000"))))

    assert compare(root, file)[0] == 7
    code, answer = compare(root, file, "--accept", "complimentary")
    assert code == 0 and Decimal(answer["difference_usd"]) == Decimal("0.2")
    assert Decimal(answer["open_difference_usd"]) == 0 and answer["accepted_classes"] == ["complimentary"]


def test_an_unknown_class_is_refused(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = export(tmp_path, list(AGREED))

    assert exit_code_of(["--warehouse", str(root), "reconcile", str(file), "--accept", "luck"]) == 2
    assert "'luck' is no class; the classes are late_or_lost, duplicates" in capsys.readouterr().err


def test_what_is_written_for_the_meeting_holds_every_finding_and_needs_nothing_from_outside(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = export(
        tmp_path,
        changed(
            (0, (FRIDAY, "1.75", f"{MODEL}, input", "proj_a", "1000000")),
            (6, (SUNDAY, "1.50", BATCH, "proj_a", "1500000")),
        ),
    )
    out = tmp_path / "out"
    code = exit_code_of(["--warehouse", str(root), "reconcile", str(file), "--out", str(out), "--summary"])
    summary = capsys.readouterr().out

    assert code == 7 and (out / "summary.txt").read_text() == summary and len(summary.splitlines()) <= 10
    assert summary.startswith("does not reconcile: difference 0.75 USD")
    findings = pl.read_parquet(out / "findings.parquet")
    assert findings["amount_usd"].sum() == Decimal("0.75")
    assert findings["class"].to_list() == ["day_boundary", "missing_or_outdated_rate"]
    assert pl.read_parquet(out / "lines.parquet")["difference_usd"].sum() == Decimal("0.75")
    # The rate that would explain it, ready for `costroll rates import`; the timing item, for the next month.
    [rate] = csv.DictReader((out / "rates_to_add.csv").read_text().splitlines())
    assert (rate["model"], rate["effective_from"], rate["rate_usd_per_million"]) == (MODEL, FRIDAY, "1.750000")
    [carried] = csv.DictReader((out / "explanations.csv").read_text().splitlines())
    assert (carried["class"], carried["day"], carried["quantity"]) == ("day_boundary", SUNDAY, "500000")
    page = (out / "reconciliation.html").read_text()
    assert "missing_or_outdated_rate" in page and "<svg" in page
    assert not re.search(r"(src|href|url|@import)\s*[=(]|https?:|<script", page)


def test_text_from_a_bill_cannot_act_in_the_page(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    file = export(tmp_path, changed((5, (SATURDAY, "0.20", "<img onerror=alert(1)>", "proj_a", "1"))))
    exit_code_of(["--warehouse", str(root), "reconcile", str(file), "--out", str(out)])

    page = (out / "reconciliation.html").read_text()
    assert "<img" not in page and "&lt;img onerror" in page


def test_a_bill_of_cents_agrees_up_to_its_own_rounding(root: Path, tmp_path: Path) -> None:
    """Half a cent a line is rounding; 2.01 for 2.00 is a cent, and 2.01 / 2 per million = 1,005,000 tokens."""
    header = "day,amount_usd,model,tier,meter,caching_status\n"
    file = tmp_path / "plain.csv"
    rows = [f"{FRIDAY},2.01,{MODEL},standard,input,uncached", f"{SATURDAY},0.20,{MODEL},standard,input,uncached"]
    rows += [f"{FRIDAY},0.25,{MODEL},standard,input,cached", f"{FRIDAY},0.80,{MODEL},standard,output,not_applicable"]
    rows += [f"{FRIDAY},1.00,{MODEL},batch,input,uncached", f"{SUNDAY},2.00,{MODEL},batch,input,uncached"]
    rows += [f"{FRIDAY},0.40,{MINI},standard,input,uncached"]
    file.write_text(header + "".join(f"{row}\n" for row in rows))
    _, answer = compare(root, file, "--tolerance", "0")
    assert found(answer) == [("late_or_lost", FRIDAY, Decimal("-0.01"))]


def test_an_invoice_of_the_whole_stretch_is_compared_as_a_whole(root: Path, tmp_path: Path) -> None:
    """2 + 0.25 + 0.80 + 1 + 0.40 + 0.20 + 2 = 6.65; a tax of 1.00 is no usage."""
    file = tmp_path / "invoice.csv"
    file.write_text(
        "first_day,last_day,amount_usd,kind,description\n"
        "2025-11-21,2025-11-23,6.65,,usage\n2025-11-21,2025-11-23,1.00,tax,sales tax\n"
    )
    code, answer = compare(root, file, "--tolerance", "0", "--accept", "credits_and_discounts")

    assert code == 0 and found(answer) == [("credits_and_discounts", FRIDAY, Decimal("-1.00"))]
    assert answer["coverage"]["missing_from_ours"] == [] and answer["coverage"]["blank_days"] == []


def test_the_band_of_long_prompts_is_told_from_a_new_price(tmp_path: Path) -> None:
    """gpt-5.4 costs 2.5 per million, 5 above 272,000 tokens of prompt; an aggregate does not show which were long.

    1,000,000 tokens are 2.50 at the lower rate. Billed 3.75: 500,000 of them at 5. Billed 5: all of them.
    """
    folder = tmp_path / "warehouse"
    usage = {"object": "organization.usage.completions.result", "input_tokens": 1_000_000, "output_tokens": 0}
    usage |= {"input_uncached_tokens": 1_000_000, "input_cached_tokens": 0, "num_model_requests": 3}
    usage |= {"model": "gpt-5.4-2026-03-05", "batch": False, "service_tier": "default"}
    publish(folder, [{"object": "bucket", **JUNE_1, "results": [usage]}])

    for amount, quantity in (("3.75", 500_000), ("5.00", 1_000_000)):
        line = ("2026-06-01", amount, "gpt-5.4-2026-03-05, input", "", "1000000")
        _, answer = compare(folder, export(tmp_path, [line]))
        [band] = answer["findings"]
        assert (band["class"], band["quantity"]) == ("long_context_band", quantity)
        assert Decimal(band["amount_usd"]) == Decimal("2.50") - Decimal(amount)


def test_calls_that_are_merely_alike_are_no_duplicates_where_the_bill_counts_them_all(tmp_path: Path) -> None:
    """Two files, each with one call of the same second and the same 100,000 tokens. Billed twice, it was two calls."""
    folder = tmp_path / "warehouse"
    publish(folder, [chat(1, SATURDAY, MODEL, 100_000, 0, 0)])
    publish(folder, [chat(2, SATURDAY, MODEL, 100_000, 0, 0)])

    twice = export(tmp_path, [(SATURDAY, "0.40", f"{MODEL}, input", "proj_a", "200000")])
    assert compare(folder, twice, "--tolerance", "0") == (0, compare(folder, twice)[1] | {"tolerance_usd": "0"})
    once = export(tmp_path, [(SATURDAY, "0.20", f"{MODEL}, input", "proj_a", "100000")])
    assert found(compare(folder, once)[1]) == [("duplicates", SATURDAY, Decimal("0.2"))]


WORDS = [f"{MODEL}, input", f"{MODEL}, cached input", f"{MODEL}, output", BATCH, f"batch api | {MODEL}"]
ITEMS = st.sampled_from([*WORDS, f"flex | {MODEL}, input", f"{MINI}, input", "web search tool calls", "x | y", ""])
LINES = st.lists(
    st.tuples(
        st.sampled_from([FRIDAY, SATURDAY, SUNDAY]),
        st.decimals("-1", "3", places=6).map(str),
        ITEMS,
        st.sampled_from(["proj_a", "proj_b", ""]),
        st.integers(0, 2_000_000).map(str),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, with_quantities=st.booleans())
def test_whatever_is_billed_the_classes_add_up_to_the_difference_in_every_line(
    root: Path, tmp_path: Path, lines: list[Line], with_quantities: bool
) -> None:
    ours = pl.read_parquet(root / "current" / "rollups" / "*.parquet", hive_partitioning=False)
    rates = pl.read_parquet(root / "current" / "rates" / "rates*.parquet", hive_partitioning=False)
    statement = combined([read(Input("cost.csv", export(tmp_path, lines, with_quantities=with_quantities)))])
    result = reconcile(ours, statement, Tolerance(Decimal(0)), Witnesses(rates=rates))

    for cell in result.cells:
        assert sum(one.amount_usd for one in result.findings_of(cell)) == cell.difference_usd
    assert sum(one.amount_usd for one in result.findings) == result.ours_usd - result.theirs_usd


def usage_export(
    folder: Path, *rows: tuple[str, str, str, int], header: str = "project_id,model,batch,service_tier"
) -> Path:
    """A usage export of 2025-11-22 with these rows: project, model, batch and uncached input tokens."""
    file = folder / "completions_usage.csv"
    columns = "start_time,end_time,start_time_iso,end_time_iso,num_model_requests,input_tokens,output_tokens," + header
    lines = [
        f"1763769600,1763856000,,,1,{tokens},0,{project},{model},{batch},{'default' if batch == 'False' else ''}"
        for project, model, batch, tokens in rows
    ]
    file.write_text("".join(f"{line}\n" for line in [columns, *lines]))
    return file


SATURDAY_BILL = [(SATURDAY, "0.20", f"{MODEL}, input", "proj_a", "")]


def test_an_export_without_projects_is_compared_without_projects(root: Path, tmp_path: Path) -> None:
    """All three sides meet by model, tier, meter and caching status: 100,000 tokens each."""
    bill = export(tmp_path, SATURDAY_BILL, with_quantities=False)
    code, answer = compare(root, bill, usage_export(tmp_path, ("", MODEL, "False", 100_000)), "--tolerance", "0")

    assert code == 0 and answer["findings"] == [] and answer["coverage"]["coarse_days"] == []
    assert answer["grains"][0]["dimensions"] == ["day", "model", "tier", "meter", "caching_status"]


def test_an_export_that_is_not_grouped_by_batch_is_told_and_not_used(root: Path, tmp_path: Path) -> None:
    bill = export(tmp_path, SATURDAY_BILL, with_quantities=False)
    usage = usage_export(tmp_path, ("proj_a", MODEL, "", 7))
    code, answer = compare(root, bill, usage, "--tolerance", "0")

    assert code == 0 and answer["findings"] == [] and answer["coverage"]["coarse_days"] == [SATURDAY]


def test_an_export_of_one_capability_says_nothing_of_another(root: Path, tmp_path: Path) -> None:
    """An export that never names gpt-4.1 does not say that none of it was used."""
    bill = export(tmp_path, SATURDAY_BILL, with_quantities=False)
    usage = usage_export(tmp_path, ("proj_a", "text-embedding-3-small", "False", 5))
    _, answer = compare(root, bill, usage, "--tolerance", "0")

    # 5 tokens of embeddings at 0.02 per million are in no log of ours, and not on the bill either.
    assert [(one["model"], one["class"], Decimal(one["amount_usd"])) for one in answer["findings"]] == [
        ("text-embedding-3-small", "late_or_lost", Decimal("-0.0000001")),
        ("text-embedding-3-small", "late_or_lost", Decimal("0.0000001")),
    ]
