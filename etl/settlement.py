"""Settle a run's candidates day by day, write what is accepted, and sum the touched days anew."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import polars as pl

from etl.errors import IntegrityError
from etl.expired_days import ExpiredDays
from etl.ledger import DIMENSIONS, KEY, LATER, Settled, settle
from etl.meters import QUANTITY_COLUMNS
from etl.quantities import USED_COLUMNS, aggregate
from etl.rate_card import RateCard, change_instants, thresholds
from etl.run_report import InputReport, Options
from etl.schema import polars_schema
from etl.sources import SOURCES
from etl.spool import Spool
from etl.warehouse import Snapshot, SnapshotBuilder

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
_STATES = [source.name for source in SOURCES if source.is_state]
_APART = [source.name for source in SOURCES if source.is_apart]
# An estimate is a state, too, and smaller than any reported usage: it stands until that comes.
_IS_STATE = pl.col("source").is_in(_STATES) | pl.col("is_estimated")
_SIZE = pl.sum_horizontal(SIZE_COLUMNS) - pl.col("is_estimated").cast(pl.Int64) * 2**50
_COVERS = {source.name: source.covers or source.name for source in SOURCES}


@dataclass
class WrittenDay:
    """A day whose usage changed: its quantities as a whole, and what its new file must hold."""

    quantities: pl.DataFrame | None
    expected: dict[str, dict[str, Any]] = field(default_factory=dict)


class Settlement:
    """The outcome of a run, day by day.

    Attributes:
        touched: the days whose usage changed.
        expected: new usage file -> the rows and sums that it must hold.
        closure: day -> fate -> candidates.
        expired: the days whose usage has expired; of these, quantities are what this run adds.
        estimated: how many accepted records are estimates.
        late_rejects: candidates set aside here, in the table `rejects` as far as known, with `input_index`.
    """

    def __init__(
        self,
        parent: Snapshot | None,
        builder: SnapshotBuilder,
        card: RateCard,
        inputs: list[InputReport],
        options: Options,
    ) -> None:
        self._parent, self._builder, self._card = parent, builder, card
        self._inputs, self._options = inputs, options
        self._thresholds, self._cuts = thresholds(card), change_instants(card)
        counted = [(report.sha256 or "", index) for index, report in enumerate(inputs) if report.counts_now]
        # Rows are ordered by input and line; a rank sorts as the hashes do, and faster.
        self._rank = {index: rank for rank, (_, index) in enumerate(sorted(counted))}
        self._sha256 = [sha256 for sha256, _ in sorted(counted)]
        self.touched: set[date] = set()
        self.expected: dict[str, dict[str, Any]] = {}
        self.closure: dict[str, dict[str, int]] = {}
        self.expired = ExpiredDays(parent)
        self.estimated = 0
        self.late_rejects: list[pl.DataFrame] = []

    def settle(self, spool: Spool) -> list[pl.DataFrame]:
        """Settle all days from the latest to the earliest.

        Returns:
            The quantities of each touched day: as a whole, or where its usage has expired, what is new.
        """
        later, later_day = pl.DataFrame(schema={name: _PUBLISHED[name] for name in LATER}), None
        jobs: list[Future[WrittenDay]] = []
        with ThreadPoolExecutor(self._options.threads, thread_name_prefix="write") as pool:
            for day in spool.days():
                candidates = self._completed(spool.take(day))
                if candidates.is_empty():
                    continue
                if later_day != day + timedelta(days=1):
                    later = later.clear()
                published = self._published_around(day)
                candidates = _sized(candidates, published)
                expired = self.expired.around(day, published)
                settled = settle(candidates, published, later, replace=self._options.replace, expired=expired)
                self._count(day, candidates.height, settled)
                if settled.accepted.height or settled.displaced.height:
                    self.touched.add(day)
                    jobs.append(pool.submit(self._write, day, settled))
                requests = settled.accepted.filter(pl.col("source_kind") == "request")
                later, later_day = requests.select(LATER), day
            written = [job.result() for job in jobs]
        for one in written:
            self.expected |= one.expected
        return [one.quantities for one in written if one.quantities is not None]

    def version_of(self, day: date) -> int:
        """The card version that a day keeps, or gets."""
        facts = self._parent.manifest.get("days", {}).get(day.isoformat(), {}) if self._parent else {}
        return int(facts.get("rate_version", self._card.newest()))

    def _completed(self, candidates: pl.DataFrame) -> pl.DataFrame:
        """The candidates of inputs that count, in order, with every column that the ledger needs."""
        indexes = list(self._rank)
        if len(indexes) < len(self._inputs):
            candidates = candidates.filter(pl.col("input_index").is_in(indexes))
        ranks = pl.col("input_index").replace_strict(indexes, list(self._rank.values()), return_dtype=pl.Int64)
        candidates = with_columns_of(candidates.with_columns(input_rank=ranks), polars_schema("usage"))
        candidates = _in_order(candidates.with_columns(pl.col("is_estimated").fill_null(False)))
        end = pl.col("interval_end") if "interval_end" in candidates.columns else pl.lit(None, pl.Int64)
        return candidates.with_columns(
            width=end - pl.col("occurred_at").dt.epoch("s"),
            is_state=_IS_STATE,
            is_apart=pl.col("source").is_in(_APART),
            covers=pl.col("source").replace(_COVERS),
            row=pl.int_range(pl.len()),
        )

    def _published_around(self, day: date) -> pl.DataFrame:
        around = [day + timedelta(days=offset) for offset in (-1, 0, 1)]
        files = [file for near in around for file in (self._parent.files("usage", near) if self._parent else [])]
        if not files:
            return pl.DataFrame(schema=_PUBLISHED)
        columns = [
            *KEY,
            *DIMENSIONS,
            "day",
            "occurred_at",
            "source",
            "source_kind",
            "is_estimated",
            "content_hash",
            "requests",
            *SIZE_COLUMNS,
        ]
        start = pl.col("occurred_at").dt.epoch("s")
        end = pl.col("request_id").str.extract(r"^\d+-(\d+)").cast(pl.Int64, strict=False)
        width = pl.when(pl.col("source_kind") == "aggregate").then(end - start)
        usage = pl.read_parquet(files, columns=columns)
        return usage.with_columns(
            tokens=_SIZE,
            width=width,
            is_state=_IS_STATE,
            is_apart=pl.col("source").is_in(_APART),
            covers=pl.col("source").replace(_COVERS),
        ).select(_PUBLISHED.names())

    def _count(self, day: date, candidates: int, settled: Settled) -> None:
        """Book each candidate's fate to its input; they must be as many as the candidates."""
        outcomes = [settled.accepted.select("input_index", fate=pl.lit("accepted"), reason=pl.lit(None, pl.String))]
        outcomes += [frame.select("input_index", "fate", "reason") for frame in settled.fates]
        met = pl.concat(outcomes)
        if met.height != candidates:
            raise IntegrityError(f"{day}: {candidates:,} records met {met.height:,} fates; nothing was published")
        for index, fate, reason, number in met.group_by("input_index", "fate", "reason").len().rows():
            report = self._inputs[index]
            if fate == "accepted":
                report.counts.accepted += number
            else:
                report.reasons[fate, reason] += number
        self.estimated += int(settled.accepted["is_estimated"].sum())
        self.closure[day.isoformat()] = dict(met.group_by("fate").len().sort("fate").rows())
        for frame in settled.fates:
            late = frame.filter(pl.col("fate").is_in(["conflict", "rejected"]))
            if late.height:
                self._set_aside(late)

    def _set_aside(self, late: pl.DataFrame) -> None:
        for index, reason, line in late.select("input_index", "reason", "line_number").rows():
            self._inputs[index].note_line(reason, line)
        kept = pl.col("kept_content_hash") if "kept_content_hash" in late.columns else pl.lit(None, pl.Int64)
        is_conflict = pl.col("fate") == "conflict"
        self.late_rejects.append(
            late.select(
                "line_number",
                "fate",
                "reason",
                "input_index",
                request_id=pl.when(is_conflict).then("request_id"),
                content_hash=pl.when(is_conflict).then("content_hash"),
                kept_content_hash=pl.when(is_conflict).then(kept),
            )
        )

    def _write(self, day: date, settled: Settled) -> WrittenDay:
        """Write the day's accepted rows as a file of their own, and sum the whole day."""
        kept = [] if day in self.expired else self._without_displaced(day, settled.displaced)
        schema = polars_schema("usage")
        shas = pl.col("input_rank").replace_strict(dict(enumerate(self._sha256)), return_dtype=pl.String)
        rows = settled.accepted.with_columns(
            input_sha256=shas, accepted_snapshot=pl.lit(self._builder.number, pl.Int64)
        )
        rows = _in_order(rows).select(schema.names()).cast(schema)
        written = WrittenDay(None)
        if rows.height:
            relative = f"usage/{day}/{self._builder.number:08d}.parquet"
            self._write_parquet(relative, rows)
            written.expected[relative] = _expected(rows)
        whole = pl.concat([frame.select(USED_COLUMNS) for frame in (*kept, rows)])
        if whole.height:
            written.quantities = aggregate(whole, self._thresholds, self._cuts, self.version_of(day))
        return written

    def _write_parquet(self, relative: str, rows: pl.DataFrame) -> None:
        with self._builder.new_file(relative) as file:
            rows.write_parquet(file, compression="zstd", compression_level=1)

    def _without_displaced(self, day: date, displaced: pl.DataFrame) -> list[pl.DataFrame]:
        """The day's published usage without the displaced rows; files that held any are written anew."""
        kept = []
        for file in self._parent.files("usage", day) if self._parent else []:
            assert self._parent is not None
            if displaced.is_empty():
                kept.append(pl.read_parquet(file, columns=list(USED_COLUMNS)))
                continue
            relative = str(file.relative_to(self._parent.path))
            rows = pl.read_parquet(file)
            left = rows.join(displaced, on=KEY, how="anti", nulls_equal=True, maintain_order="left")
            if left.height == 0:
                self._builder.drop(relative)
            elif left.height != rows.height:
                self._write_parquet(relative, left)
            kept.append(left)
        return kept


def _sized(candidates: pl.DataFrame, published: pl.DataFrame) -> pl.DataFrame:
    """The candidates with `tokens`, where any that may be compared is an aggregate or a state; most nights none is."""
    frames = (candidates, published)
    is_plain = all((one["source_kind"] == "request").all() and not one["is_state"].any() for one in frames)
    return candidates.with_columns(tokens=pl.lit(None, pl.Int64) if is_plain else _SIZE)


def _in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows by input and line; most come that way, and then looking is cheaper than sorting."""
    place = rows["input_rank"] * 2**40 + rows["line_number"]
    return rows if place.is_sorted() else rows.sort("input_rank", "line_number", maintain_order=True)


def with_columns_of(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The frame with NULL columns for those of the schema that it lacks."""
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in schema.items() if name not in frame.columns]
    return frame.with_columns(missing) if missing else frame


def _expected(rows: pl.DataFrame) -> dict[str, Any]:
    columns = ["requests", *(column for column, _, _ in QUANTITY_COLUMNS if rows[column].null_count() < rows.height)]
    return {"rows": rows.height, "sums": rows.select(pl.col(columns).sum()).to_dicts()[0]}
