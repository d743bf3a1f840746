"""Recognise a provider's bill by its content, and read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

from etl.errors import InputRefused
from etl.framing import UTF8_BOM, Content, Input, refuse_unreadable_text
from etl.statements import StatementFile, anthropic_costs, gateway_spend, openai_costs, plain
from etl.statements.cells import header_of

_HEAD_BYTES = 1 << 16


class _CsvFormat(NamedTuple):
    """A bill as CSV: whether a header is its own, the columns it reads, and its reader."""

    has_header: Callable[[list[str], str], bool]
    columns: tuple[str, ...]
    read: Callable[[str, str], StatementFile]


_CSV = (
    _CsvFormat(openai_costs.has_header, openai_costs.COLUMNS, openai_costs.read_csv),
    _CsvFormat(anthropic_costs.has_header, anthropic_costs.COLUMNS, anthropic_costs.read_csv),
    _CsvFormat(plain.has_header, plain.COLUMNS, plain.read_csv),
    _CsvFormat(gateway_spend.is_openrouter, gateway_spend.OPENROUTER_COLUMNS, gateway_spend.read_openrouter),
    _CsvFormat(
        gateway_spend.is_openrouter_daily, gateway_spend.OPENROUTER_DAILY_COLUMNS, gateway_spend.read_openrouter_daily
    ),
    _CsvFormat(gateway_spend.is_litellm, gateway_spend.LITELLM_COLUMNS, gateway_spend.read_litellm),
)
# What stands in a provider's own count of usage, which is no bill and may be its witness.
_USAGE_COLUMNS = {
    "input_tokens", "output_tokens", "num_model_requests", "usage_output_tokens", "num_images", "characters", "seconds"
}  # fmt: skip


def read(source: Input) -> StatementFile | None:
    """Read one file of the bill; None when it is a provider's count of usage, of which only the head is read.

    Raises:
        InputRefused: it cannot be read, or is neither.
        UsageError: a row holds something that cannot be read; the message names file and line.
    """
    content = Content(source)
    blocks = content.blocks()
    head = b""
    while len(head) < _HEAD_BYTES and (block := next(blocks, b"")):
        head += block
    refuse_unreadable_text(head)
    head = head.removeprefix(UTF8_BOM)
    # Before the rest is read: a year of logs given by mistake is turned away at its first line.
    is_json = head.lstrip()[:1] in (b"{", b"[")
    reader = _json_reader(head) if is_json else _csv_reader(header_of(head.decode("utf-8", "replace")), source.name)
    if reader is None:
        return None
    try:
        text = b"".join(chain([head], blocks)).decode()
    except UnicodeDecodeError as error:
        raise InputRefused("wrong_encoding", f"is not UTF-8 at byte {error.start:,}; save it as UTF-8") from error
    return replace(reader(text, source.name), sha256=content.sha256)


def _json_reader(head: bytes) -> Callable[[str, str], StatementFile] | None:
    if b'"organization.usage.' in head:
        return None
    if b'"bucket"' in head:
        return openai_costs.read_json
    if b'"starting_at"' in head:
        # Both of Anthropic's reports have intervals; only that of costs has amounts.
        return anthropic_costs.read_json if b'"amount"' in head else None
    raise InputRefused(
        "unknown_format", "is JSON, but no page of OpenAI's costs API or Anthropic's cost report, and no usage export"
    )


def _csv_reader(header: list[str], name: str) -> Callable[[str, str], StatementFile] | None:
    for one in _CSV:
        doubled = sorted({column for column in header if column in one.columns and header.count(column) > 1})
        if doubled:
            raise InputRefused("invalid_header", f"line 1 names the column {doubled[0]!r} twice")
        if one.has_header(header, name):
            return one.read
    # The export of a range without any usage has nothing but its times.
    if not _USAGE_COLUMNS.isdisjoint(header) or set(header) == openai_costs.TIME_COLUMNS:
        return None
    seen = ", ".join(header[:6]) + (", ..." if len(header) > 6 else "")
    raise InputRefused(
        "unknown_format",
        f"its columns ({seen}) are those of no bill: a plain statement needs day and amount_usd (docs/reconcile.md)",
    )
