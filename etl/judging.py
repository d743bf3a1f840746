"""Judge raw rows: decode them, give each its fate and reason, and make USAGE rows of those that stand.

Grain: one raw row in, one judged row out, in the same order. The order of the tests is that of docs/fates.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal as OneOf
from typing import NamedTuple

import polars as pl

from etl.content_hash import content_hash
from etl.meters import QUANTITY_COLUMNS
from etl.shapes import WRAPPER_TEXTS, WRAPPER_TIMES, Shape
from etl.sources.base import Source
from etl.times import from_epoch, from_iso

Dialect = OneOf["json", "csv"]

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
_CONTROL = r"[\x00-\x1f\x7f-\x9f]"
_TEXTS = (
    "request_id",
    "model",
    "tier",
    "provider",
    "account_id",
    "project_id",
    "api_key_id",
    "user_id",
    "user_id_2",
    "workflow_id",
)
# Those that must be text where they are given; of the others anything else is ignored.
_STRICT_TEXTS = ("request_id", "model", "tier", "provider")


@dataclass(frozen=True)
class Reading:
    """The options that change how a record is read.

    Attributes:
        latest: no record is later than this; a day after the run began.
        account: the account of records that name none.
        assume_zone: the IANA zone of times that name none; None rejects them.
        only: the one source to consider (`--format`), else all.
    """

    latest: datetime
    account: str | None = None
    assume_zone: str | None = None
    only: Source | None = None


class Text(NamedTuple):
    """Decoded text, where something else than text stands, and where it was escaped."""

    value: pl.Series
    bad: pl.Series
    escaped: pl.Series


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
    frame = _decoded(raw, shape, dialect, reading)
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


def _decoded(raw: pl.DataFrame, shape: Shape, dialect: Dialect, reading: Reading) -> pl.DataFrame:
    """Decode every declared field: `text:*`, `count:*`, `literal:*`, `instant`, and a `bad:*` mask beside each."""
    source, prefix = shape.source, shape.prefix
    height = raw.height
    columns: dict[str, pl.Series] = {"line_number": raw["line_number"]}

    def cells(path: str) -> pl.Series:
        return raw[path] if path in raw.columns else pl.Series([None], dtype=pl.String).new_from_index(0, height)

    read_text = _csv_text if dialect == "csv" else _json_text
    for name in _TEXTS:
        own = cells(prefix + source.texts[name]) if name in source.texts else cells("")
        value, bad, escaped = read_text(own)
        for key in WRAPPER_TEXTS.get(name, ()) if shape.place else ():
            if value.null_count() == 0:
                break
            wrapped = read_text(cells(key))
            is_own = value.is_not_null() | bad
            value, escaped = value.zip_with(is_own, wrapped.value), escaped | wrapped.escaped
        columns[f"text:{name}"], columns[f"bad:{name}"] = value, bad
        if name in _STRICT_TEXTS:
            columns[f"control:{name}"] = _control(value, escaped)
    for name, path in source.counts.items():
        columns |= _count(name, cells(prefix + path), dialect)
    for name, path in source.literals.items():
        columns[f"literal:{name}"] = cells(prefix + path)
    columns["literal:has_usage"] = cells(f"{prefix}{source.usage}?").is_not_null()
    columns["instant"], columns["time_problem"] = _instant(cells, shape, dialect, reading)
    columns["is_http_failure"] = _is_http_failure([cells(path) for path in shape.status_paths], height)
    columns["problem"], columns["fingerprint"] = cells("problem"), cells("fingerprint")
    return pl.DataFrame(columns)


def _json_text(raw: pl.Series) -> Text:
    """Unquote JSON strings; anything but a string or null is bad."""
    if raw.null_count() == raw.len():
        return Text(raw, _never(raw), _never(raw))
    bad = (~raw.str.starts_with('"')).fill_null(False)
    # A quote inside a string is escaped, and escaped ones are decoded below.
    value = raw.str.strip_chars('"')
    escaped = raw.str.contains("\\", literal=True).fill_null(False) & ~bad
    if escaped.any():
        decoded = {text: json.loads(text) for text in raw.filter(escaped).unique()}
        value = value.zip_with(~escaped, raw.replace_strict(decoded, default=None, return_dtype=pl.String))
    if bad.any():
        value = value.set(bad, None)
    return Text(value, bad, escaped)


def _csv_text(raw: pl.Series) -> Text:
    """A CSV cell is its text; an empty one is absent."""
    value = raw.set((raw == "").fill_null(False), None)
    return Text(value, _never(raw), value.is_not_null())


def _control(value: pl.Series, escaped: pl.Series) -> pl.Series:
    """Where a control character is. In a JSON string it is escaped, or beyond ASCII, or DEL: few rows need a look."""
    if value.null_count() == value.len():
        return _never(value)
    doubtful = escaped | (value.str.len_bytes() != value.str.len_chars()) | value.str.contains("\x7f", literal=True)
    if not doubtful.any():
        return _never(value)
    return (doubtful & value.str.contains(_CONTROL)).fill_null(False)


def _never(like: pl.Series) -> pl.Series:
    return pl.Series([False]).new_from_index(0, like.len())


def _count(name: str, raw: pl.Series, dialect: Dialect) -> dict[str, pl.Series]:
    """Parse a count: its value, whether it is given, and whether it is no integer literal."""
    if dialect == "csv":
        is_given = (raw != "").fill_null(False)
        value = raw.str.replace(r"\.0+$", "").cast(pl.Int64, strict=False)
        is_invalid = is_given & ~raw.str.contains(r"^[0-9]+(\.0+)?$").fill_null(True)
    else:
        is_given = raw.is_not_null()
        value = raw.cast(pl.Int64, strict=False)
        # What Polars reads as a whole number, JSON wrote as one; only what it cannot read needs a look.
        is_unread = is_given & value.is_null()
        is_invalid = is_unread & ~raw.str.contains(r"^-?[0-9]+$") if is_unread.any() else is_unread
    return {f"count:{name}": value, f"given:{name}": is_given, f"invalid:{name}": is_invalid}


def _instant(
    cells: Callable[[str], pl.Series], shape: Shape, dialect: Dialect, reading: Reading
) -> tuple[pl.Series, pl.Series]:
    """The record's own time, else its wrapper's. Returns naive UTC instants and why there is none."""
    path, notation = shape.source.instant
    own = cells(shape.prefix + path)
    if notation == "iso":
        text = own if dialect == "csv" else _json_text(own).value
        bad = own.is_not_null() & text.is_null()
        instant, problem = from_iso(_csv_text(text).value, reading.assume_zone)
        problem = problem.zip_with(~bad, pl.Series(["invalid_timestamp"]).new_from_index(0, own.len()))
    else:
        own = _csv_text(own).value if dialect == "csv" else own
        instant, problem = from_epoch(own, decimal=notation == "epoch_decimal")
    for key in WRAPPER_TIMES if shape.place else ():
        missing = instant.is_null() & problem.is_null()
        if not missing.any():
            break
        raw = cells(key).set(~missing, None)
        text, is_no_text, _ = _json_text(raw)
        iso, iso_problem = from_iso(text, reading.assume_zone)
        epoch, epoch_problem = from_epoch(raw.set(~is_no_text, None), decimal=True)
        instant = instant.zip_with(~missing, iso.zip_with(iso.is_not_null(), epoch))
        problem = problem.zip_with(~missing, iso_problem.zip_with(iso_problem.is_not_null(), epoch_problem))
    return instant, problem


def _is_http_failure(statuses: list[pl.Series], height: int) -> pl.Series:
    failed = pl.Series([False]).new_from_index(0, height)
    for raw in statuses:
        failed |= (raw.cast(pl.Int64, strict=False) >= 400).fill_null(False)
    return failed


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
    tests += [("invalid_field", pl.col(f"bad:{name}")) for name in _STRICT_TEXTS]
    if source.kind == "request":
        tests.append(("missing_model", pl.col("text:model").is_null() | (pl.col("text:model") == "")))
    tests += [("control_character", pl.col(f"control:{name}")) for name in _STRICT_TEXTS]
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
