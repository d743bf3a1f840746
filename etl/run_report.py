"""What a run is asked for, and what it says in the end."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from etl.fates import Counts
from etl.manifest import Snapshot

# Unpriced by arrangement: tokens that were paid for otherwise, or given.
NOT_ALARMING = ("unpriced_provisioned", "unpriced_complimentary")


@dataclass(frozen=True)
class Options:
    """What a run was asked for.

    Attributes:
        account: the account of records that name none.
        source: the one source to read as (`--format`).
        assume_zone: the IANA zone of times without one.
        replace: take aggregates of another width or grouping instead of those published.
        rehash: read files again although path, size, time and inode are unchanged.
        strict: publish nothing when something needs attention.
        threads: how many to work with.
    """

    account: str | None = None
    source: str | None = None
    assume_zone: str | None = None
    replace: bool = False
    rehash: bool = False
    strict: bool = False
    threads: int = 2

    def reading_hash(self) -> str:
        """Hash of the options that change how an input is read."""
        text = json.dumps([self.account, self.source, self.assume_zone, self.replace])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass
class InputReport:
    """What became of one input.

    Attributes:
        refusal: code and text, if the input was refused as a whole.
        skipped: why its records were not counted again, if so.
        reasons: how many records met each (fate, reason).
        first_lines: for each reason to set a record aside, the first line it was met at.
        facts: its columns in the table `inputs`, as far as they are known.
    """

    name: str
    path: Path | None
    counts: Counts = field(default_factory=Counts)
    refusal: tuple[str, str] | None = None
    skipped: str | None = None
    sha256: str | None = None
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    first_lines: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def counts_now(self) -> bool:
        """Whether its records count in this run."""
        return not (self.skipped or self.refusal)

    def note_line(self, reason: str, line: int) -> None:
        """Remember the first line at which a reason was met."""
        self.first_lines[reason] = min(line, self.first_lines.get(reason, line))


@dataclass
class RunReport:
    """What a run did.

    Attributes:
        snapshot: what was published, or None when nothing changed.
        unpriced: price status -> the quantity that this run added without a price.
    """

    inputs: list[InputReport]
    counts: Counts
    other_files: int
    is_first: bool
    days: list[date]
    unpriced: dict[str, int]
    snapshot: Snapshot | None = None

    @property
    def needs_attention(self) -> bool:
        """Whether this run met something new that a person should look at."""
        is_refused = any(report.refusal for report in self.inputs)
        is_alarming = any(status not in NOT_ALARMING for status in self.unpriced)
        return is_refused or is_alarming or bool(self.counts.rejected or self.counts.conflict)
