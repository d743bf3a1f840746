"""The rate card: every rate and alias ever recorded, with when each is in force and with which version it came.

Valid time is `effective_from` (inclusive) to `effective_to` (exclusive); system time is `recorded_at` (inclusive) to
`superseded_at` (exclusive).
A version knows the rows that it or an earlier version introduced and that nothing had superseded when it was recorded.
Source: docs/rates.md.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from etl.errors import RateCardError
from etl.rate_csv import CardFile, read_aliases, read_rates
from etl.schema import polars_schema

# In the order in which `current_card` takes their files.
CARD_TABLES = ("rates", "aliases", "versions", "contracts")
# How the names of shipped cards begin; their date follows, so the newer name is the larger one.
CARD_NAME = "costroll card "
_CARD_FOLDER = resources.files("etl").joinpath("card")


@dataclass(frozen=True)
class RateCard:
    """A rate card with all its versions.

    Attributes:
        rates: the table `rates` of `etl.schema`.
        aliases: the table `aliases`.
        versions: the table `versions`; the newest is the largest `rate_version`.
        contracts: the table `contracts`: which account has which book of negotiated rates, and when.
    """

    rates: pl.DataFrame
    aliases: pl.DataFrame
    versions: pl.DataFrame
    contracts: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=polars_schema("contracts")))

    def newest(self) -> int:
        """The newest version.

        Raises:
            RateCardError: the card has no version at all.
        """
        if self.versions.is_empty():
            raise RateCardError("the rate card has no version: it was never loaded")
        return int(self.versions.select(pl.col("rate_version").max()).item())

    def as_known(self, rate_version: int) -> RateCard:
        """The card as it was known at a version, which is then its newest.

        Raises:
            RateCardError: there is no such version.
        """
        at = self.versions.filter(pl.col("rate_version") == rate_version)
        if at.is_empty():
            there_are = ", ".join(map(str, sorted(self.versions["rate_version"]))) or "none"
            raise RateCardError(f"the rate card has no version {rate_version}; there are: {there_are}")
        recorded_at = at["recorded_at"].item()
        known = pl.col("rate_version") <= rate_version
        # What a later version superseded was not superseded yet.
        still = pl.when(pl.col("superseded_at") <= recorded_at).then("superseded_at").alias("superseded_at")
        return RateCard(
            rates=self.rates.filter(known).with_columns(still),
            aliases=self.aliases.filter(known).with_columns(still),
            versions=self.versions.filter(known),
            contracts=self.contracts.filter(known).with_columns(still),
        )

    def as_known_on(self, instant: datetime) -> RateCard:
        """The card as it was known at an instant, naive UTC.

        Raises:
            RateCardError: nothing was recorded by then.
        """
        by_then = self.versions.filter(pl.col("recorded_at") <= pl.lit(instant, pl.Datetime("us")))
        if by_then.is_empty():
            first = self.versions["recorded_at"].min()
            raise RateCardError(f"nothing was known on {instant}Z; the first version was recorded at {first!s}Z")
        return self.as_known(int(by_then["rate_version"].max()))  # type: ignore[arg-type]  # a column of integers

    def current(self) -> RateCard:
        """Only the rates and aliases known at the newest version."""
        now = pl.col("superseded_at").is_null()
        return RateCard(self.rates.filter(now), self.aliases.filter(now), self.versions, self.contracts.filter(now))


def shipped_card() -> RateCard:
    """The card of list prices in the package."""
    folder, about = _CARD_FOLDER, _about_shipped()
    return load_card(
        folder.joinpath("rates.csv"),
        folder.joinpath("aliases.csv"),
        name=about["name"],
        rate_version=about["rate_version"],
        recorded_at=about["recorded_at"],
    )


def newer_shipped_card(card: RateCard) -> str | None:
    """The name of the card in the package, when it is newer than every shipped card this one has taken."""
    name = str(_about_shipped()["name"])
    taken = card.versions.filter(pl.col("name").str.starts_with(CARD_NAME))["name"]
    return name if all(name > str(other) for other in taken) else None


def _about_shipped() -> dict[str, Any]:
    return tomllib.loads(_CARD_FOLDER.joinpath("card.toml").read_text(encoding="utf-8"))


def load_card(
    rates: CardFile,
    aliases: CardFile | None = None,
    *,
    name: str,
    recorded_at: datetime,
    rate_version: int = 1,
) -> RateCard:
    """Load a card of one version from CSV files; `etl.rate_checks.validated` then judges its content.

    Args:
        rates: in the format of the shipped `rates.csv`.
        aliases: in the format of the shipped `aliases.csv`; None when there are none.
        name: of the card or import.
        recorded_at: when it was learned; with a zone, or in UTC.
        rate_version: the number of the version.

    Raises:
        RateCardError: naming each bad line.
    """
    at = recorded_at.astimezone(UTC).replace(tzinfo=None) if recorded_at.tzinfo else recorded_at
    digest = hashlib.sha256()
    for file in (rates, aliases):
        # The length keeps the two files apart.
        content = file.read_bytes() if file is not None and file.is_file() else b""
        digest.update(len(content).to_bytes(8, "big") + content)
    version = {"rate_version": [rate_version], "name": [name], "recorded_at": [at], "sha256": [digest.hexdigest()]}
    no_aliases = pl.DataFrame(schema=polars_schema("aliases"))
    return RateCard(
        rates=read_rates(rates, rate_version, at),
        aliases=no_aliases if aliases is None else read_aliases(aliases, rate_version, at),
        versions=pl.DataFrame(version, schema=polars_schema("versions")),
    )


def current_card(parquet: Sequence[Path] | None = None) -> RateCard:
    """The card that the commands show.

    Args:
        parquet: a warehouse's files of rates, aliases, versions and, if there are any, contracts, in this order;
            None for the shipped card.
    """
    if parquet is None:
        return shipped_card()
    return RateCard(
        *(pl.read_parquet(file).cast(polars_schema(table)) for table, file in zip(CARD_TABLES, parquet, strict=False))
    )


def thresholds(card: RateCard) -> list[int]:
    """The context thresholds of any rate, superseded or not, in ascending order."""
    return sorted(card.rates.filter(pl.col("context_over_tokens") > 0)["context_over_tokens"].unique())


def change_instants(card: RateCard) -> list[datetime]:
    """The instants, other than midnight, at which anything of any version begins or ends, in ascending order."""
    frames = (card.rates, card.aliases, card.contracts)
    instants = pl.concat([frame[column] for frame in frames for column in ("effective_from", "effective_to")])
    return sorted(instant for instant in instants.drop_nulls().unique() if instant.time() != time())


def register(con: duckdb.DuckDBPyConnection, card: RateCard) -> None:
    """Show the card to SQL as `rates_history`, `aliases_history`, `contracts_history` and `rate_versions`."""
    con.register("rates_history", card.rates.to_arrow())
    con.register("aliases_history", card.aliases.to_arrow())
    con.register("contracts_history", card.contracts.to_arrow())
    con.register("rate_versions", card.versions.to_arrow())
