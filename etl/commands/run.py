"""`costroll run`: the nightly job."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etl import messages
from etl.commands.options import ByteSize, Settings, limit_options, with_settings

if TYPE_CHECKING:
    from etl.run_report import RunReport


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH...]")
@click.option("--account", metavar="ID", help="The account of records that name none.")
@click.option("--format", "source", metavar="NAME", help="Read as this format; see `costroll formats`.")
@click.option("--assume-tz", "assume_zone", metavar="ZONE", help="Time zone of times that name none, such as UTC.")
@click.option(
    "--date",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="The day of records that do not say when, nor their wrapper.",
)
@click.option(
    "--estimate-tokens",
    is_flag=True,
    help="Count the tokens of OpenAI calls that were logged with their text and without usage; see docs/estimates.md.",
)
@click.option(
    "--replace", is_flag=True, help="Take aggregates of another width or grouping instead of those published."
)
@click.option("--rehash", is_flag=True, help="Read files again although they look unchanged.")
@click.option(
    "--max-decompressed",
    "content_bytes_max",
    type=ByteSize(),
    metavar="SIZE",
    help="Refuse a compressed input that holds more, such as 20GB.",
)
@click.option("--strict", is_flag=True, help="Publish nothing if something needs attention (exit 9).")
@click.option(
    "--wait",
    "wait_seconds",
    type=click.IntRange(min=0),
    metavar="SECONDS",
    default=0,
    help="Wait so long for another run to end. [default: exit 4 at once]",
)
@click.option("--must-exist", is_flag=True, help="Refuse to create a warehouse: a typing error must not.")
@click.option(
    "--commit-every",
    type=ByteSize(),
    metavar="SIZE",
    help="Publish after each so many bytes of inputs, such as 5GB, not only in the end.",
)
@click.option(
    "--metrics-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write what the run did for Prometheus, also when it fails.",
)
@limit_options
@with_settings
def command(
    settings: Settings,
    paths: tuple[str, ...],
    threads: int | None,
    memory_limit: int | None,
    must_exist: bool,
    metrics_file: Path | None,
    commit_every: int | None,
    **options: Any,
) -> int:
    """Read usage logs, rate each record at the price of its moment, and publish daily costs.

    PATH is a file, a folder, a glob in quotes, or - for standard input; without one, what the settings file lists
    under [run] inputs. Records that were read before count once. With --quiet nothing is printed unless something
    needs attention.

    \b
    Example:
        costroll run logs/
        costroll run 'exports/*.jsonl.gz' --account acme
    """
    from etl import engine

    file = settings.file()
    threads, memory_limit = threads or file.run.threads, memory_limit or file.run.memory_limit
    with engine.limited(threads, memory_limit):
        return _run(settings, paths, must_exist, metrics_file, commit_every, options)


def _run(
    settings: Settings,
    paths: tuple[str, ...],
    must_exist: bool,
    metrics_file: Path | None,
    commit_every: int | None,
    options: dict[str, Any],
) -> int:
    from etl import engine
    from etl.backfill import run_in_steps
    from etl.commands.summary import summary
    from etl.errors import MetricsLost, UsageError
    from etl.metrics import recorded
    from etl.pipeline import run
    from etl.run_report import NeedsAttention, Options
    from etl.warehouse import Warehouse

    _require_known(options)
    if must_exist and not Warehouse(settings.warehouse).exists():
        raise UsageError(f"--must-exist: there is no warehouse {settings.warehouse}; without the option, it is created")
    paths, options = _filled(settings, paths, options)
    _require_account(options["account"])
    lost = None
    try:
        with recorded(metrics_file, settings.warehouse) as recording:
            how = Options(
                threads=engine.threads(), on_wait=partial(_tell_waiting, settings, options["wait_seconds"]), **options
            )
            show = _progress(settings)
            if commit_every:
                report = run_in_steps(paths, settings.warehouse, how, commit_every, on_progress=show)
            else:
                report = run(paths, settings.warehouse, how, on_progress=show)
            recording.report, recording.exit_code = report, 3 if report.needs_attention else 0
    except MetricsLost as error:
        lost = error  # what the run did is told first
    except NeedsAttention as error:
        _tell(settings, error.report)
        raise
    if not settings.quiet or report.needs_attention:
        _tell(settings, report)
        if not settings.json:
            for line in summary(report, settings.warehouse):
                click.echo(line)
    if lost:
        raise lost
    return recording.exit_code


def _tell(settings: Settings, report: RunReport) -> None:
    """Say what needs attention, and everything where JSON is asked for."""
    import json

    from etl.commands.summary import as_json, tell_troubles

    tell_troubles(report)
    if settings.json:
        click.echo(json.dumps(as_json(report), indent=2))


def _filled(
    settings: Settings, paths: tuple[str, ...], options: dict[str, Any]
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Paths and options, from the settings file where the command line does not say."""
    from etl.errors import UsageError

    file = settings.file()
    paths = paths or file.inputs()
    if not paths:
        raise UsageError(f"no PATH to read: name one, or list `inputs` under [run] in {file.path}")
    return paths, options | {
        "account": options["account"] or file.run.account,
        "assume_zone": options["assume_zone"] or file.run.assume_tz,
        "estimate_tokens": options["estimate_tokens"] or file.run.estimate_tokens,
        "content_bytes_max": options["content_bytes_max"] or file.run.max_decompressed,
        "alert": file.alert,
    }


def _require_account(account: str | None) -> None:
    """Refuse what no account can be, without repeating it: it is written into every table."""
    from etl.errors import UsageError
    from etl.secret_keys import SECRET

    if account and SECRET.match(account):
        raise UsageError("the account looks like a secret key; give the id or name of the account")
    if account is not None and (not account.strip() or not account.isprintable()):
        raise UsageError("the account is blank or has control characters; give the id or name of the account")


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


def _tell_waiting(settings: Settings, seconds: int, holder: str) -> None:
    if not settings.quiet:
        text = f"{settings.warehouse} is being written by another run ({holder})"
        messages.tell("info", "waiting", f"{text}; waiting up to {seconds:,} s for its end", holder=holder)


def _progress(settings: Settings) -> Any:
    """A line on a terminal's stderr that says how far the reading is; nothing elsewhere."""
    if settings.quiet or messages.is_json() or not sys.stderr.isatty():
        return None

    began = time.monotonic()

    def show(done: int, total: int) -> None:
        sys.stderr.write(f"\r{progress_line(done, total, time.monotonic() - began)}\x1b[K")
        sys.stderr.write("\n" if done >= total else "")
        sys.stderr.flush()

    return show


def progress_line(done: int, total: int, seconds: float) -> str:
    """How far the reading is, how fast, and how long the rest will take at that speed.

    >>> progress_line(250_000_000, 1_000_000_000, 5)
    '25 %  250 of 1,000 MB  50 MB/s  0:00:15 left'
    """
    share = done * 100 // total if total else 100
    line = f"{share} %  {done / 1e6:,.0f} of {total / 1e6:,.0f} MB"
    if not done or seconds < 1:
        return line
    left = timedelta(seconds=round((total - done) * seconds / done))
    return f"{line}  {done / 1e6 / seconds:,.0f} MB/s  {left} left"
