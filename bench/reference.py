#!/usr/bin/env python3
"""The yardstick of `make bench`: what someone who knows DuckDB well would write by hand for one night's log.

    reference.py LOG RATES_CSV OUT_DIR

It reads with fixed types, keeps one row for each id, sums before it multiplies, joins the rates in force and writes the
same two tables as Costroll, partitioned by day. It is fast because it is careless: `ignore_errors` turns a damaged
line into a row of NULLs and rounds 1.5 tokens, repeats are not compared, nothing is checked, synced or remembered, and
a model without a rate just costs NULL. The last number it prints is the total cost.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

RATES = """
CREATE TABLE rates AS
SELECT
    model, tier, meter, caching_status,
    rate_usd_per_million::DECIMAL(18, 6) AS rate_usd_per_million,
    coalesce(effective_from::TIMESTAMP, '-infinity') AS starts_at,
    coalesce(effective_to::TIMESTAMP, 'infinity') AS ends_at
FROM read_csv(?, all_varchar = true)
WHERE provider = 'openai' AND context_over_tokens = '0'
"""

USAGE = """
CREATE TABLE usage AS
SELECT DISTINCT ON (id)
    id AS request_id,
    make_timestamp(created * 1000000) AS occurred_at,
    occurred_at::DATE AS day,
    metadata.project_id AS project_id,
    metadata."user" AS user_id,
    model,
    CASE WHEN service_tier IS NULL OR service_tier IN ('default', 'auto') THEN 'standard' ELSE service_tier END AS tier,
    usage.prompt_tokens AS prompt_tokens,
    coalesce(usage.prompt_tokens_details.cached_tokens, 0) AS cached_tokens,
    usage.completion_tokens AS output_tokens,
    usage.completion_tokens_details.reasoning_tokens AS reasoning_tokens
FROM read_json(?, format = 'newline_delimited', ignore_errors = true, columns = {
    id: 'VARCHAR', created: 'BIGINT', model: 'VARCHAR', service_tier: 'VARCHAR',
    usage: 'STRUCT(
        prompt_tokens BIGINT, completion_tokens BIGINT,
        prompt_tokens_details STRUCT(cached_tokens BIGINT),
        completion_tokens_details STRUCT(reasoning_tokens BIGINT))',
    metadata: 'STRUCT(project_id VARCHAR, "user" VARCHAR)'})
WHERE id IS NOT NULL
"""

ROLLUPS = """
CREATE TABLE rollups AS
WITH
sums AS (
    SELECT
        day, project_id, model, tier,
        sum(prompt_tokens - cached_tokens)::BIGINT AS uncached,
        sum(cached_tokens)::BIGINT AS cached,
        sum(output_tokens)::BIGINT AS output
    FROM usage
    GROUP BY ALL
),
items AS (
    SELECT
        day, project_id, model, tier,
        unnest(['input', 'input', 'output']) AS meter,
        unnest(['uncached', 'cached', 'not_applicable']) AS caching_status,
        unnest([uncached, cached, output]) AS quantity
    FROM sums
)
SELECT i.*, r.rate_usd_per_million, i.quantity * r.rate_usd_per_million * 0.000001 AS cost_usd
FROM items AS i
LEFT JOIN rates AS r
    ON  r.model = i.model AND r.tier = i.tier AND r.meter = i.meter AND r.caching_status = i.caching_status
    AND r.starts_at <= i.day AND i.day < r.ends_at
WHERE i.quantity > 0
"""

AS_PARQUET = "FORMAT parquet, COMPRESSION zstd, PARTITION_BY (day), OVERWRITE true"


def main() -> None:
    log, rates, out = sys.argv[1:]
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    con.execute(RATES, [rates])
    con.execute(USAGE, [log])
    con.execute(ROLLUPS)
    Path(out).mkdir(parents=True, exist_ok=True)
    for table in ("usage", "rollups"):
        target = str(Path(out) / table).replace("'", "''")
        con.execute(f"COPY {table} TO '{target}' ({AS_PARQUET})")
    rows, cost = con.sql("SELECT count(*), sum(cost_usd) FROM rollups").fetchall()[0]
    print(f"{rows} rollup rows, {cost} USD")


if __name__ == "__main__":
    main()
