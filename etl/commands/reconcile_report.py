"""What `costroll reconcile` says: coverage first, then each line that differs with its reason, then the sums."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from etl import display
from etl.display import money
from etl.manifest import Snapshot
from etl.reconciling import DIMENSIONS, Cell, Reconciliation
from etl.reconciling.counts import UsageCount
from etl.reconciling.findings import total
from etl.reconciling.invoices import Step, unexplained_of
from etl.reconciling.invoices import facts as step_facts
from etl.spreadsheets import safe_rows
from etl.statements import Statement

_DAYS_SHOWN = 5
_CLASSES_SHOWN = 5
_DIMENSION_WORDS = {"caching_status": "caching status", "project_id": "project"}
_MONEY_COLUMNS = ("ours_usd", "theirs_usd", "difference_usd")


class Told(NamedTuple):
    """A comparison, and what was compared."""

    result: Reconciliation
    statement: Statement
    counts: UsageCount
    snapshot: Snapshot
    account: str | None
    bridge: tuple[Step, ...] = ()
    credits: tuple[Step, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether it reconciles: the comparison, and what leads on to the invoices."""
        return self.result.is_reconciled and not self.left_open

    @property
    def left_open(self) -> dict[str, Decimal]:
        """What leads on to the invoices and leaves more than the tolerance without a reason, and how much it is."""
        result = self.result
        found = {"the invoices leave": unexplained_of(self.bridge), "the credits leave": unexplained_of(self.credits)}
        return {what: amount for what, amount in found.items() if not result.tolerance.holds(amount, result.theirs_usd)}


def facts(told: Told) -> dict[str, Any]:
    """Everything, for a program."""
    statement, counts = told.statement, told.counts
    return {
        "statements": [one.name for one in statement.files],
        "statement_sha256": [one.sha256 for one in statement.files],
        "statement_lines": len(statement.lines),
        "repeated_lines": statement.repeated_lines,
        "usage_exports": list(counts.names),
        "usage_export_sha256": list(counts.sha256s),
        "provider": statement.provider,
        "snapshot": told.snapshot.number,
        "account": told.account,
        **told.result.facts(),
        "is_reconciled": told.holds,
        "bridge": step_facts(told.bridge),
        "credits": step_facts(told.credits),
        "holds": told.holds,
    }


def evidence(told: Told) -> dict[str, Any]:
    """What the warehouse keeps of it; amounts are text."""
    result, statement, counts = told.result, told.statement, told.counts
    usage = [{"name": name, "sha256": digest} for name, digest in zip(counts.names, counts.sha256s, strict=True)]
    found = {
        "provider": statement.provider,
        "account": told.account,
        "statements": [{"name": one.name, "sha256": one.sha256, "lines": len(one.lines)} for one in statement.files],
        "usage_exports": usage,
        "ours_usd": result.ours_usd,
        "theirs_usd": result.theirs_usd,
        "difference_usd": result.difference_usd,
        "classes": {kind: total(one.amount_usd for one in own) for kind, own in result.classes.items()},
        "unexplained_usd": _unexplained(result),
        "accepted_classes": sorted(result.accepted),
        "tolerance_usd": result.tolerance.usd,
        "tolerance_percent": result.tolerance.percent,
        "bridge": step_facts(told.bridge),
        "credits": step_facts(told.credits),
        "is_reconciled": told.holds,
    }
    plain: dict[str, Any] = display.plain(found)
    return plain


def _unexplained(result: Reconciliation) -> Decimal:
    return total(one.amount_usd.copy_abs() for one in result.findings if one.kind == "unexplained")


def as_json(told: Told) -> str:
    """The facts as JSON; amounts are text, so that no reader rounds them."""
    return json.dumps(display.plain(facts(told)), ensure_ascii=False, indent=2)


def lines(told: Told, *, shows_all: bool) -> Iterator[str]:
    """The report for a person."""
    for label, text in header(told):
        yield f"{label:<10} {display.printable(text)}"
    result = told.result
    shown = [
        cell for cell in result.cells if shows_all or cell.difference_usd or cell.unpriced or result.findings_of(cell)
    ]
    if shown:
        yield ""
        yield from display.table(*table(result, shown))
    if result.findings:
        yield ""
        yield from display.table(*classes(result))
    for title, steps in (("from usage to the invoice", told.bridge), ("credits", told.credits)):
        if steps:
            yield ""
            rows = [
                [one.step, None if one.is_sum else one.amount_usd, one.amount_usd if one.is_sum else None]
                for one in steps
            ]
            yield from display.table([title, "step_usd", "sum_usd"], rows)
    yield ""
    yield from totals(told)


def summary(told: Told) -> list[str]:
    """Ten lines at most: the verdict, the sums, what was compared, and the classes with the most money."""
    result, found = told.result, told.result.coverage
    largest = sorted(
        ((total(one.amount_usd for one in own), kind, len(own)) for kind, own in result.classes.items()),
        key=lambda one: (-one[0].copy_abs(), one[1]),
    )
    shown = [f"  {kind} {money(amount)} USD in {count:,} findings" for amount, kind, count in largest[:_CLASSES_SHOWN]]
    if len(largest) > _CLASSES_SHOWN:
        rest = largest[_CLASSES_SHOWN:]
        left = money(total(amount for amount, _, _ in rest))
        shown.append(f"  {', '.join(kind for _, kind, _ in rest)}: {left} USD together")
    days = f"{len(found.our_days):,} of {len(found.days):,} days are in our logs"
    days += f", {len(found.counted_days):,} in usage exports" if told.counts.names else ""
    days += f"; {len(found.filling_days):,} still filling" if found.filling_days else ""
    grain = max(result.grains, key=lambda one: len(result.grains[one]), default=None)
    return [
        f"{'reconciles' if told.holds else 'does not reconcile'}: {totals(told)[-1]}",
        totals(told)[0],
        f"{told.statement.provider}, {found.days[0]} to {found.days[-1]}: {days}",
        f"compared by {_grain(grain) if grain is not None else 'nothing: no day has lines on both sides'}",
        *shown,
    ]


def header(told: Told) -> list[tuple[str, str]]:
    """What was compared, and by what: label and text."""
    result, statement = told.result, told.statement
    found = result.coverage
    covered = f"{len(statement.lines):,} lines, {found.days[0]} to {found.days[-1]}, {_days(statement.days, 0)}"
    covered += f", {len(found.blank_days):,} of them blank" if found.blank_days else ""
    if statement.repeated_lines:
        covered += f"; {statement.repeated_lines:,} of them stand in two files and count once"
    ours = f"snapshot {told.snapshot.number}, {statement.provider}: {len(found.our_days):,} of these days"
    ours += f"; not compared: {_days(found.our_days_outside)} outside them" if found.our_days_outside else ""
    ours += f"; not compared: {', '.join(found.other_providers)}" if found.other_providers else ""
    missing = f"from ours: {_days(found.missing_from_ours)}; from the statement: {_days(found.missing_from_theirs)}"
    said = [("statement", ", ".join(file.name for file in statement.files)), ("", covered), ("ours", ours)]
    if told.counts.names:
        said.append(("counts", ", ".join(told.counts.names)))
        requests = f"{found.counted_requests:,} requests, ours {found.our_requests:,}"
        said.append(("", f"{len(found.counted_days):,} of these days, {requests}"))
        if found.coarse_days:
            words = "not grouped as the lines are (by model, batch, service tier and project), and not used"
            said.append(("", f"{_days(found.coarse_days)} {words}"))
    said.append(("missing", missing))
    if found.filling_days:
        said.append(("filling", f"{_days(found.filling_days)}: the provider may still add to them"))
    if len(found.accounts) > 1:
        held = ", ".join(account or "(no account)" for account in found.accounts)
        said.append(("accounts", f"{len(found.accounts)} are compared together: {held}; --account ID takes one"))
    grains = sorted(result.grains.items(), key=lambda item: (-len(item[1]), item[0]))
    for at, (grain, days) in enumerate(grains):
        said.append(("" if at else "grain", f"{_grain(grain)}: {_days(days, _DAYS_SHOWN if at else 0)}"))
    return said if grains else [*said, ("grain", "no day has lines on both sides")]


def _grain(dimensions: Sequence[str]) -> str:
    return " × ".join(["day", *(_DIMENSION_WORDS.get(name, name) for name in dimensions)])


def _days(days: Sequence[date] | frozenset[date], shown: int = _DAYS_SHOWN) -> str:
    """How many days, and which, if they are few."""
    if not days:
        return "none" if shown else "0 days"
    count = f"{len(days):,} {'day' if len(days) == 1 else 'days'}"
    more = ", ..." if len(days) > shown else ""
    return count + (f" ({', '.join(str(day) for day in sorted(days)[:shown])}{more})" if shown else "")


def table(result: Reconciliation, cells: Sequence[Cell]) -> tuple[list[str], list[list[Any]]]:
    """The columns and rows of these lines, without the dimensions that none of them has."""
    kept = [at for at in range(len(DIMENSIONS)) if any(cell.values[at] for cell in cells)]
    columns = ["day", *(DIMENSIONS[at] for at in kept), *_MONEY_COLUMNS, "note"]
    rows = []
    for cell in cells:
        every = "*" if cell.is_understood else ""
        values = [every if DIMENSIONS[at] in cell.over else cell.values[at] for at in kept]
        note = _note(result, cell)
        rows.append([cell.day, *values, cell.ours_usd, cell.theirs_usd, cell.difference_usd, note])
    return columns, rows


def _note(result: Reconciliation, cell: Cell) -> str:
    """What the difference is, and why a side is empty, or not whole."""
    not_billed = ", not billed" if cell.theirs_usd is None else ""
    notes = [f"unpriced: {_unpriced(cell)}{not_billed}"] if cell.unpriced else []
    notes += [f"{one.kind}: {one.evidence}" for one in result.findings_of(cell)]
    return "; ".join(notes)


def _unpriced(cell: Cell) -> str:
    return ", ".join(f"{quantity:,} {unit}" for unit, quantity in sorted(cell.unpriced.items()))


def classes(result: Reconciliation) -> tuple[list[str], list[list[Any]]]:
    """The classes of difference: how often, on how many days, and the money."""
    rows: list[list[Any]] = []
    for kind, own in result.classes.items():
        days = len({one.day for one in own})
        accepted = "accepted" if kind in result.accepted else ""
        rows.append([kind, len(own), days, total(one.amount_usd for one in own), accepted])
    rows.append(["all", len(result.findings), len({one.day for one in result.findings}), result.difference_usd, ""])
    columns = ["class", "findings", "days", "difference_usd", "note"]
    if not result.accepted:
        return columns[:-1], [row[:-1] for row in rows]
    return columns, rows


def totals(told: Told) -> list[str]:
    """The last lines: sums and verdict."""
    result = told.result
    cells, beyond = result.cells, len(result.beyond)
    agree = sum(not cell.difference_usd for cell in cells)
    kinds = {
        "unpriced": sum(bool(cell.unpriced) for cell in cells),
        "not billed": sum(cell.theirs_usd is None and cell.has_ours for cell in cells),
        "not in our logs": sum(cell.is_understood and not cell.has_ours for cell in cells),
        "not understood": sum(not cell.is_understood for cell in cells),
    }
    named = "; ".join(f"{kind} {count:,}" for kind, count in kinds.items() if count)
    unexplained = _unexplained(result)
    count = f"{beyond:,}" + (f", days {len(result.days_beyond):,}" if result.days_beyond else "")
    return [
        f"ours {money(result.ours_usd)} USD, theirs {money(result.theirs_usd)} USD; unexplained {money(unexplained)}",
        f"{agree:,} of {len(cells):,} lines agree to the last digit" + (f"; {named}" if named else ""),
        f"differences without their signs {money(result.absolute_usd)} USD; lines beyond the tolerance: {count}",
        f"difference {money(result.difference_usd)} USD over {len(cells):,} lines: {_verdict(told)}",
    ]


def _verdict(told: Told) -> str:
    result = told.result
    tolerance = money(result.tolerance.usd, 0)
    if result.tolerance.percent:
        tolerance += f" or {result.tolerance.percent.normalize():f} %"
    accepted = f"{money(result.open_usd)} USD of it not accepted, " if result.accepted else ""
    verdict = f"{accepted}{'within' if result.total_holds else 'beyond'} the tolerance of {tolerance}"
    objections = [_lines_beyond(result)] if result.total_holds and not result.is_reconciled else []
    objections += [f"{what} {money(amount)} USD unexplained" for what, amount in told.left_open.items()]
    return f"{verdict}, but {' and '.join(objections)}" if objections else verdict


def _lines_beyond(result: Reconciliation) -> str:
    lines_beyond = len(result.beyond)
    what = f"{lines_beyond:,} {'line is' if lines_beyond == 1 else 'lines are'}"
    if not lines_beyond:
        count = len(result.days_beyond)
        what = f"{count:,} {'day is' if count == 1 else 'days are'}"
    return f"{what} beyond it"


def write_csv(file: Path, result: Reconciliation) -> None:
    """Write every line, whatever is printed."""
    rows = line_facts(result)
    columns = list(rows[0]) if rows else ["day"]
    text = display.csv_lines(columns, safe_rows([list(found.values()) for found in rows]))
    file.write_text("".join(f"{line}\n" for line in text), encoding="utf-8")


def line_facts(result: Reconciliation) -> list[dict[str, Any]]:
    """Every line, flat, with the classes of its difference."""
    found = []
    for cell in result.cells:
        kinds = sorted({one.kind for one in result.findings_of(cell)})
        found.append({**cell.facts(), "classes": " ".join(kinds)})
    return found
