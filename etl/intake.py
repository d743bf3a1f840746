"""Take the inputs in: those that are new or changed are read into the spool, the others are passed over."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import polars as pl

from etl.decoding import Reading
from etl.framing import Content, Input
from etl.history import History
from etl.inputs import Found
from etl.parts import Part
from etl.reading import End, read_inputs
from etl.run_report import InputReport, Options
from etl.spool import Spool

Progress = Callable[[int, int], None]
# What may be another thing the next night although the file looks the same.
NOT_REMEMBERED = ("unreadable", "changed_while_read")


class Intake:
    """What was read in this run.

    Attributes:
        spool: the candidates.
        passed: the inputs that were not even opened, as they are unchanged.
        read: those that were read, by input index.
        rejects: the rejected records, in the table `rejects` as far as known, with `input_index`.
    """

    def __init__(self, history: History, options: Options, spool: Spool) -> None:
        self._history, self._options, self.spool = history, options, spool
        self.passed: list[InputReport] = []
        self.read: list[InputReport] = []
        self.rejects: list[pl.DataFrame] = []
        self._done = 0
        self._new: list[InputReport] = []
        self._refused: list[InputReport] = []
        self._counted: dict[str, InputReport] = {}

    @property
    def reports(self) -> list[InputReport]:
        """One for each input."""
        return [*self.passed, *self._refused, *(one for one in self.read if not one.is_retried)]

    @property
    def to_remember(self) -> list[InputReport]:
        """The files of which nothing is counted, and which a later run need not open again."""
        return [one for one in self._new if (one.refusal[0] not in NOT_REMEMBERED if one.refusal else one.skipped)]

    def note(self, found: Found) -> None:
        """Take what was refused at sight into the reports; what is no file and was met in a folder is told once."""
        for name, code, text in found.refused:
            place = found.met.get(name)
            if place and not self._options.rehash and self._history.was_no_file(place):
                skipped = f"unchanged since it was refused: {code}"
                self.passed.append(InputReport(name, None, place, skipped=skipped, known_refusal=code))
                continue
            report = InputReport(name, None, place, refusal=(code, text))
            self._refused.append(report)
            if place:
                report.facts = {"stored_bytes": 0, "content_bytes": 0, "lines": 0, "path": place}
                self._new.append(report)

    def take(
        self,
        inputs: Sequence[Input],
        reading: Reading,
        on_progress: Progress | None,
        before_reading: Callable[[Sequence[Input]], None] = lambda _: None,
    ) -> None:
        """Read what is new; the order is that of the names, whatever the order of the arguments.

        What changed while it was read is read once more.

        Args:
            inputs: all that were found.
            reading: how to read them.
            on_progress: called with bytes done and bytes in all.
            before_reading: called with those that are going to be read.
        """
        wanted = [one for source in sorted(inputs, key=lambda one: one.name) if (one := self._wanted(source))]
        before_reading(wanted)
        total = sum(source.size for source in wanted)
        self._read_all(wanted, reading, lambda done: on_progress(done, total) if on_progress else None)
        changed = [one for one in self.read if one.refusal and one.refusal[0] == "changed_while_read"]
        for report in changed:
            report.is_retried = True
        if changed:
            names = {(report.name, report.path) for report in changed}
            again = [source for source in wanted if (source.name, source.path) in names]
            again = [self._marked(source._replace(status=_status(source))) for source in again]
            self._read_all(again, reading, lambda _: None)

    def _wanted(self, source: Input) -> Input | None:
        """The input as it is to be read, or None where it is passed over."""
        if source.place is None or source.status is None or self._options.rehash:
            return self._marked(source)
        if (known := self._history.passes_over(source.place, source.status)) is None:
            return self._marked(source)
        why, code = known
        self.passed.append(InputReport(source.name, source.path, source.place, skipped=why, known_refusal=code))
        return None

    def _marked(self, source: Input) -> Input:
        marks = self._history.marks(source.place, source.status)
        return source._replace(marks=marks) if marks else source

    def _read_all(self, wanted: Sequence[Input], reading: Reading, on_done: Callable[[int], None]) -> None:
        first = len(self.read)
        limit = self._options.content_bytes_max
        for item in read_inputs(wanted, reading, self._options.threads, limit, first):
            if item.input_index == len(self.read):  # they come one after the other
                source = wanted[item.input_index - first]
                self.read.append(InputReport(source.name, source.path, source.place))
            report = self.read[item.input_index]
            if isinstance(item, Part):
                self._take_part(item, report)
                on_done(self._done + item.stored_bytes)
            else:
                self._take_end(item, report)
                self._done += item.content.stored_bytes
                on_done(self._done)

    def _take_part(self, part: Part, report: InputReport) -> None:
        report.counts.read += part.candidate_rows
        if part.reasons:
            report.counts.read += sum(part.reasons.values())
            report.reasons += part.reasons
        report.facts["blank_lines"] = report.facts.get("blank_lines", 0) + part.blank_lines
        report.facts["formats"] = report.facts.get("formats", set()) | part.formats
        if part.rejects.height:
            for reason, line in part.rejects.select("reason", "line_number").rows():
                report.note_line(reason, line)
            self.rejects.append(part.rejects.with_columns(input_index=pl.lit(part.input_index, pl.Int64)))
        report.unknown_keys += part.unknown_keys
        self.spool.add(part.candidates)

    def _take_end(self, end: End, report: InputReport) -> None:
        content, status = end.content, end.content.status
        report.facts |= {
            "stored_bytes": content.stored_bytes,
            "content_bytes": content.content_bytes,
            "lines": content.lines,
            "path": report.place,
            "device": status.st_dev if status else None,
            "inode": status.st_ino if status else None,
            "modified_ns": status.st_mtime_ns if status else None,
        }
        if report.place and status and not self._history.passes_over(report.place, status):
            self._new.append(report)
        if end.refusal:
            report.refusal = (end.refusal.code, end.refusal.text)
        else:
            self._identify(content, report)
        # A page of buckets in which nothing was used is as empty as a file without a byte.
        held = report.counts.read - report.reasons["excluded", "empty_bucket"]
        if report.place and held == 0 and (report.refusal is None or report.refusal[0] == "empty_file"):
            report.held_before = self._history.predecessor(report.place)

    def _identify(self, content: Content, report: InputReport) -> None:
        """Say whether the content was counted before, or continues one that was."""
        twin = self._counted.get(content.sha256)
        report.sha256 = content.sha256
        if twin:
            report.skipped = f"same content as {twin.name}"
        elif self._history.was_read(content.sha256):
            report.skipped = "its content was read before"
        else:
            continued = self._history.continued(content.prefixes, content.sha256, report.place)
            report.continues = tuple(sorted({one.input_sha256 for one in continued if one.input_sha256}))
            if text := self._history.other_account(content.sha256, continued):
                report.refusal = ("account_changed", text)
            else:
                self._counted[content.sha256] = report


def _status(source: Input) -> os.stat_result | None:
    try:
        return os.stat(source.path) if source.path else None
    except OSError:
        return None
