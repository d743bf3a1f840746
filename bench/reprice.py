"""A month rated again with a new card: every price of OpenAI's doubled, so every cell changes and the total doubles.

Beside it what people ask of such a month: `report`, `status`, `sql` and `explain`.
"""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from bench.costroll_runs import costroll, linked_copy, published_cost, require_cost
from bench.figures import Series, rounds, seconds_at_most, table
from bench.logs import DAY_SECONDS
from bench.options import Options
from bench.processes import OUT, Measured, Refused, say
from bench.standing import FIRST_INSTANT, standing_warehouse

DEFAULTS = Options(nights=30, night_lines=2_000_000)
MODEL = "gpt-4o-mini-2024-07-18"
FACTOR = 2
QUERY = "SELECT day, model, tier, sum(quantity) AS quantity, sum(cost_usd) AS cost_usd FROM rollups GROUP BY ALL"
CELL = ("--model", MODEL, "--project", "proj_07", "--tier", "standard", "--meter", "input", "--caching", "uncached")
SECONDS_MAX = {"status": 0.5, "report": 0.5, "sql": 0.5, "explain": 1.0, "reprice": 3.0, "reprice --apply": 3.0}


def run(options: Options) -> list[str]:
    """Each round has a linked copy of the month; the card is imported first."""
    month = standing_warehouse(options.nights, options.night_lines, options.rates)
    card = doubled_card(options.rates)
    series = {name: Series(name) for name in ("rates import", *SECONDS_MAX)}
    commands: dict[str, tuple[tuple[str, ...], Callable[[str], Decimal] | None]] = {
        "rates import": (("rates", "import", "--correct", "--apply", str(card)), None),
        "status": (("status",), None),
        "report": (("report",), reported_total),
        "sql": (("sql", "--format", "csv", QUERY), queried_total),
        "explain": (("explain", "--day", middle_day(options.nights), *CELL), None),
        "reprice": (("reprice",), repriced_total),
        "reprice --apply": (("reprice", "--apply"), repriced_total),
    }
    for number in range(options.rounds):
        warehouse = linked_copy(month.path, "warehouse_of_a_month")
        say(f"round {number + 1} of {options.rounds}")
        for name, (words, total) in commands.items():
            measured = costroll(warehouse, *words)
            series[name].runs.append(measured)
            expected = month.cost_usd * (FACTOR if name.startswith("reprice") else 1)
            if total:
                require_cost(total(measured.stdout), expected, "what it should be")
        require_explained(series["explain"].runs[-1])
        require_cost(published_cost(warehouse), month.cost_usd * FACTOR, "twice the old cost")
        shutil.rmtree(warehouse)
    return [
        f"{month.records:,} records of {month.nights} days, {rounds(options.rounds)}; every price doubled,"
        " and so the total, to the last digit",
        *table(list(series.values())),
        *(seconds_at_most(limit, series[name].wall_seconds, name) for name, limit in SECONDS_MAX.items()),
    ]


def doubled_card(rates: Path) -> Path:
    """All of OpenAI's rates, each twice as high, as a card to import; those of 0 stay as they are."""
    out = OUT / "doubled_rates.csv"
    with rates.open(encoding="utf-8", newline="") as source, out.open("w", encoding="utf-8", newline="") as target:
        rows = csv.DictReader(source)
        writer = csv.DictWriter(target, rows.fieldnames or ())
        writer.writeheader()
        for row in rows:
            if row["provider"] == "openai":
                row["rate_usd_per_million"] = str(Decimal(row["rate_usd_per_million"]) * FACTOR)
                writer.writerow(row)
    return out


def middle_day(nights: int) -> str:
    """Of the month, in UTC."""
    return datetime.fromtimestamp(FIRST_INSTANT + nights // 2 * DAY_SECONDS, UTC).date().isoformat()


def reported_total(said: str) -> Decimal:
    """The last line of a report: `total 583.203489652 USD, ...`."""
    return _usd(r"^total ([\d,.]+) USD", said)


def repriced_total(said: str) -> Decimal:
    """The new total of a repricing: `... 583.20 USD -> 1,166.40 USD, ...`."""
    return _usd(r"USD -> ([\d,.]+) USD", said)


def queried_total(said: str) -> Decimal:
    """The costs in the last column of the answer in CSV."""
    return sum((Decimal(line.rpartition(",")[2]) for line in said.splitlines()[1:]), Decimal(0))


def _usd(pattern: str, said: str) -> Decimal:
    found = re.findall(pattern, said, re.MULTILINE)
    if not found:
        raise Refused(f"no total in {said.strip()[-300:]!r}")
    return Decimal(found[-1].replace(",", "").rstrip("."))


def require_explained(measured: Measured) -> None:
    """`explain` holds the records against the cell itself, and says so."""
    if not re.search(r"^ *record by record the sum is .*: the same$", measured.stdout, re.MULTILINE):
        raise Refused(f"explain does not come to the same sum: {measured.stdout.strip()[-300:]!r}")
