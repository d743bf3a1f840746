"""Tell what a damaged warehouse did to a command from what a command did wrong.

No command proves its files before it reads them, which would take longer than to answer. Where one fails, the files
are looked at then.
"""

from __future__ import annotations

from pathlib import Path

from etl import durable
from etl.errors import CostrollError, IntegrityError
from etl.manifest import Snapshot
from etl.warehouse import Warehouse

_SHOWN = 3
# Files that are gone are told by errors of Python itself.
_LIBRARIES = ("duckdb", "_duckdb", "polars", "pyarrow", "builtins")


def damage_behind(error: Exception, root: Path) -> IntegrityError | None:
    """What to say instead of an error of a library while a published file is not what its manifest says.

    Args:
        error: what a command ended with.
        root: the warehouse.

    Returns:
        The error that names the files; None where the first one says what there is to say.
    """
    found = _damaged(root) if _may_be_of_damage(error) else []
    if not found:
        return None
    more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    return IntegrityError(
        f"{', '.join(found[:_SHOWN])}{more}: not as published; `costroll verify` says all, and a backup or an "
        "earlier snapshot (`costroll rollback`) has it whole"
    )


def _may_be_of_damage(error: Exception) -> bool:
    """An error that is none of ours, or that a library's error became when it was told."""
    told = error.__cause__ if isinstance(error, CostrollError) else error
    return told is not None and type(told).__module__.startswith(_LIBRARIES)


def _damaged(root: Path) -> list[str]:
    """The files of the published snapshot that are gone or changed; of `usage`, which is large, by their sizes."""
    try:
        snapshot = Warehouse(root).current()
    except CostrollError:
        return []
    if snapshot is None:
        return []
    return [str(snapshot.path / entry["path"]) for entry in snapshot.entries if _is_damaged(snapshot, entry)]


def _is_damaged(snapshot: Snapshot, entry: dict[str, object]) -> bool:
    path = snapshot.path / str(entry["path"])
    try:
        if path.stat().st_size != entry["bytes"]:
            return True
        return entry["table"] != "usage" and durable.sha256_of(path) != entry["sha256"]
    except OSError:
        return True
