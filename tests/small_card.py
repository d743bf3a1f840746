"""Rate cards of a few rows, written as tables in the test that needs them, and quantities to rate with them.

    model  tier      meter  caching   over  from        to          rate  [status]
    o3     standard  input  uncached  0     2025-04-16  2025-06-10  10

`-` is blank. Everything is of provider openai; a status that is not said is `published`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from etl.rate_card import RateCard, load_card
from etl.rate_csv import ALIAS_FIELDS, RATE_FIELDS
from etl.rating import rate
from etl.schema import polars_schema

FIRST_VERSION = datetime(2026, 1, 1)
SECOND_VERSION = datetime(2026, 2, 1)
THIRD_VERSION = datetime(2026, 3, 1)


def card(rates: str, aliases: str = "", version: int = 1, recorded_at: datetime = FIRST_VERSION) -> RateCard:
    """A card of one version.

    Args:
        rates: lines of `model tier meter caching over from to rate [status]`.
        aliases: lines of `alias model from to`.
        version: its number.
        recorded_at: when it was learned.
    """
    rate_rows = [["openai", *_blanked(line)] for line in rates.splitlines() if line.strip()]
    alias_rows = [["openai", *_blanked(line)] for line in aliases.splitlines() if line.strip()]
    with tempfile.TemporaryDirectory() as folder:
        rates_csv, aliases_csv = Path(folder) / "rates.csv", Path(folder) / "aliases.csv"
        rates_csv.write_text(_csv(RATE_FIELDS, [[*_with_status(row), "high", "a test"] for row in rate_rows]))
        aliases_csv.write_text(_csv(ALIAS_FIELDS, [[*row, "a test", "high"] for row in alias_rows]))
        return load_card(rates_csv, aliases_csv, name=f"v{version}", rate_version=version, recorded_at=recorded_at)


def then(old: RateCard, new: RateCard, superseded: Sequence[str] = ()) -> RateCard:
    """`old`, and after it the next version `new`, which supersedes these rate ids and aliases of `old`."""
    at = pl.lit(new.versions["recorded_at"].item(), pl.Datetime("us"))
    rates, aliases = (
        frame.with_columns(
            superseded_at=pl.when(pl.col(name).is_in(list(superseded))).then(at).otherwise("superseded_at")
        )
        for frame, name in ((old.rates, "rate_id"), (old.aliases, "alias"))
    )
    return RateCard(
        rates=pl.concat([rates, new.rates]),
        aliases=pl.concat([aliases, new.aliases]),
        versions=pl.concat([old.versions, new.versions]),
    )


def used(quantity: int = 1_000_000, at: str = "2025-11-01", **changes: Any) -> dict[str, Any]:
    """One row of quantities: a million uncached input tokens of model `m`, unless it is said otherwise."""
    rated_at = datetime.fromisoformat(at)
    return {
        "day": rated_at.date(),
        "rated_at": rated_at,
        "provider": "openai",
        "model": "m",
        "tier": "standard",
        "meter": "input",
        "caching_status": "not_applicable" if changes.get("meter") == "output" else "uncached",
        "prompt_over_tokens": 0,
        "quantity": quantity,
        "source_kind": "request",
        "is_estimated": False,
        "cached_is_split": True,
        "accounting_period": at[:7],
        "charge_class": "usage",
        **changes,
    }


def quantities(*rows: dict[str, Any]) -> pl.DataFrame:
    """The table `quantities`; what a row does not say is NULL."""
    return pl.DataFrame(list(rows), schema=polars_schema("quantities"))


def rated(prices: RateCard, *rows: dict[str, Any], healed: pl.DataFrame | None = None) -> list[dict[str, Any]]:
    """The rollups of these rows."""
    found: list[dict[str, Any]] = rate(quantities(*rows), prices, healed).to_pylist()
    return found


def _with_status(row: list[str]) -> list[str]:
    return row if len(row) == 10 else [*row, "published"]


def _blanked(line: str) -> list[str]:
    return ["" if word == "-" else word for word in line.split()]


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(",".join(row) for row in [header, *rows]) + "\n"
