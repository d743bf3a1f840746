"""The tables: every column's name, type and meaning, born here and nowhere else.

Times are naive UTC (`TIMESTAMP` in microseconds); money is DECIMAL(38,12) USD; rates are DECIMAL(18,6)
USD per 1,000,000 units; NULL means "no such value".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import polars as pl

from etl.meters import QUANTITY_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

INSTANT = pl.Datetime("us")
MONEY = pl.Decimal(38, 12)
RATE = pl.Decimal(18, 6)


@dataclass(frozen=True)
class Column:
    """One column: its Polars type, what a value in it means, and the warehouse format that brought it."""

    name: str
    dtype: Any
    meaning: str
    since_format: int = 1


def _columns(*rows: tuple[str, Any, str] | tuple[str, Any, str, int]) -> tuple[Column, ...]:
    return tuple(Column(*row) for row in rows)


USAGE_COLUMNS = _columns(
    ("day", pl.Date, "UTC day of `occurred_at`; the partition"),
    ("occurred_at", INSTANT, "when the request was made, or the start of an aggregate's interval"),
    ("account_id", pl.String, "from the record, else `--account`"),
    ("project_id", pl.String, "from the record, else its wrapper"),
    ("api_key_id", pl.String, "the provider's id of the key, never the key"),
    ("user_id", pl.String, "from the record, else its wrapper"),
    ("workflow_id", pl.String, "from the wrapper: the chain of calls this one belongs to"),
    ("provider", pl.String, "whose price list applies"),
    ("source", pl.String, "the record shape it was read as; see `costroll formats`"),
    ("source_kind", pl.String, "`request` or `aggregate`"),
    ("request_id", pl.String, "the identity within account and provider; see docs/identity.md"),
    ("content_hash", pl.Int64, "hash of instant, model, tier and quantities"),
    ("model", pl.String, "the served model, as the record says"),
    ("tier", pl.String, "service tier; NULL when an aggregate is not grouped by it"),
    ("tier_is_assumed", pl.Boolean, "the record named no tier and standard was assumed"),
    ("prompt_tokens", pl.Int64, "all prompt tokens of the request; decides its context band"),
    ("requests", pl.Int64, "1, or the number of requests an aggregate counts"),
    ("reasoning_tokens", pl.Int64, "for information; already inside `output_tokens`"),
    *(
        (column, pl.Int64, f"quantity of meter `{meter}`, caching status `{status}`")
        for column, meter, status in QUANTITY_COLUMNS
    ),
    ("is_estimated", pl.Boolean, "tokens were counted by Costroll, not reported by the provider"),
    ("input_sha256", pl.String, "SHA-256 of the input's decompressed bytes"),
    ("line_number", pl.Int64, "1-based physical line in the decompressed input where the record begins"),
    ("accepted_snapshot", pl.Int64, "the snapshot that first published this record"),
)  # fmt: skip

# Columns of USAGE with few distinct values: as categories they take four bytes a row instead of sixteen and more.
REPETITIVE = (
    "account_id", "project_id", "api_key_id", "user_id", "provider", "model", "tier", "source", "source_kind"
)  # fmt: skip

REJECTS_COLUMNS = _columns(
    ("input_name", pl.String, "the input's name as given"),
    ("input_sha256", pl.String, "SHA-256 of the input's decompressed bytes"),
    ("line_number", pl.Int64, "1-based physical line where the record begins"),
    ("byte_offset", pl.Int64, "of that line in the decompressed input"),
    ("byte_length", pl.Int64, "of that line, without its terminator"),
    ("fate", pl.String, "`rejected` or `conflict`"),
    ("reason", pl.String, "reason code; see docs/fates.md"),
    ("line_sha256", pl.String, "SHA-256 of the line's bytes, without its terminator"),
    ("request_id", pl.String, "of a conflict: the identity both records claim"),
    ("content_hash", pl.Int64, "of a conflict: the content that was set aside"),
    ("kept_content_hash", pl.Int64, "of a conflict: the content that stands"),
    ("at_snapshot", pl.Int64, "the snapshot that recorded this"),
)

INPUTS_COLUMNS = _columns(
    ("input_name", pl.String, "the input's name as given"),
    ("input_sha256", pl.String, "SHA-256 of the decompressed bytes; NULL when the input was refused"),
    ("stored_bytes", pl.Int64, "size as stored"),
    ("content_bytes", pl.Int64, "size decompressed"),
    ("lines", pl.Int64, "physical lines, blank ones included"),
    ("blank_lines", pl.Int64, "lines with nothing but white space"),
    ("format", pl.String, "the formats found in it, comma separated"),
    ("refusal", pl.String, "reason code when the whole input was refused"),
    ("read", pl.Int64, "records read = the five fates below"),
    ("accepted", pl.Int64, "records that count"),
    ("duplicate", pl.Int64, "records already counted, with the same content"),
    ("conflict", pl.Int64, "records whose identity was already counted with other content"),
    ("excluded", pl.Int64, "records understood and not billable"),
    ("rejected", pl.Int64, "records not understood"),
    (
        "skipped",
        pl.String,
        "`same_content` when its content was counted before, so that nothing of it was counted again",
        2,
    ),
    ("assumed_account_id", pl.String, "`--account` as it was read with", 2),
    ("options_hash", pl.String, "hash of the options that change how an input is read"),
    ("tool_version", pl.String, "the version of Costroll that read it"),
    ("path", pl.String, "absolute path; NULL for standard input"),
    ("device", pl.Int64, "file system's number"),
    ("inode", pl.Int64, "file's number"),
    ("modified_ns", pl.Int64, "modification time, ns since 1970"),
    ("at_snapshot", pl.Int64, "the snapshot that recorded this reading"),
)

QUANTITY_TABLE_COLUMNS = _columns(
    ("day", pl.Date, "UTC day"),
    ("rated_at", INSTANT, "start of a stretch of time in which no rate changes"),
    ("account_id", pl.String, "as in the rollup"),
    ("project_id", pl.String, "as in the rollup"),
    ("provider", pl.String, "whose price list it is"),
    ("model", pl.String, "as in the rollup"),
    ("tier", pl.String, "service tier"),
    ("meter", pl.String, "what is counted"),
    ("caching_status", pl.String, "how caching touches it"),
    ("prompt_over_tokens", pl.Int64, "the card's largest threshold below the request's prompt, else 0"),
    ("quantity", pl.Int64, "sum; never 0"),
    ("source_kind", pl.String, "`request` or `aggregate`"),
    ("is_estimated", pl.Boolean, "tokens were counted by Costroll, not reported"),
    ("cached_is_split", pl.Boolean, "False where the log does not tell cached input apart"),
    ("rate_version", pl.Int64, "the version this day keeps; NULL: the newest"),
    ("accounting_period", pl.String, "YYYY-MM in which the cost is booked"),
    ("charge_class", pl.String, "`usage` or `correction`"),
)

ROLLUP_COLUMNS = _columns(
    ("day", pl.Date, "UTC day of the request, as providers bill"),
    ("account_id", pl.String, "from the record, else `--account`, else NULL"),
    ("project_id", pl.String, "from the record, else NULL"),
    ("provider", pl.String, "whose price list applies"),
    ("model", pl.String, "the served model, as the record says"),
    ("tier", pl.String, "service tier; NULL when an aggregate is not grouped by it"),
    ("meter", pl.String, "what is counted"),
    ("direction", pl.String, "`input`, `output` or `count`"),
    ("caching_status", pl.String, "how caching touched this quantity; `not_applicable` for outputs and counts"),
    ("quantity", pl.Int64, "how many units; never 0, and below 0 in a correction only"),
    ("unit", pl.String, "unit of `quantity`"),
    ("context_over_tokens", pl.Int64, "context band rated at: 0, or the threshold exceeded"),
    ("rate_usd_per_million", RATE, "USD per 1,000,000 units; NULL when unpriced"),
    ("cost_usd", MONEY, "quantity x rate, exact; NULL when and only when unpriced"),
    ("list_cost_usd", MONEY, "the same at list price; differs only under a contract"),
    ("price_status", pl.String, "`priced`, `priced_*`, `unpriced_*` or `not_charged`"),
    ("rate_id", pl.String, "the rate row"),
    ("rate_version", pl.Int64, "the card version that introduced that row"),
    ("priced_model", pl.String, "the card's model id it was found under"),
    ("source_kind", pl.String, "`request` or `aggregate`"),
    ("is_estimated", pl.Boolean, "tokens were counted by Costroll, not reported"),
    ("accounting_period", pl.String, "YYYY-MM in which the cost is booked; after the day's own where that is closed"),
    ("charge_class", pl.String, "`usage`, or `correction` of what is closed; see docs/closing.md"),
)

IDENTITIES_COLUMNS = _columns(
    (
        "identity",
        pl.Binary,
        "the first 16 bytes of the SHA-256 over account, provider and request id; see docs/identity.md",
    ),
    ("content_hash", pl.Int64, "hash of instant, model, tier and quantities"),
)

RATES_COLUMNS = _columns(
    (
        "rate_id",
        pl.String,
        "provider/model/tier/meter/caching_status>context@from#version; a contract's has `book:` before it",
    ),
    ("provider", pl.String, "whose price list it is"),
    ("model", pl.String, "the card's model id"),
    ("tier", pl.String, "service tier"),
    ("meter", pl.String, "what is counted"),
    ("caching_status", pl.String, "how caching touches it"),
    ("context_over_tokens", pl.Int64, "the row applies to requests with more prompt tokens than this"),
    ("effective_from", INSTANT, "inclusive; NULL: since ever"),
    ("effective_to", INSTANT, "exclusive; NULL: open"),
    ("rate_usd_per_million", RATE, "USD per 1,000,000 units"),
    ("book", pl.String, "`list`, or a contract's name"),
    ("status", pl.String, "`published`, `inferred` or `contract`"),
    ("confidence", pl.String, "how well the sources support the row"),
    ("source", pl.String, "where the rate is written"),
    ("recorded_at", INSTANT, "when Costroll learned it"),
    ("superseded_at", INSTANT, "when a later version replaced it; NULL: known now"),
    ("rate_version", pl.Int64, "the version that introduced it"),
)

ALIASES_COLUMNS = _columns(
    ("provider", pl.String, "whose price list it is"),
    ("alias", pl.String, "a model name without rates of its own"),
    ("model", pl.String, "the model whose rates it is priced under"),
    ("effective_from", INSTANT, "inclusive; NULL: since ever"),
    ("effective_to", INSTANT, "exclusive; NULL: open"),
    ("source", pl.String, "where it is written"),
    ("confidence", pl.String, "how well the sources support it"),
    ("recorded_at", INSTANT, "when Costroll learned it"),
    ("superseded_at", INSTANT, "when a later version replaced it; NULL: known now"),
    ("rate_version", pl.Int64, "the version that introduced it"),
)

CONTRACTS_COLUMNS = _columns(
    ("account_id", pl.String, "whose contract it is; NULL: of every account without one of its own"),
    ("book", pl.String, "the book of its rates"),
    ("effective_from", INSTANT, "inclusive; NULL: since ever"),
    ("effective_to", INSTANT, "exclusive; NULL: open"),
    ("source", pl.String, "where it is written"),
    ("recorded_at", INSTANT, "when Costroll learned it"),
    ("superseded_at", INSTANT, "when a later version replaced it; NULL: known now"),
    ("rate_version", pl.Int64, "the version that introduced it"),
)

STATEMENTS_COLUMNS = _columns(
    ("statement_name", pl.String, "the file's name as given"),
    ("statement_sha256", pl.String, "SHA-256 of its decompressed bytes"),
    ("provider", pl.String, "whose bill it is"),
    ("line_number", pl.Int64, "1-based physical line on which the row begins"),
    ("day", pl.Date, "UTC day that it bills, or the first of them"),
    ("last_day", pl.Date, "of a line that bills several days; NULL: `day` only"),
    ("kind", pl.String, "`usage`, `fee`, `credit`, `discount` or `tax`"),
    ("line_item", pl.String, "the provider's own words; NULL when it is not grouped by them"),
    ("model", pl.String, "as read from the line; NULL where it does not say"),
    ("tier", pl.String, "as read from the line; NULL where it does not say"),
    ("meter", pl.String, "as read from the line; NULL where it does not say"),
    ("caching_status", pl.String, "as read from the line; NULL where it does not say"),
    ("project_id", pl.String, "NULL where the line does not say"),
    ("quantity", pl.String, "exact, as text; NULL where the line does not say"),
    ("unit", pl.String, "of `quantity`"),
    ("amount_usd", pl.String, "exact, as text: a bill may write more decimals than a DECIMAL holds"),
    ("at_snapshot", pl.Int64, "the snapshot that keeps this reconciliation"),
)

VERSIONS_COLUMNS = _columns(
    ("rate_version", pl.Int64, "counts from 1"),
    ("name", pl.String, "of the card or import"),
    ("recorded_at", INSTANT, "when this warehouse learned it"),
    ("sha256", pl.String, "of the imported data"),
)

MODELS_COLUMNS = _columns(
    ("provider", pl.String, "whose model it is"),
    ("model", pl.String, "its id, as usage records have it"),
    ("context_window_tokens", pl.Int64, "the most tokens that a prompt can have; NULL: not known"),
    ("max_output_tokens", pl.Int64, "the most tokens that an answer can have; NULL: not known"),
    ("shutdown_on", pl.Date, "the day on which the provider shuts it down; NULL: none is announced, or not known"),
    ("source", pl.String, "where that is written"),
)

TABLES = {
    "usage": USAGE_COLUMNS,
    "identities": IDENTITIES_COLUMNS,
    "rejects": REJECTS_COLUMNS,
    "inputs": INPUTS_COLUMNS,
    "quantities": QUANTITY_TABLE_COLUMNS,
    "rollups": ROLLUP_COLUMNS,
    "rates": RATES_COLUMNS,
    "aliases": ALIASES_COLUMNS,
    "contracts": CONTRACTS_COLUMNS,
    "statements": STATEMENTS_COLUMNS,
    "versions": VERSIONS_COLUMNS,
    "models": MODELS_COLUMNS,
}


def columns_of(table: str, format_version: int) -> tuple[Column, ...]:
    """The columns of one of `TABLES` as a warehouse of that format holds them.

    >>> [column.name for column in columns_of("inputs", 2) if column not in columns_of("inputs", 1)]
    ['skipped', 'assumed_account_id']
    """
    return tuple(column for column in TABLES[table] if column.since_format <= format_version)


def polars_schema(table: str) -> pl.Schema:
    """The Polars schema of one of `TABLES`."""
    return pl.Schema({column.name: column.dtype for column in TABLES[table]})


@cache
def arrow_schema(table: str) -> pa.Schema:
    """The Arrow schema of one of `TABLES`, as its Parquet files carry it."""
    import pyarrow as pa  # not every command needs it

    arrow = pl.DataFrame(schema=polars_schema(table)).to_arrow().schema
    plain = {
        **dict.fromkeys((pa.large_string(), pa.string_view()), pa.string()),
        **dict.fromkeys((pa.large_binary(), pa.binary_view()), pa.binary()),
    }
    return pa.schema([field.with_type(plain.get(field.type, field.type)) for field in arrow])


def with_columns_of(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The frame with NULL columns for those of the schema that it lacks."""
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in schema.items() if name not in frame.columns]
    return frame.with_columns(missing) if missing else frame
