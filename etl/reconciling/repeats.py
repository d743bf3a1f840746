"""Look for usage that our logs hold twice: the same call under another identity, in another file.

The ledger has set aside what came again under its own id. What is left are calls that two systems logged, each with an
id of its own: an export read once as it is and once as a gateway wrote it. Their instant, model, tier and quantities
are the same, so their content hash is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl

from etl.meters import QUANTITY_COLUMNS

# A file of which so large a part stands in earlier ones is a copy; single calls may be alike by chance.
_COPY_SHARE = 0.9
_GROUP = ("day", "model", "tier", "project_id")


class Repeat(NamedTuple):
    """A quantity that stands in two files.

    Attributes:
        input_name: of the file that repeats, as it was read.
    """

    day: date
    model: str | None
    tier: str | None
    meter: str
    caching_status: str
    project_id: str | None
    quantity: int
    input_name: str


def repeats(usage_files: Sequence[Path], provider: str, account: str | None, names: Mapping[str, str]) -> list[Repeat]:
    """Find what files that are copies of others add.

    Args:
        usage_files: of the days compared.
        provider, account: whose usage; None is any account.
        names: SHA-256 of an input -> its name.
    """
    if not usage_files:
        return []
    usage = pl.scan_parquet(list(usage_files), glob=False).filter(
        pl.col("provider") == provider, pl.col("source_kind") == "request"
    )
    if account is not None:
        usage = usage.filter(pl.col("account_id") == account)
    few = usage.select("content_hash", "input_sha256", "accepted_snapshot").collect()
    copies = _copies(few)
    if not copies:
        return []
    # Of calls that are alike, the one that was accepted first stays.
    held = usage.filter(pl.col("input_sha256").is_in([*copies, *_partners(few, copies)])).collect()
    order = ["content_hash", pl.col("input_sha256").is_in(list(copies)), "accepted_snapshot", "input_sha256"]
    ranked = held.sort(order).with_columns(
        originals=(~pl.col("input_sha256").is_in(list(copies))).sum().over("content_hash"),
        place=pl.int_range(pl.len()).over("content_hash", "input_sha256"),
    )
    extra = ranked.filter(pl.col("input_sha256").is_in(list(copies)), pl.col("place") < pl.col("originals"))
    return _by_meter(extra, names)


def _copies(few: pl.DataFrame) -> list[str]:
    """The files most of whose calls stand in files that were read before them, or are larger."""
    inputs = few.group_by("content_hash").agg(pl.col("input_sha256").n_unique().alias("files"))
    shared = few.join(inputs, on="content_hash")
    by_file = shared.group_by("input_sha256").agg(
        pl.len().alias("calls"),
        (pl.col("files") > 1).sum().alias("shared"),
        pl.col("accepted_snapshot").min().alias("since"),
    )
    candidates = by_file.filter(pl.col("shared") >= pl.col("calls") * _COPY_SHARE).sort(
        "since", "calls", "input_sha256", descending=[True, False, True]
    )
    found: list[str] = []
    hashes: dict[str, set[int]] = defaultdict(set)
    for digest, content in few.select("input_sha256", "content_hash").rows():
        hashes[digest].add(content)
    for digest in candidates["input_sha256"]:
        others: set[int] = set()
        for other, own in hashes.items():
            if other != digest and other not in found:
                others |= own
        if len(hashes[digest] & others) >= len(hashes[digest]) * _COPY_SHARE:
            found.append(digest)
    return found


def _partners(few: pl.DataFrame, copies: Sequence[str]) -> list[str]:
    contents = few.filter(pl.col("input_sha256").is_in(list(copies)))["content_hash"].unique()
    return few.filter(pl.col("content_hash").is_in(contents.to_list()))["input_sha256"].unique().to_list()


def _by_meter(extra: pl.DataFrame, names: Mapping[str, str]) -> list[Repeat]:
    found = []
    for column, meter, status in QUANTITY_COLUMNS:
        sums = extra.group_by(*_GROUP, "input_sha256").agg(pl.col(column).sum()).filter(pl.col(column) != 0)
        found += [
            Repeat(day, model, tier, meter, status, project, quantity, names.get(digest, digest))
            for day, model, tier, project, digest, quantity in sums.rows()
        ]
    return found
