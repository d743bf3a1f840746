"""Other JSON out of JSON: trees of members that may stand twice, with numbers as they were written."""

from __future__ import annotations

import json
from copy import deepcopy
from random import Random
from typing import Any

from fuzz.target import NUMBERS, TEXTS, damage_bytes

PLACES = ("response", "body", "response_body", "output", "completion", "data", "event", "chunk")
KEYS = (
    *("id", "object", "created", "created_at", "model", "usage", "service_tier", "status", "metadata", "project_id"),
    *("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "prompt_tokens_details", "cached_tokens"),
    *("input_tokens_details", "output_tokens_details", "completion_tokens_details", "audio_tokens", "image_tokens"),
    *("cache_write_tokens", "cache_write_tokens_details", "ttl_12h_tokens", "reasoning_tokens", "custom_id", "error"),
    *("method", "url", "status_code", "request_id", "timestamp", "time", "ts", "@timestamp", "account_id", "account"),
    *("organization_id", "project", "user_id", "request", "results", "start_time", "end_time", "num_model_requests"),
    *("occurred_at", "input_uncached_tokens", "input_cached_tokens", "batch", "provider", "tier", "api_source"),
    *("input_cache_write_12h_tokens", "input_audio_tokens", "input_cached_audio_tokens", "output_image_tokens"),
    *("web_search_calls", "transcription_seconds", "note", *PLACES),
)
OBJECTS = ("chat.completion", "text_completion", "response", "list", "page", "bucket")
OBJECTS += ("organization.usage.completions.result", "organization.costs.result")
ODD_VALUES = ("null", "true", "false", "{}", "[]", "[[]]", '{"error":{}}', '{"value":5}', "nul", "True", "'a'")


class Members(list[tuple[str, Any]]):
    """An object as its members in order."""


class Raw(str):
    """A value as it is written."""

    __slots__ = ()


def parse(line: bytes) -> Any:
    """A line as a tree. Raises ValueError or RecursionError where it is none."""
    return json.loads(line.decode(), object_pairs_hook=Members, parse_int=Raw, parse_float=Raw, parse_constant=Raw)


def written(value: Any, r: Random) -> str:
    """A tree as text, with spaces and escapes here and there."""
    space = r.choice(("", "", "", " ", "\t")) if r.random() < 0.05 else ""
    if isinstance(value, Members):
        members = (f"{_text(key, r)}{space}:{space}{written(item, r)}" for key, item in value)
        return "{" + space + f"{space},{space}".join(members) + space + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(item, r) for item in value) + space + "]"
    if isinstance(value, Raw):
        return value
    return _text(value, r) if isinstance(value, str) else json.dumps(value)


def _text(text: str, r: Random) -> str:
    if text and r.random() < 0.02:
        at = r.randrange(len(text))
        if ord(text[at]) < 0x10000:
            parts = (json.dumps(part, ensure_ascii=False)[1:-1] for part in (text[:at], text[at + 1 :]))
            return '"' + f"\\u{ord(text[at]):04x}".join(parts) + '"'
    return json.dumps(text, ensure_ascii=r.random() < 0.5)


def any_value(r: Random) -> Any:
    """A number, a text, or something that is neither."""
    kind = r.randrange(5)
    if kind == 0:
        return Raw(r.choice(ODD_VALUES))
    if kind == 1:
        return r.choice(OBJECTS)
    return Raw(r.choice(NUMBERS)) if kind < 4 else r.choice(TEXTS)


def objects_in(tree: Any) -> list[Members]:
    """Every object of a tree, the outermost first."""
    found: list[Members] = [tree] if isinstance(tree, Members) else []
    inside = [item for _, item in tree] if isinstance(tree, Members) else tree if isinstance(tree, list) else []
    for item in inside:
        found += objects_in(item)
    return found


def change(tree: Any, r: Random) -> Any:
    """Change one thing: a value, a key, a member, or what stands around the whole."""
    objects = objects_in(tree)
    if not objects or r.random() < 0.05:
        return Members([(r.choice(PLACES), tree)])
    target = r.choice(objects)
    kind = r.randrange(9)
    if kind == 0 or not target:
        target.insert(r.randrange(len(target) + 1), (r.choice(KEYS), any_value(r)))
        return tree
    at = r.randrange(len(target))
    key, value = target[at]
    if kind == 1:
        del target[at]
    elif kind == 2:
        target.insert(r.randrange(len(target) + 1), (key, r.choice((value, any_value(r)))))
    elif kind == 3:
        target[at] = (r.choice(KEYS), value)
    elif kind == 4 and not isinstance(value, str):
        target[at] = (key, written(value, r))  # JSON within a string
    elif kind == 5:
        target[at] = (key, deepcopy(r.choice(objects_in(tree)[-3:])))
    elif kind == 6 and tree is not target:
        return Members(
            [("timestamp", r.choice(TEXTS[10:20])), (r.choice(PLACES), tree), (r.choice(KEYS), any_value(r))]
        )
    else:
        target[at] = (key, any_value(r))
    return tree


def change_line(line: bytes, r: Random) -> bytes:
    """Another line: mostly still JSON with a changed tree, else with damaged bytes."""
    try:
        tree = parse(line)
    except (ValueError, RecursionError):
        return damage_bytes(line, r)
    if r.random() < 0.15:
        return damage_bytes(line, r)
    for _ in range(r.choice((1, 1, 2, 3))):
        tree = change(tree, r)
    return written(tree, r).encode("utf-8", "surrogatepass")


def change_lines(data: bytes, r: Random) -> bytes:
    """Other JSON lines: several lines changed, repeated, moved, taken out or ended in another way."""
    lines = data.split(b"\n")
    for _ in range(r.choice((1, 3, 10))):
        at, kind = r.randrange(len(lines)), r.randrange(20)
        if kind == 0:
            lines.insert(at, r.choice(lines))
        elif kind == 1 and len(lines) > 1:
            del lines[at]
        elif kind == 2:
            lines[at] += r.choice((b"\r", b" ", b"\t", b"\r\r", b"\x0b", b"\n"))
        else:
            lines[at] = change_line(lines[at], r)
    return b"\n".join(lines)
