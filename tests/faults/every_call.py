"""One command line, and every fault at each of its calls.

The process forks before each call that changes the warehouse. The child meets the fault there and goes on to its end;
the parent waits, puts the resulting folder aside, restores the folder, and goes on to the next fault and the next call.
So the error paths are the real ones, and a command with 150 calls meets 600 faults in seconds.

    python -m tests.faults.every_call PLACE ASIDE KINDS REPORT COMMAND...

PLACE holds the warehouse, ASIDE is an empty folder, KINDS are such as `kill,EIO,ENOSPC`; with `-` nothing fails,
and the report lists the calls alone.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.faults.disk import FAULTS, Call, Disk, Fault
from tests.faults.forking import CHECKOUT

PATIENCE = 15


@dataclass(frozen=True)
class Outcome:
    """What one fault did.

    Attributes:
        call: where it struck, as text.
        fault: which, as text.
        code: the exit code, or minus the signal.
        printed: on both streams.
        state: the folder it left, equal ones once.
    """

    call: str
    fault: str
    code: int
    printed: str
    state: str


@dataclass(frozen=True)
class Report:
    """What one command line met.

    Attributes:
        code: its exit code where nothing failed.
        calls: all calls on the warehouse.
        outcomes: of every fault at each call.
    """

    code: int
    calls: list[Call]
    outcomes: list[Outcome]


def every_call(place: Path, aside: Path, kinds: str, *command: Path | str, tracer: Sequence[str] = ()) -> Report:
    """Run the command line with every fault of these kinds at each call; `tracer` is put before the process."""
    report = aside.with_name(f"{aside.name}.report")
    arguments = [*tracer, sys.executable, "-m", "tests.faults.every_call", place, aside, kinds, report, *command]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    ran = subprocess.run(
        [str(one) for one in arguments], env=environment, check=False, capture_output=True, text=True, cwd=CHECKOUT
    )
    assert ran.returncode == 0, ran.stderr
    found = pickle.loads(report.read_bytes())
    assert isinstance(found, Report)
    return found


class AtOnce:
    """A thread pool without threads: what a fork would lose."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __enter__(self) -> AtOnce:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Do it now; an error ends the block at once, since in a child nothing else can go on."""
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future

    def shutdown(self, *_: Any, **__: Any) -> None:
        """Nothing is left to do."""


class WhenAsked(AtOnce):
    """The same, where the work is begun when its result is asked for: a fork cannot close a database that is open."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Leave it until then."""
        future: Future[Any] = Future()
        future.result = cache(lambda timeout=None: function(*arguments))  # type: ignore[method-assign]
        return future


class Brancher:
    """Forks before each call."""

    def __init__(self, place: Path, aside: Path, kinds: list[str]) -> None:
        self.outcomes: list[Outcome] = []
        self.fault: Fault | None = None  # in a child: what it met
        self.disk = Disk(place, self.before)
        self._place, self._aside = place, aside
        self._faults = [fault for fault in FAULTS if fault.kind in kinds]
        self._seen: dict[Any, str] = {}

    def before(self, call: Call) -> None:
        """Live through every fault at this call, in children."""
        assert threading.current_thread() is threading.main_thread(), call
        if self.fault:
            if self.fault.is_lasting and self.fault.concerns(call):
                self.fault.strike(call, lambda: None)
            return
        for fault in self._faults:
            if fault.concerns(call):
                self._branch(call, fault)

    def _branch(self, call: Call, fault: Fault) -> None:
        spare, output = self._aside / "spare", self._aside / "printed"
        same_tree(self._place, spare)
        pid = os.fork()
        if pid == 0:
            signal.alarm(PATIENCE)
            self.fault = fault
            descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            faulthandler.dump_traceback_later(PATIENCE - 5)  # says where a child hangs
            fault.strike(call, lambda: self._tear(call))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        printed = output.read_text() if output.exists() else ""
        output.unlink(missing_ok=True)
        assert code != -signal.SIGALRM, f"{call}, {fault}: still running after {PATIENCE} s\n{printed}"
        self.outcomes.append(Outcome(str(call), str(fault), code, printed, self._put_aside()))
        os.rename(spare, self._place)

    def _tear(self, call: Call) -> None:
        """Have half of the data reach the file."""
        path = self._place / call.path
        if call.name == "library":
            os.truncate(path, len(call.data) // 2)
        else:
            with path.open("r+b") as file:
                file.seek(call.at if call.at is not None else path.stat().st_size)
                file.write(call.data[: len(call.data) // 2])

    def _put_aside(self) -> str:
        """Keep the folder as the child left it; a name for each different one."""
        for path in (self._place / name for name in self.disk.open_files()):
            if path.is_file() and not path.is_symlink():  # the parent goes on writing into it
                data = path.read_bytes()
                path.unlink()
                path.write_bytes(data)
        key = tuple(sorted(_identity(path, self._place) for path in self._place.rglob("*")))
        if key in self._seen:
            shutil.rmtree(self._place)
        else:
            self._seen[key] = f"{len(self._seen):04d}"
            os.rename(self._place, self._aside / self._seen[key])
        return self._seen[key]


def _identity(path: Path, place: Path) -> tuple[Any, ...]:
    relative = path.relative_to(place).as_posix()
    if path.is_symlink():
        return relative, os.readlink(path)
    if path.is_dir():
        return relative, "folder"
    return relative, "" if path.name == ".lock" else str(hash(path.read_bytes()))


def same_tree(source: Path, target: Path) -> None:
    """A second tree of the same files, as hard links."""
    target.mkdir()
    for entry in os.scandir(source):
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), target / entry.name)
        elif entry.is_dir():
            same_tree(Path(entry.path), target / entry.name)
        else:
            os.link(entry.path, target / entry.name)


def main() -> None:
    """See above."""
    place, aside, kinds, report = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3].split(","), Path(sys.argv[4])
    from etl import booking, pipeline, settlement, snapshot_builder
    from etl.cli import exit_code_of
    from tests.faults.forking import import_everything

    import_everything()
    # Folders are put aside and restored between two calls: removals must go by names, not by open folders.
    shutil._use_fd_functions = False  # type: ignore[attr-defined]
    # A fork has one thread only.
    for module in (booking, settlement, snapshot_builder):
        module.ThreadPoolExecutor = AtOnce  # type: ignore[attr-defined]
    pipeline.ThreadPoolExecutor = WhenAsked  # type: ignore[attr-defined]
    brancher = Brancher(place, aside, kinds)
    with brancher.disk.watching():
        code = exit_code_of(sys.argv[5:])
    if brancher.fault:  # this is a child
        sys.stdout.flush()
        os._exit(code)
    outcome = Report(code, brancher.disk.calls, brancher.outcomes)
    report.write_bytes(pickle.dumps(outcome))


if __name__ == "__main__":
    from tests.faults import every_call  # so that the report's classes have their module's name

    every_call.main()
