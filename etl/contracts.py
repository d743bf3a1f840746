"""Contracts: a book of negotiated rates beside the list, for one account or for all, over a stretch of time.

A book holds rates like the list. A percentage off is written out as such rates when it is imported, each exact to six
decimals, so that every cost has a rate row of its own and nothing is multiplied while rating.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from etl.errors import RateCardError, UsageError
from etl.rate_card import RateCard
from etl.rate_csv import LIST
from etl.rate_offers import Entry, Offer
from etl.rate_plan import known_entries, name

_STEP = Decimal("0.000001")
_SHOWN = 20
_BOOK = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Contract:
    """Whose book it is, and when.

    Attributes:
        book: its name: small letters, digits, dots, dashes, underscores.
        account: None for every account without a contract of its own.
        starts_at: inclusive; `EVER` for since ever.
        ends_at: exclusive; `OPEN` for until further notice.
    """

    book: str
    account: str | None
    starts_at: datetime
    ends_at: datetime


def contract_offer(contract: Contract, rates: Offer) -> Offer:
    """The rates of a file as a contract: each in its book, and the book in force for the account.

    Raises:
        UsageError: the book's name cannot be one.
    """
    require_book(contract.book)
    offer = Offer(rates.form, mapped_keys=rates.mapped_keys)
    offer.entries["rates"] = [
        entry._replace(key=(*entry.key[:-1], contract.book), facts=("contract", *entry.facts[1:]))
        for entry in rates.entries["rates"]
    ]
    offer.entries["contracts"] = [_in_force(contract, rates.form)]
    return offer


def percent_off(card: RateCard, contract: Contract, percent: Decimal, provider: str | None = None) -> Offer:
    """Every known list rate of a provider, or of all, with so many per cent taken off, while the contract is in force.

    Raises:
        UsageError: the percentage is not above 0 and below 100, or the book's name cannot be one.
        RateCardError: rates would need more than six decimals; the message names them.
    """
    require_book(contract.book)
    if not 0 < percent < 100:
        raise UsageError(f"--percent-off must be above 0 and below 100, not {percent}")
    form = f"{percent:f} % off the list of version {card.newest()}"
    offer = Offer(form)
    inexact = []
    for listed in known_entries(card, "rates"):
        starts_at, ends_at = max(listed.starts_at, contract.starts_at), min(listed.ends_at, contract.ends_at)
        if listed.key[-1] != LIST or provider not in (None, listed.key[0]) or starts_at >= ends_at:
            continue
        rate = Decimal(listed.value) * (100 - percent) * Decimal("0.01")
        if rate != rate.quantize(_STEP):
            inexact.append(f"{name(listed)}: {Decimal(listed.value).normalize():f} would be {rate.normalize():f}")
        status, confidence, _ = listed.facts
        facts = ("contract", "inferred" if status == "inferred" else confidence, form)
        offer.entries["rates"].append(Entry((*listed.key[:-1], contract.book), rate, starts_at, ends_at, facts))
    if inexact:
        more = f"\n... and {len(inexact) - _SHOWN} more" if len(inexact) > _SHOWN else ""
        raise RateCardError(
            f"{form}: {len(inexact)} rates would need more than six decimals; write them as rows of a CSV instead:\n"
            + "\n".join(inexact[:_SHOWN])
            + more
        )
    offer.mapped_keys = len(offer.entries["rates"])
    offer.entries["contracts"] = [_in_force(contract, form)]
    return offer


def require_book(book: str) -> None:
    """Refuse a name that a book cannot have.

    Raises:
        UsageError: it is `list`, or has other characters than small letters, digits, dots, dashes and underscores.
    """
    if book == LIST or not _BOOK.fullmatch(book):
        raise UsageError(f"--book {book!r}: small letters, digits, dots, dashes and underscores, and not `{LIST}`")


def _in_force(contract: Contract, source: str) -> Entry:
    return Entry((contract.account,), contract.book, contract.starts_at, contract.ends_at, (source,))
