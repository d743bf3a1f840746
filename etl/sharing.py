"""Split what nobody or everybody caused: exact parts that add up to the whole.

Source: the method of the largest remainder. Every part is cut to 0.000000000001 USD, and the few units that are left
go to the largest remainders, ties by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal

_EXACT = Context(prec=60)
_SCALE = 12


def units(amount: Decimal) -> int:
    """An amount in units of 0.000000000001 USD.

    >>> units(Decimal("0.5"))
    500000000000
    """
    return int(amount.scaleb(_SCALE, _EXACT))


def usd(amount: int) -> Decimal:
    """Units back in USD."""
    return Decimal(amount).scaleb(-_SCALE, _EXACT)


def split(amount: Decimal, weights: Mapping[str, int]) -> dict[str, Decimal]:
    """Split an amount in proportion to weights; the parts add up to it exactly.

    >>> split(Decimal("1"), {"a": 1, "b": 1, "c": 1})["a"], split(Decimal("1"), {"a": 1, "b": 1, "c": 1})["c"]
    (Decimal('0.333333333334'), Decimal('0.333333333333'))

    Args:
        amount: USD, with at most twelve decimals; may be below 0.
        weights: not below 0, and not all 0.
    """
    whole, sum_of_weights = abs(units(amount)), sum(weights.values())
    assert sum_of_weights > 0 and min(weights.values()) >= 0
    parts = {name: whole * weight // sum_of_weights for name, weight in weights.items()}
    left = whole - sum(parts.values())
    for name in sorted(weights, key=lambda name: (-(whole * weights[name] % sum_of_weights), name))[:left]:
        parts[name] += 1
    return {name: usd(part if amount >= 0 else -part) for name, part in parts.items()}
