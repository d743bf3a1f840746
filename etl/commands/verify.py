"""`costroll verify`: prove the published snapshot."""

from __future__ import annotations

import click

from etl.commands.options import Settings, with_settings


@click.command(name="verify")
@with_settings
def command(settings: Settings) -> None:
    """Prove the published snapshot intact: hashes, rows, sums, prices and closures, all computed again.

    Exits with 0 when everything is proven, and with 6 when anything is not.

    \b
    Example:
      costroll verify
    """
    import json

    from etl import display
    from etl.commands.published import published
    from etl.errors import IntegrityError
    from etl.verify import as_json, verify
    from etl.warehouse import Warehouse

    warehouse = Warehouse(settings.warehouse)
    if not warehouse.numbers():
        published(settings)  # raises, and says what to do
    report = verify(warehouse)
    if settings.json:
        click.echo(json.dumps(as_json(report), ensure_ascii=False, indent=2))
    else:
        for check in report.checks:
            mark = display.styled("ok    ", "32") if check.holds else display.styled("BROKEN", "31")
            click.echo(f"{mark}  {check.name}: {check.scope}".rstrip(": "))
            for failure in check.failures:
                click.echo(f"        {display.printable(failure)}")
        held = sum(check.holds for check in report.checks)
        of_snapshot = f"snapshot {report.snapshot}, " if report.snapshot is not None else ""
        verdict = "proven" if report.is_proven else "broken"
        click.echo(f"{verdict}: {of_snapshot}{held} of {len(report.checks)} checks hold")
    if not report.is_proven:
        raise IntegrityError(
            f"{warehouse.root} is not intact ({len(report.failures)} findings): restore the named files from a backup, "
            "or run again into a new warehouse"
        )
