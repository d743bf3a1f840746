"""What has no rate costs NULL, says why, and ends the run with 3; never 0, and never a neighbour's price.

Each record has 1,000 tokens in and 100 out, unless it says otherwise; gpt-4o-mini standard costs 0.15 in and 0.60 out
per million, so such a record costs 0.00021.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from etl import analyst
from etl.cli import exit_code_of
from tests.nights import costroll, write_jsonl

MINI = "gpt-4o-mini-2024-07-18"
NOON = 1_763_726_400  # 2025-11-21T12:00:00Z
PRICE = Decimal("0.00021")


def chat(request_id: str, model: str = MINI, **changes: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    record = {"id": request_id, "object": "chat.completion", "created": NOON, "model": model, "usage": usage}
    return record | changes


def with_details(request_id: str, model: str = MINI, **details: int) -> dict[str, Any]:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": details}
    return chat(request_id, model, usage=usage)


def bucket(**dimensions: Any) -> dict[str, Any]:
    """A day's aggregate over an account of its own."""
    result = {"object": "organization.usage.completions.result", "input_tokens": 1000, "output_tokens": 100}
    result |= {"num_model_requests": 1, "organization_id": "aggregated", **dimensions}
    return {"object": "bucket", "start_time": NOON - 43_200, "end_time": NOON + 43_200, "results": [result]}


def run(
    folder: Path, *records: Mapping[str, Any], name: str = "log.jsonl", options: tuple[str, ...] = ()
) -> tuple[int, str]:
    """One night with one file: its exit code and what it prints."""
    (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setattr(analyst, "build_database", lambda *_: None)  # these tests read the Parquet files
        patch.setenv("COSTROLL_TRACEBACK", "1")
        code = exit_code_of(
            ["run", "--threads", "1", "--warehouse", str(folder / "warehouse"), *options, str(folder / name)]
        )
    return code, out.getvalue()


def rollups(folder: Path) -> list[dict[str, Any]]:
    return pl.read_parquet(folder / "warehouse/current/rollups/*.parquet").to_dicts()


def charged(folder: Path, day: str) -> dict[tuple[str, str], tuple[str, Decimal | None]]:
    """Meter and caching status of everything of a day that could have a price, with its status and cost."""
    rows = [row for row in rollups(folder) if str(row["day"]) == day and row["meter"] != "requests"]
    return {(row["meter"], row["caching_status"]): (row["price_status"], row["cost_usd"]) for row in rows}


# A record without a price, and the status of its input and output.
UNPRICED = {
    "a model of one's own": (chat("m1", "my-own-model"), "unpriced_unknown_model"),
    "a later version of a known model": (chat("m2", "gpt-4o-mini-2030-01-01"), "unpriced_unknown_model"),
    "another case": (chat("m3", "GPT-4O-MINI-2024-07-18"), "unpriced_unknown_model"),
    "a space behind": (chat("m4", f"{MINI} "), "unpriced_unknown_model"),
    "a prefix of a known model": (chat("m5", "gpt-4o-m"), "unpriced_unknown_model"),
    "a fine-tune of no known base": (chat("m6", "ft:my-own-model:acme::1"), "unpriced_unknown_model"),
    "a word for no model": (chat("m7", "unknown"), "unpriced_unknown_model"),
    "an unknown tier": (chat("t1", service_tier="turbo"), "unpriced_unknown_tier"),
    "a tier this model is not sold in": (
        chat("t2", "gpt-3.5-turbo-0125", service_tier="priority"),
        "unpriced_unknown_tier",
    ),
    "before it was sold": (chat("b1", created=1_580_000_000), "unpriced_before_first_rate"),
    "provisioned": (chat("p1", service_tier="scale"), "unpriced_provisioned"),
    "complimentary": (chat("c1", service_tier="incentivized-tier"), "unpriced_complimentary"),
    "an aggregate over all models": (bucket(model=None, batch=False), "unpriced_unknown_model"),
    "an aggregate over all tiers": (bucket(model="gpt-4.1-2025-04-14", batch=None), "unpriced_unknown_tier"),
}


@pytest.fixture(scope="module")
def unpriced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpriced")
    code, _ = run(folder, *(record for record, _ in UNPRICED.values()), chat("good"))
    assert code == 3
    return folder


@pytest.mark.parametrize("case", UNPRICED)
def test_without_a_rate_the_cost_is_null_and_says_why(unpriced: Path, case: str) -> None:
    record, status = UNPRICED[case]
    inner = record["results"][0] if "results" in record else record
    mine = [
        row
        for row in rollups(unpriced)
        if row["model"] == inner["model"]
        and (row["price_status"] == status)
        and (row["source_kind"] == "aggregate") == ("results" in record)
    ]
    assert {(row["meter"], row["quantity"]) for row in mine} == {("input", 1000), ("output", 100)}
    for row in mine:
        assert row["cost_usd"] is None
        assert row["list_cost_usd"] is None
        assert row["rate_usd_per_million"] is None
        assert row["rate_id"] is None


def test_beside_them_what_has_a_price_is_priced(unpriced: Path) -> None:
    priced = [row for row in rollups(unpriced) if row["price_status"] == "priced_upper_bound" or row["cost_usd"]]
    assert {(row["model"], row["tier"]) for row in priced} == {(MINI, "standard")}
    assert sum(row["cost_usd"] for row in priced) == PRICE


def test_a_cost_is_null_when_and_only_when_it_is_unpriced_and_0_only_where_nothing_is_charged(unpriced: Path) -> None:
    for row in rollups(unpriced):
        assert (row["cost_usd"] is None) == row["price_status"].startswith("unpriced_"), row
        assert (row["cost_usd"] == 0) == (row["price_status"] == "not_charged") == (row["meter"] == "requests"), row


def test_a_meter_without_a_rate_leaves_the_others_priced(tmp_path: Path) -> None:
    """gpt-4o-mini hears nothing: 40 of its 1,000 tokens are audio. Its cached input had no price in August 2024."""
    early = with_details("early", cached_tokens=200) | {"created": 1_724_932_800}  # 2024-08-29T12:00:00Z

    code, printed = run(tmp_path, with_details("audio", audio_tokens=40), early)

    assert code == 3
    assert charged(tmp_path, "2025-11-21") == {
        ("audio_input", "uncached"): ("unpriced_no_rate", None),
        ("input", "uncached"): ("priced", Decimal("0.000144")),  # 960 x 0.15
        ("output", "not_applicable"): ("priced", Decimal("0.00006")),  # 100 x 0.60
    }
    assert charged(tmp_path, "2024-08-29") == {
        ("input", "cached"): ("unpriced_before_first_rate", None),
        ("input", "uncached"): ("priced", Decimal("0.00012")),  # 800 x 0.15
        ("output", "not_applicable"): ("priced", Decimal("0.00006")),
    }
    assert "unpriced_no_rate: 40 units have no price; see `costroll report unpriced`" in printed.splitlines()


# ------------------------------------------------------------------------------------------------------------- the exit


def test_an_unknown_model_is_told_once_and_again_when_there_is_more_of_it(tmp_path: Path) -> None:
    own = chat("x", "my-own-model")
    assert run(tmp_path, own, name="1.jsonl")[0] == 3
    assert run(tmp_path, own, name="1.jsonl")[0] == 0
    assert run(tmp_path, own, chat("y"), name="2.jsonl")[0] == 0  # known by now; what is new has a price
    assert run(tmp_path, chat("z", "my-own-model"), name="3.jsonl")[0] == 3


def test_what_was_paid_for_otherwise_or_given_raises_no_alarm(tmp_path: Path) -> None:
    provisioned, given = chat("p", service_tier="scale"), chat("c", service_tier="incentivized-tier")

    code, printed = run(tmp_path, provisioned, given, chat("good"))

    assert code == 0
    assert "unpriced_provisioned: 1,100 units have no price; see `costroll report unpriced`" in printed
    assert "unpriced_complimentary: 1,100 units have no price; see `costroll report unpriced`" in printed
    assert sum(row["cost_usd"] for row in rollups(tmp_path) if row["cost_usd"] is not None) == PRICE
    assert run(tmp_path, chat("p2", service_tier="scale"), chat("x", "my-own-model"), name="2.jsonl")[0] == 3


def test_a_night_of_nothing_but_unpriced_records_is_published(tmp_path: Path) -> None:
    """The sum of nothing is no cost, not a cost of nothing."""
    assert run(tmp_path, chat("x", "my-own-model"))[0] == 3
    assert {row["price_status"] for row in rollups(tmp_path)} == {"unpriced_unknown_model", "not_charged"}
    assert {row["cost_usd"] for row in rollups(tmp_path) if row["meter"] != "requests"} == {None}


def test_strict_publishes_nothing_when_something_has_no_price(tmp_path: Path) -> None:
    assert run(tmp_path, chat("x", "my-own-model"), chat("good"), options=("--strict",))[0] == 9
    assert not (tmp_path / "warehouse/current").exists()
    assert run(tmp_path, chat("p", service_tier="scale"), chat("good"), options=("--strict",))[0] == 0


def test_a_sum_says_what_of_it_rests_on_inferred_rates_and_what_is_a_bound(tmp_path: Path) -> None:
    """Batch: 600,000 at 0.075 published and 400,000 cached at 0.075 inferred; gpt-5.4 at 2.50 may hide more."""
    result = {"object": "organization.usage.completions.result", "output_tokens": 0, "num_model_requests": 1}
    mini = result | {
        "input_tokens": 1_000_000, "input_cached_tokens": 400_000, "model": "gpt-4o-mini-2024-07-18", "batch": True,
    }  # fmt: skip
    large = result | {"input_tokens": 1_000, "model": "gpt-5.4", "batch": False, "service_tier": "default"}
    day = {"object": "bucket", "start_time": 1775865600, "end_time": 1775952000, "results": [mini, large]}
    log = write_jsonl(tmp_path / "usage.jsonl", [day])
    assert costroll("run", log, "--warehouse", tmp_path / "w").code == 0

    for name in ("costs", "days", "models", "periods"):
        *_, total, bound, inferred = costroll("report", name, "--warehouse", tmp_path / "w").out.splitlines()
        assert total.startswith("total 0.0775 USD"), total
        assert bound == "of it 0.0025 USD are a lower bound: aggregates that may hide requests of long context"
        assert inferred == "of it 0.03 USD rest on inferred rates"
    assert costroll("report", "--html", tmp_path / "page.html", "--warehouse", tmp_path / "w").code == 0
    page = (tmp_path / "page.html").read_text()
    assert "0.0025 USD are a lower bound" in page and "0.03 USD rest on inferred rates" in page
    assert "of it" not in costroll("report", "--since", "2026-05-01", "--warehouse", tmp_path / "w").out
