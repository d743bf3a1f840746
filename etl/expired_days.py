"""The days whose usage has expired, and what is left to settle late records against."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import polars as pl

from etl.identities import identities_of
from etl.ledger import Expired
from etl.manifest import Snapshot
from etl.schema import polars_schema

_COUNTED = ("account_id", "provider", "source_kind")


class ExpiredDays:
    """The expired days of a snapshot."""

    def __init__(self, snapshot: Snapshot | None) -> None:
        """Take those of the published snapshot; None has none."""
        self._snapshot = snapshot
        self._days = frozenset(snapshot.expired_days()) if snapshot else frozenset()

    def __contains__(self, day: date) -> bool:
        """Whether the usage of that day has expired."""
        return day in self._days

    def around(self, day: date, published: Callable[[], pl.DataFrame]) -> Expired | None:
        """What is left of a day and the days beside it; None where nothing of them has expired.

        Args:
            day: whose candidates are settled.
            published: gives `etl.ledger.KEY` and `content_hash` of all usage that is published for the day.
        """
        near = [found for offset in (-1, 0, 1) if (found := day + timedelta(offset)) in self]
        if self._snapshot is None or not near:
            return None
        files = [file for found in near for file in self._snapshot.files("identities", found)]
        known = [pl.read_parquet(file) for file in files]
        counted = pl.DataFrame(schema={name: polars_schema("rollups")[name] for name in _COUNTED})
        if day in self:
            known.append(identities_of(published()))  # came after the rest had expired
            rows = pl.read_parquet(self._snapshot.files("rollups", day), columns=[*_COUNTED, "quantity"])
            # What made way for other records is booked twice, and comes to nothing.
            counted = rows.group_by(_COUNTED).agg(pl.col("quantity").sum()).filter(pl.col("quantity") != 0)
            counted = counted.select(_COUNTED)
        return Expired(pl.concat(known), counted)
