"""costroll.toml: what a warehouse's runs are always asked for, so that a crontab stays short.

Each section is a dataclass, each key a field made by `key()`: a new setting is one line here, and the page
docs/settings.md is generated from it. What is not listed here is refused, so that a typing error cannot
silently leave a threshold at its default. The file is only ever read.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from etl import durable
from etl.cost_settings import AttributionSection, BudgetSection
from etl.errors import StorageError, UsageError
from etl.setting_kinds import (
    AT_LEAST_ONE,
    COUNT,
    COUNT_OR_SHARE,
    DAY,
    FACTOR,
    FLAG,
    SIZE,
    TEXT,
    TEXTS,
    ZONE,
    Kind,
    key,
    tables,
)

FILE_NAME = "costroll.toml"


@dataclass(frozen=True)
class RunSection:
    """What `costroll run` is asked for when its command line says nothing else."""

    inputs: tuple[str, ...] = key(
        TEXTS, (), "Files, folders or globs to read when `run` gets no PATH; relative ones start at the settings file."
    )
    account: str | None = key(TEXT, None, "As `--account`.")
    assume_tz: str | None = key(ZONE, None, "As `--assume-tz`.")
    estimate_tokens: bool = key(FLAG, False, "As `--estimate-tokens`.")
    max_decompressed: int | None = key(SIZE, None, "As `--max-decompressed`.")
    threads: int | None = key(AT_LEAST_ONE, None, "As `--threads`.")
    memory_limit: int | None = key(SIZE, None, "As `--memory-limit`.")


@dataclass(frozen=True)
class Acknowledgement:
    """Something known: it is counted and printed, and alarms nobody."""

    model: str | None = key(TEXT, None, "The model of a quantity without a price; `*` stands for any letters.")
    reason: str | None = key(TEXT, None, "The reason code or price status; `*` likewise.")
    file: str | None = key(TEXT, None, "The input's name, whole or its last part; `*` likewise.")
    until: date | None = key(DAY, None, "The last UTC day it holds; absent: for ever.")
    note: str | None = key(TEXT, None, "Why, for who reads the summary.")


def _acknowledgements(value: Any) -> list[dict[str, Any]]:
    found = tables(value)
    if any(not {"model", "reason", "file"} & one.keys() for one in found):
        raise ValueError
    return found


ACKNOWLEDGEMENTS = Kind(
    "tables [[alert.acknowledge]], each with a model, a reason or a file", _acknowledgements, Acknowledgement
)


@dataclass(frozen=True)
class AlertSection:
    """How much of what a run meets is allowed before it ends with 3."""

    rejected: int | Decimal = key(COUNT_OR_SHARE, 0, "Records rejected, or their share of the records read.")
    conflicts: int | Decimal = key(COUNT_OR_SHARE, 0, "Records in conflict, or their share of the records read.")
    unpriced: int = key(COUNT, 0, "Units without a price, other than provisioned or complimentary.")
    refused: int = key(COUNT, 0, "Inputs refused as a whole.")
    empty: int = key(COUNT, 0, "Empty inputs whose predecessor had records.")
    unknown_keys: int | None = key(
        COUNT, None, "Keys that smell of money and that Costroll does not know, in each input; absent: only told."
    )
    cost_jump: Decimal | None = key(
        FACTOR, None, "A day may cost so many times the median of the days before it; absent: not looked at."
    )
    cost_jump_days: int = key(AT_LEAST_ONE, 28, "How many days with data before it make that median.")
    missing_days: int | None = key(
        COUNT, None, "Days without data between the newest day before and the newest now; absent: not looked at."
    )
    acknowledge: tuple[Acknowledgement, ...] = key(ACKNOWLEDGEMENTS, (), "What is known and alarms nobody; below.")


@dataclass(frozen=True)
class RetentionSection:
    """What `costroll gc` keeps."""

    snapshots: int = key(AT_LEAST_ONE, 14, "Keep at least so many of the newest snapshots.")
    hours: int = key(COUNT, 48, "Keep every snapshot that was published in the last so many hours.")
    usage_days: int | None = key(AT_LEAST_ONE, None, "Keep the accepted records of so many days; absent: of all.")


@dataclass(frozen=True)
class SettingsFile:
    """The sections of one settings file; all defaults where there is none.

    Attributes:
        path: the file, whether it exists or not.
    """

    path: Path
    run: RunSection = RunSection()
    alert: AlertSection = AlertSection()
    retention: RetentionSection = RetentionSection()
    attribution: AttributionSection = AttributionSection()
    budget: BudgetSection = BudgetSection()

    def inputs(self) -> tuple[str, ...]:
        """The paths of `[run] inputs`, from the folder of the file where they are relative.

        Raises:
            UsageError: one begins with `~` and a name that no user has.
        """
        try:
            return tuple(str(self.path.parent / Path(given).expanduser()) for given in self.run.inputs)
        except RuntimeError as error:
            raise UsageError(f"{self.path}: [run] inputs begin with the home of a user there is not") from error


SECTIONS: dict[str, Any] = {
    section.name: type(section.default) for section in fields(SettingsFile) if is_dataclass(section.default)
}


def load(warehouse: Path, given: Path | None) -> SettingsFile:
    """Read the file that was given, else the warehouse's `costroll.toml` if it has one.

    Raises:
        UsageError: the given file does not exist, or something in it is not a setting.
        StorageError: it cannot be read.
    """
    path = given or warehouse / FILE_NAME
    try:
        with durable.explained("read", path):
            data = path.read_bytes() if given or path.exists() else b""
    except StorageError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise UsageError(f"there is no settings file {path}") from error
        raise
    try:
        content = tomllib.loads(data.decode(), parse_float=Decimal)  # 0.1 is one tenth, as written
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not a TOML file: {error}") from error
    return _taken(path, content)


def _taken(path: Path, content: dict[str, Any]) -> SettingsFile:
    sections = {}
    for name, table in content.items():
        if name not in SECTIONS or not isinstance(table, dict):
            there_are = ", ".join(f"[{known}]" for known in SECTIONS)
            raise UsageError(f"{path}: there is no section or key {name!r} here; there are the sections {there_are}")
        sections[name] = _section(path, f"[{name}]", SECTIONS[name], table)
    return SettingsFile(path, **sections)


def _section(path: Path, heading: str, section: Any, table: dict[str, Any]) -> Any:
    known = {one.name: one for one in fields(section)}
    values = {}
    for name, value in table.items():
        if name not in known:
            raise UsageError(f"{path}: {heading} has no key {name!r}; there are: {', '.join(known)}")
        kind: Kind = known[name].metadata["kind"]
        try:
            values[name] = taken = kind.take(value)
        except (ValueError, TypeError, ArithmeticError):  # NaN compares with nothing
            raise UsageError(f"{path}: {heading} {name} must be {kind.words}, not {_shown(value)}") from None
        if kind.section:
            inner = f"[{heading.strip('[]')}.{name}]"
            values[name] = tuple(_section(path, f"[{inner}]", kind.section, table) for table in taken)
    return section(**values)


def _shown(value: Any) -> str:
    try:
        return str(value) if isinstance(value, Decimal) else repr(value)
    except (ValueError, RecursionError):  # Python writes no number of more than 4,300 digits
        return "something of that length"
