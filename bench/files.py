"""The same bytes in other files: one of all, many of 50 MB, very many of 50 kB, one .gz, one .zst.

--lines is the size of the whole: 2,000,000 lines are 1 GB, in 21 files of 50 MB or 20,000 of 50 kB.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from bench.costroll_runs import digest, new_warehouse, published_cost, require_cost, require_fates, run_costroll
from bench.figures import Series, at_most, ratio, rounds, table
from bench.logs import chat_log, total_cost, warm
from bench.options import Options
from bench.processes import OUT, ROOT, Refused, measure, say

DEFAULTS = Options()
RATIO_MAX = 1.3
PART_BYTES = {"50 MB files": 50_000_000, "50 kB files": 50_000}
COMPRESSED = {".gz": "gz", ".zst": "zst"}


def run(options: Options) -> list[str]:
    """Every form in turn; all must give the same bytes of rollups."""
    log = chat_log(options.lines)
    cost = total_cost(log, options.rates)
    forms = {"one file": [log], **{name: parts(log, size) for name, size in PART_BYTES.items()}}
    forms |= {name: [compressed(log, suffix)] for name, suffix in COMPRESSED.items()}
    series = {name: Series(name, options.lines, log.stat().st_size) for name in forms}
    alone = {name: Series(f"{name}, decompression alone", 0, log.stat().st_size) for name in COMPRESSED}
    for _ in range(options.rounds):
        seen: dict[str, str] = {}
        for name, files in forms.items():
            warm(files)
            warehouse = new_warehouse()
            named = files if len(files) == 1 else [files[0].parent]
            series[name].runs.append(run_costroll(warehouse, named))
            require_fates(series[name].runs[-1], options.lines)
            require_cost(published_cost(warehouse), cost, "DuckDB alone")
            seen[name] = digest(warehouse, "rollups")
            if seen[name] != seen["one file"]:
                raise Refused(f"{name}: the rollups have other bytes than those of one file")
            shutil.rmtree(warehouse)
        for name, measured in alone.items():
            measured.runs.append(measure(name, [sys.executable, "-m", "bench.decompress", str(forms[name][0])]))
    counts = ", ".join(f"{len(files):,} {name}" for name, files in forms.items() if len(files) > 1)
    return [
        f"{options.lines:,} lines, {log.stat().st_size / 1e6:,.0f} MB uncompressed, {rounds(options.rounds)}; {counts};"
        " the same bytes of rollups from each, and DuckDB's total cost to the last digit",
        *table([*series.values(), *alone.values()]),
        *verdicts(series, alone),
    ]


def verdicts(series: dict[str, Series], alone: dict[str, Series]) -> list[str]:
    """Each form beside the one file; compressed ones also beside Python's decompressor alone, on one core.

    The logs are made by a program and shrink to a twentieth, which a decompressor takes for an easy job: it alone is
    then faster than anything that also parses what it gives. So its ratio is told, and is no target.
    """
    one = series["one file"]
    found = [ratio(other, one) for other in series.values() if other is not one]
    lines = [each.line() for each in found]
    lines += [ratio(series[name], alone[name], text=f"{name} / its decompression alone").line() for name in alone]
    return lines + [
        at_most(RATIO_MAX, each, f"{each.text.partition(' / ')[0]}: wall time", "one file") for each in found
    ]


def parts(log: Path, size: int) -> list[Path]:
    """The log cut at line ends into files of about so many bytes; made once."""
    folder = OUT / f"{log.stem}_{size}"
    if not folder.exists():
        _make(log, folder.with_suffix(".unfinished"), folder, "--bytes", str(size))
    return sorted(folder.iterdir())


def compressed(log: Path, suffix: str) -> Path:
    """The log as one compressed file; made once."""
    target = log.with_suffix(f".jsonl.{suffix}")
    if not target.exists():
        _make(log, OUT / f"unfinished.{suffix}", target)
    return target


def _make(log: Path, unfinished: Path, target: Path, *options: str) -> None:
    """In a process of its own: this one stays small."""
    say(f"writing {target.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "bench.reshape", log, unfinished, *options], cwd=ROOT, check=True)
    unfinished.rename(target)
