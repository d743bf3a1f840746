"""Run one program to its end and say what it took: seconds, processor seconds, peak memory, bytes read.

The process that measures must stay small: a child's peak memory begins with what its parent had when it was started. So
nothing here or in a scenario imports a data library or holds a file in memory; what needs either is a child too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench"
OUT = Path(os.environ.get("COSTROLL_BENCH") or ROOT / ".bench").resolve()  # a place with 60 GB for the large ones
MAXRSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


class Refused(Exception):
    """There is nothing to compare: a program failed, or two of them did not do the same work."""


@dataclass(frozen=True)
class Measured:
    """One whole process, from its start to its exit.

    Attributes:
        wall_seconds: by the clock.
        cpu_seconds: user and system time of all its threads.
        peak_bytes: its largest resident set, as the kernel saw it.
        read_bytes: what it asked the kernel to read from files, cached or not; None where the kernel does not say.
        exit_code: how it ended.
        stdout: what it printed.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    read_bytes: int | None
    exit_code: int
    stdout: str


def measure(
    name: str, command: Sequence[str], *, success: Sequence[int] = (0,), environment: Mapping[str, str] | None = None
) -> Measured:
    """Run one process to its end.

    Args:
        name: what to call it when it fails.
        command: the program and its arguments; it runs in the checkout.
        success: the exit codes of a process that did its work.
        environment: variables beside those of this process.

    Raises:
        Refused: it ended with another exit code.
    """
    OUT.mkdir(exist_ok=True)
    os.sync()  # what the one before wrote is not this one's work
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COSTROLL_")}
    variables = {**inherited, "PYTHONPATH": str(ROOT), **(environment or {})}
    with (OUT / "stdout").open("wb+") as stdout, (OUT / "stderr").open("wb+") as stderr:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, cwd=ROOT, env=variables
        )
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        wall = time.perf_counter() - began
        read_bytes = bytes_read(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in success:
        complaint = (OUT / "stderr").read_text(encoding="utf-8", errors="replace").strip()
        raise Refused(f"{name} ended with {process.returncode}: {complaint[-2000:]}")
    said = (OUT / "stdout").read_text(encoding="utf-8")
    cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * MAXRSS_UNIT_BYTES
    return Measured(wall, cpu, peak, read_bytes, process.returncode, said)


def bytes_read(pid: int) -> int | None:
    """What a process that has ended, and was not yet waited for, had read by system calls; Linux alone tells."""
    try:
        counters = Path(f"/proc/{pid}/io").read_text(encoding="ascii")
    except OSError:
        return None
    return int(counters.partition("rchar: ")[2].split()[0])


def say(text: str, end: str = "\n") -> None:
    """Tell whoever waits how far it is; figures go to stdout, when all of them are known."""
    print(text, end=end, file=sys.stderr, flush=True)
