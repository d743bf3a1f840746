"""What has to be loaded before anything is done: `--help`, `status`, and a night of 1,000 lines."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from bench.costroll_runs import new_warehouse, published_cost, require_cost, require_fates, run_costroll
from bench.figures import Series, rounds, seconds_at_most, table
from bench.logs import chat_log, total_cost
from bench.options import Options
from bench.processes import Refused, measure

DEFAULTS = Options(rounds=9)
LINES = 1_000
HELP_SECONDS_MAX = 0.12
STATUS_SECONDS_MAX = 0.35


def run(options: Options) -> list[str]:
    """Each in turn, beside a Python that does nothing; --lines has no say here."""
    log = chat_log(LINES)
    cost = total_cost(log, options.rates)
    python, helped, status = Series("python -c pass"), Series("costroll --help"), Series("costroll status")
    night = Series(f"a night of {LINES:,} lines", LINES, log.stat().st_size)
    for _ in range(options.rounds):
        warehouse = new_warehouse()
        night.runs.append(run_costroll(warehouse, [log]))
        require_fates(night.runs[-1], LINES)
        require_cost(published_cost(warehouse), cost, "DuckDB alone")
        python.runs.append(measure("python", [sys.executable, "-c", "pass"]))
        helped.runs.append(measure("costroll --help", [*command(), "--help"]))
        status.runs.append(measure("costroll status", [*command(), "--warehouse", str(warehouse), "status"]))
        if "Usage:" not in helped.runs[-1].stdout or f"{LINES:,}" not in status.runs[-1].stdout:
            raise Refused("costroll does not say what it should")
        shutil.rmtree(warehouse)
    return [
        f"{rounds(options.rounds)}, files in the page cache",
        *table([python, helped, status, night]),
        seconds_at_most(HELP_SECONDS_MAX, helped.wall_seconds, "costroll --help"),
        seconds_at_most(STATUS_SECONDS_MAX, status.wall_seconds, "costroll status"),
    ]


def command() -> list[str]:
    """The command that people type; the module where it is not installed."""
    installed = Path(sys.executable).parent / "costroll"
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "etl"]
