"""JSON documents: a page, a list, an array or a pretty-printed record gives the records that the oracle cuts it into.

Where the oracle sees no document, nothing may be lost all the same: the file is refused or each of its records has a
fate and a place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from unittest.mock import patch

import oracle

from etl import document_reading
from fuzz.against_oracle import require_agreement, told_by_package
from fuzz.json_trees import KEYS, OBJECTS, change, parse, written
from fuzz.target import NUMBERS, TEXTS, Target, damage_bytes, damaged_files, sample_files, scratch, words_of


def check(data: bytes) -> None:
    """Compare a document; read anything else."""
    content = data.removeprefix(oracle.BOM)
    if oracle.whole_document(content) is not None and data.lstrip()[:1] in (b"{", b"["):
        require_agreement("fuzz.json", data)
        with patch.object(document_reading, "DECODED_MAX", 0):  # as if it were long
            require_agreement("fuzz.json", data)
    else:
        (path := scratch() / "fuzz.json").write_bytes(data)
        told = told_by_package(path)
        assert told or not data.strip()


def change_document(data: bytes, r: Random) -> bytes:
    """Another document: a changed tree, written on one line or over several, or damaged bytes."""
    try:
        tree = parse(data.removeprefix(oracle.BOM))
    except (ValueError, RecursionError):
        return damage_bytes(data, r)
    if r.random() < 0.1:
        return damage_bytes(data, r)
    for _ in range(r.choice((1, 2, 5))):
        tree = change(tree, r) if r.random() < 0.95 else [tree, tree]
    text = written(tree, r)
    if r.random() < 0.7:
        text = spread(text, r)
    return text.encode("utf-8", "surrogatepass")


def spread(text: str, r: Random) -> str:
    """The same JSON over several lines: a line break is allowed wherever a space is."""
    made, is_text, is_escaped = [], False, False
    for character in text:
        made.append(character)
        if is_text:
            is_text, is_escaped = character != '"' or is_escaped, character == "\\" and not is_escaped
        elif character == '"':
            is_text = True
        elif character in ",[]{}:" and r.random() < 0.3:
            made.append(r.choice(("\n", "\n", "\r\n", "\n\n  ", " \t\n")))
    return "".join(made)


def seeds() -> Iterator[bytes]:
    """Pages, lists and arrays of damage, and records of every sample as documents."""
    yield from damaged_files(".json")
    for content in sample_files("*.jsonl"):
        try:
            records = [json.loads(line) for line in content.splitlines()]
        except ValueError:
            continue
        yield json.dumps(records).encode()
        yield json.dumps(records, indent=1).encode()
        yield json.dumps({"object": "list", "data": records}, indent=2).encode()
        yield json.dumps(records[0], indent=2).encode() + b"\n"


TARGET = Target(check, seeds, change_document, words_of(*KEYS, *OBJECTS, *NUMBERS, *TEXTS))
