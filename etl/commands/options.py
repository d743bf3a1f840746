"""The options every command shares; they work before and after the subcommand.

costroll --warehouse DIR --json status
costroll status --warehouse DIR --json
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from etl import messages
from etl.sizes import size_in_bytes

if TYPE_CHECKING:
    from etl.settings_file import SettingsFile

_DURATION = re.compile(r"(\d{1,6})([mhd])")
_Function = TypeVar("_Function", bound=Callable[..., Any])


class ByteSize(click.ParamType[int]):
    """A number of bytes, such as 500MB (powers of ten), 2GiB (powers of two) or 1048576."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Turn the text into bytes, or end with a usage error."""
        if isinstance(value, int):
            return value
        try:
            return size_in_bytes(str(value))
        except ValueError:
            self.fail(f"{value!r} is no size; give one such as 500MB, 2GiB or a number of bytes", param, ctx)


class Duration(click.ParamType[timedelta]):
    """A length of time, such as 90m, 26h or 2d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Turn the text into a timedelta, or end with a usage error."""
        if isinstance(value, timedelta):
            return value
        match = _DURATION.fullmatch(str(value).strip())
        if not match:
            self.fail(f"{value!r} is no length of time; give one such as 90m, 26h or 2d", param, ctx)
        return int(match[1]) * {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}[match[2]]


@dataclass(frozen=True)
class Settings:
    """What the shared options say.

    Attributes:
        warehouse: the warehouse's folder; it need not exist.
        json: results as JSON on stdout.
        quiet: nothing on stderr but errors.
        config: the settings file, where one is named.
    """

    warehouse: Path
    json: bool = False
    quiet: bool = False
    config: Path | None = None

    def file(self) -> SettingsFile:
        """What the settings file says; the defaults where there is none."""
        from etl.settings_file import load

        return load(self.warehouse, self.config)


def settings_from(
    warehouse: Path | None = None, json: bool = False, quiet: bool = False, config: Path | None = None
) -> Settings:
    """Settings with the defaults: `--warehouse`, else $COSTROLL_WAREHOUSE, else ./warehouse; `--config` likewise."""
    given = warehouse or os.environ.get("COSTROLL_WAREHOUSE") or "warehouse"
    named = config or os.environ.get("COSTROLL_CONFIG")
    return Settings(Path(given), json, quiet, Path(named) if named else None)


def shared_options(function: _Function) -> _Function:
    """Give a group or command the options that all share, without merging them.

    The function gets them as `warehouse` and `config` (None when absent), `json` and `quiet`.
    """
    for option in (
        click.option(
            "--log-format",
            type=click.Choice(messages.FORMATS),
            expose_value=False,  # `etl.cli` has looked for it before anything could be told
            help="stderr for people, or one JSON object a line. [default: $COSTROLL_LOG_FORMAT, else text]",
        ),
        click.option("--quiet", is_flag=True, help="Print nothing but results and problems."),
        click.option("--json", is_flag=True, help="Print the result as JSON."),
        click.option(
            "--config",
            metavar="FILE",
            type=click.Path(dir_okay=False, path_type=Path),
            help="The settings. [default: $COSTROLL_CONFIG, else costroll.toml in the warehouse]",
        ),
        click.option(
            "--warehouse",
            metavar="DIR",
            type=click.Path(file_okay=False, path_type=Path),
            help="The warehouse. [default: $COSTROLL_WAREHOUSE, else ./warehouse]",
        ),
    ):
        function = option(function)
    return function


def limit_options(function: _Function) -> _Function:
    """Give a command `--threads` and `--memory-limit`; its function gets `threads` and `memory_limit`, in bytes."""
    for option in (
        click.option(
            "--memory-limit",
            type=ByteSize(),
            metavar="SIZE",
            help="What each database in memory may take, such as 2GB. [default: 80 % of the memory]",
        ),
        click.option("--threads", type=click.IntRange(1, 64), help="Threads to work with. [default: the processors]"),
    ):
        function = option(function)
    return function


def with_settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the shared options; its function gets the merged `Settings` first.

    An option after the subcommand beats the same option before it.
    """

    @shared_options
    @functools.wraps(function)
    def merged(warehouse: Path | None, json: bool, quiet: bool, config: Path | None, **own: Any) -> Any:
        context = click.get_current_context()
        base = context.obj if isinstance(context.obj, Settings) else settings_from()
        settings = replace(
            base,
            warehouse=warehouse or base.warehouse,
            json=json or base.json,
            quiet=quiet or base.quiet,
            config=config or base.config,
        )
        try:
            return function(settings, **own)
        except Exception as error:
            from etl.damage import damage_behind

            if damage := damage_behind(error, settings.warehouse):
                raise damage from error
            raise

    return merged
