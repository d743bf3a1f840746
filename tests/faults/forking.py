"""Many short lives of `costroll`: one process that has imported everything forks for each command line.

A fork starts in milliseconds where a new process imports for a second, so hundreds of deaths fit into a test run.
The forking process itself has never run a command, so no thread or lock of a library is lost in the fork.

    python -m tests.faults.forking     reads requests on stdin, a JSON list of jobs a line; answers the same way
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 60  # seconds after which a command that still runs is a failure


@dataclass(frozen=True)
class Job:
    """One command line.

    Attributes:
        arguments: as after `costroll`.
        kill_after: seconds until SIGKILL; None lets it end.
        file_bytes_max: RLIMIT_FSIZE, which makes a write fail as on a full disk.
        fills_up_later: the disk had room when the run looked, so it starts.
    """

    arguments: list[str]
    kill_after: float | None = None
    file_bytes_max: int | None = None
    fills_up_later: bool = False


@dataclass(frozen=True)
class Ended:
    """How it ended: its exit code, or minus the signal that killed it, and what it printed, both streams."""

    code: int
    printed: str
    seconds: float


class Forking:
    """The forking process, as its client sees it."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "POLARS_MAX_THREADS": "2"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forking"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=CHECKOUT,
        )

    def __enter__(self) -> Forking:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._process.stdout.close()

    def all(self, jobs: Sequence[Job]) -> list[Ended]:
        """Start all jobs at once, and wait for all."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([asdict(job) for job in jobs]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the forking process died"
        return [Ended(**one) for one in json.loads(answer)]

    def run(self, *arguments: Path | str, **how: Any) -> Ended:
        """One command line."""
        return self.all([Job([str(argument) for argument in arguments], **how)])[0]


def import_everything() -> None:
    """What a command would import on its way."""
    import importlib

    from etl.cli import COMMANDS

    for command in COMMANDS:
        importlib.import_module(f"etl.commands.{command}")
    for name in ("pyarrow.compute", "pyarrow.parquet", "pandas", "etl.pipeline", "etl.analyst", "etl.verify"):
        importlib.import_module(name)


def _live(job: dict[str, Any], output: int) -> int:
    """Run one job in the child."""
    import resource

    from etl import preflight
    from etl.cli import exit_code_of

    if job["fills_up_later"]:
        preflight.require_room = lambda *_: None  # type: ignore[assignment]
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    null = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, target)
    if job["file_bytes_max"] is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_bytes_max"], resource.RLIM_INFINITY))
    return exit_code_of(job["arguments"])


def _answer(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    outputs = [tempfile.TemporaryFile() for _ in jobs]  # noqa: SIM115  closed below
    began = time.monotonic()
    lives: dict[int, int] = {}
    for index, job in enumerate(jobs):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = _live(job, outputs[index].fileno())
                sys.stdout.flush()
            finally:
                os._exit(code)
        lives[pid] = index
    deadlines = {
        pid: began + (PATIENCE if jobs[index]["kill_after"] is None else jobs[index]["kill_after"])
        for pid, index in lives.items()
    }
    ended: dict[int, tuple[int, float]] = {}
    while lives:
        wait = min(deadlines[pid] for pid in lives) - time.monotonic()
        if wait > 0:
            signal.sigtimedwait([signal.SIGCHLD], wait)
        for pid in list(lives):
            if time.monotonic() >= deadlines[pid]:
                os.kill(pid, signal.SIGKILL)
                deadlines[pid] += PATIENCE
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                ended[lives.pop(pid)] = (os.waitstatus_to_exitcode(status), time.monotonic() - began)
    answer = []
    for index, output in enumerate(outputs):
        output.seek(0)
        code, seconds = ended[index]
        answer.append({"code": code, "printed": output.read().decode("utf-8", "replace"), "seconds": seconds})
        output.close()
    return answer


def main() -> None:
    """Serve until stdin ends."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    import_everything()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
