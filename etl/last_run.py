"""last_run.json: when a run last ended well, also one that had nothing to publish.

It is advice for the dead man's switch, no part of the warehouse's truth: `run` never reads it, and where it is missing
or damaged, the newest kept snapshot that a run made stands for it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from etl import durable
from etl.errors import IntegrityError, StorageError
from etl.fates import Counts
from etl.manifest import INSTANT_FORMAT, Snapshot
from etl.warehouse import LAST_RUN_NAME, Warehouse

if TYPE_CHECKING:
    from etl.run_report import RunReport


@dataclass(frozen=True)
class LastRun:
    """The last run that ended well.

    Attributes:
        ended_at: when, in naive UTC, by its own clock.
        exit_code: 0 or 3; None where only its snapshot is known.
        snapshot: the published one when it ended.
        counts: fate -> records, with `read`.
        unknown_keys: source and path of what smelt of money and was not known -> in how many of the lines looked at.
    """

    ended_at: datetime
    exit_code: int | None
    snapshot: int
    counts: dict[str, int]
    unknown_keys: dict[str, int] = field(default_factory=dict)


def remember(warehouse: Warehouse, report: RunReport) -> None:
    """Write down that a run ended well; call it inside the lock, when all else is done.

    Raises:
        StorageError: it could not be written. What was published stands.
    """
    published = report.snapshot or warehouse.current()
    members = {
        "ended_at": datetime.now(UTC).strftime(INSTANT_FORMAT),
        "exit_code": 3 if report.needs_attention else 0,
        "snapshot": published.number if published else 0,
        "counts": asdict(report.counts),
        "unknown_keys": {f"{key.source} {key.path}": key.records for key in report.unknown_keys()},
    }
    try:
        durable.write_whole(warehouse.root / LAST_RUN_NAME, json.dumps(members).encode() + b"\n")
    except StorageError as error:
        if report.snapshot:
            raise StorageError(f"snapshot {report.snapshot.number} is published, but {error}") from error
        raise


def last_run(warehouse: Warehouse, snapshot: Snapshot | None) -> LastRun | None:
    """The last run that ended well, as far as it is known; None where no run is on record.

    Args:
        warehouse: where.
        snapshot: the published one.
    """
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _taken(json.loads((warehouse.root / LAST_RUN_NAME).read_bytes()))
    for number in reversed(warehouse.numbers() if snapshot else []):
        with suppress(IntegrityError):  # `verify` tells of it
            made = warehouse.snapshot(number)
            if snapshot and number <= snapshot.number and made.action == "run":
                counts = {fate: made.manifest.get("closure", {}).get(fate, 0) for fate in asdict(Counts())}
                return LastRun(made.published_at, None, number, counts)
    return None


def _taken(members: Any) -> LastRun:
    """What the file says, each member of the kind it must be."""
    counts = {fate: members["counts"][fate] for fate in asdict(Counts())}
    unknown_keys = {str(name): number for name, number in members.get("unknown_keys", {}).items()}
    if any(type(number) is not int for number in (*counts.values(), *unknown_keys.values(), members["snapshot"])):
        raise TypeError
    if members["exit_code"] not in (0, 3):
        raise ValueError
    ended_at = datetime.strptime(members["ended_at"], INSTANT_FORMAT).replace(tzinfo=UTC)
    return LastRun(ended_at.replace(tzinfo=None), members["exit_code"], members["snapshot"], counts, unknown_keys)
