"""A fault at every call that changes the warehouse: the old snapshot or the new one, the right exit code, and it heals.

The kill -9, the I/O error and the full disk strike before each call in turn, once and from then on, and in the middle
of each write (tests/faults). Afterwards a reader who knows nothing of Costroll looks, and the command runs again.

`make test-faults` runs all command lines with all faults and runs all of them again; `make test` a part of it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.disk import CHANGING_FLAGS, Call
from tests.faults.every_call import Outcome, every_call
from tests.faults.forking import Forking
from tests.faults.reader import Seen, leftovers, read
from tests.nights import NOON, chat, costroll, write_jsonl

IS_LONG = bool(os.environ.get("COSTROLL_FAULTS"))
DAY = 86_400
RERUNS_IN_SHORT = 10


@dataclass(frozen=True)
class Scenario:
    """A command line, and what was done before it.

    Attributes:
        earlier: command lines, without `--warehouse`.
        command: the one that meets the faults.
        code: how it ends where nothing fails.
        publishes: whether it makes a new snapshot.
        codes_again: how it may end when it runs once more after a fault.
        settings: what stands in costroll.toml.
    """

    earlier: list[list[str]]
    command: list[str]
    code: int = 3
    publishes: bool = True
    codes_again: tuple[int, ...] = (0, 3)
    settings: str = ""


# The second night brings a day that is new, a late record for one that was published, and nothing for the first day.
FIRST, BOTH = ["run", "one.jsonl", "--threads", "1"], ["run", "one.jsonl", "two.jsonl", "--threads", "1"]
KEEP_ONE = "[retention]\nsnapshots = 1\nhours = 0\n"
SCENARIOS = {
    "a night": Scenario([FIRST], BOTH),
    "a first run": Scenario([], FIRST),
    "rollback": Scenario([FIRST, BOTH], ["rollback", "1"], code=0),
    "gc": Scenario([FIRST, BOTH], ["gc"], code=0, publishes=False, settings=KEEP_ONE),
    "close": Scenario([FIRST], ["close", "2026-06"], code=0, codes_again=(0, 2)),
}
IN_SHORT = {"a night": "kill,EIO,ENOSPC", "a first run": "kill"}
ALL = "kill,EIO,ENOSPC"


@pytest.fixture(scope="module")
def forking() -> Iterator[Forking]:
    with Forking() as process:
        yield process


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_jsonl(tmp_path / "one.jsonl", [chat("a"), chat("b", NOON + DAY), "garbage"])
    write_jsonl(tmp_path / "two.jsonl", [chat("c", NOON + DAY), chat("d", NOON + 2 * DAY), "rubbish"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def prepared(place: Path, scenario: Scenario) -> Path:
    """The warehouse as the command will meet it."""
    place.mkdir()
    for earlier in scenario.earlier:
        costroll("--warehouse", place / "warehouse", *absolute(earlier, place.parent), with_database=True)
    if scenario.settings:
        (place / "warehouse" / "costroll.toml").write_text(scenario.settings)
    return place / "warehouse"


def absolute(arguments: list[str], logs: Path) -> list[str]:
    return [str(logs / one) if one.endswith(".jsonl") else one for one in arguments]


@pytest.mark.parametrize(
    ("name", "kinds"),
    [(name, ALL) for name in SCENARIOS] if IS_LONG else IN_SHORT.items(),
)
def test_a_fault_at_any_call_leaves_the_old_snapshot_or_the_new_one_and_heals(
    name: str, kinds: str, logs: Path, forking: Forking
) -> None:
    scenario = SCENARIOS[name]
    command = absolute(scenario.command, logs)
    warehouse = prepared(logs / "place", scenario)
    old = read(warehouse)
    (logs / "aside").mkdir()

    report = every_call(logs / "place", logs / "aside", kinds, "--warehouse", warehouse, *command)

    new = read(warehouse)
    assert (report.code, new.number) == (scenario.code, old.number + scenario.publishes)
    struck = {outcome.call for outcome in report.outcomes if outcome.fault == "kill"}
    assert struck == {str(call) for call in report.calls if call.name != "library"} | struck
    for outcome in report.outcomes:
        examine(outcome, read(logs / "aside" / outcome.state / "warehouse"), scenario, old, new)
    states = sorted({outcome.state for outcome in report.outcomes})
    for state in states if IS_LONG else states[:: max(1, len(states) // RERUNS_IN_SHORT)]:
        run_again(forking, logs / "aside" / state / "warehouse", command, scenario, new)
    summary = Counter(outcome.fault for outcome in report.outcomes)
    faults = f"{sum(summary.values())} faults {dict(summary)}"
    sys.stdout.write(f"{name}: {len(report.calls)} calls, {faults}, {len(states)} states\n")


def examine(outcome: Outcome, seen: Seen, scenario: Scenario, old: Seen, new: Seen) -> None:
    """Nothing between old and new; and a command says 0 or 3 only when the new one is there."""
    at = f"{outcome.fault} at {outcome.call}: exit {outcome.code}\n{outcome.printed}"
    assert seen.number in (old.number, new.number), at
    assert seen.rollups == (new if seen.number == new.number else old).rollups, at
    assert "Traceback" not in outcome.printed, at
    if outcome.fault.startswith("kill"):
        assert outcome.code == -9, at
    elif outcome.code != 5:  # only what is no loss may fail unnoticed: the last close of the lock, a name to sweep
        assert (outcome.code, seen.number) == (scenario.code, new.number), at
        assert outcome.call.startswith(("unlink ", "rmdir ", "close warehouse/.lock")), at
    else:
        assert "costroll: cannot " in outcome.printed or " is published, but" in outcome.printed, at


def run_again(forking: Forking, warehouse: Path, command: list[str], scenario: Scenario, new: Seen) -> None:
    """The next run ends where the undisturbed one did, byte for byte, and leaves nothing behind."""
    again = forking.run("--warehouse", warehouse, *command)
    assert again.code in scenario.codes_again, again
    assert read(warehouse).rollups == new.rollups
    assert leftovers(warehouse) == []
    proof = forking.run("--warehouse", warehouse, "verify")
    assert proof.code == 0, proof


def changes_seen_by_strace(trace: str, place: Path) -> Counter[tuple[str, str]]:
    """The calls that change the folder, by name and path."""
    found: Counter[tuple[str, str]] = Counter()
    started: dict[str, str] = {}
    for line in trace.splitlines():
        pid, _, text = line.partition(" ")
        text = text.strip()
        if text.endswith("<unfinished ...>"):
            started[pid] = text.removesuffix("<unfinished ...>").rstrip()
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", text):
            text = started.pop(pid) + " " + resumed[1]
        if match := re.match(r"(\w+)\((.*)", text):
            call, paths = match[1], re.findall(rf'[<"]{re.escape(str(place))}(?:/([^">]*))?[>"]', match[2])
            name = NAMES.get(call, call)
            if paths and name in CHANGES and (name != "open" or CHANGES_WHAT_IT_OPENS.search(match[2])):
                found[name, paths[0] or "."] += 1
    return found


NAMES = {
    "openat": "open",
    "pwrite64": "pwrite",
    "renameat": "rename",
    "renameat2": "rename",
    "linkat": "link",
    "symlinkat": "symlink",
    "mkdirat": "mkdir",
    "unlinkat": "unlink",
    "fchmodat": "chmod",
}
CHANGES = {
    *("open", "write", "pwrite", "writev", "pwritev", "fsync", "fdatasync", "sync_file_range", "ftruncate", "truncate"),
    *("fallocate", "copy_file_range", "sendfile", "rename", "link", "symlink", "mkdir", "rmdir", "unlink", "chmod"),
    *("fchmod", "chown", "fchown", "utimensat", "setxattr", "mknod", "flock", "msync"),
}
CHANGES_WHAT_IT_OPENS = re.compile(r"O_(WRONLY|RDWR|CREAT|TRUNC)")
DUCKDBS_OWN = {".staging-costroll.duckdb", ".staging-costroll.duckdb.wal"}


@pytest.mark.parametrize("name", SCENARIOS if IS_LONG else IN_SHORT)
def test_no_call_escapes_the_faults(name: str, logs: Path) -> None:
    """What strace sees of the warehouse is what the faults strike, call by call; only DuckDB writes its own file."""
    if not shutil.which("strace") or subprocess.run(["strace", "-o", "/dev/null", "true"], check=False).returncode:
        pytest.skip("needs strace, and the right to trace a process")
    warehouse = prepared(logs / "place", SCENARIOS[name])
    (logs / "aside").mkdir()
    watch = ["strace", "-f", "-y", "-s", "0", "-o", str(logs / "trace")]
    calls = "trace=" + ",".join(sorted({*CHANGES, *NAMES} - {"open", "pwrite", "pwritev"} | {"?open", "?pwritev"}))

    command = ["--warehouse", warehouse, *absolute(SCENARIOS[name].command, logs)]
    report = every_call(logs / "place", logs / "aside", "-", *command, tracer=[*watch, "-e", calls])

    seen = changes_seen_by_strace((logs / "trace").read_text(), logs / "place")
    struck = Counter((call.name, call.path) for call in report.calls if is_a_change(call))
    assert sum(seen.values()) > 20  # `gc` changes least
    assert struck - seen == Counter()
    assert {path.removeprefix("warehouse/") for _, path in seen - struck} <= DUCKDBS_OWN


def is_a_change(call: Call) -> bool:
    return call.name not in ("close", "open to read", "library")


def test_the_flags_of_an_open_that_changes_something_are_known() -> None:
    assert CHANGING_FLAGS & os.O_RDONLY == 0
    assert all(CHANGING_FLAGS & flag for flag in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC))
