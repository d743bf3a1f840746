"""The tables: every column's name, type and meaning, born here and nowhere else.

Times are naive UTC (`TIMESTAMP` in microseconds); money is DECIMAL(38,12) USD; rates are DECIMAL(18,6)
USD per 1,000,000 units; NULL means "no such value".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from etl.meters import QUANTITY_COLUMNS

if TYPE_CHECKING:  # a query needs the names only, and Polars takes longer to import than most queries
    import polars as pl
    import pyarrow as pa

DATE, INSTANT, TEXT, BIGINT, BOOLEAN, BLOB = "DATE", "TIMESTAMP", "VARCHAR", "BIGINT", "BOOLEAN", "BLOB"
MONEY, RATE = "DECIMAL(38,12)", "DECIMAL(18,6)"


@dataclass(frozen=True)
class Column:
    """One column: its type in SQL, what a value in it means, and the warehouse format that brought it."""

    name: str
    sql_type: str
    meaning: str
    since_format: int = 1


def _columns(*rows: tuple[str, str, str] | tuple[str, str, str, int]) -> tuple[Column, ...]:
    return tuple(Column(*row) for row in rows)


USAGE_COLUMNS = _columns(
    ("day", DATE, "UTC day of `occurred_at`; the partition"),
    ("occurred_at", INSTANT, "when the request was made, or the start of an aggregate's interval"),
    ("account_id", TEXT, "from the record, else `--account`"),
    ("project_id", TEXT, "from the record, else its wrapper"),
    ("api_key_id", TEXT, "the provider's id of the key, never the key"),
    ("user_id", TEXT, "from the record, else its wrapper"),
    ("workflow_id", TEXT, "from the wrapper: the chain of calls this one belongs to"),
    ("provider", TEXT, "whose price list applies"),
    ("source", TEXT, "the record shape it was read as; see `costroll formats`"),
    ("source_kind", TEXT, "`request` or `aggregate`"),
    ("request_id", TEXT, "the identity within account and provider; see docs/identity.md"),
    ("content_hash", BIGINT, "hash of instant, model, tier and quantities"),
    ("model", TEXT, "the served model, as the record says"),
    ("tier", TEXT, "service tier; NULL when an aggregate is not grouped by it"),
    ("tier_is_assumed", BOOLEAN, "the record named no tier and standard was assumed"),
    ("prompt_tokens", BIGINT, "all prompt tokens of the request; decides its context band"),
    ("requests", BIGINT, "1, or the number of requests an aggregate counts"),
    ("reasoning_tokens", BIGINT, "for information; already inside `output_tokens`"),
    *(
        (column, BIGINT, f"quantity of meter `{meter}`, caching status `{status}`")
        for column, meter, status in QUANTITY_COLUMNS
    ),
    ("is_estimated", BOOLEAN, "tokens were counted by Costroll, not reported by the provider"),
    ("input_sha256", TEXT, "SHA-256 of the input's decompressed bytes"),
    ("line_number", BIGINT, "1-based physical line in the decompressed input where the record begins"),
    ("accepted_snapshot", BIGINT, "the snapshot that first published this record"),
)  # fmt: skip

# Columns of USAGE with few distinct values: as categories they take four bytes a row instead of sixteen and more.
REPETITIVE = (
    "account_id", "project_id", "api_key_id", "user_id", "provider", "model", "tier", "source", "source_kind"
)  # fmt: skip

REJECTS_COLUMNS = _columns(
    ("input_name", TEXT, "the input's name as given"),
    ("input_sha256", TEXT, "SHA-256 of the input's decompressed bytes"),
    ("line_number", BIGINT, "1-based physical line where the record begins"),
    ("byte_offset", BIGINT, "of that line in the decompressed input"),
    ("byte_length", BIGINT, "of that line, without its terminator"),
    ("fate", TEXT, "`rejected` or `conflict`"),
    ("reason", TEXT, "reason code; see docs/fates.md"),
    ("line_sha256", TEXT, "SHA-256 of the line's bytes, without its terminator"),
    ("request_id", TEXT, "of a conflict: the identity both records claim"),
    ("content_hash", BIGINT, "of a conflict: the content that was set aside"),
    ("kept_content_hash", BIGINT, "of a conflict: the content that stands"),
    ("at_snapshot", BIGINT, "the snapshot that recorded this"),
)

INPUTS_COLUMNS = _columns(
    ("input_name", TEXT, "the input's name as given"),
    ("input_sha256", TEXT, "SHA-256 of the decompressed bytes; NULL when the input was refused"),
    ("stored_bytes", BIGINT, "size as stored"),
    ("content_bytes", BIGINT, "size decompressed"),
    ("lines", BIGINT, "physical lines, blank ones included"),
    ("blank_lines", BIGINT, "lines with nothing but white space"),
    ("format", TEXT, "the formats found in it, comma separated"),
    ("refusal", TEXT, "reason code when the whole input was refused"),
    ("read", BIGINT, "records read = the five fates below"),
    ("accepted", BIGINT, "records that count"),
    ("duplicate", BIGINT, "records already counted, with the same content"),
    ("conflict", BIGINT, "records whose identity was already counted with other content"),
    ("excluded", BIGINT, "records understood and not billable"),
    ("rejected", BIGINT, "records not understood"),
    (
        "skipped",
        TEXT,
        "`same_content` when its content was counted before, so that nothing of it was counted again",
        2,
    ),
    ("assumed_account_id", TEXT, "`--account` as it was read with", 2),
    ("options_hash", TEXT, "hash of the options that change how an input is read"),
    ("tool_version", TEXT, "the version of Costroll that read it"),
    ("path", TEXT, "absolute path; NULL for standard input"),
    ("device", BIGINT, "file system's number"),
    ("inode", BIGINT, "file's number"),
    ("modified_ns", BIGINT, "modification time, ns since 1970"),
    ("at_snapshot", BIGINT, "the snapshot that recorded this reading"),
)

QUANTITY_TABLE_COLUMNS = _columns(
    ("day", DATE, "UTC day"),
    ("rated_at", INSTANT, "start of a stretch of time in which no rate changes"),
    ("account_id", TEXT, "as in the rollup"),
    ("project_id", TEXT, "as in the rollup"),
    ("provider", TEXT, "whose price list it is"),
    ("model", TEXT, "as in the rollup"),
    ("tier", TEXT, "service tier"),
    ("meter", TEXT, "what is counted"),
    ("caching_status", TEXT, "how caching touches it"),
    ("prompt_over_tokens", BIGINT, "the card's largest threshold below the request's prompt, else 0"),
    ("quantity", BIGINT, "sum; never 0"),
    ("source_kind", TEXT, "`request` or `aggregate`"),
    ("is_estimated", BOOLEAN, "tokens were counted by Costroll, not reported"),
    ("cached_is_split", BOOLEAN, "False where the log does not tell cached input apart"),
    ("rate_version", BIGINT, "the version this day keeps; NULL: the newest"),
    ("accounting_period", TEXT, "YYYY-MM in which the cost is booked"),
    ("charge_class", TEXT, "`usage` or `correction`"),
)

ROLLUP_COLUMNS = _columns(
    ("day", DATE, "UTC day of the request, as providers bill"),
    ("account_id", TEXT, "from the record, else `--account`, else NULL"),
    ("project_id", TEXT, "from the record, else NULL"),
    ("provider", TEXT, "whose price list applies"),
    ("model", TEXT, "the served model, as the record says"),
    ("tier", TEXT, "service tier; NULL when an aggregate is not grouped by it"),
    ("meter", TEXT, "what is counted"),
    ("direction", TEXT, "`input`, `output` or `count`"),
    ("caching_status", TEXT, "how caching touched this quantity; `not_applicable` for outputs and counts"),
    ("quantity", BIGINT, "how many units; never 0, and below 0 in a correction only"),
    ("unit", TEXT, "unit of `quantity`"),
    ("context_over_tokens", BIGINT, "context band rated at: 0, or the threshold exceeded"),
    ("rate_usd_per_million", RATE, "USD per 1,000,000 units; NULL when unpriced"),
    ("cost_usd", MONEY, "quantity x rate, exact; NULL when and only when unpriced"),
    ("list_cost_usd", MONEY, "the same at list price; differs only under a contract"),
    ("price_status", TEXT, "`priced`, `priced_*`, `unpriced_*` or `not_charged`"),
    ("rate_id", TEXT, "the rate row"),
    ("rate_version", BIGINT, "the card version that introduced that row"),
    ("priced_model", TEXT, "the card's model id it was found under"),
    ("source_kind", TEXT, "`request` or `aggregate`"),
    ("is_estimated", BOOLEAN, "tokens were counted by Costroll, not reported"),
    ("accounting_period", TEXT, "YYYY-MM in which the cost is booked; after the day's own where that is closed"),
    ("charge_class", TEXT, "`usage`, or `correction` of what is closed; see docs/closing.md"),
)

IDENTITIES_COLUMNS = _columns(
    (
        "identity",
        BLOB,
        "the first 16 bytes of the SHA-256 over account, provider and request id; see docs/identity.md",
    ),
    ("content_hash", BIGINT, "hash of instant, model, tier and quantities"),
)

RATES_COLUMNS = _columns(
    (
        "rate_id",
        TEXT,
        "provider/model/tier/meter/caching_status>context@from#version; a contract's has `book:` before it",
    ),
    ("provider", TEXT, "whose price list it is"),
    ("model", TEXT, "the card's model id"),
    ("tier", TEXT, "service tier"),
    ("meter", TEXT, "what is counted"),
    ("caching_status", TEXT, "how caching touches it"),
    ("context_over_tokens", BIGINT, "the row applies to requests with more prompt tokens than this"),
    ("effective_from", INSTANT, "inclusive; NULL: since ever"),
    ("effective_to", INSTANT, "exclusive; NULL: open"),
    ("rate_usd_per_million", RATE, "USD per 1,000,000 units"),
    ("book", TEXT, "`list`, or a contract's name"),
    ("status", TEXT, "`published`, `inferred` or `contract`"),
    ("confidence", TEXT, "how well the sources support the row"),
    ("source", TEXT, "where the rate is written"),
    ("recorded_at", INSTANT, "when Costroll learned it"),
    ("superseded_at", INSTANT, "when a later version replaced it; NULL: known now"),
    ("rate_version", BIGINT, "the version that introduced it"),
)

ALIASES_COLUMNS = _columns(
    ("provider", TEXT, "whose price list it is"),
    ("alias", TEXT, "a model name without rates of its own"),
    ("model", TEXT, "the model whose rates it is priced under"),
    ("effective_from", INSTANT, "inclusive; NULL: since ever"),
    ("effective_to", INSTANT, "exclusive; NULL: open"),
    ("source", TEXT, "where it is written"),
    ("confidence", TEXT, "how well the sources support it"),
    ("recorded_at", INSTANT, "when Costroll learned it"),
    ("superseded_at", INSTANT, "when a later version replaced it; NULL: known now"),
    ("rate_version", BIGINT, "the version that introduced it"),
)

CONTRACTS_COLUMNS = _columns(
    ("account_id", TEXT, "whose contract it is; NULL: of every account without one of its own"),
    ("book", TEXT, "the book of its rates"),
    ("effective_from", INSTANT, "inclusive; NULL: since ever"),
    ("effective_to", INSTANT, "exclusive; NULL: open"),
    ("source", TEXT, "where it is written"),
    ("recorded_at", INSTANT, "when Costroll learned it"),
    ("superseded_at", INSTANT, "when a later version replaced it; NULL: known now"),
    ("rate_version", BIGINT, "the version that introduced it"),
)

STATEMENTS_COLUMNS = _columns(
    ("statement_name", TEXT, "the file's name as given"),
    ("statement_sha256", TEXT, "SHA-256 of its decompressed bytes"),
    ("provider", TEXT, "whose bill it is"),
    ("line_number", BIGINT, "1-based physical line on which the row begins"),
    ("day", DATE, "UTC day that it bills, or the first of them"),
    ("last_day", DATE, "of a line that bills several days; NULL: `day` only"),
    ("kind", TEXT, "`usage`, `fee`, `credit`, `discount` or `tax`"),
    ("line_item", TEXT, "the provider's own words; NULL when it is not grouped by them"),
    ("model", TEXT, "as read from the line; NULL where it does not say"),
    ("tier", TEXT, "as read from the line; NULL where it does not say"),
    ("meter", TEXT, "as read from the line; NULL where it does not say"),
    ("caching_status", TEXT, "as read from the line; NULL where it does not say"),
    ("project_id", TEXT, "NULL where the line does not say"),
    ("quantity", TEXT, "exact, as text; NULL where the line does not say"),
    ("unit", TEXT, "of `quantity`"),
    ("amount_usd", TEXT, "exact, as text: a bill may write more decimals than a DECIMAL holds"),
    ("at_snapshot", BIGINT, "the snapshot that keeps this reconciliation"),
)

VERSIONS_COLUMNS = _columns(
    ("rate_version", BIGINT, "counts from 1"),
    ("name", TEXT, "of the card or import"),
    ("recorded_at", INSTANT, "when this warehouse learned it"),
    ("sha256", TEXT, "of the imported data"),
)

MODELS_COLUMNS = _columns(
    ("provider", TEXT, "whose model it is"),
    ("model", TEXT, "its id, as usage records have it"),
    ("context_window_tokens", BIGINT, "the most tokens that a prompt can have; NULL: not known"),
    ("max_output_tokens", BIGINT, "the most tokens that an answer can have; NULL: not known"),
    ("shutdown_on", DATE, "the day on which the provider shuts it down; NULL: none is announced, or not known"),
    ("source", TEXT, "where that is written"),
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
    import polars as pl

    types: dict[str, pl.DataType] = {
        DATE: pl.Date(), INSTANT: pl.Datetime("us"), TEXT: pl.String(), BIGINT: pl.Int64(), BOOLEAN: pl.Boolean(),
        BLOB: pl.Binary(), MONEY: pl.Decimal(38, 12), RATE: pl.Decimal(18, 6),
    }  # fmt: skip
    return pl.Schema({column.name: types[column.sql_type] for column in TABLES[table]})


@cache
def arrow_schema(table: str) -> pa.Schema:
    """The Arrow schema of one of `TABLES`, as its Parquet files carry it."""
    import polars as pl
    import pyarrow as pa

    arrow = pl.DataFrame(schema=polars_schema(table)).to_arrow().schema
    plain = {
        **dict.fromkeys((pa.large_string(), pa.string_view()), pa.string()),
        **dict.fromkeys((pa.large_binary(), pa.binary_view()), pa.binary()),
    }
    return pa.schema([field.with_type(plain.get(field.type, field.type)) for field in arrow])


def with_columns_of(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The frame with NULL columns for those of the schema that it lacks."""
    import polars as pl

    missing = [pl.lit(None, dtype).alias(name) for name, dtype in schema.items() if name not in frame.columns]
    return frame.with_columns(missing) if missing else frame
