"""What a provider says we owe: the lines of its bill, exact to the last digit, and the days they cover.

Reading a provider's file is the business of one module beside this one; after it nobody asks whose bill it was.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Context, Decimal, Inexact, InvalidOperation

from etl.errors import UsageError

USAGE = "usage"
# A bill may write 40 decimals, where Python's default context rounds to 28 digits; this one raises instead of rounding.
EXACT = Context(prec=500, traps=[Inexact, InvalidOperation])


@dataclass(frozen=True)
class Dimensions:
    """What the text of a line says about the usage it bills; None where it does not say.

    Attributes:
        is_understood: False when there is a text that no rule reads; the line then stands for itself.
    """

    model: str | None = None
    tier: str | None = None
    meter: str | None = None
    caching_status: str | None = None
    is_understood: bool = True


@dataclass(frozen=True)
class StatementLine:
    """One amount of a bill.

    Attributes:
        line_number: the physical line of the file on which it begins.
        day: UTC day that it bills, or the first of them.
        amount_usd: exactly as written, up to the last decimal.
        quantity: in `quantity_unit`; None when the line does not say.
        line_item: the provider's own words; None when the bill is not grouped by them.
        project_id, organization_id: None when the line does not say.
        kind: `usage`; or `credit`, `discount` or `tax`, which no usage is held against.
        list_usd: what it would be without a discount, where the bill says so.
        rounding_usd: how far the provider's own rounding may have moved the amount.
        last_day: of a line that bills several days; None: `day` only.
        provider: whose usage it is, where that is not the file's: a gateway's bill has several.
    """

    statement_name: str
    line_number: int
    day: date
    amount_usd: Decimal
    quantity: Decimal | None
    quantity_unit: str | None
    line_item: str | None
    project_id: str | None
    organization_id: str | None
    dimensions: Dimensions
    kind: str = USAGE
    list_usd: Decimal | None = None
    rounding_usd: Decimal = Decimal(0)
    last_day: date | None = None
    provider: str | None = None

    def content(self) -> tuple[object, ...]:
        """What makes two lines of two exports the same line."""
        return (self.day, self.line_item, self.project_id, self.organization_id, self.amount_usd, self.quantity)


@dataclass(frozen=True)
class StatementFile:
    """One file of a bill.

    Attributes:
        name: as given.
        provider: who bills.
        lines: those with an amount.
        days: the UTC days it covers, also those on which nothing is billed.
        sha256: of its decompressed bytes.
    """

    name: str
    provider: str
    lines: tuple[StatementLine, ...]
    days: frozenset[date]
    sha256: str = ""


@dataclass(frozen=True)
class Statement:
    """A bill, of one or several files.

    Attributes:
        lines: each amount once, also where the files overlap.
        days: the days covered, also those on which nothing is billed.
        span: every day from the first to the last of each file, so that a day lost in between shows.
        repeated_lines: how many lines stood in a second file too, and were not counted again.
        stretches: of a bill whose lines cover several days: each day -> the first of the days it is billed with.
    """

    provider: str
    files: tuple[StatementFile, ...]
    lines: tuple[StatementLine, ...]
    days: frozenset[date]
    span: frozenset[date]
    repeated_lines: int
    stretches: Mapping[date, date] = field(default_factory=dict)

    def billed_on(self, day: date) -> date:
        """The day under which a day is billed: itself, or the first of its stretch."""
        return self.stretches.get(day, day)


def combined(given: Sequence[StatementFile], provider: str | None = None) -> Statement:
    """Put the files of a bill together, and count what overlapping exports repeat once only.

    Args:
        given: the files.
        provider: whose lines to take; None: there must be one only.

    Raises:
        UsageError: the lines are of several providers, two files bill the same day of the same project with different
            lines, or no day is covered at all.
    """
    found = sorted({line.provider or file.provider for file in given for line in file.lines})
    if provider is None and len(found) > 1:
        raise UsageError(f"these are bills of {' and '.join(found)}: reconcile one provider at a time, with --provider")
    if provider is not None and found and provider not in found:
        raise UsageError(f"no line is of --provider {provider}: these are bills of {' and '.join(found)}")
    whose = provider or next(iter(found), given[0].provider)
    files = [replace(file, lines=tuple(_of(file, whose))) for file in given]
    lines: list[StatementLine] = []
    repeated = 0
    taken: dict[date, list[tuple[str, list[StatementLine]]]] = defaultdict(list)
    for file in files:
        for day, own in sorted(_by_day(file.lines).items()):
            others = [other for other in taken[day] if _may_bill_the_same(own, other[1])]
            if not others:
                taken[day].append((file.name, own))
                lines += own
            elif any(_counted(own) == _counted(other) for _, other in others):
                repeated += len(own)
            else:
                raise UsageError(
                    f"{day} is billed in {others[0][0]} and, with other lines, in {file.name}: give only the newer "
                    "export of that day, or exports that are filtered to different projects"
                )
    span = frozenset(day for file in files for day in _span(file.days))
    if not span:
        names = ", ".join(file.name for file in files)
        raise UsageError(f"{names}: covers no day, so there is nothing to compare; export a range with days in it")
    days = frozenset(day for file in files for day in file.days)
    return Statement(whose, tuple(files), tuple(lines), days, span, repeated, _stretches(lines))


def _of(file: StatementFile, provider: str) -> Iterable[StatementLine]:
    return (line for line in file.lines if (line.provider or file.provider) == provider)


def _stretches(lines: Iterable[StatementLine]) -> dict[date, date]:
    """The days that are billed together; days inside of one another's stretch make one."""
    merged: list[tuple[date, date]] = []
    for first, last in sorted({(line.day, line.last_day) for line in lines if line.last_day is not None}):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return {first + timedelta(at): first for first, last in merged for at in range((last - first).days + 1)}


def _by_day(lines: Iterable[StatementLine]) -> dict[date, list[StatementLine]]:
    found: dict[date, list[StatementLine]] = defaultdict(list)
    for line in lines:
        found[line.day].append(line)
    return found


def _counted(lines: Iterable[StatementLine]) -> Counter[tuple[object, ...]]:
    return Counter(line.content() for line in lines)


def _may_bill_the_same(left: Sequence[StatementLine], right: Sequence[StatementLine]) -> bool:
    """Whether two files' lines of one day can bill the same usage: a line that names no project may bill any."""
    return any(
        _may_equal(one.organization_id, other.organization_id) and _may_equal(one.project_id, other.project_id)
        for one in _owners(left)
        for other in _owners(right)
    )


def _owners(lines: Iterable[StatementLine]) -> Iterable[StatementLine]:
    return {(line.organization_id, line.project_id): line for line in lines}.values()


def _may_equal(left: str | None, right: str | None) -> bool:
    return left is None or right is None or left == right


def _span(days: frozenset[date]) -> list[date]:
    if not days:
        return []
    first = min(days)
    return [first + timedelta(at) for at in range((max(days) - first).days + 1)]
