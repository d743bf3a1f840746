"""The nightly job, end to end: take in, settle, rate, publish; the counts close or nothing is published."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from etl import __version__, analyst
from etl.decoding import Reading
from etl.errors import IntegrityError, StrictError
from etl.fates import Counts
from etl.inputs import Found, find
from etl.intake import Intake, Progress
from etl.places import with_places
from etl.rate_card import RateCard, current_card, shipped_card
from etl.rating import rate
from etl.run_report import InputReport, Options, RunReport
from etl.schema import arrow_schema, polars_schema
from etl.settlement import Settlement, with_columns_of
from etl.sources import SOURCE_BY_NAME
from etl.spool import Spool
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
            with ThreadPoolExecutor(1, thread_name_prefix="card") as beside:
                card = beside.submit(_card_of, parent)
                intake = Intake(_history(parent), options, Spool(spool_folder))
                intake.take(found.inputs, reading, on_progress)
            report = _publish(parent, builder, card.result(), found, intake, options)
        except BaseException:
            builder.discard()
            raise
        finally:
            shutil.rmtree(spool_folder, ignore_errors=True)
        if report.snapshot:
            analyst.build_database(warehouse)
    return report


def _publish(
    parent: Snapshot | None,
    builder: SnapshotBuilder,
    card: RateCard,
    found: Found,
    intake: Intake,
    options: Options,
) -> RunReport:
    """Settle, rate and commit; or leave it, when nothing changed."""
    settlement = Settlement(parent, builder, card, intake.read, options)
    quantities = settlement.settle(intake.spool)
    counts = _closed(intake.read)
    healed = _healed_before(parent)
    rollups = rate(pl.concat(quantities), card, healed) if quantities else arrow_schema("rollups").empty_table()
    refused = [InputReport(name, None, refusal=(code, text)) for name, code, text in found.refused]
    days = sorted(settlement.touched)
    report = RunReport(
        sorted([*refused, *intake.passed, *intake.read], key=lambda one: one.name),
        counts,
        found.other_files,
        parent is None,
        days,
        _newly_unpriced(parent, settlement, rollups),
    )
    if options.strict and report.needs_attention:
        raise StrictError(f"--strict: something needs attention, so nothing was published\n{counts.line()}")
    counted = {index: one for index, one in enumerate(intake.read) if one.counts_now}
    if not counted:
        builder.discard()
        return report
    expected = settlement.expected | _write_rollups(parent, builder, settlement, rollups)
    _write_inputs(builder, list(counted.values()), options)
    _write_rejects(parent, builder, counted, [*intake.rejects, *with_places(settlement.late_rejects, intake.read)])
    if parent is None:
        _write_card(builder, card)
    facts = {
        "inputs": [_input_facts(one) for one in counted.values()],
        "closure": asdict(counts),
        "settings_hash": options.reading_hash(),
        "rate_version": card.newest(),
        "days": {day.isoformat(): _day_facts(day, settlement, card, healed, rollups) for day in days},
        "expected": expected,
    }
    report.snapshot = builder.commit(facts)
    return report


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
    """The later card versions at which something of a day found its rate, as `etl.rating.rate` takes them."""
    days = parent.manifest.get("days", {}) if parent else {}
    rows = [(date.fromisoformat(day), version) for day, facts in days.items() for version in facts.get("healed", ())]
    return pl.DataFrame(rows, schema={"day": pl.Date, "rate_version": pl.Int64}, orient="row")


def _day_facts(
    day: date, settlement: Settlement, card: RateCard, healed: pl.DataFrame, rollups: pa.Table
) -> dict[str, Any]:
    """What the manifest keeps of a touched day: the card versions it was rated with, its candidates' fates."""
    version = settlement.version_of(day)
    known = [version, *healed.filter(pl.col("day") == day)["rate_version"]]
    used = pl.DataFrame(rollups).filter(pl.col("day") == day)["rate_version"].max()
    if isinstance(used, int) and used > max(known):
        known.append(card.newest())
    facts: dict[str, Any] = {"rate_version": version, "candidates": settlement.closure[day.isoformat()]}
    return facts | ({"healed": known[1:]} if known[1:] else {})


def _newly_unpriced(parent: Snapshot | None, settlement: Settlement, rollups: pa.Table) -> dict[str, int]:
    """The quantities without a price that the touched days have now and had not before, by price status."""
    files = [file for day in settlement.touched for file in (parent.files("rollups", day) if parent else [])]
    unpriced: Counter[str] = Counter()
    for sign, frame in ((1, pl.DataFrame(rollups)), *((-1, pl.read_parquet(file)) for file in files)):
        rows = frame.filter(pl.col("price_status").str.starts_with("unpriced"))
        for status, quantity in rows.group_by("price_status").agg(pl.col("quantity").sum()).rows():
            unpriced[status] += sign * quantity
    return {status: quantity for status, quantity in sorted(unpriced.items()) if quantity > 0}


def _write_rollups(
    parent: Snapshot | None, builder: SnapshotBuilder, settlement: Settlement, rollups: pa.Table
) -> dict[str, dict[str, Any]]:
    """Write a file for each touched day. Returns what each must hold."""
    parts = pl.DataFrame(rollups).partition_by("day", as_dict=True, maintain_order=True)
    expected = {}
    for day in sorted(settlement.touched):
        relative = f"rollups/{day}.parquet"
        if (day,) in parts:
            table = parts[day,].to_arrow().cast(arrow_schema("rollups"))
            builder.write(relative, table)
            cost = parts[day,]["cost_usd"].sum()
            expected[relative] = {"rows": table.num_rows, "sums": {"cost_usd": str(cost)}}
        elif parent and parent.files("rollups", day):
            builder.drop(relative)
    return expected


def _write_inputs(builder: SnapshotBuilder, counted: Sequence[InputReport], options: Options) -> None:
    rows = [
        {
            **{name: value for name, value in one.facts.items() if name != "formats"},
            **asdict(one.counts),
            "input_name": one.name,
            "input_sha256": one.sha256,
            "format": ",".join(sorted(one.facts.get("formats", ()))),
            "options_hash": options.reading_hash(),
            "tool_version": __version__,
            "at_snapshot": builder.number,
        }
        for one in counted
    ]
    table = pl.DataFrame(rows, schema=polars_schema("inputs"), orient="row").sort("input_name")
    builder.write(f"inputs/{builder.number:08d}.parquet", table.to_arrow().cast(arrow_schema("inputs")))


def _write_rejects(
    parent: Snapshot | None, builder: SnapshotBuilder, counted: dict[int, InputReport], rejects: list[pl.DataFrame]
) -> None:
    """Write this run's rejects; those of inputs that were read again replace the earlier ones."""
    read_again = [one.sha256 for one in counted.values()]
    schema, arrow = polars_schema("rejects"), arrow_schema("rejects")
    for file in parent.files("rejects") if parent else []:
        assert parent is not None
        earlier = pl.read_parquet(file)
        left = earlier.filter(~pl.col("input_sha256").is_in(read_again))
        relative = str(file.relative_to(parent.path))
        if left.height == 0:
            builder.drop(relative)
        elif left.height != earlier.height:
            builder.write(relative, left.to_arrow().cast(arrow))
    if not rejects:
        return
    names = pl.DataFrame(
        {
            "input_index": list(counted),
            "input_name": [one.name for one in counted.values()],
            "input_sha256": read_again,
        },
        schema={"input_index": pl.Int64, "input_name": pl.String, "input_sha256": pl.String},
    )
    rows = pl.concat(rejects, how="diagonal").join(names, on="input_index", how="inner")
    rows = with_columns_of(rows, schema).with_columns(at_snapshot=pl.lit(builder.number, pl.Int64))
    rows = rows.select(schema.names()).cast(schema).sort("input_sha256", "line_number", "fate", "reason")
    if rows.height:
        builder.write(f"rejects/{builder.number:08d}.parquet", rows.to_arrow().cast(arrow))


def _write_card(builder: SnapshotBuilder, card: RateCard) -> None:
    for table in ("rates", "aliases", "versions"):
        frame: pl.DataFrame = getattr(card, table)
        builder.write(f"rates/{table}-{builder.number:08d}.parquet", frame.to_arrow().cast(arrow_schema(table)))


def _input_facts(one: InputReport) -> dict[str, Any]:
    return {
        "name": one.name,
        "sha256": one.sha256,
        "bytes": one.facts["content_bytes"],
        "fates": asdict(one.counts),
        "reasons": {f"{fate}/{reason}": number for (fate, reason), number in sorted(one.reasons.items())},
    }


def _card_of(parent: Snapshot | None) -> RateCard:
    if parent is None:
        return shipped_card()  # `costroll rates check` and the tests judge it; no night needs to
    files = [parent.files(table) for table in ("rates", "aliases", "versions")]
    if not all(files):
        raise IntegrityError(f"{parent.path}: the rate table is missing; run `costroll verify`")
    return current_card([found[0] for found in files])


def _history(parent: Snapshot | None) -> pl.DataFrame:
    files = parent.files("inputs") if parent else []
    return pl.read_parquet(files) if files else pl.DataFrame(schema=polars_schema("inputs"))
