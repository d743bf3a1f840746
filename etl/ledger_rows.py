"""Rows as the ledger compares them: candidates of this run, and what is published around their day."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import polars as pl

from etl.day_candidates import Hashes, as_text
from etl.ledger import COVERED, DIMENSIONS, KEY, LATER
from etl.manifest import Snapshot
from etl.meters import QUANTITY_COLUMNS
from etl.raw_rows import FINGERPRINT_PREFIX
from etl.schema import polars_schema, with_columns_of
from etl.sources import SOURCES

# What makes one state of a request or aggregate larger than another; not all that is counted is tokens.
SIZE_COLUMNS = [column for column, _, _ in QUANTITY_COLUMNS]
_SIZES = ("content_hash", "requests", "tokens", "width")
_PUBLISHED = pl.Schema(
    {
        **dict.fromkeys((*KEY, *DIMENSIONS, "source_kind", "covers"), pl.String),
        **dict.fromkeys(_SIZES, pl.Int64),
        "day": pl.Date,
        "is_state": pl.Boolean,
        "is_apart": pl.Boolean,
    }
)
_READ = (
    *(*KEY, *DIMENSIONS, "day", "occurred_at", "source", "source_kind", "is_estimated", "content_hash", "requests"),
    *SIZE_COLUMNS,
)
_STATES = [source.name for source in SOURCES if source.is_state]
_APART = [source.name for source in SOURCES if source.is_apart]
_COVERS = {source.name: source.covers or source.name for source in SOURCES}
_SAID_OF_SOURCE = {
    # An estimate is a state, too, and smaller than any reported usage: it stands until that comes.
    "is_state": pl.col("source").is_in(_STATES) | pl.col("is_estimated"),
    "is_apart": pl.col("source").is_in(_APART),
    "covers": pl.col("source").replace(_COVERS),
    "tokens": pl.sum_horizontal(SIZE_COLUMNS) - pl.col("is_estimated").cast(pl.Int64) * 2**50,
}


def as_candidates(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows from the spool, in the types of USAGE, with every column that `etl.ledger.settle` needs of candidates."""
    whole = with_columns_of(rows, polars_schema("usage")).with_columns(pl.col("is_estimated").fill_null(False))
    whole = with_columns_of(whole, pl.Schema({"is_fingerprint": pl.Boolean(), "interval_end": pl.Int64()}))
    width = pl.col("interval_end") - pl.col("occurred_at").dt.epoch("s")
    return whole.with_columns(pl.col("is_fingerprint").fill_null(False), width=width, **_SAID_OF_SOURCE)


def as_later(pieces: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """The requests among accepted rows as `etl.ledger.settle` takes those of the following day."""
    schema = pl.Schema({name: _PUBLISHED[name] for name in LATER})
    found = [as_candidates(as_text(piece)).filter(pl.col("source_kind") == "request").select(LATER) for piece in pieces]
    return pl.concat(found) if found else pl.DataFrame(schema=schema)


def covered_by(pieces: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """What the requests among accepted rows cover: distinct COVERED."""
    names = ("account_id", "provider", "source", "source_kind")
    types = polars_schema("usage")
    found = [
        with_columns_of(piece.select(name for name in names if name in piece.columns), _types(names))
        .unique()
        .cast({name: types[name] for name in names})
        .select(names)
        for piece in pieces
    ]
    return _covered(pl.concat(found)) if found else pl.DataFrame(schema={name: _PUBLISHED[name] for name in COVERED})


def _types(names: Iterable[str]) -> pl.Schema:
    return pl.Schema({name: polars_schema("usage")[name] for name in names})


def _covered(rows: pl.DataFrame) -> pl.DataFrame:
    requests = rows.filter(pl.col("source_kind") == "request")
    said = {name: _SAID_OF_SOURCE[name] for name in ("covers", "is_apart")}
    return requests.with_columns(**said).select(COVERED).unique()


class PublishedAround:
    """The published usage of a day and the days beside it, of which as little is read as will do.

    Args:
        snapshot: the published one; None before the first run.
        day: whose candidates are to be settled.
    """

    def __init__(self, snapshot: Snapshot | None, day: date) -> None:
        near = [day + timedelta(days=offset) for offset in (-1, 0, 1)]
        self._day = day
        self._files = [file for one in near for file in (snapshot.files("usage", one) if snapshot else [])]
        self._own = snapshot.files("usage", day) if snapshot else []

    def ids(self) -> Hashes:
        """The hashes of all request ids, as `etl.day_candidates` makes them."""
        if not self._files:
            return np.zeros(0, np.uint64)
        return pl.read_parquet(self._files, columns=["request_id"])["request_id"].hash().to_numpy()

    @cached_property
    def has_aggregates(self) -> bool:
        """Whether aggregates count any of the day."""
        if not self._own:
            return False
        return "aggregate" in pl.read_parquet(self._own, columns=["source_kind"])["source_kind"]

    def covered(self) -> pl.DataFrame:
        """What the requests of the day cover: distinct COVERED."""
        names = ("account_id", "provider", "source", "source_kind")
        rows = pl.read_parquet(self._own, columns=list(names)) if self._own else pl.DataFrame(schema=_types(names))
        return _covered(rows.unique())

    def met_by(self, candidates: pl.DataFrame) -> pl.DataFrame:
        """As `etl.ledger.settle` takes it: the requests with an id of these candidates, and the aggregates."""
        if not self._files:
            return pl.DataFrame(schema=_PUBLISHED)
        is_met = (pl.col("source_kind") == "aggregate") | pl.col("request_id").is_in(candidates["request_id"].implode())
        if candidates["is_fingerprint"].any():  # the ledger is going to number these
            is_met |= pl.col("request_id").str.starts_with(FINGERPRINT_PREFIX)
        return self._as_published(pl.scan_parquet(self._files).filter(is_met))

    def of_the_day(self) -> pl.DataFrame:
        """KEY and `content_hash` of all that is published for the day itself."""
        schema = {name: _PUBLISHED[name] for name in (*KEY, "content_hash")}
        return pl.read_parquet(self._own, columns=list(schema)) if self._own else pl.DataFrame(schema=schema)

    @staticmethod
    def _as_published(rows: pl.LazyFrame) -> pl.DataFrame:
        start = pl.col("occurred_at").dt.epoch("s")
        end = pl.col("request_id").str.extract(r"^\d+-(\d+)").cast(pl.Int64, strict=False)
        width = pl.when(pl.col("source_kind") == "aggregate").then(end - start)
        usage = rows.select(_READ).with_columns(width=width, **_SAID_OF_SOURCE)
        return usage.select(_PUBLISHED.names()).collect()
