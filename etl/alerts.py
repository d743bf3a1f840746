"""Whether a run met something new that a person should look at: the thresholds and acknowledgements of `[alert]`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import PurePath
from statistics import median_low

from etl.settings_file import Acknowledgement, AlertSection

FEWEST_DAYS_TO_COMPARE = 5
_DAYS_SHOWN = 5
# Unpriced by arrangement: tokens that were paid for otherwise, or given.
NOT_ALARMING = ("unpriced_provisioned", "unpriced_complimentary")


@dataclass(frozen=True)
class Thing:
    """Something new that a run met.

    Attributes:
        kind: the key of `[alert]` that says how much of it is allowed.
        number: records, files, days, or units without a price.
        file: the input's name, where it is about one.
        reason: the reason code or price status.
        model: of a quantity without a price.
        day: where it is about a whole day.
    """

    kind: str
    number: int
    reason: str
    file: str | None = None
    model: str | None = None
    day: date | None = None


@dataclass
class Verdict:
    """What the things come to.

    Attributes:
        alarms: kind -> what was met, for each kind of which more was met than is allowed.
        acknowledged: what was met and is acknowledged, with what acknowledges it.
    """

    alarms: dict[str, list[Thing]] = field(default_factory=dict)
    acknowledged: list[tuple[Thing, Acknowledgement]] = field(default_factory=list)

    def lines(self) -> list[str]:
        """It in words, one thing a line."""
        lines = [
            f"acknowledged: {_words(thing.kind, thing.number)}: {thing.reason}{_of(thing)}{_note(by)}"
            for thing, by in self.acknowledged
        ]
        if self.alarms:
            parts = [f"{_words(kind, _sum(things))}{_days(things)}" for kind, things in self.alarms.items()]
            lines.append(f"needs attention: {', '.join(parts)}")
        return lines

    def numbers(self) -> dict[str, int]:
        """How much was met of each kind that alarms."""
        return {kind: _sum(things) for kind, things in self.alarms.items()}


def _sum(things: Iterable[Thing]) -> int:
    return sum(thing.number for thing in things)


def _days(things: Sequence[Thing]) -> str:
    days = [str(thing.day) for thing in things if thing.day]
    more = f" and {len(days) - _DAYS_SHOWN:,} more" if len(days) > _DAYS_SHOWN else ""
    return f" ({', '.join(days[:_DAYS_SHOWN])}{more})" if days else ""


_WORDS = {
    "rejected": ("rejected record", "rejected records"),
    "conflicts": ("conflict", "conflicts"),
    "refused": ("refused input", "refused inputs"),
    "empty": ("empty input after one with records", "empty inputs after ones with records"),
    "unpriced": ("unit without a price", "units without a price"),
    "unknown_keys": ("unknown key that smells of money", "unknown keys that smell of money"),
    "cost_jump": ("day that costs far more than those before it", "days that cost far more than those before them"),
    "missing_days": ("missing day", "missing days"),
}


def _words(kind: str, number: int) -> str:
    return f"{number:,} {_WORDS[kind][number != 1]}"


def _of(thing: Thing) -> str:
    return (
        (f" on {thing.day}" if thing.day else "")
        + (f" in {thing.file}" if thing.file else "")
        + (f" of {thing.model}" if thing.model else "")
    )


def _note(by: Acknowledgement) -> str:
    return f" ({by.note})" if by.note else ""


def judge(things: Iterable[Thing], alert: AlertSection, read: int, today: date) -> Verdict:
    """Set what was met against what is allowed.

    Args:
        things: what was met; a kind may occur many times.
        alert: the settings.
        read: how many records were read, for thresholds that are a share.
        today: the UTC day; acknowledgements end.
    """
    verdict = Verdict()
    met: dict[str, list[Thing]] = {}
    in_force = [one for one in alert.acknowledge if one.until is None or today <= one.until]
    for thing in things:
        by = next((one for one in in_force if _covers(one, thing)), None)
        if by:
            verdict.acknowledged.append((thing, by))
        else:
            met.setdefault(thing.kind, []).append(thing)
    allowed = {
        "rejected": _number(alert.rejected, read),
        "conflicts": _number(alert.conflicts, read),
        "unpriced": alert.unpriced,
        "refused": alert.refused,
        "empty": alert.empty,
        "unknown_keys": alert.unknown_keys,
        "cost_jump": 0,
        "missing_days": alert.missing_days,
    }
    for kind, limit in allowed.items():
        if limit is not None and kind in met and _sum(met[kind]) > limit:
            verdict.alarms[kind] = met[kind]
    return verdict


def _number(limit: int | Decimal, read: int) -> int | Decimal:
    """A threshold below 1 is a share of the records read."""
    return limit * read if isinstance(limit, Decimal) else limit


def _covers(acknowledgement: Acknowledgement, thing: Thing) -> bool:
    """Whether all that it names fits; a file also by its last part."""
    patterns = (
        (acknowledgement.model, [thing.model]),
        (acknowledgement.reason, [thing.reason]),
        (acknowledgement.file, [thing.file, thing.file and PurePath(thing.file).name]),
    )
    return all(
        any(value is not None and fnmatchcase(value, pattern) for value in values)
        for pattern, values in patterns
        if pattern is not None
    )


def things_of_days(
    before: Mapping[date, Decimal], after: Mapping[date, Decimal], touched: Iterable[date], alert: AlertSection
) -> list[Thing]:
    """Days that cost far more than those before them, and days that were passed over.

    A day is set against the median of up to `cost_jump_days` days with data before it, the lower of the two in the
    middle, so that nothing is divided; with fewer than five such days it is not judged.

    Args:
        before: what each day cost in USD before this run.
        after: what each costs now.
        touched: the days that this run wrote.
        alert: the settings.
    """
    found = []
    days = sorted(after)
    for day in sorted(touched):
        earlier = [after[one] for one in days if one < day][-alert.cost_jump_days :]
        if alert.cost_jump is None or day not in after or len(earlier) < FEWEST_DAYS_TO_COMPARE:
            continue
        if after[day] > alert.cost_jump * median_low(earlier):
            found.append(Thing("cost_jump", 1, "cost_jump", day=day))
    if before and after:
        last = max(before)
        passed = range(1, (max(after) - last).days)
        found += [
            Thing("missing_days", 1, "missing_day", day=day)
            for at in passed
            if (day := last + timedelta(at)) not in after
        ]
    return found
