"""The options every command shares; they work before and after the subcommand.

costroll --warehouse DIR --json status
costroll status --warehouse DIR --json
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Settings:
    """What the shared options say.

    Attributes:
        warehouse: the warehouse's folder; it need not exist.
        json: results as JSON on stdout.
        quiet: nothing on stderr but errors.
    """

    warehouse: Path
    json: bool = False
    quiet: bool = False


def settings_from(warehouse: Path | None = None, json: bool = False, quiet: bool = False) -> Settings:
    """Settings with the defaults: `--warehouse`, else $COSTROLL_WAREHOUSE, else ./warehouse."""
    given = warehouse or os.environ.get("COSTROLL_WAREHOUSE") or "warehouse"
    return Settings(Path(given), json, quiet)


def shared_options(function: _Function) -> _Function:
    """Give a group or command the options `--warehouse`, `--json` and `--quiet`, without merging them.

    The function gets them as `warehouse` (None when absent), `json` and `quiet`.
    """
    for option in (
        click.option("--quiet", is_flag=True, help="Print nothing on stderr but errors."),
        click.option("--json", is_flag=True, help="Print the result as JSON."),
        click.option(
            "--warehouse",
            metavar="DIR",
            type=click.Path(file_okay=False, path_type=Path),
            help="The warehouse. [default: $COSTROLL_WAREHOUSE, else ./warehouse]",
        ),
    ):
        function = option(function)
    return function


def with_settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the shared options; its function gets the merged `Settings` first.

    An option after the subcommand beats the same option before it.
    """

    @shared_options
    @functools.wraps(function)
    def merged(warehouse: Path | None, json: bool, quiet: bool, **own: Any) -> Any:
        context = click.get_current_context()
        base = context.obj if isinstance(context.obj, Settings) else settings_from()
        settings = replace(
            base, warehouse=warehouse or base.warehouse, json=json or base.json, quiet=quiet or base.quiet
        )
        return function(settings, **own)

    return merged
