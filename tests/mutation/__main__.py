"""Run a module's tests against each of its mutants: `python -m tests.mutation MODULE [--sample N] [--list]`.

Each mutant lives in a fork of this process, in which the libraries are loaded and the module is not. It is killed when
a test fails, or when the tests take much longer than they should.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.abc
import importlib.util
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from tests.mutation.mutants import Mutant, mutants_of

CHECKOUT = Path(__file__).resolve().parent.parent.parent
# The tests that show a module's behaviour in seconds, the quickest first.
TESTS = {
    "durable": ("tests/test_durable.py",),
    "warehouse": ("tests/test_warehouse.py", "tests/test_snapshots.py"),
    "snapshot_builder": ("tests/test_warehouse.py",),
    "manifest": ("tests/test_found_by_fuzzing.py::test_a_manifest_with_the_right_hash_and_wrong_members_is_refused",
                 "tests/test_found_by_fuzzing.py::test_a_file_that_a_manifest_describes_wrongly_is_refused",
                 "tests/test_warehouse.py", "tests/test_expiry.py", "tests/test_close.py"),
    "audit": ("tests/test_warehouse.py", "tests/test_verify.py"),
    "framing": ("tests/test_framing.py",),
    "lines": ("tests/test_framing.py",),
    "content_hash": ("tests/test_content_hash.py",),
    "ledger": ("tests/test_ledger.py",),
    "settlement": ("tests/test_identity.py", "tests/test_close.py"),
    "rating": ("tests/test_rating.py",),
    "rate_lookup": ("tests/test_rate_lookup.py",),
}  # fmt: skip
OPTIONS = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--assert=plain", "--no-header", "--tb=no"]
SECONDS_MORE, TIMES_MORE = 20.0, 5.0


class Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module another source."""

    def __init__(self, name: str, source: str) -> None:
        self._name, self._source = name, source

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """Only of that module."""
        file = CHECKOUT / Path(*name.split(".")).with_suffix(".py")
        return importlib.util.spec_from_file_location(name, file, loader=self) if name == self._name else None  # type: ignore[arg-type]

    def exec_module(self, module: ModuleType) -> None:
        """Run the other source."""
        exec(compile(self._source, str(module.__file__), "exec"), module.__dict__)


def is_killed(name: str, source: str, tests: list[str], seconds: float) -> bool:
    """Whether a test fails where the module has this source."""
    child = os.fork()
    if child == 0:
        os.setsid()
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        code = 1
        with contextlib.suppress(BaseException):
            sys.meta_path.insert(0, Instead(name, source))
            code = int(pytest.main([*OPTIONS, *tests]))
        os._exit(code)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status != 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def main(arguments: list[str]) -> None:
    """Print each mutant that survives, and how many there are."""
    parser = argparse.ArgumentParser("mutation")
    parser.add_argument("module", choices=sorted(TESTS))
    parser.add_argument("--sample", type=int, help="only so many mutants, drawn at random")
    parser.add_argument("--list", action="store_true", help="only list them")
    options = parser.parse_args(arguments)
    source = (CHECKOUT / "etl" / f"{options.module}.py").read_text()
    mutants = list(mutants_of(source))
    if options.sample and options.sample < len(mutants):
        mutants = sorted(random.Random(1).sample(mutants, options.sample), key=lambda mutant: mutant.line)
    if options.list:
        for mutant in mutants:
            show("", mutant)
        return
    name, tests = (
        f"etl.{options.module}",
        [test for test in TESTS[options.module] if (CHECKOUT / test.split("::")[0]).exists()],
    )
    load_libraries(name)
    started = time.monotonic()
    if is_killed(name, source, tests, 600):
        sys.exit(f"the tests of {options.module} fail without a mutant: {' '.join(tests)}")
    seconds = SECONDS_MORE + TIMES_MORE * (time.monotonic() - started)
    counts: Counter[bool] = Counter()
    for number, mutant in enumerate(mutants, start=1):
        if number % 20 == 0:
            print(f"{number} of {len(mutants)}", file=sys.stderr)
        killed = is_killed(name, mutant.source, tests, seconds)
        counts[killed] += 1
        if not killed:
            show("survived ", mutant)
    spent, children = time.monotonic() - started, os.times()
    print(
        f"{options.module}: {len(mutants)} mutants, {counts[True]} killed "
        f"({100 * counts[True] // max(len(mutants), 1)} %), {counts[False]} survived, in {spent:.0f} s "
        f"({children.children_user + children.children_system:.0f} s of processor)"
    )


def load_libraries(name: str) -> None:
    """Import what the module imports, so that each fork need not; the module itself is forgotten again."""
    for library in (
        "polars",
        "duckdb",
        "pyarrow.parquet",
        "pyarrow.dataset",
        "click",
        "zstandard",
        "fsspec",
        "hypothesis",
    ):
        importlib.import_module(library)
    importlib.import_module(name)
    del sys.modules[name]
    delattr(sys.modules["etl"], name.removeprefix("etl."))  # `from etl import ...` looks there first
    importlib.invalidate_caches()


def show(prefix: str, mutant: Mutant) -> None:
    """One line for a mutant."""
    was, became = (" ".join(text.split())[:90] for text in (mutant.was, mutant.became))
    print(f"{prefix}line {mutant.line}: {was}  ->  {became}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
