"""What the published days lack in rates: each gap with the quantity it touches, and the row that would close it.

Grain: one gap is one combination of provider, model, tier, meter, caching status, context band and reason.
Units: quantities in the meter's unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

import polars as pl

from etl.manifest import Snapshot
from etl.rate_card import RateCard
from etl.rate_csv import LIST, RATE_FIELDS
from etl.rate_lookup import priced_as
from etl.rate_versions import written

# A person must say what these cost; no rate by the token does.
_PREPAID = ("unpriced_provisioned", "unpriced_complimentary")
_KEY = ["price_status", "provider", "model", "tier", "meter", "caching_status", "context_over_tokens", "unit"]
UNKNOWN = "?"


@dataclass(frozen=True)
class Gap:
    """One gap.

    Attributes:
        reason: the price status.
        names: provider, model, tier, meter, caching status, context threshold and unit, as in the rollups.
        first_day, last_day: with such usage.
        quantity: how much of it.
        row: the line of `rates.csv` that closes it, its rate and source still `?`; None when no row can.
        advice: what to do instead, or besides.
    """

    reason: str
    names: tuple[Any, ...]
    first_day: date
    last_day: date
    quantity: int
    row: str | None
    advice: str


def gaps(snapshot: Snapshot, card: RateCard) -> list[Gap]:
    """The gaps of the published days, the largest quantity first."""
    files = snapshot.files("rollups")
    if not files:
        return []
    unpriced = (
        pl.scan_parquet(files)
        .filter(pl.col("price_status").str.starts_with("unpriced") & ~pl.col("price_status").is_in(_PREPAID))
        .group_by(_KEY)
        .agg(pl.col("day").min().alias("first_day"), pl.col("day").max().alias("last_day"), pl.col("quantity").sum())
        .filter(pl.col("quantity") > 0)
        .collect()
        .sort("quantity", *_KEY, descending=[True, *[False] * len(_KEY)])
    )
    models = {(row["provider"], row["model"]): row["first_day"] for row in unpriced.iter_rows(named=True)}
    names = priced_as(card, [(*key, datetime.combine(day, time())) for key, day in models.items() if None not in key])
    return [_gap(row, names, card) for row in unpriced.iter_rows(named=True)]


def _gap(row: dict[str, Any], names: dict[tuple[str, str], str], card: RateCard) -> Gap:
    key = tuple(row[name] for name in _KEY[1:])
    model = names.get((row["provider"], row["model"]), row["model"])
    line, advice = None, _ADVICE[row["price_status"]]
    if row["model"] is None or row["provider"] is None:
        advice = "the log names no model: export it grouped by model"
    elif row["tier"] is None:
        advice = "the log does not tell the tier: export it grouped by batch and service tier"
    else:
        what = (row["provider"], model, row["tier"], row["meter"], row["caching_status"], row["context_over_tokens"])
        cells = dict(zip(RATE_FIELDS, what, strict=False)) | {
            "effective_from": row["first_day"].isoformat(),
            "effective_to": _known_from(card, what, row["first_day"]),
            "rate_usd_per_million": UNKNOWN,
            "status": "published",
            "confidence": "high",
            "source": UNKNOWN,
        }
        line = ",".join(str(cells[name]) for name in RATE_FIELDS)
    return Gap(row["price_status"], key, row["first_day"], row["last_day"], row["quantity"], line, advice)


_ADVICE = {
    "unpriced_unknown_model": "or an alias, when it is another name of a model that has rates",
    "unpriced_unknown_tier": "",
    "unpriced_before_first_rate": "or an earlier start of the first known rate",
    "unpriced_no_rate": "",
}


def _known_from(card: RateCard, what: tuple[Any, ...], first_day: date) -> str:
    """The day on which a later known rate of the same thing begins; blank when there is none."""
    same = pl.all_horizontal(pl.col(name) == value for name, value in zip(RATE_FIELDS, what, strict=False))
    later = (pl.col("book") == LIST) & (pl.col("effective_from") > first_day)
    first = card.current().rates.filter(same & later)["effective_from"].min()
    return written(first) if isinstance(first, datetime) else ""
