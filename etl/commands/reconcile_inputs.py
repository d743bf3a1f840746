"""What `costroll reconcile` compares: the bill that was given, and what is published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from etl import inputs, messages
from etl.display import printable
from etl.errors import InputRefused, UsageError
from etl.framing import Input
from etl.manifest import Snapshot
from etl.reconciling import Witnesses
from etl.reconciling.counts import read_counts
from etl.reconciling.invoices import read_explanations
from etl.reconciling.repeats import repeats
from etl.schema import polars_schema
from etl.statements import Statement, combined
from etl.statements.files import read


class Read(NamedTuple):
    """What was given: the bill, and the usage exports beside it."""

    statement: Statement
    usage_exports: list[Input]


def read_all(paths: Sequence[str], provider: str | None) -> Read:
    """Read the whole bill; each file that is refused gets its line, and then nothing is compared."""
    found = inputs.find(paths)
    refused, files, exports = list(found.refused), [], []
    for source in found.inputs:
        try:
            if (file := read(source)) is None:
                exports.append(source)
            else:
                files.append(file)
        except InputRefused as error:
            refused.append((source.name, error.code, error.text))
    for name, code, text in refused:
        messages.tell("warning", "refused", f"{printable(name)}: {code}: {text}", input=name, reason=code)
    if refused:
        of = len(found.inputs) + len(found.refused)
        raise UsageError(f"{len(refused)} of {of} statements cannot be read, so nothing was compared")
    if not files:
        more = "; a usage export is no bill, give the bill beside it" if exports else "; give OpenAI's cost_*.csv"
        raise UsageError(f"{', '.join(paths)}: there is no statement in it{more}")
    return Read(combined(files, provider), exports)


def our_rollups(snapshot: Snapshot, account: str | None) -> pl.DataFrame:
    """Our rollups, of one account if it is named."""
    files = snapshot.files("rollups")
    ours = pl.read_parquet(files, glob=False) if files else pl.DataFrame(schema=polars_schema("rollups"))
    if account is not None:
        held = sorted(set(ours["account_id"].drop_nulls()))
        if account not in held:
            raise UsageError(
                f"there is nothing of account {account!r}; there is {', '.join(held) or 'no named account'}"
            )
        ours = ours.filter(pl.col("account_id") == account)
    return ours


def witnesses_of(snapshot: Snapshot, given: Read, account: str | None, explanations: Path | None) -> Witnesses:
    """Everything that helps to name a difference."""

    def table(name: str) -> pl.DataFrame | None:
        files = snapshot.files(name)
        return pl.read_parquet(files, glob=False) if files else None

    statement = given.statement
    usage = [file for day in sorted(statement.span) for file in snapshot.files("usage", day)]
    return Witnesses(
        table("aliases"),
        table("rates"),
        read_counts(given.usage_exports, statement.provider),
        repeats(usage, statement.provider, account, _input_names(snapshot)),
        read_explanations(explanations) if explanations else (),
    )


def _input_names(snapshot: Snapshot) -> dict[str, str]:
    """SHA-256 of an input -> the name it was read under."""
    files = snapshot.files("inputs")
    if not files:
        return {}
    inputs = pl.read_parquet(files, glob=False, columns=["input_sha256", "input_name"]).drop_nulls()
    return dict(inputs.rows())
