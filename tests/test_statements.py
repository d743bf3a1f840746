"""Bills are read exactly as they were written, whoever wrote them; each amount here can be seen in its text."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from etl.errors import InputRefused, UsageError
from etl.framing import Input
from etl.statements import Dimensions, StatementFile, combined
from etl.statements.anthropic_costs import model_id
from etl.statements.files import read
from tests.nights import costroll

DAY = date(2025, 11, 21)
CONSOLE = (
    "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type,"
    "inference_geo,speed,api_key_id,api_key_status\n"
)


def of(folder: Path, text: str, name: str = "bill.csv") -> StatementFile:
    path = folder / name
    path.write_text(text)
    file = read(Input(name, path))
    assert file is not None
    return file


def said(file: StatementFile) -> list[tuple[Decimal, Dimensions]]:
    return [(line.amount_usd, line.dimensions) for line in file.lines]


def report(*results: dict[str, Any], end: str = "2025-11-22T00:00:00Z") -> str:
    usual = {"currency": "USD", "cost_type": "tokens", "token_type": "output_tokens", "service_tier": "standard"}
    full = [usual | {"model": "claude-sonnet-4-5-20250929", "description": "words"} | result for result in results]
    return json.dumps(
        {"data": [{"starting_at": "2025-11-21T00:00:00Z", "ending_at": end, "results": full}], "has_more": False}
    )


def test_anthropics_cost_report_is_in_cents(tmp_path: Path) -> None:
    """123.45 cents are 1.2345 USD, and every decimal is kept."""
    file = of(tmp_path, report({"amount": "123.45"}, {"amount": "0.00000000000000000000000000000000001"}), "cost.json")

    assert file.provider == "anthropic" and file.days == {DAY}
    assert [line.amount_usd for line in file.lines] == [Decimal("1.2345"), Decimal("1E-37")]
    assert file.lines[0].dimensions == Dimensions("claude-sonnet-4-5-20250929", "standard", "output", "not_applicable")


def test_anthropics_kinds_of_tokens_are_meters_and_caching_statuses(tmp_path: Path) -> None:
    kinds = {
        "uncached_input_tokens": ("input", "uncached"),
        "cache_read_input_tokens": ("input", "cached"),
        "cache_creation.ephemeral_5m_input_tokens": ("input", "cache_write_5m"),
        "cache_creation.ephemeral_1h_input_tokens": ("input", "cache_write_1h"),
        "output_tokens": ("output", "not_applicable"),
    }
    file = of(tmp_path, report(*({"amount": "1", "token_type": kind} for kind in kinds)), "cost.json")

    found = [(line.dimensions.meter, line.dimensions.caching_status) for line in file.lines]
    assert found == list(kinds.values())


def test_what_anthropic_bills_apart_is_a_tool_or_is_listed_as_not_understood(tmp_path: Path) -> None:
    fee = {"amount": "2.0000", "cost_type": "web_search", "token_type": None, "model": None, "service_tier": None}
    file = of(tmp_path, report(fee, fee | {"cost_type": "session_usage"}), "cost.json")

    assert said(file) == [
        (Decimal("0.02"), Dimensions(meter="web_search_calls", caching_status="not_applicable")),
        (Decimal("0.02"), Dimensions(is_understood=False)),
    ]


@pytest.mark.parametrize(
    ("result", "end", "message"),
    [
        ({"amount": None}, "2025-11-22T00:00:00Z", "cost.json:1: a result without an amount"),
        ({"amount": "1", "currency": "EUR"}, "2025-11-22T00:00:00Z", "cost.json:1: the currency is 'EUR'"),
        ({"amount": "1"}, "2025-11-28T00:00:00Z", "is not one UTC day"),
    ],
)
def test_a_cost_report_that_cannot_be_read_whole_is_refused(
    tmp_path: Path, result: dict[str, Any], end: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        of(tmp_path, report(result, end=end), "cost.json")


def test_the_consoles_cost_csv_is_in_dollars_rounded_to_cents_with_models_as_people_call_them(tmp_path: Path) -> None:
    rows = [
        "2025-11-21,Claude Sonnet 4.5,Default,nightly,message,≤ 200k,input_no_cache,4.50,4.50,token,global,,k,active",
        "2025-11-21,Claude Haiku 4.5,Default,nightly,batch,≤ 200k,output,0.30,0.40,token,global,,k,archived",
        "2025-11-22,Claude Future 9,Default,nightly,message,≤ 200k,output,0.10,0.10,token,global,,k,archived",
        "2025-11-22,,Default,nightly,message,,,0.20,0.20,web_search,global,,k,active",
    ]
    file = of(tmp_path, CONSOLE + "".join(f"{row}\n" for row in rows))

    assert said(file) == [
        (Decimal("4.50"), Dimensions("claude-sonnet-4-5", "standard", "input", "uncached")),
        (Decimal("0.30"), Dimensions("claude-haiku-4-5", "batch", "output", "not_applicable")),
        (Decimal("0.10"), Dimensions(is_understood=False)),
        (Decimal("0.20"), Dimensions(meter="web_search_calls", caching_status="not_applicable")),
    ]
    assert {line.rounding_usd for line in file.lines} == {Decimal("0.005")}
    assert file.lines[1].list_usd == Decimal("0.40")


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("Claude Opus 4", "claude-opus-4-0"),
        ("Claude Opus 4.1", "claude-opus-4-1"),
        ("Claude Sonnet 3.7", "claude-3-7-sonnet-latest"),
        ("Claude Haiku 3", "claude-3-haiku-20240307"),
        ("claude-opus-4-1-20250805", "claude-opus-4-1-20250805"),
        ("Claude Instant 1.2", None),
    ],
)
def test_a_display_name_means_one_model_or_none(name: str, model: str | None) -> None:
    assert model_id(name) == model


def test_a_plain_statement_says_as_much_as_it_likes(tmp_path: Path) -> None:
    text = (
        "day,amount_usd,provider,model,tier,meter,caching_status,quantity,unit,kind,description\n"
        "2025-11-21,1.23456789,acme,m-1,batch,input,cached,1000,tokens,,a line\n"
        "2025-11-21,-5.00,acme,,,,,,,credit,goodwill\n"
        "2025-11-22,,acme,,,,,,,,\n"
    )
    file = of(tmp_path, text)

    assert file.provider == "acme" and file.days == {DAY, DAY + timedelta(1)} and len(file.sha256) == 64
    assert said(file) == [
        (Decimal("1.23456789"), Dimensions("m-1", "batch", "input", "cached")),
        (Decimal("-5.00"), Dimensions(is_understood=False)),
    ]
    # Only what has no more than two decimals may have been rounded to cents.
    assert [line.rounding_usd for line in file.lines] == [0, Decimal("0.005")]


def test_a_plain_statement_may_bill_several_days_together(tmp_path: Path) -> None:
    """Two stretches that touch the 2nd are one: nobody can tell what of that day is in which."""
    text = "first_day,last_day,amount_usd\n2025-11-01,2025-11-02,1\n2025-11-02,2025-11-03,2\n2025-11-05,2025-11-05,4\n"
    whole = combined([of(tmp_path, text)])
    first = date(2025, 11, 1)

    assert whole.days == {first, first + timedelta(1), first + timedelta(2), first + timedelta(4)}
    assert [whole.billed_on(first + timedelta(at)).day for at in range(5)] == [1, 1, 1, 4, 5]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("2025-13-01,1,,", "bill.csv:2: day '2025-13-01' is no UTC day such as 2025-11-21"),
        ("2025-11-21,1.0.0,,", "amount_usd '1.0.0' is no number"),
        ("2025-11-21,1,tokens,", "meter 'tokens' is none of input, output"),
        ("2025-11-21,1,,gift", "kind 'gift' is none of usage, fee, credit, discount, tax"),
        ("2025-11-21,,input,", "bill.csv:2: amount_usd is blank; a line of the bill has an amount"),
    ],
)
def test_a_plain_statement_that_cannot_be_read_is_refused(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        of(tmp_path, f"day,amount_usd,meter,kind\n{row}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("day,amount_usd,currency\n2025-11-21,1,EUR\n", "bill.csv:2: the currency is 'EUR'; Costroll compares US"),
        ("day,amount_usd,currency\n2025-11-21,1,\n", "bill.csv:2: the amount has no currency"),
        (
            "day,first_day,last_day,amount_usd\n2025-11-21,2025-11-01,2025-11-30,1\n",
            "bill.csv:2: has a day and a range of days; give one of them",
        ),
    ],
)
def test_a_plain_statement_of_other_money_or_of_two_times_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        of(tmp_path, text)


def test_a_plain_statement_may_say_that_it_is_in_dollars(tmp_path: Path) -> None:
    assert len(of(tmp_path, "day,amount_usd,currency\n2025-11-21,1,usd\n").lines) == 1


def test_spend_of_gateways_is_summed_by_day_and_model(tmp_path: Path) -> None:
    """0.1 + 0.2 is 0.3 here; usage with the user's own key is billed elsewhere and is not in `cost_total`."""
    text = (
        "created_at,generation_id,cost_total,byok_usage_inference,model_permaslug,provider_name,variant\n"
        "2025-11-21 12:00:00.713,g-1,0.1,0,openai/gpt-4o-mini,OpenAI,standard\n"
        "2025-11-21 12:00:01.713,g-2,0.2,0,openai/gpt-4o-mini,OpenAI,standard\n"
        "2025-11-21 12:00:02.713,g-3,0,0.9,openai/gpt-4o-mini,OpenAI,free\n"
    )
    generations = of(tmp_path, text)
    daily = of(tmp_path, '"Date","Slug","Usage","BYOK Usage"\n"2025-11-21 00:00:00","openai/gpt-4o-mini","0.3","0"\n')

    expected = (Decimal("0.3"), Dimensions(model="gpt-4o-mini", tier="standard"))
    assert said(generations) == [expected, (Decimal(0), Dimensions(model="gpt-4o-mini", tier="free"))]
    assert said(daily) == [expected] and combined([daily]).provider == "openai"


def test_a_provider_that_nobody_billed_is_refused_rather_than_compared_with_nothing(tmp_path: Path) -> None:
    (tmp_path / "bill.csv").write_text("day,amount_usd\n2025-11-21,2.80\n")
    file = read(Input("bill.csv", tmp_path / "bill.csv"))
    assert file is not None

    with pytest.raises(UsageError, match="no line is of --provider opnai: these are bills of openai"):
        combined([file], "opnai")


def test_of_a_gateways_bill_one_provider_is_compared_at_a_time(tmp_path: Path) -> None:
    """LiteLLM's spend, its own estimate: 0.00018 of OpenAI's models, 0.5 of Anthropic's."""
    header = "request_id,spend,startTime,model,custom_llm_provider\n"
    rows = "a,0.00018,2025-11-21 12:00:00.100,gpt-4o-mini,openai\n"
    rows += "b,0.5,2025-11-21 12:00:00.100,anthropic/claude-x,anthropic\n"
    file = of(tmp_path, header + rows)

    with pytest.raises(
        UsageError, match="bills of anthropic and openai: reconcile one provider at a time, with --prov"
    ):
        combined([file])
    for provider, amount in (("openai", "0.00018"), ("anthropic", "0.5")):
        [line] = combined([file], provider).lines
        assert line.amount_usd == Decimal(amount)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("start_time,end_time,start_time_iso,end_time_iso,model,input_tokens\n", "completions_usage.csv"),
        ("start_time,end_time,start_time_iso,end_time_iso\n", "completions_usage.csv"),
        ('{"object":"bucket","results":[{"object":"organization.usage.completions.result"}]}', "usage.json"),
        ('{"data":[{"starting_at":"2025-11-21T00:00:00Z","results":[{"uncached_input_tokens":1}]}]}', "usage.json"),
    ],
)
def test_a_usage_export_is_no_bill_but_a_witness(tmp_path: Path, text: str, name: str) -> None:
    path = tmp_path / name
    path.write_text(text)

    assert read(Input(name, path)) is None


def test_bills_of_two_providers_are_not_one_bill(tmp_path: Path) -> None:
    ours = of(tmp_path, "day,amount_usd\n2025-11-21,1\n")
    other = of(tmp_path, "day,amount_usd,provider\n2025-11-21,1,acme\n")

    with pytest.raises(UsageError, match="these are bills of acme and openai: reconcile one provider at a time"):
        combined([ours, other])


def test_a_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="line 1 names the column 'amount_usd' twice"):
        of(tmp_path, "day,amount_usd,amount_usd\n2025-11-21,1,2\n")


def messages(folder: Path) -> Path:
    """A warehouse with two messages of 2025-11-21, at the list prices of Haiku 4.5, in USD per million.

    1,000,000 uncached at 1 = 1.00; 2,000,000 cache read at 0.10 = 0.20; 400,000 written for 5 minutes at 1.25 = 0.50;
    100,000 out at 5 = 0.50. In batch: 200,000 uncached at 0.50 = 0.10; 40,000 out at 2.50 = 0.10.
    """
    columns = "occurred_at,request_id,provider,model,tier,input_uncached_tokens,input_cached_tokens"
    columns += ",input_cache_write_5m_tokens,output_tokens"
    rows = ["a,anthropic,claude-haiku-4-5-20251001,standard,1000000,2000000,400000,100000"]
    rows += ["b,anthropic,claude-haiku-4-5-20251001,batch,200000,0,0,40000"]
    log = folder / "log.csv"
    log.write_text("".join(f"{line}\n" for line in [columns, *(f"2025-11-21T12:00:00Z,{row}" for row in rows)]))
    assert costroll("run", log, "--warehouse", folder / "w").code == 0
    return folder / "w"


def test_our_rating_meets_anthropics_cost_report_in_cents(tmp_path: Path) -> None:
    warehouse = messages(tmp_path)
    haiku = {"model": "claude-haiku-4-5-20251001"}
    batch = haiku | {"service_tier": "batch"}
    page = tmp_path / "cost.json"
    page.write_text(
        report(
            haiku | {"amount": "100.00", "token_type": "uncached_input_tokens"},
            haiku | {"amount": "20.00", "token_type": "cache_read_input_tokens"},
            haiku | {"amount": "50.0000", "token_type": "cache_creation.ephemeral_5m_input_tokens"},
            haiku | {"amount": "55.00", "token_type": "output_tokens"},
            batch | {"amount": "10", "token_type": "uncached_input_tokens"},
            batch | {"amount": "10", "token_type": "output_tokens"},
            {"amount": "2", "cost_type": "web_search", "token_type": None, "model": None, "service_tier": None},
        )
    )
    ran = costroll("--warehouse", warehouse, "--json", "reconcile", page, "--tolerance", "0")

    # Output is billed at 0.55, a tenth above 0.50; and two cents of searches are in no token log.
    assert ran.code == 7
    found = {one["class"]: Decimal(one["amount_usd"]) for one in ran.said["findings"]}
    assert found == {"regional_uplift": Decimal("-0.05"), "tool_fees": Decimal("-0.02")}


def test_our_rating_meets_the_consoles_cost_csv_up_to_its_cents(tmp_path: Path) -> None:
    """The names are those that people use; 1.00 + 0.20 + 0.50 + 0.50 + 0.10 + 0.10 = 2.40."""
    warehouse = messages(tmp_path)
    rows = [
        ("Claude Haiku 4.5", "message", "input_no_cache", "1.00"),
        ("Claude Haiku 4.5", "message", "input_cache_read", "0.20"),
        ("Claude Haiku 4.5", "message", "input_cache_write_5m", "0.50"),
        ("Claude Haiku 4.5", "message", "output", "0.50"),
        ("Claude Haiku 4.5", "batch", "input_no_cache", "0.10"),
        ("Claude Haiku 4.5", "batch", "output", "0.10"),
    ]
    text = "".join(f"2025-11-21,{m},Default,k,{u},≤ 200k,{t},{c},{c},token,global,,k,active\n" for m, u, t, c in rows)
    bill = tmp_path / "claude_api_cost.csv"
    bill.write_text(CONSOLE + text)

    ran = costroll("--warehouse", warehouse, "--json", "reconcile", bill, "--tolerance", "0")
    assert ran.code == 0 and ran.said["findings"] == [] and Decimal(ran.said["theirs_usd"]) == Decimal("2.40")
