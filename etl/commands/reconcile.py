"""`costroll reconcile`: the published costs beside the provider's bill."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import click

from etl.commands.options import Settings, with_settings

_FILE = click.Path(dir_okay=False, path_type=Path)
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
@click.option("--provider", metavar="NAME", help="Of a bill that has several, such as a gateway's: compare this one.")
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
@click.option("--csv", "file", metavar="FILE", type=_FILE, help="Write all lines there.")
@click.option(
    "--out",
    "folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write summary, lines, findings, rates to add and one HTML page there.",
)
@click.option("--explanations", metavar="FILE", type=_FILE, help="Timing items of the month before, from its --out.")
@click.option("--invoices", metavar="FILE", type=_FILE, help="Lead on to the invoices: number, period, net, tax, ...")
@click.option("--credits", "credit_file", metavar="FILE", type=_FILE, help="Roll credits forward: day, kind, amount.")
@click.option("--keep", "keeps", is_flag=True, help="Keep it in the warehouse as evidence for `close`.")
@click.option("--preparer", metavar="NAME", help="Who prepared it, for the record.")
@click.option("--reviewer", metavar="NAME", help="Who reviewed it, for the record.")
@click.option("--summary", is_flag=True, help="Print ten lines only.")
@with_settings
def command(
    settings: Settings,
    paths: tuple[str, ...],
    account: str | None,
    provider: str | None,
    tolerance: tuple[Decimal, Decimal],
    accept: tuple[str, ...],
    shows_all: bool,
    file: Path | None,
    folder: Path | None,
    explanations: Path | None,
    invoices: Path | None,
    credit_file: Path | None,
    keeps: bool,
    preparer: str | None,
    reviewer: str | None,
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
    from etl.commands import reconcile_files, reconcile_inputs, reconcile_report
    from etl.commands.published import published
    from etl.evidence import keep
    from etl.reconciling import Tolerance, reconcile
    from etl.reconciling.findings import CLASSES
    from etl.reconciling.invoices import bridge, read_invoices, roll_forward

    unknown = sorted(set(accept) - CLASSES.keys())
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is no class; the classes are {', '.join(CLASSES)}")
    if (preparer or reviewer) and not keeps:
        raise click.UsageError("--preparer and --reviewer are for the record that --keep makes")
    snapshot = published(settings)
    given = reconcile_inputs.read_all(paths, provider)
    witnesses = reconcile_inputs.witnesses_of(snapshot, given, account, explanations)
    ours = reconcile_inputs.our_rollups(snapshot, account)
    result = reconcile(ours, given.statement, Tolerance(*tolerance), witnesses, accept)
    billed = read_invoices(invoices, given.statement.provider) if invoices else []
    told = reconcile_report.Told(
        result,
        given.statement,
        witnesses.counts,
        snapshot,
        account,
        tuple(bridge(result, billed)) if invoices else (),
        tuple(roll_forward(credit_file, result.coverage.days, billed)) if credit_file else (),
    )
    if file is not None:
        reconcile_report.write_csv(file, result)
    if folder is not None:
        reconcile_files.write_all(folder, told)
    kept = None
    if keeps:
        found = reconcile_report.evidence(told)
        kept = keep(settings.warehouse, snapshot, found, given.statement, preparer=preparer, reviewer=reviewer)
    if settings.json:
        click.echo(reconcile_report.as_json(told))
    else:
        for line in reconcile_report.summary(told) if summary else reconcile_report.lines(told, shows_all=shows_all):
            click.echo(line)
        if kept is not None:
            click.echo(f"published snapshot {kept.number:08d}: it keeps this reconciliation for `costroll close`")
    return 0 if told.holds else 7
