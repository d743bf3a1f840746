#!/usr/bin/env python3
"""The same night as bench/reference.py, as someone who knows Polars well would write it by hand.

    reference_polars.py LOG RATES_CSV OUT_DIR

It reads with fixed types, lazily and on the streaming engine, keeps one row for each id, sums before it multiplies,
joins the rates in force and writes `usage` and `rollups` as Parquet by day. Nothing is checked, synced or remembered. A
damaged line is not to be passed over: Polars then reads nothing. The last number it prints is the total cost.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import polars as pl

SCHEMA: dict[str, Any] = {
    "id": pl.String,
    "created": pl.Int64,
    "model": pl.String,
    "service_tier": pl.String,
    "usage": pl.Struct(
        {
            "prompt_tokens": pl.Int64,
            "completion_tokens": pl.Int64,
            "prompt_tokens_details": pl.Struct({"cached_tokens": pl.Int64}),
            "completion_tokens_details": pl.Struct({"reasoning_tokens": pl.Int64}),
        }
    ),
    "metadata": pl.Struct({"project_id": pl.String, "user": pl.String}),
}
GROUP = ("day", "project_id", "model", "tier")
PRICED = ("model", "tier", "meter", "caching_status")
MONEY = pl.Decimal(38, 12)
MICRO = pl.lit("0.000001").cast(MONEY)


def read_usage(log: str) -> pl.DataFrame:
    """One row for each id."""
    usage, at = pl.col("usage").struct, pl.from_epoch("created")
    tier = pl.col("service_tier").replace({"default": "standard", "auto": "standard"}).fill_null("standard")
    return (
        pl.scan_ndjson(log, schema=SCHEMA)
        .filter(pl.col("id").is_not_null())
        .select(
            request_id="id",
            occurred_at=at,
            day=at.dt.date(),
            project_id=pl.col("metadata").struct["project_id"],
            user_id=pl.col("metadata").struct["user"],
            model="model",
            tier=tier,
            prompt_tokens=usage["prompt_tokens"],
            cached_tokens=usage["prompt_tokens_details"].struct["cached_tokens"].fill_null(0),
            output_tokens=usage["completion_tokens"],
            reasoning_tokens=usage["completion_tokens_details"].struct["reasoning_tokens"],
        )
        .unique("request_id", keep="any")
        .collect(engine="streaming")
    )


def read_rates(path: str) -> pl.LazyFrame:
    """OpenAI's rates without a context threshold, in force from one day up to another."""
    return (
        pl.scan_csv(path, infer_schema=False)
        .filter(provider="openai", context_over_tokens="0")
        .select(
            *PRICED,
            pl.col("effective_from", "effective_to").str.to_date(),
            rate_usd_per_million=pl.col("rate_usd_per_million").cast(pl.Decimal(18, 6)),
        )
    )


def roll_up(usage: pl.DataFrame, rates: pl.LazyFrame) -> pl.DataFrame:
    """Sums by day, project, model, tier and caching status, and what they cost in USD."""
    status = pl.col("caching_status")
    sums = (
        usage.lazy()
        .group_by(GROUP)
        .agg(
            uncached=(pl.col("prompt_tokens") - pl.col("cached_tokens")).sum(),
            cached=pl.col("cached_tokens").sum(),
            not_applicable=pl.col("output_tokens").sum(),
        )
        .unpivot(index=GROUP, variable_name="caching_status", value_name="quantity")
        .filter(pl.col("quantity") > 0)
        .with_columns(meter=pl.when(status == "not_applicable").then(pl.lit("output")).otherwise(pl.lit("input")))
        .with_row_index("item")
        .collect()  # read twice below, and the numbers must be the same
        .lazy()
    )
    day, since, until = pl.col("day"), pl.col("effective_from"), pl.col("effective_to")
    in_force = (since.is_null() | (since <= day)) & (until.is_null() | (day < until))
    priced = sums.join(rates, on=PRICED).filter(in_force).select("item", "rate_usd_per_million")
    cost = pl.col("quantity").cast(pl.Decimal(38, 0)) * pl.col("rate_usd_per_million").cast(MONEY) * MICRO
    return sums.join(priced, on="item", how="left").drop("item").with_columns(cost_usd=cost).collect()


def main() -> None:
    log, rates, out = sys.argv[1:]
    usage = read_usage(log)
    rollups = roll_up(usage, read_rates(rates))
    for name, frame in (("usage", usage), ("rollups", rollups)):
        target = pl.PartitionBy(Path(out) / name, key="day")
        frame.lazy().sink_parquet(target, compression="zstd", mkdir=True, engine="streaming")
    print(f"{rollups.height} rollup rows, {rollups['cost_usd'].sum()} USD")


if __name__ == "__main__":
    main()
