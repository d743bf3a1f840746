"""Take the inputs in: those that are new or changed are read into the spool, the others are passed over."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import polars as pl

from etl import __version__
from etl.decoding import Reading
from etl.framing import Input, readable
from etl.reading import End, Part, read_inputs
from etl.run_report import InputReport, Options
from etl.spool import Spool

Progress = Callable[[int, int], None]


class Intake:
    """What was read in this run.

    Attributes:
        spool: the candidates.
        passed: the inputs that were not even opened, as they are unchanged.
        read: those that were read, by input index.
        rejects: the rejected records, in the table `rejects` as far as known, with `input_index`.
    """

    def __init__(self, history: pl.DataFrame, options: Options, spool: Spool) -> None:
        self._history, self._options, self.spool = history, options, spool
        self.passed: list[InputReport] = []
        self.read: list[InputReport] = []
        self.rejects: list[pl.DataFrame] = []

    def take(self, inputs: Sequence[Input], reading: Reading, on_progress: Progress | None) -> None:
        """Read what is new; the order is that of the names, whatever the order of the arguments."""
        wanted = []
        for source in sorted(inputs, key=lambda source: source.name):
            if self._is_unchanged(source):
                self.passed.append(InputReport(source.name, source.path, skipped="unchanged since it was read"))
            else:
                wanted.append(source)
                self.read.append(InputReport(source.name, source.path))
        total = sum(_size(source) for source in wanted)
        done = 0
        for item in read_inputs(wanted, reading, self._options.threads):
            report = self.read[item.input_index]
            if isinstance(item, Part):
                self._take_part(item, report)
            else:
                self._take_end(item, report)
                done += item.content.stored_bytes
            if on_progress:
                on_progress(done, total)

    def _is_unchanged(self, source: Input) -> bool:
        if source.path is None or self._options.rehash or self._history.is_empty():
            return False
        try:
            status = os.stat(source.path)
        except OSError:
            return False
        return self._was_read(
            (pl.col("path") == readable(source.path.resolve()))
            & (pl.col("device") == status.st_dev)
            & (pl.col("inode") == status.st_ino)
            & (pl.col("modified_ns") == status.st_mtime_ns)
            & (pl.col("stored_bytes") == status.st_size)
        )

    def _was_read(self, same: pl.Expr) -> bool:
        """Whether an earlier reading of the same content would come out the same."""
        hash_now = self._options.reading_hash()
        same_way = (pl.col("options_hash") == hash_now) & (pl.col("tool_version") == __version__)
        return self._history.filter(same & ((pl.col("rejected") == 0) | same_way)).height > 0

    def _take_part(self, part: Part, report: InputReport) -> None:
        report.counts.read += part.candidate_rows + sum(part.reasons.values())
        report.reasons += part.reasons
        report.facts["blank_lines"] = report.facts.get("blank_lines", 0) + part.blank_lines
        report.facts["formats"] = report.facts.get("formats", set()) | part.formats
        for reason, line in part.rejects.select("reason", "line_number").rows():
            report.note_line(reason, line)
        if part.rejects.height:
            self.rejects.append(part.rejects.with_columns(input_index=pl.lit(part.input_index, pl.Int64)))
        self.spool.add(part.candidates)

    def _take_end(self, end: End, report: InputReport) -> None:
        content, status = end.content, end.content.status
        report.facts |= {
            "stored_bytes": content.stored_bytes,
            "content_bytes": content.content_bytes,
            "lines": content.lines,
            "path": readable(report.path.resolve()) if report.path else None,
            "device": status.st_dev if status else None,
            "inode": status.st_ino if status else None,
            "modified_ns": status.st_mtime_ns if status else None,
        }
        if end.refusal:
            report.refusal = (end.refusal.code, end.refusal.text)
            return
        twin = next((r for r in self.read if r.counts_now and r.sha256 == content.sha256), None)
        report.sha256 = content.sha256
        if twin:
            report.skipped = f"same content as {twin.name}"
        elif not self._history.is_empty() and self._was_read(pl.col("input_sha256") == report.sha256):
            report.skipped = "its content was read before"


def _size(source: Input) -> int:
    try:
        return os.stat(source.path).st_size if source.path else 0
    except OSError:
        return 0
