"""A mixed log beside a pure one of as many lines: four shapes, two of them wrapped."""

from __future__ import annotations

import shutil

from bench.costroll_runs import new_warehouse, require_fates, run_costroll
from bench.figures import Series, at_most, cpu_ratio, ratio, rounds, table
from bench.logs import chat_log, mixed_log
from bench.options import Options

DEFAULTS = Options(lines=1_000_000)
RATIO_MAX = 2.0


def run(options: Options) -> list[str]:
    """Both logs in turn, each into a new warehouse; every line must be a record."""
    logs = {"chat": chat_log(options.lines), "mixed": mixed_log(options.lines)}
    series = {name: Series(name, options.lines, log.stat().st_size) for name, log in logs.items()}
    for _ in range(options.rounds):
        for name, log in logs.items():
            warehouse = new_warehouse()
            series[name].runs.append(run_costroll(warehouse, [log]))
            require_fates(series[name].runs[-1], options.lines)
            shutil.rmtree(warehouse)
    wall_ratio = ratio(series["mixed"], series["chat"])
    return [
        f"{options.lines:,} lines each, {rounds(options.rounds)}; every line is a record, and accepted",
        *table(list(series.values())),
        wall_ratio.line(),
        cpu_ratio(series["mixed"], series["chat"]).line(),
        at_most(RATIO_MAX, wall_ratio, "wall time", "the pure log"),
    ]
