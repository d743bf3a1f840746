"""What a log costs, in USD, with one DuckDB query in steady memory: the figure that large logs are held against.

    python -m bench.total_cost LOG RATES_CSV

It settles no identities: for logs whose records are all different. The rates and the multiplication are those of
bench/reference.py; only that it sums while it reads, so that it can be asked of any size.
"""

from __future__ import annotations

import sys

import duckdb

from bench.reference import RATES, ROLLUPS

SUMS = """
CREATE TABLE usage AS
SELECT
    make_timestamp(created * 1000000)::DATE AS day,
    metadata.project_id AS project_id,
    model,
    CASE WHEN service_tier IN ('default', 'auto') THEN 'standard' ELSE coalesce(service_tier, 'standard') END AS tier,
    sum(usage.prompt_tokens)::BIGINT AS prompt_tokens,
    sum(coalesce(usage.prompt_tokens_details.cached_tokens, 0))::BIGINT AS cached_tokens,
    sum(usage.completion_tokens)::BIGINT AS output_tokens
FROM read_json(?, format = 'newline_delimited', columns = {
    created: 'BIGINT', model: 'VARCHAR', service_tier: 'VARCHAR',
    usage: 'STRUCT(
        prompt_tokens BIGINT, completion_tokens BIGINT, prompt_tokens_details STRUCT(cached_tokens BIGINT))',
    metadata: 'STRUCT(project_id VARCHAR)'})
GROUP BY ALL
"""


def main() -> None:
    log, rates = sys.argv[1:]
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    con.execute(RATES, [rates])
    con.execute(SUMS, [log])
    con.execute(ROLLUPS)
    ((without_rate, cost),) = con.sql("SELECT count(*) - count(cost_usd), sum(cost_usd) FROM rollups").fetchall()
    if without_rate:
        sys.exit(f"{without_rate} sums have no rate")
    print(cost)


if __name__ == "__main__":
    main()
