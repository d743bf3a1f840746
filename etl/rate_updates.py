"""The newer card of an upgraded package: what it would change, and what it must leave alone."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from etl.rate_card import CARD_NAME, RateCard, newer_shipped_card, shipped_card
from etl.rate_offers import Offer
from etl.rate_plan import Plan, plan
from etl.rate_sources.costroll_csv import entries


def update(card: RateCard, now: datetime, *, corrects_imports: bool = False) -> tuple[Plan, str, str]:
    """The plan that takes the shipped card: it replaces what an earlier shipped card said, and adds to the rest.

    Args:
        card: all its versions.
        now: naive UTC.
        corrects_imports: whether the shipped card also beats what was imported.

    Returns:
        The plan, empty when the card is not newer; the shipped card's name; its SHA-256.
    """
    shipped = shipped_card()
    name, digest = shipped.versions.row(0, named=True)["name"], shipped.versions.row(0, named=True)["sha256"]
    if newer_shipped_card(card) is None:
        return Plan(), name, digest
    from_cards = set(card.versions.filter(pl.col("name").str.starts_with(CARD_NAME))["rate_version"])
    offer = Offer(name, {"rates": entries("rates", shipped.rates), "aliases": entries("aliases", shipped.aliases)})
    found = plan(
        card, offer, now,
        corrects=lambda known: corrects_imports or known.rate_version in from_cards,
        is_complete=True,
    )  # fmt: skip
    return found, name, digest
