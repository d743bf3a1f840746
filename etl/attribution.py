"""Costs by API key, user, workflow or a tag of the mapping file: computed from the records, equal to the rollups.

Grain: the relation `attributed` has the rows of the macro attributed_between, with what is asked for as `key`.
What no longer has records, names nobody or is not in the mapping has no key, and `note` says which it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from etl import analyst
from etl.cost_settings import Shared
from etl.engine import literal, sql
from etl.errors import IntegrityError, UsageError
from etl.manifest import Snapshot
from etl.mapping import DIMENSIONS, Mapping
from etl.sharing import split, units

EXPIRED = "records expired"
UNMAPPED = "not in the mapping"
_EVER = "DATE '0001-01-01'"
_NEVER = "DATE '9999-12-31'"
# What the rollups know themselves, so that nothing of it is lost when records expire.
_KEPT = ("project", "account")
_SHARED = ("own_usd", "shared_usd")


@dataclass(frozen=True)
class By:
    """What costs are told apart by.

    Attributes:
        name: one of `etl.mapping.DIMENSIONS`, or a tag of the mapping.
        mapping: the mapping file; None where there is none.
    """

    name: str
    mapping: Mapping | None = None

    @property
    def is_tag(self) -> bool:
        """Whether it is a tag of the mapping."""
        return self.name not in DIMENSIONS

    @property
    def dimension(self) -> str:
        """What of a record decides it."""
        return self.mapping.dimension if self.is_tag and self.mapping else self.name

    def __post_init__(self) -> None:
        """Refuse a name that is neither."""
        tags = self.mapping.tags if self.mapping else ()
        if self.is_tag and self.name not in tags:
            where = (
                f"the tags of {self.mapping.path}: {', '.join(tags)}" if self.mapping else "no mapping file is given"
            )
            raise UsageError(f"--by {self.name!r}: there are {', '.join(DIMENSIONS)}, and {where}")


def days_between(since: date | None, until: date | None) -> tuple[str, str]:
    """Both ends of the chosen days as SQL: the first, inclusive, and the one after the last, exclusive."""
    return (f"DATE '{since}'" if since else _EVER), (f"(DATE '{until}' + 1)::DATE" if until else _NEVER)


def attributed(by: By, since: date | None, until: date | None) -> str:
    """The text of a common table expression `attributed`, to stand after WITH."""
    from_day, to_day = days_between(since, until)
    column = DIMENSIONS[by.dimension]
    is_lost = "false" if by.dimension in _KEPT else "a.is_expired"
    key, tags, joined, unmapped = f"a.{column}", "NULL::VARCHAR", "", ""
    if by.mapping and by.mapping.dimension == by.dimension:
        tags = (
            f"CASE WHEN t.value IS NOT NULL THEN json_object({literal(by.name)}, t.value)::VARCHAR END"
            if by.is_tag
            else "t.value"
        )
        joined = f"LEFT JOIN tags AS t ON t.key = a.{column} AND a.day >= t.starts_on AND a.day < t.ends_before"
    if by.is_tag:
        key, unmapped = "t.value", f"WHEN t.value IS NULL THEN {literal(UNMAPPED)}"
    return f"""
        {_tags(by)}attributed AS (
            SELECT a.*, {key} AS key, {tags} AS tags, CASE
                WHEN {is_lost} THEN {literal(EXPIRED)}
                WHEN a.{column} IS NULL THEN {literal(f"records name no {by.dimension}")}
                {unmapped}
            END AS note
            FROM attributed_between({from_day}, {to_day}) AS a {joined}
        )"""  # noqa: S608  # nothing but names of ours, dates and quoted literals is put in


def _tags(by: By) -> str:
    """The mapping as a common table expression: the tag that is asked for, or all of them as a JSON object."""
    if not by.mapping or by.mapping.dimension != by.dimension:
        return ""
    rows = [
        f"({literal(line.key)}, DATE '{line.starts_on}', DATE '{line.ends_before}', {_value(by, line.values)})"
        for line in by.mapping.lines
    ]
    return f"tags(key, starts_on, ends_before, value) AS (VALUES {', '.join(rows or ['(NULL, NULL, NULL, NULL)'])}),"


def _value(by: By, values: Sequence[str | None]) -> str:
    assert by.mapping is not None
    named = {tag: value for tag, value in zip(by.mapping.tags, values, strict=True) if value is not None}
    if by.is_tag:
        return literal(named[by.name]) if by.name in named else "NULL::VARCHAR"
    return literal(json.dumps(named, ensure_ascii=False)) if named else "NULL::VARCHAR"


@dataclass(frozen=True)
class Attributed:
    """A report by key.

    Attributes:
        columns: their names; the key's is what it was asked by.
        rows: with Decimals for money.
        expired_usd: how much of it belongs to days whose records are gone.
    """

    columns: list[str]
    rows: list[list[Any]]
    expired_usd: Decimal


def report(snapshot: Snapshot, grain: str, by: By, since: date | None, until: date | None) -> Attributed:
    """Costs by key at one of the grains of sql/reports/by.

    Raises:
        IntegrityError: the sum is not that of the rollups of the same days.
        UsageError: a tag has the name of one of the report's columns.
    """
    text = f"WITH {attributed(by, since, until)}\n{sql(f'reports/by/{grain}')}"
    answer = analyst.query(snapshot, text)
    if by.name in (*answer.columns, *_SHARED):
        raise UsageError(f"a tag named {by.name!r} cannot be told from the report's own column: rename it")
    rows = [list(row) for row in answer.rows]
    cost, note = answer.columns.index("cost_usd"), answer.columns.index("note")
    require_total(snapshot, since, until, [row[cost] for row in rows])
    expired = sum((row[cost] or Decimal(0) for row in rows if row[note] == EXPIRED), Decimal(0))
    return Attributed([by.name if name == "key" else name for name in answer.columns], rows, expired)


def shared(found: Attributed, rules: Sequence[Shared]) -> Attributed:
    """A report by key in which the costs of some keys, or of nobody, are borne by the others.

    `own_usd` is what a key caused, `shared_usd` what it bears of others (below 0: what the others bear of it), and
    `cost_usd` both; the sum stays what it was. Each rule splits what its key caused itself, never what it was given.

    Raises:
        UsageError: a rule shares among keys none of which has any weight, or names a key that caused nothing.
    """
    key, cost = 0, found.columns.index("cost_usd")
    requests = found.columns.index("requests")
    own = [row[cost] or Decimal(0) for row in found.rows]
    given = [Decimal(0)] * len(own)
    pools = {rule.value for rule in rules}
    for rule in rules:
        bearers = {
            str(row[key]): at for at, row in enumerate(found.rows) if row[key] is not None and row[key] not in pools
        }
        weights = _weights(rule, {name: (own[at], found.rows[at][requests] or 0) for name, at in bearers.items()})
        for at, row in enumerate(found.rows):
            if row[key] != rule.value or not own[at]:
                continue
            given[at] -= own[at]
            for name, part in split(own[at], weights).items():
                given[bearers[name]] += part
    columns = [*found.columns[:cost], *_SHARED, *found.columns[cost:]]
    rows = []
    for row, own_usd, usd in zip(found.rows, own, given, strict=True):
        total = own_usd + usd if row[cost] is not None or usd else None
        rows.append([*row[:cost], row[cost], usd, total, *row[cost + 1 :]])
    rows.sort(key=lambda row: (-(row[cost + 2] or 0), row[key] is None, str(row[key])))
    return Attributed(columns, rows, found.expired_usd)


def _weights(rule: Shared, others: dict[str, tuple[Decimal, int]]) -> dict[str, int]:
    whose = f"[[attribution.shared]] of {rule.by} {rule.value or 'without a key'}"
    if rule.shares:
        if missing := sorted(rule.shares.keys() - others.keys()):
            raise UsageError(f"{whose}: shares name {', '.join(missing)}, which cost nothing in these days")
        return dict(rule.shares)
    weights = {
        name: {"cost": units(cost), "requests": requests, "equal": 1}[rule.over]
        for name, (cost, requests) in others.items()
    }
    if sum(weights.values()) <= 0 or min(weights.values()) < 0:
        raise UsageError(f"{whose}: there is nobody with a {rule.over} of more than 0 to bear it")
    return weights


def require_total(snapshot: Snapshot, since: date | None, until: date | None, costs: Sequence[Decimal | None]) -> None:
    """Hold the parts against the whole.

    Raises:
        IntegrityError: they do not add up to what `net_rollups` says of these days.
    """
    from_day, to_day = days_between(since, until)
    whole = analyst.query(
        snapshot,
        f"SELECT coalesce(sum(cost_usd), 0)::DECIMAL(38, 12) FROM net_rollups "  # noqa: S608
        f"WHERE day >= {from_day} AND day < {to_day}",
    )
    [[total]] = list(whole.rows)
    parts = sum((cost for cost in costs if cost is not None), Decimal(0))
    if parts != total:
        raise IntegrityError(
            f"the parts add up to {parts} USD and the rollups of the same days to {total}; run `costroll verify`"
        )
