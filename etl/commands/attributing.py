"""`--by` and `--mapping`, for the commands that tell costs apart by who caused them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etl.commands.options import Settings

if TYPE_CHECKING:
    from etl.attribution import By
    from etl.manifest import Snapshot


def by_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--by` and `--mapping`; its function gets them as `by` and `mapping`."""
    for option in (
        click.option(
            "--mapping",
            metavar="FILE",
            type=click.Path(dir_okay=False, path_type=Path),
            help="CSV that gives keys their tags. [default: [attribution] mapping of the settings]",
        ),
        click.option(
            "--by",
            metavar="NAME",
            help="Tell costs apart by api_key, user, workflow, project, account or a tag of the mapping file.",
        ),
    ):
        function = option(function)
    return function


def by_of(settings: Settings, name: str, mapping: Path | None) -> By:
    """What `--by NAME` means with the mapping file that was given, else the settings'.

    Raises:
        UsageError: it is neither a dimension nor a tag, or the mapping file cannot be used.
    """
    from etl.attribution import By
    from etl.mapping import read_mapping

    path = mapping_of(settings, mapping)
    return By(name, read_mapping(path) if path else None)


def mapping_of(settings: Settings, mapping: Path | None) -> Path | None:
    """The mapping file that was given, else the settings', else None."""
    file = settings.file()
    set_there = file.path.parent / file.attribution.mapping if file.attribution.mapping else None
    return mapping or set_there


def tell_expired(snapshot: Snapshot, settings: Settings, since: date | None, until: date | None, usd: Decimal) -> None:
    """Say on stderr how much cannot be told apart because the records of its days are gone."""
    from etl.display import money

    days = [day for day in snapshot.expired_days() if (not since or day >= since) and (not until or day <= until)]
    if days and not settings.quiet:
        count = "1 day has" if len(days) == 1 else f"{len(days):,} days have"
        click.echo(
            f"costroll: {count} no records any more ({min(days)} to {max(days)}): {money(usd)} USD of them "
            "can no longer be told apart and stand as `records expired`",
            err=True,
        )
