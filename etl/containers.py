"""Take apart an object that holds several records; `etl.sources.containers` says which do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from etl.json_values import Json, with_members
from etl.sources.containers import CONTAINERS, Container


class Decided(NamedTuple):
    """An entry whose fate is plain at sight."""

    fate: str
    reason: str


def entries(record: Json) -> Iterator[Json | Decided]:
    """The records in an object, however deep; an object that is no container is its own only record."""
    container = next((one for one in CONTAINERS if one.marks.match(record)), None)
    if container is None:
        yield record
        return
    key = next((key for key in container.entries if record.get(key) is not None), container.entries[0])
    found = record.get(key)
    others = {key: record.get(key) for key in container.beside}
    if not getattr(record, "doubled", frozenset()).isdisjoint(_deciding(container)):
        yield Decided("rejected", "duplicate_key")
    elif not found and isinstance(found, list | None) and not any(others.values()):
        yield Decided("excluded", "empty_bucket")
    else:
        for array in ([] if found is None else found, *(other for other in others.values() if other)):
            if isinstance(array, list):
                for entry in array:
                    yield from _entry(entry, record, container)
            else:
                yield Decided("rejected", "invalid_field")


def _deciding(container: Container) -> tuple[str, ...]:
    """The keys by which it is told what its records are."""
    return (*container.marks.where, *container.entries, *container.inherited, *container.beside)


def _entry(entry: Any, record: Json, container: Container) -> Iterator[Json | Decided]:
    if not isinstance(entry, dict):
        yield Decided("rejected", "not_an_object")
        return
    handed_down = {key: record[key] for key in container.inherited if key in record and entry.get(key) is None}
    yield from entries(with_members(entry, handed_down) if handed_down else entry)


class Cut(NamedTuple):
    """How a container is cut: the key of its array of records, and all keys that decide it."""

    array: str
    deciding: tuple[str, ...]


def cut_of(value: object, *, may_inherit: bool = True) -> Cut | None:
    """How to cut an object, if it is a container and has any records.

    Args:
        value: the object.
        may_inherit: also where the records take something over from it, so that they do not stand alone.
    """
    if not isinstance(value, dict):
        return None
    container = next((one for one in CONTAINERS if one.marks.match(value)), None)
    if container is None or container.beside or (container.inherited and not may_inherit):
        return None
    key = next((key for key in container.entries if value.get(key)), None)
    return Cut(key, _deciding(container)) if key and isinstance(value[key], list) else None
