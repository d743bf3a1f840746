"""The formats of rates that can be imported, one small module each: it alone knows the format's words."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from etl.errors import RateCardError
from etl.rate_csv import LIST
from etl.rate_offers import Offer
from etl.rate_sources import costroll_csv, genai_prices, litellm, llm_prices
from etl.rate_sources.base import RateSource, document

RATE_SOURCES: tuple[RateSource, ...] = (litellm.SOURCE, genai_prices.SOURCE, llm_prices.SOURCE)


def read_offer(file: Path, now: datetime, effective_from: datetime | None = None, book: str = LIST) -> Offer:
    """What a file of rates offers, in whichever format it is.

    Args:
        file: in our CSV, or one of `RATE_SOURCES`; its content tells.
        now: the instant of the import, naive UTC.
        effective_from: from when on rates hold for which the file gives no date; None: the format's own rule.
        book: the book of the rates; only our CSV can be of another than the list.

    Raises:
        RateCardError: the file is of no known format, or a line of it cannot be read.
    """
    if file.suffix.lower() == ".csv":
        return costroll_csv.read(file, book)
    content = document(file)
    for source in RATE_SOURCES:
        if source.recognises(content):
            if book != LIST:
                raise RateCardError(f"{file.name}: {source.name} has list prices; a contract's rates come from a CSV")
            return source.read(content, effective_from, now)
    names = ", ".join(source.name for source in RATE_SOURCES)
    raise RateCardError(f"{file.name}: is in no format that is known here: {costroll_csv.NAME}, {names}")
