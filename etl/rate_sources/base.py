"""What every reader of a public rate file starts from: JSON with its numbers as text, and exact conversion.

Units: files give USD per unit or per 1,000,000 units; rates are USD per 1,000,000 units with at most six decimals.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from etl.errors import RateCardError
from etl.rate_offers import Offer

MILLION = Decimal(1_000_000)
_STEP = Decimal("0.000001")
_LARGEST = Decimal(10) ** 12
# A float prints with 15 digits or more only when it is not the short number that was meant.
_NOISY_DIGITS = 15
_NOISE_ULPS = 8


@dataclass(frozen=True)
class RateSource:
    """One format of rates.

    Attributes:
        name: as `rates diff` prints it.
        recognises: whether a JSON document has it.
        read: the offer of such a document; given the document, the instant from which rates without a date hold
            (None: the format's own rule), and now.
    """

    name: str
    recognises: Callable[[Any], bool]
    read: Callable[[Any, datetime | None, datetime], Offer]


def document(file: Path) -> Any:
    """A JSON document whose numbers with a fraction or exponent are Decimals of exactly what is written.

    Raises:
        RateCardError: it cannot be read.
    """
    try:
        return json.loads(file.read_bytes(), parse_float=Decimal, parse_constant=_refuse)
    except (OSError, ValueError, RecursionError) as error:
        raise RateCardError(f"{file.name}: cannot be read as JSON: {error}") from error


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is not a number")


def exact(written: Any, factor: Decimal = Decimal(1)) -> Decimal:
    """A price as USD per 1,000,000 units, exact; the noise of a float is taken off, and nothing else.

    Noise is recognised by what it is: the number is written with at least 15 digits, as a float is that missed the
    short number that was meant, and that short number lies within 8 units in the last place of the float as written.

    >>> exact(Decimal("1.5e-07"), MILLION), exact(Decimal("1.4999999999999999e-07"), MILLION)
    (Decimal('0.15'), Decimal('0.150000'))

    Raises:
        ValueError: it is no price, or it needs more than six decimals.
    """
    if isinstance(written, bool) or not isinstance(written, int | Decimal):
        raise ValueError("is not a number")
    price = Decimal(written)
    if not price.is_finite() or price < 0 or price * factor >= _LARGEST:
        raise ValueError("is negative or too large")
    wanted = price * factor
    rounded = wanted.quantize(_STEP)
    if rounded == wanted:
        return wanted.normalize() if wanted else Decimal(0)
    is_noise = len(price.as_tuple().digits) >= _NOISY_DIGITS
    if is_noise and abs(rounded - wanted) <= _NOISE_ULPS * Decimal(math.ulp(float(price))) * factor:
        return rounded
    raise ValueError("needs more than six decimals")
