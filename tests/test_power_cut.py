"""A power cut at any instant leaves the old snapshot or the new one, and what was reported as done stays done.

The calls of real command lines are replayed on a model of a disk that loses and reorders whatever was not synced
(tests/faults/power_cut.py). Every folder it may leave is looked at by a reader who knows nothing of Costroll. And
since such a test is worth only what it can find, each fsync is taken away in turn: without it, the model must find a
violation.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.faults.disk import ETL, Call
from tests.faults.every_call import every_call, same_tree
from tests.faults.forking import Forking
from tests.faults.power_cut import File, Folder, Model, State, from_disk, materialise
from tests.faults.reader import BrokenError, Seen, leftovers, read
from tests.nights import NOON, chat, write_jsonl

IS_LONG = bool(os.environ.get("COSTROLL_FAULTS"))
DAY = 86_400
SEEDS = range(20) if IS_LONG else range(1)
RERUNS = 200 if IS_LONG else 6


@dataclass(frozen=True)
class Recording:
    """What one or more command lines did to a place, one after the other.

    Attributes:
        before: the place, all of which is on the disk.
        calls: in order.
        old: what a reader saw before.
        new: what he must see at the end.
        command: the last command line, without `--warehouse`.
        databases: each whole costroll.duckdb that there may be, the last one last.
        warehouse: where it is in the place.
        has_note: whether last_run.json could be written; a run without it ends well too.
    """

    name: str
    before: Path
    calls: tuple[Call, ...]
    old: Seen
    new: Seen
    command: tuple[str, ...]
    databases: tuple[bytes, ...]
    warehouse: str = "warehouse"
    has_note: bool = True

    def without(self, frame: str) -> Recording:
        """The same as if no fsync came through this line of etl/."""
        return replace(self, calls=tuple(call for call in self.calls if call.name != "fsync" or frame not in call.site))


def record(name: str, place: Path, command: Sequence[Path | str], start: Recording | None = None) -> Recording:
    """Run a command line on the warehouse of a place and keep its calls; `start` has what came before."""
    warehouse = place / (start.warehouse if start else "warehouse")
    before = place.with_name(f"{place.name}-{name}-before")
    same_tree(place, before)
    database = warehouse / "costroll.duckdb"
    databases = [database.read_bytes()] if database.exists() else []
    old = read(warehouse)
    arguments = tuple(str(one) for one in command)
    report = every_call(place, place.with_name(f"{place.name}-{name}"), "-", "--warehouse", warehouse, *arguments)
    new = read(warehouse)
    databases.append(database.read_bytes())
    if start is None:
        return Recording(name, before, tuple(report.calls), old, new, arguments, tuple(databases))
    return replace(
        start,
        name=name,
        calls=(*start.calls, *report.calls),
        new=new,
        command=arguments,
        databases=(*start.databases, *databases),
    )


def killed(recording: Recording, place: Path, last: str) -> Recording:
    """What was done when a kill struck right after the last call that reads so; its folder is put at `place`."""
    at = max(at for at, call in enumerate(recording.calls, 1) if str(call) == last)
    calls = recording.calls[:at]
    materialise(everything(recording.before, calls), place)
    return replace(recording, calls=calls)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    """A first run, a night, and runs that find a warehouse as a kill left it: in memory whole, not yet on the disk."""
    folder = tmp_path_factory.mktemp("power")
    one = write_jsonl(folder / "one.jsonl", [chat("a"), chat("b", NOON + DAY), "garbage"])
    two = write_jsonl(folder / "two.jsonl", [chat("c", NOON + DAY), chat("d", NOON + 2 * DAY), "rubbish"])
    run_one, run_both = ["run", one, "--threads", "1"], ["run", one, two, "--threads", "1"]
    moved = "rename warehouse/.current.new -> warehouse/current"
    replaced = "rename warehouse/.staging-costroll.duckdb -> warehouse/costroll.duckdb"

    (folder / "empty").mkdir()
    nowhere = Recording("", folder / "empty", (), Seen(0), Seen(0), (), (), "new/warehouse")
    (folder / "first").mkdir()
    first = record("first run", folder / "first", run_one, nowhere)
    begun = killed(first, folder / "begun", "chmod new/warehouse")
    first_again = record("first run, killed at once", folder / "begun", run_one, begun)

    place = folder / "place"
    same_tree(folder / "first" / "new", place)
    same_tree(place, folder / "in use")
    (folder / "in use" / "warehouse" / "costroll.duckdb.wal").write_bytes(b"of someone who wrote into the database")
    in_use = record("night on a database in use", folder / "in use", run_both)
    night = record("night", place, run_both)
    undone = killed(night, folder / "undone", moved)
    night_again = record("night, killed after its commit", folder / "undone", run_both, undone)
    undone = killed(night_again, folder / "twice", replaced)
    night_twice = record("night, killed twice", folder / "twice", run_both, undone)
    return [first, first_again, in_use, night, night_again, night_twice, without_note(night_twice)]


def without_note(recording: Recording) -> Recording:
    """The same where last_run.json could not be written: no other promise may rest on what that happens to sync."""
    kept = (call for call in recording.calls if call.name != "fsync" or not any("last_run." in at for at in call.site))
    return replace(recording, name=f"{recording.name}, without last_run.json", calls=tuple(kept), has_note=False)


def everything(before: Path, calls: Sequence[Call]) -> State:
    """The folder as a running process sees it."""
    model = Model(from_disk(before))
    for call in calls:
        model.do(call)
    states = model.states(random.Random(0))
    nothing = next(states)
    return next(states, nothing)


def instants(recording: Recording) -> Iterator[tuple[int, Model]]:
    """The model before each call and after the last."""
    model = Model(from_disk(recording.before))
    yield 0, model
    for at, call in enumerate(recording.calls, 1):
        model.do(call)
        yield at, model


class Reader:
    """Looks at states, at equal ones once."""

    def __init__(self, recording: Recording, scratch: Path) -> None:
        self.looked_at = 0
        self.states = 0
        self._recording, self._scratch, self._warehouse = recording, scratch, recording.warehouse
        self._known: dict[tuple[object, ...], Seen | str] = {}

    def violation(self, state: State, is_over: bool) -> str | None:
        """What a reader must not see; None when all is well."""
        self.states += 1
        database = state.get(f"{self._warehouse}/costroll.duckdb")
        if isinstance(database, bytes) and database not in self._recording.databases:
            return f"costroll.duckdb is torn: {len(database)} bytes"
        if is_over and database is None:
            return "costroll.duckdb is lost"
        if database == self._recording.databases[-1] and f"{self._warehouse}/costroll.duckdb.wal" in state:
            return "the log of an older costroll.duckdb beside the new one: DuckDB refuses to open it"
        if is_over and self._recording.has_note and not is_whole(state.get(f"{self._warehouse}/last_run.json")):
            return "last_run.json is lost or torn"
        seen = self._look(state)
        if isinstance(seen, str):
            return seen
        if seen.number == self._recording.new.number:
            return None if seen == self._recording.new else "the new snapshot has other rollups"
        if is_over:
            return f"snapshot {self._recording.new.number} was reported as published, and {seen.number} is there"
        return None if seen == self._recording.old else f"snapshot {seen.number} is neither the old nor the new one"

    def _look(self, state: State) -> Seen | str:
        own = f"{self._warehouse}/"
        visible = [path for path in state if path.startswith((f"{own}current", f"{own}snapshots"))]
        key = tuple((path, state[path]) for path in sorted(visible))
        if key not in self._known:
            self.looked_at += 1
            folder = self._scratch / f"{len(self._known)}"
            seen_by_reader = {path.removeprefix(own): state[path] for path in visible}
            materialise({"": None, **seen_by_reader}, folder)
            try:
                self._known[key] = read(folder)
            except (BrokenError, OSError) as error:
                self._known[key] = f"{error}"
            shutil.rmtree(folder)
        return self._known[key]


def is_whole(last_run: bytes | str | None) -> bool:
    """Whether the bytes are those of a JSON object that is not cut off."""
    return isinstance(last_run, bytes) and last_run.startswith(b"{") and last_run.endswith(b"}\n")


def first_violation(recording: Recording, scratch: Path) -> str | None:
    """The first violation found; None when the model finds none."""
    reader = Reader(recording, scratch)
    last = len(recording.calls)
    moved = min(at for at, call in enumerate(recording.calls) if call.other.endswith("/current"))
    for at, model in instants(recording):
        # Before the link moves, nothing can be seen that was not seen before: there is nothing to lose yet.
        if at < moved:
            continue
        for state in model.states(random.Random(at)):
            if problem := reader.violation(state, at == last):
                return f"after call {at} of {last}: {problem}"
    return None


def test_a_power_cut_at_any_instant_leaves_the_old_snapshot_or_the_new_one(
    recordings: list[Recording], tmp_path: Path
) -> None:
    for recording in recordings:
        reader = Reader(recording, tmp_path)
        for seed in SEEDS:
            for at, model in instants(recording):
                for state in model.states(random.Random(f"{seed} {at}")):
                    problem = reader.violation(state, at == len(recording.calls))
                    assert problem is None, f"{recording.name}: after {recording.calls[:at][-1:]}: {problem}"
        assert reader.looked_at >= 3
        told = f"{len(recording.calls)} calls, {reader.states:,} states, {reader.looked_at:,} different to a reader"
        sys.stdout.write(f"{recording.name}: {told}\n")


def test_the_next_run_heals_what_a_power_cut_left(recordings: list[Recording], tmp_path: Path) -> None:
    """Also what no reader sees: half a staging folder, files of zeros, a snapshot that was never published."""
    chance = random.Random(7)
    with Forking() as forking:
        for number in range(RERUNS):
            recording = recordings[number % len(recordings)]
            stop = chance.randrange(len(recording.calls) + 1)
            model = next(model for at, model in instants(recording) if at == stop)
            states = list(model.states(chance))
            place = materialise(chance.choice(states), tmp_path / str(number))
            warehouse = place / recording.warehouse

            again = forking.run("--warehouse", warehouse, *recording.command)

            assert again.code in (0, 3), again
            assert read(warehouse).rollups == recording.new.rollups
            assert leftovers(warehouse) == []
            proof = forking.run("--warehouse", warehouse, "verify")
            assert proof.code == 0, proof


def syncing_lines(recordings: Sequence[Recording]) -> list[str]:
    """The lines of etl/ that bring something to the disk, as the recordings met them."""
    frames = {frame for one in recordings for call in one.calls if call.name == "fsync" for frame in call.site}
    return sorted(frame for frame in frames if "sync" in source_of(frame))


def source_of(frame: str) -> str:
    module, _, rest = frame.rpartition(".")
    return (Path(ETL) / f"{module}.py").read_text().splitlines()[int(rest.partition(":")[2]) - 1]


def test_every_line_that_syncs_was_met(recordings: list[Recording]) -> None:
    """A sync that no recording reaches would not be proven needed below."""
    written = {
        f"{path.stem}:{number}"
        for path in Path(ETL).rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if ("_sync(" in line or "fsync_dir(" in line) and "def " not in line
    }
    met = {frame.partition(".")[0] + ":" + frame.partition(":")[2] for frame in syncing_lines(recordings)}

    assert written - met == set()


def test_without_any_one_fsync_a_power_cut_loses_something(recordings: list[Recording], tmp_path: Path) -> None:
    needless = []
    lines = syncing_lines(recordings)
    for line in lines:
        problems = (first_violation(one.without(line), tmp_path) for one in recordings if one != one.without(line))
        if not any(problems):
            needless.append(f"{line}: {source_of(line).strip()}")

    assert len(lines) >= 8
    assert needless == [], needless


def test_the_model_itself(tmp_path: Path) -> None:
    """A file that is written, renamed and never synced may be old, new, empty, torn, zeros or missing."""
    root = Folder(sure={"kept": File(b"old", b"old")})
    model = Model(root)
    for call in (
        Call("open", "fresh", does_create=True),
        Call("write", "fresh", data=b"news"),
        Call("rename", "fresh", "kept"),
    ):
        model.do(call)
    found = {state.get("kept") for state in model.states(random.Random(1))}
    assert found == {b"old", b"", b"news", b"ne", b"ne\0\0", b"\0\0\0\0"}

    model.do(Call("fsync", "kept"))
    assert {state.get("kept") for state in model.states(random.Random(1))} == {b"old", b"news"}
    model.do(Call("fsync", "."))
    assert list(model.states(random.Random(1))) == [{"": None, "kept": b"news"}]
    materialise({"": None, "a": None, "a/b": b"c", "l": "a"}, tmp_path / "state")
    assert (tmp_path / "state" / "l" / "b").read_bytes() == b"c"
