"""What a run is asked for, and what it says in the end."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from etl.alerts import NOT_ALARMING, Thing, Verdict
from etl.errors import StrictError
from etl.fates import Counts
from etl.manifest import Snapshot
from etl.settings_file import AlertSection
from etl.unknown_keys import UnknownKeys


@dataclass(frozen=True)
class Options:
    """What a run was asked for.

    Attributes:
        account: the account of records that name none.
        source: the one source to read as (`--format`).
        assume_zone: the IANA zone of times without one.
        date: when records were made that do not say, nor their wrapper (`--date`).
        estimate_tokens: count the tokens of records whose text is there and whose usage is not.
        replace: take aggregates of another width or grouping instead of those published.
        rehash: read files again although path, size, time and inode are unchanged.
        strict: publish nothing when something needs attention.
        content_bytes_max: compressed content is read up to this size (`--max-decompressed`).
        threads: how many to work with.
        alert: how much of what a run meets is allowed.
        wait_seconds: how long to wait while another run writes.
        on_wait: called once when the waiting begins, with who writes.
    """

    account: str | None = None
    source: str | None = None
    assume_zone: str | None = None
    date: datetime | None = None
    estimate_tokens: bool = False
    replace: bool = False
    rehash: bool = False
    strict: bool = False
    content_bytes_max: int | None = None
    threads: int = 2
    alert: AlertSection = field(default_factory=AlertSection)
    wait_seconds: int = 0
    on_wait: Callable[[str], None] = lambda _: None

    def reading_hash(self) -> str:
        """Hash of the options that change how an input is read."""
        members: list[Any] = [self.account, self.source, self.assume_zone, self.replace]
        if self.content_bytes_max is not None:
            members.append(self.content_bytes_max)
        if self.date is not None:
            members.append(self.date.isoformat())
        if self.estimate_tokens:
            members.append("estimate_tokens")
        text = json.dumps(members)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass
class InputReport:
    """What became of one input.

    Attributes:
        path: of the file to open; None for standard input, and for what was refused at sight.
        place: of the file, as the table `inputs` has it.
        refusal: code and text, if the input was refused as a whole.
        skipped: why its records were not counted again, if so.
        known_refusal: the code with which an earlier run refused it, if it is still as it was then.
        is_retried: it changed while it was read, and another report tells of the second reading.
        continues: the SHA-256 of earlier contents, no longer there, that its own begins with.
        held_before: it holds no records; and of its predecessor the name and how many it held.
        reasons: how many records met each (fate, reason).
        first_lines: for each reason to set a record aside, the first line it was met at.
        unknown_keys: what smells of money and is not known, in those of its lines that were looked at.
        facts: its columns in the table `inputs`, as far as they are known.
    """

    name: str
    path: str | Path | None
    place: str | None = None
    counts: Counts = field(default_factory=Counts)
    refusal: tuple[str, str] | None = None
    skipped: str | None = None
    known_refusal: str | None = None
    is_retried: bool = False
    continues: tuple[str, ...] = ()
    held_before: tuple[str, int] | None = None
    sha256: str | None = None
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    first_lines: dict[str, int] = field(default_factory=dict)
    unknown_keys: UnknownKeys = field(default_factory=UnknownKeys)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def counts_now(self) -> bool:
        """Whether its records count in this run."""
        return not (self.skipped or self.refusal)

    def note_line(self, reason: str, line: int) -> None:
        """Remember the first line at which a reason was met."""
        self.first_lines[reason] = min(line, self.first_lines.get(reason, line))


@dataclass(frozen=True)
class LateBooking:
    """Records that this run accepted for a closed month.

    Attributes:
        month: the closed month they belong to.
        period: the open month in which their cost is booked, as corrections.
        records: how many.
    """

    month: str
    period: str
    records: int


@dataclass(frozen=True)
class Healed:
    """Quantities that found their rate.

    Attributes:
        names: provider, model, tier, meter, caching status and unit.
        first_day: the first day with any of them.
        days: on how many.
        quantity: how much, in `unit`.
    """

    names: tuple[str | None, ...]
    first_day: date
    days: int
    quantity: int


@dataclass(frozen=True)
class UnknownKey:
    """A key that smells of money and that no source knows.

    Attributes:
        source: the shape it stands in.
        path: where.
        records: in how many of the lines looked at.
        looked_at: how many lines of the run's inputs were looked at.
        input_name: the first input with it.
        line: its first line there.
    """

    source: str
    path: str
    records: int
    looked_at: int
    input_name: str
    line: int


@dataclass
class RunReport:
    """What a run did.

    Attributes:
        snapshot: what was published, or None when nothing changed.
        unpriced: price status -> the quantity that this run added without a price.
        estimated: how many of the accepted records had no usage: their tokens were counted from their text.
        known_rejects: how many of the rejected and conflicting records an earlier run told of.
        late: what it accepted for closed months.
        healed: what had no price before, and has one now.
        newer_card: the card of the installed package, when the warehouse has not taken it yet.
        things: the new things that may need attention.
        verdict: what of them a person should look at.
        storage_warning: what to know of the file system, if anything.
        given_way: how many published aggregates no longer count, as requests of their day do.
    """

    inputs: list[InputReport]
    counts: Counts
    other_files: int
    is_first: bool
    days: list[date]
    unpriced: dict[str, int]
    known_rejects: int = 0
    estimated: int = 0
    late: list[LateBooking] = field(default_factory=list)
    healed: list[Healed] = field(default_factory=list)
    newer_card: str | None = None
    snapshot: Snapshot | None = None
    things: list[Thing] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    storage_warning: str | None = None
    given_way: int = 0

    @property
    def needs_attention(self) -> bool:
        """Whether this run met something new that a person should look at."""
        return bool(self.verdict.alarms)

    def unknown_keys(self) -> list[UnknownKey]:
        """What smells of money and is not known: each key once, with the first input and line that it was met at."""
        found: dict[tuple[str, str], UnknownKey] = {}
        looked_at = sum(one.unknown_keys.looked_at for one in self.inputs)
        for one in self.inputs:
            for (source, path), (records, line) in sorted(one.unknown_keys.met.items()) if one.counts_now else ():
                known = found.get((source, path), UnknownKey(source, path, 0, looked_at, one.name, line))
                found[source, path] = replace(known, records=known.records + records)
        return [found[name] for name in sorted(found)]


def things_of(
    inputs: Sequence[InputReport],
    set_aside: Sequence[tuple[str, str, str, int]],
    unpriced: Mapping[tuple[str, str], int],
) -> list[Thing]:
    """The new things that may need attention, but for those of whole days.

    Args:
        inputs: all of them; what an earlier run refused is not new.
        set_aside: input, fate, reason and how many records no earlier run told of.
        unpriced: (price status, model) -> the quantity that this run added without a price.
    """
    kinds = {"rejected": "rejected", "conflict": "conflicts"}
    things = [Thing(kinds[fate], number, reason, file=name) for name, fate, reason, number in set_aside]
    for one in inputs:
        if one.held_before:
            things.append(Thing("empty", 1, one.refusal[0] if one.refusal else "no_records", file=one.name))
        elif one.refusal:
            things.append(Thing("refused", 1, one.refusal[0], file=one.name))
        if one.counts_now:
            keys = sorted(one.unknown_keys.met)
            things += [Thing("unknown_keys", 1, f"{source} {path}", file=one.name) for source, path in keys]
    for (status, model), quantity in unpriced.items():
        if status not in NOT_ALARMING and quantity > 0:
            things.append(Thing("unpriced", quantity, status, model=model))
    return things


class NeedsAttention(StrictError):
    """`run --strict` met something that needs attention.

    Attributes:
        report: all that it met.
    """

    def __init__(self, report: RunReport) -> None:
        super().__init__(f"--strict: something needs attention, so nothing was published\n{report.counts.line()}")
        self.report = report
