"""One thread, two, and little memory: other times, the same bytes in `rollups/` and `usage/`."""

from __future__ import annotations

import shutil
import sys

from bench.costroll_runs import digest, new_warehouse, require_fates, run_costroll
from bench.figures import Series, ratio, rounds, table, target
from bench.logs import chat_log
from bench.options import Options
from bench.processes import Refused, measure

DEFAULTS = Options(rounds=1)
SETTINGS = (
    ("--threads", "1"),
    ("--threads", "2"),
    (),
    ("--memory-limit", "1GB"),
    ("--threads", "1", "--memory-limit", "1GB"),
)
TABLES = ("rollups", "usage")


def run(options: Options) -> list[str]:
    """Every setting in turn; refused when a byte differs."""
    log = chat_log(options.lines)
    known = measure("costroll run --help", [sys.executable, "-m", "etl", "run", "--help"]).stdout
    unknown = {word for words in SETTINGS for word in words if word.startswith("--") and word not in known}
    settings = [words for words in SETTINGS if unknown.isdisjoint(words)]
    series = [Series(" ".join(words) or "default", options.lines, log.stat().st_size) for words in settings]
    seen: dict[str, str] = {}
    for _ in range(options.rounds):
        for words, one in zip(settings, series, strict=True):
            warehouse = new_warehouse()
            one.runs.append(run_costroll(warehouse, [log], *words))
            require_fates(one.runs[-1], options.lines)
            for name in TABLES:
                found = digest(warehouse, name)
                if seen.setdefault(name, found) != found:
                    raise Refused(f"{name}/ has other bytes with `{one.name}` than with `{series[0].name}`")
            shutil.rmtree(warehouse)
    return [
        f"{options.lines:,} lines, {log.stat().st_size / 1e6:,.0f} MB, {rounds(options.rounds)};"
        f" the same bytes of {' and '.join(f'{name}/' for name in TABLES)} with each setting",
        *(f"left out: this `costroll run` has no {option}" for option in sorted(unknown)),
        *table(series),
        ratio(series[0], series[1]).line(),
        target("the same bytes with every setting", True),
    ]
