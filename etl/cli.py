"""The command line: one group whose commands are loaded when they are used.

Only this module turns an error into an exit status; the table is in docs/commands.md.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from etl import __version__
from etl.commands.options import settings_from, shared_options
from etl.errors import CostrollError

# Command -> one line for `costroll --help`; the module is etl.commands.<command>.
COMMANDS = {
    "run": "Read usage logs, rate them and publish daily costs.",
    "report": "Show what the published days cost.",
    "explain": "Take one cost apart: arithmetic, rate and source lines.",
    "reconcile": "Compare the published costs with the provider's cost export.",
    "status": "Show what the warehouse holds.",
    "verify": "Prove the published files, sums and prices again.",
    "path": "Print the folder of the published snapshot.",
    "sql": "Run a read-only SQL query on the published snapshot.",
    "rates": "Show and check the rate table.",
    "formats": "List the formats that can be read, with an example each.",
}


class _Commands(click.Group):
    """A group that imports a command's module when it is called, so that `--help` stays instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"etl.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message} There are: {', '.join(COMMANDS)}.", ctx) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="costroll")
@shared_options
@click.pass_context
def cli(ctx: click.Context, warehouse: Path | None, json: bool, quiet: bool) -> None:
    """Turn exported LLM API usage logs into daily costs that finance can sign.

    \b
    Example:
        costroll run logs/
        costroll report
    """
    ctx.obj = settings_from(warehouse, json, quiet)


def main() -> None:
    """Run the command line; the exit codes are in docs/commands.md."""
    sys.exit(exit_code_of(sys.argv[1:]))


def exit_code_of(arguments: list[str]) -> int:
    """Run one command line and say how it ended."""
    try:
        code: Any = cli.main(arguments, prog_name="costroll", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except CostrollError as error:
        click.echo(f"costroll: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 128 + signal.SIGINT
    except BrokenPipeError:
        _silence_stdout()
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno == errno.EPIPE:
            _silence_stdout()
            return 128 + signal.SIGPIPE
        click.echo(f"costroll: {error.filename or 'the disk'}: {error.strerror or error}", err=True)
        return 5
    except Exception as error:
        if os.environ.get("COSTROLL_TRACEBACK"):
            raise
        click.echo(
            f"costroll: a bug of ours: {type(error).__name__}; nothing was published by this command.\n"
            "Run it again with COSTROLL_TRACEBACK=1 and report what it prints.",
            err=True,
        )
        return 1


def _silence_stdout() -> None:
    """Whoever read our output is gone; keep the interpreter from complaining when it closes the stream."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
