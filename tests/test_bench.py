"""What `make bench` measures with: no figure of programs that did not do the same work. Nothing is timed here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import bench.__main__ as command
from bench import cold, costroll_runs, figures, logs, nights, processes, reprice, standing, threads
from bench.figures import Ratio, Series
from bench.options import Options
from bench.processes import Measured, Refused, measure

CHECKOUT = Path(__file__).resolve().parent.parent
RATES = CHECKOUT / "etl/card/rates.csv"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for logs and warehouses, so that no measurement that is under way is disturbed."""
    for module in (processes, logs, costroll_runs, cold, command, standing, reprice):
        monkeypatch.setattr(module, "OUT", tmp_path)
    return tmp_path


def measured(wall: float = 1.0, stdout: str = "", peak: int = 0) -> Measured:
    return Measured(wall, wall, peak, None, 0, stdout)


def said(read: int, **fates: int) -> Measured:
    """A run that reports these counts."""
    counts = (f"{fate} {fates.get(fate, 0):,}" for fate in costroll_runs.FATES)
    return measured(stdout=f"published snapshot 00000001: 3 days written\nread {read:,} = {' + '.join(counts)}\n")


# What is compared


def test_a_log_of_the_same_name_has_the_same_bytes(place: Path) -> None:
    first = logs.dirty_log(2_000)
    kept = first.read_bytes()
    first.unlink()
    assert logs.dirty_log(2_000).read_bytes() == kept


def test_no_two_seeds_share_an_id(place: Path) -> None:
    ids = [
        re.findall(rb'"id":"([^"]+)"', logs.log_of_days(500, 1_756_684_800, 1, seed, f"seed_{seed}").read_bytes())
        for seed in (1, 2)
    ]
    assert len({*ids[0], *ids[1]}) == 1_000


def test_damaged_lines_are_counted_once_and_with_their_repeats(tmp_path: Path) -> None:
    sound, damaged = b'{"id":1,"usage":{"n":{}}}\n', b'{"id":2,"usa\n'
    (tmp_path / "log").write_bytes(sound + damaged + sound + damaged)
    assert logs.count_lines(tmp_path / "log") == logs.Lines(all=4, damaged=2, damaged_once=1)


def test_three_ways_to_one_total(place: Path) -> None:
    log = logs.chat_log(2_000)
    totals = [
        cold.last_decimal(cold.run_reference(Options(reference=CHECKOUT / "bench" / script), log).stdout)
        for script in ("reference.py", "reference_polars.py")
    ]
    assert totals == [logs.total_cost(log, RATES)] * 2
    assert totals[0] > 0


def test_the_kept_cost_of_a_log_is_not_taken_for_a_newer_log(place: Path) -> None:
    log = logs.chat_log(10)
    cost = logs.total_cost(log, RATES)
    kept = log.with_suffix(".cost")
    kept.write_text("1.0")
    assert logs.total_cost(log, RATES) == Decimal("1.0")
    os.utime(kept, (0, 0))
    assert logs.total_cost(log, RATES) == cost


# What is refused


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (said(99, accepted=99), "do not add up"),
        (said(100, accepted=99), "do not add up"),
        (said(100, accepted=99, duplicate=1), "other fates"),
        (said(100, accepted=99, rejected=1), "other fates"),
    ],
)
def test_fates_that_do_not_add_up_are_refused(run: Measured, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        costroll_runs.require_fates(run, 100)


def test_a_run_that_does_not_say_its_fates_is_refused() -> None:
    with pytest.raises(Refused, match="do not add up"):
        costroll_runs.require_fates(measured(stdout="published snapshot 00000001\n"), 100)


def test_expected_fates_are_accepted_and_no_others() -> None:
    run = said(10_002, accepted=9_999, duplicate=2, rejected=1)
    costroll_runs.require_fates(run, 10_002, accepted=9_999, duplicate=2, rejected=1)
    with pytest.raises(Refused, match="other fates"):
        costroll_runs.require_fates(run, 10_002, accepted=9_999, duplicate=1, rejected=2)


def test_totals_are_compared_to_the_last_digit() -> None:
    costroll_runs.require_cost(Decimal("1.10"), Decimal("1.1"), "the reference")
    with pytest.raises(Refused, match=r"the total costs differ: .* 1\.100000000001 USD"):
        costroll_runs.require_cost(Decimal("1.1"), Decimal("1.100000000001"), "the reference")


def test_no_figure_is_printed_when_the_reference_says_another_total(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = place / "other_reference.py"
    reference.write_text("print('3 rollup rows, 12.340000000000 USD')\n")
    words = ["cold", "--lines", "100", "--rounds", "1", "--reference", str(reference)]
    assert command.main(words) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(r"cold: no figures: the total costs differ: costroll [\d.]+ USD, the reference 12\.34", err)


def test_the_same_run_beside_a_reference_that_agrees_has_figures(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["cold", "--lines", "100", "--rounds", "1"]) == 0
    out, _ = capsys.readouterr()
    assert out.startswith("-- cold\n")
    assert "100 lines, 0 MB, 1 round; same total cost to the last digit\n" in out
    assert re.search(r"^costroll / reference: \d+\.\d\d$", out, re.MULTILINE)
    assert len(re.findall(r"^target: .*: (?:met|MISSED)", out, re.MULTILINE)) == 3


def test_a_program_that_fails_is_refused_with_its_own_words(place: Path) -> None:
    with pytest.raises(Refused, match=r"the floor ended with 1: no such thing"):
        measure("the floor", [sys.executable, "-c", "raise SystemExit('no such thing')"])


def test_an_exit_code_that_means_success_is_none_to_refuse(place: Path) -> None:
    found = measure("a dirty run", [sys.executable, "-c", "print('done'); raise SystemExit(3)"], success=(0, 3))
    assert (found.exit_code, found.stdout) == (3, "done\n")
    assert found.peak_bytes > 1_000_000


def test_other_bytes_with_another_setting_are_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = iter(["a", "b", "a", "other"])
    monkeypatch.setattr(threads, "digest", lambda *_: next(digests))
    monkeypatch.setattr(threads, "run_costroll", lambda warehouse, *_: warehouse.mkdir() or said(10, accepted=10))
    with pytest.raises(Refused, match="usage/ has other bytes with `--threads 2` than with `--threads 1`"):
        threads.run(Options(lines=10, rounds=1))


# What is told


def test_ratios_are_taken_pair_by_pair() -> None:
    ours, theirs = Series("ours", 10), Series("theirs", 10)
    ours.runs += [measured(2.0), measured(9.0), measured(3.0)]
    theirs.runs += [measured(1.0), measured(3.0), measured(2.0)]
    found = figures.ratio(ours, theirs)
    assert found.line() == "ours / theirs: 2.00 (pair by pair 2.00, 3.00, 1.50)"
    assert figures.at_most(2.0, found, "wall time", "theirs") == "target: wall time at most 2 x theirs: met (2.00)"
    assert figures.at_most(1.9, found, "wall time", "theirs") == "target: wall time at most 1.9 x theirs: MISSED (2.00)"


def test_a_log_ten_times_as_long_may_take_ten_times_as_long() -> None:
    short, long = Series("short", 10), Series("long", 100)
    short.runs, long.runs = [measured(2.0)], [measured(21.0)]
    assert figures.ratio_by_row(long, short).median == pytest.approx(1.05)


def test_memory_is_the_largest_of_all_runs() -> None:
    series = Series("costroll", 10, runs=[measured(peak=7_000_000), measured(peak=9_000_000)])
    assert figures.peak_at_most(9_000_000, series) == "target: costroll: peak memory at most 9 MB: met (9 MB)"
    assert "MISSED" in figures.peak_at_most(8_999_999, series)


def test_a_linked_file_is_old_and_a_copied_one_is_rewritten() -> None:
    before = {"usage/2026-01-01/1.parquet": 1, "rollups/2026-01-01.parquet": 2, "rollups/2026-01-02.parquet": 3}
    after = {
        "usage/2026-01-01/1.parquet": 1,
        "rollups/2026-01-01.parquet": 9,
        "usage/2026-01-03/2.parquet": 4,
        "rollups/2026-01-03.parquet": 5,
        "inputs/2.parquet": 6,
    }
    found = nights.Carried.between(before, after)
    assert (found.linked, found.rewritten, found.gone, found.other_files) == (1, 1, 1, 1)
    assert found.days_written == {"2026-01-01", "2026-01-03"}


def test_a_linked_copy_shares_its_snapshots_alone(place: Path) -> None:
    original = place / "original"
    (original / "snapshots/1/rollups").mkdir(parents=True)
    (original / "snapshots/1/rollups/2026-01-01.parquet").write_bytes(b"rows")
    (original / "current").symlink_to("snapshots/1")
    (original / "last_run.json").write_text("{}")
    copy = costroll_runs.linked_copy(original, "copy")
    assert nights.published_files(copy) == nights.published_files(original)
    assert os.readlink(copy / "current") == "snapshots/1"
    assert not (copy / "last_run.json").samefile(original / "last_run.json")
    assert costroll_runs.digest(copy, "rollups") == costroll_runs.digest(original, "rollups")


def test_totals_are_read_as_people_see_them() -> None:
    assert reprice.repriced_total("at version 2: 1.25 USD -> 1,166.406979304 USD, +5\n") == Decimal("1166.406979304")
    assert reprice.reported_total("day  cost\ntotal 13.135468 USD, 2025-06-08 to 2025-06-27\n") == Decimal("13.135468")
    assert reprice.queried_total("day,cost_usd\n2026-01-01,1.5\n2026-01-02,2.25\n") == Decimal("3.75")
    with pytest.raises(Refused):
        reprice.reported_total("nothing is published\n")


# What can be asked for


def test_what_is_not_said_is_the_scenarios_own(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    seen: dict[str, Options] = {}

    def asked(name: str) -> Any:
        return lambda options: seen.setdefault(name, options) and []

    for name, scenario in command.SCENARIOS.items():
        monkeypatch.setattr(scenario, "run", asked(name))
    assert command.main(["--rounds", "2"]) == 0
    assert tuple(seen) == command.USUAL
    assert command.main(["reprice", "nights", "--nights", "3"]) == 0
    assert {options.rounds for name, options in seen.items() if name in command.USUAL} == {2}
    assert (seen["reprice"].nights, seen["reprice"].night_lines) == (3, 2_000_000)
    assert (seen["nights"].nights, seen["nights"].night_lines) == (3, 150_000)


@pytest.mark.parametrize("words", [["warm"], ["cold", "--lines", "0"], ["cold", "--reference", "nowhere.py"]])
def test_what_is_not_there_is_a_usage_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.arguments(words)
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize("name", command.SCENARIOS)
def test_a_scenario_can_be_made_and_is_explained(name: str) -> None:
    help_text = subprocess.run(["make", "help"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    page = (CHECKOUT / "docs/performance.md").read_text(encoding="utf-8")
    assert name in command.USUAL or f"make bench-{name} " in help_text
    assert f"`{name}`" in page


def test_a_ratio_of_one_pair_is_said_once() -> None:
    assert Ratio("long / short", (1.5,)).line() == "long / short: 1.50"
