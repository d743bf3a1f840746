#!/usr/bin/env python3
"""Measure `costroll run` on a mixed log beside a pure one of as many lines: four shapes, two of them wrapped.

    mixed.py                              1,000,000 lines, three rounds
    mixed.py --lines 200000 --rounds 1    a quick look

Each run is a whole process with a new warehouse. Everything is written under .bench/; the logs there are kept.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

from compare import BENCH, OUT, Measured, Refused, machine, measure, say, verdict

RATIO_MAX = 2.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    logs = {shape: prepared_log(shape, options.lines) for shape in ("chat", "mixed")}
    try:
        rounds = [{shape: run(log, options.lines) for shape, log in logs.items()} for _ in range(options.rounds)]
    except Refused as error:
        print(f"no figures: {error}", file=sys.stderr)
        return 1
    print("\n".join(machine()))
    for shape, log in logs.items():
        runs = [one[shape] for one in rounds]
        walls, cpu = [one.wall_seconds for one in runs], median(one.cpu_seconds for one in runs)
        peak = max(one.peak_bytes for one in runs) / 1e6
        size = log.stat().st_size / 1e6
        print(
            f"{shape:<6} {options.lines:,} lines, {size:,.0f} MB: wall {min(walls):.2f} s at best,"
            f" {median(walls):.2f} s median; CPU {cpu:.2f} s; peak {peak:,.0f} MB"
        )
    wall = median(one["mixed"].wall_seconds / one["chat"].wall_seconds for one in rounds)
    spent = median(one["mixed"].cpu_seconds / one["chat"].cpu_seconds for one in rounds)
    print(f"mixed / chat, pair by pair: wall {wall:.2f}, CPU {spent:.2f}")
    print(f"target: at most {RATIO_MAX} x the wall time: {verdict(wall <= RATIO_MAX)}")
    return 0


def prepared_log(shape: str, lines: int) -> Path:
    """The log, made if it is not there, and read once so that it is in the page cache."""
    log = OUT / f"{shape}_{lines}.jsonl"
    if not log.exists():
        say(f"writing {lines:,} lines to {log.name}")
        unfinished = log.with_suffix(".unfinished")
        command = [sys.executable, BENCH / "generate_logs.py", str(lines), unfinished, "--shape", shape]
        subprocess.run(command, check=True)
        unfinished.rename(log)
    with log.open("rb", buffering=0) as file:
        block = bytearray(1 << 20)
        while file.readinto(block):
            pass
    return log


def run(log: Path, lines: int) -> Measured:
    """Run once into a new warehouse; every line must be a record."""
    warehouse = OUT / "warehouse"
    shutil.rmtree(warehouse, ignore_errors=True)
    result = measure(
        "costroll", [sys.executable, "-m", "etl", "--warehouse", str(warehouse), "--json", "run", str(log)]
    )
    shutil.rmtree(warehouse)
    counts = json.loads(result.stdout)["counts"]
    if counts["read"] != lines or counts["accepted"] != lines:
        raise Refused(f"{log.name}: {lines:,} lines, fates {counts}")
    say(f"{log.name}: {result.wall_seconds:.2f} s")
    return result


if __name__ == "__main__":
    sys.exit(main())
