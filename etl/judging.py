"""Judge raw rows: decode them, give each its fate and reason, and make USAGE rows of those that stand.

Grain: one raw row in, one judged row out, in the same order. The order of the tests is that of docs/fates.md.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from etl.cells import Dialect
from etl.content_hash import content_hash
from etl.decoding import STRICT_TEXTS, Reading, decoded
from etl.distinct import is_repetitive
from etl.meters import QUANTITY_COLUMNS
from etl.schema import REPETITIVE
from etl.shapes import Shape
from etl.sources.base import Source, mentions_none, said
from etl.sources.tiers import STANDARD, UNSAID, tier_named

COUNT_MAX = 10**12
EARLIEST = datetime(2020, 1, 1)


def judge(raw: pl.DataFrame, shape: Shape, reading: Reading, dialect: Dialect = "json") -> pl.DataFrame:
    """Decode and judge raw rows of one shape.

    Args:
        raw: a column per path of the shape, `line_number`, and `problem` where the reader found one.
        shape: what the rows are.
        reading: the options.
        dialect: how cells are written: JSON text, or CSV cells.

    Returns:
        `line_number`, `fate`, `reason` and, where `fate` is NULL, the USAGE columns that a record determines.
    """
    frame = decoded(raw, shape, dialect, reading)
    source = shape.source
    provider = pl.lit(source.provider) if isinstance(source.provider, str) else source.provider
    made = dict(source.quantities)
    made["provider"] = provider
    made["model"] = pl.col("text:model") if source.model is None else source.model
    made["request_id"] = pl.col("text:request_id") if source.request_id is None else source.request_id
    frame = frame.with_columns(**made)
    tier = pl.lit("batch") if shape.is_batch else _tier(source, pl.col("provider"))
    if source.region is not None:
        tier = pl.when(source.region.is_null()).then(tier).otherwise(pl.concat_str(tier, pl.lit("-"), source.region))
    frame = frame.with_columns(tier=tier)
    frame = frame.with_columns(_reasons(frame, _tests(shape, reading)))
    is_excluded = pl.col("reason").is_in([*source.excluded, "http_error"])
    frame = frame.with_columns(
        fate=pl.when(pl.col("reason").is_null())
        .then(None)
        .when(is_excluded)
        .then(pl.lit("excluded"))
        .otherwise(pl.lit("rejected")),
        tier_is_assumed=_tier_is_assumed(shape),
    )
    return _usage_columns(frame, source, reading.account)


def _tier(source: Source, provider: pl.Expr) -> pl.Expr:
    """The tier as docs/fates.md names it; an unknown value stands as it is."""
    raw = source.tier if source.tier is not None else pl.col("text:tier").fill_null(STANDARD)
    return tier_named(raw, provider)


def _tier_is_assumed(shape: Shape) -> pl.Expr:
    if shape.is_batch:
        return pl.lit(False)
    unsaid = pl.col("text:tier").is_null() | pl.col("text:tier").is_in(UNSAID)
    return unsaid & (pl.col("tier") == STANDARD).fill_null(False)


def _reasons(frame: pl.DataFrame, tests: list[tuple[str, pl.Expr]]) -> pl.Series:
    """The code of the first test that a record fails, or NULL."""
    # Each test by itself: Polars takes four times as long to ask whether any of them is true.
    failed = frame.select_seq(test.fill_null(False).alias(str(at)) for at, (_, test) in enumerate(tests)).get_columns()
    reason = pl.Series("reason", [None], dtype=pl.String).new_from_index(0, frame.height)
    for (code, _), fails in zip(reversed(tests), reversed(failed), strict=True):
        if fails.any():
            reason = reason.set(fails, code)
    return reason


def _tests(shape: Shape, reading: Reading) -> list[tuple[str, pl.Expr]]:
    """What a record may fail, in the order of docs/fates.md: the code, and an expression that is true where it does."""
    source = shape.source
    is_readable = pl.col("problem").is_null()
    tests: list[tuple[str, pl.Expr]] = [
        ("duplicate_key", pl.col("problem") == "duplicate_key"),
        ("http_error", pl.col("is_http_failure")),
        *((code, is_readable & test) for code, test in source.excluded.items()),
    ]
    if source.usage:
        tests.append(("missing_usage", is_readable & ~pl.col("literal:has_usage")))
    tests.append(("invalid_field", pl.col("problem") == "invalid_field"))
    tests += [("missing_count", ~pl.col(f"given:{name}")) for name in sorted(source.required)]
    if source.requires_any:
        tests.append(("missing_count", mentions_none(source.counts)))
    tests += [("invalid_count", pl.col(f"invalid:{name}")) for name in source.counts]
    tests += [("count_out_of_range", pl.col(f"given:{name}") & _is_outside(f"count:{name}")) for name in source.counts]
    tests += [("parts_exceed_whole", test) for test in source.exceeding]
    tests += [("parts_exceed_whole", pl.col(column) < 0) for column in source.quantities]
    tests += [("invalid_field", test) for test in source.invalid]
    tests += [("invalid_field", pl.col(f"bad:{name}")) for name in STRICT_TEXTS]
    if source.kind == "request":
        tests.append(("missing_model", pl.col("model").is_null() | (pl.col("model") == "")))
    tests += [("control_character", pl.col(f"control:{name}")) for name in STRICT_TEXTS]
    times = [("instant", "time_problem")]
    if isinstance(source.until, tuple):
        times.append(("until", "until_problem"))
    tests += [(code, pl.col(name) == code) for _, name in times for code in ("invalid_timestamp", "naive_timestamp")]
    tests += [("missing_timestamp", pl.col(name).is_null()) for name, _ in times]
    tests.append(("implausible_timestamp", (pl.col("instant") < EARLIEST) | (pl.col("instant") > reading.latest)))
    if isinstance(source.until, tuple):
        tests.append(("invalid_timestamp", pl.col("until") <= pl.col("instant")))
    return tests


def _is_outside(count: str) -> pl.Expr:
    """Whether a count that is given is no possible number: those beyond 64 bits are NULL."""
    return ~pl.col(count).is_between(0, COUNT_MAX).fill_null(False)


def _identity(source: Source) -> pl.Expr:
    """A request's id, else its fingerprint; an aggregate's dimensions and interval."""
    if source.kind == "request":
        return pl.coalesce("request_id", "fingerprint")
    dimensions = {name: pl.col(f"text:{name}") for name in ("project_id", "user_id", "api_key_id", "model", "tier")}
    dimensions |= {name: said(name) for name in source.dimensions}
    parts = [pl.format(f" {name}={{}}", value).fill_null("") for name, value in dimensions.items()]
    return pl.concat_str(pl.col("instant").dt.epoch("s"), pl.lit("-"), _interval_end(source), *parts)


def _interval_end(source: Source) -> pl.Expr:
    """The end of an aggregate's interval, in seconds since 1970."""
    if isinstance(source.until, timedelta):
        return pl.col("instant").dt.epoch("s") + int(source.until.total_seconds())
    return pl.col("until").dt.epoch("s")


def _prompt(source: Source, inputs: list[str]) -> pl.Expr:
    """All of the prompt; what counts no tokens has none."""
    if "prompt" in source.counts:
        return pl.col("count:prompt")
    return pl.sum_horizontal(inputs) if inputs else pl.lit(0, pl.Int64)


def _requests(source: Source) -> pl.Expr:
    if "requests" in source.counts:
        return pl.col("count:requests")
    return pl.lit(1 if source.kind == "request" else None, pl.Int64)


def _constant(text: str) -> pl.Expr:
    return pl.lit(text).cast(pl.Categorical)


def _usage_columns(frame: pl.DataFrame, source: Source, account: str | None) -> pl.DataFrame:
    """Name the columns as USAGE does, and add those that are computed; texts that repeat become categories."""
    made = set(source.quantities)
    inputs = [column for column, meter, _ in QUANTITY_COLUMNS if meter.endswith("input") and column in made]
    out = frame.select(
        "line_number",
        "fate",
        "reason",
        pl.col("instant").alias("occurred_at"),
        _identity(source).alias("request_id"),
        (pl.col("request_id").is_null() & pl.col("fingerprint").is_not_null()).alias("is_fingerprint"),
        pl.coalesce("text:account_id", pl.lit(account, pl.String)).alias("account_id"),
        *(pl.col(f"text:{name}").alias(name) for name in ("project_id", "api_key_id", "user_id", "workflow_id")),
        "model",
        _constant(source.provider).alias("provider") if isinstance(source.provider, str) else "provider",
        "tier",
        "tier_is_assumed",
        _prompt(source, inputs).alias("prompt_tokens"),
        _requests(source).alias("requests"),
        (pl.col("count:reasoning") if "reasoning" in source.counts else pl.lit(None, pl.Int64)).alias(
            "reasoning_tokens"
        ),
        *source.quantities,
        *([_interval_end(source).alias("interval_end")] if source.until is not None else []),
        _constant(source.name).alias("source"),
        _constant(source.kind).alias("source_kind"),
    )
    # A name of its own in every record would only fill the memory that holds the categories.
    repeated = [name for name in REPETITIVE if out[name].dtype == pl.String and is_repetitive(out[name])]
    out = out.with_columns(pl.col(repeated).cast(pl.Categorical))
    return out.with_columns(content_hash=content_hash(out))
