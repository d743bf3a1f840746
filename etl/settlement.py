"""Settle a run's candidates day by day, write what is accepted, and sum the touched days anew."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from etl.day_candidates import DayCandidates, Inputs
from etl.errors import IntegrityError
from etl.expired_days import ExpiredDays
from etl.ledger import KEY, Settled, settle
from etl.ledger_rows import PublishedAround, as_candidates, as_later, covered_by
from etl.meters import QUANTITY_COLUMNS
from etl.quantities import USED_COLUMNS, added_up, aggregate
from etl.rate_card import RateCard, change_instants, thresholds
from etl.run_report import InputReport, Options
from etl.spool import Spool, wide
from etl.usage_files import row_groups, write_usage
from etl.warehouse import Snapshot, SnapshotBuilder

_SUMMED = ("requests", *(column for column, _, _ in QUANTITY_COLUMNS))


class Expected:
    """What a new file must hold, added up as its rows pass.

    Attributes:
        rows: how many.
        sums: of each column of quantities that holds anything.
        estimated: how many rows are estimates.
    """

    def __init__(self) -> None:
        self.rows = self.estimated = 0
        self.sums: Counter[str] = Counter()

    def take(self, rows: pl.DataFrame) -> None:
        """Add rows in the types of USAGE."""
        self.rows += rows.height
        self.estimated += int(rows["is_estimated"].sum())
        summed = [name for name in _SUMMED if name in rows.columns]
        self.sums.update(rows.select(pl.col(summed).sum()).to_dicts()[0])


@dataclass
class TouchedDay:
    """A day whose usage changes.

    Attributes:
        day: which.
        candidates: settled.
        displaced: identities of published rows that make way.
        quantities: of the day as a whole, or where its usage has expired, of what is new.
        expected: what the new file must hold.
    """

    day: date
    candidates: DayCandidates
    displaced: pl.DataFrame
    quantities: pl.DataFrame | None = None
    expected: Expected = field(default_factory=Expected)


@dataclass
class _Settling:
    """A day that is being settled.

    Attributes:
        day: which.
        candidates: its own.
        later: the day after it, if that has candidates: what is accepted there stands.
        job: what becomes of them.
    """

    day: date
    candidates: DayCandidates
    later: _Settling | None
    job: Future[Settled]


class Settlement:
    """The outcome of a run, day by day; a context that ends once nothing is written any more.

    Attributes:
        touched: the days whose usage changed.
        closure: day -> fate -> candidates.
        expired: the days whose usage has expired; of these, quantities are what this run adds.
        estimated: how many accepted records are estimates.
        given_way: how many published aggregates no longer count, as requests of their day do.
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
        counted = sorted((report.sha256 or "", index) for index, report in enumerate(inputs) if report.counts_now)
        # Rows are ordered by input and line; a rank sorts as the hashes do, and faster.
        ranks = np.full(len(inputs), -1)
        ranks[[index for _, index in counted]] = np.arange(len(counted))
        self._counting = Inputs(ranks, [sha256 for sha256, _ in counted])
        self._sha256s = pl.Series(self._counting.sha256, dtype=pl.String).cast(pl.Categorical)
        self.touched: set[date] = set()
        self.closure: dict[str, dict[str, int]] = {}
        self.expired = ExpiredDays(parent)
        self.estimated = 0
        self.late_rejects: list[pl.DataFrame] = []
        self.given_way = 0
        self._writing: list[Future[dict[str, dict[str, Any]]]] = []

    def __enter__(self) -> Settlement:
        self._pool = ThreadPoolExecutor(self._options.threads, thread_name_prefix="write")
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def settle(self, spool: Spool) -> list[pl.DataFrame]:
        """Settle all days from the latest to the earliest, sum them, and begin to write them; `written` ends that.

        Returns:
            The quantities of each touched day: as a whole, or where its usage has expired, what is new.
        """
        touched: list[TouchedDay] = []
        summing: list[Future[None]] = []
        for day, candidates, settled in self._settled_days(spool):
            is_new = self._count(day, candidates, settled)
            self.given_way += settled.given_way
            if is_new or settled.displaced.height:
                touched.append(TouchedDay(day, candidates, settled.displaced))
                summing.append(self._pool.submit(self._sum, touched[-1]))
        for job in summing:
            job.result()
        # What is summed can be rated while it is written.
        self._writing = [self._pool.submit(self._write, one) for one in touched]
        self.touched = {one.day for one in touched}
        self.estimated = sum(one.expected.estimated for one in touched)
        return [one.quantities for one in touched if one.quantities is not None]

    def _settled_days(self, spool: Spool) -> Iterator[tuple[date, DayCandidates, Settled]]:
        """What became of each day; while one is waited for, the next ones are settled."""
        ahead: deque[_Settling] = deque()
        last: _Settling | None = None
        for day, candidates in self._looked_at(spool):
            if candidates.height:
                later = last if last is not None and last.day == day + timedelta(days=1) else None
                last = _Settling(day, candidates, later, self._pool.submit(self._settled, day, candidates, later))
                ahead.append(last)
            if len(ahead) > self._options.threads:
                yield self._ended(ahead)
        while ahead:
            yield self._ended(ahead)

    def _ended(self, ahead: deque[_Settling]) -> tuple[date, DayCandidates, Settled]:
        """Wait for the first; ids that settling it took, or that no day before it takes, are let go."""
        one = ahead.popleft()
        settled = one.job.result()
        if one.later is not None:
            one.later.candidates.forget_ids()
            one.later = None
        if not ahead or ahead[0].later is not one:
            one.candidates.forget_ids()
        return one.day, one.candidates, settled

    def _looked_at(self, spool: Spool) -> Iterator[tuple[date, DayCandidates]]:
        """The candidates of each day; while one is waited for, the next ones are looked at."""
        ahead: deque[tuple[date, Future[DayCandidates]]] = deque()
        for day in spool.days():
            ahead.append((day, self._pool.submit(DayCandidates, spool.take(day), self._counting)))
            if len(ahead) > self._options.threads:
                first, job = ahead.popleft()
                yield first, job.result()
        while ahead:
            first, job = ahead.popleft()
            yield first, job.result()

    def written(self) -> dict[str, dict[str, Any]]:
        """Wait until all is written: new usage file -> the rows and sums that it must hold."""
        return {name: must for job in self._writing for name, must in job.result().items()}

    def _settled(self, day: date, candidates: DayCandidates, later: _Settling | None) -> Settled:
        """Have the ledger settle what may meet anything; all others are accepted already."""
        after = None
        if later is not None and later.candidates.shares_ids(candidates):  # it hardly ever does
            later.job.result()
            after = later.candidates
        published = PublishedAround(self._parent, day)
        expired = self.expired.around(day, published.of_the_day)
        if expired is not None:
            candidates.open_all()
        candidates.open(published.ids())
        if after is not None:
            candidates.open(after.accepted_ids())
        if not candidates.has_open and not published.has_aggregates:
            return Settled(pl.DataFrame(schema={"row": pl.Int64, "request_id": pl.String}))
        rows = as_candidates(candidates.opened())
        has_aggregates = published.has_aggregates or (rows["source_kind"] != "request").any()
        covered = [published.covered(), covered_by(candidates.accepted())] if has_aggregates else []
        settled = settle(
            day,
            rows,
            published.met_by(rows),
            as_later(after.accepted_with(candidates.open_ids) if after is not None else ()),
            replace=self._options.replace,
            covered=covered,
            expired=expired,
        )
        candidates.accept(settled.accepted)
        return settled

    def version_of(self, day: date) -> int:
        """The card version that a day keeps, or gets."""
        facts = self._parent.manifest.get("days", {}).get(day.isoformat(), {}) if self._parent else {}
        return int(facts.get("rate_version", self._card.newest()))

    def _count(self, day: date, candidates: DayCandidates, settled: Settled) -> bool:
        """Book each candidate's fate to its input, and say whether any is accepted; all must have one."""
        fates: Counter[str] = Counter()
        for index, number in candidates.accepted_by_input():
            self._inputs[index].counts.accepted += number
            fates["accepted"] += number
        for frame in settled.fates:
            for index, fate, reason, number in frame.group_by("input_index", "fate", "reason").len().rows():
                self._inputs[index].reasons[fate, reason] += number
                fates[fate] += number
        if fates.total() != candidates.height:
            raise IntegrityError(
                f"{day}: {candidates.height:,} records met {fates.total():,} fates; nothing was published"
            )
        self.closure[day.isoformat()] = dict(sorted(fates.items()))
        for frame in settled.fates:
            late = frame.filter(pl.col("fate").is_in(["conflict", "rejected"]))
            if late.height:
                self._set_aside(late)
        return fates["accepted"] > 0

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

    def _sum(self, touched: TouchedDay) -> None:
        """Sum the whole day, and what of it is new."""
        day = touched.day
        kept = [] if day in self.expired else self._without_displaced(day, touched.displaced)
        quantities = [self._quantities(day, rows) for rows in kept if rows.height]
        for rows in self._groups(touched):
            touched.expected.take(rows)
            quantities.append(self._quantities(day, rows))
        touched.quantities = added_up(quantities) if quantities else None

    def _write(self, touched: TouchedDay) -> dict[str, dict[str, Any]]:
        """Write the day's accepted rows as a file of their own."""
        if not touched.expected.rows:
            return {}
        relative = f"usage/{touched.day}/{self._builder.number:08d}.parquet"
        with self._builder.new_file(relative) as file:
            write_usage(file, self._groups(touched))
        return {relative: {"rows": touched.expected.rows, "sums": dict(touched.expected.sums)}}

    def _groups(self, touched: TouchedDay) -> Iterator[pl.DataFrame]:
        """The day's accepted rows in row groups."""
        return map(self._as_usage, row_groups(touched.candidates.accepted()))

    def _as_usage(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Accepted rows in the types of USAGE, but that texts may be categories and empty columns are missing."""
        estimated = rows["is_estimated"].fill_null(False) if "is_estimated" in rows.columns else pl.lit(False)
        return rows.cast(wide(rows)).with_columns(
            input_sha256=self._sha256s.gather(rows["input_rank"]),
            accepted_snapshot=pl.lit(self._builder.number, pl.Int64),
            is_estimated=estimated,
        )

    def _quantities(self, day: date, rows: pl.DataFrame) -> pl.DataFrame:
        used = rows.select(name for name in USED_COLUMNS if name in rows.columns)
        return aggregate(used, self._thresholds, self._cuts, self.version_of(day))

    def _without_displaced(self, day: date, displaced: pl.DataFrame) -> list[pl.DataFrame]:
        """The day's published usage without the displaced rows; files that held any are written anew."""
        kept = []
        for path in self._parent.files("usage", day) if self._parent else []:
            assert self._parent is not None
            if displaced.is_empty():
                kept.append(pl.read_parquet(path, columns=list(USED_COLUMNS)))
                continue
            relative = str(path.relative_to(self._parent.path))
            rows = pl.read_parquet(path)
            left = rows.join(displaced, on=KEY, how="anti", nulls_equal=True, maintain_order="left")
            if left.height == 0:
                self._builder.drop(relative)
            elif left.height != rows.height:
                with self._builder.new_file(relative) as file:
                    write_usage(file, row_groups([left]))
            kept.append(left)
        return kept
