"""The logs that are measured: made once, kept under .bench/, and read once so that they are in the page cache.

A log of the same name has the same bytes on every machine; bench/generate_logs.py makes it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from bench.processes import BENCH, OUT, ROOT, Refused, say

DAY_SECONDS = 86_400
NOVEMBER_2025 = 1_761_955_200  # the generator's first instant, in epoch seconds
DAMAGED_SHARE, DUPLICATE_SHARE = 0.001, 0.01
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Lines:
    """What stands in a log.

    Attributes:
        all: its lines.
        damaged: those that are cut off in the middle.
        damaged_once: different ones among these, as a damaged line may be repeated like any other.
    """

    all: int
    damaged: int
    damaged_once: int


def chat_log(lines: int, days: int = 30) -> Path:
    """Sound chat completions, all different, spread evenly over so many days."""
    return _made(f"chat_{lines}" + ("" if days == 30 else f"_{days}d"), lines, "--days", str(days))


def mixed_log(lines: int) -> Path:
    """Four shapes by turns, two of them wrapped."""
    return _made(f"mixed_{lines}", lines, "--shape", "mixed")


def dirty_log(lines: int) -> Path:
    """The chat log with some of its lines damaged, and some repeated later in the file."""
    shares = ("--damaged", str(DAMAGED_SHARE), "--duplicates", str(DUPLICATE_SHARE))
    return _made(f"dirty_{lines}", lines, *shares)


def log_of_days(lines: int, first_instant: int, days: int, seed: int, name: str) -> Path:
    """A log of its own ids, `first_instant` in epoch seconds; the caller removes it when it has been read."""
    return _made(name, lines, "--days", str(days), "--start", str(first_instant), "--seed", str(seed))


def _made(name: str, lines: int, *options: str) -> Path:
    OUT.mkdir(exist_ok=True)
    log = OUT / f"{name}.jsonl"
    if not log.exists():
        say(f"writing {lines:,} lines to {log.name}")
        unfinished = log.with_suffix(".unfinished")
        command = [sys.executable, str(BENCH / "generate_logs.py"), str(lines), str(unfinished), *options]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        unfinished.rename(log)
    warm([log])
    return log


def warm(files: Sequence[Path]) -> None:
    """Read the files once, so that every process finds them in the page cache."""
    block = bytearray(_BLOCK_BYTES)
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.readinto(block):
                pass


def count_lines(log: Path) -> Lines:
    """Count the lines of a generated log without any parser: a sound one ends with two closing braces."""
    lines = damaged = 0
    different: set[bytes] = set()
    with log.open("rb") as file:
        for line in file:
            lines += 1
            if not line.endswith(b"}}\n"):
                damaged += 1
                different.add(line)
    return Lines(lines, damaged, len(different))


def total_cost(log: Path, rates: Path) -> Decimal:
    """What a log without repeats costs in USD, as bench/total_cost.py comes to it, which knows nothing of Costroll.

    It is kept beside the log, as long as neither the log nor the rates are newer.
    """
    kept = log.with_suffix(".cost")
    if not kept.exists() or kept.stat().st_mtime < max(log.stat().st_mtime, rates.stat().st_mtime):
        command = [sys.executable, "-m", "bench.total_cost", str(log), str(rates)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Refused(f"bench.total_cost ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
        kept.write_text(done.stdout, encoding="ascii")
    return Decimal(kept.read_text(encoding="ascii").strip())
