"""JSON lines: each record has the fate, the reason and the usage that the independent oracle says.

A sound line stands before every input, so that both take it for JSON lines.
"""

from __future__ import annotations

from collections.abc import Iterator

from fuzz.against_oracle import require_agreement
from fuzz.json_trees import KEYS, OBJECTS, change_lines
from fuzz.target import NUMBERS, TEXTS, Target, damaged_files, sample_files, words_of

FIRST = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1763683200,"model":"gpt-4o-mini-2024-07-18",'
    b'"usage":{"prompt_tokens":1000,"completion_tokens":100}}\n'
)


def check(data: bytes) -> None:
    """Read the lines behind a sound one."""
    require_agreement("fuzz.jsonl", FIRST + data)


def seeds() -> Iterator[bytes]:
    """The samples and damaged logs."""
    yield from sample_files("*.jsonl")
    yield from damaged_files(".jsonl", ".ndjson")


TARGET = Target(check, seeds, change_lines, words_of(*KEYS, *OBJECTS, *NUMBERS, *TEXTS))
