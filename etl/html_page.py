"""One HTML page that needs nothing else: no script, no font, no picture from anywhere. Charts are SVG in the page.

Every number stands in a table beside its chart; the length of a bar is for the eye. The page forbids its reader's
browser to fetch anything, so that it can be mailed and kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import ROUND_CEILING, Decimal
from html import escape
from typing import Any

from etl.display import money

# Told apart also in grey and by most colour-blind readers (after Okabe and Ito); what is left over is grey.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")
REST = "#9a9a9a"
_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882}
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin:2rem 0 .5rem}
.total{font-size:2rem;font-variant-numeric:tabular-nums;margin:.3rem 0}
.note{border-left:4px solid #d55e00;padding:.3rem .8rem;background:var(--soft)}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid var(--line)}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.wide{overflow-x:auto}
svg{width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:currentColor}
.key{margin-right:1.2rem;white-space:nowrap}
.key i{display:inline-block;width:.8em;height:.8em;margin-right:.4em}
footer{margin-top:3rem;font-size:.85rem;opacity:.75}
@media print{body{margin:0;max-width:none}h2{break-after:avoid}table,svg{break-inside:avoid}}
"""
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 1000, 220, 90, 24
_BAR, _BAR_LEFT, _BAR_ROOM = 22, 300, 520


def page(title: str, parts: Iterable[str]) -> str:
    """The whole page.

    Args:
        title: plain text.
        parts: HTML, made by the functions here.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
    )
    return "\n".join([head, f"<h1>{escape(title)}</h1>", *parts, "</body></html>"]) + "\n"


def heading(text: str) -> str:
    """A heading of a part."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph; `total` is large, `note` stands out."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """A table; numbers to the right with every digit, NULL as an empty cell."""
    numeric = [any(_is_number(row[at]) for row in rows) for at in range(len(columns))]
    heads = (f"<th{_class(is_number)}>{escape(name)}</th>" for name, is_number in zip(columns, numeric, strict=True))
    yield f'<div class="wide"><table><thead><tr>{"".join(heads)}</tr></thead><tbody>'
    for row in rows:
        cells = (f"<td{_class(is_number)}>{_cell(value)}</td>" for value, is_number in zip(row, numeric, strict=True))
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody></table></div>"


def columns_chart(
    labels: Sequence[str], series: Sequence[tuple[str, Sequence[Decimal]]], unit: str, has_rest: bool = False
) -> Iterator[str]:
    """Stacked columns, a column for each label and a colour for each series; below 0 counts as 0.

    Args:
        labels: in order.
        series: name and a value for each label.
        unit: what the values are.
        has_rest: whether the last series is what is left over.
    """
    tops = [sum((max(values[at], Decimal(0)) for _, values in series), Decimal(0)) for at in range(len(labels))]
    if not tops or not max(tops):
        return
    most = _round_up(max(tops))
    step = Decimal(_WIDTH - _LEFT) / len(labels)
    said = f"{unit}, {labels[0]} to {labels[-1]}"
    yield f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + _BOTTOM}" role="img" aria-label="{escape(said)}">'
    yield from _grid(most, unit)
    for at, label in enumerate(labels):
        base = Decimal(_HEIGHT)
        for number, (name, values) in enumerate(series):
            if values[at] <= 0:
                continue
            height = values[at] / most * (_HEIGHT - 10)
            base -= height
            colour = _colour(number, len(series), has_rest)
            wide = max(step * Decimal("0.84"), Decimal(1))
            yield (
                f'<rect x="{_LEFT + at * step:.2f}" y="{base:.2f}" width="{wide:.2f}" height="{height:.2f}" '
                f'fill="{colour}"><title>{escape(f"{label} {name}: {_plain(values[at])} {unit}")}'
                "</title></rect>"
            )
    every = max(1, -(-len(labels) // 10))
    for at in range(0, len(labels), every):
        yield f'<text x="{_LEFT + at * step:.2f}" y="{_HEIGHT + 16}">{escape(labels[at])}</text>'
    yield "</svg><p>"
    for number, (name, _) in enumerate(series):
        colour = _colour(number, len(series), has_rest)
        yield f'<span class="key"><i style="background:{colour}"></i>{escape(name)}</span>'
    yield "</p>"


def bars(amounts: Sequence[tuple[str, Decimal]], unit: str) -> Iterator[str]:
    """A bar for each amount, largest as given first; below 0 has no bar."""
    most = max((amount for _, amount in amounts), default=Decimal(0))
    if most <= 0:
        return
    yield f'<svg viewBox="0 0 {_WIDTH} {_BAR * len(amounts) + 4}" role="img" aria-label="{escape(unit)}">'
    for at, (name, amount) in enumerate(amounts):
        top, length = at * _BAR + 3, max(amount, Decimal(0)) / most * _BAR_ROOM
        shown = name if len(name) <= 44 else f"{name[:43]}…"
        yield f'<text x="{_BAR_LEFT - 8}" y="{top + 12}" text-anchor="end">{escape(shown)}</text>'
        yield f'<rect x="{_BAR_LEFT}" y="{top}" width="{length:.2f}" height="15" fill="{COLOURS[0]}"/>'
        yield f'<text x="{_BAR_LEFT + length + 6:.2f}" y="{top + 12}">{_plain(amount)} {escape(unit)}</text>'
    yield "</svg>"


def _grid(most: Decimal, unit: str) -> Iterator[str]:
    for quarter in range(5):
        y = _HEIGHT - Decimal(quarter) / 4 * (_HEIGHT - 10)
        yield f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.2f}" y2="{y:.2f}" stroke="currentColor" stroke-opacity=".15"/>'
        label = f"{_plain(most * quarter / 4)} {unit if quarter == 4 else ''}".strip()
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.2f}" text-anchor="end">{escape(label)}</text>'


def _round_up(value: Decimal) -> Decimal:
    """The next of 1, 2, 4, 6, 8 and 10 times a power of ten: quarters of it are short."""
    power = Decimal(1).scaleb(value.adjusted())
    steps = (value / power).to_integral_value(ROUND_CEILING)
    return power * next(Decimal(step) for step in (1, 2, 4, 6, 8, 10) if step >= steps)


def _colour(number: int, count: int, has_rest: bool) -> str:
    return REST if has_rest and number == count - 1 else COLOURS[number % len(COLOURS)]


def _plain(value: Decimal) -> str:
    return money(value, 0) if value == value.to_integral_value() else money(value)


def _class(is_numeric: bool) -> str:
    return ' class="n"' if is_numeric else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return money(value)
    return f"{value:,}" if _is_number(value) else escape(str(value))
