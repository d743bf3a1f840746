"""`costroll report --html FILE`: the chosen days on one page, with charts, to mail or to file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from etl import __version__, html_page
from etl.display import money
from etl.manifest import Snapshot

_MODELS_SHOWN = 6
_BARS_SHOWN = 20
# So many days have a column each; more are shown by month.
_DAYS_SHOWN = 124
_TOKENS = ("input uncached", "input cached", "input cache write", "output")
Table = tuple[Sequence[str], Sequence[Sequence[Any]]]


def page(
    snapshot: Snapshot,
    days: Table,
    named: Sequence[tuple[str, Table]],
    keys: tuple[str, Table] | None,
    notes: Sequence[str],
) -> str:
    """The whole page: a function of the snapshot and the options, so that the same ones give the same bytes.

    Args:
        snapshot: it is named at the foot.
        days: rows of sql/reports/page_days.
        named: heading and table of each report to show.
        keys: what costs are told apart by, and a line for each key.
        notes: what a reader must know before the numbers.
    """
    rows = days[1]
    total = sum((row[2] or Decimal(0) for row in rows), Decimal(0))
    seen = sorted({row[0] for row in rows})
    span = f"{seen[0]} to {seen[-1]}" if seen else "no days"
    parts = [html_page.paragraph(f"{money(total)} USD", "total"), html_page.paragraph(f"rated cost, {span} (UTC)")]
    parts += [html_page.paragraph(note, "note") for note in notes]
    if seen:
        parts += [html_page.heading("Cost by day" if len(_labels(seen)) == _count(seen) else "Cost by month")]
        parts += _costs(rows, _labels(seen))
        parts += [html_page.heading("Tokens"), *_tokens(rows, _labels(seen))]
    if keys:
        parts += [html_page.heading(f"By {keys[0]}"), *_bars(keys[1]), *html_page.table(*keys[1])]
    for title, (columns, found) in named:
        parts += [html_page.heading(title)]
        parts += html_page.table(columns, found) if found else [html_page.paragraph("nothing")]
    foot = f"Costroll {__version__}, snapshot {snapshot.number}, manifest {snapshot.manifest_sha256}"
    return html_page.page(f"LLM costs, {span}", [*parts, f"<footer>{foot}</footer>"])


def _count(seen: Sequence[date]) -> int:
    return (seen[-1] - seen[0]).days + 1


def _labels(seen: Sequence[date]) -> list[str]:
    """Every day between the first and the last, also those without data; or every month of many days."""
    every = [(seen[0] + timedelta(days=at)).isoformat() for at in range(_count(seen))]
    return every if len(every) <= _DAYS_SHOWN else sorted({day[:7] for day in every})


def _costs(rows: Sequence[Sequence[Any]], labels: Sequence[str]) -> Iterator[str]:
    """The dearest models have a colour each, the others one together."""
    sums: dict[str, Decimal] = {}
    for _, model, cost, *_rest in rows:
        sums[model or "(no model)"] = sums.get(model or "(no model)", Decimal(0)) + (cost or 0)
    dearest = sorted(sums, key=lambda name: (-sums[name], name))
    shown = dearest[:_MODELS_SHOWN]
    others = len(dearest) - len(shown)
    places = {name: at for at, name in enumerate(shown)}
    names = [*shown, *([f"{others} other models" if others > 1 else "1 other model"] if others else [])]
    values = [[Decimal(0)] * len(labels) for _ in names]
    for day, model, cost, *_rest in rows:
        column = values[places.get(model or "(no model)", len(shown))]
        column[_place(labels, day)] += cost or 0
    yield from html_page.columns_chart(labels, list(zip(names, values, strict=True)), "USD", has_rest=bool(others))


def _tokens(rows: Sequence[Sequence[Any]], labels: Sequence[str]) -> Iterator[str]:
    values = [[Decimal(0)] * len(labels) for _ in _TOKENS]
    for day, _model, _cost, *tokens in rows:
        for column, count in zip(values, tokens, strict=True):
            column[_place(labels, day)] += count
    yield from html_page.columns_chart(labels, list(zip(_TOKENS, values, strict=True)), "tokens")
    sums = [[name, int(sum(column))] for name, column in zip(_TOKENS, values, strict=True)]
    yield from html_page.table(("tokens", "in all"), sums)


def _place(labels: Sequence[str], day: date) -> int:
    text = day.isoformat()[: len(labels[0])]
    return labels.index(text)


def _bars(keys: Table) -> Iterator[str]:
    columns, rows = list(keys[0]), keys[1]
    cost, note = columns.index("cost_usd"), columns.index("note")
    found = [(str(row[0]) if row[0] is not None else f"({row[note]})", row[cost] or Decimal(0)) for row in rows]
    yield from html_page.bars(found[:_BARS_SHOWN], "USD")
    if len(found) > _BARS_SHOWN:
        yield html_page.paragraph(f"The {_BARS_SHOWN} dearest of {len(found):,}; all are in the table.")
