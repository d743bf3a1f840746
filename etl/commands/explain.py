"""`costroll explain`: one cost, down to its arithmetic and source lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from etl.commands.options import Settings, with_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.explaining import Explanation


@click.command()
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), required=True, metavar="DAY", help="The UTC day.")
@click.option("--model", help="As in the rollup.")
@click.option("--tier", help="As in the rollup.")
@click.option("--meter", help="Such as input or output.")
@click.option("--caching", "caching_status", help="Such as uncached, cached or not_applicable.")
@click.option("--project", "project_id", help="As in the rollup.")
@click.option("--account", "account_id", help="As in the rollup.")
@with_settings
def command(settings: Settings, day: Any, **wanted: str | None) -> None:
    """Take published costs apart: arithmetic, rate with its source, and the log lines behind them.

    Every rollup row of the day that has the given values is explained; '' stands for a value that is not there.

    \b
    Example:
        costroll explain --day 2025-06-10 --model o3-2025-04-16 --tier standard --meter input --caching cached
    """
    from etl.commands.published import published
    from etl.explaining import explain

    found = explain(published(settings), day.date(), wanted)
    if settings.json:
        import json
        from dataclasses import asdict

        click.echo(json.dumps([asdict(one) for one in found], default=str, indent=2))
        return
    for index, one in enumerate(found):
        if index:
            click.echo()
        for line in _lines(one):
            click.echo(line)


def _lines(one: Explanation) -> Iterator[str]:
    from etl.display import money, printable, styled

    cell = one.cell
    names = [cell["day"], cell["model"], cell["tier"], cell["meter"], cell["caching_status"]]
    names += [f"{word} {cell[word + '_id']}" for word in ("project", "account") if cell[f"{word}_id"] is not None]
    yield styled(printable("  ".join("(none)" if name is None else str(name) for name in names)), "1")
    if cell["cost_usd"] is None:
        yield f"  {cell['quantity']:,} {cell['unit']} have no price: {cell['price_status']}"
    else:
        rate = money(cell["rate_usd_per_million"])
        cost = money(cell["cost_usd"])
        yield f"  {cell['quantity']:,} {cell['unit']} x {rate} USD / 1,000,000 = {cost} USD   ({cell['price_status']})"
    if cell["is_estimated"]:
        yield "  these tokens were counted by Costroll from the text, as their usage was not logged"
    if any(booking["charge_class"] == "correction" for booking in one.bookings):
        yield "  booked in:"
        for booking in one.bookings:
            cost = f" = {money(booking['cost_usd'])} USD" if booking["cost_usd"] is not None else ""
            where = f"{booking['accounting_period']}, {booking['charge_class']}"
            yield f"    {where}: {booking['quantity']:,} {cell['unit']}{cost}"
    if cell["list_cost_usd"] != cell["cost_usd"]:
        yield f"  at list price it is {money(cell['list_cost_usd'])} USD; a contract is in force"
    yield from _rate_lines(one)
    if one.is_expired:
        yield "  the records of this day have expired (`costroll gc`), so the lines behind it cannot be shown"
        if not one.inputs:
            return
    yield "  counted in, of what came later:" if one.is_expired else "  counted in:"
    for row in one.inputs:
        lines = ", ".join(f"{line:,}" for line in row["sample_lines"])
        more = ", ..." if row["records"] > len(row["sample_lines"]) else ""
        records = "1 record" if row["records"] == 1 else f"{row['records']:,} records"
        word = "line" if row["records"] == 1 else "lines"
        where = f"{records}, {row['quantity']:,} {cell['unit']}; {word} {lines}{more}"
        yield f"    {printable(str(row['input_name']))}: {where}"
    if one.charged_usd is not None and not one.is_expired:
        same = "the same" if one.charged_usd == cell["cost_usd"] else "NOT THE SAME: run costroll verify"
        yield f"  record by record the sum is {money(one.charged_usd)} USD: {same}"


def _rate_lines(one: Explanation) -> Iterator[str]:
    from etl.display import printable

    cell, rate = one.cell, one.rate
    if rate is None:
        return
    since = rate["effective_from"] or "ever"
    until = f"until {rate['effective_to']}" if rate["effective_to"] else "open"
    over = f", prompts over {cell['context_over_tokens']:,} tokens" if cell["context_over_tokens"] else ""
    yield f"  rate {rate['rate_id']}"
    yield f"    in force since {since}, {until} (UTC){over}; {rate['status']}, confidence {rate['confidence']}"
    yield printable(f"    source: {rate['source']}")
    if cell["priced_model"] != cell["model"]:
        how = f"alias, {one.alias['source']}" if one.alias else "fine-tuned models are priced by their base"
        yield printable(f"    {cell['model']} is priced as {cell['priced_model']}: {how}")
