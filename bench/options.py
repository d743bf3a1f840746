"""What a measurement can be told, and what it does when it is told nothing: each scenario has its own defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.processes import BENCH, ROOT


@dataclass(frozen=True)
class Options:
    """The size of a measurement.

    Attributes:
        lines: records of the log.
        rounds: how often each program runs, in turn with the others.
        days: over how many days the log is spread.
        factor: how many times as long the large log is.
        nights: runs that the warehouse has seen before, one day each.
        night_lines: records of each of these.
        sample_lines: records for the programs that take minutes for a million.
        reference: the script that Costroll is held against; called with LOG RATES_CSV OUT_DIR.
        rates: the rate card for it.
    """

    lines: int = 2_000_000
    rounds: int = 3
    days: int = 30
    factor: int = 10
    nights: int = 400
    night_lines: int = 150_000
    sample_lines: int = 20_000
    reference: Path = BENCH / "reference.py"
    rates: Path = ROOT / "etl/card/rates.csv"
