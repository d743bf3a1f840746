"""Publish a changed rate table: a new snapshot in which only the files of rates are new.

A published day keeps the version it was rated with, so no cost changes here. What found no rate is tried again at the
new version by the next run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from etl import analyst
from etl.errors import IntegrityError
from etl.healing import tried_version
from etl.rate_card import CARD_TABLES, RateCard, current_card, shipped_card
from etl.rate_checks import validated
from etl.schema import arrow_schema
from etl.warehouse import Snapshot, SnapshotBuilder, Warehouse


def card_of(snapshot: Snapshot | None) -> RateCard:
    """The rate table of a snapshot; without one the shipped card, which the first run takes.

    Raises:
        IntegrityError: the snapshot has none.
    """
    if snapshot is None:
        return shipped_card()
    files = [snapshot.files(table) for table in CARD_TABLES]
    if not all(files[:-1]):  # contracts are there only once there was one
        raise IntegrityError(f"{snapshot.path}: the rate table is missing; run `costroll verify`")
    return current_card([found[0] for found in files if found])


def write_card(builder: SnapshotBuilder, card: RateCard) -> None:
    """Write the whole rate table into a snapshot in the making."""
    for table in CARD_TABLES:
        frame: pl.DataFrame = getattr(card, table)
        if table == "contracts" and frame.is_empty():
            continue
        builder.write(f"rates/{table}-{builder.number:08d}.parquet", frame.to_arrow().cast(arrow_schema(table)))


def publish(root: Path, revise: Callable[[RateCard], RateCard]) -> Snapshot | None:
    """Replace the rate table of a warehouse, under its lock; of a new warehouse, the shipped card.

    Args:
        root: the warehouse.
        revise: makes the new table from the published one; the same object when there is nothing to change.

    Returns:
        The published snapshot; None when nothing changed.

    Raises:
        RateCardError: the new table breaks a rule; nothing was published.
    """
    warehouse = Warehouse(root)
    with warehouse.lock():
        parent = warehouse.current()
        known = card_of(parent)
        card = revise(known)
        if card is known:
            return None
        validated(card)
        builder = warehouse.begin(parent)
        try:
            snapshot = _committed(builder, parent, card)
        except BaseException:
            builder.discard()
            raise
        analyst.build_database(warehouse, snapshot)
    return snapshot


def _committed(builder: SnapshotBuilder, parent: Snapshot | None, card: RateCard) -> Snapshot:
    """The snapshot in which the rate table replaces the parent's, and nothing else changes."""
    facts = {"action": "rates", "rate_version": card.newest(), "tried_rate_version": tried_version(parent)}
    if parent is not None:
        for old in [file for table in CARD_TABLES for file in parent.files(table)]:
            builder.drop(old.relative_to(parent.path).as_posix())
        facts |= {name: parent.manifest[name] for name in ("settings_hash",) if name in parent.manifest}
    write_card(builder, card)
    return builder.commit(facts)
