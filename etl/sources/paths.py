"""Paths: where a fact stands in a record.

    usage.prompt_tokens                           keys, from the outside in
    details[modality=AUDIO].tokenCount            of an array of objects, the one whose `modality` is that text
    metadata!.usage_object.prompt_tokens          `metadata` may be JSON text instead of an object

A CSV column is a path as it stands, whatever characters are in it; only `!` keeps its meaning.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

from etl.json_values import decoded_text

# One path, or several spellings of it of which the first that is there counts.
Path = str | tuple[str, ...]

_STEP = re.compile(
    r"(?P<key>[^.\[\]!]+(?:\[[^=\]]*\])?)(?P<is_text>!)?(?:\[(?P<name>\w+)=(?P<value>[^\]]+)\])?(?:\.|$)"
)


class Step(NamedTuple):
    """One step of a path: a key, whether its value may be JSON text, and which entry of an array, if it is one."""

    key: str
    is_text: bool = False
    selector: tuple[str, str] | None = None


@cache
def steps(path: str) -> tuple[Step, ...]:
    """The steps of a path."""
    found, at = [], 0
    while at < len(path):
        match = _STEP.match(path, at)
        assert match is not None, path
        selector = (match["name"], match["value"]) if match["name"] else None
        found.append(Step(match["key"], match["is_text"] is not None, selector))
        at = match.end()
    return tuple(found)


def spellings(path: Path) -> tuple[str, ...]:
    """All spellings of a path."""
    return (path,) if isinstance(path, str) else path


def in_both_cases(path: str) -> tuple[str, str]:
    """A path in camelCase and in snake_case; what a selector compares with stays."""
    parts = re.split(r"(=[^\]]*\])", path)
    snake = [
        part if part[:1] == "=" else re.sub(r"(?<=[a-z])[A-Z]", lambda m: f"_{m[0].lower()}", part) for part in parts
    ]
    return path, "".join(snake)


def value_at(record: Any, path: str) -> Any:
    """What stands at a path of a decoded object, or None."""
    at = record
    for step in steps(path):
        at = step_into(at, step) if isinstance(at, dict) else None
        if at is None:
            return None
    return at


def step_into(record: Any, step: Step) -> Any:
    """What an object has at one step; of an array the selected entry, all where there are several, "" if it is none."""
    value = record.get(step.key)
    if step.is_text:
        value = decoded_text(value)
    if step.selector is None or value is None:
        return value
    if not isinstance(value, list):
        return ""
    name, word = step.selector
    found = [entry for entry in value if isinstance(entry, dict) and entry.get(name) == word]
    return found if len(found) > 1 else next(iter(found), None)
