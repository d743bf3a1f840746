"""Rate cards: any two files are refused by name, or are a card whose every rate is the number that was written.

A card that its checks let pass also rates: exactly one rate is in force for each thing, and nothing is lost.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache
from random import Random

import polars as pl

from etl.errors import RateCardError
from etl.rate_card import RateCard, load_card
from etl.rate_checks import validated
from etl.rate_csv import ALIAS_FIELDS, RATE_FIELDS
from etl.rating import rate
from etl.schema import polars_schema
from fuzz.target import CHECKOUT, NUMBERS, TEXTS, Target, damage_bytes, scratch, words_of

SEPARATOR = b"\n=====\n"
RECORDED_AT = datetime(2026, 11, 1)
DAYS = (date(2019, 1, 1), date(2024, 10, 1), date(2025, 6, 10), date(2025, 11, 21))
WORDS = (
    *("openai", "anthropic", "gpt-4o", "gpt-4o-2024-08-06", "m", "standard", "batch", "input", "output", "requests"),
    *("cached", "uncached", "not_applicable", "cache_write_5m", "published", "inferred", "contract", "high", "200000"),
    *("2025-06-10", "2025-06-10T17:00:00Z", "2025-06-10T17:00:00.123456Z", "9999-12-31", "0001-01-01", "2025-6-1"),
    *("0.000001", "0.0000001", "999999999999.999999", "1000000000000", "1.", "٣", "1e-5", "-0"),
)


def check(data: bytes) -> None:
    """Load the two files, compare every rate with its text, and rate with the card if it is sound."""
    rates_csv, _, aliases_csv = data.partition(SEPARATOR)
    rates, aliases = scratch() / "rates.csv", scratch() / "aliases.csv"
    rates.write_bytes(rates_csv)
    aliases.write_bytes(aliases_csv)
    try:
        card = load_card(rates, aliases if aliases_csv else None, name="fuzz", recorded_at=RECORDED_AT)
    except RateCardError:
        return
    require_numbers(card, rates_csv)
    try:
        validated(card)
    except RateCardError:
        return
    rollups = rate(some_use(card), card)
    assert rollups.num_rows > 0 or not card.rates.height


def require_numbers(card: RateCard, rates_csv: bytes) -> None:
    """Every rate and threshold is what its text says, in order."""
    rows = csv.DictReader(io.StringIO(rates_csv.decode("utf-8-sig"), newline=""))
    texts = [(row["rate_usd_per_million"].strip(), row["context_over_tokens"].strip()) for row in rows]
    found = card.rates.select("rate_usd_per_million", "context_over_tokens").rows()
    assert found == [(Decimal(price), int(over)) for price, over in texts]


def some_use(card: RateCard) -> pl.DataFrame:
    """A quantity of each thing that the card prices, on a few days, small and large prompts."""
    things = card.rates.select("provider", "model", "tier", "meter", "caching_status").unique().head(20)
    names = card.aliases.select("provider", model="alias").unique().head(5)
    things = pl.concat([things, names.join(things.drop("provider", "model").head(1), how="cross")], how="diagonal")
    same = {"quantity": 1_000, "source_kind": "request", "is_estimated": False, "cached_is_split": True}
    same |= {"accounting_period": "2026-11", "charge_class": "usage"}
    rows = [
        {**same, **thing, "day": day, "rated_at": datetime.combine(day, time(17)), "prompt_over_tokens": over}
        for thing in things.iter_rows(named=True)
        for day in DAYS
        for over in (0, 200_000)
    ]
    return pl.DataFrame(rows, schema=polars_schema("quantities"))


@cache
def shipped(name: str) -> tuple[str, ...]:
    """The lines of a file of the shipped card."""
    return tuple((CHECKOUT / "etl" / "card" / name).read_text().splitlines())


def change(data: bytes, r: Random) -> bytes:
    """Another cell, another row, another order of columns."""
    halves = data.split(SEPARATOR, 1)
    at = r.randrange(len(halves))
    try:
        rows = list(csv.reader(io.StringIO(halves[at].decode(), newline="")))
    except (UnicodeDecodeError, csv.Error):
        return damage_bytes(data, r)
    if not rows or r.random() < 0.1:
        return damage_bytes(data, r)
    for _ in range(r.choice((1, 1, 3))):
        row, kind = r.randrange(1, len(rows)) if len(rows) > 1 else 0, r.randrange(12)
        if kind == 0:
            rows.insert(row, list(r.choice(rows)))
        elif kind == 1:
            rows.insert(max(1, row), next(csv.reader([r.choice(shipped(("rates.csv", "aliases.csv")[at])[1:])])))
        elif kind == 2 and len(rows) > 2:
            del rows[row]
        elif kind == 3 and rows[row]:
            column = r.randrange(len(rows[row]))
            rows = [[*cells[column + 1 :], *cells[: column + 1]] for cells in rows]
        elif rows[row]:
            rows[row][r.randrange(len(rows[row]))] = r.choice(r.choice((WORDS, WORDS, NUMBERS, TEXTS)))
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=r.choice(("\n", "\n", "\r\n"))).writerows(rows)
    halves[at] = text.getvalue().encode("utf-8", "surrogatepass")
    return SEPARATOR.join(halves)


def seeds() -> Iterator[bytes]:
    """Stretches of the shipped card."""
    rates, aliases = shipped("rates.csv"), shipped("aliases.csv")
    for start in range(1, len(rates), len(rates) // 12):
        own = "\n".join((rates[0], *rates[start : start + 15])) + "\n"
        names = "\n".join((aliases[0], *aliases[1 + start % 200 : 4 + start % 200])) + "\n"
        yield own.encode() + SEPARATOR + names.encode()
        yield own.encode()


TARGET = Target(check, seeds, change, words_of(*RATE_FIELDS, *ALIAS_FIELDS, *WORDS, *NUMBERS))
