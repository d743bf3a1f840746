"""The content hash never changes: here it is worked out once more, one integer at a time, and pinned."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import polars as pl

from etl.content_hash import content_hash
from etl.meters import QUANTITY_COLUMNS

NOON = datetime(2026, 6, 1, 12)
WORD = 2**64
PINNED = 7606370446936942051
ROW = {"occurred_at": NOON, "model": "gpt-4o-mini-2024-07-18", "tier": "standard", "requests": 1}
ROW |= {"input_uncached_tokens": 1000, "output_tokens": 100}


def hashed(*rows: dict[str, Any]) -> list[int]:
    names = ("occurred_at", "model", "tier", "requests", *(column for column, _, _ in QUANTITY_COLUMNS))
    schema = {name: pl.Int64() for name in names} | {"model": pl.String(), "tier": pl.String()}
    frame = pl.DataFrame(list(rows), schema=schema | {"occurred_at": pl.Datetime("us")})
    return content_hash(frame).to_list()


def by_hand(row: dict[str, Any]) -> int:
    """The sum of the mixed words of all fields, mixed; absent and zero numbers add nothing."""

    def word(text: str | None) -> int:
        return 0 if text is None else int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")

    def mixed(number: int, salt: str) -> int:
        """The finaliser of SplitMix64, as published with Java's SplittableRandom."""
        z = (number + word(salt)) % WORD
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % WORD
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % WORD
        return z ^ (z >> 31)

    total = sum(mixed(word(row.get(name)), name) for name in ("model", "tier"))
    for name, value in row.items():
        if isinstance(value, datetime):
            value = int(value.replace(tzinfo=UTC).timestamp()) * 1_000_000
        if isinstance(value, int) and value:
            total += mixed(value % WORD, name)
    signed = mixed(total % WORD, "content")
    return signed - WORD if signed >= WORD // 2 else signed


def test_it_is_what_it_was_in_the_first_version() -> None:
    assert hashed(ROW) == [by_hand(ROW)] == [PINNED]


def test_each_field_counts_and_none_for_another() -> None:
    rows = [
        ROW,
        ROW | {"occurred_at": datetime(2026, 6, 1, 12, 0, 1)},
        ROW | {"model": None},
        ROW | {"tier": None},
        ROW | {"model": "standard", "tier": "gpt-4o-mini-2024-07-18"},
        ROW | {"requests": 2},
        *(ROW | {column: 7} for column, _, _ in QUANTITY_COLUMNS),
    ]
    assert hashed(*rows) == [by_hand(row) for row in rows]
    assert len(set(hashed(*rows))) == len(rows)


def test_absent_and_zero_are_the_same_content_beside_any_other_row() -> None:
    zero, absent = ROW | {"input_cached_tokens": 0}, ROW
    assert hashed(zero) == hashed(absent) == hashed(absent, ROW | {"input_cached_tokens": 5})[:1] == [by_hand(ROW)]


def test_a_column_that_is_not_there_is_absent() -> None:
    frame = pl.DataFrame([ROW], schema_overrides={"occurred_at": pl.Datetime("us")})
    assert frame.columns == list(ROW)
    assert content_hash(frame).to_list() == [PINNED]
    assert content_hash(frame).name == "content_hash"
