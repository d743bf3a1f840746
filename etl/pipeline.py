"""The nightly job, end to end: read, settle, aggregate, rate, publish; the counts close or nothing is published."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from etl import __version__
from etl.errors import IntegrityError, StrictError
from etl.fates import Counts
from etl.framing import Input
from etl.inputs import find
from etl.judging import Reading
from etl.ledger import DIMENSIONS, KEY, Settled, settle
from etl.meters import QUANTITY_COLUMNS
from etl.quantities import USED_COLUMNS, aggregate
from etl.rate_card import RateCard, change_instants, current_card, shipped_card, thresholds
from etl.rate_checks import validated
from etl.rating import rate
from etl.reading import End, Part, read_inputs
from etl.schema import arrow_schema, polars_schema
from etl.sources import SOURCE_BY_NAME
from etl.spool import Spool
from etl.warehouse import Snapshot, SnapshotBuilder, Warehouse

TOKEN_COLUMNS = [column for column, _, _ in QUANTITY_COLUMNS if column.endswith("_tokens")]
NOT_ALARMING = ("unpriced_provisioned", "unpriced_complimentary")
_PUBLISHED = {
    **dict.fromkeys((*KEY, *DIMENSIONS, "source_kind"), pl.String),
    "day": pl.Date,
    **dict.fromkeys(("content_hash", "requests", "tokens", "width"), pl.Int64),
}


@dataclass(frozen=True)
class Options:
    """What a run was asked for.

    Attributes:
        account: the account of records that name none.
        source: the one source to read as (`--format`).
        assume_zone: the IANA zone of times without one.
        replace: take aggregates of another width or grouping instead of those published.
        rehash: read files again although path, size, time and inode are unchanged.
        strict: publish nothing when something needs attention.
        threads: how many to read with.
    """

    account: str | None = None
    source: str | None = None
    assume_zone: str | None = None
    replace: bool = False
    rehash: bool = False
    strict: bool = False
    threads: int = 2

    def reading_hash(self) -> str:
        """Hash of the options that change how an input is read."""
        text = json.dumps([self.account, self.source, self.assume_zone])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass
class InputReport:
    """What became of one input.

    Attributes:
        skipped: why its records were not looked at again, if so.
        reasons: how many records met each (fate, reason).
        first_lines: for each reason to reject, the first line it was met at.
    """

    name: str
    path: Path | None
    counts: Counts = field(default_factory=Counts)
    refusal: tuple[str, str] | None = None
    skipped: str | None = None
    sha256: str | None = None
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    first_lines: dict[str, int] = field(default_factory=dict)
    row: dict[str, Any] = field(default_factory=dict)


@dataclass
class RunReport:
    """What a run did.

    Attributes:
        snapshot: the number published, or None when nothing changed.
        unpriced: price status -> quantity that this run added without a price, by meter unit.
    """

    inputs: list[InputReport]
    counts: Counts
    other_files: int
    snapshot: Snapshot | None
    is_first: bool
    days: list[date]
    unpriced: dict[str, int]

    @property
    def needs_attention(self) -> bool:
        """Whether this run met something new that a person should look at."""
        troubled = any(report.refusal for report in self.inputs)
        return troubled or bool(self.counts.rejected or self.counts.conflict or self.alarming)

    @property
    def alarming(self) -> dict[str, int]:
        """The unpriced quantities that are not so by arrangement."""
        return {status: quantity for status, quantity in self.unpriced.items() if status not in NOT_ALARMING}


def run(
    paths: Sequence[str],
    root: Path,
    options: Options,
    *,
    now: datetime | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> RunReport:
    """Read, rate and publish, in one commit.

    Args:
        paths: files, folders, globs, or `-`.
        root: the warehouse.
        options: how.
        now: the instant of the run in naive UTC; nothing but the plausibility of times depends on it.
        on_progress: called with bytes done and bytes in all.

    Raises:
        CostrollError: nothing was published.
    """
    found = find(paths)
    began = now or datetime.now(UTC).replace(tzinfo=None)
    source = SOURCE_BY_NAME[options.source] if options.source else None
    reading = Reading(began + timedelta(days=1), options.account, options.assume_zone, source)
    warehouse = Warehouse(root)
    with warehouse.lock():
        parent = warehouse.current()
        builder = warehouse.begin(parent)
        spool_folder = warehouse.root / ".staging-spool"
        try:
            night = _Night(parent, builder, options, Spool(spool_folder))
            for name, code, text in found.refused:
                night.reports.append(InputReport(name, None, refusal=(code, text)))
            night.read(found.inputs, reading, on_progress)
            night.settle()
            report = night.publish(found.other_files)
        except BaseException:
            builder.discard()
            raise
        finally:
            shutil.rmtree(spool_folder, ignore_errors=True)
    return report


class _Night:
    """One run in the making: what was read, what stands, what is to be published."""

    def __init__(self, parent: Snapshot | None, builder: SnapshotBuilder, options: Options, spool: Spool) -> None:
        self.parent, self.builder, self.options, self.spool = parent, builder, options, spool
        self.card = _card_of(parent)
        self.reports: list[InputReport] = []
        self.read_reports: list[InputReport] = []  # by input index
        self.rejects: list[pl.DataFrame] = []
        self.history = _table(parent, "inputs")
        self.quantities: list[pl.DataFrame] = []
        self.accepted_days: dict[date, dict[str, Any]] = {}
        self.touched: set[date] = set()
        self.days_closure: dict[str, dict[str, int]] = {}

    # --- reading

    def read(self, inputs: Sequence[Input], reading: Reading, on_progress: Callable[[int, int], None] | None) -> None:
        """Read the inputs that are new or changed into the spool."""
        wanted = []
        for source in sorted(inputs, key=lambda source: source.name):
            report = InputReport(source.name, source.path)
            self.reports.append(report)
            if self._is_unchanged(source):
                report.skipped = "unchanged since it was read"
            else:
                wanted.append((source, report))
        total = sum(source.path.stat().st_size for source, _ in wanted if source.path and source.path.exists())
        done = 0
        for item in read_inputs([source for source, _ in wanted], reading, self.options.threads):
            report = wanted[item.input_index][1]
            if isinstance(item, Part):
                self._take_part(item, report)
            else:
                self._take_end(item, report)
                done += item.content.stored_bytes
            if on_progress:
                on_progress(done, total)
        self.read_reports = [report for _, report in wanted]

    def _is_unchanged(self, source: Input) -> bool:
        if source.path is None or self.options.rehash or self.history.is_empty():
            return False
        try:
            status = os.stat(source.path)
        except OSError:
            return False
        same = self.history.filter(
            (pl.col("path") == str(source.path.resolve()))
            & (pl.col("device") == status.st_dev)
            & (pl.col("inode") == status.st_ino)
            & (pl.col("modified_ns") == status.st_mtime_ns)
            & (pl.col("stored_bytes") == status.st_size)
        )
        return self._was_read(same)

    def _was_read(self, history: pl.DataFrame) -> bool:
        """Whether an earlier reading of the same content would come out the same."""
        same_way = (pl.col("options_hash") == self.options.reading_hash()) & (pl.col("tool_version") == __version__)
        return history.filter(pl.col("refusal").is_null() & ((pl.col("rejected") == 0) | same_way)).height > 0

    def _take_part(self, part: Part, report: InputReport) -> None:
        report.counts.read += part.candidates.height + sum(part.reasons.values())
        report.reasons += part.reasons
        report.row["blank_lines"] = report.row.get("blank_lines", 0) + part.blank_lines
        report.row["formats"] = report.row.get("formats", set()) | part.formats
        for reason, line in zip(part.rejects["reason"], part.rejects["line_number"], strict=True):
            report.first_lines.setdefault(reason, line)
        if part.rejects.height:
            self.rejects.append(part.rejects.with_columns(input_index=pl.lit(part.input_index, pl.Int64)))
        self.spool.add(part.candidates)

    def _take_end(self, end: End, report: InputReport) -> None:
        content = end.content
        status = content.status
        report.row |= {
            "stored_bytes": content.stored_bytes,
            "content_bytes": content.content_bytes,
            "lines": content.lines,
            "path": str(report.path.resolve()) if report.path else None,
            "device": status.st_dev if status else None,
            "inode": status.st_ino if status else None,
            "modified_ns": status.st_mtime_ns if status else None,
        }
        if end.refusal:
            report.refusal = (end.refusal.code, end.refusal.text)
            return
        report.sha256 = content.sha256
        twin = next((r for r in self.reports if r is not report and r.sha256 == report.sha256 and not r.skipped), None)
        if twin:
            report.skipped = f"same content as {twin.name}"
        elif not self.history.is_empty() and self._was_read(
            self.history.filter(pl.col("input_sha256") == report.sha256)
        ):
            report.skipped = "its content was read before"

    # --- settling

    def settle(self) -> None:
        """Give every candidate its fate, day by day from the latest, and write each day's new usage."""
        later: pl.DataFrame | None = None
        later_day: date | None = None
        counted = {
            index: report for index, report in enumerate(self.read_reports) if not (report.skipped or report.refusal)
        }
        hashes = pl.DataFrame(
            {"input_index": list(counted), "input_sha256": [report.sha256 for report in counted.values()]},
            schema={"input_index": pl.Int64, "input_sha256": pl.String},
        )
        for day in self.spool.days():
            candidates = _complete(self.spool.take(day), hashes)
            if candidates.is_empty():
                continue
            follows = later is not None and later_day == day + timedelta(days=1)
            settled = settle(
                candidates,
                self._published_around(day),
                later
                if follows and later is not None
                else pl.DataFrame(schema={**dict.fromkeys(KEY, pl.String), "content_hash": pl.Int64}),
                replace=self.options.replace,
            )
            self._count(day, candidates, settled)
            self._write_usage(day, settled)
            later = settled.accepted.filter(pl.col("source_kind") == "request").select(*KEY, "content_hash")
            later_day = day
        for report in counted.values():
            for (fate, _), number in report.reasons.items():
                setattr(report.counts, fate, getattr(report.counts, fate) + number)

    def _published_around(self, day: date) -> pl.DataFrame:
        files = [
            file
            for offset in (-1, 0, 1)
            for file in (self.parent.files("usage", day + timedelta(days=offset)) if self.parent else [])
        ]
        if not files:
            return pl.DataFrame(schema=_PUBLISHED)
        usage = pl.read_parquet(
            files,
            columns=[
                *KEY,
                *DIMENSIONS,
                "day",
                "occurred_at",
                "source_kind",
                "content_hash",
                "requests",
                *TOKEN_COLUMNS,
            ],
        )
        width = pl.col("request_id").str.extract(r"^\d+-(\d+)").cast(pl.Int64, strict=False) - pl.col(
            "occurred_at"
        ).dt.epoch("s")
        return usage.with_columns(
            tokens=pl.sum_horizontal(TOKEN_COLUMNS), width=pl.when(pl.col("source_kind") == "aggregate").then(width)
        ).select(_PUBLISHED)

    def _count(self, day: date, candidates: pl.DataFrame, settled: Settled) -> None:
        outcomes = [settled.accepted.select("input_index", fate=pl.lit("accepted"), reason=pl.lit(None, pl.String))]
        outcomes += [frame.select("input_index", "fate", "reason") for frame in settled.fates]
        met = pl.concat(outcomes)
        if met.height != candidates.height:
            raise IntegrityError(
                f"{day}: {candidates.height:,} candidates met {met.height:,} fates; nothing was published"
            )
        for index, fate, reason, number in met.group_by("input_index", "fate", "reason").len().rows():
            report = self.read_reports[index]
            if fate == "accepted":
                report.counts.accepted += number
            else:
                report.reasons[fate, reason] += number
        self.days_closure[day.isoformat()] = dict(met.group_by("fate").len().sort("fate").rows())
        for frame in settled.fates:
            late = frame.filter(pl.col("fate").is_in(["conflict", "rejected"]))
            if late.height:
                self._reject_late(late)

    def _reject_late(self, late: pl.DataFrame) -> None:
        for index, reason, line in late.select("input_index", "reason", "line_number").rows():
            known = self.read_reports[index].first_lines
            known[reason] = min(line, known.get(reason, line))
        kept = pl.col("kept_content_hash") if "kept_content_hash" in late.columns else pl.lit(None, pl.Int64)
        is_conflict = pl.col("fate") == "conflict"
        self.rejects.append(
            late.select(
                "line_number",
                "fate",
                "reason",
                "input_index",
                pl.when(is_conflict).then("request_id").alias("request_id"),
                pl.when(is_conflict).then("content_hash").alias("content_hash"),
                pl.when(is_conflict).then(kept).alias("kept_content_hash"),
            )
        )

    def _write_usage(self, day: date, settled: Settled) -> None:
        """Write the day's accepted rows as a file of their own, and sum the whole day anew."""
        kept = self._without_displaced(day, settled.displaced)
        if settled.accepted.is_empty() and settled.displaced.is_empty():
            return
        self.touched.add(day)
        schema = polars_schema("usage")
        rows = settled.accepted.with_columns(
            accepted_snapshot=pl.lit(self.builder.number, pl.Int64), is_estimated=pl.lit(False)
        )
        rows = rows.sort("input_sha256", "line_number", maintain_order=True).select(schema.names()).cast(schema)
        if rows.height:
            self._write_parquet(f"usage/{day}/{self.builder.number:08d}.parquet", rows)
        whole = pl.concat([frame.select(USED_COLUMNS) for frame in (*kept, rows)])
        if whole.height:
            self.quantities.append(
                aggregate(whole, thresholds(self.card), change_instants(self.card), self._version_of(day))
            )

    def _write_parquet(self, relative: str, rows: pl.DataFrame) -> None:
        rows.write_parquet(self.builder.new_file(relative), compression="zstd", compression_level=1, statistics=True)

    def _without_displaced(self, day: date, displaced: pl.DataFrame) -> list[pl.DataFrame]:
        """The day's published usage without the displaced rows; files that hold any are written anew."""
        kept = []
        for file in self.parent.files("usage", day) if self.parent else []:
            assert self.parent is not None
            relative = str(file.relative_to(self.parent.path))
            rows = pl.read_parquet(file)
            left = rows.join(displaced, on=KEY, how="anti", nulls_equal=True, maintain_order="left")
            if left.height != rows.height:
                if left.height:
                    self._write_parquet(relative, left)
                else:
                    self.builder.drop(relative)
            kept.append(left)
        return kept

    def _version_of(self, day: date) -> int:
        facts = self.parent.manifest.get("days", {}).get(day.isoformat(), {}) if self.parent else {}
        return int(facts.get("rate_version", self.card.newest()))

    # --- publishing

    def publish(self, other_files: int) -> RunReport:
        """Rate what was touched, write everything, and commit; or leave it, when nothing changed."""
        counts = Counts()
        for found in self.read_reports:
            if found.skipped or found.refusal:
                found.counts = Counts()
            counts += found.counts
        if not counts.closes():
            raise IntegrityError(f"the records do not add up: {counts.line()}; nothing was published")
        rollups = (
            rate(pl.concat(self.quantities), self.card) if self.quantities else arrow_schema("rollups").empty_table()
        )
        report = RunReport(
            self.reports,
            counts,
            other_files,
            None,
            self.parent is None,
            sorted(self.touched),
            self._new_unpriced(pl.from_arrow(rollups)),
        )
        if self.options.strict and report.needs_attention:
            raise StrictError(f"--strict: something needs attention, so nothing was published\n{counts.line()}")
        taken = [r for r in self.read_reports if not (r.skipped or r.refusal)]
        if not taken:
            self.builder.discard()
            return report
        self._write_rollups(pl.from_arrow(rollups))
        self._write_inputs(taken)
        self._write_rejects()
        if self.parent is None:
            self._write_card()
        report.snapshot = self.builder.commit(self._facts(counts, taken))
        return report

    def _new_unpriced(self, rollups: Any) -> dict[str, int]:
        before = [
            pl.read_parquet(file)
            for day in self.touched
            for file in (self.parent.files("rollups", day) if self.parent else [])
        ]
        unpriced: Counter[str] = Counter()
        for sign, frames in ((1, [rollups]), (-1, before)):
            for frame in frames:
                rows = frame.filter(pl.col("price_status").str.starts_with("unpriced"))
                for status, quantity in rows.group_by("price_status").agg(pl.col("quantity").sum()).rows():
                    unpriced[status] += sign * quantity
        return {status: quantity for status, quantity in sorted(unpriced.items()) if quantity > 0}

    def _write_rollups(self, rollups: Any) -> None:
        parts = rollups.partition_by("day", as_dict=True, maintain_order=True)
        for day in sorted(self.touched):
            relative = f"rollups/{day}.parquet"
            if (day,) in parts:
                self.builder.write(relative, parts[day,].to_arrow().cast(arrow_schema("rollups")))
            elif self.parent and self.parent.files("rollups", day):
                self.builder.drop(relative)

    def _write_inputs(self, taken: list[InputReport]) -> None:
        rows = []
        for report in taken:
            rows.append(
                {
                    **{name: value for name, value in report.row.items() if name != "formats"},
                    **asdict(report.counts),
                    "input_name": report.name,
                    "input_sha256": report.sha256,
                    "format": ",".join(sorted(report.row.get("formats", ()))),
                    "options_hash": self.options.reading_hash(),
                    "tool_version": __version__,
                    "at_snapshot": self.builder.number,
                }
            )
        table = pl.DataFrame(rows, schema=polars_schema("inputs"), orient="row").sort("input_name")
        self.builder.write(f"inputs/{self.builder.number:08d}.parquet", table.to_arrow().cast(arrow_schema("inputs")))

    def _write_rejects(self) -> None:
        """Write this run's rejects; those of inputs that were read again replace the earlier ones."""
        taken = {
            index: report for index, report in enumerate(self.read_reports) if not (report.skipped or report.refusal)
        }
        read_again = [report.sha256 for report in taken.values()]
        for file in self.parent.files("rejects") if self.parent else []:
            assert self.parent is not None
            earlier = pl.read_parquet(file)
            left = earlier.filter(~pl.col("input_sha256").is_in(read_again))
            relative = str(file.relative_to(self.parent.path))
            if left.height == 0:
                self.builder.drop(relative)
            elif left.height != earlier.height:
                self.builder.write(relative, left.to_arrow().cast(arrow_schema("rejects")))
        if not self.rejects:
            return
        names = pl.DataFrame(
            {
                "input_index": list(taken),
                "input_name": [report.name for report in taken.values()],
                "input_sha256": read_again,
            },
            schema={"input_index": pl.Int64, "input_name": pl.String, "input_sha256": pl.String},
        )
        schema = polars_schema("rejects")
        rejects = pl.concat(self.rejects, how="diagonal").join(names, on="input_index", how="inner")
        rejects = _with_columns_of(rejects, schema).with_columns(at_snapshot=pl.lit(self.builder.number, pl.Int64))
        rejects = (
            rejects.select(schema.names()).cast(schema).sort("input_sha256", "line_number", "fate", "reason")
        )
        if rejects.height:
            self.builder.write(
                f"rejects/{self.builder.number:08d}.parquet", rejects.to_arrow().cast(arrow_schema("rejects"))
            )

    def _write_card(self) -> None:
        for table in ("rates", "aliases", "versions"):
            frame: pl.DataFrame = getattr(self.card, table)
            name = "rates" if table == "rates" else table
            self.builder.write(
                f"rates/{name}-{self.builder.number:08d}.parquet", frame.to_arrow().cast(arrow_schema(table))
            )

    def _facts(self, counts: Counts, taken: list[InputReport]) -> dict[str, Any]:
        inputs = [
            {
                "name": report.name,
                "sha256": report.sha256,
                "bytes": report.row["content_bytes"],
                "fates": asdict(report.counts),
                "reasons": {f"{fate}/{reason}": number for (fate, reason), number in sorted(report.reasons.items())},
            }
            for report in taken
        ]
        days = {
            day.isoformat(): {
                "rate_version": self._version_of(day),
                "candidates": self.days_closure.get(day.isoformat(), {}),
            }
            for day in sorted(self.touched)
        }
        return {
            "inputs": inputs,
            "closure": asdict(counts),
            "settings_hash": self.options.reading_hash(),
            "rate_version": self.card.newest(),
            "days": days,
        }


def _card_of(parent: Snapshot | None) -> RateCard:
    if parent is None:
        return validated(shipped_card())
    tables = [parent.files(table) for table in ("rates", "aliases", "versions")]
    return current_card([files[0] for files in tables])


def _table(parent: Snapshot | None, table: str) -> pl.DataFrame:
    files = parent.files(table) if parent else []
    return pl.read_parquet(files) if files else pl.DataFrame(schema=polars_schema(table))


def _with_columns_of(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in schema.items() if name not in frame.columns]
    return frame.with_columns(missing)


def _complete(candidates: pl.DataFrame, hashes: pl.DataFrame) -> pl.DataFrame:
    """Candidates of the inputs that count, with every column of USAGE and what the ledger needs besides."""
    known = candidates.join(hashes, on="input_index", how="inner", maintain_order="left")
    known = _with_columns_of(known, polars_schema("usage"))
    end = pl.col("interval_end") if "interval_end" in known.columns else pl.lit(None, pl.Int64)
    return known.with_columns(
        tokens=pl.sum_horizontal(TOKEN_COLUMNS),
        width=end - pl.col("occurred_at").dt.epoch("s"),
        row=pl.int_range(pl.len()),
    )
