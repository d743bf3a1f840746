"""What most commands start from: the published snapshot, or an error that says how to get one."""

from __future__ import annotations

from etl.commands.options import Settings
from etl.manifest import Snapshot
from etl.warehouse import Warehouse


def published(settings: Settings) -> Snapshot:
    """The published snapshot.

    Raises:
        UsageError: there is none.
        IntegrityError: its link or manifest is damaged.
    """
    return Warehouse(settings.warehouse).published()
