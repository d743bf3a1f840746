"""The nightly job, end to end: take in, settle, rate, publish; the counts close or nothing is published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from etl import analyst, durable, preflight
from etl.alerts import Thing, judge, things_of_days
from etl.allocation import keep_freed_memory, release_freed_memory
from etl.booking import book, closed_months, published_whole
from etl.decoding import Reading
from etl.errors import IntegrityError, StorageError
from etl.fates import Counts
from etl.healing import days_to_try, healed_at_newest, quantities_of
from etl.healing import healed as healing
from etl.history import History
from etl.inputs import Found, find
from etl.inputs_table import read_inputs_table, write_inputs_table
from etl.intake import Intake, Progress
from etl.last_run import remember
from etl.periods import booking_period
from etl.places import with_places
from etl.quarantine import Quarantine
from etl.rate_card import RateCard, newer_shipped_card
from etl.rate_publishing import card_of, write_card
from etl.rating import Rater
from etl.run_report import Healed, InputReport, LateBooking, NeedsAttention, Options, RunReport, things_of
from etl.schema import polars_schema
from etl.settlement import Settlement
from etl.sources import SOURCE_BY_NAME
from etl.spool import Spool
from etl.vocabularies import Vocabularies
from etl.warehouse import Snapshot, SnapshotBuilder, Warehouse


def run(
    paths: Sequence[str],
    root: Path,
    options: Options,
    *,
    now: datetime | None = None,
    on_progress: Progress | None = None,
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
    return run_found(find(paths), root, options, now=now, on_progress=on_progress)


def run_found(
    found: Found,
    root: Path,
    options: Options,
    *,
    now: datetime | None = None,
    on_progress: Progress | None = None,
    whole: Callable[[RunReport], RunReport | None] = lambda report: report,
) -> RunReport:
    """As `run`, of inputs that are found already.

    Args:
        found: the inputs.
        root: as for `run`, and so are the others.
        options: how.
        now: the instant.
        on_progress: of the reading.
        whole: turns the report of this step into that of all steps, or into None while there are more to come.
    """
    keep_freed_memory()
    began = now or datetime.now(UTC).replace(tzinfo=None)
    source = SOURCE_BY_NAME[options.source] if options.source else None
    vocabularies = Vocabularies.from_environment() if options.estimate_tokens else None
    latest = began + timedelta(days=1)
    reading = Reading(latest, options.account, options.assume_zone, source, options.date, vocabularies)
    warehouse = Warehouse(root)
    with warehouse.lock(options.wait_seconds, options.on_wait):
        parent = warehouse.current()
        preflight.require_writable(warehouse.root)
        builder = warehouse.begin(parent)
        spool_folder = warehouse.root / ".staging-spool"
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="card") as beside:
                card = beside.submit(card_of, parent)
                intake = Intake(History(read_inputs_table(parent), options), options, Spool(spool_folder))
                intake.note(found)
                intake.take(found.inputs, reading, on_progress, partial(preflight.require_room, warehouse.root))
                release_freed_memory()
                ready = beside.submit(Rater, card.result())  # settling leaves time for it
                with Settlement(parent, builder, card.result(), intake.read, options) as settlement:
                    report = _publish(parent, builder, ready, found, intake, settlement, options, began.date())
        except BaseException:
            builder.discard()
            raise
        finally:
            with suppress(StorageError):  # what stays behind is swept by the next run
                durable.remove_tree(spool_folder)
        report.storage_warning = preflight.warning(warehouse.root)
        if report.snapshot or not analyst.is_database_current(warehouse):
            analyst.build_database(warehouse, report.snapshot)
        if ended := whole(report):
            remember(warehouse, ended)
    return report


def _publish(
    parent: Snapshot | None,
    builder: SnapshotBuilder,
    ready: Future[Rater],
    found: Found,
    intake: Intake,
    settlement: Settlement,
    options: Options,
    today: date,
) -> RunReport:
    """Settle, rate and commit; or leave it, when nothing changed."""
    quantities = settlement.settle(intake.spool)
    counts = _closed(intake.read)
    with ready.result() as rater:
        card, rated = rater.card, _rated(parent, rater, settlement, quantities)
    counted = {index: one for index, one in enumerate(intake.read) if one.counts_now}
    late = with_places(settlement.late_rejects, intake.read, SOURCE_BY_NAME.get(options.source or ""))
    quarantine = Quarantine(parent, builder, counted, [*intake.rejects, *late])
    inputs = sorted(intake.reports, key=lambda one: one.name)
    unpriced = _newly_unpriced(parent, settlement.touched, rated.whole)
    report = RunReport(
        inputs,
        counts,
        found.other_files,
        parent is None,
        rated.days,
        _by_status(unpriced),
        quarantine.known_rows(),
        settlement.estimated,
        _booked_late(settlement, closed_months(parent)),
        rated.healed,
        newer_shipped_card(card),
        given_way=settlement.given_way,
    )
    report.things = things_of(inputs, quarantine.new_rows(), unpriced)
    report.things += _things_of_days(parent, settlement, rated.whole, options)
    report.verdict = judge(report.things, options.alert, counts.read, today)
    if options.strict and report.needs_attention:
        raise NeedsAttention(report)
    if not counted and not rated.days and not (parent and intake.to_remember):
        builder.discard()
        return report
    # Meanwhile usage is still being written.
    expected = book(parent, builder, rated.days, rated.whole, closed_months(parent), in_parts=rated.grown)
    write_inputs_table(builder, [*counted.values(), *intake.to_remember], options)
    quarantine.write()
    if parent is None:
        write_card(builder, card)
    builder.read_back_beside()
    facts = {
        "action": "run",
        "inputs": [_input_facts(one) for one in counted.values()],
        "closure": dict(vars(counts)),
        "settings_hash": options.reading_hash(),
        "rate_version": card.newest(),
        "tried_rate_version": card.newest(),
        "days": _days_facts(parent, settlement, rated, card),
        "expected": expected | settlement.written(),
    }
    report.snapshot = builder.commit(facts)
    return report


class _Rated(NamedTuple):
    """What this run's days cost.

    Attributes:
        days: the days to write: those with new records, and those where a rate was found that was missing.
        grown: those of them whose usage has expired, so that the new records are added to what is published.
        quantities: what was summed, one row a cell; None where there is nothing to rate.
        rollups: what was rated of `days`.
        whole: the same with what stays of the grown days.
        healed: what found its rate at last.
    """

    days: list[date]
    grown: list[date]
    quantities: pl.DataFrame | None
    rollups: pl.DataFrame
    whole: pl.DataFrame
    healed: list[Healed]


def _rated(parent: Snapshot | None, rater: Rater, settlement: Settlement, quantities: Sequence[pl.DataFrame]) -> _Rated:
    """Rate the days with new records, and those in which something had no rate."""
    card = rater.card
    again = days_to_try(parent, card, settlement.touched)
    cells = [*quantities, *(quantities_of(parent, again, card) if parent else [])]
    summed = pl.concat(cells) if cells else None
    empty = pl.DataFrame(schema=polars_schema("rollups"))
    rollups = empty if summed is None else pl.DataFrame(rater.rate(summed, _healed_before(parent)))
    # The usage of an expired day cannot be summed anew: what is published for it, and what is new, are the whole.
    grown = sorted(day for day in settlement.touched if day in settlement.expired)
    healed, healed_days = healing(parent, rollups.filter(~pl.col("day").is_in(grown)))
    days = sorted({*settlement.touched, *(healed_days & set(again))})
    rollups = rollups.filter(pl.col("day").is_in(days))
    whole = pl.concat([rollups, *([published_whole(parent, grown)] if parent and grown else [])])
    return _Rated(days, grown, summed, rollups, whole, healed)


def _closed(inputs: Sequence[InputReport]) -> Counts:
    """Add up the fates of all inputs.

    Raises:
        IntegrityError: they do not add up to what was read.
    """
    total = Counts()
    for one in inputs:
        if not one.counts_now:
            one.counts = Counts()
            continue
        for (fate, _), number in one.reasons.items():
            setattr(one.counts, fate, getattr(one.counts, fate) + number)
        if not one.counts.closes():
            raise IntegrityError(f"{one.name}: {one.counts.line()} does not add up; nothing was published")
        total += one.counts
    return total


def _healed_before(parent: Snapshot | None) -> pl.DataFrame:
    """The later card versions at which something of a day found its rate, as `etl.rating.Rater` takes them."""
    days = parent.manifest.get("days", {}) if parent else {}
    rows = [(date.fromisoformat(day), version) for day, facts in days.items() for version in facts.get("healed", ())]
    return pl.DataFrame(rows, schema={"day": pl.Date, "rate_version": pl.Int64}, orient="row")


def _days_facts(parent: Snapshot | None, settlement: Settlement, rated: _Rated, card: RateCard) -> dict[str, Any]:
    """What the manifest keeps of each written day: the card versions it was rated with, its candidates' fates."""
    before = parent.manifest.get("days", {}) if parent else {}
    known = {
        day: [settlement.version_of(day), *before.get(day.isoformat(), {}).get("healed", ())] for day in rated.days
    }  # fmt: skip
    at_newest = healed_at_newest(rated.quantities, card, known, rated.rollups)
    facts = {}
    for day, versions in known.items():
        name = day.isoformat()
        later = versions[1:] + [card.newest()] * (day in at_newest)
        candidates = settlement.closure.get(name, before.get(name, {}).get("candidates", {}))
        facts[name] = {"rate_version": versions[0], "candidates": candidates} | ({"healed": later} if later else {})
    return facts


def _newly_unpriced(parent: Snapshot | None, days: Collection[date], whole: pl.DataFrame) -> dict[tuple[str, str], int]:
    """By (price status, model), the quantities without a price of these days, less those they had before."""
    files = [file for day in days for file in (parent.files("rollups", day) if parent else [])]
    unpriced: Counter[tuple[str, str]] = Counter()
    for sign, frame in (
        (1, whole.filter(pl.col("day").is_in(list(days)))),
        *((-1, pl.read_parquet(file)) for file in files),
    ):
        rows = frame.filter(pl.col("price_status").str.starts_with("unpriced"))
        for status, model, quantity in rows.group_by("price_status", "model").agg(pl.col("quantity").sum()).rows():
            unpriced[status, model] += sign * quantity
    return dict(sorted(unpriced.items(), key=str))  # an aggregate may name no model


def _by_status(unpriced: dict[tuple[str, str], int]) -> dict[str, int]:
    """What was added without a price, by price status."""
    added: Counter[str] = Counter()
    for (status, _), quantity in unpriced.items():
        added[status] += quantity
    return {status: quantity for status, quantity in sorted(added.items()) if quantity > 0}


def _things_of_days(
    parent: Snapshot | None, settlement: Settlement, whole: pl.DataFrame, options: Options
) -> list[Thing]:
    """What the costs of whole days say."""
    before: dict[date, Decimal] = {}
    for entry in parent.entries if parent else []:
        if entry["table"] == "rollups":  # a day with corrections has several files
            day = date.fromisoformat(entry["day"])
            before[day] = before.get(day, Decimal(0)) + Decimal(entry["sums"].get("cost_usd", "0"))
    now = dict(whole.group_by("day").agg(pl.col("cost_usd").sum()).rows())
    after = {day: cost for day, cost in before.items() if day not in settlement.touched} | now
    return things_of_days(before, after, settlement.touched, options.alert)


def _booked_late(settlement: Settlement, closed: Collection[str]) -> list[LateBooking]:
    """How many accepted records belong to closed months, and where their cost is booked."""
    late: Counter[tuple[str, str]] = Counter()
    for day, fates in settlement.closure.items():
        month = day[:7]
        if month in closed and fates.get("accepted"):
            late[month, booking_period(date.fromisoformat(day), closed)] += fates["accepted"]
    return [LateBooking(month, period, records) for (month, period), records in sorted(late.items())]


def _input_facts(one: InputReport) -> dict[str, Any]:
    return {
        "name": one.name,
        "sha256": one.sha256,
        "bytes": one.facts["content_bytes"],
        "fates": dict(vars(one.counts)),
        "reasons": {f"{fate}/{reason}": number for (fate, reason), number in sorted(one.reasons.items())},
    }
