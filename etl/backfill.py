"""Many inputs in several commits: a stop after hours costs the last step only, and the same command goes on.

Each step is a run of its own; the published rollups do not depend on how inputs are cut into runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from etl.alerts import judge
from etl.errors import UsageError
from etl.fates import Counts
from etl.framing import Input
from etl.history import History
from etl.inputs import Found, find
from etl.inputs_table import read_inputs_table
from etl.intake import Progress
from etl.pipeline import run_found
from etl.run_report import Options, RunReport
from etl.warehouse import Warehouse


def run_in_steps(
    paths: Sequence[str], root: Path, options: Options, step_bytes: int, *, on_progress: Progress | None = None
) -> RunReport:
    """Read, rate and publish, with a commit after about so many bytes of inputs.

    Args:
        paths: as for `etl.pipeline.run`.
        root: the warehouse.
        options: how; not with `strict`, which publishes all or nothing.
        step_bytes: a step ends with the input that reaches this size, as stored.
        on_progress: called with bytes done and bytes in all.

    Returns:
        What all steps did, as if it had been one run.

    Raises:
        CostrollError: the steps before are published, and this one is not.
    """
    if options.strict:
        raise UsageError("--strict publishes all or nothing; it cannot be used with --commit-every")
    found = find(paths)
    sizes = _sizes(found.inputs, root, options)
    total, done, reports = sum(sizes.values()), 0, list[RunReport]()
    steps = list(_steps(found, sizes, step_bytes))
    for step in steps:
        before = done

        def show(now: int, _: int, before: int = before) -> None:
            if on_progress:
                on_progress(before + now, total)

        def whole(report: RunReport) -> RunReport | None:
            return joined([*reports, report], options) if len(reports) + 1 == len(steps) else None

        reports.append(run_found(step, root, options, on_progress=show, whole=whole))
        done += sum(sizes[source.name] for source in step.inputs)
    return joined(reports, options)


def _sizes(inputs: Sequence[Input], root: Path, options: Options) -> dict[str, int]:
    """The bytes to read of each input, by name: none of what an earlier run read."""
    history = History(read_inputs_table(Warehouse(root).current()), options)
    sizes = {}
    for source in inputs:
        is_known = source.place and source.status and history.passes_over(source.place, source.status)
        sizes[source.name] = 0 if is_known and not options.rehash else source.size
    return sizes


def _steps(found: Found, sizes: dict[str, int], step_bytes: int) -> Iterator[Found]:
    """The inputs by name, in stretches; what was refused at sight is told with the first."""
    step, size, is_first = Found([], found.refused, found.other_files, found.met), 0, True
    for source in sorted(found.inputs, key=lambda one: one.name):
        step.inputs.append(source)
        size += sizes[source.name]
        if size >= step_bytes:
            yield step
            step, size, is_first = Found(), 0, False
    if step.inputs or is_first:
        yield step


def joined(reports: Sequence[RunReport], options: Options) -> RunReport:
    """What several runs did, as if they had been one."""
    counts, unpriced = Counts(), Counter[str]()
    for report in reports:
        counts += report.counts
        unpriced.update(report.unpriced)
    whole = RunReport(
        sorted((one for report in reports for one in report.inputs), key=lambda one: one.name),
        counts,
        sum(report.other_files for report in reports),
        reports[0].is_first,
        sorted({day for report in reports for day in report.days}),
        dict(sorted(unpriced.items())),
        sum(report.known_rejects for report in reports),
        sum(report.estimated for report in reports),
        [late for report in reports for late in report.late],
        [healed for report in reports for healed in report.healed],
        reports[0].newer_card,
        next((report.snapshot for report in reversed(reports) if report.snapshot), None),
        [thing for report in reports for thing in report.things],
        storage_warning=reports[0].storage_warning,
        given_way=sum(report.given_way for report in reports),
    )
    whole.verdict = judge(whole.things, options.alert, counts.read, datetime.now(UTC).date())
    return whole
