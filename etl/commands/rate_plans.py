"""A plan for the rate table, as a person and a program read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from etl import display

if TYPE_CHECKING:
    from etl.rate_gaps import Gap
    from etl.rate_offers import Entry, Offer
    from etl.rate_plan import Change, Plan

_SHOWN = 40
_COLUMNS = ("change", "provider", "model", "tier", "meter", "caching", "over", "old", "new", "from", "to")


def tell(
    plan: Plan, offer: Offer | None, facts: dict[str, Any], is_applied: bool, shows_all: bool = False
) -> Iterator[str]:
    """The lines for a person: the rows, the counts, what was not mapped, and what happens or happened."""
    limit = None if shows_all else _SHOWN
    rows = [change for change in plan.changes if change.table == "rates"]
    if rows:
        yield from display.table(_COLUMNS, map(_cells, rows[:limit]))
    yield from _more(len(rows), limit, "rows")
    for change in plan.changes:
        if change.table != "rates":
            yield _name_line(change)
    yield from (f"warn  {warning}" for warning in facts["warnings"])
    if offer is not None:
        yield from _keys(offer, limit)
    counts = ", ".join(f"{kind} {count:,}" for kind, count in plan.counts().items())
    yield f"{facts['name']} (sha256 {facts['sha256'][:12]}): {counts}"
    if plan.counts()["conflicting"]:
        yield "conflicting rows are not taken; with --correct the file's word replaces what is known"
    if any(change.kind == "conflicting" and change.table == "rates" and not change.old for change in plan.changes):
        yield "conflicting rows without an old rate are of names that are aliases: rates of their own would end that"
    if facts["rate_version"] is not None:
        yield f"published snapshot {facts['snapshot']:08d} with version {facts['rate_version']} of the rate table"
        yield "the next run tries again what has no price; `costroll reprice` shows what this makes of published prices"
        yield f"`costroll rates undo {facts['rate_version']} --apply` takes it back"
    elif plan.is_empty:
        yield "nothing to change"
    elif not is_applied:
        yield "nothing is changed yet: --apply makes it so"


def as_json(
    plan: Plan, offer: Offer | None, facts: dict[str, Any], is_applied: bool, shows_all: bool = True
) -> Iterator[str]:
    """The whole plan as one JSON object."""
    import json

    rows = [
        {"change": change.kind, "table": change.table, "new": _plain(change.new), "old": _plain(change.old)}
        for change in plan.changes
    ]
    keys = offer and {
        "format": offer.form,
        "mapped_keys": offer.mapped_keys,
        "other_keys": offer.other_keys,
        "unmapped": [one._asdict() for one in offer.unmapped],
    }
    yield json.dumps(
        display.plain({**facts, "counts": plan.counts(), "changes": rows, "file": keys}), ensure_ascii=False
    )


def tell_gaps(found: list[Gap]) -> Iterator[str]:
    """The gaps for a person: a table, and the rows to add."""
    from etl.rate_csv import RATE_FIELDS

    if not found:
        yield "no gap: everything that a rate could price has one"
        return
    columns = ("quantity", "unit", "reason", "provider", "model", "tier", "meter", "caching", "first day", "last day")
    rows = [(g.quantity, g.names[6], g.reason, *g.names[:5], g.first_day, g.last_day) for g in found]
    yield from display.table(columns, rows)
    yield ""
    yield "rows to add, each ? to be filled in (`costroll rates import FILE`; the next run prices what they cover):"
    yield ",".join(RATE_FIELDS)
    yield from (display.printable(gap.row) for gap in found if gap.row)
    for advice in dict.fromkeys(gap.advice for gap in found if gap.advice):
        about = dict.fromkeys(str(gap.names[1] or gap.names[0]) for gap in found if gap.advice == advice)
        yield display.printable(f"{', '.join(about)}: {advice}")


def gaps_as_json(found: list[Gap]) -> Iterator[str]:
    """The gaps as one JSON array."""
    import json
    from dataclasses import asdict

    yield json.dumps(display.plain([asdict(gap) for gap in found]), ensure_ascii=False)


def _keys(offer: Offer, limit: int | None) -> Iterator[str]:
    """What the file had, closed: every key is mapped, unmapped or says nothing about prices."""
    by_reason = Counter(one.reason for one in offer.unmapped)
    for reason, count in sorted(by_reason.items(), key=lambda item: (-item[1], item[0])):
        yield f"unmapped  {count:,} keys: {reason}"
    if limit is None:
        yield from (display.printable(f"unmapped  {one.where}: {one.key}: {one.reason}") for one in offer.unmapped)
    elif offer.unmapped:
        yield "`--all` lists each of them"
    total = offer.mapped_keys + len(offer.unmapped) + offer.other_keys
    parts = f"mapped {offer.mapped_keys:,} + unmapped {len(offer.unmapped):,} + not about prices {offer.other_keys:,}"
    yield f"keys {total:,} = {parts}"


def _cells(change: Change) -> tuple[Any, ...]:
    shown = change.new or change.old
    assert shown is not None
    provider, model, tier, meter, caching, over, book = shown.key
    old = change.old.value if change.old and change.kind != "closed" else None
    new = change.new.value if change.new else None
    return (
        change.kind, provider, model if book == "list" else f"{model} ({book})", tier, meter,
        "" if caching == "not_applicable" else caching, over or None, old, new,
        since(shown), until(shown),
    )  # fmt: skip


def _name_line(change: Change) -> str:
    shown = change.new or change.old
    assert shown is not None
    was = f", was {change.old.value}" if change.old and change.kind != "closed" else ""
    name = "/".join("every account" if part is None else str(part) for part in shown.key)
    return display.printable(
        f"{change.kind}  {change.table}: {name} → {shown.value}{was}, from {since(shown)} to {until(shown)}"
    )


def since(entry: Entry) -> str:
    """When an entry begins: a date when that is midnight, `ever` when it is not bounded."""
    from etl.rate_offers import EVER
    from etl.rate_versions import written

    return "ever" if entry.starts_at == EVER else written(entry.starts_at)


def until(entry: Entry) -> str:
    """When an entry ends, exclusive: a date when that is midnight, `open` when it is not bounded."""
    from etl.rate_offers import OPEN
    from etl.rate_versions import written

    return "open" if entry.ends_at == OPEN else written(entry.ends_at)


def _plain(entry: Entry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    return {
        "key": list(entry.key),
        "value": entry.value,
        "effective_from": None if since(entry) == "ever" else since(entry),
        "effective_to": None if until(entry) == "open" else until(entry),
        "facts": list(entry.facts),
    }


def _more(count: int, limit: int | None, what: str) -> Iterator[str]:
    if limit is not None and count > limit:
        yield f"... and {count - limit:,} more {what}; --all shows them"
