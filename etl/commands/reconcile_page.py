"""A reconciliation as one HTML page to take to a meeting: no script, no font, no picture from anywhere else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from html import escape
from typing import Any

from etl.commands import reconcile_report
from etl.commands.reconcile_report import Told
from etl.display import money
from etl.reconciling import Finding
from etl.reconciling.findings import CLASSES, total
from etl.statements import EXACT
from etl.statements.matching import ZERO

_STYLE = """
body{font:14px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1c1c1c;background:#fff}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}pre{background:#f4f4f2;padding:1rem;overflow-x:auto}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #ddd}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.wide{overflow-x:auto}text{font:11px system-ui,sans-serif}
@media print{body{margin:0}}
"""
_ROWS_SHOWN = 500
_OURS, _THEIRS = "#2b6cb5", "#b5522b"
_WIDTH, _HEIGHT, _BAR = 900, 160, 22


def page(told: Told) -> str:
    """The whole page."""
    result = told.result
    title = f"Reconciliation: {told.statement.provider}, {result.coverage.days[0]} to {result.coverage.days[-1]}"
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>",
        f"<h1>{escape(title)}</h1>",
        f"<pre>{escape(chr(10).join(reconcile_report.summary(told)))}</pre>",
        "<h2>The difference by class</h2>",
        *_classes(told),
        "<h2>Ours and theirs by day</h2>",
        *_days(told),
        "<h2>Every finding</h2>",
        *_findings([one for own in result.classes.values() for one in own]),
        "<h2>Where the numbers come from</h2>",
        *_table(("file", "SHA-256"), [[file.name, file.sha256] for file in told.statement.files]
                + [[name, digest] for name, digest in zip(told.counts.names, told.counts.sha256s, strict=True)]),
        f"<p>Snapshot {told.snapshot.number}, manifest {escape(told.snapshot.manifest_sha256)}</p></html>",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _classes(told: Told) -> Iterator[str]:
    sums = {kind: total(one.amount_usd for one in own) for kind, own in told.result.classes.items()}
    yield from _bars(list(sums.items()))
    rows = [[kind, len(told.result.classes[kind]), amount, CLASSES[kind]] for kind, amount in sums.items()]
    rows.append(["all", len(told.result.findings), told.result.difference_usd, "ours less theirs"])
    yield from _table(("class", "findings", "USD", "what it means"), rows)


def _bars(amounts: Sequence[tuple[str, Decimal]]) -> Iterator[str]:
    """A bar for each amount, to the right where ours is more. Lengths are for the eye; the numbers stand beside."""
    largest = max((amount.copy_abs() for _, amount in amounts), default=ZERO)
    if not largest:
        return
    middle, room = 520, 240
    yield f'<svg viewBox="0 0 {_WIDTH} {_BAR * len(amounts) + 6}" width="100%" role="img">'
    for at, (kind, amount) in enumerate(amounts):
        length = max(1, int(amount.copy_abs() / largest * room))
        left = middle if amount >= 0 else middle - length
        top = at * _BAR + 4
        yield f'<text x="4" y="{top + 12}">{escape(kind)}</text>'
        colour = _THEIRS if amount < 0 else _OURS
        yield f'<rect x="{left}" y="{top}" width="{length}" height="15" fill="{colour}"/>'
        yield f'<text x="{_WIDTH - 4}" y="{top + 12}" text-anchor="end">{money(amount)}</text>'
    yield f'<line x1="{middle}" x2="{middle}" y1="0" y2="{_BAR * len(amounts) + 6}" stroke="#888"/></svg>'


def _days(told: Told) -> Iterator[str]:
    sums: dict[date, list[Decimal]] = {}
    for cell in told.result.cells:
        pair = sums.setdefault(cell.day, [ZERO, ZERO])
        pair[0] = EXACT.add(pair[0], cell.ours_usd or ZERO)
        pair[1] = EXACT.add(pair[1], cell.theirs_usd or ZERO)
    largest = max((max(amounts) for amounts in sums.values()), default=ZERO)
    if largest > 0:
        step = _WIDTH // max(len(sums), 1)
        yield f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + 4}" width="100%" role="img">'
        for at, (day, amounts) in enumerate(sorted(sums.items())):
            for side, (amount, colour) in enumerate(zip(amounts, (_OURS, _THEIRS), strict=True)):
                height = int(max(amount, ZERO) / largest * _HEIGHT)
                x, wide = at * step + side * max(step // 3, 1), max(step // 3 - 1, 1)
                yield (
                    f'<rect x="{x}" y="{_HEIGHT - height}" width="{wide}" height="{height}" fill="{colour}">'
                    f"<title>{day}: {('ours', 'theirs')[side]} {money(amount)}</title></rect>"
                )
        yield "</svg><p>Blue: ours. Red: theirs.</p>"
    rows = [[day, ours, theirs, EXACT.subtract(ours, theirs)] for day, (ours, theirs) in sorted(sums.items())]
    yield from _table(("day", "ours USD", "theirs USD", "difference USD"), rows)


def _findings(found: Sequence[Finding]) -> Iterator[str]:
    rows = [
        [one.kind, one.day, *(one.values or one.cell.values), one.quantity, one.amount_usd, one.evidence]
        for one in found[:_ROWS_SHOWN]
    ]
    columns = ("class", "day", "model", "tier", "meter", "caching", "project", "quantity", "USD", "evidence")
    yield from _table(columns, rows)
    if len(found) > _ROWS_SHOWN:
        yield f"<p>The first {_ROWS_SHOWN} of {len(found):,}; findings.csv has all.</p>"


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    numeric = [any(_is_number(row[at]) for row in rows) for at in range(len(columns))]
    yield '<div class="wide"><table><tr>'
    yield "".join(f"<th{_class(numeric[at])}>{escape(name)}</th>" for at, name in enumerate(columns)) + "</tr>"
    for row in rows:
        yield (
            "<tr>" + "".join(f"<td{_class(numeric[at])}>{_cell(value)}</td>" for at, value in enumerate(row)) + "</tr>"
        )
    yield "</table></div>"


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
