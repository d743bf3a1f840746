"""What a scenario prints: the machine, a table of the programs, their ratios, and the targets, met or MISSED."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from statistics import median

from bench.processes import ROOT, Measured

TABLE_HEADER = ("", "wall s: min", "median", "max", "CPU s", "cores", "peak MB", "MB/s", "rows/s")


@dataclass
class Series:
    """One program's runs on one log, one for each round.

    Attributes:
        name: as it stands in the table.
        rows: lines of the log; 0 for a program that reads none.
        log_bytes: what the log's lines take, uncompressed.
        runs: in the order of the rounds.
    """

    name: str
    rows: int = 0
    log_bytes: int = 0
    runs: list[Measured] = field(default_factory=list)

    @property
    def wall_seconds(self) -> float:
        return median(run.wall_seconds for run in self.runs)

    @property
    def cpu_seconds(self) -> float:
        return median(run.cpu_seconds for run in self.runs)

    @property
    def peak_bytes(self) -> int:
        return max(run.peak_bytes for run in self.runs)


@dataclass(frozen=True)
class Ratio:
    """How many times one program takes of another, pair by pair: a machine's speed drifts from minute to minute."""

    text: str
    pairs: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.pairs)

    def line(self) -> str:
        pairs = f" (pair by pair {', '.join(f'{pair:.2f}' for pair in self.pairs)})" if len(self.pairs) > 1 else ""
        return f"{self.text}: {self.median:.2f}{pairs}"


def wall(run: Measured) -> float:
    return run.wall_seconds


def cpu(run: Measured) -> float:
    return run.cpu_seconds


def ratio(ours: Series, theirs: Series, of: Callable[[Measured], float] = wall, text: str = "") -> Ratio:
    """`ours` in units of `theirs`, the nth run of one by the nth of the other."""
    pairs = tuple(of(one) / of(other) for one, other in zip(ours.runs, theirs.runs, strict=True))
    return Ratio(text or f"{ours.name} / {theirs.name}", pairs)


def cpu_ratio(ours: Series, theirs: Series) -> Ratio:
    """The same of processor time, which says more on a machine that is not quiet."""
    return ratio(ours, theirs, cpu, f"{ours.name} / {theirs.name}, CPU time")


def ratio_by_row(ours: Series, theirs: Series) -> Ratio:
    """The same for each line, where the logs are of different length."""
    share = theirs.rows / ours.rows
    return Ratio(f"{ours.name} / {theirs.name}, per line", tuple(p * share for p in ratio(ours, theirs).pairs))


def target(text: str, is_met: bool, measured: str = "") -> str:
    return f"target: {text}: {'met' if is_met else 'MISSED'}" + (f" ({measured})" if measured else "")


def at_most(limit: float, found: Ratio, what: str, of: str) -> str:
    """The verdict on a ratio."""
    return target(f"{what} at most {limit:g} x {of}", found.median <= limit, f"{found.median:.2f}")


def seconds_at_most(limit: float, found: float, what: str) -> str:
    """The verdict on a time."""
    return target(f"{what} in at most {limit:g} s", found <= limit, f"{found:.3f} s")


def peak_at_most(limit_bytes: int, series: Series) -> str:
    """The verdict on the memory of one program."""
    found = series.peak_bytes
    return target(
        f"{series.name}: peak memory at most {limit_bytes / 1e6:,.0f} MB",
        found <= limit_bytes,
        f"{found / 1e6:,.0f} MB",
    )


def table(series: Sequence[Series]) -> list[str]:
    """One row for each program; `cores` is processor seconds by wall seconds."""
    rows: list[Sequence[str]] = [TABLE_HEADER]
    for one in series:
        walls = [run.wall_seconds for run in one.runs]
        rows.append(
            (
                one.name,
                *(f"{value:.2f}" for value in (min(walls), one.wall_seconds, max(walls), one.cpu_seconds)),
                f"{one.cpu_seconds / one.wall_seconds:.2f}",
                f"{one.peak_bytes / 1e6:,.0f}",
                f"{one.log_bytes / 1e6 / one.wall_seconds:,.0f}" if one.log_bytes else "",
                f"{one.rows / one.wall_seconds:,.0f}" if one.rows else "",
            )
        )
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as text, the first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        right = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join([name.ljust(widths[0]), *right]).rstrip())
    return lines


def machine() -> list[str]:
    """Processor, cores, memory and system; Costroll, Python and the libraries that do the work."""
    try:
        memory = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB"
    except (ValueError, OSError):
        memory = "memory unknown"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    libraries = ", ".join(f"{name} {metadata.version(name)}" for name in ("duckdb", "polars", "pyarrow"))
    version = re.search(r'__version__ = "(.+)"', (ROOT / "etl/__init__.py").read_text(encoding="utf-8"))
    return [
        f"{cpu_model()}, {cores} cores, {memory}; {platform.system()} {platform.machine()}",
        f"costroll {version[1] if version else '?'}, Python {platform.python_version()}, {libraries}",
    ]


def cpu_model() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return found[1]
        asked = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=True)
        return asked.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return platform.processor() or "unknown processor"


def rounds(count: int) -> str:
    return "1 round" if count == 1 else f"{count} rounds"
