"""Keys that were logged where an id should stand: nothing that is written may hold one."""

from __future__ import annotations

import hashlib
import re

import polars as pl

# How providers' secret keys begin (OpenAI and many others, Groq, xAI, Google, GitHub), and how they are sent.
SECRET_PREFIXES = ("sk-", "gsk_", "xai-", "AIza", "ghp_", "Bearer ")
SECRET = re.compile(r"(?:sk-|gsk_|xai-|AIza|ghp_|Bearer )[\w.=+/-]{12,}", re.ASCII)


def without_secrets(value: pl.Series) -> pl.Series:
    """A key that someone logged as an id is replaced by its hash, which still tells one from another."""
    if value.null_count() == value.len():
        return value
    if _begin_alike_and_harmlessly(value):
        return value
    begins = pl.Series([False]).new_from_index(0, value.len())
    for prefix in SECRET_PREFIXES:
        begins |= value.str.starts_with(prefix).fill_null(False)
    if not begins.any():
        return value
    found = value.filter(begins).unique()
    hashes = {text: f"secret:{hashlib.sha256(text.encode()).hexdigest()[:32]}" for text in found if SECRET.match(text)}
    return value.replace(hashes) if hashes else value


def _begin_alike_and_harmlessly(value: pl.Series) -> bool:
    """Whether all texts begin with the same letters, as ids do, and no key begins so: one look instead of six."""
    [first] = value.drop_nulls().head(1)
    begin = first[:4]
    is_harmless = len(begin) == 4 and not any(key.startswith(begin) or begin.startswith(key) for key in SECRET_PREFIXES)
    return is_harmless and bool(value.str.starts_with(begin).all())
