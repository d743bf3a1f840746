"""The content hash: a fixed 64-bit hash of a record's instant, model, tier and quantities.

It tells a duplicate from a conflict and settles ties between conflicts, so it must never change between versions,
machines or batch sizes. Hence our own arithmetic (the finaliser of SplitMix64) instead of a library's hash function,
which promises no such thing. Absent and zero quantities are the same content.
Source: docs/decisions/0004-content-hash.md.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.distinct import distinct
from etl.meters import QUANTITY_COLUMNS

_Words = npt.NDArray[np.uint64]


def content_hash(frame: pl.DataFrame) -> pl.Series:
    """Hash each row of a frame with USAGE's `occurred_at`, `model`, `tier`, `requests` and any quantity columns."""
    total = np.zeros(frame.height, dtype=np.uint64)
    for name in ("model", "tier"):
        apart = distinct(frame[name])
        words = np.array([_word(text) for text in apart.values.cast(pl.String)], dtype=np.uint64)
        total += _mixed(words, _salt(name))[apart.places]
    for name in ("occurred_at", "requests", *(column for column, _, _ in QUANTITY_COLUMNS)):
        if name not in frame.columns or frame[name].null_count() == frame.height:
            continue
        whole = frame[name].cast(pl.Int64)
        words = (whole.fill_null(0) if whole.null_count() else whole).to_numpy().view(np.uint64)
        if words.min() == words.max():
            words = words[:1]  # one word for all rows
        mixed = _mixed(words, _salt(name))
        np.multiply(mixed, words != 0, out=mixed)
        total += mixed
    return pl.Series("content_hash", _mixed(total, _salt("content")).view(np.int64))


def _salt(name: str) -> np.uint64:
    return np.uint64(_word(name))


def _word(text: str | None) -> int:
    if text is None:
        return 0
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _mixed(words: _Words, salt: np.uint64) -> _Words:
    mixed = words + salt
    shifted = np.empty_like(mixed)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        np.right_shift(mixed, np.uint64(shift), out=shifted)
        np.bitwise_xor(mixed, shifted, out=mixed)
        np.multiply(mixed, np.uint64(factor), out=mixed)
    np.right_shift(mixed, np.uint64(31), out=shifted)
    np.bitwise_xor(mixed, shifted, out=mixed)
    return mixed
