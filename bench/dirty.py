"""A dirty log beside a clean one: 0.1 % of the lines damaged, 1 % repeated. One bad line must not slow the others."""

from __future__ import annotations

import shutil

from bench.cold import last_decimal, run_reference
from bench.costroll_runs import (
    DONE,
    NEEDS_ATTENTION,
    new_warehouse,
    published_cost,
    require_cost,
    require_fates,
    run_costroll,
)
from bench.figures import Series, at_most, cpu_ratio, ratio, rounds, table
from bench.logs import chat_log, count_lines, dirty_log
from bench.options import Options

DEFAULTS = Options()
RATIO_MAX = 1.15


def run(options: Options) -> list[str]:
    """Both logs in turn; what must come out of the dirty one is counted without Costroll."""
    clean_path, dirty_path = chat_log(options.lines), dirty_log(options.lines)
    lines = count_lines(dirty_path)
    cost = last_decimal(run_reference(options, dirty_path).stdout)
    clean = Series("clean", options.lines, clean_path.stat().st_size)
    dirty = Series("dirty", lines.all, dirty_path.stat().st_size)
    for _ in range(options.rounds):
        warehouse = new_warehouse()
        clean.runs.append(run_costroll(warehouse, [clean_path]))
        require_fates(clean.runs[-1], options.lines)
        warehouse = new_warehouse()
        dirty.runs.append(run_costroll(warehouse, [dirty_path], success=(DONE, NEEDS_ATTENTION)))
        accepted = options.lines - lines.damaged_once
        repeats = lines.all - lines.damaged - accepted
        require_fates(dirty.runs[-1], lines.all, accepted=accepted, duplicate=repeats, rejected=lines.damaged)
        require_cost(published_cost(warehouse), cost, "the reference, on the dirty log,")
        shutil.rmtree(warehouse)
    found = ratio(dirty, clean)
    return [
        f"{options.lines:,} records, {rounds(options.rounds)}; in the dirty log {lines.damaged:,} damaged lines"
        f" and {repeats:,} repeats; fates as counted without Costroll, cost of the reference to the last digit",
        *table([clean, dirty]),
        found.line(),
        cpu_ratio(dirty, clean).line(),
        at_most(RATIO_MAX, found, "wall time", "the clean log"),
    ]
