"""What a run did, for Prometheus: a text file that a node exporter's textfile collector picks up.

The format is Prometheus' text exposition format, version 0.0.4.
"""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from etl import __version__, durable, stopping
from etl.errors import CostrollError, MetricsLost, StorageError
from etl.last_run import last_run
from etl.manifest import Snapshot
from etl.run_report import RunReport
from etl.warehouse import Warehouse

MODE = 0o644  # another user's collector reads it
_LAST_SUCCESS = "costroll_last_success_timestamp_seconds"
_PUBLISHED = (0, 3)

Sample = tuple[Mapping[str, str], int | float | str]


@dataclass(frozen=True)
class Metric:
    """One gauge: its name, what it means, and its samples, each with labels."""

    name: str
    meaning: str
    samples: list[Sample]

    def text(self) -> str:
        """The metric in exposition format; nothing where it has no sample."""
        if not self.samples:
            return ""
        meaning = self.meaning.replace("\\", r"\\").replace("\n", r"\n")
        lines = [f"# HELP {self.name} {meaning}", f"# TYPE {self.name} gauge"]
        for labels, value in self.samples:
            inside = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
            lines.append(f"{self.name}{{{inside}}} {value}" if inside else f"{self.name} {value}")
        return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


@dataclass
class Recording:
    """What is known of a run when it ends.

    Attributes:
        report: of the run, if it came so far.
        exit_code: how it ends.
    """

    report: RunReport | None = None
    exit_code: int = 1


@contextmanager
def recorded(path: Path | None, root: Path, now: datetime | None = None) -> Iterator[Recording]:
    """Write the metrics of what happens in the block, however it ends.

    Args:
        path: the file; None: write nothing.
        root: the warehouse.
        now: the instant of the run's end in UTC, for tests.

    Raises:
        MetricsLost: the run went well, and the file cannot be written.
    """
    began, recording = time.monotonic(), Recording()
    try:
        yield recording
    except BaseException as error:
        recording.exit_code = _exit_code(error)
        with suppress(StorageError):  # the first error is the one to tell
            _write(path, root, recording, time.monotonic() - began, now)
        raise
    try:
        _write(path, root, recording, time.monotonic() - began, now)
    except StorageError as error:
        cause = error.__cause__
        reason = cause.strerror if isinstance(cause, OSError) else error
        raise MetricsLost(f"cannot write the metrics to {path}: {reason}; {stopping.outcome()}") from error


def _exit_code(error: BaseException) -> int:
    if isinstance(error, stopping.Stopped) or stopping.signal_number():
        return 128 + stopping.signal_number()
    if isinstance(error, CostrollError):
        return error.exit_code
    return 5 if isinstance(error, OSError) else 1


def _write(path: Path | None, root: Path, recording: Recording, seconds: float, now: datetime | None) -> None:
    if path is None:
        return
    ended_at = int((now or datetime.now(UTC)).timestamp())
    snapshot = None
    with suppress(CostrollError):  # a broken warehouse has no figures, but the run has
        snapshot = Warehouse(root).current()
    metrics = [*_of_run(recording, ended_at, seconds, _last_success(path, root, snapshot)), *_of_snapshot(snapshot)]
    durable.write_whole(path, "".join(metric.text() for metric in metrics).encode(), MODE)


def _last_success(path: Path, root: Path, snapshot: Snapshot | None) -> int | None:
    """When a run last went well, in epoch seconds: as the file says, else as the warehouse remembers it."""
    with suppress(OSError):
        found = re.search(rf"^{_LAST_SUCCESS} (\d+)$", path.read_text(errors="replace"), re.MULTILINE)
        if found:
            return int(found[1])
    with suppress(CostrollError):
        if known := last_run(Warehouse(root), snapshot):
            return int(known.ended_at.replace(tzinfo=UTC).timestamp())
    return None


def _of_run(recording: Recording, ended_at: int, seconds: float, success_at: int | None) -> Iterator[Metric]:
    code, report = recording.exit_code, recording.report
    success_at = ended_at if code in _PUBLISHED else success_at
    yield Metric(
        "costroll_build_info",
        "The version of Costroll.",
        [({"version": __version__, "python": platform.python_version()}, 1)],
    )
    yield Metric("costroll_last_run_timestamp_seconds", "When the last run ended.", [({}, ended_at)])
    yield Metric("costroll_last_run_exit_code", "How it ended; 0 and 3 are published.", [({}, code)])
    yield Metric(
        _LAST_SUCCESS, "When a run last ended with 0 or 3.", [({}, success_at)] if success_at is not None else []
    )
    yield Metric("costroll_last_run_seconds", "How long the last run took.", [({}, round(seconds, 3))])
    if report is None:
        return
    records = [({"fate": fate}, number) for fate, number in asdict(report.counts).items() if fate != "read"]
    yield Metric("costroll_last_run_records", "Records the last run read, by what became of them.", [*records])
    read = sum(one.facts.get("stored_bytes", 0) for one in report.inputs)
    yield Metric("costroll_last_run_read_bytes", "Bytes of the files the last run read.", [({}, read)])
    refused = sum(1 for one in report.inputs if one.refusal)
    yield Metric("costroll_last_run_refused_inputs", "Inputs that the last run refused.", [({}, refused)])
    unpriced = [({"price_status": status}, quantity) for status, quantity in report.unpriced.items()]
    yield Metric(
        "costroll_last_run_unpriced_quantity",
        "Units that the last run added without a price.",
        [*unpriced] or [({}, 0)],
    )
    alarms = [({"kind": kind}, number) for kind, number in report.verdict.numbers().items()]
    yield Metric("costroll_last_run_attention", "What of the last run needs attention.", [*alarms])


def _of_snapshot(snapshot: Snapshot | None) -> Iterator[Metric]:
    if snapshot is None:
        return
    yield Metric("costroll_snapshot_number", "The published snapshot.", [({}, snapshot.number)])
    size = sum(entry["bytes"] for entry in snapshot.entries)
    yield Metric("costroll_snapshot_bytes", "The size of its files.", [({}, size)])
    yield Metric("costroll_records", "Accepted records in it.", [({}, snapshot.manifest["totals"]["usage_rows"])])
    yield Metric("costroll_cost_usd", "What all its days cost.", [({}, snapshot.manifest["totals"]["cost_usd"])])
    rollups = [entry for entry in snapshot.entries if entry["table"] == "rollups"]
    if rollups:
        last = max(rollups, key=lambda entry: str(entry["day"]))
        at = int(datetime.fromisoformat(last["day"]).replace(tzinfo=UTC).timestamp())
        yield Metric("costroll_last_day_timestamp_seconds", "The start of its newest day, in UTC.", [({}, at)])
        cost = last["sums"].get("cost_usd", "0")
        yield Metric("costroll_last_day_cost_usd", "What its newest day cost; it may not be over yet.", [({}, cost)])
