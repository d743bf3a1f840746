"""`costroll migrate`: bring a warehouse of an older format up to date."""

from __future__ import annotations

import click

from etl.commands.options import Settings, with_settings


@click.command(name="migrate")
@with_settings
def command(settings: Settings) -> None:
    """Bring a warehouse that an older Costroll wrote up to date: once, after an upgrade that asks for it.

    It proves the published snapshot first, as `costroll verify` does. No cost changes; the old snapshots stay.

    \b
    Example:
      costroll migrate
    """
    import json

    from etl.errors import UsageError
    from etl.manifest import FORMAT_VERSION
    from etl.migrating import migrate
    from etl.warehouse import Warehouse

    warehouse = Warehouse(settings.warehouse)
    if not warehouse.exists():
        raise UsageError(f"nothing is published in {warehouse.root}: there is nothing to migrate")
    done = migrate(warehouse)
    is_new = done.from_format < FORMAT_VERSION
    if settings.json:
        facts = {"snapshot": done.snapshot.number, "from_format": done.from_format, "format": FORMAT_VERSION}
        click.echo(json.dumps({**facts, "rewritten_files": done.rewritten}, indent=2))
    elif is_new:
        files = "1 file" if done.rewritten == 1 else f"{done.rewritten:,} files"
        click.echo(f"published snapshot {done.snapshot.number:08d} in format {FORMAT_VERSION}: {files} written anew")
        click.echo("every rollup is the same file as before")
    else:
        click.echo(f"nothing to do: {warehouse.root} is in format {FORMAT_VERSION} already")
