"""`costroll sql`: one read-only query over the published snapshot."""

from __future__ import annotations

import re
import sys

import click

from etl.commands.options import Settings, with_settings

_FORMATS = ("table", "csv", "json")
_READS_RECORDS = re.compile(r"\b(usage|charges|charges_between)\b", re.IGNORECASE)


@click.command(name="sql")
@click.argument("query")
@click.option("--format", "form", type=click.Choice(_FORMATS), help="How to print the result. [default: table]")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=300, show_default=True, help="Seconds.")
@click.option("--memory-limit", metavar="SIZE", help="Such as 8GB. [default: half of the memory, at most 4GiB]")
@click.option("--threads", type=click.IntRange(min=1), help="How many cores. [default: all]")
@with_settings
def command(
    settings: Settings, query: str, form: str | None, timeout: float, memory_limit: str | None, threads: int | None
) -> None:
    """Run one read-only SQL QUERY (`-`: from stdin) over the published snapshot's views.

    `SHOW TABLES` lists the views and `DESCRIBE rollups` the columns of one.

    \b
    Example:
      costroll sql "SELECT day, model, cost_usd FROM daily_costs ORDER BY cost_usd DESC LIMIT 10"
    """
    from etl import analyst, display
    from etl.commands.published import published

    text = sys.stdin.read() if query == "-" else query
    snapshot = published(settings)
    answer = analyst.query(snapshot, text, timeout=timeout, memory_limit=memory_limit, threads=threads)
    form = form or ("json" if settings.json else "table")
    if form == "table" and answer.columns == ["explain_key", "explain_value"]:
        lines = iter([str(row[1]) for row in answer.rows])  # a drawing, not a value
    else:
        write = {"table": display.table, "csv": display.csv_lines, "json": display.json_lines}[form]
        lines = write(answer.columns, answer.rows)
    for line in lines:
        click.echo(line)
    if _READS_RECORDS.search(text) and snapshot.expired_days() and not settings.quiet:
        days = len(snapshot.expired_days())
        count = "1 day has" if days == 1 else f"{days:,} days have"
        click.echo(
            f"costroll: {count} no records any more in usage and charges; the view expired_days has them", err=True
        )
