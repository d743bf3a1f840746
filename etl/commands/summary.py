"""What `costroll run` tells of what it did: lines for people, and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from etl import messages
from etl.alerts import Thing
from etl.display import money
from etl.fates import GUIDED, REJECTIONS
from etl.run_report import InputReport, RunReport
from etl.settings_file import Acknowledgement


def tell_troubles(report: RunReport) -> None:
    """One unwrapped line for each refused input and each input with rejects or conflicts."""
    for found in report.inputs:
        if found.refusal:
            code, text = found.refusal
            _tell_trouble("refused", found, f"{code}: {text}{_held_before(found)}", reason=code)
        elif found.held_before:
            _tell_trouble(
                "empty", found, f"no_records: holds no records{_held_before(found)}", predecessor=found.held_before[0]
            )
        elif found.counts_now and (troubles := _troubles(found)):
            reasons = {f"{fate}/{reason}": number for (fate, reason), number in sorted(found.reasons.items())}
            _tell_trouble("set_aside", found, troubles, reasons=reasons)
    for key in report.unknown_keys():
        where = f"in {key.records:,} of {key.looked_at:,} lines looked at, first at line {key.line:,}"
        text = (
            f"{key.source} has {key.path}, which Costroll does not know: {where}; if it is billed, its cost is not here"
        )
        name = _printable(key.input_name)
        messages.tell("warning", "unknown_key", f"{name}: unknown_key: {text}", **(asdict(key) | {"input_name": name}))
    if report.newer_card:
        text = f"this Costroll ships the newer {report.newer_card}: `costroll rates update` shows what it would change"
        messages.tell("info", "newer_card", text, card=report.newer_card)
    if report.other_files:
        text = f"{report.other_files:,} other files in the folders were left alone"
        messages.tell("info", "other_files", text, files=report.other_files)
    if report.storage_warning:
        messages.tell("warning", "file_system", report.storage_warning)
    for line in report.verdict.lines():
        is_alarm = line.startswith("needs attention")
        messages.tell("warning" if is_alarm else "info", "attention" if is_alarm else "acknowledged", _printable(line))


def _tell_trouble(event: str, found: InputReport, text: str, **facts: Any) -> None:
    messages.tell("warning", event, f"{_printable(found.name)}: {text}", input=_printable(found.name), **facts)


def _held_before(found: InputReport) -> str:
    """What the file of the day before held, where this one is empty."""
    if found.held_before is None:
        return ""
    name, records = found.held_before
    return f"; {_printable(name)} held {records:,}"


def _troubles(found: InputReport) -> str | None:
    bad = {reason: number for (fate, reason), number in found.reasons.items() if fate in ("rejected", "conflict")}
    if not bad:
        return None
    ordered = sorted(bad.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{reason} {number:,} (first at line {found.first_lines.get(reason, 0):,})" for reason, number in ordered]
    total = sum(bad.values())
    text = f"{ordered[0][0]}: {total:,} {'record is' if total == 1 else 'records are'} set aside: {', '.join(parts)}"
    return "; ".join([text, *(f"{reason}: {REJECTIONS[reason]}" for reason, _ in ordered if reason in GUIDED)])


def _printable(name: str) -> str:
    """A file's name on one line, whatever bytes it has."""
    return name.encode("utf-8", "backslashreplace").decode().translate({10: "\\n", 13: "\\r", 27: "\\e"})


def summary(report: RunReport, warehouse: Path) -> Iterator[str]:
    """The lines of the result; the last is the closure."""
    skipped = [found for found in report.inputs if found.skipped and not found.known_refusal]
    refused = sum(1 for found in report.inputs if found.known_refusal)
    if report.is_first and report.snapshot:
        yield f"created the warehouse {warehouse}"
    if skipped:
        yield f"skipped {len(skipped):,} {'input' if len(skipped) == 1 else 'inputs'} that were read before"
    if refused:
        what = "input that was refused before and is" if refused == 1 else "inputs that were refused before and are"
        yield f"passed over {refused:,} {what} unchanged; --rehash reads such again"
    for one in report.healed:
        names = " ".join(name for name in one.names[1:5] if name not in (None, "not_applicable"))
        when = f"on {one.first_day}" if one.days == 1 else f"on {one.days:,} days from {one.first_day}"
        yield _printable(f"healed: {one.quantity:,} {one.names[5]} of {names} {when} found their rate")
    for status, quantity in report.unpriced.items():
        yield f"{status}: {quantity:,} units have no price; see `costroll report unpriced`"
    if report.estimated:
        had = "1 record had" if report.estimated == 1 else f"{report.estimated:,} records had"
        yield f"estimated: {had} no usage; their tokens were counted from their text, and stand with is_estimated"
    if report.given_way:
        rows = (
            "1 published aggregate counts"
            if report.given_way == 1
            else f"{report.given_way:,} published aggregates count"
        )
        yield f"{rows} no more: the requests of the account, provider and day do"
    for late in report.late:
        records = "1 record" if late.records == 1 else f"{late.records:,} records"
        yield f"{records} for closed month {late.month}: booked as corrections in {late.period}"
    if report.snapshot is None:
        yield "nothing new to publish"
    else:
        totals = report.snapshot.manifest["totals"]
        count = f"{len(report.days):,} {'day' if len(report.days) == 1 else 'days'}"
        wrote = f"{count} written ({report.days[0]} to {report.days[-1]})" if report.days else "no day changed"
        yield f"published snapshot {report.snapshot.number:08d}: {wrote}"
        yield f"all published days cost {money(totals['cost_usd'])} USD"
    yield report.counts.line()


def as_json(report: RunReport) -> dict[str, Any]:
    """The result for `--json`."""
    return {
        "snapshot": report.snapshot.number if report.snapshot else None,
        "counts": asdict(report.counts),
        "needs_attention": report.needs_attention,
        "alarms": report.verdict.numbers(),
        "acknowledged": [{"thing": _said(thing), "by": _said(by)} for thing, by in report.verdict.acknowledged],
        "unpriced": report.unpriced,
        "estimated": report.estimated,
        "given_way": report.given_way,
        "unknown_keys": [asdict(key) | {"input_name": _printable(key.input_name)} for key in report.unknown_keys()],
        "healed": [asdict(one) | {"first_day": one.first_day.isoformat()} for one in report.healed],
        "known_rejects": report.known_rejects,
        "corrections": [asdict(late) for late in report.late],
        "days": [day.isoformat() for day in report.days],
        "inputs": [
            {
                "name": _printable(found.name),
                "sha256": found.sha256,
                "refusal": found.refusal and {"code": found.refusal[0], "text": found.refusal[1]},
                "skipped": found.skipped,
                "known_refusal": found.known_refusal,
                "held_before": found.held_before
                and {"name": _printable(found.held_before[0]), "records": found.held_before[1]},
                "counts": asdict(found.counts),
                "reasons": {f"{fate}/{reason}": number for (fate, reason), number in sorted(found.reasons.items())},
            }
            for found in report.inputs
        ],
    }


def _said(thing: Thing | Acknowledgement) -> dict[str, Any]:
    return {name: value if isinstance(value, int) else str(value) for name, value in asdict(thing).items() if value}
