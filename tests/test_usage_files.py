"""Usage in Parquet: what was written is what is read, and the bytes do not depend on the pieces or on categories."""

from __future__ import annotations

import io
from datetime import date, datetime

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import usage_files
from etl.schema import REPETITIVE, polars_schema
from etl.usage_files import row_groups, write_usage

SCHEMA = polars_schema("usage")
ROW = {
    "day": date(2025, 11, 1),
    "occurred_at": datetime(2025, 11, 1, 12, 0, 0, 5),
    "project_id": "ä",
    "provider": "openai",
    "source": "openai_chat",
    "source_kind": "request",
    "request_id": "chatcmpl-1",
    "content_hash": -(2**63),
    "model": "gpt-4o-mini-2024-07-18",
    "tier": "standard",
    "tier_is_assumed": False,
    "prompt_tokens": 10**12,
    "requests": 1,
    "input_uncached_tokens": 10**12,
    "is_estimated": False,
    "input_sha256": "0" * 64,
    "line_number": 1,
    "accepted_snapshot": 1,
}


def rows(*changes: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame([ROW | change for change in changes], schema=SCHEMA)


def written(*groups: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    write_usage(file, row_groups(groups))
    return file.getvalue()


def read(data: bytes) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(data))


@settings(deadline=None, max_examples=50)
@given(
    changes=st.lists(
        st.fixed_dictionaries(
            {
                "project_id": st.sampled_from(["p1", "p2", None]),
                "model": st.sampled_from(["m2", "m1", "m3"]),
                "user_id": st.text(max_size=3),
                "output_tokens": st.one_of(st.none(), st.integers(0, 10**12)),
                "line_number": st.integers(1, 10**9),
            }
        ),
        min_size=1,
        max_size=20,
    ),
    cut=st.integers(0, 20),
)
def test_the_bytes_depend_on_the_rows_alone(changes: list[dict[str, object]], cut: int) -> None:
    whole = rows(*changes)
    as_categories = whole.with_columns(pl.col(REPETITIVE).cast(pl.Categorical))
    without_empty = as_categories.select(name for name in SCHEMA if whole[name].null_count() < whole.height)

    data = written(whole)

    assert read(data).equals(whole) and read(data).schema == SCHEMA
    for other in (as_categories, without_empty, whole.select(reversed(whole.columns))):
        pieces = [piece for piece in (other.head(cut), other.slice(cut)) if piece.height]
        assert written(*pieces) == data


def test_row_groups_have_one_size_and_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_files, "ROWS_PER_GROUP", 3)
    pieces = [rows({"line_number": 1}, {"line_number": 2}), rows(*({"line_number": 3 + n} for n in range(6)))]

    assert [group.height for group in row_groups(pieces)] == [3, 3, 2]
    assert read(written(*pieces))["line_number"].to_list() == list(range(1, 9))
    file = pq.ParquetFile(io.BytesIO(written(*pieces)))
    assert [file.metadata.row_group(number).num_rows for number in range(3)] == [3, 3, 2]


def test_a_column_that_holds_something_only_later_is_written_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first row group alone says which columns are worth compressing."""
    monkeypatch.setattr(usage_files, "ROWS_PER_GROUP", 1)
    pieces = [rows({"tier": None}), rows({"tier": "batch", "output_tokens": 7}), rows({"tier": "flex"})]
    assert read(written(*pieces)).select("tier", "output_tokens").rows() == [(None, None), ("batch", 7), ("flex", None)]


def test_ids_that_never_repeat_are_written_without_a_look_at_each_other() -> None:
    whole = rows(*({"user_id": f"u{-number}", "line_number": number} for number in range(2500)))
    assert read(written(whole))["user_id"].to_list() == [f"u{-number}" for number in range(2500)]
    assert written(whole.with_columns(pl.col("user_id").cast(pl.Categorical))) == written(whole)
