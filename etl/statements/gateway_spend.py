"""Read what a gateway says a call cost: OpenRouter's activity exports and LiteLLM's SpendLogs, summed by day and model.

Each row is of the provider whose models it names, as `costroll run` reads it: `--provider` takes one of them.
OpenRouter's `cost_total` and `Usage` are what it charges (bring-your-own-key usage is billed elsewhere and left out).
LiteLLM's `spend` is its own estimate by its own price table, a second opinion rather than a bill. Times are UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal

from etl.sources.providers import PROVIDERS
from etl.statements import EXACT, Dimensions, StatementFile, StatementLine
from etl.statements.cells import csv_rows, exact_number, filled, utc_day, wrong

OPENROUTER_COLUMNS = ("generation_id", "created_at", "cost_total", "model_permaslug", "provider_name", "variant")
OPENROUTER_DAILY_COLUMNS = ("Date", "Slug", "Usage")
LITELLM_COLUMNS = ("request_id", "spend", "startTime", "model", "custom_llm_provider")
# Day, provider, model and tier of a row.
_Key = tuple[date, str, str, str | None]
_STANDARD = "standard"
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
        slug = own["model_permaslug"] or ""
        provider = _provider(own["provider_name"]) or _vendor(slug)
        key = (_day(own["created_at"], "created_at", name, number), provider, _model(slug), own["variant"] or _STANDARD)
        rows.append((key, own["cost_total"], number))
    return _summed(rows, name)


def read_openrouter_daily(text: str, name: str) -> StatementFile:
    """Read OpenRouter's activity by day; a variant such as `free` stands behind the slug."""
    rows = []
    for number, cells in csv_rows(text, name, OPENROUTER_DAILY_COLUMNS):
        own = filled(cells, OPENROUTER_DAILY_COLUMNS)
        slug, _, variant = (own["Slug"] or "").partition(":")
        key = (_day(own["Date"], "Date", name, number), _vendor(slug), _model(slug), variant or _STANDARD)
        rows.append((key, own["Usage"], number))
    return _summed(rows, name)


def read_litellm(text: str, name: str) -> StatementFile:
    """Read LiteLLM's SpendLogs, which name no tier."""
    rows = []
    for number, cells in csv_rows(text, name, LITELLM_COLUMNS):
        own = filled(cells, LITELLM_COLUMNS)
        provider = _provider(own["custom_llm_provider"]) or "openai"
        key = (_day(own["startTime"], "startTime", name, number), provider, _model(own["model"] or ""), None)
        rows.append((key, own["spend"], number))
    return _summed(rows, name)


def _day(instant: str | None, column: str, name: str, number: int) -> date:
    return utc_day((instant or "")[:_DAY_CHARACTERS], column, name, number)


def _provider(word: str | None) -> str | None:
    """The provider that a gateway's word means, as in our rollups."""
    return word and PROVIDERS.get(word.lower(), word.lower())


def _vendor(slug: str) -> str:
    """Whose name a model has, as `run` takes it where a log names no provider."""
    if "claude-" in slug:
        return "anthropic"
    if "gemini-" in slug:
        return "google"
    return _provider(slug.partition("/")[0] if "/" in slug else None) or "openai"


def _model(slug: str) -> str:
    return slug.rpartition("/")[2]


def _summed(rows: Iterable[tuple[_Key, str | None, int]], name: str) -> StatementFile:
    """One line for each key, at the first row that counts in it."""
    sums: dict[_Key, tuple[Decimal, int]] = {}
    for key, cell, number in rows:
        if not key[2]:
            raise wrong(name, number, "the row names no model")
        amount = exact_number(cell, "the cost", name, number) or Decimal(0)
        total, first = sums.get(key, (Decimal(0), number))
        sums[key] = EXACT.add(total, amount), first
    lines = tuple(
        StatementLine(
            name,
            first,
            day,
            total,
            None,
            None,
            model,
            None,
            None,
            Dimensions(model=model, tier=tier),
            provider=provider,
        )
        for (day, provider, model, tier), (total, first) in sums.items()
    )
    return StatementFile(name, "openai", lines, frozenset(line.day for line in lines))
