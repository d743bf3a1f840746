"""What earlier nights know of an input: whether it was read, refused, or begins as one that was."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from pathlib import PurePosixPath
from typing import NamedTuple

import polars as pl

from etl import __version__
from etl.run_report import Options

_DIGITS = re.compile(r"\d+")
_COMPRESSED = (".gz", ".zst")


class Reading(NamedTuple):
    """One reading of one input, as the table `inputs` has it."""

    input_name: str
    input_sha256: str | None
    path: str | None
    device: int | None
    inode: int | None
    modified_ns: int | None
    stored_bytes: int
    content_bytes: int
    refusal: str | None
    skipped: str | None
    read: int
    accepted: int
    duplicate: int
    excluded: int
    rejected: int
    conflict: int
    assumed_account_id: str | None
    options_hash: str
    tool_version: str
    at_snapshot: int

    @property
    def is_counted(self) -> bool:
        """Whether its records met their fates in that reading."""
        return self.refusal is None and self.skipped is None

    def is_of(self, status: os.stat_result) -> bool:
        """Whether a file is as it was then, by all that can be told without opening it."""
        return (self.device, self.inode, self.modified_ns, self.stored_bytes) == (
            status.st_dev,
            status.st_ino,
            status.st_mtime_ns,
            status.st_size,
        )


class History:
    """The readings of all earlier nights, and what they say of the inputs of this one.

    Args:
        inputs: the table `inputs`.
        options: of this run.
    """

    def __init__(self, inputs: pl.DataFrame, options: Options) -> None:
        self._options = options
        self._hash = options.reading_hash()
        self._by_path: defaultdict[str, list[Reading]] = defaultdict(list)
        self._by_inode: defaultdict[tuple[int, int], list[Reading]] = defaultdict(list)
        self._by_sha256: defaultdict[str, list[Reading]] = defaultdict(list)
        self._set_aside: set[int] = set()
        for row in inputs.select(Reading._fields).rows():
            self._add(Reading(*row))

    def _add(self, reading: Reading) -> None:
        if reading.path is not None:
            self._by_path[reading.path].append(reading)
        if reading.is_counted and reading.input_sha256:
            self._by_sha256[reading.input_sha256].append(reading)
            if reading.device is not None and reading.inode is not None:
                self._by_inode[reading.device, reading.inode].append(reading)
            if reading.rejected + reading.conflict:
                self._set_aside.add(reading.content_bytes)

    def passes_over(self, place: str, status: os.stat_result) -> tuple[str, str | None] | None:
        """Why a file that is as it was need not be opened, and the code it was refused with, if it was."""
        same = [reading for reading in self._by_path.get(place, ()) if reading.is_of(status)]
        if not same:
            return None
        if any(reading.input_sha256 and self.was_read(reading.input_sha256) for reading in same):
            return "unchanged since it was read", None
        refused = [reading.refusal for reading in same if reading.refusal and self._is_same_way(reading)]
        return (f"unchanged since it was refused: {refused[-1]}", refused[-1]) if refused else None

    def was_no_file(self, place: str) -> bool:
        """Whether an earlier run told already that a name in a folder leads to no file."""
        return any(reading.refusal == "not_a_file" for reading in self._by_path.get(place, ()))

    def was_read(self, sha256: str) -> bool:
        """Whether an earlier reading of the same content would come out the same."""
        return any(
            not self._may_be_more(reading) or self._is_same_way(reading) for reading in self._by_sha256.get(sha256, ())
        )

    def _may_be_more(self, reading: Reading) -> bool:
        """Whether read in another way more of it might count: what was rejected, and the text of streams."""
        return bool(reading.rejected or (self._options.estimate_tokens and reading.excluded))

    def _is_same_way(self, reading: Reading) -> bool:
        return (reading.options_hash, reading.tool_version) == (self._hash, __version__)

    def marks(self, place: str | None, status: os.stat_result | None) -> frozenset[int]:
        """The lengths at which to hash an input's content, to see which earlier content it continues."""
        own = [*self._by_path.get(place, ())] if place else []
        own += self._by_inode.get((status.st_dev, status.st_ino), ()) if status else ()
        return frozenset({reading.content_bytes for reading in own if reading.is_counted} | self._set_aside) - {0}

    def continued(self, prefixes: Mapping[int, str], sha256: str, place: str | None) -> list[Reading]:
        """The earlier readings of contents that are no longer there and that this content begins with.

        A file elsewhere that merely begins the same, and still does, has a life of its own.

        Args:
            prefixes: length -> SHA-256 of what stands before it.
            sha256: of the whole content; not an earlier one.
            place: of the file, if it is one.
        """
        found = [
            reading for prefix in prefixes.values() if prefix != sha256 for reading in self._by_sha256.get(prefix, ())
        ]
        return [reading for reading in found if reading.path == place or not _is_there(reading)]

    def other_account(self, sha256: str, continued: list[Reading]) -> str | None:
        """The text of the refusal where records of this content count under another `--account` already."""
        for reading in [*self._by_sha256.get(sha256, ()), *continued]:
            if reading.accepted + reading.duplicate and reading.assumed_account_id != self._options.account:
                was = f"--account {reading.assumed_account_id}" if reading.assumed_account_id else "no --account"
                return f"was read with {was} before, and its records count there; read it the same way again"
        return None

    def predecessor(self, place: str) -> tuple[str, int] | None:
        """The latest input with records in the same place under the same name, digits aside: its name and records."""
        held = self._held_by_pattern.get(_pattern(place))
        return (held.input_name, held.read) if held else None

    @cached_property
    def _held_by_pattern(self) -> dict[str, Reading]:
        order = (reading for readings in self._by_path.values() for reading in readings if reading.read)
        held = sorted(order, key=lambda reading: (reading.at_snapshot, reading.input_name))
        return {_pattern(reading.path): reading for reading in held if reading.path}


def _pattern(path: str) -> str:
    """A path with the digits of its name, and its compression, taken out: what a day's export has in common."""
    place = PurePosixPath(path)
    name = place.name
    for ending in _COMPRESSED:
        name = name.removesuffix(ending)
    return str(place.with_name(_DIGITS.sub("0", name) or name))


def _is_there(reading: Reading) -> bool:
    if reading.path is None:
        return False
    try:
        return reading.is_of(os.stat(reading.path))
    except (OSError, ValueError):
        return False
