"""The meter registry: what is counted, in which unit, and how caching divides it.

The quantities of one usage record are disjoint: a token is counted under exactly one meter and one
caching status, so that summing never counts it twice.
"""

from __future__ import annotations

from dataclasses import dataclass

UNCACHED = "uncached"
CACHED = "cached"
NOT_APPLICABLE = "not_applicable"
CACHE_WRITES = ("cache_write", "cache_write_5m", "cache_write_1h", "cache_write_12h")
CACHING_STATUSES = (UNCACHED, CACHED, *CACHE_WRITES, NOT_APPLICABLE)


@dataclass(frozen=True)
class Meter:
    """One thing that a provider counts.

    Attributes:
        name: as in the rollup's `meter` column.
        direction: `input`, `output` or `count`.
        unit: unit of the quantity; also the last word of its USAGE columns.
        caching_statuses: the statuses this meter can have.
        is_charged: False for `requests`, which are counted and never priced.
    """

    name: str
    direction: str
    unit: str
    caching_statuses: tuple[str, ...] = (NOT_APPLICABLE,)
    is_charged: bool = True


METERS = (
    Meter("input", "input", "tokens", (UNCACHED, CACHED, *CACHE_WRITES)),
    Meter("output", "output", "tokens"),
    Meter("audio_input", "input", "tokens", (UNCACHED, CACHED)),
    Meter("audio_output", "output", "tokens"),
    Meter("image_input", "input", "tokens", (UNCACHED, CACHED)),
    Meter("image_output", "output", "tokens"),
    Meter("video_input", "input", "tokens", (UNCACHED, CACHED)),
    Meter("video_output", "output", "tokens"),
    Meter("training", "input", "tokens"),
    Meter("web_search_calls", "count", "calls"),
    Meter("file_search_calls", "count", "calls"),
    Meter("code_interpreter_sessions", "count", "sessions"),
    Meter("transcription_seconds", "input", "seconds"),
    Meter("speech_characters", "input", "characters"),
    Meter("generated_images", "output", "images"),
    # An aggregate does not tell which of its requests had cached tokens: `not_applicable` then.
    Meter("requests", "count", "requests", (UNCACHED, CACHED, NOT_APPLICABLE), is_charged=False),
)

METER_BY_NAME = {meter.name: meter for meter in METERS}


def quantity_column(meter: str, caching_status: str = NOT_APPLICABLE) -> str:
    """Name the USAGE column that holds one meter's quantity under one caching status.

    >>> quantity_column("input", "cached"), quantity_column("output"), quantity_column("web_search_calls")
    ('input_cached_tokens', 'output_tokens', 'web_search_calls')
    """
    unit = METER_BY_NAME[meter].unit
    words = [meter] if caching_status == NOT_APPLICABLE else [meter, caching_status]
    if not meter.endswith(unit):
        words.append(unit)
    return "_".join(words)


# Every (USAGE column, meter, caching status) that can carry a charge, in the registry's order.
QUANTITY_COLUMNS: tuple[tuple[str, str, str], ...] = tuple(
    (quantity_column(meter.name, status), meter.name, status)
    for meter in METERS
    if meter.is_charged
    for status in meter.caching_statuses
)
