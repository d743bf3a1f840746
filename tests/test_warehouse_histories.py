"""Any history of nights, late records, price changes, repricings, closes, rollbacks, crashes: the books always agree.

Hypothesis thinks up the histories, and shortens those that fail. The real command line runs in this process, on real
files; beside it tests/histories/books.py keeps the same books in dicts and Decimal. After each step both are compared.

`make test` runs the same few histories each time; `make test-histories` runs new ones for as long as it is told.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from etl import rate_publishing
from etl.rate_csv import RATE_FIELDS
from tests.faults.reader import leftovers, read
from tests.histories.books import Books, Bucket, Cell, Item, Record, Request
from tests.histories.dying import DiedError, DyingDisk
from tests.nights import Ran, costroll, write_jsonl
from tests.small_card import card

# Neighbours within a month, across its end, and three in a row: an id is looked up in its day and the two beside it.
DAYS = [
    date.fromisoformat(f"2025-{day}")
    for day in ("09-15", "09-30", "10-01", "10-15", "10-31", "11-01", "11-30", "12-01", "12-02")
]
MONTHS = ["2025-09", "2025-10", "2025-11", "2025-12"]
MINI, O3, OWN = "gpt-4o-mini", "o3", "our-own"

# o3 is sold in one tier, and became cheaper on 1 November; nobody knows yet what our own model costs.
CARD = f"""
    {MINI}  standard  input   uncached        0  2024-07-18  -           0.15
    {MINI}  standard  input   cached          0  2024-07-18  -           0.075
    {MINI}  standard  output  not_applicable  0  2024-07-18  -           0.6
    {MINI}  batch     input   uncached        0  2024-07-18  -           0.075
    {MINI}  batch     output  not_applicable  0  2024-07-18  -           0.3
    {O3}    standard  input   uncached        0  2025-01-31  2025-11-01  10
    {O3}    standard  input   uncached        0  2025-11-01  -           2
    {O3}    standard  input   cached          0  2025-01-31  -           0.5
    {O3}    standard  output  not_applicable  0  2025-01-31  -           40
"""
METERS = [("input", "uncached"), ("input", "cached"), ("output", "not_applicable")]
KEYS = [(model, tier, *meter) for model in (MINI, O3, OWN) for tier in ("standard", "batch") for meter in METERS]


@dataclass(frozen=True)
class Draft:
    """A record to be; `again`, `changed` and `moved` start from one that was logged before."""

    kind: str
    place: int
    account: str
    day: date
    model: str
    tier: str
    size: int
    cached: int


KINDS = ["new"] * 4 + ["again"] * 2 + ["changed", "moved", "bucket", "bucket"]
DRAFTS = st.builds(
    Draft,
    st.sampled_from(KINDS),
    st.integers(0, 11),
    st.sampled_from(["acme", "globex"]),
    st.sampled_from(DAYS),
    st.sampled_from([MINI, O3, OWN]),
    st.sampled_from(["standard", "standard", "batch"]),
    st.integers(1, 4),
    st.sampled_from([0, 0, 700]),
)
LOGS = st.lists(DRAFTS, min_size=1, max_size=6)
RATES = st.dictionaries(
    st.sampled_from(KEYS + [key for key in KEYS if key[0] == OWN] * 3),
    st.tuples(st.sampled_from([None, None, *DAYS[2:7]]), st.sampled_from(["0", "0.000001", "1.25", "7"])),
    min_size=1,
    max_size=4,
)
DEATHS = st.one_of(st.none(), st.none(), st.integers(0, 110))


@dataclass(frozen=True)
class Expected:
    """How a command ends.

    Attributes:
        codes: exit codes.
        publishes: whether it makes a snapshot; None: it may.
        closure: the last line it prints, if that is known.
    """

    codes: tuple[int, ...] = (0,)
    publishes: bool | None = True
    closure: str | None = None


REFUSED = Expected((2,), publishes=False)


@dataclass(frozen=True)
class Step:
    """A command line, and what it does to the books when its snapshot gets this number."""

    arguments: list[Path | str]
    do: Callable[[Books, int], Expected]


class Histories(RuleBasedStateMachine):
    """One warehouse and its books."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="costroll-histories-"))
        self.warehouse = self.folder / "warehouse"
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(rate_publishing, "shipped_card", lambda: card(CARD))
        self.books = Books([first_rates()])
        self.number = 0
        self.kept: dict[int, Books] = {}
        self.frozen: dict[str, dict[str, str]] = {}
        self.logged: list[Record] = []
        self.files: list[tuple[Path, list[Record]]] = []
        self.clock = 0

    def teardown(self) -> None:
        self.patch.undo()
        shutil.rmtree(self.folder)

    # -- what people and cron do

    @initialize(drafts=LOGS)
    def the_first_night(self, drafts: list[Draft]) -> None:
        self.does(self.night([self.written([self.made(draft) for draft in drafts])]))

    @rule(drafts=LOGS, dies_at=DEATHS)
    def a_night_with_one_log(self, drafts: list[Draft], dies_at: int | None) -> None:
        self.does(self.night([self.written([self.made(draft) for draft in drafts])]), dies_at)

    @rule(logs=st.lists(LOGS, min_size=2, max_size=2), dies_at=DEATHS)
    def a_night_with_new_logs(self, logs: list[list[Draft]], dies_at: int | None) -> None:
        """Also late records, conflicts, buckets and what was logged before."""
        self.does(self.night([self.written([self.made(draft) for draft in drafts]) for drafts in logs]), dies_at)

    @precondition(lambda self: self.logged)
    @rule(places=st.lists(st.integers(0, 99), min_size=1, max_size=6), fresh=LOGS, dies_at=DEATHS)
    def an_export_that_overlaps(self, places: list[int], fresh: list[Draft], dies_at: int | None) -> None:
        """Old records in another order, new ones between them."""
        old = [self.logged[place % len(self.logged)] for place in places]
        new = [self.made(draft) for draft in fresh]
        mixed = [record for pair in zip(old, new, strict=False) for record in pair]
        self.does(self.night([self.written([*mixed, *old[len(new) :]])]), dies_at)

    @precondition(lambda self: self.files)
    @rule(places=st.lists(st.integers(0, 99), min_size=1, max_size=4), dies_at=DEATHS)
    def the_same_files_again(self, places: list[int], dies_at: int | None) -> None:
        self.does(self.night([self.files[place % len(self.files)] for place in places]), dies_at)

    @rule(offered=RATES, dies_at=DEATHS)
    def rates_are_imported(self, offered: dict[Any, tuple[date | None, str]], dies_at: int | None) -> None:
        file = self.folder / f"rates-{len(list(self.folder.glob('rates-*')))}.csv"
        with file.open("w") as out:
            writer = csv.writer(out)
            writer.writerow(RATE_FIELDS)
            for key, (since, rate) in offered.items():
                writer.writerow(["openai", *key, 0, since or "", "", rate, "published", "high", "a history"])

        def do(books: Books, number: int) -> Expected:
            table = {key: dict(days) for key, days in books.rates[-1].items()}
            for key, (since, rate) in offered.items():
                days = {day: Decimal(rate) for day in DAYS if since is None or day >= since}
                table[key] = table.get(key, {}) | days
            is_other = table != books.rates[-1]
            books.rates = [*books.rates, table]
            return Expected(publishes=True if is_other else None)

        self.does(Step(["rates", "import", file, "--correct", "--apply"], do), dies_at)

    @precondition(lambda self: len(self.books.rates) > 1)
    @rule(dies_at=DEATHS)
    def the_newest_rates_are_taken_back(self, dies_at: int | None) -> None:
        newest = len(self.books.rates)

        def do(books: Books, number: int) -> Expected:
            if len(books.rates) != newest:  # it died after it was done, and is tried again
                return REFUSED
            books.rates = [*books.rates, books.rates[newest - 2]]
            return Expected()

        self.does(Step(["rates", "undo", str(newest), "--apply"], do), dies_at)

    @precondition(lambda self: self.number)
    @rule(back=st.one_of(st.none(), st.integers(0, 3)), dies_at=DEATHS)
    def the_days_are_repriced(self, back: int | None, dies_at: int | None) -> None:
        """With the newest rates, or as they were known some versions ago; the plan says what comes of it."""
        version = None if back is None else max(len(self.books.rates) - back, 1)
        asked = [] if version is None else ["--as-known-on", str(version)]
        books = deepcopy(self.books)
        books.reprice(version)
        plan = self.ran(["reprice", "--json", *asked])
        assert plan.code == 0, plan
        assert Decimal(plan.said["new_cost_usd"]) == books.cost()

        def do(books: Books, number: int) -> Expected:
            # The same price from another row of the table shows in a file's bytes, and not in the books.
            return Expected((0, 3), True if books.reprice(version) else None)

        self.does(Step(["reprice", "--apply", *asked], do), dies_at)

    @precondition(lambda self: self.number)
    @rule(month=st.sampled_from(MONTHS), dies_at=DEATHS)
    def a_month_is_closed(self, month: str, dies_at: int | None) -> None:
        def do(books: Books, number: int) -> Expected:
            if not books.is_closable(month):
                return REFUSED
            books.closed[month] = number
            return Expected()

        self.does(Step(["close", month], do), dies_at)

    @precondition(lambda self: self.books.closed)
    @rule(place=st.integers(0, 9), dies_at=DEATHS)
    def a_month_is_reopened(self, place: int, dies_at: int | None) -> None:
        month = sorted(self.books.closed)[place % len(self.books.closed)]

        def do(books: Books, number: int) -> Expected:
            if month not in books.closed:
                return REFUSED
            books.reopen(month)
            return Expected()

        self.does(Step(["reopen", month, "--reason", "a history"], do), dies_at)

    @precondition(lambda self: self.number)
    @rule(back=st.integers(1, 6), dies_at=DEATHS)
    def the_warehouse_is_rolled_back(self, back: int, dies_at: int | None) -> None:
        number = self.number - back
        target = deepcopy(self.kept.get(number))

        def do(books: Books, number: int) -> Expected:
            if target is None or target.closed != books.closed:
                return REFUSED
            vars(books).update(vars(deepcopy(target)))
            return Expected()

        self.does(Step(["rollback", str(number)], do), dies_at)

    @precondition(lambda self: self.number)
    @rule(snapshots=st.integers(1, 5), dies_at=DEATHS)
    def old_snapshots_are_removed(self, snapshots: int, dies_at: int | None) -> None:
        (self.warehouse / "costroll.toml").write_text(f"[retention]\nsnapshots = {snapshots}\nhours = 0\n")
        self.does(Step(["gc"], lambda books, number: Expected(publishes=False)), dies_at)
        stay = {*sorted(self.kept)[-snapshots:], self.number, *self.books.closed.values()}
        self.kept = {number: books for number, books in self.kept.items() if number in stay}

    @precondition(lambda self: self.number)
    @rule()
    def an_analyst_asks(self) -> None:
        query = "SELECT day, account_id, model, tier, meter, caching_status, sum(quantity), sum(cost_usd) FROM rollups"
        ran = self.ran(["sql", f"{query} GROUP BY ALL", "--format", "csv"])
        answered = {tuple(row[:6]): (int(row[6]), row[7]) for row in list(csv.reader(io.StringIO(ran.out)))[1:]}

        sums: dict[tuple[str, ...], tuple[int, Decimal | None]] = {}
        for (day, _), cells in self.books.booked.items():
            for cell, quantity in cells.items():
                key = (str(day), cell.item.account, *cell.item.rate_key)
                before, cost = sums.get(key, (0, None)), cell.cost(quantity)
                known = [one for one in (before[1], cost) if one is not None]
                sums[key] = before[0] + quantity, sum(known, Decimal(0)) if known else None
        assert {key: (number, Decimal(cost) if cost else None) for key, (number, cost) in answered.items()} == sums

    # -- what holds after each of them

    @invariant()
    def the_warehouse_and_the_books_agree(self) -> None:
        seen = read(self.warehouse)  # also proves each snapshot that is kept
        assert seen.number == self.number
        if not self.number:
            return
        snapshots = self.warehouse / "snapshots"
        numbers = {int(path.name) for path in snapshots.iterdir()}
        assert numbers == self.kept.keys()
        assert leftovers(self.warehouse) == []
        rows = rollups_of(self.warehouse)
        assert rows == booked_rows(self.books)
        assert requests_of(self.warehouse) == sorted(
            (one.account, one.request_id, one.day, one.second, one.uncached, one.cached, one.output)
            for of_day in self.books.requests.values()
            for one in of_day.values()
        )
        manifest = json.loads((self.warehouse / "current" / "MANIFEST.json").read_text())
        assert Decimal(manifest["totals"]["cost_usd"]) == sum(cost or 0 for _, cost in rows.values())
        assert {month: record["snapshot"] for month, record in manifest["closed"].items()} == self.books.closed

    @invariant()
    def closed_months_keep_their_files(self) -> None:
        hashes = dict(read(self.warehouse).rollups)
        self.frozen = {month: files for month, files in self.frozen.items() if month in self.books.closed}
        for month in self.books.closed:
            now = {name: sha256 for name, sha256 in hashes.items() if booked_in(name) == month}
            assert self.frozen.setdefault(month, now) == now

    @invariant()
    def verify_proves_it(self) -> None:
        if self.number:
            ran = self.ran(["verify"])
            assert ran.code == 0, ran.out

    # -- how a step is taken

    def does(self, step: Step, dies_at: int | None = None) -> None:
        """Run a command; dead at some call, the old state or the new one is there, and the command runs again."""
        if dies_at is None or not self.dies(step, dies_at):
            self.settles(step)

    def dies(self, step: Step, dies_at: int) -> bool:
        """Whether the process died at that call; if the command ended before it, its end is examined."""
        disk = DyingDisk(self.folder, dies_at)
        ran = None
        try:
            with disk.watching():
                ran = self.ran(step.arguments)
        except DiedError:
            pass
        if not disk.has_died:
            assert ran is not None
            self.ended(step, ran)
            return True
        number = read(self.warehouse).number
        if number != self.number:
            self.published(number, step)
        self.settles(step)  # what it met may be done already: then it changes nothing, or says so
        self.settles(self.night([self.files[0] if self.files else self.written([EXAMPLE])]))
        return True

    def settles(self, step: Step) -> None:
        self.ended(step, self.ran(step.arguments))

    def ended(self, step: Step, ran: Ran) -> None:
        """Compare how a command ended with what the books say."""
        expected = step.do(deepcopy(self.books), self.number + 1)
        assert ran.code in expected.codes, (step.arguments, ran)
        if expected.closure:
            assert ran.closure == expected.closure
        number = read(self.warehouse).number
        assert expected.publishes in (None, number != self.number), (step.arguments, ran)
        if number != self.number:
            self.published(number, step)

    def published(self, number: int, step: Step) -> None:
        assert number == self.number + 1
        assert step.do(self.books, number).publishes is not False
        self.number = number
        self.kept[number] = deepcopy(self.books)

    def ran(self, arguments: Sequence[Path | str]) -> Ran:
        threads = ["--threads", "1"] if arguments[0] == "run" else []
        return costroll(*arguments, *threads, "--warehouse", self.warehouse)

    def night(self, files: Sequence[tuple[Path, list[Record]]]) -> Step:
        def do(books: Books, number: int) -> Expected:
            is_known = all(tuple(records) in books.known_contents for _, records in files)
            night = books.read([records for _, records in files])
            fates = " + ".join(f"{name} {night.fates[name]}" for name in FATES)
            # A known content under another name is remembered, so that the next run need not open it.
            publishes = True if night.days or not is_known else None
            return Expected((0, 3), publishes, f"read {sum(night.fates.values())} = {fates}")

        return Step(["run", *(path for path, _ in files)], do)

    def written(self, records: list[Record]) -> tuple[Path, list[Record]]:
        path = write_jsonl(self.folder / f"{len(self.files):04d}.jsonl", [line(record) for record in records])
        self.files.append((path, records))
        self.logged += records
        return self.files[-1]

    def made(self, draft: Draft) -> Record:
        """The record; whatever is new differs in its second or size from all others, so no tie needs a hash."""
        self.clock += 1
        old = self.logged[draft.place % len(self.logged)] if self.logged else None
        if draft.kind == "again" and old:
            return old
        if draft.kind == "bucket":
            size = draft.size, 1000 * draft.size + self.clock, 1000 * draft.cached, 50
            return Bucket(draft.account, draft.day, draft.model, *size)
        uncached, cached, output = 1000 * (draft.size - 1), draft.cached, 100 * draft.size
        made = Request(
            draft.account, f"r{draft.place}", draft.day, self.clock, draft.model, draft.tier, uncached, cached, output
        )
        if isinstance(old, Request) and draft.kind in ("changed", "moved"):
            day = old.day + timedelta(days=1) if draft.kind == "moved" else old.day
            made = made._replace(account=old.account, request_id=old.request_id, day=day if day in DAYS else old.day)
        return made


FATES = ("accepted", "duplicate", "conflict", "excluded", "rejected")
EXAMPLE = Request("acme", "example", DAYS[0], 0, MINI, "standard", 1000, 0, 100)


def line(record: Record) -> dict[str, Any]:
    """A request as a plain record; a bucket as OpenAI's API tells it."""
    counts = {"input_cached_tokens": record.cached, "output_tokens": record.output}
    if isinstance(record, Request):
        at = datetime(record.day.year, record.day.month, record.day.day) + timedelta(seconds=record.second)
        names = {"request_id": record.request_id, "account_id": record.account, "tier": record.tier}
        names |= {"occurred_at": f"{at.isoformat()}Z", "model": record.model}
        return names | counts | {"input_uncached_tokens": record.uncached}
    start = (record.day - date(1970, 1, 1)).days * 86_400
    result = {"object": "organization.usage.completions.result", "organization_id": record.account, "batch": False}
    result |= {"model": record.model, "num_model_requests": record.requests, **counts}
    result["input_tokens"] = record.uncached + record.cached
    return {"object": "bucket", "start_time": start, "end_time": start + 86_400, "results": [result]}


def first_rates() -> dict[Any, dict[date, Decimal]]:
    """The card, day by day."""
    rates: dict[Any, dict[date, Decimal]] = {}
    for row in CARD.strip().splitlines():
        model, tier, meter, status, _, since, until, rate = row.split()
        days = {day: Decimal(rate) for day in DAYS if since <= str(day) and (until == "-" or str(day) < until)}
        rates.setdefault((model, tier, meter, status), {}).update(days)
    return rates


def booked_in(name: str) -> str:
    """The accounting period of a rollup file."""
    return name.partition("corrections-")[2][:7] or name.removeprefix("rollups/")[:7]


Row = tuple[date, str, str, Cell]


def booked_rows(books: Books) -> dict[Row, tuple[int, Decimal | None]]:
    """What the rollups must hold: day, accounting period, charge class and cell -> quantity and cost."""
    return {
        (day, period, "usage" if period == f"{day:%Y-%m}" and quantity > 0 else "correction", cell): (
            quantity,
            cell.cost(quantity),
        )
        for (day, period), cells in books.booked.items()
        for cell, quantity in cells.items()
    }


def rollups_of(warehouse: Path) -> dict[Row, tuple[int, Decimal | None]]:
    """What they hold."""
    found = {}
    for file in sorted((warehouse / "current" / "rollups").glob("*.parquet")):
        for row in pl.read_parquet(file).iter_rows(named=True):
            assert row["accounting_period"] == booked_in(f"rollups/{file.name}")
            assert row["list_cost_usd"] == row["cost_usd"]
            key = row["model"], row["tier"], row["meter"], row["caching_status"]
            item = Item(row["account_id"], row["source_kind"], key)
            cell = Cell(item, row["rate_usd_per_million"], row["price_status"])
            place = row["day"], row["accounting_period"], row["charge_class"], cell
            assert place not in found
            found[place] = row["quantity"], row["cost_usd"]
    return found


def requests_of(warehouse: Path) -> list[tuple[Any, ...]]:
    """The accepted requests."""
    files = sorted((warehouse / "current" / "usage").rglob("*.parquet"))
    if not files:
        return []
    rows = pl.concat([pl.read_parquet(file) for file in files]).filter(pl.col("source_kind") == "request")
    second = (pl.col("occurred_at") - pl.col("day").cast(pl.Datetime("us"))).dt.total_seconds()
    counts = ("input_uncached_tokens", "input_cached_tokens", "output_tokens")
    return sorted(rows.select("account_id", "request_id", "day", second.alias("second"), *counts).rows())


EXAMPLES = int(os.environ.get("COSTROLL_HISTORIES", "0"))
Histories.TestCase.settings = settings(
    max_examples=EXAMPLES or 3,
    stateful_step_count=50 if EXAMPLES else 14,
    derandomize=not EXAMPLES,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if EXAMPLES else [])],
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
TestHistories = Histories.TestCase
