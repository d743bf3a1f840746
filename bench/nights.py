"""One more night after many, beside the same night in an empty warehouse; then late data for an old day.

A night must cost its own days only: no old day is written, copied or read again.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from bench.costroll_runs import linked_copy, new_warehouse, published_cost, require_cost, require_fates, run_costroll
from bench.figures import Series, at_most, cpu_ratio, ratio, rounds, seconds_at_most, table, target
from bench.logs import log_of_days, total_cost, warm
from bench.options import Options
from bench.processes import Refused
from bench.standing import Standing, remove_log, standing_warehouse

DEFAULTS = Options()
RATIO_MAX = 1.15
PUBLISHING_SECONDS_MAX = 0.3
SMALL_LINES = 1_000
DAILY_TABLES = ("rollups", "usage")
NIGHT, SMALL_NIGHT, LATE = "night", "small_night", "late"

Files = dict[str, int]  # path below the published snapshot -> inode


@dataclass(frozen=True)
class Carried:
    """What one run did to the files of `rollups/` and `usage/`.

    Attributes:
        linked: old files that are in the new snapshot too, the same inode.
        rewritten: old names that are other files now.
        gone: old names that are there no longer.
        days_written: of the new and the rewritten files.
        other_files: new files of the other tables (inputs, rates, …).
    """

    linked: int
    rewritten: int
    gone: int
    days_written: frozenset[str]
    other_files: int

    @classmethod
    def between(cls, before: Files, after: Files) -> Carried:
        new = {name for name, inode in after.items() if before.get(name) != inode}
        daily = {name for name in new if name.split("/")[0] in DAILY_TABLES}
        old = {name for name in before if name.split("/")[0] in DAILY_TABLES}
        counts = Counter("gone" if n not in after else "rewritten" if n in daily else "linked" for n in old)
        days = frozenset(Path(name.split("/")[1]).stem for name in daily)
        return cls(counts["linked"], counts["rewritten"], counts["gone"], days, len(new - daily))

    def line(self, what: str) -> str:
        days = ", ".join(sorted(self.days_written)) or "no day"
        return (
            f"{what}: {self.linked:,} old files linked, {self.rewritten} rewritten, {self.gone} gone;"
            f" days written: {days}; new files of other tables: {self.other_files}"
        )


@dataclass(frozen=True)
class Case:
    """One of the logs that are run, and what must come of it."""

    log: Path
    day: str
    lines: int
    cost_usd: Decimal


def run(options: Options) -> list[str]:
    """Each round has an empty warehouse and a linked copy of the standing one."""
    standing = standing_warehouse(options.nights, options.night_lines, options.rates)
    cases = prepared(standing, options)
    night = cases[NIGHT]
    names = {
        "cold": (night, "the night, empty warehouse"),
        "full": (night, f"the night, after {standing.nights} nights"),
        "small_cold": (cases[SMALL_NIGHT], f"{SMALL_LINES:,} lines more, almost empty"),
        "small_full": (cases[SMALL_NIGHT], f"{SMALL_LINES:,} lines more, after {standing.nights} nights"),
        "late": (cases[LATE], f"{SMALL_LINES:,} late lines of {cases[LATE].day}"),
    }
    series = {key: Series(name, case.lines, case.log.stat().st_size) for key, (case, name) in names.items()}
    for _ in range(options.rounds):
        warm([night.log])
        empty, full = new_warehouse(), linked_copy(standing.path, "warehouse_of_many_nights")
        one_run(series["cold"], empty, night, Decimal(0))
        carried_night = one_run(series["full"], full, night, standing.cost_usd)
        require_same_day(empty, full, night.day)
        one_run(series["small_cold"], empty, cases[SMALL_NIGHT], night.cost_usd)
        one_run(series["small_full"], full, cases[SMALL_NIGHT], standing.cost_usd + night.cost_usd)
        so_far = standing.cost_usd + night.cost_usd + cases[SMALL_NIGHT].cost_usd
        carried_late = one_run(series["late"], full, cases[LATE], so_far)
        shutil.rmtree(empty)
        shutil.rmtree(full)
    for case in cases.values():
        remove_log(case.log)
    return [
        f"{standing.records:,} records of {standing.nights} days in the warehouse, {rounds(options.rounds)};"
        " total costs the same as DuckDB's alone, the new day's rollups the same bytes in both",
        *table(list(series.values())),
        *verdicts(series, standing),
        *files_verdicts(carried_night, carried_late, night, cases[LATE]),
    ]


def prepared(standing: Standing, options: Options) -> dict[str, Case]:
    """The next day, the day after it with few lines, and few late lines for a day in the middle."""
    middle, seed = standing.nights // 2, standing.nights + 1
    wanted = {NIGHT: (standing.nights, options.lines), SMALL_NIGHT: (standing.nights + 1, SMALL_LINES)}
    wanted[LATE] = (middle, SMALL_LINES)
    cases = {}
    for number, (name, (night, lines)) in enumerate(wanted.items()):
        at = standing.first_instant_of(night)
        log = log_of_days(lines, at, 1, seed + number, f"{name}_after_{standing.nights}_{lines}")
        day = datetime.fromtimestamp(at, UTC).date().isoformat()
        cases[name] = Case(log, day, lines, total_cost(log, options.rates))
    return cases


def one_run(series: Series, warehouse: Path, case: Case, cost_before_usd: Decimal) -> Carried:
    """Run one log, check fates and cost, and see what became of the published files."""
    before = published_files(warehouse)
    series.runs.append(run_costroll(warehouse, [case.log]))
    require_fates(series.runs[-1], case.lines)
    require_cost(published_cost(warehouse), cost_before_usd + case.cost_usd, "DuckDB alone")
    return Carried.between(before, published_files(warehouse))


def published_files(warehouse: Path) -> Files:
    """The files of the published snapshot; a copied file has another inode than its original."""
    current = warehouse / "current"
    return {str(path.relative_to(current)): path.stat().st_ino for path in current.glob("*/**/*.parquet")}


def require_same_day(one: Path, other: Path, day: str) -> None:
    """The same records give the same rollup file, whatever else the warehouse holds."""
    files = [warehouse / "current/rollups" / f"{day}.parquet" for warehouse in (one, other)]
    if files[0].read_bytes() != files[1].read_bytes():
        raise Refused(f"the rollups of {day} have other bytes in a warehouse that has seen many nights")


def verdicts(series: dict[str, Series], standing: Standing) -> list[str]:
    """Times. A night of few lines does little but publish, so the old days' part in it is the price of publishing."""
    found = ratio(series["full"], series["cold"], text=f"after {standing.nights} nights / empty")
    few = [series[name].wall_seconds for name in ("small_full", "small_cold")]
    read = [series[name].runs[-1].read_bytes for name in ("full", "cold")]
    lines = [found.line(), cpu_ratio(series["full"], series["cold"]).line()]
    if read[0] is not None and read[1] is not None:
        lines.append(f"read by system calls: {read[0] / 1e6:,.0f} MB, into the empty warehouse {read[1] / 1e6:,.0f} MB")
    return [
        *lines,
        f"{standing.nights} old days in a night of {SMALL_LINES:,} lines: {few[0] - few[1]:+.3f} s"
        f" ({few[0]:.3f} s and {few[1]:.3f} s)",
        at_most(RATIO_MAX, found, "wall time", "that into an empty warehouse"),
        seconds_at_most(PUBLISHING_SECONDS_MAX, few[0] - few[1], f"{standing.nights} old days published again"),
    ]


def files_verdicts(night: Carried, late: Carried, case: Case, late_case: Case) -> list[str]:
    """What was written: of a night its own day, of late data the old day."""
    untouched = night.rewritten == night.gone == 0 and night.days_written == {case.day}
    return [
        night.line("the night"),
        late.line("late data"),
        target("the night writes its own day only, and no old file again", untouched),
        target("late data writes its own day only", late.days_written == {late_case.day}),
    ]
