"""A cold night: one log into a new warehouse, beside a hand-written DuckDB script and the least that a night can do."""

from __future__ import annotations

import re
import shutil
import sys
from decimal import Decimal
from pathlib import Path

from bench.costroll_runs import new_warehouse, published_cost, require_cost, require_fates, run_costroll
from bench.figures import Series, at_most, cpu_ratio, peak_at_most, ratio, rounds, table
from bench.logs import chat_log
from bench.options import Options
from bench.processes import BENCH, OUT, Measured, Refused, measure, say

DEFAULTS = Options()
REFERENCE_RATIO_MAX = 1.0
FLOOR_RATIO_MAX = 2.5
PEAK_BYTES_MAX = 1_000_000_000


def run_script(name: str, script: list[str], options: Options, log: Path) -> Measured:
    """A script once that is told where to write; the last decimal number that it prints is its total cost in USD."""
    out = OUT / "written"
    shutil.rmtree(out, ignore_errors=True)
    measured = measure(f"the {name}", [sys.executable, *script, str(log), str(options.rates), str(out)])
    shutil.rmtree(out, ignore_errors=True)
    say(f"{Path(script[-1]).name} {log.name}: {measured.wall_seconds:.2f} s")
    return measured


def run_reference(options: Options, log: Path) -> Measured:
    """The reference once."""
    return run_script("reference", [str(options.reference)], options, log)


def last_decimal(text: str) -> Decimal:
    """The total cost at the end of a reference's output."""
    found = re.findall(r"\d+\.\d+", text)
    if not found:
        raise Refused(f"the reference printed no cost: {text.strip()[-200:]!r}")
    return Decimal(found[-1])


def run_yardstick(name: str, log: Path) -> Measured:
    """`floor.py` or `bound.py` once."""
    measured = measure(f"the {name}", [sys.executable, str(BENCH / f"{name}.py"), str(log)])
    say(f"{name}.py {log.name}: {measured.wall_seconds:.2f} s")
    return measured


def run(options: Options) -> list[str]:
    """Each program in turn, round by round."""
    log = chat_log(options.lines)
    ours, reference, least, bound, floor = (
        Series(name, options.lines, log.stat().st_size) for name in ("costroll", "reference", "least", "bound", "floor")
    )
    for _ in range(options.rounds):
        warehouse = new_warehouse()
        ours.runs.append(run_costroll(warehouse, [log]))
        reference.runs.append(run_reference(options, log))
        least.runs.append(run_script("least", ["-m", "bench.least"], options, log))
        bound.runs.append(run_yardstick("bound", log))
        floor.runs.append(run_yardstick("floor", log))
        require_fates(ours.runs[-1], options.lines)
        require_cost(published_cost(warehouse), last_decimal(reference.runs[-1].stdout), "the reference")
        require_cost(
            last_decimal(least.runs[-1].stdout),
            last_decimal(reference.runs[-1].stdout),
            "the reference",
            "the least night",
        )
        shutil.rmtree(warehouse)
    to_reference, to_floor = ratio(ours, reference), ratio(ours, floor)
    named = "" if options.reference == DEFAULTS.reference else f", reference {options.reference.name}"
    size = f"{options.lines:,} lines, {log.stat().st_size / 1e6:,.0f} MB, {rounds(options.rounds)}{named}"
    return [
        f"{size}; same total cost to the last digit",
        *table([ours, reference, least, bound, floor]),
        to_reference.line(),
        to_floor.line(),
        ratio(ours, least).line(),
        ratio(least, reference).line(),
        ratio(least, floor).line(),
        ratio(bound, reference).line(),
        ratio(bound, floor).line(),
        cpu_ratio(ours, reference).line(),
        cpu_ratio(least, reference).line(),
        at_most(REFERENCE_RATIO_MAX, to_reference, "wall time", "the reference"),
        at_most(FLOOR_RATIO_MAX, to_floor, "wall time", "the floor"),
        peak_at_most(PEAK_BYTES_MAX, ours),
    ]
