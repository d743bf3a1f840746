"""`costroll verify`: prove the published snapshot, or older ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from etl.commands.options import Settings, with_settings

if TYPE_CHECKING:
    from etl.verify import VerifyReport


@click.command(name="verify")
@click.option("--snapshot", "number", type=click.IntRange(1), metavar="N", help="An older snapshot instead.")
@click.option("--all", "every", is_flag=True, help="Every snapshot that is kept.")
@with_settings
def command(settings: Settings, number: int | None, every: bool) -> None:
    """Prove the published snapshot intact: hashes, rows, sums, prices and closures, all computed again.

    Exits with 0 when everything is proven, and with 6 when anything is not.

    \b
    Example:
      costroll verify
      costroll verify --all
    """
    import json

    from etl.commands.published import published
    from etl.errors import IntegrityError
    from etl.verify import as_json, verify, verify_all
    from etl.warehouse import Warehouse

    if every and number is not None:
        raise click.UsageError("--all and --snapshot do not go together: --all has that one too")
    warehouse = Warehouse(settings.warehouse)
    if not warehouse.numbers():
        published(settings)  # raises, and says what to do
    reports = []
    for report in verify_all(warehouse) if every else [verify(warehouse, number)]:
        reports.append(report)
        if not settings.json:
            _tell(report)
    if settings.json:
        said = [as_json(report) for report in reports]
        click.echo(json.dumps(said if every else said[0], ensure_ascii=False, indent=2))
    findings = sum(len(report.failures) for report in reports)
    if findings:
        raise IntegrityError(
            f"{warehouse.root} is not intact ({findings} findings): restore the named files from a backup, "
            "or run again into a new warehouse"
        )


def _tell(report: VerifyReport) -> None:
    from etl import display

    for check in report.checks:
        mark = display.styled("ok    ", "32") if check.holds else display.styled("BROKEN", "31")
        click.echo(f"{mark}  {check.name}: {check.scope}".rstrip(": "))
        for failure in check.failures:
            click.echo(f"        {display.printable(failure)}")
    held = sum(check.holds for check in report.checks)
    of_snapshot = f"snapshot {report.snapshot}, " if report.snapshot is not None else ""
    verdict = "proven" if report.is_proven else "broken"
    click.echo(f"{verdict}: {of_snapshot}{held} of {len(report.checks)} checks hold")
