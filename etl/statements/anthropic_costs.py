"""Read Anthropic's bill: pages of the Admin cost report, and the Console's cost CSV.

Rules (the report's reference and a real one, 2026): the report's `amount` is text in *cents*, so 123.45 is 1.2345 USD;
the Console's `cost_usd` is in dollars, rounded to cents, and names models as people do ("Claude Haiku 4.5"). Days are
UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from etl.meters import CACHED, NOT_APPLICABLE, UNCACHED
from etl.statements import EXACT, Dimensions, StatementFile, StatementLine
from etl.statements.cells import (
    csv_rows,
    exact_number,
    filled,
    json_pieces,
    require_dollars,
    text_of,
    utc_day,
    wrong,
)  # fmt: skip

PROVIDER = "anthropic"
COLUMNS = (
    "usage_date_utc", "model", "workspace", "usage_type", "token_type", "cost_usd", "list_price_usd", "cost_type",
    "speed",
)  # fmt: skip
_REQUIRED = {"usage_date_utc", "cost_usd"}
_RESULT_TEXTS = (
    "amount", "currency", "cost_type", "description", "token_type", "model", "service_tier", "workspace_id", "speed",
)  # fmt: skip
_HALF_A_CENT = Decimal("0.005")

# What each calls a kind of token -> meter, caching status.
_TOKEN_TYPES = {
    "uncached_input_tokens": ("input", UNCACHED),
    "input_no_cache": ("input", UNCACHED),
    "cache_read_input_tokens": ("input", CACHED),
    "input_cache_read": ("input", CACHED),
    "cache_creation.ephemeral_5m_input_tokens": ("input", "cache_write_5m"),
    "ephemeral_5m_input_tokens": ("input", "cache_write_5m"),
    "input_cache_write_5m": ("input", "cache_write_5m"),
    "cache_creation.ephemeral_1h_input_tokens": ("input", "cache_write_1h"),
    "ephemeral_1h_input_tokens": ("input", "cache_write_1h"),
    "input_cache_write_1h": ("input", "cache_write_1h"),
    "input_cache_write": ("input", "cache_write"),
    "output_tokens": ("output", NOT_APPLICABLE),
    "output": ("output", NOT_APPLICABLE),
}
_FEES = {"web_search": "web_search_calls"}
_TOKENS = ("tokens", "token")
# `message` is the Console's word for calls outside of a batch.
_TIERS = {"standard": "standard", "message": "standard", "batch": "batch"}
_DISPLAY_NAME = re.compile(r"Claude (Opus|Sonnet|Haiku) ([0-9]+)(?:\.([0-9]+))?", re.IGNORECASE)
_FIRST_OF_NEW_NAMES = 4


def has_header(header: list[str], _: str) -> bool:
    """Whether a CSV file with these columns is the Console's cost export."""
    return _REQUIRED.issubset(header)


def read_csv(text: str, name: str) -> StatementFile:
    """Read the Console's cost CSV."""
    lines, days = [], set[date]()
    for number, cells in csv_rows(text, name, COLUMNS):
        own = filled(cells, COLUMNS)
        day = utc_day(own["usage_date_utc"], "usage_date_utc", name, number)
        days.add(day)
        amount = exact_number(own["cost_usd"], "cost_usd", name, number)
        if amount is None:
            continue
        said = _dimensions(own, own["usage_type"])
        words = ", ".join(filter(None, (own["model"], own["usage_type"], own["token_type"] or own["cost_type"])))
        listed = exact_number(own["list_price_usd"], "list_price_usd", name, number)
        # The default workspace is named like any other, and our logs call it nothing: not compared by project.
        lines.append(_line(name, number, day, amount, words, said, listed, _HALF_A_CENT, None))
    return StatementFile(name, PROVIDER, tuple(lines), frozenset(days))


def read_json(text: str, name: str) -> StatementFile:
    """Read pages of the Admin cost report."""
    lines, days = [], set[date]()
    for number, bucket in json_pieces(text, name):
        day, results = _bucket(bucket, name, number)
        days.add(day)
        for own in results:
            cents = exact_number(own["amount"], "amount", name, number)
            if cents is None:
                raise wrong(name, number, "a result without an amount")
            require_dollars(own["currency"], name, number)
            said = _dimensions(own, own["service_tier"])
            amount = cents.scaleb(-2, EXACT)
            words = own["description"]
            lines.append(_line(name, number, day, amount, words, said, None, Decimal(0), own["workspace_id"]))
    return StatementFile(name, PROVIDER, tuple(lines), frozenset(days))


def _bucket(bucket: Any, name: str, number: int) -> tuple[date, Iterator[dict[str, str | None]]]:
    if not isinstance(bucket, dict) or not isinstance(bucket.get("results"), list):
        raise wrong(name, number, "no interval of Anthropic's cost report")
    day = utc_day(text_of(bucket.get("starting_at")), "starting_at", name, number)
    end = utc_day(text_of(bucket.get("ending_at")), "ending_at", name, number)
    if end != day + timedelta(1):
        raise wrong(name, number, f"from {day} to {end} is not one UTC day; ask for bucket_width=1d")
    if not all(isinstance(result, dict) for result in bucket["results"]):
        raise wrong(name, number, "a result that is no object")
    texts = ({key: text_of(result.get(key)) for key in _RESULT_TEXTS} for result in bucket["results"])
    return day, (filled(one, _RESULT_TEXTS) for one in texts)


def _dimensions(own: Mapping[str, str | None], tier: str | None) -> Dimensions:
    kind = own["cost_type"] or "tokens"
    if kind in _FEES:
        return Dimensions(meter=_FEES[kind], caching_status=NOT_APPLICABLE)
    if kind not in _TOKENS or (tier is not None and tier not in _TIERS):
        return Dimensions(is_understood=False)
    metered = _TOKEN_TYPES.get(own["token_type"] or "")
    if own["token_type"] is not None and metered is None:
        return Dimensions(is_understood=False)
    named = own["model"] and model_id(own["model"])
    if own["model"] is not None and named is None:
        return Dimensions(is_understood=False)
    billed_tier = "fast" if own["speed"] == "fast" else tier and _TIERS[tier]
    return Dimensions(named, billed_tier, *(metered or (None, None)))


def model_id(name: str) -> str | None:
    """The id, or the alias, behind a model's name; None where it is neither an id nor a name known to mean one.

    >>> model_id("Claude Sonnet 4.5"), model_id("Claude Haiku 3.5"), model_id("claude-opus-4-1-20250805")
    ('claude-sonnet-4-5', 'claude-3-5-haiku-latest', 'claude-opus-4-1-20250805')
    """
    if " " not in name:
        return name
    found = _DISPLAY_NAME.fullmatch(" ".join(name.split()))
    if found is None:
        return None
    family, major, minor = found[1].lower(), int(found[2]), found[3]
    if major >= _FIRST_OF_NEW_NAMES:
        return (
            f"claude-{family}-{major}-{minor or '0'}"
            if minor or major == _FIRST_OF_NEW_NAMES
            else (f"claude-{family}-{major}")
        )
    if minor is None:
        return "claude-3-haiku-20240307" if family == "haiku" else f"claude-3-{family}-latest"
    return f"claude-{major}-{minor}-{family}-latest"


def _line(
    name: str,
    number: int,
    day: date,
    amount: Decimal,
    words: str | None,
    said: Dimensions,
    listed: Decimal | None,
    rounding: Decimal,
    workspace: str | None,
) -> StatementLine:
    return StatementLine(
        statement_name=name,
        line_number=number,
        day=day,
        amount_usd=amount,
        quantity=None,
        quantity_unit=None,
        line_item=words,
        project_id=workspace,
        organization_id=None,
        dimensions=said,
        list_usd=listed,
        rounding_usd=rounding,
    )
