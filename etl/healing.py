"""What had no price is tried again at the newest card version: which days, what they hold, and what found its rate.

Only a card version that no run has tried yet sends a run back to old days, and only to those with something unpriced.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import date

import polars as pl

from etl.manifest import Snapshot
from etl.quantities import USED_COLUMNS, aggregate
from etl.rate_card import RateCard, change_instants, thresholds
from etl.rating import rate
from etl.run_report import Healed

_IS_UNPRICED = pl.col("price_status").str.starts_with("unpriced")
_NAMES = ("provider", "model", "tier", "meter", "caching_status", "unit")


def tried_version(snapshot: Snapshot | None) -> int:
    """The newest version at which a run tried every quantity without a price; 0 before the first run."""
    if snapshot is None:
        return 0
    return int(snapshot.manifest.get("tried_rate_version", snapshot.manifest.get("rate_version", 0)))


def days_to_try(parent: Snapshot | None, card: RateCard, touched: Collection[date]) -> list[date]:
    """The days, other than those touched anyway, with something unpriced that this card may know more of.

    Not those whose usage has expired: there is nothing left to rate.
    """
    if parent is None or card.newest() <= tried_version(parent) or not parent.files("rollups"):
        return []
    unpriced = pl.scan_parquet(parent.files("rollups")).filter(_IS_UNPRICED).select("day").unique().collect()
    return sorted(set(unpriced["day"]) - set(touched) - set(parent.expired_days()))


def quantities_of(
    parent: Snapshot, days: Sequence[date], card: RateCard, rate_version: int | None = None
) -> list[pl.DataFrame]:
    """The published quantities of days, each with the card version that it keeps, or all with this one."""
    facts = parent.manifest["days"]
    cuts, bands = change_instants(card), thresholds(card)
    return [
        aggregate(
            pl.read_parquet(parent.files("usage", day), columns=list(USED_COLUMNS)),
            bands,
            cuts,
            rate_version or int(facts[day.isoformat()]["rate_version"]),
        )
        for day in days
    ]


def healed(parent: Snapshot | None, rollups: pl.DataFrame) -> tuple[list[Healed], set[date]]:
    """What had no price in the published snapshot, and has one in these rollups; and the days of it.

    Args:
        parent: the published snapshot.
        rollups: whole days as they are rated now.
    """
    days = rollups["day"].unique()
    files = [file for day in days for file in (parent.files("rollups", day) if parent else [])]
    if not files:
        return [], set()
    key = ["day", *_NAMES, "account_id", "project_id", "source_kind", "is_estimated"]
    was = pl.read_parquet(files).filter(_IS_UNPRICED).group_by(key).agg(pl.col("quantity").sum())
    priced = rollups.filter(~_IS_UNPRICED).select(key).unique()
    still = rollups.filter(_IS_UNPRICED).group_by(key).agg(pl.col("quantity").sum().alias("still"))
    found = (
        was.join(priced, on=key, how="semi", nulls_equal=True)
        .join(still, on=key, how="left", nulls_equal=True)
        .with_columns(quantity=pl.col("quantity") - pl.col("still").fill_null(0))
        .filter(pl.col("quantity") > 0)
    )
    told = found.group_by(_NAMES).agg(
        pl.col("day").min().alias("first_day"), pl.col("day").n_unique().alias("days"), pl.col("quantity").sum()
    )
    rows = told.sort(_NAMES, nulls_last=False).iter_rows()
    width = len(_NAMES)
    return [Healed(row[:width], *row[width:]) for row in rows], set(found["day"])


def healed_at_newest(
    quantities: pl.DataFrame | None, card: RateCard, known: dict[date, list[int]], rollups: pl.DataFrame
) -> set[date]:
    """The days whose prices rest on the newest version, and not only on those that they know already.

    A rate row tells by its own version. An alias does not show in the rollups, so where a later version brought one,
    the day is rated without it, and compared.

    Args:
        quantities: of whole days.
        card: all its versions.
        known: day -> the versions it was rated with so far.
        rollups: these days as they are rated now.
    """
    used = dict(rollups.group_by("day").agg(pl.col("rate_version").max()).rows())
    at_newest = {day for day, versions in known.items() if (used.get(day) or 0) > max(versions)}
    names_since = max([*card.aliases["rate_version"], *card.contracts["rate_version"]], default=0)
    unsure: dict[int, list[date]] = defaultdict(list)
    for day, versions in known.items():
        if quantities is not None and day not in at_newest and max(versions) < names_since:
            unsure[max(versions)].append(day)
    for version, days in unsure.items():
        assert quantities is not None
        before = rate(
            quantities.filter(pl.col("day").is_in(days)),
            card.as_known(version),
            pl.concat(_versions(day, known[day][1:]) for day in days),
        )
        without, now = _unpriced(pl.DataFrame(before)), _unpriced(rollups)
        at_newest |= {day for day in days if without.get(day, 0) != now.get(day, 0)}
    return at_newest


def _versions(day: date, versions: Sequence[int]) -> pl.DataFrame:
    rows = [(day, version) for version in versions]
    return pl.DataFrame(rows, schema={"day": pl.Date, "rate_version": pl.Int64}, orient="row")


def _unpriced(rollups: pl.DataFrame) -> dict[date, int]:
    """Day -> the quantity without a price."""
    return dict(rollups.filter(_IS_UNPRICED).group_by("day").agg(pl.col("quantity").sum()).rows())
