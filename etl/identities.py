"""What is kept of records whose usage has expired: enough to know them again, and nothing else.

An identity is the first 16 bytes of the SHA-256 over account, provider and request id, written as a JSON array: no two
different identities have the same text, and NULL is not the empty text.
"""

from __future__ import annotations

import hashlib
import json

import polars as pl

IDENTITY_PARTS = ("account_id", "provider", "request_id")
_BYTES = 16


def identity_hash(account_id: str | None, provider: str, request_id: str) -> bytes:
    """The 16 bytes that stand for one identity.

    >>> identity_hash(None, "openai", "chatcmpl-1").hex()
    '6fbabc61a0a8daac58e6580f1134a451'
    """
    text = json.dumps([account_id, provider, request_id], separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).digest()[:_BYTES]


def identities_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of the table `identities`, one for each row of usage or candidates, in their order."""
    hashes = [identity_hash(*parts) for parts in rows.select(IDENTITY_PARTS).iter_rows()]
    return pl.DataFrame({"identity": pl.Series(hashes, dtype=pl.Binary), "content_hash": rows["content_hash"]})
