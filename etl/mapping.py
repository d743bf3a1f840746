"""The mapping file: which team, cost centre or other tag an API key, user, workflow, project or account belongs to.

A CSV file. Its first column is named after what it maps (`api_key`, `user`, `workflow`, `project` or `account`), each
other column is a tag. `effective_from` and `effective_to`, UTC days, half-open, are there where a key changes hands.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

from etl import durable
from etl.errors import UsageError

# What a record may name -> the column of `usage` that has it.
DIMENSIONS = {
    "api_key": "api_key_id",
    "user": "user_id",
    "workflow": "workflow_id",
    "project": "project_id",
    "account": "account_id",
}
INTERVAL = ("effective_from", "effective_to")
_TAG = re.compile(r"[a-z][a-z0-9_]{0,49}")
_SHOWN = 20


@dataclass(frozen=True)
class Line:
    """One line: whose tags these are, and from which day to before which."""

    key: str
    starts_on: date
    ends_before: date
    values: tuple[str | None, ...]
    number: int


@dataclass(frozen=True)
class Mapping:
    """A mapping file.

    Attributes:
        path: where it was read.
        dimension: what its keys are; one of `DIMENSIONS`.
        tags: the names of its tags, in its order.
        lines: at any day at most one for each key.
        sha256: of the file.
    """

    path: Path
    dimension: str
    tags: tuple[str, ...]
    lines: tuple[Line, ...]
    sha256: str = ""


def read_mapping(path: Path) -> Mapping:
    """Read a mapping file and check all of it.

    Raises:
        UsageError: it is not there, or not such a file; the message names every bad line, up to 20.
    """
    try:
        with durable.explained("read", path):
            data = path.read_bytes()
        rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig")), strict=True))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: the mapping file is not UTF-8 text: {error}") from error
    except csv.Error as error:
        raise UsageError(f"{path}: the mapping file is not CSV: {error}") from error
    header = [name.strip() for name in rows[0]] if rows else []
    tags = tuple(name for name in header[1:] if name not in INTERVAL)
    _require_header(path, header, tags)
    problems: list[str] = []
    lines = [
        line
        for number, cells in enumerate(rows[1:], 2)
        if any(cell.strip() for cell in cells) and (line := _line(number, header, cells, problems))
    ]
    problems += _overlaps(lines)
    if problems:
        more = f"\n... and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise UsageError(f"{path}: the mapping file cannot be used:\n" + "\n".join(problems[:_SHOWN]) + more)
    return Mapping(path, header[0], tags, tuple(lines), hashlib.sha256(data).hexdigest())


def _require_header(path: Path, header: list[str], tags: tuple[str, ...]) -> None:
    there_are = ", ".join(DIMENSIONS)
    if not header or header[0] not in DIMENSIONS:
        found = repr(header[0]) if header else "nothing"
        raise UsageError(f"{path}: the first column of a mapping file is one of {there_are}, not {found}")
    if not tags or len(set(header)) < len(header):
        raise UsageError(f"{path}: after {header[0]} come the tags, such as team and cost_centre, each once")
    for tag in tags:
        if not _TAG.fullmatch(tag) or tag in DIMENSIONS:
            raise UsageError(
                f"{path}: {tag!r} cannot be a tag: small letters, digits and underscores, and none of {there_are}"
            )


def _line(number: int, header: list[str], cells: list[str], problems: list[str]) -> Line | None:
    if len(cells) != len(header):
        problems.append(f"line {number}: {len(cells)} cells where the header has {len(header)}")
        return None
    values = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    try:
        starts, ends = (date.fromisoformat(values[name]) if values.get(name) else None for name in INTERVAL)
    except ValueError:
        problems.append(f"line {number}: effective_from and effective_to are days such as 2026-10-01, or empty")
        return None
    if not values[header[0]] or (starts and ends and starts >= ends):
        problems.append(f"line {number}: " + ("no key" if not values[header[0]] else "it ends before it begins"))
        return None
    tags = tuple(values[name] or None for name in header[1:] if name not in INTERVAL)
    return Line(values[header[0]], starts or date.min, ends or date.max, tags, number)


def _overlaps(lines: list[Line]) -> list[str]:
    by_key: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        by_key[line.key].append(line)
    found = []
    for same in by_key.values():
        same.sort(key=lambda line: line.starts_on)
        found += [
            f"lines {one.number} and {two.number}: {one.key!r} has two owners on {two.starts_on}"
            if two.starts_on > date.min
            else f"lines {one.number} and {two.number}: {one.key!r} has two owners"
            for one, two in pairwise(same)
            if two.starts_on < one.ends_before
        ]
    return found
