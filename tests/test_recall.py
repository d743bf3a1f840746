"""The quantities behind rollups: where the rollups tell enough no record is read, and rating them gives the same.

One model `m` in two bands, and calls of it on one day: USD 1 per million prompt tokens, and 2 above 200,000.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from etl import recall
from etl.booking import book, published_whole
from etl.manifest import Snapshot
from etl.quantities import aggregate
from etl.rate_card import RateCard, change_instants, thresholds
from etl.rate_moves import summed_cells
from etl.rate_publishing import write_card
from etl.rating import rate
from etl.recall import quantities_behind
from etl.schema import polars_schema
from etl.warehouse import Warehouse
from tests import small_warehouse
from tests.small_card import SECOND_VERSION, card, then

DAY = date(2026, 1, 10)
BANDS = """
    m  standard  input   uncached        0       2025-01-01  -  1
    m  standard  input   uncached        200000  2025-01-01  -  2
    m  standard  input   cached          0       2025-01-01  -  0.5
    m  standard  output  not_applicable  0       2025-01-01  -  4
"""
BAND_0 = "openai/m/standard/input/uncached>0@2025-01-01#1"
BAND_200 = "openai/m/standard/input/uncached>200000@2025-01-01#1"


def call(prompt: int, at: time = time(12), cached: int | None = 0, **changes: Any) -> dict[str, Any]:
    """A call with so many prompt tokens, none of them cached unless it is said."""
    quantities = {"input_uncached_tokens": prompt - (cached or 0), "input_cached_tokens": cached}
    made = {"model": "m", "prompt_tokens": prompt, "occurred_at": datetime.combine(DAY, at), "is_estimated": False}
    return small_warehouse.usage(DAY, f"{random.random()}", **quantities) | made | changes


def published(root: Path, calls: Sequence[dict[str, Any]], rated_with: RateCard, table: RateCard) -> Snapshot:
    """A warehouse with these calls, rated with one card and holding another, the same with more versions."""
    usage = small_warehouse.table("usage", list(calls))
    rollups = pl.DataFrame(rate(_summed(pl.DataFrame(usage), rated_with, 1), rated_with))
    warehouse = Warehouse(root)
    with warehouse.lock():
        builder = warehouse.begin(None)
        builder.write(f"usage/{DAY}/00000001.parquet", usage)
        book(None, builder, [DAY], rollups, frozenset())
        write_card(builder, table)
        return builder.commit({"days": {str(DAY): {"rate_version": 1}}, "rate_version": 1})


def _summed(usage: pl.DataFrame, prices: RateCard, version: int) -> pl.DataFrame:
    return aggregate(usage, thresholds(prices), change_instants(prices), version)


def again(snapshot: Snapshot, table: RateCard, prices: RateCard | None = None) -> list[dict[str, Any]]:
    """The day's rollups with the newest rates, from what is known behind the published ones."""
    rollups = summed_cells(published_whole(snapshot, [DAY]))
    quantities = quantities_behind(snapshot, [DAY], rollups, table, prices or table)
    found: list[dict[str, Any]] = rate(quantities, prices or table).to_pylist()
    return found


def from_usage(snapshot: Snapshot, prices: RateCard) -> list[dict[str, Any]]:
    usage = pl.read_parquet(snapshot.files("usage", DAY))
    found: list[dict[str, Any]] = rate(_summed(usage, prices, prices.newest()), prices).to_pylist()
    return found


def charged(rows: Sequence[dict[str, Any]]) -> list[tuple[int, int, float]]:
    """Band, quantity and cost of what is charged."""
    return [
        (row["context_over_tokens"], row["quantity"], float(row["cost_usd"]))
        for row in rows
        if row["price_status"] != "not_charged"
    ]


@pytest.fixture
def no_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("usage was read")

    monkeypatch.setattr(recall, "aggregate_files", refuse)


@pytest.mark.usefixtures("no_usage")
def test_new_prices_in_the_same_bands_need_no_record(tmp_path: Path) -> None:
    """150,000 + 250,000 tokens; the price above 200,000 tokens becomes 3: 0.15 and 0.75 USD."""
    first = card(BANDS)
    dearer = card("m standard input uncached 200000 2025-01-01 - 3", version=2, recorded_at=SECOND_VERSION)
    table = then(first, dearer, [BAND_200])
    snapshot = published(tmp_path, [call(150_000), call(250_000)], first, table)

    assert charged(again(snapshot, table)) == [(0, 150_000, 0.15), (200_000, 250_000, 0.75)]
    assert again(snapshot, table) == from_usage(snapshot, table)


def test_a_finer_band_is_looked_up_in_the_records(tmp_path: Path) -> None:
    """50,000 and 150,000 tokens were one band; above 100,000 the price is 1.5 now: 0.05 and 0.225 USD."""
    first = card(BANDS)
    finer = card("m standard input uncached 100000 2025-01-01 - 1.5", version=2, recorded_at=SECOND_VERSION)
    table = then(first, finer)
    snapshot = published(tmp_path, [call(50_000), call(150_000)], first, table)

    assert charged(again(snapshot, table)) == [(0, 50_000, 0.05), (100_000, 150_000, 0.225)]


@pytest.mark.parametrize(("cached", "status"), [(0, "priced"), (None, "priced_upper_bound")])
@pytest.mark.usefixtures("no_usage")
def test_whether_cached_input_was_told_apart_shows_in_the_rollup(
    tmp_path: Path, cached: int | None, status: str
) -> None:
    first = card(BANDS)
    table = then(first, card("m standard input uncached 0 2025-01-01 - 3", "", 2, SECOND_VERSION), [BAND_0])
    snapshot = published(tmp_path, [call(1_000, cached=cached)], first, table)

    rows = again(snapshot, table)

    assert [row["price_status"] for row in rows if row["meter"] == "input"] == [status]
    assert charged(rows) == [(0, 1_000, 0.003)]


def test_where_it_does_not_show_the_records_tell(tmp_path: Path) -> None:
    """Nothing cached had a price, so it made no difference then; now it has, and one of two calls may hide some."""
    first = card("m standard input uncached 0 2025-01-01 - 1")
    table = then(first, card("m standard input cached 0 2025-01-01 - 0.5", "", 2, SECOND_VERSION))
    snapshot = published(tmp_path, [call(1_000), call(2_000, cached=None)], first, table)

    rows = [row for row in again(snapshot, table) if row["meter"] == "input"]

    assert [(row["quantity"], row["price_status"]) for row in rows] == [
        (1_000, "priced"),
        (2_000, "priced_upper_bound"),
    ]


def test_an_account_with_a_contract_is_asked_about_its_own_book(tmp_path: Path) -> None:
    """The list has one price, acme's book has two bands: 1 and 2. A new list price changes nothing for acme."""
    first = card("m standard input uncached 0 2025-01-01 - 1")
    own = card(BANDS).rates.with_columns(book=pl.lit("own"), rate_id="own:" + pl.col("rate_id"))
    row = {"account_id": "acme", "book": "own", "rate_version": 1, "recorded_at": first.versions["recorded_at"].item()}
    contracts = pl.DataFrame([row], schema=polars_schema("contracts"))
    first = RateCard(pl.concat([first.rates, own]), first.aliases, first.versions, contracts)
    later = then(first, card("m standard input uncached 0 2025-01-01 - 5", "", 2, SECOND_VERSION), [BAND_0])
    table = RateCard(later.rates, later.aliases, later.versions, contracts)
    calls = [call(prompt, account_id=account) for prompt in (100_000, 300_000) for account in ("acme", "globex")]
    snapshot = published(tmp_path, calls, first, table)

    assert charged(again(snapshot, table)) == [(0, 100_000, 0.1), (200_000, 300_000, 0.6), (0, 400_000, 2.0)]


def test_a_change_during_the_day_is_looked_up_in_the_records(tmp_path: Path) -> None:
    """At noon the price becomes 3: 1,000 tokens in the morning at 1 and 2,000 after it at 3, 0.001 and 0.006 USD."""
    first = card("m standard input uncached 0 2025-01-01 - 1")
    noon = "m standard input uncached 0 {} {} {}"
    lines = [noon.format("2025-01-01", "2026-01-10T12:00:00Z", 1), noon.format("2026-01-10T12:00:00Z", "-", 3)]
    table = then(first, card("\n".join(lines), "", 2, SECOND_VERSION), [BAND_0])
    snapshot = published(tmp_path, [call(1_000, time(9)), call(2_000, time(12))], first, table)

    assert charged(again(snapshot, table)) == [(0, 1_000, 0.001), (0, 2_000, 0.006)]


def test_records_of_another_model_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = recall.aggregate_files

    def noted(*arguments: Any) -> Any:
        asked.append(arguments[-1].rows())
        return real(*arguments)

    monkeypatch.setattr(recall, "aggregate_files", noted)
    first = card(BANDS + "n standard input uncached 0 2025-01-01 - 1")
    finer = card("m standard input uncached 100000 2025-01-01 - 1.5", version=2, recorded_at=SECOND_VERSION)
    table = then(first, finer)
    snapshot = published(tmp_path, [call(50_000), call(50_000, model="n"), call(70_000, model=None)], first, table)

    assert again(snapshot, table) == from_usage(snapshot, table)
    assert asked == [[("openai", "m")]]


MODELS = ("m", "n", "alias-of-n", "ft:m:acme::1", "unknown", None)
AT = ("2025-01-01", "2026-01-10T08:00:00Z", "2026-01-10T16:00:00Z", "2026-01-10")


def any_rates(chance: random.Random, version: int) -> list[str]:
    """Rates of some models, tiers and bands; some begin or end during the day."""
    lines = []
    for model in ("m", "n", "unknown"):
        for tier in ("standard", "batch"):
            for meter in ("input uncached", "input cached", "output not_applicable"):
                for band in (0, 100_000, 200_000):
                    if chance.random() < (0.75 if band == 0 and version == 1 else 0.25):
                        since = chance.choice(AT)
                        until = chance.choice(["-", "-", *[at for at in AT if at > since and since != AT[3]]])
                        until = "-" if since == AT[3] else until
                        status = chance.choice(["published", "inferred"])
                        lines.append(f"{model} {tier} {meter} {band} {since} {until} {chance.choice('1234')} {status}")
    return lines


def any_call(chance: random.Random) -> dict[str, Any]:
    model, tier = chance.choice(MODELS), chance.choice(["standard", "batch", "provisioned", None])
    kind = chance.choice(["request", "request", "aggregate"])
    return call(
        chance.choice([1_000, 100_000, 100_001, 150_000, 200_001, 300_000]),
        time(chance.choice([1, 8, 12, 16, 23])),
        cached=chance.choice([0, None, 700]),
        model=model,
        tier=tier,
        source_kind=kind,
        account_id=chance.choice(["acme", "globex", None]),
        project_id=chance.choice(["one", None]),
        is_estimated=chance.random() < 0.1,
        output_tokens=chance.choice([0, 5]),
    )


def with_contract(known: RateCard, chance: random.Random) -> RateCard:
    """The card, where the account acme has a book of its own with double the list's rates, and not all of them."""
    rows = [row for row in range(known.rates.height) if chance.random() < 0.5]
    book_of = known.rates[rows].with_columns(
        book=pl.lit("own"),
        rate_id="own:" + pl.col("rate_id"),
        rate_usd_per_million=(pl.col("rate_usd_per_million") * 2).cast(pl.Decimal(18, 6)),
        status=pl.lit("contract"),
    )
    row = {"account_id": "acme", "book": "own", "rate_version": 1, "source": "a test"}
    row |= {"recorded_at": known.versions["recorded_at"].item()}
    contracts = pl.DataFrame([row], schema=polars_schema("contracts"))
    return RateCard(pl.concat([known.rates, book_of]), known.aliases, known.versions, contracts)


@pytest.mark.parametrize("seed", range(40))
def test_any_rates_and_records_come_out_as_from_usage(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    first = card("\n".join(any_rates(chance, 1)), "alias-of-n n - -")
    if chance.random() < 0.5:
        first = with_contract(first, chance)
    second = card("\n".join(any_rates(chance, 2)), "", 2, SECOND_VERSION)
    names = set(second.rates["rate_id"].str.replace(r"@.*", "") + "@")
    gone = [one for one in first.rates["rate_id"] if f"{one.removeprefix('own:').split('@')[0]}@" in names]
    table = then(first, second, gone)
    table = RateCard(table.rates, table.aliases, table.versions, first.contracts)
    snapshot = published(tmp_path, [any_call(chance) for _ in range(60)], first, table)

    assert again(snapshot, table) == from_usage(snapshot, table)
    assert again(snapshot, table, table.as_known(1)) == from_usage(snapshot, table.as_known(1))
