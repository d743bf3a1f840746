"""The quantities behind published rollups: from the rollups themselves where they tell enough, else from usage.

A month is sixty million records or a few thousand rollup rows. Of its records a row does not tell
the stretch of the day in which they were made, how long their prompts were within the context bands that the model had,
and whether the log told cached input apart. So each row's records may have come about in a few *ways*. Every way is
rated with the rates that are asked for: where all come to one price, the row's quantity has that price. Else the ways
are rated as the day was, and those that do not give the published row drop out. Where the rest still disagree, the
day's usage of that model is summed.

Nothing here knows how a price is found: it only compares what `etl.rating` says. See docs/decisions/0009-recall.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date

import polars as pl

from etl.manifest import Snapshot
from etl.quantities import aggregate_files
from etl.rate_card import RateCard, change_instants, thresholds
from etl.rating import rate
from etl.schema import polars_schema

_OUTCOME = (
    "context_over_tokens", "rate_usd_per_million", "price_status", "rate_id", "rate_version", "priced_model"
)  # fmt: skip
_RATED = ("account_id", "provider", "model", "tier", "meter", "caching_status", "source_kind")
_SUMMED = ("day", "provider", "model")
# So that a cost is the rate, and a list cost the list's.
_MILLION = 1_000_000


def quantities_behind(
    parent: Snapshot, days: Sequence[date], rollups: pl.DataFrame, table: RateCard, card: RateCard
) -> pl.DataFrame:
    """The table `quantities` of days, as far as rating it with a card's newest version goes: it gives the same rollups.

    Args:
        parent: the published snapshot.
        days: whose usage has not expired.
        rollups: all that is booked for these days, added up.
        table: the snapshot's rate table, which rated them.
        card: what the quantities are for: the table, or what was known of it.
    """
    version = card.newest()
    # Accounts without a contract of their own have the same prices.
    has_contract = pl.col("account_id").is_in(table.contracts["account_id"].drop_nulls().to_list())
    named = rollups.with_columns(cell_account=pl.when(has_contract).then("account_id"))
    cell = ["day", "cell_account", *_RATED[1:], *_OUTCOME]
    cells = named.select(cell).unique(maintain_order=True).with_row_index("cell")
    ways = _ways(cells, table)
    known = _settled(ways, cells, parent, table, card)
    keyed = named.join(cells, on=cell, nulls_equal=True).join(known, on="cell", how="left")
    unknown = keyed.filter(pl.col("rated_at").is_null()).select(_SUMMED).unique()
    recalled = keyed.join(unknown, on=_SUMMED, how="anti", nulls_equal=True).with_columns(
        rate_version=pl.lit(version, pl.Int64),
        accounting_period=pl.col("day").dt.strftime("%Y-%m"),
        charge_class=pl.lit("usage"),
    )
    schema = polars_schema("quantities")
    bands, cuts = thresholds(card), change_instants(card)
    summed = [
        part
        for (day,), names in sorted(unknown.partition_by("day", as_dict=True).items())
        for part in aggregate_files(parent.files("usage", day), bands, cuts, version, names.drop("day"))
    ]
    return pl.concat([recalled.select(schema.names()).cast(schema), *summed])


def _ways(cells: pl.DataFrame, table: RateCard) -> pl.DataFrame:
    """Each way in which a cell's records may have come about, whatever of it decides a price."""
    bands = table.rates.filter(pl.col("context_over_tokens") > 0).select(
        "provider", prompt_over_tokens="context_over_tokens"
    )
    none = cells.select("provider", prompt_over_tokens=pl.lit(0, pl.Int64))
    midnight = cells.select("day", rated_at=pl.col("day").cast(pl.Datetime("us")))
    cuts = pl.Series("rated_at", change_instants(table), pl.Datetime("us")).to_frame()
    stretches = cuts.select(pl.col("rated_at").dt.date().alias("day"), "rated_at")
    return (
        cells.select("cell", "day", pl.col("cell_account").alias("account_id"), *_RATED[1:])
        .join(pl.concat([midnight, stretches]).unique(), on="day")
        .join(pl.concat([none, bands]).unique(), on="provider", nulls_equal=True)
        .join(pl.DataFrame({"cached_is_split": [True, False]}), how="cross")
        .sort("cell", "rated_at", "prompt_over_tokens", pl.col("cached_is_split").not_())
        .with_row_index("way")
    )


def _settled(
    ways: pl.DataFrame, cells: pl.DataFrame, parent: Snapshot, table: RateCard, card: RateCard
) -> pl.DataFrame:
    """For each cell of which it does not matter how it came about, or is known: a way, `rated_at` and so on."""
    outcome = [*_OUTCOME, "list_cost_usd"]
    asked = ways.join(_outcomes(ways, card, pl.lit(card.newest(), pl.Int64)), on="way")
    first = _agreeing(asked, outcome)
    # Only a price shows what it was made from: what has none may have been tried at versions that no longer tell.
    open_cells = cells.join(first, on="cell", how="anti").filter(pl.col("rate_id").is_not_null())
    possible = [
        found.join(open_cells, on=["cell", *_OUTCOME], how="semi", nulls_equal=True)
        for found in _as_published(ways.join(open_cells, on="cell", how="semi"), parent, table)
    ]
    left = asked.join(pl.concat(possible), on="way", how="semi") if possible else asked.clear()
    return pl.concat([first, _agreeing(left, outcome)])


def _agreeing(asked: pl.DataFrame, outcome: Sequence[str]) -> pl.DataFrame:
    """A way of each cell whose ways all have the same outcome."""
    names = ["rated_at", "prompt_over_tokens", "cached_is_split"]
    alike = asked.group_by("cell").agg(pl.struct(outcome).n_unique().alias("outcomes"), pl.col(names).first())
    return alike.filter(pl.col("outcomes") == 1).drop("outcomes")


def _as_published(ways: pl.DataFrame, parent: Snapshot, table: RateCard) -> Iterator[pl.DataFrame]:
    """What each way came to when its day was rated: `way`, `cell` and the outcome."""
    by_card: defaultdict[int | None, list[tuple[date, int]]] = defaultdict(list)
    healed: list[tuple[date, int]] = []
    for day in ways["day"].unique():
        facts = parent.manifest["days"][day.isoformat()]
        version = int(facts["rate_version"])
        by_card[version if facts.get("as_known") else None].append((day, version))
        healed += [(day, later) for later in facts.get("healed", ())]
    for known, versions in by_card.items():
        kept = pl.DataFrame(versions, schema={"day": pl.Date, "rate_version": pl.Int64}, orient="row")
        of_days = ways.join(kept, on="day")
        card = table if known is None else table.as_known(known)
        later = pl.DataFrame(healed, schema=kept.schema, orient="row")
        yield of_days.select("way", "cell").join(_outcomes(of_days, card, pl.col("rate_version"), later), on="way")


def _outcomes(
    ways: pl.DataFrame, card: RateCard, rate_version: pl.Expr, healed: pl.DataFrame | None = None
) -> pl.DataFrame:
    """What a million units of each way come to: `way`, the outcome, and the list cost."""
    items = ways.with_columns(
        project_id=pl.col("way").cast(pl.String),  # no price depends on the project: it tells the ways apart
        quantity=pl.lit(_MILLION, pl.Int64),
        is_estimated=pl.lit(False),
        rate_version=rate_version,
        accounting_period=pl.lit(""),
        charge_class=pl.lit(""),
    )
    schema = polars_schema("quantities")
    rated = pl.DataFrame(rate(items.select(schema.names()).cast(schema), card, healed))
    return rated.select(pl.col("project_id").cast(ways.schema["way"]).alias("way"), *_OUTCOME, "list_cost_usd")
