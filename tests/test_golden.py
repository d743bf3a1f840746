"""Prices worked by hand: each folder of tests/golden/ holds logs, what they cost, and the arithmetic in its README.md.

A case is run as a user would run it, and its published Parquet is read by a plain glob and compared as text, so that no
digit can differ unseen.
"""

from __future__ import annotations

import difflib
import json
import shutil
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
import small_vocabulary

from etl.cli import exit_code_of

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())
COLUMNS = "day,model,tier,meter,caching_status,quantity,rate_usd_per_million,cost_usd,price_status"
KEY = "day, model, tier, meter, caching_status, rate_usd_per_million, price_status"


def published(warehouse: Path) -> list[str]:
    """The published rollups as the lines of an expected.csv; a sum is NULL when any of its costs is."""
    files = str(warehouse / "current/rollups/*.parquet").replace("'", "''")
    rows = duckdb.sql(
        f"select {COLUMNS} from (select {KEY}, sum(quantity) as quantity,"
        " case when count(cost_usd) = count(*) then sum(cost_usd) end as cost_usd"
        f" from '{files}' group by {KEY})"
    ).fetchall()
    return [COLUMNS, *sorted(",".join(text_of(value) for value in row) for row in rows)]


def text_of(value: object) -> str:
    """NULL is empty; numbers have every digit that counts, and no zeros after the last one."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return str(value)


def run(logs: Path, warehouse: Path, *options: str) -> int:
    return exit_code_of(["run", "--quiet", "--threads", "1", "--warehouse", str(warehouse), *options, str(logs)])


@pytest.mark.parametrize("case", CASES)
def test_it_costs_what_was_worked_out_by_hand(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_vocabulary.install(monkeypatch, tmp_path / "vocabulary")
    shutil.copytree(GOLDEN / case / "logs", tmp_path / "logs")
    exit_file = GOLDEN / case / "expected_exit.txt"

    options_file = GOLDEN / case / "options.txt"
    options = options_file.read_text(encoding="utf-8").split() if options_file.exists() else []

    code = run(tmp_path / "logs", tmp_path / "warehouse", *options)

    expected = (GOLDEN / case / "expected.csv").read_text(encoding="utf-8").splitlines()
    found = published(tmp_path / "warehouse")
    difference = list(difflib.unified_diff(expected, found, "expected", "published", lineterm=""))
    assert not difference, "\n" + "\n".join(difference)
    assert code == (int(exit_file.read_text(encoding="utf-8")) if exit_file.exists() else 0)


def test_a_thousand_prompts_of_128000_tokens_cost_a_thousand_times_as_much(tmp_path: Path) -> None:
    """128,000,000 x 0.15 / 1,000,000 = 19.20; added up as floats they make 19.200000000000045."""
    record = json.loads((GOLDEN / "mini_prompt_of_128000/logs/usage.jsonl").read_text(encoding="utf-8"))
    with (tmp_path / "usage.jsonl").open("w", encoding="utf-8") as file:
        for number in range(1000):
            file.write(json.dumps(record | {"id": f"chatcmpl-{number}"}) + "\n")

    assert run(tmp_path / "usage.jsonl", tmp_path / "warehouse") == 0

    assert published(tmp_path / "warehouse")[1:] == [
        "2025-01-15,gpt-4o-mini-2024-07-18,standard,input,uncached,128000000,0.15,19.2,priced",
        "2025-01-15,gpt-4o-mini-2024-07-18,standard,requests,uncached,1000,,0,not_charged",
    ]


def test_every_case_shows_its_arithmetic_and_is_sorted() -> None:
    assert len(CASES) >= 20
    for case in CASES:
        lines = (GOLDEN / case / "expected.csv").read_text(encoding="utf-8").splitlines()
        assert lines == [COLUMNS, *sorted(lines[1:])], case
        assert (GOLDEN / case / "README.md").read_text(encoding="utf-8").strip(), case
