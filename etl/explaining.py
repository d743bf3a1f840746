"""Take one cost apart: the arithmetic, the rate row with its source, and the lines of the log behind it.

Grain: one explanation is one row of `net_rollups`: a rollup row with its corrections added in. The lines are found by
rating the day's records one by one, so their sum is a second calculation of the same cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from etl import analyst
from etl.errors import UsageError
from etl.warehouse import Snapshot

SAMPLE_LINES = 5
# What tells the rollup rows of a day apart.
KEY = (
    "account_id", "project_id", "provider", "model", "tier", "meter", "caching_status", "context_over_tokens",
    "rate_id", "price_status", "source_kind", "is_estimated",
)  # fmt: skip

# Those of the columns to choose by that a record has, too.
_OF_RECORD = ("account_id", "project_id", "model", "tier")


@dataclass(frozen=True)
class Explanation:
    """Why one rollup row costs what it costs.

    Attributes:
        cell: the row of `net_rollups`.
        bookings: accounting period, charge class, quantity and cost of each rollup row that it is the sum of.
        rate: the rate row, or None when there is none.
        alias: the alias in force, when the model was found under another name by one.
        inputs: input name, records, quantity and sample line numbers, for each input.
        charged_usd: the sum over the records, each rated by itself; None when unpriced.
        is_expired: the usage of the day has expired; `inputs` and `charged_usd` have only what came later.
    """

    cell: dict[str, Any]
    bookings: list[dict[str, Any]]
    rate: dict[str, Any] | None
    alias: dict[str, Any] | None
    inputs: list[dict[str, Any]]
    charged_usd: Any
    is_expired: bool


def explain(snapshot: Snapshot, day: date, wanted: Mapping[str, str | None]) -> list[Explanation]:
    """Explain the rollup rows of a day that have all the wanted values.

    Args:
        snapshot: the published snapshot.
        day: the UTC day.
        wanted: rollup column -> value; None is left open, and the empty text stands for NULL.

    Raises:
        UsageError: no row is like that; the message lists what there is.
    """
    given = {column: value or None for column, value in wanted.items() if value is not None}
    chosen = _all([f"day = DATE '{day}'", "price_status <> 'not_charged'", *_conditions(given)])
    cells = _select(snapshot, f"SELECT * FROM net_rollups WHERE {chosen} ORDER BY ALL")  # noqa: S608
    if not cells:
        raise UsageError(_nothing(snapshot, day, wanted))
    inputs = _by_cell(_select(snapshot, _lines_sql(day, given)))
    bookings = _by_cell(
        _select(
            snapshot,
            f"SELECT accounting_period, charge_class, quantity, cost_usd, {', '.join(KEY)} FROM rollups "  # noqa: S608
            f"WHERE {chosen} ORDER BY ALL",
        )
    )
    rates = {row["rate_id"]: row for row in _rates(snapshot, cells)}
    aliases = _aliases(snapshot, cells)
    is_expired = day in snapshot.expired_days()
    return [
        Explanation(
            cell,
            bookings.get(key, []),
            rates.get(cell["rate_id"]),
            aliases.get((cell["model"], cell["priced_model"])),
            inputs.get(key, []),
            _total(inputs.get(key, [])),
            is_expired,
        )
        for cell in cells
        for key in [_key_of(cell)]
    ]


def _lines_sql(day: date, given: Mapping[str, str | None]) -> str:
    """What was counted in each cell, by input, from the records one by one."""
    # Records that cannot be meant are left out before they are rated: `usage` is the smaller one for the macro as well.
    records = _all([f"day = DATE '{day}'", *_conditions({name: given[name] for name in _OF_RECORD if name in given})])
    where = _all(["true", *_conditions(given)])
    return f"""
        WITH usage AS (SELECT * FROM main.usage WHERE {records}),
        lines AS (SELECT * FROM charges_between(DATE '{day}', (DATE '{day}' + 1)::DATE) WHERE {where}),
        names AS (SELECT input_sha256, min(input_name) AS input_name FROM inputs GROUP BY input_sha256)
        SELECT input_name, count(*) AS records, sum(quantity)::BIGINT AS quantity, sum(cost_usd) AS cost_usd,
               min(line_number, {SAMPLE_LINES}) AS sample_lines, {", ".join(KEY)}
        FROM lines LEFT JOIN names USING (input_sha256)
        GROUP BY input_name, {", ".join(KEY)} ORDER BY input_name
        """  # noqa: S608  # every value is quoted by _is


def _rates(snapshot: Snapshot, cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    named = sorted({cell["rate_id"] for cell in cells if cell["rate_id"] is not None})
    if not named:
        return []
    ids = " OR ".join(_is("rate_id", rate_id) for rate_id in named)
    return _select(snapshot, f"SELECT * FROM rates_history WHERE {ids}")  # noqa: S608


def _aliases(snapshot: Snapshot, cells: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """(model, the model it is priced under) -> the alias in force, of those cells whose model is found by one."""
    if all(cell["priced_model"] in (None, cell["model"]) for cell in cells):
        return {}
    rows = _select(snapshot, "SELECT * FROM aliases_history WHERE superseded_at IS NULL ORDER BY ALL DESC")
    return {(row["alias"], row["model"]): row for row in rows}


def _by_cell(rows: Sequence[dict[str, Any]]) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """The rows of each cell, without what they are told apart by."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(_key_of(row), []).append({name: value for name, value in row.items() if name not in KEY})
    return found


def _key_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in KEY)


def _total(inputs: Sequence[Mapping[str, Any]]) -> Any:
    priced = [row["cost_usd"] for row in inputs if row["cost_usd"] is not None]
    return sum(priced[1:], priced[0]) if priced else None


def _nothing(snapshot: Snapshot, day: date, wanted: Mapping[str, str | None]) -> str:
    cells = _select(
        snapshot,
        "SELECT DISTINCT model, tier, meter, caching_status FROM net_rollups "  # noqa: S608
        f"WHERE day = DATE '{day}' AND price_status <> 'not_charged' ORDER BY ALL",
    )
    asked = ", ".join(f"{name} {value!r}" for name, value in wanted.items() if value is not None)
    if not cells:
        days = snapshot.days()
        return f"nothing is published for {day}; the days are {days[0]} to {days[-1]}"
    lines = [" / ".join(str(value) for value in cell.values()) for cell in cells[:20]]
    more = [f"and {len(cells) - 20} more"] if len(cells) > 20 else []
    return "\n  ".join(
        [f"{day} has nothing with {asked}; it has model / tier / meter / caching status:", *lines, *more]
    )


def _select(snapshot: Snapshot, text: str) -> list[dict[str, Any]]:
    answer = analyst.query(snapshot, text)
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


def _conditions(given: Mapping[str, Any]) -> list[str]:
    return [_is(column, value) for column, value in given.items()]


def _all(conditions: Sequence[str]) -> str:
    return " AND ".join(conditions)


def _is(column: str, value: Any) -> str:
    if value is None:
        return f"{column} IS NULL"
    if isinstance(value, bool | int):
        return f"{column} = {value}"
    return f"""{column} = '{str(value).replace("'", "''")}'"""
