"""Judge raw rows: decode them, give each its fate and reason, and make USAGE rows of those that stand.

Grain: one raw row in, one judged row out, in the same order. The order of the tests is that of docs/fates.md.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from etl.content_hash import content_hash
from etl.decoding import STRICT_TEXTS, Dialect, Reading, decoded
from etl.meters import QUANTITY_COLUMNS
from etl.shapes import Shape
from etl.sources.base import Source

COUNT_MAX = 10**12
EARLIEST = datetime(2020, 1, 1)
TIERS = {
    "default": "standard",
    "auto": "standard",
    "standard": "standard",
    "": "standard",
    "priority": "priority",
    "flex": "flex",
    "flex-tier": "flex",
    "incentivized-tier": "complimentary",
    "scale": "provisioned",
}
# OpenAI renamed its priority tier to fast; Anthropic's fast is a tier of its own.
FAST_IS_PRIORITY = ("openai",)


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
    quantities = [expression.alias(column) for column, expression in source.quantities.items()]
    frame = frame.with_columns(*quantities, _tier(shape), reason=_reason(shape, reading))
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


def _tier(shape: Shape) -> pl.Expr:
    """The tier as DESIGN's table names it; an unknown value stands as it is."""
    if shape.is_batch:
        return pl.lit("batch").alias("tier")
    raw = shape.source.tier if shape.source.tier is not None else pl.col("text:tier").fill_null("default")
    is_renamed = pl.col("text:provider").fill_null(shape.source.provider).is_in(FAST_IS_PRIORITY)
    return pl.when((raw == "fast") & is_renamed).then(pl.lit("priority")).otherwise(raw.replace(TIERS)).alias("tier")


def _tier_is_assumed(shape: Shape) -> pl.Expr:
    if shape.is_batch:
        return pl.lit(False)
    unsaid = pl.col("text:tier").is_null() | pl.col("text:tier").is_in(["", "auto"])
    return unsaid & (pl.col("tier") == "standard").fill_null(False)


def _reason(shape: Shape, reading: Reading) -> pl.Expr:
    """The first test that a record fails, in the order of docs/fates.md."""
    source = shape.source
    values = {name: pl.col(f"count:{name}") for name in source.counts}
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
    tests.append(("invalid_count", pl.any_horizontal(pl.col(f"invalid:{name}") for name in values)))
    outside = [(value < 0) | (value > COUNT_MAX) | value.is_null() for value in values.values()]
    is_outside = (pl.col(f"given:{name}") & test for name, test in zip(values, outside, strict=True))
    tests.append(("count_out_of_range", pl.any_horizontal(is_outside)))
    tests += [("parts_exceed_whole", test) for test in source.exceeding]
    tests += [("parts_exceed_whole", (expression < 0)) for expression in source.quantities.values()]
    tests += [("invalid_field", pl.col(f"bad:{name}")) for name in STRICT_TEXTS]
    if source.kind == "request":
        tests.append(("missing_model", pl.col("text:model").is_null() | (pl.col("text:model") == "")))
    tests += [("control_character", pl.col(f"control:{name}")) for name in STRICT_TEXTS]
    tests += [(code, pl.col("time_problem") == code) for code in ("invalid_timestamp", "naive_timestamp")]
    tests.append(("missing_timestamp", pl.col("instant").is_null()))
    tests.append(("implausible_timestamp", (pl.col("instant") < EARLIEST) | (pl.col("instant") > reading.latest)))
    return pl.coalesce(
        *(pl.when(test.fill_null(False)).then(pl.lit(code)) for code, test in tests), pl.lit(None, pl.String)
    )


def _identity(source: Source) -> pl.Expr:
    """A request's id, else its fingerprint; an aggregate's dimensions and interval."""
    if source.kind == "request":
        return pl.coalesce("text:request_id", "fingerprint")
    dimensions = [f"text:{name}" for name in ("project_id", "user_id", "api_key_id", "model", "tier")]
    dimensions += [f"literal:{name}" for name in ("batch", "api_source") if name in source.literals]
    interval = (pl.col("instant").dt.epoch("s"), pl.lit("-"), pl.col("count:end"))
    names = [name.partition(":")[2] for name in dimensions]
    parts = [
        pl.format(f" {name}={{}}", pl.col(dimension).str.to_lowercase() if name == "batch" else pl.col(dimension))
        for name, dimension in zip(names, dimensions, strict=True)
    ]
    return pl.concat_str(*interval, *(part.fill_null("") for part in parts))


def _usage_columns(frame: pl.DataFrame, source: Source, account: str | None) -> pl.DataFrame:
    """Name the columns as USAGE does, and add those that are computed."""
    made = set(source.quantities)
    prompt = "prompt" if "prompt" in source.counts else "input_tokens"
    inputs = [column for column, meter, _ in QUANTITY_COLUMNS if meter.endswith("input") and column in made]
    out = frame.select(
        "line_number",
        "fate",
        "reason",
        pl.col("instant").alias("occurred_at"),
        _identity(source).alias("request_id"),
        (pl.col("text:request_id").is_null() & pl.col("fingerprint").is_not_null()).alias("is_fingerprint"),
        pl.coalesce("text:account_id", pl.lit(account, pl.String)).alias("account_id"),
        *(pl.col(f"text:{name}").alias(name) for name in ("project_id", "api_key_id", "workflow_id", "model")),
        pl.coalesce("text:user_id", "text:user_id_2").alias("user_id"),
        pl.col("text:provider").fill_null(source.provider).alias("provider"),
        "tier",
        "tier_is_assumed",
        pl.coalesce(pl.col(f"count:{prompt}"), pl.sum_horizontal(inputs)).alias("prompt_tokens"),
        (pl.col("count:requests") if "requests" in source.counts else pl.lit(1, pl.Int64)).alias("requests"),
        (pl.col("count:reasoning") if "reasoning" in source.counts else pl.lit(None, pl.Int64)).alias(
            "reasoning_tokens"
        ),
        *source.quantities,
        *([pl.col("count:end").alias("interval_end")] if "end" in source.counts else []),
        pl.lit(source.name).alias("source"),
        pl.lit(source.kind).alias("source_kind"),
    )
    return out.with_columns(content_hash=content_hash(out))
