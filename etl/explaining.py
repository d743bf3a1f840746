"""Take one cost apart: the arithmetic, the rate row with its source, and the lines of the log behind it.

Grain: one explanation is one row of `net_rollups`: a rollup row with its corrections added in. The lines are found by
rating the day's records one by one, so their sum is a second calculation of the same cost.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    conditions = [f"day = DATE '{day}'", "price_status <> 'not_charged'"]
    conditions += [_is(column, value or None) for column, value in wanted.items() if value is not None]
    cells = _select(snapshot, f"SELECT * FROM net_rollups WHERE {' AND '.join(conditions)} ORDER BY ALL")  # noqa: S608
    if not cells:
        raise UsageError(_nothing(snapshot, day, wanted))
    return [_explained(snapshot, cell) for cell in cells]


def _explained(snapshot: Snapshot, cell: dict[str, Any]) -> Explanation:
    where = " AND ".join(_is(column, cell[column]) for column in KEY)
    until = f"DATE '{cell['day']}' + 1"
    inputs = _select(
        snapshot,
        f"""
        WITH lines AS (SELECT * FROM charges_between(DATE '{cell["day"]}', ({until})::DATE) WHERE {where}),
        names AS (SELECT input_sha256, min(input_name) AS input_name FROM inputs GROUP BY input_sha256)
        SELECT input_name, count(*) AS records, sum(quantity)::BIGINT AS quantity, sum(cost_usd) AS cost_usd,
               list(line_number ORDER BY line_number)[1:{SAMPLE_LINES}] AS sample_lines
        FROM lines LEFT JOIN names USING (input_sha256) GROUP BY input_name ORDER BY input_name
        """,  # noqa: S608  # every value is quoted by _is
    )
    bookings = _select(
        snapshot,
        "SELECT accounting_period, charge_class, quantity, cost_usd FROM rollups "  # noqa: S608
        f"WHERE day = DATE '{cell['day']}' AND {where} ORDER BY ALL",
    )
    rate = _select(snapshot, f"SELECT * FROM rates_history WHERE {_is('rate_id', cell['rate_id'])}")  # noqa: S608
    alias: list[dict[str, Any]] = []
    if cell["priced_model"] not in (None, cell["model"]):
        alias = _select(
            snapshot,
            "SELECT * FROM aliases_history WHERE superseded_at IS NULL AND "  # noqa: S608
            f"{_is('alias', cell['model'])} AND {_is('model', cell['priced_model'])}",
        )
    priced = [row["cost_usd"] for row in inputs if row["cost_usd"] is not None]
    charged = sum(priced[1:], priced[0]) if priced else None
    is_expired = cell["day"] in snapshot.expired_days()
    rate_row, alias_row = rate[0] if rate else None, alias[0] if alias else None
    return Explanation(cell, bookings, rate_row, alias_row, inputs, charged, is_expired)


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


def _is(column: str, value: Any) -> str:
    if value is None:
        return f"{column} IS NULL"
    if isinstance(value, bool | int):
        return f"{column} = {value}"
    return f"""{column} = '{str(value).replace("'", "''")}'"""
