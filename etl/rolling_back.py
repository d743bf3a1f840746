"""Go back to an earlier snapshot: its files are published again, under a new number.

Numbers only grow and the link never moves back, so the chain stays whole and what was undone is still kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from etl import analyst, durable
from etl.errors import IntegrityError, UsageError
from etl.manifest import Snapshot, members_of_state
from etl.migrating import bring_up_to_date
from etl.warehouse import Warehouse


@dataclass(frozen=True)
class RolledBack:
    """What a rollback did.

    Attributes:
        snapshot: what is published now.
        to: the snapshot whose files it has.
        inputs_to_read: how many readings of files are undone; `run` reads those files again.
    """

    snapshot: Snapshot
    to: Snapshot
    inputs_to_read: int


def roll_back(warehouse: Warehouse, number: int | None) -> RolledBack:
    """Publish the files of an earlier snapshot again.

    Args:
        warehouse: where.
        number: of the snapshot; None: the one before the published one.

    Raises:
        UsageError: there is no such snapshot, or nothing to go back to, or a month was closed or reopened since.
        IntegrityError: a file of it is damaged; nothing was published.
    """
    with warehouse.lock():
        current = warehouse.current()
        if current is None:
            raise UsageError(f"{warehouse.root}: nothing is published here; run `costroll run PATH...` first")
        target = _target(warehouse, current, number)
        _refuse_other_closes(current, target)
        _refuse_damage(current, target)
        builder = warehouse.begin(current)
        try:
            builder.keep_from(target)
            expected = bring_up_to_date(builder, target)
        except BaseException:
            builder.discard()
            raise
        facts = {"action": "rollback", "rolled_back_to": target.number, "expected": expected}
        snapshot = builder.commit({**members_of_state(target), **facts})
        analyst.build_database(warehouse)
    known = current.manifest["totals"]["inputs_rows"], target.manifest["totals"]["inputs_rows"]
    return RolledBack(snapshot, target, max(known[0] - known[1], 0))


def _target(warehouse: Warehouse, current: Snapshot, number: int | None) -> Snapshot:
    earlier = [found for found in warehouse.numbers() if found < current.number]
    if number is None and not earlier:
        raise UsageError(f"snapshot {current.number} is the only one kept: there is none to go back to")
    if number == current.number:
        raise UsageError(f"snapshot {number} is the published one already")
    if number is not None and number not in earlier:
        kept = ", ".join(str(found) for found in earlier[-10:]) or "none"
        raise UsageError(f"there is no snapshot {number} to go back to; kept before the published one: {kept}")
    return warehouse.snapshot(earlier[-1] if number is None else number)


def _refuse_other_closes(current: Snapshot, target: Snapshot) -> None:
    """What was closed stays closed until somebody reopens it, with a reason that is kept."""
    now, then = current.manifest.get("closed", {}), target.manifest.get("closed", {})
    ways = [
        f"{month} was closed since (`costroll reopen {month} --reason TEXT` first)"
        for month, record in sorted(now.items())
        if then.get(month) != record
    ]
    ways += [f"{month} was closed then and is open now" for month in sorted(then.keys() - now.keys())]
    if ways:
        raise UsageError(f"snapshot {target.number} cannot be published again: {'; '.join(ways)}")


def _refuse_damage(current: Snapshot, target: Snapshot) -> None:
    """Hash the files that come back: nobody may have looked at them for long."""
    published = {(entry["path"], entry["sha256"]) for entry in current.entries}
    for entry in target.entries:
        path = target.path / entry["path"]
        if (entry["path"], entry["sha256"]) not in published and durable.sha256_of(path) != entry["sha256"]:
            raise IntegrityError(f"{path}: its bytes were changed (SHA-256 differs); nothing was published")
