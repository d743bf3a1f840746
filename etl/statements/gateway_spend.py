"""Read what a gateway says a call cost: OpenRouter's activity exports and LiteLLM's SpendLogs, summed by day and model.

OpenRouter's `cost_total` and `Usage` are what it charges (bring-your-own-key usage is billed elsewhere and left out).
LiteLLM's `spend` is its own estimate by its own price table, a second opinion rather than a bill. Times are UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal

from etl.statements import EXACT, Dimensions, StatementFile, StatementLine
from etl.statements.cells import csv_rows, exact_number, filled, utc_day, wrong

OPENROUTER_COLUMNS = ("generation_id", "created_at", "cost_total", "model_permaslug", "variant")
OPENROUTER_DAILY_COLUMNS = ("Date", "Slug", "Usage")
LITELLM_COLUMNS = ("request_id", "spend", "startTime", "model", "custom_llm_provider")
# Day, provider, model, amount and line of one row.
_Spent = tuple[date, str, str, Decimal, int]
_DAY_CHARACTERS = 10


def is_openrouter(header: Sequence[str], _: str) -> bool:
    """Whether these are the columns of OpenRouter's activity by generation."""
    return {"generation_id", "created_at", "cost_total", "model_permaslug"}.issubset(header)


def is_openrouter_daily(header: Sequence[str], _: str) -> bool:
    """Whether these are the columns of OpenRouter's activity by day."""
    return {"Date", "Slug", "Usage", "BYOK Usage"}.issubset(header)


def is_litellm(header: Sequence[str], _: str) -> bool:
    """Whether these are the columns of LiteLLM's SpendLogs."""
    return set(LITELLM_COLUMNS).issubset(header)


def read_openrouter(text: str, name: str) -> StatementFile:
    """Read OpenRouter's activity by generation; a cancelled one may still cost."""
    rows = []
    for number, cells in csv_rows(text, name, OPENROUTER_COLUMNS):
        own = filled(cells, OPENROUTER_COLUMNS)
        variant = own["variant"] if own["variant"] not in (None, "standard") else None
        model = ":".join(filter(None, (own["model_permaslug"], variant)))
        rows.append(_spent(name, number, own["created_at"], "created_at", "openrouter", model, own["cost_total"]))
    return _summed(rows, name)


def read_openrouter_daily(text: str, name: str) -> StatementFile:
    """Read OpenRouter's activity by day."""
    rows = []
    for number, cells in csv_rows(text, name, OPENROUTER_DAILY_COLUMNS):
        own = filled(cells, OPENROUTER_DAILY_COLUMNS)
        rows.append(_spent(name, number, own["Date"], "Date", "openrouter", own["Slug"] or "", own["Usage"]))
    return _summed(rows, name)


def read_litellm(text: str, name: str) -> StatementFile:
    """Read LiteLLM's SpendLogs."""
    rows = []
    for number, cells in csv_rows(text, name, LITELLM_COLUMNS):
        own = filled(cells, LITELLM_COLUMNS)
        provider = own["custom_llm_provider"] or "openai"
        rows.append(_spent(name, number, own["startTime"], "startTime", provider, own["model"] or "", own["spend"]))
    return _summed(rows, name)


def _spent(
    name: str, number: int, instant: str | None, column: str, provider: str, model: str, amount: str | None
) -> _Spent:
    day = utc_day((instant or "")[:_DAY_CHARACTERS], column, name, number)
    if not model:
        raise wrong(name, number, "the row names no model")
    return day, provider, model, exact_number(amount, "the cost", name, number) or Decimal(0), number


def _summed(rows: Iterable[_Spent], name: str) -> StatementFile:
    """One line a day and model, at the first row that counts in it."""
    sums: dict[tuple[date, str], tuple[Decimal, int]] = {}
    providers = set()
    for day, provider, model, amount, number in rows:
        providers.add(provider)
        if len(providers) > 1:
            raise wrong(name, number, f"calls of {' and '.join(sorted(providers))}; filter the export to one provider")
        total, first = sums.get((day, model), (Decimal(0), number))
        sums[day, model] = EXACT.add(total, amount), first
    lines = tuple(
        StatementLine(name, first, day, total, None, None, model, None, None, Dimensions(model=model))
        for (day, model), (total, first) in sums.items()
    )
    return StatementFile(name, min(providers, default="openrouter"), lines, frozenset(line.day for line in lines))
