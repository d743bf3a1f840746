"""Aggregate usage before rating: cost is linear in quantity, so what has the same price is summed first.

Grain: usage in, one row a record; quantities out, one row for each combination of what can change the price: day,
stretch of time without a rate change, account, project, provider, model, tier, meter, caching status and context band.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path

import polars as pl

from etl.distinct import is_constant
from etl.errors import IntegrityError
from etl.meters import CACHED, NOT_APPLICABLE, QUANTITY_COLUMNS, UNCACHED
from etl.schema import polars_schema, with_columns_of

BIGINT_MAX = 2**63 - 1
_PIECE_ROWS = 1_000_000  # of a published day, so many are held at once
_GROUP = ("account_id", "project_id", "provider", "model", "tier", "source_kind", "is_estimated")
_KEYS = ("day", *_GROUP, "rated_at", "prompt_over_tokens", "cached_is_split")
USED_COLUMNS = (
    *_GROUP, "day", "occurred_at", "prompt_tokens", "requests", *(column for column, _, _ in QUANTITY_COLUMNS)
)  # fmt: skip


def aggregate(
    usage: pl.DataFrame, thresholds: Sequence[int], cuts: Sequence[datetime], rate_version: int | None
) -> pl.DataFrame:
    """Sum usage of one day into the table `quantities`.

    Args:
        usage: the day's rows, or some of them: of `USED_COLUMNS` those that hold anything; text may be categories.
        thresholds: the card's context thresholds, ascending.
        cuts: the instants during a day at which a rate changes, ascending.
        rate_version: the version that the day keeps; None: the newest.

    Raises:
        IntegrityError: a sum does not fit 64 bits.
    """
    schema = polars_schema("usage")
    usage = with_columns_of(usage, pl.Schema({name: schema[name] for name in USED_COLUMNS}))
    # Narrow integers would wrap around in a sum.
    usage = usage.cast({name: pl.Int64 for name, dtype in usage.schema.items() if dtype.is_integer()})
    present = [
        row for row in QUANTITY_COLUMNS if usage[row[0]].null_count() < usage.height and (usage[row[0]] != 0).any()
    ]
    _refuse_overflow(usage, [column for column, _, _ in present])
    cached = [
        column for column, _, status in QUANTITY_COLUMNS if status == CACHED and column in {c for c, _, _ in present}
    ]
    keyed = usage.with_columns(
        rated_at=_stretch(usage, cuts),
        prompt_over_tokens=_over(thresholds),
        cached_is_split=pl.col("input_cached_tokens").is_not_null(),
        requests_status=_requests_status(cached),
    )
    sums = _summed(keyed, [*_KEYS, "requests_status"], ["requests", *(column for column, _, _ in present)])
    tall = [sums.select(*_KEYS, meter=pl.lit("requests"), caching_status="requests_status", quantity="requests")]
    tall += [
        sums.select(*_KEYS, meter=pl.lit(meter), caching_status=pl.lit(status), quantity=column)
        for column, meter, status in present
    ]
    schema = polars_schema("quantities")
    quantities = pl.concat(tall).with_columns(
        rate_version=pl.lit(rate_version, pl.Int64),
        accounting_period=pl.col("day").dt.strftime("%Y-%m"),
        charge_class=pl.lit("usage"),
    )
    return added_up([quantities.select(schema.names()).cast(schema)])


def added_up(quantities: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The table `quantities` of one day, of which these are parts; what adds up to nothing is left out.

    Raises:
        IntegrityError: a sum does not fit 64 bits.
    """
    whole = pl.concat(quantities)
    keys = [name for name in whole.columns if name != "quantity"]
    largest = whole["quantity"].max()
    if isinstance(largest, int) and largest * whole.height > BIGINT_MAX and sum(whole["quantity"]) > BIGINT_MAX:
        raise _overflow(whole, "quantity")
    summed = whole.group_by(keys).agg(pl.col("quantity").sum()).filter(pl.col("quantity") != 0)
    return summed.select(whole.columns)


def _summed(rows: pl.DataFrame, keys: Sequence[str], columns: Sequence[str]) -> pl.DataFrame:
    """The sums of columns by keys; a key with one value needs no comparing, and few have more."""
    constant = [name for name in keys if is_constant(rows[name])]
    varying = [name for name in keys if name not in constant]
    sums = [pl.col(name).sum() for name in columns]
    summed = rows.select(*varying, *columns).group_by(varying).agg(sums) if varying else rows.select(sums)
    return summed.with_columns(rows[name].head(1).new_from_index(0, summed.height).alias(name) for name in constant)


def aggregate_files(
    files: Sequence[Path],
    thresholds: Sequence[int],
    cuts: Sequence[datetime],
    rate_version: int | None,
    names: pl.DataFrame,
) -> Iterator[pl.DataFrame]:
    """Sum one day's published usage of some models, a piece of it at a time; the parts are yet to be added up.

    Args:
        files: the day's usage files.
        thresholds: as for `aggregate`, and so are the others.
        cuts: the instants.
        rate_version: the version.
        names: `provider, model` of what is wanted.
    """
    for file in files:
        usage = pl.scan_parquet(file).select(USED_COLUMNS)
        for start in range(0, pl.scan_parquet(file).select(pl.len()).collect().item(), _PIECE_ROWS):
            piece = usage.slice(start, _PIECE_ROWS).join(names.lazy(), on=names.columns, how="semi", nulls_equal=True)
            rows = piece.collect()
            if rows.height:
                yield aggregate(rows, thresholds, cuts, rate_version)


def _stretch(usage: pl.DataFrame, cuts: Sequence[datetime]) -> pl.Expr:
    """Midnight of the day, or the last cut at or before the record."""
    midnight = pl.col("day").cast(pl.Datetime("us"))
    day: date = usage["day"][0]
    today = [cut for cut in cuts if cut.date() == day]
    if not today:
        return midnight
    starts = pl.Series([datetime(day.year, day.month, day.day), *today], dtype=pl.Datetime("us"))
    position = starts.search_sorted(usage["occurred_at"], side="right") - 1
    return pl.lit(starts.gather(position))


def _over(thresholds: Sequence[int]) -> pl.Expr:
    """The largest threshold that the prompt is strictly above, else 0."""
    over = pl.lit(0, pl.Int64)
    for threshold in thresholds:
        over = pl.when(pl.col("prompt_tokens") > threshold).then(threshold).otherwise(over)
    return over.cast(pl.Int64)


def _requests_status(cached: Sequence[str]) -> pl.Expr:
    """`cached` for a request with any cached token; of an aggregate with some, which ones is not known."""
    has_cached = pl.any_horizontal(pl.col(column).fill_null(0) > 0 for column in cached) if cached else pl.lit(False)
    named = pl.when(pl.col("source_kind") == "request").then(pl.lit(CACHED)).otherwise(pl.lit(NOT_APPLICABLE))
    return pl.when(has_cached).then(named).otherwise(pl.lit(UNCACHED))


def _refuse_overflow(usage: pl.DataFrame, columns: Sequence[str]) -> None:
    """Polars' sum wraps around silently; refuse a day whose largest count times its rows could."""
    for column in ("requests", *columns):
        largest = usage[column].max()
        if (
            isinstance(largest, int)
            and largest * usage.height > BIGINT_MAX
            and sum(usage[column].drop_nulls()) > BIGINT_MAX
        ):
            raise _overflow(usage, column)


def _overflow(rows: pl.DataFrame, column: str) -> IntegrityError:
    return IntegrityError(f"{rows['day'][0]}: the sum of {column} does not fit 64 bits; nothing was published")
