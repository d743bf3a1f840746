#!/usr/bin/env python3
"""The least night of `make bench`: a strict reading, the hash of every byte, and the same two tables on the disk.

    python -m bench.least LOG RATES_CSV OUT_DIR

Each step in the quickest way that we know: DuckDB parses (`bench/bound.py`), Polars turns the texts into numbers and
codes on two threads, sorted hashes of the ids tell that none is met twice, DuckDB sums and rates as
`bench/reference.py` does, and Arrow writes the days on two threads. What is written is synced and hashed. It is no
Costroll: what is no number becomes NULL, nothing is judged or named, a repeat ends it, nothing but chat records is
read, and nothing is remembered, read back or published as a whole. The last number it prints is the total cost.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bench.bound import BATCH_ROWS, FIELDS, hash_of
from bench.reference import RATES, ROLLUPS

THREADS = 2
COUNTS = {
    "prompt_tokens": "prompt_tokens",
    "cached_tokens": "cached_tokens",
    "completion_tokens": "output_tokens",
    "reasoning_tokens": "reasoning_tokens",
}
REPEATED = {"model": "model", "service_tier": "tier", "project_id": "project_id", "user": "user_id"}
TIERS = {"default": "standard", "auto": "standard"}


def decoded(batch: pa.RecordBatch) -> pl.DataFrame:
    """One row a record, of JSON texts; a text that is met again and again is decoded once for each of its values."""
    raw = pl.DataFrame(batch)
    frame = raw.select(
        pl.col("id").str.slice(1).str.head(-1).alias("request_id"),
        (pl.col("created").cast(pl.Int64, strict=False) * 1_000_000).cast(pl.Datetime("us")).alias("occurred_at"),
        *(pl.col(name).cast(pl.Int64, strict=False).alias(column) for name, column in COUNTS.items()),
    )
    texts = [_plain(raw[name]).alias(column) for name, column in REPEATED.items()]
    return frame.with_columns(texts).with_columns(day=pl.col("occurred_at").dt.date())


def _plain(texts: pl.Series) -> pl.Series:
    codes = texts.cast(pl.Categorical)
    values = codes.unique().drop_nulls()
    plain = values.cast(pl.String).str.slice(1).str.head(-1).replace(TIERS).cast(pl.Categorical)
    numbers = values.to_physical().to_numpy()
    place = np.zeros(int(numbers.max(initial=0)) + 1, np.uint32)
    place[numbers] = np.arange(len(numbers))
    return plain.gather(pl.Series(place).gather(codes.to_physical()))


def read(log: Path, pool: ThreadPoolExecutor) -> Iterator[pl.DataFrame]:
    """All records; while one batch is decoded, the next ones are parsed."""
    con = duckdb.connect()
    con.execute("SET arrow_output_version = '1.4'; SET produce_arrow_string_view = true")
    waiting: deque[Future[pl.DataFrame]] = deque()
    for batch in con.sql(FIELDS, params=[str(log)]).to_arrow_reader(BATCH_ROWS):
        waiting.append(pool.submit(decoded, batch))
        if len(waiting) > THREADS:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def write(path: Path, rows: pl.DataFrame) -> str:
    """Write a file and bring it to the disk; the hash of its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    texts = [name for name, dtype in rows.schema.items() if dtype == pl.Categorical]
    encodings = {name: "DELTA_BINARY_PACKED" for name, dtype in rows.schema.items() if dtype == pl.Int64}
    with path.open("wb") as file:
        pq.write_table(
            table,
            file,
            use_dictionary=texts,
            column_encoding=encodings or None,
            compression="zstd",
            compression_level=1,
            write_statistics=False,
        )
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rated(usage: pl.DataFrame, rates: str) -> tuple[pl.DataFrame, str]:
    """The rollups, and the total cost."""
    con = duckdb.connect()
    con.execute(RATES, [rates])
    con.register("usage", usage.to_arrow())
    con.execute(ROLLUPS)
    [(cost,)] = con.sql("SELECT sum(cost_usd) FROM rollups").fetchall()
    return con.sql("FROM rollups").pl(), str(cost)


def main() -> None:
    log, rates, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    hashing = threading.Thread(target=hash_of, args=(log,))
    hashing.start()
    with ThreadPoolExecutor(THREADS) as pool:
        usage = pl.concat(read(log, pool))
        ids = np.sort(usage["request_id"].hash().to_numpy())
        if (ids[1:] == ids[:-1]).any():
            raise SystemExit("an id is met twice: this program cannot tell what stands")
        days = usage.partition_by("day", as_dict=True)
        hashes = [
            pool.submit(write, out / "usage" / f"{day}.parquet", rows.drop("day")) for (day,), rows in days.items()
        ]
        summed = usage.select("day", "project_id", "model", "tier", *COUNTS.values()).drop("reasoning_tokens")
        rollups, cost = rated(summed, rates)
        hashes += [
            pool.submit(write, out / "rollups" / f"{day}.parquet", rows)
            for (day,), rows in rollups.partition_by("day", as_dict=True).items()
        ]
        written = len([job.result() for job in hashes])
    hashing.join()
    print(f"{usage.height} records, {written} files, {rollups.height} rollup rows, {cost} USD")


if __name__ == "__main__":
    main()
