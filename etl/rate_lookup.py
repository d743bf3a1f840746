"""Answer what the card says about a model: under which name it is priced, what is in force, and what was before.

The names are resolved by the same SQL that rates usage, at the card's newest version.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from etl.engine import connect
from etl.errors import UsageError
from etl.meters import CACHING_STATUSES, METERS
from etl.rate_card import RateCard
from etl.rate_csv import LIST
from etl.rating import install

# People look for these first.
_TIERS = ("standard", "batch", "flex", "priority")
_EVER = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Lookup:
    """What the card says about a model of one provider.

    Attributes:
        provider: whose price list it is.
        path: from the name asked for to the name it is priced under; one name when they are the same.
        rates: rows of the table `rates`, sorted for reading.
    """

    provider: str
    path: tuple[str, ...]
    rates: pl.DataFrame


def lookup(
    card: RateCard, model: str, at: datetime, provider: str | None = None, tier: str | None = None
) -> list[Lookup]:
    """The rates of a model that are in force at an instant, one entry for each provider that has it.

    Raises:
        UsageError: no provider has it then.
    """
    now = pl.lit(at, pl.Datetime("us"))
    starts = pl.col("effective_from").is_null() | (pl.col("effective_from") <= now)
    ends = pl.col("effective_to").is_null() | (now < pl.col("effective_to"))
    wanted = starts & ends if tier is None else starts & ends & (pl.col("tier") == tier)
    return [_found(card, whose, path, wanted) for whose, path in _paths(card, model, [at], provider)]


def history(card: RateCard, model: str, provider: str | None = None) -> list[Lookup]:
    """All rates of a model, in force or not; one entry for each provider and each model that the name has led to.

    Raises:
        UsageError: no provider has ever had it.
    """
    aliases = card.current().aliases
    starts = aliases.filter(pl.col("alias").is_in([model, _base(model)]))["effective_from"].drop_nulls()
    instants = [_EVER, *starts.unique().sort()]
    return [_found(card, whose, path, pl.lit(True)) for whose, path in _paths(card, model, instants, provider)]


def _found(card: RateCard, provider: str, path: tuple[str, ...], wanted: pl.Expr) -> Lookup:
    of_model = (pl.col("provider") == provider) & (pl.col("model") == path[-1])
    return Lookup(provider, path, _sorted(card.current().rates.filter(of_model & wanted)))


def _paths(
    card: RateCard, model: str, instants: Sequence[datetime], provider: str | None
) -> list[tuple[str, tuple[str, ...]]]:
    """Each provider and way of names that `model` has at any of the instants."""
    providers = sorted(card.current().rates["provider"].unique())
    if provider is not None and provider not in providers:
        raise UsageError(f"the card has no provider {provider!r}; it has {', '.join(providers)}")
    asked = [(whose, model, at) for whose in providers if provider in (None, whose) for at in instants]
    rows = sorted({(whose, priced) for (whose, _), priced in _resolved(card, asked)})
    if not rows:
        raise UsageError(_unknown(card, model, provider))
    return [(whose, _path(model, priced)) for whose, priced in rows]


def priced_as(card: RateCard, names: Sequence[tuple[str, str, datetime]]) -> dict[tuple[str, str], str]:
    """(provider, model) -> the model whose rates it has, for those that lead to any.

    Args:
        names: provider, model and when it was used.
    """
    return dict(_resolved(card, names))


def _resolved(card: RateCard, names: Sequence[tuple[str, str, datetime]]) -> list[tuple[tuple[str, str], str]]:
    """Each name with the model under which it is priced, at the card's newest version."""
    schema = pl.Schema([("provider", pl.String()), ("model", pl.String()), ("stretch_at", pl.Datetime("us"))])
    asked = pl.DataFrame(list(names), schema=schema, orient="row").with_columns(
        version=pl.lit(card.newest(), pl.Int64), known_at=pl.lit(_known_at(card)), book=pl.lit(LIST)
    )
    with connect() as con:
        install(con, card)
        con.register("names", asked.to_arrow())
        rows = con.sql("SELECT DISTINCT provider, model, priced_model FROM priced_models('names')").fetchall()
    return [((provider, model), priced) for provider, model, priced in rows]


def _known_at(card: RateCard) -> datetime:
    newest: datetime = card.versions.filter(pl.col("rate_version") == card.newest())["recorded_at"].item()
    return newest


def _base(model: str) -> str:
    """The base of a fine-tuned model's name, else the name.

    >>> _base("ft:gpt-4o-mini-2024-07-18:org::id"), _base("gpt-4o")
    ('ft:gpt-4o-mini-2024-07-18', 'gpt-4o')
    """
    return ":".join(model.split(":")[:2]) if model.startswith("ft:") else model


def _path(model: str, priced: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((model, _base(model), priced))) if priced != model else (model,)


def _unknown(card: RateCard, model: str, provider: str | None) -> str:
    known = card.current()
    names = set(known.rates["model"]) | set(known.aliases["alias"])
    near = (
        difflib.get_close_matches(model, sorted(names), n=5, cutoff=0.6) or sorted(n for n in names if model in n)[:5]
    )
    whose = f" of {provider}" if provider else ""
    hint = f"near names are {', '.join(near)}" if near else "no name is near it"
    return f"the card has no rates of {model!r}{whose}, and no alias of that name was in force; {hint}"


def _sorted(rates: pl.DataFrame) -> pl.DataFrame:
    """Standard first, then as the meter registry has it, then by time."""
    orders = {
        "tier": _order((*_TIERS, *sorted(set(rates["tier"]) - set(_TIERS)))),
        "meter": _order(meter.name for meter in METERS),
        "caching_status": _order(CACHING_STATUSES),
    }
    keys = [pl.col(name).replace_strict(order, default=len(order)) for name, order in orders.items()]
    return rates.sort(
        keys[0], "context_over_tokens", *keys[1:], "effective_from", nulls_last=[False] * 5, maintain_order=True
    )


def _order(names: Iterable[str]) -> dict[str, int]:
    return {name: at for at, name in enumerate(names)}
