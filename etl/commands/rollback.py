"""`costroll rollback`: publish an earlier state again."""

from __future__ import annotations

import click

from etl.commands.options import Settings, with_settings


@click.command(name="rollback")
@click.argument("number", type=click.IntRange(1), required=False)
@with_settings
def command(settings: Settings, number: int | None) -> None:
    """Publish the files of snapshot NUMBER again, under a new number. [default: the one before the published one]

    Files that were read since then are read again by the next `costroll run` that is given them. See `costroll
    snapshots` for the numbers.

    \b
    Example:
      costroll rollback
      costroll rollback 41
    """
    import json

    from etl import display
    from etl.commands.published import published
    from etl.rolling_back import roll_back
    from etl.warehouse import Warehouse

    published(settings)  # raises where nothing is, before a folder is made
    done = roll_back(Warehouse(settings.warehouse), number)
    cost = done.snapshot.manifest["totals"]["cost_usd"]
    if settings.json:
        facts = {"snapshot": done.snapshot.number, "rolled_back_to": done.to.number, "cost_usd": cost}
        click.echo(json.dumps({**facts, "inputs_to_read": done.inputs_to_read}, indent=2))
        return
    click.echo(f"published snapshot {done.snapshot.number:08d}: the files of snapshot {done.to.number:08d} again")
    click.echo(f"all published days cost {display.money(cost)} USD")
    if done.inputs_to_read:
        files = "1 file was" if done.inputs_to_read == 1 else f"{done.inputs_to_read:,} files were"
        click.echo(f"{files} read since then: `costroll run` reads them again")
