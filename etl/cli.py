"""The command line: one group whose commands are loaded when they are used.

Only this module turns an error into an exit status; the table is in docs/commands.md.
"""

from __future__ import annotations

import gc
import importlib
import io
import os
import signal
import sys
import traceback
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from etl import __version__, messages, stopping, streams
from etl.commands.options import settings_from, shared_options
from etl.errors import CostrollError

# Command -> one line for `costroll --help`; the module is etl.commands.<command>.
COMMANDS = {
    "run": "Read usage logs, rate them and publish daily costs.",
    "report": "Show what the published days cost.",
    "explain": "Take one cost apart: arithmetic, rate and source lines.",
    "reprice": "Rate published days again, and say what changes and why.",
    "reconcile": "Compare the published costs with the provider's cost export.",
    "close": "Freeze a month: what comes late becomes a correction.",
    "reopen": "Let a closed month change again, on record.",
    "export": "Write a month as FOCUS or as a table, with a control sheet.",
    "status": "Show what the warehouse holds.",
    "verify": "Prove the published files, sums and prices again.",
    "snapshots": "List the snapshots that are kept.",
    "rollback": "Publish an earlier snapshot's files again.",
    "gc": "Remove old snapshots.",
    "migrate": "Bring a warehouse of an older version up to date.",
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
def cli(ctx: click.Context, /, **shared: Any) -> None:
    """Turn exported LLM API usage logs into daily costs that finance can sign.

    \b
    Example:
        costroll run logs/
        costroll report
    """
    ctx.obj = settings_from(**shared)


def main() -> None:
    """Run the command line as a process of its own; the exit codes are in docs/commands.md."""
    # NumPy's linear algebra, which nothing here uses, would start threads that spin.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # What Polars frees serves the next chunk: its allocator keeps it for a while, and in few places.
    os.environ.setdefault("_RJEM_MALLOC_CONF", f"dirty_decay_ms:3000,muzzy_decay_ms:0,narenas:{os.cpu_count() or 1}")
    # Threads that read, write and hash come back to Python very often, and should not wait 5 ms for it each time.
    sys.setswitchinterval(0.0005)
    gc.set_threshold(1_000_000)  # hardly anything here runs in circles, and looking for it keeps all threads waiting
    streams.prepare()
    stopping.install(lambda text: _complain("stopped", text))
    code = exit_code_of(sys.argv[1:])
    streams.finish()
    # All is told and on the disk: to take the interpreter apart first would take a tenth of a second.
    os._exit(code)


def exit_code_of(arguments: list[str]) -> int:
    """Run one command line and say how it ended."""
    messages.configure(_log_format(arguments))
    try:
        code = _run(arguments)
    except BaseException:
        # Whatever it is: a library may wrap what stopped it in an error of its own.
        if not stopping.signal_number():
            raise
    if stopping.signal_number():
        stopping.finish()
        return 128 + stopping.signal_number()
    return code


def _run(arguments: list[str]) -> int:
    try:
        code: Any = cli.main(arguments, prog_name="costroll", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except streams.OutputLost as error:
        if not error.is_closed_pipe:
            _complain(error.event, f"{error}; {stopping.outcome()}")
        return error.exit_code
    except CostrollError as error:
        _complain(error.event, str(error))
        return error.exit_code
    except click.ClickException as error:
        _complain("usage", error.format_message(), _usage(error))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 128 + signal.SIGINT
    except OSError as error:
        _complain("storage", f"{error.filename or 'the disk'}: {error.strerror or error}")
        return 5
    except Exception as error:
        if stopping.signal_number() or os.environ.get("COSTROLL_TRACEBACK"):
            raise
        _complain(
            "bug",
            f"a bug of ours: {type(error).__name__} at {_place(error)}; {stopping.outcome()}.\n"
            "Run it again with COSTROLL_TRACEBACK=1 and report what it prints.",
        )
        return 1


def _place(error: BaseException) -> str:
    """Where it was raised, and from where in this package: file names and lines hold nothing of the data."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(Path(__file__).parent)]
    places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in (frames[-1], *own[-1:])]
    return " from ".join(dict.fromkeys(places))


def _complain(event: str, text: str, for_people: str | None = None) -> None:
    messages.tell("error", event, text if messages.is_json() else for_people or f"costroll: {text}")


def _usage(error: click.ClickException) -> str:
    """What click prints about an error in the command line."""
    shown = io.StringIO()
    error.show(shown)
    return shown.getvalue().rstrip("\n")


def _log_format(arguments: list[str]) -> str:
    """`--log-format`, before anything else is understood: an error in the command line is told in it as well."""
    given = [after for word, after in pairwise(["", *arguments, ""]) if word == "--log-format"]
    given += [word.partition("=")[2] for word in arguments if word.startswith("--log-format=")]
    return (given or [os.environ.get("COSTROLL_LOG_FORMAT", "text")])[-1]
