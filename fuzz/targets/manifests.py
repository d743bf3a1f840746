"""MANIFEST.json: any bytes are read as what was written, or end in an IntegrityError or a UsageError.

Bytes alone never get past the manifest's own hash, so JSON is also given the hash that it should have.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from functools import cache
from random import Random

import small_warehouse

from etl.errors import IntegrityError, UsageError
from etl.manifest import MANIFEST_NAME, SNAPSHOT_TABLES, Snapshot, encode, read_snapshot, totals_of
from fuzz.json_trees import any_value, change, parse, written
from fuzz.target import NUMBERS, TEXTS, Target, damage_bytes, scratch, words_of


def check(data: bytes) -> None:
    """Read the bytes as the manifest of snapshot 1, as they are and with the right hash."""
    folder = scratch() / "00000001"
    folder.mkdir(exist_ok=True)
    for candidate in (data, hashed(data)):
        if candidate is None:
            continue
        (folder / MANIFEST_NAME).write_bytes(candidate)
        try:
            snapshot = read_snapshot(folder)
        except (IntegrityError, UsageError):
            continue
        assert encode(snapshot.manifest) == candidate
        require_usable(snapshot)


def hashed(data: bytes) -> bytes | None:
    """The same members with the hash over them; None where there are none."""
    try:
        members = json.loads(data)
        return encode(members) if isinstance(members, dict) else None
    except (ValueError, RecursionError):
        return None


def require_usable(snapshot: Snapshot) -> None:
    """What was read answers every question that the package asks of a snapshot."""
    assert snapshot.number == 1
    assert isinstance(snapshot.manifest_sha256, str)
    days = snapshot.days()
    assert days == sorted(days) and all(isinstance(day, date) for day in days)
    for table in SNAPSHOT_TABLES:
        assert all(path.is_relative_to(snapshot.path) and ".." not in path.parts for path in snapshot.files(table))
        for day in days:
            assert set(snapshot.files(table, day)) <= set(snapshot.files(table))
    totals_of(snapshot.entries)


def change_manifest(data: bytes, r: Random) -> bytes:
    """Another tree, or damaged bytes."""
    try:
        tree = parse(data)
    except (ValueError, RecursionError):
        return damage_bytes(data, r)
    if r.random() < 0.1:
        return damage_bytes(data, r)
    for _ in range(r.choice((1, 1, 3))):
        if r.random() < 0.2 and isinstance(tree, list) and tree and isinstance(tree[0], tuple):
            at = r.randrange(len(tree))
            tree[at] = (tree[at][0], any_value(r))
        else:
            tree = change(tree, r)
    return written(tree, r).encode("utf-8", "surrogatepass")


@cache
def published() -> bytes:
    """The manifest of a small warehouse."""
    return (small_warehouse.publish_first_night(scratch() / "warehouse").path / MANIFEST_NAME).read_bytes()


def seeds() -> Iterator[bytes]:
    """A real manifest, and what is nearly one."""
    yield published()
    yield from (b"", b"{}", b"[]", b"null", b"[" * 2000, b'{"format_version":1}', b'{"format_version":1,"snapshot":1}')
    yield b'{"format_version":1,"snapshot":"00000001","files":[]}'
    yield b'{"format_version":2,"snapshot":1}'
    for word in (b"null", b'"1"', b"true", b"1.5", b"-1", b"[]", b"1e400", b'"\\ud800"'):
        yield b'{"format_version":1,"snapshot":%s,"files":[]}' % word
        yield b'{"format_version":%s,"snapshot":1,"files":[]}' % word
        yield b'{"format_version":1,"snapshot":1,"files":%s}' % word


WORDS = ("format_version", "snapshot", "files", "path", "table", "day", "rows", "sums", "cost_usd", "manifest_sha256")
TARGET = Target(check, seeds, change_manifest, words_of(*WORDS, *NUMBERS, *TEXTS, "../x", "/etc/passwd", "rollups"))
