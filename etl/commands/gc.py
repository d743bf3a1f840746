"""`costroll gc`: remove old snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from etl.commands.options import Settings, with_settings

if TYPE_CHECKING:
    from etl.collecting import Collected


@click.command(name="gc")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@with_settings
def command(settings: Settings, dry_run: bool) -> None:
    """Remove snapshots that are beyond both limits of the retention: not among the newest 14, and older than 48 hours.

    Both limits stand in costroll.toml, section [retention]. The published snapshot and the one of each closed month
    stay whatever their age. With `usage_days` there, the records of older days of closed months go too; costs stay.

    \b
    Example:
      costroll gc --dry-run
    """
    import json

    from etl.collecting import collect
    from etl.commands.published import published
    from etl.warehouse import Warehouse

    published(settings)  # raises where nothing is, before a folder is made
    done = collect(Warehouse(settings.warehouse), settings.file().retention, dry_run=dry_run)
    if settings.json:
        facts = {
            "dry_run": dry_run,
            "expired_days": [day.isoformat() for day in done.expired],
            "removed": done.removed,
            "freed_bytes": done.freed_bytes,
            "kept": [one.number for one in done.kept],
            "pinned": {str(one.number): list(one.pins) for one in done.kept if one.pins},
        }
        click.echo(json.dumps(facts, indent=2))
        return
    for line in _lines(done, dry_run):
        click.echo(line)


def _lines(done: Collected, dry_run: bool) -> list[str]:
    kept = f"kept: {_ranges([one.number for one in done.kept])}"
    lines = []
    if done.expired:
        days = f"{len(done.expired):,} {'day' if len(done.expired) == 1 else 'days'}"
        span = f"{done.expired[0]} to {done.expired[-1]}"
        lines.append(f"usage of {days} {'would expire' if dry_run else 'expired'} ({span}); every cost stays")
    if not done.removed:
        return [*lines, f"no snapshot {'would go' if dry_run else 'to remove'}", kept]
    count = f"{len(done.removed):,} {'snapshot' if len(done.removed) == 1 else 'snapshots'}"
    numbers = _ranges(done.removed)
    free = f"{done.freed_bytes:,} bytes"
    if dry_run:
        return [*lines, f"would remove {count}: {numbers}", f"{free} would come free", kept]
    return [*lines, f"removed {count}: {numbers}", f"{free} came free", kept]


def _ranges(numbers: list[int]) -> str:
    """Numbers in ascending order as a person writes them: `1, 3 to 5`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ", ".join(" to ".join(map(str, part)) for part in parts)
