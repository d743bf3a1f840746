"""`costroll path`: where the published snapshot is."""

from __future__ import annotations

import click

from etl.commands.options import Settings, with_settings


@click.command(name="path")
@with_settings
def command(settings: Settings) -> None:
    """Print the folder of the published snapshot: resolve it once, then read a state that never changes.

    \b
    Example:
      duckdb -c "SELECT day, sum(cost_usd) FROM '$(costroll path)/rollups/*.parquet' GROUP BY day ORDER BY day"
    """
    import json
    import os

    from etl.commands.published import published

    snapshot = published(settings)
    folder = os.path.realpath(snapshot.path)
    click.echo(json.dumps({"path": folder, "snapshot": snapshot.number}) if settings.json else folder)
