"""`costroll reconcile`: the published costs beside the provider's bill."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from etl import messages
from etl.commands.options import Settings, with_settings

if TYPE_CHECKING:
    import polars as pl

    from etl.framing import Input
    from etl.manifest import Snapshot
    from etl.reconciling import Witnesses
    from etl.statements import Statement

DEFAULT_TOLERANCE = Decimal("0.01")


def _tolerance(context: click.Context, parameter: click.Parameter, texts: Sequence[str]) -> tuple[Decimal, Decimal]:
    """USD and percent, exactly as typed."""
    usd, percent = DEFAULT_TOLERANCE, Decimal(0)
    for text in texts:
        try:
            amount = Decimal(text.removesuffix("%"))
        except ArithmeticError:
            amount = Decimal("NaN")
        if not amount.is_finite() or amount < 0:
            raise click.BadParameter(f"{text!r} is no amount of 0 or more, such as 0.01 or 0.5%", context, parameter)
        usd, percent = (usd, amount) if text.endswith("%") else (amount, percent)
    return usd, percent


@click.command(name="reconcile")
@click.argument("paths", metavar="STATEMENT...", nargs=-1, required=True)
@click.option("--account", metavar="ID", help="Compare only our rows of this account. [default: all]")
@click.option(
    "--tolerance",
    metavar="USD|N%",
    multiple=True,
    callback=_tolerance,
    help="For each line, each day and the total; give it twice for both measures. [default: 0.01]",
)
@click.option(
    "--accept", metavar="CLASS", multiple=True, help="A class of difference that is in order, such as rounding."
)
@click.option("--all", "shows_all", is_flag=True, help="Print the lines that agree, too.")
@click.option(
    "--csv", "file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write all lines there."
)
@click.option(
    "--out",
    "folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write summary, lines, findings, rates to add and one HTML page there.",
)
@click.option("--summary", is_flag=True, help="Print ten lines only.")
@with_settings
def command(
    settings: Settings,
    paths: tuple[str, ...],
    account: str | None,
    tolerance: tuple[Decimal, Decimal],
    accept: tuple[str, ...],
    shows_all: bool,
    file: Path | None,
    folder: Path | None,
    summary: bool,
) -> int:
    """Compare the published costs with the provider's bill, and name every difference.

    STATEMENT is a bill: OpenAI's cost export (`cost_*.csv`) or pages of its costs API, Anthropic's cost report or
    Console cost CSV, OpenRouter's activity, LiteLLM's SpendLogs, or a plain statement CSV. Beside it, the provider's
    usage exports of the same days are the second witness. Also .gz, .zst, a folder, a glob in quotes. Exits with 0 when
    the total, every day and every line are within the tolerance, and with 7 when not.

    \b
    Example:
      costroll reconcile cost_2025-11-01_2025-12-01.csv --tolerance 0.05
      costroll reconcile cost_*.csv completions_usage_*.csv --tolerance 1% --accept complimentary --out close/2025-11
    """
    from etl.commands import reconcile_report
    from etl.commands.published import published
    from etl.reconciling import Tolerance, reconcile
    from etl.reconciling.findings import CLASSES

    unknown = sorted(set(accept) - CLASSES.keys())
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is no class; the classes are {', '.join(CLASSES)}")
    snapshot = published(settings)
    read = read_all(paths)
    ours = our_rollups(snapshot, account)
    witnesses = witnesses_of(snapshot, read, account)
    result = reconcile(ours, read.statement, Tolerance(*tolerance), witnesses, accept)
    told = reconcile_report.Told(result, read.statement, witnesses.counts, snapshot, account)
    if file is not None:
        reconcile_report.write_csv(file, result)
    if folder is not None:
        from etl.commands import reconcile_files

        reconcile_files.write_all(folder, told)
    if settings.json:
        click.echo(reconcile_report.as_json(told))
    else:
        for line in reconcile_report.summary(told) if summary else reconcile_report.lines(told, shows_all=shows_all):
            click.echo(line)
    return 0 if result.is_reconciled else 7


class Read(NamedTuple):
    """What was given: the bill, and the usage exports beside it."""

    statement: Statement
    usage_exports: list[Input]


def read_all(paths: Sequence[str]) -> Read:
    """Read the whole bill; each file that is refused gets its line, and then nothing is compared."""
    from etl import inputs
    from etl.display import printable
    from etl.errors import InputRefused, UsageError
    from etl.statements import combined
    from etl.statements.files import read

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
    return Read(combined(files), exports)


def our_rollups(snapshot: Snapshot, account: str | None) -> pl.DataFrame:
    """Our rollups, of one account if it is named."""
    import polars as pl

    from etl.errors import UsageError
    from etl.schema import polars_schema

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


def witnesses_of(snapshot: Snapshot, read: Read, account: str | None) -> Witnesses:
    """Everything that helps to name a difference."""
    import polars as pl

    from etl.reconciling import Witnesses
    from etl.reconciling.counts import read_counts
    from etl.reconciling.repeats import repeats

    def table(name: str) -> pl.DataFrame | None:
        files = snapshot.files(name)
        return pl.read_parquet(files, glob=False) if files else None

    statement = read.statement
    usage = [file for day in sorted(statement.span) for file in snapshot.files("usage", day)]
    return Witnesses(
        table("aliases"),
        table("rates"),
        read_counts(read.usage_exports, statement.provider),
        repeats(usage, statement.provider, account, _input_names(snapshot)),
    )


def _input_names(snapshot: Snapshot) -> dict[str, str]:
    """SHA-256 of an input -> the name it was read under."""
    import polars as pl

    files = snapshot.files("inputs")
    if not files:
        return {}
    inputs = pl.read_parquet(files, glob=False, columns=["input_sha256", "input_name"]).drop_nulls()
    return dict(inputs.rows())
