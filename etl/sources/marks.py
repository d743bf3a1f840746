"""Marks: by which keys a JSON object is recognised. One declaration serves the strict reader and the fast one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from etl.sources.paths import steps, value_at


@dataclass(frozen=True, eq=False)
class Marks:
    """What an object must have; a null is the same as nothing.

    Attributes:
        has: paths where something stands.
        any_of: paths of which one must have something.
        lacks: paths where nothing stands.
        where: path -> the texts that may stand there; one that ends in `*` is the beginning of such a text.
    """

    has: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def match(self, record: Any) -> bool:
        """Whether an object has them."""
        return (
            isinstance(record, dict)
            and record.keys() >= self._keys  # what most objects lack is seen without looking for it
            and all(_is_word(value_at(record, path), words) for path, words in self.where.items())
            and all(value_at(record, path) is not None for path in self.has)
            and (not self.any_of or any(value_at(record, path) is not None for path in self.any_of))
            and all(value_at(record, path) is None for path in self.lacks)
        )

    @cached_property
    def _keys(self) -> frozenset[str]:
        """The keys without which nothing stands at the paths."""
        return frozenset(steps(path)[0].key for path in (*self.has, *self.where))

    def presence_paths(self) -> Iterator[str]:
        """The paths of which it matters whether something stands there."""
        yield from self.has
        yield from self.any_of
        yield from self.lacks


@cache
def parted(words: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The whole words, and the beginnings."""
    whole = tuple(word for word in words if word[-1:] != "*")
    return whole, tuple(word[:-1] for word in words if word[-1:] == "*")


def _is_word(value: Any, words: tuple[str, ...]) -> bool:
    if not isinstance(value, str):
        return False
    whole, beginnings = parted(words)
    return value in whole or value.startswith(beginnings)
