"""Measure Costroll: `python -m bench [SCENARIO ...]`; without one, those of `make bench`.

    python -m bench cold --lines 200000 --rounds 1     a quick look
    python -m bench cold --reference PATH              another script as the reference
    python -m bench size --days 1                      the large log within one single day

Every scenario prints the machine, what was measured, and the targets. It prints no figure when the outputs of what it
compares are not the same. Everything is written under .bench/; logs and large warehouses there are kept and used again.
docs/performance.md says how to read the results.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

from bench import cold, dirty, files, mixed, nights, peers, reprice, size, startup, threads
from bench.figures import machine
from bench.options import Options
from bench.processes import OUT, Refused


class Scenario(Protocol):
    """What a scenario's module has."""

    DEFAULTS: Options

    def run(self, options: Options) -> list[str]:
        """Measure, and return the report without the machine; raise Refused when outputs differ."""


MODULES = (cold, dirty, startup, threads, mixed, size, files, nights, reprice, peers)
SCENARIOS = {module.__name__.rpartition(".")[2]: cast(Scenario, module) for module in MODULES}
USUAL = ("cold", "dirty", "startup", "threads")


def main(words: Sequence[str]) -> int:
    """Run the scenarios that are named; 1 when one of them has no figures."""
    given = vars(arguments(words))
    names = given.pop("scenarios") or USUAL
    OUT.mkdir(exist_ok=True)
    is_refused = False
    for name in names:
        scenario = SCENARIOS[name]
        options = dataclasses.replace(
            scenario.DEFAULTS, **{key: value for key, value in given.items() if value is not None}
        )
        try:
            print("\n".join([f"-- {name}", *machine(), *scenario.run(options), ""]), flush=True)
        except Refused as error:
            print(f"{name}: no figures: {error}", file=sys.stderr)
            is_refused = True
    return int(is_refused)


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """What the command line says; None for what it does not."""
    summary, _, details = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=summary,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--lines", type=positive, metavar="N", help="records of the log")
    parser.add_argument("--rounds", type=positive, metavar="N", help="runs of each program, in turn")
    parser.add_argument("--days", type=positive, metavar="N", help="size: days of both logs")
    parser.add_argument("--factor", type=positive, metavar="N", help="size: how many times as long the large log is")
    parser.add_argument("--nights", type=positive, metavar="N", help="nights, reprice: days already in the warehouse")
    parser.add_argument("--night-lines", type=positive, metavar="N", help="nights, reprice: records of each of them")
    parser.add_argument("--sample-lines", type=positive, metavar="N", help="peers: records for one call each")
    parser.add_argument(
        "--reference", type=existing_file, metavar="PATH", help="cold, peers: called with LOG RATES OUT"
    )
    parser.add_argument("--rates", type=existing_file, metavar="CSV", help="the reference's rate card")
    options = parser.parse_args(words)
    for name in options.scenarios:
        if name not in SCENARIOS:
            parser.error(f"no such scenario: {name}; there are {', '.join(SCENARIOS)}")
    return options


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def existing_file(text: str) -> Path:
    path = Path(text).resolve()
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"no such file: {text}")
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
