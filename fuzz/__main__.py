"""Run one target under atheris: `python -m fuzz TARGET [--seconds N]`; atheris has wheels for Python 3.11 only.

The corpus grows below `.fuzz/`, which is not kept; what breaks a promise is written there as `TARGET-crash-...`.
"""

from __future__ import annotations

import argparse
import sys
import time
from random import Random

from fuzz.target import CHECKOUT, Target, dictionary

LONGEST_INPUT_BYTES = 1 << 16
CPU_SECONDS_MAX = 2.0  # for at most 64 KiB; a second for each megabyte is the promise, the rest is what a start costs


def timed(target: Target, data: bytes) -> None:
    """Check one input; one that takes too long breaks a promise too."""
    started = time.process_time()
    target.check(data)
    spent = time.process_time() - started
    assert spent < CPU_SECONDS_MAX, f"{len(data)} bytes took {spent:.1f} s"


def main(arguments: list[str]) -> None:
    """Fuzz until the time is up or a promise is broken."""
    try:
        import atheris
    except ImportError:
        version = ".".join(map(str, sys.version_info[:2]))
        sys.exit(f"atheris is not installed; it has wheels for Python 3.11 only, and this is Python {version}")
    # What is imported here is told by atheris which of its branches were taken.
    with atheris.instrument_imports(include=["etl", "oracle"]):
        from fuzz.targets import TARGETS
    parser = argparse.ArgumentParser("fuzz")
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args(arguments)
    target = TARGETS[options.target]
    place = CHECKOUT / ".fuzz"
    corpus = place / options.target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number:04}").write_bytes(seed)
    (words := place / f"{options.target}.dict").write_text(dictionary(target.words))

    def mutate(data: bytes, size_max: int, seed: int) -> bytes:
        r = Random(seed)
        if target.mutate is None or r.random() < 0.2:
            return bytes(atheris.Mutate(data, size_max))
        return target.mutate(data, r)[:size_max]

    flags = [f"-max_total_time={options.seconds}", f"-max_len={LONGEST_INPUT_BYTES}", f"-dict={words}"]
    flags += [f"-artifact_prefix={place / options.target}-", "-timeout=60", "-rss_limit_mb=4096", "-len_control=0"]
    command = ["fuzz", *flags, str(corpus)]
    atheris.Setup(command, lambda data: timed(target, data), custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
