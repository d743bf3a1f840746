#!/usr/bin/env python3
"""Measure `costroll run` beside a reference and a floor, each as a whole process, and print wall time, CPU and memory.

    compare.py                                  2,000,000 lines, three rounds
    compare.py --lines 200000 --rounds 1        a quick look
    compare.py --reference PATH --rates CSV     another script as the reference; it is called with LOG RATES_CSV OUT_DIR

A reference ends its output with the total cost; its last decimal number is taken. No figure is printed when that total
is not Costroll's to the last digit, or when Costroll's records do not add up. Everything is written under .bench/; the
log there is kept and used again. docs/performance.md says how to read the result.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

# This process stays small on purpose: a child's peak memory begins with what its parent had when it was started.

ROOT = Path(__file__).resolve().parent.parent
BENCH = Path(__file__).resolve().parent
OUT = ROOT / ".bench"
WALL_RATIO_MAX = 2.0
PEAK_BYTES_MAX = 1_000_000_000


class Refused(Exception):
    """There is nothing to compare."""


@dataclass(frozen=True)
class Measured:
    """One whole process."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    stdout: str


def main() -> int:
    options = arguments()
    OUT.mkdir(exist_ok=True)
    try:
        log = prepared_log(options.lines)
        results = [round_of(number + 1, options, log) for number in range(options.rounds)]
    except Refused as error:
        print(f"no figures: {error}", file=sys.stderr)
        return 1
    print("\n".join(report(results, options.lines, log.stat().st_size, options.reference)))
    return 0


def arguments() -> argparse.Namespace:
    summary, _, details = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reference", type=Path, default=BENCH / "reference.py", metavar="PATH")
    parser.add_argument("--rates", type=Path, default=ROOT / "etl/card/rates.csv", metavar="CSV")
    return parser.parse_args()


def prepared_log(lines: int) -> Path:
    """The log, made if it is not there, and read once so that every process finds it in the page cache."""
    log = OUT / f"chat_{lines}.jsonl"
    if not log.exists():
        say(f"writing {lines:,} lines to {log.relative_to(ROOT)}")
        unfinished = log.with_suffix(".unfinished")
        subprocess.run([sys.executable, BENCH / "generate_logs.py", str(lines), unfinished], check=True)
        unfinished.rename(log)
    with log.open("rb", buffering=0) as file:
        block = bytearray(1 << 20)
        while file.readinto(block):
            pass
    return log


def round_of(number: int, options: argparse.Namespace, log: Path) -> dict[str, Measured]:
    """Run all three once; what Costroll and the reference say must be the same."""
    warehouse, out = OUT / "warehouse", OUT / "reference"
    for folder in (warehouse, out):
        shutil.rmtree(folder, ignore_errors=True)
    costroll = [sys.executable, "-m", "etl", "--warehouse", str(warehouse), "--json"]
    commands = {
        "costroll": [*costroll, "run", str(log)],
        "reference": [sys.executable, str(options.reference), str(log), str(options.rates), str(out)],
        "floor": [sys.executable, str(BENCH / "floor.py"), str(log)],
    }
    results = {}
    for name, command in commands.items():
        say(f"round {number} of {options.rounds}: {name}", end=" ")
        results[name] = measure(name, command)
        say(f"{results[name].wall_seconds:.2f} s")
    status = measure("costroll status", [*costroll, "status"])
    for folder in (warehouse, out):
        shutil.rmtree(folder)
    require_same(json.loads(results["costroll"].stdout), json.loads(status.stdout), results["reference"], options.lines)
    return results


def measure(name: str, command: Sequence[str]) -> Measured:
    """Run one process to its end."""
    os.sync()  # what the one before wrote is not this one's work
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (OUT / "stdout").open("wb+") as stdout, (OUT / "stderr").open("wb+") as stderr:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, cwd=ROOT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    said = (OUT / "stdout").read_text(encoding="utf-8")
    if process.returncode != 0:
        complaint = (OUT / "stderr").read_text(encoding="utf-8", errors="replace").strip()
        raise Refused(f"{name} ended with {process.returncode}: {complaint[-2000:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit, said)


def require_same(run: dict[str, Any], status: dict[str, Any], reference: Measured, lines: int) -> None:
    """Refuse to compare what did not do the same work."""
    counts = dict(run["counts"])
    read = counts.pop("read")
    if read != lines or read != sum(counts.values()):
        raise Refused(f"the records do not add up: {lines:,} lines, read {read:,}, fates {counts}")
    found = re.findall(r"\d+\.\d+", reference.stdout)
    ours, theirs = Decimal(status["cost_usd"]), Decimal(found[-1]) if found else None
    if ours != theirs:
        raise Refused(f"the total costs differ: costroll {ours} USD, the reference {theirs} USD")


def report(results: Sequence[dict[str, Measured]], lines: int, size: int, reference: Path) -> list[str]:
    """The machine, the table and the ratios."""
    header = ["", "wall s: min", "median", "max", "CPU s", "peak MB", "MB/s", "rows/s"]
    rows = [header]
    for name in results[0]:
        runs = [result[name] for result in results]
        walls = [run.wall_seconds for run in runs]
        middle = median(walls)
        rows.append(
            [
                name,
                *(f"{value:.2f}" for value in (min(walls), middle, max(walls))),
                f"{median(run.cpu_seconds for run in runs):.2f}",
                f"{max(run.peak_bytes for run in runs) / 1e6:,.0f}",
                f"{size / 1e6 / middle:,.0f}",
                f"{lines / middle:,.0f}",
            ]
        )
    named = "" if reference == BENCH / "reference.py" else f", reference {reference.name}"
    peak = max(result["costroll"].peak_bytes for result in results)
    ratio = median(ratios(results, "reference"))
    rounds = "1 round" if len(results) == 1 else f"{len(results)} rounds"
    return [
        *machine(),
        f"{lines:,} lines, {size / 1e6:,.0f} MB, {rounds}{named}; same total cost to the last digit",
        "",
        *aligned(rows),
        "",
        ratio_line(results, "reference"),
        ratio_line(results, "floor"),
        f"target: wall time at most {WALL_RATIO_MAX} x the reference: {verdict(ratio <= WALL_RATIO_MAX)}",
        f"target: peak memory under {PEAK_BYTES_MAX / 1e6:,.0f} MB: {verdict(peak < PEAK_BYTES_MAX)}",
    ]


def ratios(results: Sequence[dict[str, Measured]], other: str) -> list[float]:
    """Pair by pair, since a machine's speed drifts from minute to minute."""
    return [result["costroll"].wall_seconds / result[other].wall_seconds for result in results]


def ratio_line(results: Sequence[dict[str, Measured]], other: str) -> str:
    found = ratios(results, other)
    return f"costroll / {other}: {median(found):.2f} (pair by pair {', '.join(f'{ratio:.2f}' for ratio in found)})"


def verdict(is_met: bool) -> str:
    return "met" if is_met else "MISSED"


def machine() -> list[str]:
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


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        right = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join([name.ljust(widths[0]), *right]))
    return lines


def say(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
