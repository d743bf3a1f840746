"""Any history of imports, corrections, undos, repricings and late records: each day costs what a plain dictionary says.

The model is one dictionary a version: what a million tokens cost on each day. A day keeps the version it was rated with
until it is repriced; and whenever the same records are rated with the same version, the file is the same to the byte.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from etl import rate_publishing
from tests.nights import Ran, chat, costroll, write_jsonl
from tests.small_card import card
from tests.test_reprice import rate_file

DAYS = [date(2025, 7, 14) + timedelta(days=number) for number in range(4)]
RATES = ["0", "0.000001", "1.5", "2", "7"]


class RateHistories(RuleBasedStateMachine):
    """One warehouse with one model, and what it must cost."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="costroll-rates-"))
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(rate_publishing, "shipped_card", lambda: card("m standard input uncached 0 - - 2"))
        self.rates = [dict.fromkeys(DAYS, Decimal(2))]  # one dictionary a version
        self.used: dict[date, list[int]] = {}  # the prompts of each day
        self.kept: dict[date, int] = {}  # the version that each day keeps
        self.said: dict[tuple[date, tuple[int, ...], int], bytes] = {}
        self.records = self.snapshots = 0

    def teardown(self) -> None:
        self.patch.undo()
        shutil.rmtree(self.folder)

    def ran(self, *arguments: Path | str, publishes: bool = True) -> Ran:
        ran = costroll(*arguments, "--warehouse", self.folder / "warehouse")
        assert ran.code == 0, ran
        self.snapshots += publishes
        assert int((self.folder / "warehouse/current").readlink().name) == self.snapshots, arguments
        return ran

    @initialize(prompts=st.lists(st.integers(1, 9), min_size=4, max_size=4))
    def the_first_night(self, prompts: list[int]) -> None:
        self.night(list(zip(DAYS, prompts, strict=True)))

    @rule(day=st.sampled_from(DAYS), prompt=st.integers(1, 9))
    def a_record_comes_late(self, day: date, prompt: int) -> None:
        self.night([(day, prompt)])

    def night(self, used: Sequence[tuple[date, int]]) -> None:
        records = []
        for day, prompt in used:
            self.records += 1
            noon = int((datetime(day.year, day.month, day.day, 12) - datetime(1970, 1, 1)).total_seconds())
            records.append(chat(f"r{self.records}", noon, prompt, 0, model="m"))
            self.used.setdefault(day, []).append(prompt)
            self.kept.setdefault(day, len(self.rates))
        self.ran("run", write_jsonl(self.folder / f"{self.records}.jsonl", records), "--threads", "1")

    @rule(first=st.integers(0, 3), length=st.integers(1, 4), rate=st.sampled_from(RATES))
    def rates_are_corrected(self, first: int, length: int, rate: str) -> None:
        days = DAYS[first : first + length]
        after = self.rates[-1] | dict.fromkeys(days, Decimal(rate))
        file = rate_file(self.folder / "rates.csv", rate, str(days[0]), str(days[-1] + timedelta(days=1)), "m")
        is_other = after != self.rates[-1]
        self.ran("rates", "import", file, "--correct", "--apply", publishes=is_other)
        if is_other:
            self.rates.append(after)

    @precondition(lambda self: len(self.rates) > 1)
    @rule()
    def the_newest_version_is_undone(self) -> None:
        self.ran("rates", "undo", str(len(self.rates)), "--apply")
        self.rates.append(self.rates[-2])

    @precondition(lambda self: len(self.rates) > 1)
    @rule(first=st.integers(0, 3), length=st.integers(1, 4))
    def days_are_repriced(self, first: int, length: int) -> None:
        self.reprice(DAYS[first : first + length], len(self.rates), [])

    @precondition(lambda self: len(self.rates) > 1)
    @rule(back=st.integers(0, 9))
    def days_are_repriced_as_known_on(self, back: int) -> None:
        version = max(len(self.rates) - back, 1)
        self.reprice(DAYS, version, ["--as-known-on", str(version)])

    def reprice(self, days: Sequence[date], version: int, options: Sequence[str]) -> None:
        stretch = ["--since", str(days[0]), "--until", str(days[-1])]
        plan = self.ran("reprice", *stretch, *options, "--json", publishes=False).said
        before, after = (sum((self.cost(day, kept[day]) for day in days), Decimal(0)) for kept in (
            self.kept, dict.fromkeys(days, version)
        ))  # fmt: skip
        assert (Decimal(plan["old_cost_usd"]), Decimal(plan["new_cost_usd"])) == (before, after)
        moved = {day for day in days if self.rates[version - 1][day] != self.rates[self.kept[day] - 1][day]}
        assert {date.fromisoformat(cell["day"]) for cell in plan["cells"]} == moved
        assert sum(Decimal(cell["delta_usd"]) for cell in plan["cells"]) == after - before
        is_something = bool(plan["days"]["changed"] or plan["days"]["kept"])
        assert is_something >= (moved != set())
        self.ran("reprice", *stretch, *options, "--apply", publishes=is_something)
        self.kept |= dict.fromkeys(days, version)

    def cost(self, day: date, version: int) -> Decimal:
        return sum(self.used[day]) * self.rates[version - 1][day] * Decimal("0.000001")

    @invariant()
    def each_day_costs_what_the_dictionary_says_and_the_same_is_the_same_to_the_byte(self) -> None:
        for day, prompts in self.used.items():
            file = self.folder / "warehouse/current/rollups" / f"{day}.parquet"
            assert pl.read_parquet(file)["cost_usd"].sum() == self.cost(day, self.kept[day])
            key = day, tuple(sorted(prompts)), self.kept[day]
            assert self.said.setdefault(key, file.read_bytes()) == file.read_bytes(), key


RateHistories.TestCase.settings = settings(
    max_examples=3,
    stateful_step_count=10,
    derandomize=True,
    phases=[Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestRateHistories = RateHistories.TestCase
