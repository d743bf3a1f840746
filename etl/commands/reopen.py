"""`costroll reopen`: let a closed month change again, on record."""

from __future__ import annotations

from typing import Any

import click

from etl.commands.options import Settings, with_settings


@click.command(name="reopen")
@click.argument("month", metavar="MONTH", type=click.DateTime(["%Y-%m"]))
@click.option("--reason", metavar="TEXT", required=True, help="Why; it is kept in every manifest from now on.")
@click.option("--by", metavar="NAME", help="Who reopens it, for the record.")
@with_settings
def command(settings: Settings, month: Any, reason: str, by: str | None) -> None:
    """Let a closed MONTH change again.

    Its corrections that are booked in a month that is still open go back to their own days. Corrections in closed
    months stay where they are.

    \b
    Example:
        costroll reopen 2026-10 --reason "export of 30 October was incomplete" --by "A. Controller"
    """
    from etl.closing import reopen

    report = reopen(settings.warehouse, f"{month:%Y-%m}", reason=reason, by=by)
    if settings.json:
        import json

        facts = {**report.entry, "days": [day.isoformat() for day in report.days]}
        click.echo(json.dumps(facts, ensure_ascii=False, indent=2))
        return
    if report.days:
        days = "1 day" if len(report.days) == 1 else f"{len(report.days):,} days"
        click.echo(f"corrections of {days} are booked anew")
    click.echo(f"published snapshot {report.snapshot.number:08d}: {report.month} is open again")
