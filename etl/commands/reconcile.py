"""`costroll reconcile`: the published costs beside the provider's bill."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etl import messages
from etl.commands.options import Settings, with_settings

if TYPE_CHECKING:
    from datetime import date

    import polars as pl

    from etl.manifest import Snapshot
    from etl.reconciling import Cell, Reconciliation
    from etl.statements import Statement

_DAYS_SHOWN = 5
_DIMENSION_WORDS = {"caching_status": "caching status", "project_id": "project"}
_MONEY_COLUMNS = ("ours_usd", "theirs_usd", "difference_usd")


def _dollars(context: click.Context, parameter: click.Parameter, text: str) -> Decimal:
    """An amount of money, exactly as typed."""
    try:
        amount = Decimal(text)
    except ArithmeticError:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise click.BadParameter(f"{text!r} is no amount of 0 or more, such as 0.01", context, parameter)
    return amount


@click.command(name="reconcile")
@click.argument("paths", metavar="STATEMENT...", nargs=-1, required=True)
@click.option("--account", metavar="ID", help="Compare only our rows of this account. [default: all]")
@click.option(
    "--tolerance", metavar="USD", default="0.01", callback=_dollars, help="Per line and in all. [default: 0.01]"
)
@click.option("--all", "shows_all", is_flag=True, help="Print the lines that agree, too.")
@click.option(
    "--csv", "file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write all lines there."
)
@with_settings
def command(
    settings: Settings,
    paths: tuple[str, ...],
    account: str | None,
    tolerance: Decimal,
    shows_all: bool,
    file: Path | None,
) -> int:
    """Compare the published costs with the provider's bill, line by line and in total.

    STATEMENT is OpenAI's cost export (`cost_*.csv`) or a page of its costs API; also .gz, .zst, a folder, a glob in
    quotes. Exits with 0 when the total and every line are within the tolerance, and with 7 when not.

    \b
    Example:
      costroll reconcile cost_2025-11-01_2025-12-01.csv --tolerance 0.05
    """
    from etl.commands.published import published
    from etl.reconciling import reconcile

    snapshot = published(settings)
    statement = _read(paths)
    ours, aliases = _ours(snapshot, account)
    result = reconcile(ours, statement, tolerance, aliases)
    if file is not None:
        _write_csv(file, result)
    if settings.json:
        import json

        from etl.display import plain

        found = {"statements": [one.name for one in statement.files], "statement_lines": len(statement.lines)}
        found |= {"repeated_lines": statement.repeated_lines, "snapshot": snapshot.number, "account": account}
        click.echo(json.dumps(found | plain(result.facts()), ensure_ascii=False, indent=2))
    else:
        _tell(result, statement, snapshot, shows_all)
    return 0 if result.is_reconciled else 7


def _read(paths: Sequence[str]) -> Statement:
    """Read the whole bill; each file that is refused gets its line, and then nothing is compared."""
    from etl import inputs
    from etl.display import printable
    from etl.errors import InputRefused, UsageError
    from etl.statements import combined
    from etl.statements.openai_costs import read

    found = inputs.find(paths)
    refused, files = list(found.refused), []
    for source in found.inputs:
        try:
            files.append(read(source))
        except InputRefused as error:
            refused.append((source.name, error.code, error.text))
    for name, code, text in refused:
        messages.tell("warning", "refused", f"{printable(name)}: {code}: {text}", input=name, reason=code)
    if refused:
        of = len(found.inputs) + len(found.refused)
        raise UsageError(f"{len(refused)} of {of} statements cannot be read, so nothing was compared")
    if not files:
        raise UsageError(f"{', '.join(paths)}: there is no statement in it; give OpenAI's cost_*.csv")
    return combined(files)


def _ours(snapshot: Snapshot, account: str | None) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Our rollups, of one account if it is named, and the aliases of models."""
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
    files = snapshot.files("aliases")
    return ours, pl.read_parquet(files, glob=False) if files else None


def _tell(result: Reconciliation, statement: Statement, snapshot: Snapshot, shows_all: bool) -> None:
    from etl import display

    for label, text in _header(result, statement, snapshot):
        click.echo(f"{label:<10} {display.printable(text)}")
    shown = [cell for cell in result.cells if shows_all or cell.difference_usd or cell.unpriced]
    if shown:
        columns, rows = _table(shown)
        click.echo()
        for line in display.table(columns, rows):
            click.echo(line)
    click.echo()
    for line in _totals(result):
        click.echo(line)


def _header(result: Reconciliation, statement: Statement, snapshot: Snapshot) -> list[tuple[str, str]]:
    found = result.coverage
    covered = f"{len(statement.lines):,} lines, {found.days[0]} to {found.days[-1]}, {_days(statement.days, 0)}"
    covered += f", {len(found.blank_days):,} of them blank" if found.blank_days else ""
    if statement.repeated_lines:
        covered += f"; {statement.repeated_lines:,} of them stand in two files and count once"
    ours = f"snapshot {snapshot.number}, {statement.provider}: {len(found.our_days):,} of these days"
    ours += f"; not compared: {_days(found.our_days_outside)} outside them" if found.our_days_outside else ""
    ours += f"; not compared: {', '.join(found.other_providers)}" if found.other_providers else ""
    missing = f"from ours: {_days(found.missing_from_ours)}; from the statement: {_days(found.missing_from_theirs)}"
    names = ", ".join(file.name for file in statement.files)
    lines = [("statement", names), ("", covered), ("ours", ours), ("missing", missing)]
    if len(found.accounts) > 1:
        held = ", ".join(account or "(no account)" for account in found.accounts)
        lines.append(("accounts", f"{len(found.accounts)} are compared together: {held}; --account ID takes one"))
    grains = sorted(result.grains.items(), key=lambda item: (-len(item[1]), item[0]))
    for at, (grain, days) in enumerate(grains):
        lines.append(("" if at else "grain", f"{_grain(grain)}: {_days(days, _DAYS_SHOWN if at else 0)}"))
    return lines if grains else [*lines, ("grain", "no day has lines on both sides")]


def _grain(dimensions: Sequence[str]) -> str:
    return " × ".join(["day", *(_DIMENSION_WORDS.get(name, name) for name in dimensions)])


def _days(days: Sequence[date] | frozenset[date], shown: int = _DAYS_SHOWN) -> str:
    """How many days, and which, if they are few."""
    if not days:
        return "none" if shown else "0 days"
    count = f"{len(days):,} {'day' if len(days) == 1 else 'days'}"
    more = ", ..." if len(days) > shown else ""
    return count + (f" ({', '.join(str(day) for day in sorted(days)[:shown])}{more})" if shown else "")


def _table(cells: Sequence[Cell]) -> tuple[list[str], list[list[Any]]]:
    """The lines to print, without the dimensions that none of them has."""
    from etl.reconciling import DIMENSIONS

    kept = [at for at in range(len(DIMENSIONS)) if any(cell.values[at] for cell in cells)]
    columns = ["day", *(DIMENSIONS[at] for at in kept), *_MONEY_COLUMNS, "note"]
    rows = []
    for cell in cells:
        every = "*" if cell.is_understood else ""
        values = [every if DIMENSIONS[at] in cell.over else cell.values[at] for at in kept]
        rows.append([cell.day, *values, cell.ours_usd, cell.theirs_usd, cell.difference_usd, _note(cell)])
    return columns, rows


def _note(cell: Cell) -> str:
    """Why a side is empty, or not whole."""
    if not cell.is_understood:
        return f"not understood: {', '.join(sorted(cell.line_items))}"
    notes = [f"unpriced: {_unpriced(cell)}"] if cell.unpriced else []
    if cell.theirs_usd is None:
        notes.append("not billed")
    elif not cell.has_ours:
        notes.append("not in our logs")
    return ", ".join(notes)


def _unpriced(cell: Cell) -> str:
    return ", ".join(f"{quantity:,} {unit}" for unit, quantity in sorted(cell.unpriced.items()))


def _totals(result: Reconciliation) -> list[str]:
    from etl.display import money

    cells, beyond, tolerance = result.cells, len(result.beyond), money(result.tolerance_usd, 0)
    agree = sum(not cell.difference_usd for cell in cells)
    kinds = {
        "unpriced": sum(bool(cell.unpriced) for cell in cells),
        "not billed": sum(cell.theirs_usd is None for cell in cells),
        "not in our logs": sum(cell.is_understood and not cell.has_ours for cell in cells),
        "not understood": sum(not cell.is_understood for cell in cells),
    }
    named = "; ".join(f"{kind} {count:,}" for kind, count in kinds.items() if count)
    total_holds = result.difference_usd.copy_abs() <= result.tolerance_usd
    verdict = f"{'within' if total_holds else 'beyond'} the tolerance of {tolerance}"
    if total_holds and beyond:
        verdict += f", but {beyond:,} {'line is' if beyond == 1 else 'lines are'} beyond it"
    return [
        f"ours {money(result.ours_usd)} USD, theirs {money(result.theirs_usd)} USD",
        f"{agree:,} of {len(cells):,} lines agree to the last digit" + (f"; {named}" if named else ""),
        f"differences without their signs {money(result.absolute_usd)} USD; lines beyond the tolerance: {beyond:,}",
        f"difference {money(result.difference_usd)} USD over {len(cells):,} lines: {verdict}",
    ]


def _write_csv(file: Path, result: Reconciliation) -> None:
    """Write every line, whatever is printed."""
    from etl import display

    facts = [cell.facts() for cell in result.cells]
    columns = list(facts[0]) if facts else ["day"]
    lines = display.csv_lines(columns, [list(found.values()) for found in facts])
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
