"""Read the words of OpenAI's `line_item` column: `batch api | gpt-4o-mini-2024-07-18, cached input`.

    [<prefix> | ]<model>[ <modality>][, <direction>]

Source: cost exports and the costs API as seen up to September 2026; OpenAI publishes no grammar. What is not known to
mean something is not guessed at: the line keeps its text and its amount, and is listed as not understood.
"""

from __future__ import annotations

import re

from etl.meters import CACHED, METER_BY_NAME, NOT_APPLICABLE, UNCACHED
from etl.statements import Dimensions

# `priority |` and `fast |` have not been seen; they are OpenAI's two names of one tier.
_TIERS = {None: "standard", "batch api": "batch", "flex": "flex", "priority": "priority", "fast": "priority"}
_MODALITIES = ("text", "image", "audio")
# What is left of a direction without its modality and the word `tokens` -> `input` or `output`, caching status.
_DIRECTIONS = {
    "input": ("input", UNCACHED),
    "cached input": ("input", CACHED),
    "cache writes": ("input", "cache_write"),
    "output": ("output", NOT_APPLICABLE),
}
# Fees that name no model.
_FEES = {
    "web search tool calls": "web_search_calls",
    "file search tool calls": "file_search_calls",
    "assistants api | file search": "file_search_calls",
    "code interpreter sessions": "code_interpreter_sessions",
    "assistants api | code interpreter": "code_interpreter_sessions",
}
# A model without a direction (`whisper`) is billed by what its quantity counts.
_METER_OF_UNIT = {
    "duration_seconds": "transcription_seconds",
    "duration_minutes": "transcription_seconds",
    "duration_hours": "transcription_seconds",
    "characters": "speech_characters",
    "images": "generated_images",
}
_LINE_ITEM = re.compile(r"(?:(?P<prefix>[^|]+?)\s*\|\s*)?(?P<name>[^,|]+?)(?:\s*,\s*(?P<direction>[^,|]+))?")
_NOT_UNDERSTOOD = Dimensions(is_understood=False)


def parse(line_item: str | None, quantity_unit: str | None = None) -> Dimensions:
    """Say which usage a line item bills.

    Args:
        line_item: the text; None or blank when the bill is not grouped by it.
        quantity_unit: what the line's quantity counts, where it says so.

    >>> parse("batch api | gpt-4o-mini-2024-07-18, cached input")
    Dimensions(model='gpt-4o-mini-2024-07-18', tier='batch', meter='input', caching_status='cached', is_understood=True)
    >>> parse("evals | gpt-4o-mini-2024-07-18, input").is_understood
    False
    """
    text = " ".join((line_item or "").split())
    if not text:
        return Dimensions()
    if fee := _FEES.get(text.lower()):
        return Dimensions(meter=fee, caching_status=NOT_APPLICABLE)
    if "," not in text and (bare := _metered(text, None)):
        # `input_tokens` alone: grouped by direction, but by no model.
        return Dimensions(meter=bare[0], caching_status=None if bare[0] == "input" else bare[1])
    found = _LINE_ITEM.fullmatch(text)
    prefix = found["prefix"].lower() if found and found["prefix"] else None
    if found is None or prefix not in _TIERS:
        return _NOT_UNDERSTOOD
    name, modality = _without_modality(found["name"])
    if " " in name:
        return _NOT_UNDERSTOOD
    model, tier = _model(name), _TIERS[prefix]
    if found["direction"] is None:
        meter = _METER_OF_UNIT.get(quantity_unit or "")
        return Dimensions(model, tier, meter, NOT_APPLICABLE if meter else None)
    metered = _metered(found["direction"], modality)
    return Dimensions(model, tier, *metered) if metered else _NOT_UNDERSTOOD


def _without_modality(name: str) -> tuple[str, str | None]:
    """Take the modality off: `gpt-image-1 image` is the model `gpt-image-1`."""
    model, _, last = name.rpartition(" ")
    return (model, last.lower()) if model and last.lower() in _MODALITIES else (name, None)


def _model(name: str) -> str:
    """The model's id: a label has `gpt-5_1` for `gpt-5.1`, and `ft-` without the fine-tune's own name for `ft:`."""
    dotted = re.sub(r"(?<=\d)_(?=\d)", ".", name)
    return "ft:" + dotted.removeprefix("ft-") if dotted.startswith("ft-") else dotted


def _metered(direction: str, modality: str | None) -> tuple[str, str] | None:
    """The meter and the caching status of a direction such as `audio input`, `cached input` or `input_tokens`."""
    words = [word for word in direction.lower().replace("_", " ").split() if word != "tokens"]
    named = {word for word in words if word in _MODALITIES} | ({modality} if modality else set())
    way = _DIRECTIONS.get(" ".join(word for word in words if word not in _MODALITIES))
    if way is None or len(named) > 1:
        return None
    kind = named.pop() if named else "text"
    meter = way[0] if kind == "text" else f"{kind}_{way[0]}"
    return (meter, way[1]) if way[1] in METER_BY_NAME[meter].caching_statuses else None
