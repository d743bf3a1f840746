"""The sections of costroll.toml about who causes costs, who bears them, and what they may be."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from etl.setting_kinds import AMOUNT, SHARES, TEXT, WEIGHTS, Kind, key, tables_with


@dataclass(frozen=True)
class Shared:
    """Costs of one key, or of nobody, that the other keys bear."""

    by: str | None = key(
        TEXT, None, "What is told apart by, such as team: the rule holds for `report --by` of that name."
    )
    value: str | None = key(TEXT, None, "Whose costs are shared; absent: those that no key is known for.")
    over: str = key(WEIGHTS, "cost", "In proportion to what: the others' own cost, their requests, or in equal parts.")
    shares: dict[str, int] | None = key(SHARES, None, "Fixed shares instead, such as { search = 3, shop = 1 }.")


@dataclass(frozen=True)
class AttributionSection:
    """Who is behind an API key, user, workflow, project or account."""

    mapping: str | None = key(TEXT, None, "The mapping file; relative to the settings file. `--mapping` beats it.")
    shared: tuple[Shared, ...] = key(
        Kind("tables [[attribution.shared]], each with by", tables_with("by"), Shared),
        (),
        "What is split with `--share`; below.",
    )


@dataclass(frozen=True)
class Limit:
    """What a month may cost."""

    name: str | None = key(TEXT, None, "The budget's name.")
    usd: int | Decimal = key(AMOUNT, 0, "What the usage of a calendar month (UTC) may cost; more is over budget.")
    by: str | None = key(TEXT, None, "As `--by`, such as team; absent: everything.")
    value: str | None = key(TEXT, None, "Whose budget it is, such as search.")


def _limits(value: Any) -> list[dict[str, Any]]:
    found = tables_with("name", "usd")(value)
    if any(("by" in one) != ("value" in one) for one in found):
        raise ValueError
    return found


@dataclass(frozen=True)
class BudgetSection:
    """What a month may cost; `costroll report budgets` ends with 8 when it cost more."""

    limit: tuple[Limit, ...] = key(
        Kind("tables [[budget.limit]], each with name and usd, and by and value or neither", _limits, Limit),
        (),
        "The budgets; below.",
    )
