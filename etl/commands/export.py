"""`costroll export`: a month for other systems, with a control sheet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etl.commands.attributing import by_of, by_options
from etl.commands.options import Settings, with_settings

if TYPE_CHECKING:
    from etl.exporting import Exported

_KINDS = ("focus", "costs")


@click.command(name="export")
@click.argument("kind", type=click.Choice(_KINDS))
@click.option(
    "--month", type=click.DateTime(["%Y-%m"]), required=True, metavar="MONTH", help="Of booking, such as 2026-10."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    help="Write the files there.",
)
@click.option("--format", "form", type=click.Choice(["parquet", "csv", "both"]), default="both", show_default=True)
@click.option("--billing-account", metavar="ID", help="For FOCUS: the account of what names none.")
@click.option(
    "--billed",
    type=click.Choice(["rated", "zero"]),
    default="rated",
    show_default=True,
    help="For FOCUS: BilledCost and EffectiveCost are the rated cost, or 0 beside the provider's own dataset.",
)
@click.option("--strict", is_flag=True, help="Write nothing when something has no price; exit code 9.")
@by_options
@with_settings
def command(
    settings: Settings,
    kind: str,
    month: Any,
    out: Path,
    form: str,
    billing_account: str | None,
    billed: str,
    strict: bool,
    by: str | None,
    mapping: Path | None,
) -> None:
    """Write what is booked in a month, as FOCUS 1.4 or as a table of costs, in Parquet and CSV, with a control sheet.

    The sums in the files are read back and held against the warehouse. Cells that a spreadsheet would take for a
    formula get an apostrophe in the CSV, never in the Parquet file.

    \b
    Example:
        costroll export focus --month 2026-10 --out exports/ --billing-account acme
        costroll export costs --month 2026-10 --out exports/ --by team --mapping keys.csv
    """
    from etl.commands.published import published
    from etl.exporting import FORMS, Asked, export

    asked = Asked(
        kind,
        f"{month:%Y-%m}",
        FORMS if form == "both" else (form,),
        by_of(settings, by, mapping) if by else None,
        billing_account,
        billed == "rated",
        strict,
    )
    done = export(published(settings), asked, out)
    if settings.json:
        import json

        from etl.display import plain

        click.echo(json.dumps(plain(_facts(asked.month, done)), ensure_ascii=False, indent=2))
        return
    _tell(settings, asked.month, out, done)


def _facts(month: str, done: Exported) -> dict[str, Any]:
    unpriced = [{"price_status": s, "unit": u, "quantity": q} for (s, u), q in done.unpriced.items()]
    facts = {"month": month, "is_closed": done.is_closed, "rows": done.rows, "cost_usd": done.cost_usd}
    facts |= {"list_cost_usd": done.list_cost_usd, "files": done.files, "escaped_cells": done.escaped_cells}
    return facts | {"unpriced": unpriced, "not_told_apart": done.not_told_apart}


def _tell(settings: Settings, month: str, out: Path, done: Exported) -> None:
    from etl.display import money

    for file in done.files:
        click.echo(f"{file['sha256']}  {out / file['name']}")
    if not settings.quiet:
        if not done.is_closed:
            click.echo(f"costroll: {month} is not closed: its figures can still change", err=True)
        for (status, unit), quantity in done.unpriced.items():
            click.echo(f"costroll: {quantity:,} {unit} have no price ({status}): costroll report unpriced", err=True)
        for why, usd in sorted(done.not_told_apart.items()):
            click.echo(f"costroll: {money(usd)} USD cannot be told apart: {why}", err=True)
        if done.escaped_cells:
            click.echo(f"costroll: {done.escaped_cells:,} cells of the CSV got an apostrophe", err=True)
    click.echo(f"{done.rows:,} rows, {money(done.cost_usd)} USD, as in the warehouse")
