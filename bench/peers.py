"""The same records by others: price libraries called once for each record, and scripts written by hand.

The libraries live in an environment of their own, .bench/peers, which `make bench-peers` makes from
requirements-bench.txt. They take minutes for a million records, so they get a sample; what they leave out is said
beside the figures, and where their cost differs from ours, in which tier.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any

from bench.cold import last_decimal, run_reference
from bench.costroll_runs import costroll, new_warehouse, published_cost, require_cost, require_fates, run_costroll
from bench.figures import Series, aligned, rounds, table
from bench.logs import chat_log
from bench.options import Options
from bench.processes import BENCH, ROOT, Measured, Refused, measure, say

DEFAULTS = Options(sample_lines=20_000)
PYTHON = ROOT / ".bench/peers/bin/python"
OFFLINE = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # else LiteLLM asks the network for its prices first
SCRIPTS = {"pure DuckDB": BENCH / "reference.py", "pure Polars": BENCH / "reference_polars.py"}
LIBRARIES = ("genai-prices", "litellm", "tokencost")
TIERS = {"default": "standard"}  # the log's word: ours
LEFT_OUT = {
    "all": "a reason for each record that does not count, sums that must add up, conflicts, memory of earlier nights",
    "pure DuckDB": "context thresholds, the check of a count (1.5 tokens are rounded); damaged lines vanish unseen",
    "pure Polars": "context thresholds; one damaged line ends it without a result",
    "genai-prices": "days, files, repeats; before the date at which somebody looked at a tier, and for a tier that it"
    " does not know, it gives the standard price",
    "litellm": "days, files, repeats; dates; exact decimals; a tier that it does not know has the standard price",
    "tokencost": "days, files, repeats; dates; tiers; ft: names of the gpt-4o family and later",
}
BY_TIER = "SELECT tier, sum(cost_usd) AS cost_usd FROM rollups GROUP BY tier ORDER BY tier"


@dataclass(frozen=True)
class Loop:
    """One library on the sample.

    Attributes:
        name: of the package.
        version: of the package.
        money: the Python type of the costs that it returns.
        wall_microseconds: for each record.
        cpu_microseconds: for each record.
        costs_usd: by our tiers.
    """

    name: str
    version: str
    money: str
    wall_microseconds: float
    cpu_microseconds: float
    costs_usd: dict[str, Decimal]


def run(options: Options) -> list[str]:
    """Costroll and the scripts in turn on the log, then the libraries on the sample."""
    if not PYTHON.exists():
        raise Refused("the peers are not installed; run: make bench-peers")
    log, sample = chat_log(options.lines), chat_log(options.sample_lines)
    series = {name: Series(name, options.lines, log.stat().st_size) for name in ("costroll", *SCRIPTS)}
    for _ in range(options.rounds):
        warehouse = new_warehouse()
        series["costroll"].runs.append(run_costroll(warehouse, [log]))
        require_fates(series["costroll"].runs[-1], options.lines)
        cost = published_cost(warehouse)
        shutil.rmtree(warehouse)
        for name, script in SCRIPTS.items():
            series[name].runs.append(run_script(script, log, options.rates))
            require_cost(cost, last_decimal(series[name].runs[-1].stdout), f"the {name} script")
    costs = costs_by_tier(sample)
    loops = [run_loop(name, sample, options) for name in LIBRARIES]
    return [
        f"Costroll and the scripts: {options.lines:,} records, {rounds(options.rounds)}, same total cost to the last"
        f" digit; the libraries: a sample of {options.sample_lines:,}, one call for each, import and start not counted",
        *table(list(series.values())),
        "",
        *each_record(series, loops),
        "",
        "cost of the sample in USD, and what it differs from Costroll's:",
        *cost_table(costs, loops),
        "",
        "left out:",
        *(f"{name}: {text}" for name, text in LEFT_OUT.items()),
    ]


def run_script(script: Path, log: Path, rates: Path) -> Measured:
    """One of the scripts, as in the scenario `cold`."""
    return run_reference(Options(reference=script, rates=rates), log)


def costs_by_tier(sample: Path) -> dict[str, Decimal]:
    """What Costroll makes of the sample, in USD."""
    warehouse = new_warehouse()
    run_costroll(warehouse, [sample])
    answer = costroll(warehouse, "sql", "--format", "csv", BY_TIER)
    shutil.rmtree(warehouse)
    return {tier: Decimal(cost) for tier, cost in (line.split(",") for line in answer.stdout.splitlines()[1:])}


def run_loop(name: str, sample: Path, options: Options) -> Loop:
    """One library, its median round; refused when it did not price every record."""
    said = [loop_once(name, sample, options.sample_lines) for _ in range(options.rounds)]
    wall, cpu = (
        median(one[clock] for one in said) / options.sample_lines * 1e6 for clock in ("wall_seconds", "cpu_seconds")
    )
    costs = {TIERS.get(tier, tier): Decimal(cost) for tier, cost in said[0]["costs_by_tier"].items()}
    return Loop(name, said[0]["version"], said[0]["money"], wall, cpu, costs)


def loop_once(name: str, sample: Path, lines: int) -> dict[str, Any]:
    """What bench/peer_loop.py says of one library."""
    measured = measure(name, [str(PYTHON), str(BENCH / "peer_loop.py"), name, str(sample)], environment=OFFLINE)
    said: dict[str, Any] = json.loads(measured.stdout.splitlines()[-1])
    if said["records"] != lines:
        raise Refused(f"{name} priced {said['records']:,} records of {lines:,}")
    say(f"{name} {sample.name}: {said['wall_seconds'] / lines * 1e6:.1f} µs for each record")
    return said


def each_record(series: dict[str, Series], loops: list[Loop]) -> list[str]:
    """Microseconds for each record, and as multiples of Costroll's."""
    ours = series["costroll"]
    spent = [(one.name, one.wall_seconds / one.rows * 1e6, one.cpu_seconds / one.rows * 1e6) for one in series.values()]
    spent += [(f"{loop.name} {loop.version}", loop.wall_microseconds, loop.cpu_microseconds) for loop in loops]
    wall, cpu = (seconds / ours.rows * 1e6 for seconds in (ours.wall_seconds, ours.cpu_seconds))
    rows = [("microseconds for each record", "wall", "CPU", "wall x costroll", "CPU x costroll")]
    rows += [(name, f"{w:.2f}", f"{c:.2f}", f"{w / wall:.2f}", f"{c / cpu:.2f}") for name, w, c in spent]
    return aligned(rows)


def cost_table(ours: dict[str, Decimal], loops: list[Loop]) -> list[str]:
    """By tier: Costroll's cost, and the others' with the difference."""
    rows = [["", *ours, "all", "type"], ["costroll", *(f"{cost:f}" for cost in ours.values())]]
    rows[1] += [f"{sum(ours.values()):f}", "DECIMAL(38,12)"]
    for loop in loops:
        theirs = [loop.costs_usd.get(tier, Decimal(0)) for tier in ours]
        differences = [cost - mine for cost, mine in zip(theirs, ours.values(), strict=True)]
        rows.append([loop.name, *(f"{cost:f}" for cost in theirs), f"{sum(theirs):f}", loop.money])
        rows.append(["  difference", *(f"{one:+f}" for one in differences), f"{sum(differences):+f}", ""])
    return aligned(rows)
