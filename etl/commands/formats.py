"""`costroll formats`: what can be read."""

from __future__ import annotations

import json

import click

from etl.commands.options import Settings, with_settings


@click.command()
@with_settings
def command(settings: Settings) -> None:
    """List the formats that can be read, each with an example record.

    Each is recognised by its content, bare or inside a wrapper of your own; plain, .gz or .zst.

    \b
    Example:
        costroll formats
    """
    from etl.sources import SOURCES

    if settings.json:
        rows = [{"name": s.name, "title": s.title, "kind": s.kind, "example": s.example} for s in SOURCES]
        click.echo(json.dumps(rows, indent=2))
        return
    for source in SOURCES:
        click.secho(source.name, bold=True, nl=False)
        click.echo(f"  {source.title}")
        click.echo("".join(f"    {line}\n" for line in source.example.splitlines()))
    click.echo(
        "A batch output or error line, and a wrapper around any of these, are recognised as well: docs/formats.md"
    )
