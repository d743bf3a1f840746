"""A warehouse that has seen many nights, one run for each day; it takes long to build, so it is kept and used again.

It lies in .bench/nights_<nights>x<lines>; a build that was stopped goes on where it was. Remove the folder to build it
anew, for example after a change to how usage is stored.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from bench.costroll_runs import costroll, published_cost, require_cost, require_fates, run_costroll, status
from bench.logs import DAY_SECONDS, log_of_days, total_cost
from bench.processes import OUT, say

FIRST_INSTANT = 1_756_684_800  # 2025-09-01 in epoch seconds: since then every model of the logs has its rates
NIGHTS_BETWEEN_GC = 14
KEPT_SNAPSHOTS = "[retention]\nsnapshots = 14\nhours = 0\n"  # as many as a nightly gc leaves


@dataclass(frozen=True)
class Standing:
    """A built warehouse.

    Attributes:
        path: the warehouse; nothing may write to it.
        nights: its days, from `FIRST_INSTANT` on.
        records: its usage records.
        cost_usd: of all its days, as DuckDB alone comes to it.
    """

    path: Path
    nights: int
    records: int
    cost_usd: Decimal

    def first_instant_of(self, night: int) -> int:
        """In epoch seconds; that of `nights` is the day after the last."""
        return FIRST_INSTANT + night * DAY_SECONDS


def standing_warehouse(nights: int, night_lines: int, rates: Path) -> Standing:
    """Build what is missing, check the total cost, and say how large it is."""
    path = OUT / f"nights_{nights}x{night_lines}"
    costs_file = path.with_suffix(".costs.json")
    costs: list[str] = json.loads(costs_file.read_text(encoding="ascii")) if costs_file.exists() else []
    done = status(path)["days"] if (path / "current").is_symlink() else 0
    for night in range(done, nights):
        say(f"night {night + 1} of {nights}", end=": ")
        log = log_of_days(
            night_lines, FIRST_INSTANT + night * DAY_SECONDS, 1, night + 1, f"night_{night + 1}_{night_lines}"
        )
        costs = [*costs[:night], str(total_cost(log, rates))]
        costs_file.write_text(json.dumps(costs), encoding="ascii")  # before the run: the warehouse says which are in
        require_fates(run_costroll(path, [log]), night_lines)
        remove_log(log)
        if (night + 1) % NIGHTS_BETWEEN_GC == 0 or night + 1 == nights:
            (path / "costroll.toml").write_text(KEPT_SNAPSHOTS, encoding="ascii")
            costroll(path, "gc")
    cost = sum((Decimal(text) for text in costs), Decimal(0))
    require_cost(published_cost(path), cost, "DuckDB alone, night by night,")
    return Standing(path, nights, nights * night_lines, cost)


def remove_log(log: Path) -> None:
    """The log of one night, and its cost."""
    log.unlink()
    log.with_suffix(".cost").unlink(missing_ok=True)
