"""A log ten times as long: time must grow with the lines alone, and memory not at all.

Both logs spread over as many days, 30 unless --days says otherwise; --days 1 has all records of a log in one day.
"""

from __future__ import annotations

import shutil

from bench.costroll_runs import new_warehouse, published_cost, require_cost, require_fates, run_costroll
from bench.figures import Ratio, Series, at_most, peak_at_most, ratio_by_row, rounds, table
from bench.logs import chat_log, total_cost, warm
from bench.options import Options

DEFAULTS = Options(rounds=2)
TIME_RATIO_MAX = 1.10
PEAK_RATIO_MAX = 1.2
PEAK_BYTES_MAX = 1_000_000_000


def run(options: Options) -> list[str]:
    """The short and the long log in turn; each total must be that of one plain DuckDB query."""
    logs = {lines: chat_log(lines, options.days) for lines in (options.lines, options.lines * options.factor)}
    costs = {lines: total_cost(log, options.rates) for lines, log in logs.items()}
    series = {lines: Series(f"{lines:,} lines", lines, log.stat().st_size) for lines, log in logs.items()}
    for _ in range(options.rounds):
        for lines, log in logs.items():
            warm([log])
            warehouse = new_warehouse()
            series[lines].runs.append(run_costroll(warehouse, [log]))
            require_fates(series[lines].runs[-1], lines)
            require_cost(published_cost(warehouse), costs[lines], "DuckDB alone")
            shutil.rmtree(warehouse)
    short, long = series.values()
    by_line = ratio_by_row(long, short)
    peaks = Ratio("peak memory, long / short", (long.peak_bytes / short.peak_bytes,))
    days = "1 day" if options.days == 1 else f"{options.days} days"
    return [
        f"both logs over {days}, {rounds(options.rounds)}; total costs the same as DuckDB's alone, to the last digit",
        *table([short, long]),
        by_line.line(),
        peaks.line(),
        at_most(TIME_RATIO_MAX, by_line, "time for each line", "that of the short log"),
        peak_at_most(PEAK_BYTES_MAX, long),
        at_most(PEAK_RATIO_MAX, peaks, "peak memory", "that of the short log"),
    ]
