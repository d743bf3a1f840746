"""`costroll run`: the nightly job."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from etl.commands.options import Settings, with_settings

if TYPE_CHECKING:
    from etl.run_report import InputReport, RunReport


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--account", metavar="ID", help="The account of records that name none.")
@click.option("--format", "source", metavar="NAME", help="Read as this format; see `costroll formats`.")
@click.option("--assume-tz", "assume_zone", metavar="ZONE", help="Time zone of times that name none, such as UTC.")
@click.option(
    "--replace", is_flag=True, help="Take aggregates of another width or grouping instead of those published."
)
@click.option("--rehash", is_flag=True, help="Read files again although they look unchanged.")
@click.option("--strict", is_flag=True, help="Publish nothing if something needs attention (exit 9).")
@click.option("--threads", type=click.IntRange(1, 64), help="Threads to read with. [default: the processors]")
@with_settings
def command(settings: Settings, paths: tuple[str, ...], threads: int | None, **options: Any) -> int:
    """Read usage logs, rate each record at the price of its moment, and publish daily costs.

    PATH is a file, a folder, a glob in quotes, or - for standard input. Records that were read before count once.

    \b
    Example:
        costroll run logs/
        costroll run 'exports/*.jsonl.gz' --account acme
    """
    from etl.pipeline import run
    from etl.run_report import Options

    _require_known(options)

    threads = threads or len(
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    )
    report = run(paths, settings.warehouse, Options(threads=threads, **options), on_progress=_progress(settings))
    _tell_troubles(report)
    if settings.json:
        import json

        click.echo(json.dumps(_as_json(report), indent=2))
    else:
        _tell(report, settings)
    return 3 if report.needs_attention else 0


def _require_known(options: dict[str, Any]) -> None:
    """Refuse a format or time zone that there is not, before anything is touched."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from etl.errors import UsageError
    from etl.sources import SOURCE_BY_NAME

    if options["source"] not in (None, *SOURCE_BY_NAME):
        raise UsageError(f"there is no format {options['source']!r}; there are: {', '.join(SOURCE_BY_NAME)}")
    try:
        ZoneInfo(options["assume_zone"] or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(
            f"there is no time zone {options['assume_zone']!r}; give one such as UTC or Europe/Berlin"
        ) from error


def _progress(settings: Settings) -> Any:
    """A line on a terminal's stderr that says how far the reading is; nothing elsewhere."""
    if settings.quiet or not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        end = "\n" if done >= total else ""
        sys.stderr.write(f"\rread {done / 1e6:,.0f} of {total / 1e6:,.0f} MB{end}")
        sys.stderr.flush()

    return show


def _tell_troubles(report: RunReport) -> None:
    """One unwrapped line for each refused input and each input with rejects or conflicts."""
    for found in report.inputs:
        if found.refusal:
            click.echo(f"{_printable(found.name)}: {found.refusal[0]}: {found.refusal[1]}", err=True)
        elif troubles := _troubles(found):
            click.echo(f"{_printable(found.name)}: {troubles}", err=True)
    if report.other_files:
        click.echo(f"{report.other_files:,} other files in the folders were left alone", err=True)


def _troubles(found: InputReport) -> str | None:
    bad = {reason: number for (fate, reason), number in found.reasons.items() if fate in ("rejected", "conflict")}
    if not bad:
        return None
    ordered = sorted(bad.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{reason} {number:,} (first at line {found.first_lines.get(reason, 0):,})" for reason, number in ordered]
    total = sum(bad.values())
    return f"{ordered[0][0]}: {total:,} {'record is' if total == 1 else 'records are'} set aside: {', '.join(parts)}"


def _printable(name: str) -> str:
    """A file's name on one line, whatever bytes it has."""
    return name.encode("utf-8", "backslashreplace").decode().translate({10: "\\n", 13: "\\r", 27: "\\e"})


def _tell(report: RunReport, settings: Settings) -> None:
    from etl.display import money

    skipped = [found for found in report.inputs if found.skipped]
    if report.is_first and report.snapshot:
        click.echo(f"created the warehouse {settings.warehouse}")
    if skipped:
        click.echo(f"skipped {len(skipped):,} {'input' if len(skipped) == 1 else 'inputs'} that were read before")
    for status, quantity in report.unpriced.items():
        click.echo(f"{status}: {quantity:,} units have no price; see `costroll report unpriced`")
    if report.snapshot is None:
        click.echo("nothing new to publish")
    else:
        totals = report.snapshot.manifest["totals"]
        days = f"{report.days[0]} to {report.days[-1]}" if report.days else "no day"
        count = f"{len(report.days):,} {'day' if len(report.days) == 1 else 'days'}"
        click.echo(f"published snapshot {report.snapshot.number:08d}: {count} written ({days})")
        click.echo(f"all published days cost {money(totals['cost_usd'])} USD")
    click.echo(report.counts.line())


def _as_json(report: RunReport) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "snapshot": report.snapshot.number if report.snapshot else None,
        "counts": asdict(report.counts),
        "needs_attention": report.needs_attention,
        "unpriced": report.unpriced,
        "days": [day.isoformat() for day in report.days],
        "inputs": [
            {
                "name": _printable(found.name),
                "sha256": found.sha256,
                "refusal": found.refusal and {"code": found.refusal[0], "text": found.refusal[1]},
                "skipped": found.skipped,
                "counts": asdict(found.counts),
                "reasons": {f"{fate}/{reason}": number for (fate, reason), number in sorted(found.reasons.items())},
            }
            for found in report.inputs
        ],
    }
