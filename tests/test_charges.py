"""What analysts read: each record's charges add up to the rollups, and the views say what is missing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from etl.engine import connect, create_view
from etl.meters import METERS, QUANTITY_COLUMNS
from etl.quantities import aggregate
from etl.rate_card import RateCard, change_instants, register, shipped_card, thresholds
from etl.rating import install, rate
from etl.schema import polars_schema
from tests.small_card import card, quantities, used

PRICES = card("""
    m  standard  input   uncached        0       -                     2025-06-10T17:00:00Z  4
    m  standard  input   uncached        0       2025-06-10T17:00:00Z  -                     2
    m  standard  input   uncached        272000  -                     -                     5
    m  standard  input   cached          0       -                     -                     1
    m  standard  input   cached          272000  -                     -                     3
    m  standard  output  not_applicable  0       -                     -                     8
    m  standard  output  not_applicable  272000  -                     -                     9
""")


def record(at: str, prompt_tokens: int, **changes: Any) -> dict[str, Any]:
    """One row of usage."""
    instant = datetime.fromisoformat(at)
    return {
        "day": instant.date(),
        "occurred_at": instant,
        "provider": "openai",
        "source_kind": "request",
        "model": "m",
        "tier": "standard",
        "requests": 1,
        "prompt_tokens": prompt_tokens,
        "is_estimated": False,
        **changes,
    }


USAGE = [
    # Before and after the price cut at 17:00: 1,000 x 4 and 1,000 x 2, and 10 x 8 each.
    record("2025-06-10T16:59:59.999999", 1_000, input_uncached_tokens=1_000, output_tokens=10),
    record("2025-06-10T17:00:00", 1_000, input_uncached_tokens=1_000, output_tokens=10),
    # At and above the threshold: 272,000 x 2, then 1 x 5 + 272,000 x 3.
    record("2025-06-11", 272_000, input_uncached_tokens=272_000, input_cached_tokens=0),
    record("2025-06-11T01:00:00", 272_001, input_uncached_tokens=1, input_cached_tokens=272_000),
    record("2025-06-11T02:00:00", 5, model="unheard-of", input_uncached_tokens=5),
]
COST_USD = Decimal("0.004080") + Decimal("0.002080") + Decimal("0.544") + Decimal("0.816005")


def rollups_of(usage: list[dict[str, Any]], prices: RateCard) -> pl.DataFrame:
    frame = pl.DataFrame(usage, schema=polars_schema("usage"))
    days = [
        aggregate(day, thresholds(prices), change_instants(prices), rate_version=1)
        for day in frame.partition_by("day", maintain_order=True)
    ]
    rollups = pl.from_arrow(rate(pl.concat(days), prices))
    assert isinstance(rollups, pl.DataFrame)
    return rollups


def analyst(usage: list[dict[str, Any]], prices: RateCard) -> duckdb.DuckDBPyConnection:
    """A connection with the base relations and views that an analyst has."""
    con = connect()
    con.register("usage", pl.DataFrame(usage, schema=polars_schema("usage")).to_arrow())
    con.register("rollups", rollups_of(usage, prices).to_arrow())
    con.execute("CREATE TABLE days AS SELECT DISTINCT day, 1::BIGINT AS rate_version, false AS is_as_known FROM usage")
    register(con, prices)
    install(con)
    for view in ("net_rollups", "charges", "cost_rollups", "daily_costs"):
        create_view(con, view)
    return con


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with analyst(USAGE, PRICES) as opened:
        yield opened


def test_each_records_charge_has_its_own_rate_by_time_and_context(con: duckdb.DuckDBPyConnection) -> None:
    charged = con.sql("""
        SELECT occurred_at::VARCHAR, caching_status, quantity, rate_usd_per_million, context_over_tokens, cost_usd
        FROM charges WHERE meter = 'input' AND model = 'm' ORDER BY occurred_at, caching_status
    """).fetchall()
    assert charged == [
        ("2025-06-10 16:59:59.999999", "uncached", 1_000, Decimal(4), 0, Decimal("0.004")),
        ("2025-06-10 17:00:00", "uncached", 1_000, Decimal(2), 0, Decimal("0.002")),
        ("2025-06-11 00:00:00", "uncached", 272_000, Decimal(2), 0, Decimal("0.544")),
        ("2025-06-11 01:00:00", "cached", 272_000, Decimal(3), 272_000, Decimal("0.816")),
        ("2025-06-11 01:00:00", "uncached", 1, Decimal(5), 272_000, Decimal("0.000005")),
    ]


@pytest.mark.parametrize("relation", ["charges", "rollups", "cost_rollups", "daily_costs"])
def test_every_relation_sums_to_the_same_cost(con: duckdb.DuckDBPyConnection, relation: str) -> None:
    assert con.sql(f"SELECT sum(cost_usd) FROM {relation}").fetchall() == [(COST_USD,)]


def test_charges_of_some_days_are_those_of_their_rollups(con: duckdb.DuckDBPyConnection) -> None:
    some = con.sql("SELECT sum(cost_usd) FROM charges_between('2025-06-10', '2025-06-11')").fetchall()
    assert some == con.sql("SELECT sum(cost_usd) FROM rollups WHERE day = '2025-06-10'").fetchall()


def test_what_has_no_price_is_shown_and_never_counted_as_zero(con: duckdb.DuckDBPyConnection) -> None:
    for view in ("cost_rollups", "daily_costs"):
        [unknown] = con.sql(f"SELECT requests, cost_usd, unpriced_quantity, cost_is_complete FROM {view}"
                            " WHERE model = 'unheard-of'").fetchall()  # fmt: skip
        assert unknown == (1, None, 5, False)


def test_the_parts_of_a_day_stand_side_by_side(con: duckdb.DuckDBPyConnection) -> None:
    day = con.sql("FROM daily_costs WHERE model = 'm' AND day = '2025-06-11'").pl().row(0, named=True)
    assert (day["requests"], day["input_tokens"], day["output_tokens"]) == (2, 544_001, 0)
    assert (day["input_uncached_tokens"], day["input_cached_tokens"]) == (272_001, 272_000)
    assert (day["input_uncached_cost_usd"], day["input_cached_cost_usd"]) == (Decimal("0.544005"), Decimal("0.816"))
    assert (day["output_cost_usd"], day["cost_usd"], day["cost_is_complete"]) == (None, Decimal("1.360005"), True)


def test_the_first_charges_of_many_can_be_looked_at(con: duckdb.DuckDBPyConnection) -> None:
    assert len(con.sql("SELECT * FROM charges LIMIT 3").fetchall()) == 3


def test_charges_keep_the_versions_of_their_day_as_the_rollups_do() -> None:
    with analyst(USAGE, PRICES) as con:
        # The newest version knows nothing; the days were rated with the first.
        con.execute("CREATE OR REPLACE TABLE versions AS FROM rate_versions")
        con.execute("INSERT INTO versions VALUES (2, 'empty', TIMESTAMP '2027-01-01', NULL)")
        con.execute("CREATE OR REPLACE TABLE all_rates AS FROM rates_history")
        con.execute("UPDATE all_rates SET superseded_at = TIMESTAMP '2027-01-01'")
        con.register("rates_history", con.sql("FROM all_rates").to_arrow_table())
        con.register("rate_versions", con.sql("FROM versions").to_arrow_table())
        assert con.sql("SELECT sum(cost_usd) FROM charges").fetchall() == [(COST_USD,)]
        con.execute("DELETE FROM days")
        assert con.sql("SELECT sum(cost_usd) FROM charges").fetchall() == [(None,)]


def random_usage(seed: int, prices: RateCard) -> list[dict[str, Any]]:
    """Records of real and unreal models around the instants at which prices change."""
    chance = random.Random(seed)
    models = prices.rates.select("provider", "model").unique().sort("provider", "model").rows()
    aliases = prices.aliases.select("provider", "alias").unique().sort("provider", "alias").rows()
    names = [*models, *aliases, ("openai", None), ("openai", "ft:gpt-4o-mini-2024-07-18:org::id"), ("openai", "nope")]
    changes = sorted(set(prices.rates["effective_from"].drop_nulls()) - {datetime(2022, 1, 1)})
    rows = []
    for _ in range(1_500):
        provider, model = chance.choice(names)
        at = chance.choice(changes) + timedelta(microseconds=chance.choice([-1, 0, 1, chance.randrange(10**14)]))
        counts = {column: chance.choice([1, 10**6]) for column, _, _ in chance.sample(QUANTITY_COLUMNS, 4)}
        tier = chance.choice(
            ["standard", "standard", "batch", "flex", "priority", "provisioned", "complimentary", None]
        )
        kind = chance.choice(["request", "request", "request", "aggregate"])
        prompt = chance.choice([1, 200_000, 200_001, 272_000, 272_001])
        rows.append(
            record(at.isoformat(), prompt, provider=provider, model=model, tier=tier, source_kind=kind, **counts)
        )
    return rows


def test_random_usage_is_rated_as_the_independent_oracle_rates_it() -> None:
    from oracle import Card, Usage, rate_all

    prices = shipped_card()
    usage = random_usage(11, prices)
    judged = rate_all(
        [
            Usage(
                instant=(row["occurred_at"] - datetime(1970, 1, 1)) // timedelta(microseconds=1),
                provider=row["provider"],
                model=row["model"],
                tier=row["tier"],
                quantities={(meter, status): row[name] for name, meter, status in QUANTITY_COLUMNS if name in row},
                prompt_tokens=row["prompt_tokens"],
                source_kind=row["source_kind"],
                splits_cached_input="input_cached_tokens" in row,
            )
            for row in usage
        ],
        Card(Path(__file__).parent.parent / "etl" / "card"),
    )
    rollups = rollups_of(usage, prices)
    keys = ["day", "provider", "model", "tier", "meter", "caching_status", "context_over_tokens", "priced_model"]
    keys += ["rate_usd_per_million", "source_kind", "price_status"]
    ours = {tuple(row[key] for key in keys): (row["quantity"], row["cost_usd"]) for row in rollups.to_dicts()}
    assert ours == {tuple(getattr(cell, key) for key in keys): sums for cell, sums in judged.items()}


def test_random_charges_equal_the_rollups_cell_by_cell() -> None:
    prices = shipped_card()
    with analyst(random_usage(12, prices), prices) as con:
        cells = """day, provider, model, tier, meter, caching_status, price_status, rate_id, rate_version,
            context_over_tokens, priced_model, source_kind, unit, direction"""
        charges = f"SELECT {cells}, sum(quantity), sum(cost_usd) FROM charges GROUP BY ALL"
        rollups = f"SELECT {cells}, sum(quantity), sum(cost_usd) FROM rollups WHERE meter <> 'requests' GROUP BY ALL"
        assert con.sql(f"({charges}) EXCEPT ({rollups})").fetchall() == []
        assert con.sql(f"({rollups}) EXCEPT ({charges})").fetchall() == []
        [(priced,)] = con.sql("SELECT count(*) FROM charges WHERE price_status LIKE 'priced%'").fetchall()
        assert priced > 100


def test_the_meter_registry_of_sql_is_that_of_the_package() -> None:
    registry = [
        (name, meter, status, unit.direction, unit.unit, unit.is_charged)
        for unit in METERS
        for name, meter, status in [
            *((name, meter, status) for name, meter, status in QUANTITY_COLUMNS if meter == unit.name),
            *((None, unit.name, status) for status in unit.caching_statuses if not unit.is_charged),
        ]
    ]
    with connect() as con:
        create_view(con, "meters")
        assert con.sql("FROM meters").fetchall() == registry


def test_charges_list_every_column_of_usage_that_can_carry_a_charge() -> None:
    every = record("2025-06-10", 1, **{column: 1 for column, _, _ in QUANTITY_COLUMNS})
    with analyst([every], PRICES) as con:
        charged = con.sql("SELECT meter, caching_status FROM charges").fetchall()
        assert sorted(charged) == sorted((meter, status) for _, meter, status in QUANTITY_COLUMNS)


def test_a_day_with_requests_alone_costs_nothing_and_is_complete() -> None:
    rollups = rate(quantities(used(3, meter="requests")), PRICES)
    with connect() as con:
        con.register("rollups", rollups)
        create_view(con, "net_rollups")
        for view in ("cost_rollups", "daily_costs"):
            create_view(con, view)
            row = con.sql(f"SELECT day, requests, cost_usd, cost_is_complete FROM {view}").fetchall()
            assert row == [(date(2025, 11, 1), 3, Decimal(0), True)]
