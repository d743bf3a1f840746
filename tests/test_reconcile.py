"""`costroll reconcile` holds the published costs against OpenAI's cost export, line by line; nothing cancels out.

The warehouse of these tests, at list prices in USD per million tokens: gpt-4o-mini 0.15 in, 0.075 cached, 0.60 out;
in batch 0.075 in, 0.30 out; fine-tuned 0.30 in, 1.20 out.

    2025-11-21  gpt-4o-mini standard  600,000 uncached 0.09   400,000 cached 0.03   100,000 out 0.06
                gpt-4o-mini batch   1,000,000 uncached 0.075                        100,000 out 0.03
                two fine-tuned models, each 100,000 in 0.03 and 10,000 out 0.012
    2025-11-22  gpt-4o-mini standard  100,000 uncached 0.015
    2025-11-24  gpt-9-secret            1,000 uncached and 10 out, without a price
    2025-11-30  gpt-4o-mini standard  1,000,000 uncached 0.15
"""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard

from etl.cli import exit_code_of
from etl.errors import UsageError
from etl.framing import Input
from etl.reconciling import Reconciliation, Tolerance, Witnesses, reconcile
from etl.schema import polars_schema
from etl.statements import Dimensions, Statement, StatementFile, combined
from etl.statements.files import read as read_statement
from etl.statements.line_items import parse

MINI = "gpt-4o-mini-2024-07-18"
OLD_HEADER = (
    "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id,organization_id,"
    "organization_name"
)
NEW_HEADER = (
    "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,quantity_unit,line_item,user_id,"
    "api_key_id,project_id,organization_id,project_name,organization_name,user_email,api_source"
)
# Day, amount, line item; the bill that agrees with the warehouse to the last digit.
FRIDAY = [
    ("2025-11-21", "0.09", f"{MINI}, input"),
    ("2025-11-21", "0.03", f"{MINI}, cached input"),
    ("2025-11-21", "0.06", f"{MINI}, output"),
    ("2025-11-21", "0.075", f"batch api | {MINI}, input"),
    ("2025-11-21", "0.03", f"batch api | {MINI}, output"),
    ("2025-11-21", "0.06", f"ft-{MINI}, input"),
    ("2025-11-21", "0.024", f"ft-{MINI}, output"),
]
SATURDAY = [("2025-11-22", "0.015", f"{MINI}, input")]

Row = tuple[str, ...]


def chat(number: int, day: str, model: str, prompt: int, cached: int, completion: int) -> dict[str, Any]:
    created = int(datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp())
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    record = {"id": f"chatcmpl-{number}", "object": "chat.completion", "created": created, "model": model}
    return record | {"service_tier": "default", "metadata": {"project_id": "proj_a"}, "usage": usage}


def in_batch(body: dict[str, Any]) -> dict[str, Any]:
    response = {"status_code": 200, "request_id": "r", "body": body}
    return {"id": "batch_req_1", "custom_id": "c1", "response": response, "error": None}


def publish(root: Path, records: list[dict[str, Any]]) -> None:
    log = root.with_name("log.jsonl")
    log.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert exit_code_of(["--quiet", "--warehouse", str(root), "run", str(log)]) in (0, 3)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The warehouse described above, in a folder whose name needs care in patterns."""
    folder = tmp_path_factory.mktemp("month [1]") / "warehouse"
    records = [
        chat(1, "2025-11-21", MINI, 1_000_000, 400_000, 100_000),
        in_batch(chat(2, "2025-11-21", MINI, 1_000_000, 0, 100_000)),
        chat(3, "2025-11-21", f"ft:{MINI}:acme::one", 100_000, 0, 10_000),
        chat(4, "2025-11-21", f"ft:{MINI}:acme:named:two", 100_000, 0, 10_000),
        chat(5, "2025-11-22", MINI, 100_000, 0, 0),
        chat(6, "2025-11-24", "gpt-9-secret", 1_000, 0, 10),
        chat(7, "2025-11-30", MINI, 1_000_000, 0, 0),
    ]
    publish(folder, records)
    return folder


def csv_row(header: str, day: str, amount: str, line_item: str = "", project: str = "proj_a", **more: str) -> str:
    start = int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp())
    cells = {"start_time": str(start), "end_time": str(start + 86_400), "start_time_iso": f"{day}T00:00:00"}
    if amount:
        cells |= {"amount_value": amount, "amount_currency": "usd", "line_item": f'"{line_item}"' if line_item else ""}
        cells |= {"project_id": project, "organization_id": "org-1", "user_email": "owner@example.com"}
    return ",".join((cells | more).get(column, "") for column in header.split(","))


def bill(folder: Path, rows: list[Row], header: str = NEW_HEADER, name: str = "cost_november.csv") -> Path:
    file = folder / name
    file.write_text("".join(f"{line}\n" for line in [header, *(csv_row(header, *row) for row in rows)]))
    return file


def compare(root: Path, *arguments: object) -> tuple[int, dict[str, Any]]:
    """Exit code and the JSON answer."""
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("click.echo", lambda text="", **_: printed.append(str(text)))
        code = exit_code_of(["--warehouse", str(root), "--json", "reconcile", *map(str, arguments)])
    return code, json.loads(printed[-1])


def differing(answer: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The lines that differ: dimensions and the three amounts."""
    names = (
        "day",
        "model",
        "tier",
        "meter",
        "caching_status",
        "project_id",
        "ours_usd",
        "theirs_usd",
        "difference_usd",
    )
    return [
        tuple(number(line[name]) if name.endswith("_usd") else line[name] for name in names)
        for line in answer["lines"]
        if number(line["difference_usd"])
    ]


def number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


@pytest.mark.parametrize("header", [OLD_HEADER, NEW_HEADER])
def test_both_header_generations_agree_to_the_last_digit(root: Path, tmp_path: Path, header: str) -> None:
    code, answer = compare(root, bill(tmp_path, FRIDAY + SATURDAY, header))

    assert code == 0 and answer["is_reconciled"]
    assert len(answer["lines"]) == 8 and differing(answer) == []
    # 0.09 + 0.03 + 0.06 + 0.075 + 0.03 + 0.06 + 0.024 + 0.015
    assert Decimal(answer["ours_usd"]) == Decimal(answer["theirs_usd"]) == Decimal("0.384")
    assert answer["grains"][0]["dimensions"] == ["day", "model", "tier", "meter", "caching_status", "project_id"]


def test_columns_in_another_order_a_bom_crlf_and_compression_change_nothing(root: Path, tmp_path: Path) -> None:
    header = "extra,line_item,amount_currency,project_id,amount_value,start_time,organization_id,start_time_iso"
    text = "".join(f"{line}\r\n" for line in [header, *(csv_row(header, *row) for row in FRIDAY)])
    packed, squeezed = tmp_path / "a.csv.gz", tmp_path / "b.csv"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + text.encode()))
    squeezed.write_bytes(zstandard.compress(b"\xef\xbb\xbf" + text.encode()))

    for file in (packed, squeezed):
        code, answer = compare(root, file)
        assert code == 0 and answer["statement_lines"] == 7


def test_a_planted_cent_is_found_in_its_cell(root: Path, tmp_path: Path) -> None:
    rows = [*FRIDAY[:1], ("2025-11-21", "0.04", f"{MINI}, cached input"), *FRIDAY[2:]]
    code, answer = compare(root, bill(tmp_path, rows), "--tolerance", "0.009")

    assert code == 7
    cell = ("2025-11-21", MINI, "standard", "input", "cached", "proj_a")
    assert differing(answer) == [(*cell, Decimal("0.03"), Decimal("0.04"), Decimal("-0.01"))]


@pytest.mark.parametrize(("tolerance", "code"), [("0.010000000001", 0), ("0.01", 0), ("0.009999999999", 7), ("0", 7)])
def test_a_difference_equal_to_the_tolerance_is_within_it(
    root: Path, tmp_path: Path, tolerance: str, code: int
) -> None:
    rows = [("2025-11-21", "0.10", f"{MINI}, input"), *FRIDAY[1:]]

    assert compare(root, bill(tmp_path, rows), "--tolerance", tolerance)[0] == code


def test_the_default_tolerance_is_one_cent(root: Path, tmp_path: Path) -> None:
    for amount, code in (("0.10", 0), ("0.1000000000001", 7)):
        assert compare(root, bill(tmp_path, [("2025-11-21", amount, f"{MINI}, input"), *FRIDAY[1:]]))[0] == code


def test_opposite_errors_do_not_cancel(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two dimes, one too much and one too little: the total is right, the bill is not."""
    rows = [
        ("2025-11-21", "0.19", f"{MINI}, input"),
        *FRIDAY[1:3],
        ("2025-11-21", "-0.025", f"batch api | {MINI}, input"),
    ]
    code = exit_code_of(["--warehouse", str(root), "reconcile", str(bill(tmp_path, [*rows, *FRIDAY[4:]]))])

    printed = capsys.readouterr().out.splitlines()
    assert code == 7
    assert printed[-2] == "differences without their signs 0.20 USD; lines beyond the tolerance: 2"
    assert printed[-1] == "difference 0.00 USD over 7 lines: within the tolerance of 0.01, but 2 lines are beyond it"


def test_amounts_keep_their_35_decimals(root: Path, tmp_path: Path) -> None:
    rows = [("2025-11-21", "0.09000000000000000000000000000000007", f"{MINI}, input"), *FRIDAY[1:]]
    code, answer = compare(root, bill(tmp_path, rows))

    assert code == 0
    assert Decimal(answer["difference_usd"]) == Decimal("-0.00000000000000000000000000000000007")
    assert answer["theirs_usd"].endswith("36900000000000000000000000000000007")


def test_an_amount_may_have_an_exponent(root: Path, tmp_path: Path) -> None:
    """0.015 + 4.5e-06 = 0.0150045"""
    code, answer = compare(root, bill(tmp_path, [*SATURDAY, ("2025-11-22", "4.5e-06", f"{MINI}, output")]))

    assert code == 0
    assert Decimal(answer["theirs_usd"]) == Decimal("0.0150045")
    assert Decimal(answer["difference_usd"]) == Decimal("-0.0000045")


def test_a_blank_day_is_covered_and_has_no_line(root: Path, tmp_path: Path) -> None:
    code, answer = compare(root, bill(tmp_path, [*SATURDAY, ("2025-11-23", "")]))

    assert code == 0 and len(answer["lines"]) == 1
    coverage = answer["coverage"]
    assert coverage["days"] == ["2025-11-22", "2025-11-23"] and coverage["blank_days"] == ["2025-11-23"]
    assert coverage["missing_from_ours"] == [] and coverage["missing_from_theirs"] == []


def test_days_missing_on_either_side_are_named_and_count_in_full(root: Path, tmp_path: Path) -> None:
    """The bill has the 20th, which we lack, and lost the 22nd, which we have; the 24th and 30th are outside."""
    code, answer = compare(root, bill(tmp_path, [("2025-11-20", "0.5", f"{MINI}, input"), *FRIDAY, ("2025-11-23", "")]))

    assert code == 7
    assert answer["coverage"]["missing_from_ours"] == ["2025-11-20"]
    assert answer["coverage"]["missing_from_theirs"] == ["2025-11-22"]
    assert answer["coverage"]["our_days_outside"] == ["2025-11-24", "2025-11-30"]
    cell = (MINI, "standard", "input", "uncached", "proj_a")
    assert differing(answer) == [
        ("2025-11-20", *cell, None, Decimal("0.5"), Decimal("-0.5")),
        ("2025-11-22", *cell, Decimal("0.015"), None, Decimal("0.015")),
    ]
    assert Decimal(answer["difference_usd"]) == Decimal("-0.485")


def test_what_we_could_not_price_is_listed_and_counts_as_nothing(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("2025-11-24", "0.002", "gpt-9-secret, input")]
    file = bill(tmp_path, rows)
    code, answer = compare(root, file)
    exit_code_of(["--warehouse", str(root), "reconcile", str(file)])

    assert code == 0  # a fifth of a cent
    billed, unbilled = answer["lines"]
    assert billed["ours_usd"] is None and billed["unpriced"] == "1000 tokens" and billed["ours_quantity"] == 1000
    assert Decimal(billed["difference_usd"]) == Decimal("-0.002")
    assert unbilled["meter"] == "output" and unbilled["unpriced"] == "10 tokens" and unbilled["theirs_usd"] is None
    printed = capsys.readouterr().out
    assert "unpriced: 1,000 tokens" in printed and "unpriced: 10 tokens, not billed" in printed


def test_a_line_that_is_not_understood_keeps_its_words_and_its_amount(root: Path, tmp_path: Path) -> None:
    rows = [*SATURDAY, ("2025-11-22", "0.25", f"evals | {MINI}, input")]
    code, answer = compare(root, bill(tmp_path, rows))

    assert code == 7
    [line] = [line for line in answer["lines"] if not line["is_understood"]]
    assert line["line_items"] == f"evals | {MINI}, input" and line["ours_usd"] is None
    assert Decimal(line["difference_usd"]) == Decimal("-0.25") == Decimal(answer["difference_usd"])


@pytest.mark.parametrize(("project", "grain"), [("", ["day"]), ("proj_a", ["day", "project_id"])])
def test_a_bill_without_line_items_is_compared_by_day_or_by_project(
    root: Path, tmp_path: Path, project: str, grain: list[str]
) -> None:
    """The Friday costs 0.09 + 0.03 + 0.06 + 0.075 + 0.03 + 0.06 + 0.024 = 0.369."""
    code, answer = compare(root, bill(tmp_path, [("2025-11-21", "0.369", "", project)]))

    assert code == 0 and answer["grains"] == [{"dimensions": grain, "days": ["2025-11-21"]}]
    [line] = answer["lines"]
    assert (line["model"], line["meter"], line["project_id"]) == (None, None, project or None)


def test_each_day_is_compared_as_finely_as_that_day_allows(root: Path, tmp_path: Path) -> None:
    _, answer = compare(root, bill(tmp_path, [*FRIDAY, ("2025-11-22", "0.015", "", "")]))

    assert [(len(grain["dimensions"]), grain["days"]) for grain in answer["grains"]] == [
        (6, ["2025-11-21"]),
        (1, ["2025-11-22"]),
    ]
    assert differing(answer) == []


def test_a_line_that_says_less_takes_what_the_exact_lines_leave(root: Path, tmp_path: Path) -> None:
    """`batch api | <model>` names no direction: it takes batch input and output, 0.075 + 0.03."""
    rows = [*FRIDAY[:3], ("2025-11-21", "0.105", f"batch api | {MINI}"), *FRIDAY[5:]]
    code, answer = compare(root, bill(tmp_path, rows))

    assert code == 0 and differing(answer) == []
    [line] = [line for line in answer["lines"] if line["tier"] == "batch"]
    assert line["over"] == "meter caching_status" and Decimal(line["ours_usd"]) == Decimal("0.105")


def test_the_api_page_gives_the_same_as_the_csv(root: Path, tmp_path: Path) -> None:
    start = int(datetime(2025, 11, 22, tzinfo=UTC).timestamp())
    result = {
        "object": "organization.costs.result",
        "amount": {"value": "0.015000000000000000000000000000000007", "currency": "usd"},
        "line_item": f"{MINI}, input",
        "project_id": "proj_a",
        "quantity": 100.0,
        "quantity_unit": "1000_tokens",
    }
    buckets = [
        {"object": "bucket", "start_time": start, "end_time": start + 86_400, "results": [result]},
        {"object": "bucket", "start_time": start + 86_400, "end_time": start + 172_800, "results": []},
    ]
    page = tmp_path / "costs.json"
    page.write_text(json.dumps({"object": "page", "data": buckets, "has_more": False}, indent=2))
    code, answer = compare(root, page)

    assert code == 0 and answer["coverage"]["blank_days"] == ["2025-11-23"]
    [line] = answer["lines"]
    assert Decimal(line["theirs_quantity"]) == line["ours_quantity"] == 100_000
    assert Decimal(answer["difference_usd"]) == Decimal("-0.000000000000000000000000000000000007")


def test_the_example_of_the_documentation(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What docs/reconcile.md shows is what is printed."""
    rows = [*FRIDAY[:1], ("2025-11-21", "0.05", f"{MINI}, cached input"), *FRIDAY[2:], *SATURDAY]
    rows += [("2025-11-22", "0.07", "web search tool calls"), ("2025-11-23", "")]
    file = bill(tmp_path, rows, name="cost_2025-11-21_2025-11-24.csv")
    code = exit_code_of(["--warehouse", str(root), "reconcile", str(file)])

    page = (Path(__file__).parent.parent / "docs" / "reconcile.md").read_text()
    assert code == 7
    assert capsys.readouterr().out.replace(f"{tmp_path}/", "") in page


def test_the_csv_file_holds_every_line(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "lines.csv"
    exit_code_of(["--warehouse", str(root), "reconcile", str(bill(tmp_path, FRIDAY)), "--csv", str(target)])

    found = pl.read_csv(target, infer_schema=False)
    assert found.height == 7
    assert found.filter(pl.col("caching_status") == "cached")["ours_usd"].to_list() == ["0.030000000000"]
    # On the screen only what differs is shown, and here nothing does; --all shows the rest.
    assert MINI not in capsys.readouterr().out
    exit_code_of(["--warehouse", str(root), "reconcile", str(bill(tmp_path, FRIDAY)), "--all"])
    assert capsys.readouterr().out.count(MINI) == 7


def test_accounts_are_named_and_one_can_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "two accounts"
    acme, other = chat(1, "2025-11-22", MINI, 100_000, 0, 0), chat(2, "2025-11-22", MINI, 200_000, 0, 0)
    publish(root, [{"account_id": "acme", "response": acme}, {"account_id": "other", "response": other}])
    file = bill(tmp_path, SATURDAY)

    assert compare(root, file, "--account", "acme")[0] == 0
    code, answer = compare(root, file)  # 0.015 + 0.03
    assert code == 7 and Decimal(answer["difference_usd"]) == Decimal("0.03")
    exit_code_of(["--warehouse", str(root), "reconcile", str(file)])
    assert "2 are compared together: acme, other" in capsys.readouterr().out
    assert exit_code_of(["--warehouse", str(root), "reconcile", str(file), "--account", "nobody"]) == 2
    assert "there is acme, other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"amount_value": "0.0.9"}, ":3: amount_value '0.0.9' is no number"),
        ({"amount_value": "NaN"}, ":3: amount_value 'NaN' is no number"),
        ({"amount_value": "1e999"}, ":3: amount_value '1e999' is no number"),
        ({"quantity": "many"}, ":3: quantity 'many' is no number"),
        ({"amount_currency": "eur"}, ":3: the currency is 'eur'; Costroll compares US dollars only"),
        ({"amount_currency": ""}, ":3: the amount has no currency; Costroll compares US dollars only"),
        ({"start_time": "1763769600000"}, ":3: start_time '1763769600000' is no time in seconds since 1970"),
        ({"start_time": ""}, ":3: start_time '' is no time in seconds since 1970"),
        ({"end_time": "1766275200"}, ":3: from 1763769600 to 1766275200 is not inside one UTC day"),
        ({"user_id": "one,two"}, ":3: 18 fields, where the header has 17"),
    ],
)
def test_a_row_that_cannot_be_read_stops_everything_and_is_named(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str], message: str
) -> None:
    file = tmp_path / "cost_bad.csv"
    rows = [csv_row(NEW_HEADER, *FRIDAY[0]), csv_row(NEW_HEADER, *SATURDAY[0], **change)]
    file.write_text("".join(f"{line}\n" for line in [NEW_HEADER, *rows]))

    assert exit_code_of(["--warehouse", str(root), "reconcile", str(file)]) == 2
    printed = capsys.readouterr()
    assert f"{file}{message}" in printed.err and printed.out == ""


def test_a_last_row_that_may_be_cut_short_is_refused(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cost_torn.csv"
    start = int(datetime(2025, 11, 22, tzinfo=UTC).timestamp())
    file.write_text(f"start_time,amount_currency,amount_value\n{start},usd,0.01")

    assert exit_code_of(["--warehouse", str(root), "reconcile", str(file)]) == 2
    assert f"{file}:2: the last row has no line end and may be cut short" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"id":"chatcmpl-1","object":"chat.completion"}\n', "unknown_format: is JSON, but no page of OpenAI's"),
        (b"a,b\n1,2\n", "unknown_format: its columns (a, b) are those of no bill"),
        (b"start_time,amount_value\n", "unknown_format: has no column amount_currency"),
        (b"start_time,amount_value,amount_value\n", "invalid_header: line 1 names the column 'amount_value' twice"),
        (b"", "empty_file: "),
        (gzip.compress(NEW_HEADER.encode() * 90)[:-12], "truncated_gzip: "),
        ("start_time,amount_value".encode("utf-16"), "wrong_encoding: "),
    ],
)  # fmt: skip
def test_a_file_that_is_no_cost_export_is_refused_in_one_line(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    wrong, right = tmp_path / "wrong.csv", bill(tmp_path, FRIDAY)
    wrong.write_bytes(content)

    assert exit_code_of(["--warehouse", str(root), "reconcile", str(wrong), str(right)]) == 2
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{wrong}: {message}")
    assert last == "costroll: 1 of 2 statements cannot be read, so nothing was compared"


def test_an_empty_cost_export_covers_no_day(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cost_2025-11-01_2025-11-02.csv"
    file.write_text("start_time,end_time,start_time_iso,end_time_iso\n")

    assert exit_code_of(["--warehouse", str(root), "reconcile", str(file)]) == 2
    assert "covers no day" in capsys.readouterr().err


def test_what_overlapping_exports_repeat_counts_once(root: Path, tmp_path: Path) -> None:
    first = bill(tmp_path, FRIDAY + SATURDAY, name="cost_1.csv")
    second = bill(tmp_path, SATURDAY[::-1], OLD_HEADER, name="cost_2.csv")
    code, answer = compare(root, first, second)

    assert code == 0 and answer["repeated_lines"] == 1


def test_exports_that_bill_a_day_differently_are_refused_unless_their_projects_differ(tmp_path: Path) -> None:
    first = read(Input("1", bill(tmp_path, [("2025-11-22", "1", "", "proj_a")], name="cost_1.csv")))
    later = read(Input("2", bill(tmp_path, [("2025-11-22", "2", "", "proj_a")], name="cost_2.csv")))
    other = read(Input("3", bill(tmp_path, [("2025-11-22", "3", "", "proj_b")], name="cost_3.csv")))

    assert [line.amount_usd for line in combined([first, other]).lines] == [1, 3]
    with pytest.raises(UsageError, match="2025-11-22 is billed in 1 and, with other lines, in 2"):
        combined([first, later])


# What a line item says, as (model, tier, meter, caching status); sources: real exports and OpenAI's cookbook.
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{MINI}, input", (MINI, "standard", "input", "uncached")),
        (f"{MINI}, cached input", (MINI, "standard", "input", "cached")),
        (f"{MINI}, output", (MINI, "standard", "output", "not_applicable")),
        ("gpt-5.6-luna, cache writes", ("gpt-5.6-luna", "standard", "input", "cache_write")),
        ("gpt-5-nano, input_tokens", ("gpt-5-nano", "standard", "input", "uncached")),
        ("gpt-image-2-2026-04-21 text, input", ("gpt-image-2-2026-04-21", "standard", "input", "uncached")),
        ("gpt-image-2-2026-04-21 image, cached input", ("gpt-image-2-2026-04-21", "standard", "image_input", "cached")),
        ("gpt-image-1 image, output", ("gpt-image-1", "standard", "image_output", "not_applicable")),
        ("gpt-realtime-2.1-mini, audio input", ("gpt-realtime-2.1-mini", "standard", "audio_input", "uncached")),
        (f"ft-{MINI}, input", (f"ft:{MINI}", "standard", "input", "uncached")),
        (f"batch api | {MINI}, input", (MINI, "batch", "input", "uncached")),
        ("batch api | gpt-5_1-2025-11-13", ("gpt-5.1-2025-11-13", "batch", None, None)),
        ("batch api | gpt-image-2.5-sunburst image", ("gpt-image-2.5-sunburst", "batch", None, None)),
        ("flex | gpt-5-mini", ("gpt-5-mini", "flex", None, None)),
        ("priority | gpt-5, output", ("gpt-5", "priority", "output", "not_applicable")),
        ("Fast | gpt-5, output", ("gpt-5", "priority", "output", "not_applicable")),
        ("web search tool calls", (None, None, "web_search_calls", "not_applicable")),
        ("assistants api | file search", (None, None, "file_search_calls", "not_applicable")),
        ("input_tokens", (None, None, "input", None)),
        ("whisper", ("whisper", "standard", None, None)),
        ("", (None, None, None, None)),
    ],
)  # fmt: skip
def test_a_line_item_says_what_it_says(text: str, said: tuple[str | None, ...]) -> None:
    assert parse(text) == Dimensions(*said)


@pytest.mark.parametrize(
    "text",
    [
        f"evals | {MINI}, input",
        "gpt-live-1, voice session",
        "gpt-4o, images",
        "gpt-image-1 image, audio input",
        "gpt-image-1 image, cache writes",
        "some new fee",
        "a | b | c, input",
        "gpt-4o, input, twice",
    ],
)
def test_a_line_item_of_unknown_words_is_not_guessed_at(text: str) -> None:
    assert parse(text) == Dimensions(is_understood=False)


def test_a_model_without_direction_is_billed_by_its_unit() -> None:
    assert parse("whisper", "duration_seconds").meter == "transcription_seconds"


def read(source: Input) -> StatementFile:
    file = read_statement(source)
    assert file is not None
    return file


def rollup(day: date, **values: Any) -> dict[str, Any]:
    usual = {"provider": "openai", "model": MINI, "tier": "standard", "meter": "input", "caching_status": "uncached"}
    usual |= {
        "quantity": 1,
        "context_over_tokens": 0,
        "unit": "tokens",
        "price_status": "priced",
        "cost_usd": Decimal(1),
    }
    row: dict[str, Any] = dict.fromkeys(polars_schema("rollups")) | usual | values
    if row["cost_usd"] is None:
        row["price_status"] = "unpriced_unknown_tier"
    return row | {"day": day}


def held_against(
    tmp_path: Path, rows: list[dict[str, Any]], lines: list[Row], aliases: pl.DataFrame | None = None
) -> Reconciliation:
    statement: Statement = combined([read(Input("cost.csv", bill(tmp_path, lines)))])
    return reconcile(pl.DataFrame(rows, schema=polars_schema("rollups")), statement, CENT, Witnesses(aliases))


DAY = date(2025, 11, 22)
CENT = Tolerance(Decimal("0.01"))


def test_the_kinds_of_cache_writes_are_billed_as_one(tmp_path: Path) -> None:
    rows = [rollup(DAY, caching_status=status) for status in ("cache_write", "cache_write_12h")]
    result = held_against(tmp_path, rows, [("2025-11-22", "2", f"{MINI}, cache writes")])

    assert [cell.difference_usd for cell in result.cells] == [0]


def test_usage_of_ours_without_a_tier_or_a_model_is_a_line_of_its_own(tmp_path: Path) -> None:
    rows = [rollup(DAY), rollup(DAY, tier=None, cost_usd=None), rollup(DAY, model=None, tier=None, cost_usd=None)]
    result = held_against(tmp_path, rows, [("2025-11-22", "1", f"{MINI}, input")])

    assert [(cell.values[:2], cell.theirs_usd, bool(cell.unpriced)) for cell in result.cells] == [
        ((None, None), None, True),
        ((MINI, None), None, True),
        ((MINI, "standard"), 1, False),
    ]


def test_a_dimension_that_we_lack_on_a_day_is_not_compared(tmp_path: Path) -> None:
    """Our log has no projects, the bill has two: compared without them."""
    lines = [("2025-11-22", "0.4", f"{MINI}, input", "proj_a"), ("2025-11-22", "0.6", f"{MINI}, input", "proj_b")]
    result = held_against(tmp_path, [rollup(DAY)], lines)

    assert list(result.grains) == [("model", "tier", "meter", "caching_status")]
    assert [cell.difference_usd for cell in result.cells] == [0]


def test_other_providers_and_mere_counts_are_left_out(tmp_path: Path) -> None:
    rows = [
        rollup(DAY),
        rollup(DAY, provider="anthropic", cost_usd=Decimal(7)),
        rollup(DAY, meter="requests", unit="requests", price_status="not_charged", cost_usd=Decimal(0)),
    ]
    result = held_against(tmp_path, rows, [("2025-11-22", "1", f"{MINI}, input")])

    assert len(result.cells) == 1 and result.difference_usd == 0
    assert result.coverage.other_providers == ("anthropic",)


@pytest.mark.parametrize(("ours", "theirs"), [("gpt-4o", "gpt-4o-2024-08-06"), ("gpt-4o-2024-08-06", "gpt-4o")])
def test_the_bill_may_name_a_snapshot_where_we_have_its_alias(tmp_path: Path, ours: str, theirs: str) -> None:
    moved = datetime(2024, 10, 2)  # times in tables are naive UTC
    aliases = pl.DataFrame(
        [
            {"provider": "openai", "alias": "gpt-4o", "model": "gpt-4o-2024-05-13", "effective_to": moved},
            {"provider": "openai", "alias": "gpt-4o", "model": "gpt-4o-2024-08-06", "effective_from": moved},
        ],
        schema=polars_schema("aliases"),
    )
    lines = [("2025-11-22", "1", f"{theirs}, input")]

    assert len(held_against(tmp_path, [rollup(DAY, model=ours)], lines, aliases).cells) == 1
    # Two years earlier the alias stood for another snapshot.
    before = [("2024-09-22", "1", f"{theirs}, input")]
    early = DAY - timedelta(days=426)
    assert len(held_against(tmp_path, [rollup(early, model=ours)], before, aliases).cells) == 2


def test_an_exact_name_beats_an_alias(tmp_path: Path) -> None:
    rows = [rollup(DAY, model="gpt-4o", priced_model="gpt-4o-2024-08-06"), rollup(DAY, model="gpt-4o-2024-08-06")]
    lines = [("2025-11-22", "1", "gpt-4o, input"), ("2025-11-22", "1", "gpt-4o-2024-08-06, input")]

    assert [cell.difference_usd for cell in held_against(tmp_path, rows, lines).cells] == [0, 0]


def test_lines_add_up_to_the_total_whatever_matches(tmp_path: Path) -> None:
    """1 + 2 + 0.5 of ours less 0.25 + 0.125 + 9 of theirs = 3.5 - 9.375 = -5.875"""
    rows = [
        rollup(DAY),
        rollup(DAY, tier="flex", cost_usd=Decimal(2)),
        rollup(DAY + timedelta(2), cost_usd=Decimal("0.5")),
    ]
    lines = [
        ("2025-11-22", "0.25", f"{MINI}, input"),
        ("2025-11-22", "0.125", "a new fee of theirs"),
        ("2025-11-23", "9", "", ""),
        ("2025-11-24", ""),
    ]
    result = held_against(tmp_path, rows, lines)

    assert result.difference_usd == Decimal("-5.875")
    assert sum(cell.difference_usd for cell in result.cells) == Decimal("-5.875")
    # 0.75 + 2 + 0.125 + 9 + 0.5
    assert result.absolute_usd == Decimal("12.375")


def test_a_project_is_compared_only_where_every_record_names_one_of_the_bills(tmp_path: Path) -> None:
    """An application's own name for a project, or a record without one, must not tear a day apart."""
    log = tmp_path / "log.jsonl"
    call = '"object":"chat.completion","created":1749513600,"usage":{"prompt_tokens":1000000,"completion_tokens":0}'
    log.write_text(
        '{"timestamp":"2025-06-10T00:00:00Z","project":"search","response":{"id":"a","model":"gpt-4o-mini-2024-07-18",'
        + call
        + '}}\n{"id":"b","model":"o3-2025-04-16",'
        + call
        + "}\n"
    )
    bill = tmp_path / "cost_2025-06-10_2025-06-11.csv"
    bill.write_text(
        "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id,"
        "organization_id,organization_name\n"
        '1749513600,1749600000,,,0.15,usd,"gpt-4o-mini-2024-07-18, input",proj_1,org-1,Acme\n'
        '1749513600,1749600000,,,2.00,usd,"o3-2025-04-16, input",proj_1,org-1,Acme\n'
    )
    warehouse = tmp_path / "warehouse"
    assert exit_code_of(["run", "--warehouse", str(warehouse), str(log)]) == 0
    assert exit_code_of(["reconcile", "--warehouse", str(warehouse), str(bill)]) == 0  # 2.15 = 0.15 + 2.00
