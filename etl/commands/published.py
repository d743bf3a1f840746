"""What most commands start from: the published snapshot, or an error that says how to get one."""

from __future__ import annotations

from etl.commands.options import Settings
from etl.errors import UsageError
from etl.manifest import Snapshot
from etl.warehouse import Warehouse


def published(settings: Settings) -> Snapshot:
    """The published snapshot.

    Raises:
        UsageError: there is none.
        IntegrityError: its link or manifest is damaged.
    """
    warehouse = Warehouse(settings.warehouse)
    snapshot = warehouse.current()
    if snapshot is None:
        raise UsageError(
            f"nothing is published in {warehouse.root}: fill it with `costroll run PATH...`, "
            "or name another warehouse with --warehouse DIR or $COSTROLL_WAREHOUSE"
        )
    return snapshot
