"""Turn the paths on the command line into inputs, in an order that does not depend on the file system.

A folder gives its `.jsonl`, `.ndjson`, `.json` and `.csv` files, also `.gz` and `.zst`; never hidden ones, nor those
of a warehouse.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from etl.errors import UsageError
from etl.framing import Input, readable

ENDINGS = (".jsonl", ".ndjson", ".json", ".csv")
COMPRESSED = (".gz", ".zst")


@dataclass
class Found:
    """What the paths name.

    Attributes:
        inputs: the files to read.
        refused: those refused at sight: name, code and text.
        other_files: how many files of other kinds the folders held.
        met: of the refused, the place of each that is no file and was met in a folder: nobody named it.
    """

    inputs: list[Input] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    other_files: int = 0
    met: dict[str, str] = field(default_factory=dict)


def _in_its_folder(path: str) -> str:
    folder, name = os.path.split(path)
    return _resolved_folder(folder) + name


@lru_cache(maxsize=64)
def _resolved_folder(folder: str) -> str:
    """A folder without links, with the stroke before the names in it; the empty one is where we are."""
    return os.path.join(os.path.realpath(folder), "")


def find(paths: Sequence[str]) -> Found:
    """Find the inputs that the paths name.

    A literal path beats a glob. `-` is standard input.

    Raises:
        UsageError: no path names anything.
    """
    _resolved_folder.cache_clear()  # links may lead elsewhere than at the last run
    found = Found()
    seen: dict[str, Input] = {}
    for path in paths:
        if path == "-":
            found.inputs.append(Input("-", None))
        elif os.path.lexists(path):
            _take(str(Path(path)), found, seen)
        elif matches := sorted(glob.glob(path, recursive=True)):
            for match in matches:
                _take(str(Path(match)), found, seen)
        else:
            found.refused.append((readable(path), "unreadable", "there is no such file or folder"))
    found.inputs += seen.values()
    if (
        not found.inputs
        and len(found.refused) == len(paths)
        and all(code == "unreadable" for _, code, _ in found.refused)
    ):
        names = ", ".join(name for name, _, _ in found.refused)
        raise UsageError(
            f"no PATH names anything: {names}\nGive files, folders, globs in quotes, or - for standard input."
        )
    return found


def _take(path: str, found: Found, seen: dict[str, Input], met: os.DirEntry[str] | None = None) -> None:
    """Take a path that was named, or that was met in a folder."""
    try:
        status = os.stat(path) if met is None else met.stat()
    except OSError as error:
        code = "not_a_file" if os.path.islink(path) else "unreadable"
        _refuse(path, code, f"cannot be read: {error.strerror}", found, met)
        return
    if stat.S_ISDIR(status.st_mode):
        for entry in _files(path, found):
            _take(entry.path.removeprefix("./"), found, seen, entry)  # what is in `.` is named without it
    elif not stat.S_ISREG(status.st_mode):
        _refuse(path, "not_a_file", "is a device, FIFO or socket; give files, folders or -", found, met)
    else:
        # A file that is met under several names has the first of them by the alphabet, not by the order of arguments.
        is_link = os.path.islink(path) if met is None else met.is_symlink()
        place = os.path.realpath(path) if is_link else _in_its_folder(path)
        one = Input(readable(path), path, frozenset(), status, readable(place))
        known = seen.get(place)
        if known is None or one.name < known.name:
            seen[place] = one


def _refuse(path: str, code: str, text: str, found: Found, met: os.DirEntry[str] | None) -> None:
    found.refused.append((readable(path), code, text))
    if met is not None and code == "not_a_file":
        found.met[readable(path)] = readable(_in_its_folder(path))


def _files(folder: str, found: Found) -> Iterator[os.DirEntry[str]]:
    """The folder's files by name, folders below it included; links to folders are not followed."""
    try:
        # `os.path` would not say that a folder may not be searched.
        if Path(folder, "current").is_symlink() and Path(folder, "snapshots").is_dir():
            return
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        found.refused.append((readable(folder), "unreadable", f"cannot be listed: {error.strerror}"))
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path, found)
        elif entry.is_symlink() and os.path.isdir(
            entry.path
        ):  # unlike entry.is_dir(), it does not raise where links run in a circle
            found.other_files += 1
        elif _is_log(entry.name):
            yield entry
        else:
            found.other_files += 1


def _is_log(name: str) -> bool:
    lower = name.lower()
    for ending in COMPRESSED:
        lower = lower.removesuffix(ending)
    return lower.endswith(ENDINGS)
