"""What is published reads the same in DuckDB, Polars, pandas and pyarrow, by plain glob, to the last digit.

    2025-06-09  o3           1 x 10 in, 1 x 40 out                                   0.00005
    2025-06-10  o3           2 x 2 in, 1 x 0.5 cached                                0.0000045
    2025-11-21  gpt-4o-mini  993 x 0.15 in, 7 x 0.075 cached, 1 x 0.6 out            0.000150075
    2025-11-21  o1-pro       1,000,000,000,000 x 150 in                    150,000,000
    2025-11-21  my-own       5 in, 2 out: no price                                   NULL
                                                                           ---------------------
                             quantity 1,000,000,001,018 with 5 requests    150,000,000.000204575

In floating point the same products and sums make 150000000.00020456, so no reader may see any.
"""

from __future__ import annotations

import glob
import json
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from etl.cli import exit_code_of

COST, QUANTITY, UNPRICED, ROWS, REQUESTS = Decimal("150000000.000204575"), 1_000_000_001_018, 2, 15, 5
JUNE_9, JUNE_10, NOVEMBER_21 = 1_749_427_200, 1_749_513_600, 1_763_683_200


def chat(request_id: str, model: str, at: int, prompt: int, cached: int, completion: int) -> str:
    details = {"cached_tokens": cached}
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "prompt_tokens_details": details}
    return json.dumps({"id": request_id, "object": "chat.completion", "created": at, "model": model, "usage": usage})


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("it's published")
    lines = [
        chat("a", "o3-2025-04-16", JUNE_9, 1, 0, 1),
        chat("b", "o3-2025-04-16", JUNE_10, 3, 1, 0),
        chat("c", "gpt-4o-mini-2024-07-18", NOVEMBER_21, 1000, 7, 1),
        chat("e", "o1-pro-2025-03-19", NOVEMBER_21, 10**12, 0, 0),
        chat("d", "my-own", NOVEMBER_21, 5, 0, 2),
        chat("d", "my-own", NOVEMBER_21 - 1, 6, 0, 2),
        "{torn",
    ]
    (folder / "log.jsonl").write_text("".join(line + "\n" for line in lines))
    assert exit_code_of(["run", "--quiet", "--warehouse", str(folder / "warehouse"), str(folder / "log.jsonl")]) == 3
    return folder / "warehouse"


@pytest.fixture(scope="module")
def pattern(warehouse: Path) -> str:
    return f"{warehouse}/current/rollups/*.parquet"


def test_duckdb_agrees(pattern: str) -> None:
    query = """
        select sum(cost_usd), sum(quantity), count(*) - count(cost_usd), count(*),
               sum(quantity) filter (meter = 'requests'), any_value(typeof(cost_usd)), any_value(typeof(quantity))
        from read_parquet(?)
    """
    [found] = duckdb.execute(query, [pattern]).fetchall()
    assert found == (COST, QUANTITY, UNPRICED, ROWS, REQUESTS, "DECIMAL(38,12)", "BIGINT")


def test_polars_agrees(pattern: str) -> None:
    frame = pl.read_parquet(pattern)
    requests = frame.filter(pl.col("meter") == "requests")["quantity"].sum()
    assert frame.schema["cost_usd"] == pl.Decimal(38, 12)
    assert (frame["cost_usd"].sum(), frame["quantity"].sum()) == (COST, QUANTITY)
    assert (frame["cost_usd"].null_count(), frame.height, requests) == (UNPRICED, ROWS, REQUESTS)
    assert pl.scan_parquet(pattern).select(pl.col("cost_usd").sum()).collect().item() == COST


def test_pandas_agrees(pattern: str) -> None:
    frame = pd.concat([pd.read_parquet(file) for file in sorted(glob.glob(pattern))])
    costs = frame["cost_usd"].dropna()
    assert all(type(cost) is Decimal for cost in costs)
    assert (sum(costs), int(frame["quantity"].sum())) == (COST, QUANTITY)
    assert (int(frame["cost_usd"].isna().sum()), len(frame)) == (UNPRICED, ROWS)
    assert int(frame.loc[frame["meter"] == "requests", "quantity"].sum()) == REQUESTS


def test_pyarrow_agrees(pattern: str) -> None:
    table = ds.dataset(sorted(glob.glob(pattern))).to_table()
    assert table.schema.field("cost_usd").type == pa.decimal128(38, 12)
    assert (pc.sum(table["cost_usd"]).as_py(), pc.sum(table["quantity"]).as_py()) == (COST, QUANTITY)
    assert (table["cost_usd"].null_count, table.num_rows) == (UNPRICED, ROWS)
    assert pc.sum(table.filter(pc.field("meter") == "requests")["quantity"]).as_py() == REQUESTS


def test_the_days_of_the_files_and_of_their_rows_agree(pattern: str) -> None:
    days = {Path(file).stem: {str(day) for day in pl.read_parquet(file)["day"]} for file in glob.glob(pattern)}
    assert days == {day: {day} for day in ("2025-06-09", "2025-06-10", "2025-11-21")}


@pytest.mark.parametrize(
    ("table", "rows", "column", "total"),
    [
        ("usage/*", 5, "prompt_tokens", 1 + 3 + 1000 + 10**12 + 5),
        ("rejects", 2, "line_number", 6 + 7),
        ("inputs", 1, "accepted", 5),
    ],
)
def test_all_readers_agree_on_the_other_tables(warehouse: Path, table: str, rows: int, column: str, total: int) -> None:
    pattern = f"{warehouse}/current/{table}/*.parquet"
    files = sorted(glob.glob(pattern))
    by_pandas = pd.concat([pd.read_parquet(file) for file in files])
    by_pyarrow = ds.dataset(files).to_table()

    assert duckdb.execute(f"select count(*), sum({column}) from read_parquet(?)", [pattern]).fetchall() == [
        (rows, total)
    ]
    assert pl.read_parquet(pattern).select(pl.len(), pl.col(column).sum()).row(0) == (rows, total)
    assert (len(by_pandas), int(by_pandas[column].sum())) == (rows, total)
    assert (by_pyarrow.num_rows, pc.sum(by_pyarrow[column]).as_py()) == (rows, total)


def test_no_published_file_has_a_floating_column(warehouse: Path) -> None:
    """Nor one of a type that another reader takes for something else, as DuckDB's HUGEINT and Polars' Int128."""
    plain = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_boolean,
        pa.types.is_date32,
        pa.types.is_timestamp,
    )
    tables = set()
    for file in sorted((warehouse / "current").rglob("*.parquet")):
        tables.add(file.relative_to(warehouse / "current").parts[0])
        for field in pq.read_schema(file):
            is_plain = pa.types.is_int64(field.type) or any(test(field.type) for test in plain)
            assert is_plain or field.type in (pa.decimal128(38, 12), pa.decimal128(18, 6)), (file, field)
    assert tables == {"inputs", "rates", "rejects", "rollups", "usage"}


def test_no_view_for_analysts_has_a_floating_column_that_is_money(warehouse: Path) -> None:
    with duckdb.connect(str(warehouse / "costroll.duckdb"), read_only=True) as con:
        columns = con.execute(
            "select table_name, column_name, data_type from duckdb_columns() where not internal"
        ).fetchall()
    assert len(columns) > 50
    assert [column for column in columns if column[2] in ("DOUBLE", "FLOAT", "HUGEINT")] == []
    assert {kind for _, name, kind in columns if name.endswith("cost_usd")} == {"DECIMAL(38,12)"}
