#!/usr/bin/env python3
"""The floor of `make bench`: DuckDB parses the fields that a price needs and sums them, and does nothing else.

    floor.py LOG

No time, no identity, no day, no rate and no file: nothing that reads the log with DuckDB can be faster.
"""

from __future__ import annotations

import sys

import duckdb

SUMS = """
SELECT
    count(id), min(created), max(model), max(service_tier), sum(usage.prompt_tokens), sum(usage.completion_tokens),
    sum(usage.prompt_tokens_details.cached_tokens)
FROM read_json(?, format = 'newline_delimited', columns = {
    id: 'VARCHAR', created: 'BIGINT', model: 'VARCHAR', service_tier: 'VARCHAR',
    usage: 'STRUCT(
        prompt_tokens BIGINT, completion_tokens BIGINT, prompt_tokens_details STRUCT(cached_tokens BIGINT))'})
"""


def main() -> None:
    (log,) = sys.argv[1:]
    print(duckdb.connect().execute(SUMS, [log]).fetchall())


if __name__ == "__main__":
    main()
