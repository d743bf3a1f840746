"""A column taken apart into its distinct values and put together again is the column."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.distinct import distinct, is_constant, is_repetitive

TEXTS = st.lists(st.sampled_from(["", "a", "b", "ä", "a\x00", None]), max_size=30)


@settings(deadline=None)
@given(texts=TEXTS, dtype=st.sampled_from([pl.String, pl.Categorical]))
def test_values_spread_over_their_places_are_the_column(texts: list[str | None], dtype: type[pl.DataType]) -> None:
    column = pl.Series(texts, dtype=pl.String).cast(dtype)

    apart = distinct(column)

    values = apart.values.cast(pl.String).to_list()
    assert len(values) == len(set(values)) == len(set(texts))
    assert [values[place] for place in apart.places] == texts
    assert apart.spread(apart.values).cast(pl.String).to_list() == texts


def test_what_is_made_of_each_value_stands_in_every_row_that_has_it() -> None:
    apart = distinct(pl.Series(["x", "yy", None, "x"]))
    assert apart.spread(apart.values.cast(pl.String).str.len_bytes()).to_list() == [1, 2, None, 1]
    assert apart.spread(apart.values.cast(pl.String) == "zzz").to_list() in ([False] * 4, [False, False, None, False])


@pytest.mark.parametrize(
    ("values", "is_one"),
    [([None, None], True), (["a", "a"], True), (["a", "b"], False), (["a", None], False), ([1, 1], True), ([], True)],
)
def test_a_column_with_one_value_is_constant(values: list[str | int | None], is_one: bool) -> None:
    assert is_constant(pl.Series(values)) is is_one
    if all(value is None or isinstance(value, str) for value in values):
        assert is_constant(pl.Series(values, dtype=pl.Categorical)) is is_one


@pytest.mark.parametrize(("distinct_values", "repeats"), [(1800, True), (1801, False)])
def test_a_column_repeats_when_its_first_two_thousand_rows_do(distinct_values: int, repeats: bool) -> None:
    first = [str(number % distinct_values) for number in range(2000)]
    assert is_repetitive(pl.Series(first + [f"unique {number}" for number in range(10)])) is repeats
