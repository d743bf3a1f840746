#!/usr/bin/env python3
"""Fill the generated parts of the pages in docs/: columns, formats, reason codes and options, taken from the package.

    python docs/generate.py             bring the pages up to date
    python docs/generate.py --check     change nothing; name the pages that are not, and end with 1

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`; NAME is a key of `parts()`.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))  # this checkout's package, not one that is installed elsewhere

import click  # noqa: E402
import duckdb  # noqa: E402

from etl import catalogue, fates, schema  # noqa: E402
from etl.audit import duckdb_type  # noqa: E402
from etl.cli import COMMANDS, cli  # noqa: E402
from etl.commands.options import shared_options  # noqa: E402
from etl.meters import METERS, QUANTITY_COLUMNS  # noqa: E402
from etl.sources import SOURCES  # noqa: E402
from etl.warehouse import Snapshot  # noqa: E402

PART = re.compile(r"(<!-- generated: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
Rows = Iterator[tuple[str, ...]]


def pages() -> Iterator[tuple[Path, str, str]]:
    """Every page with generated parts: its path, its text, and what its text should be."""
    made = parts()
    for path in sorted(DOCS.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        wanted = PART.sub(lambda match: f"{match[1]}\n{made[match[2]]()}\n\n{match[3]}", text)
        if PART.search(text):
            yield path, text, wanted


def parts() -> Mapping[str, Callable[[], str]]:
    """What can be generated, by name."""
    made: dict[str, Callable[[], str]] = {"formats": formats, "meters": meters, "shared options": _shared_options}
    made |= {f"table {name}": _bound(table_columns, name) for name in schema.TABLES}
    made |= {f"view {name}": _bound(view_columns, name) for name in views()}
    made |= {f"reasons {name}": _bound(reasons, name) for name in REASONS}
    made |= {f"command {' '.join(words)}": _bound(options, *words) for words in commands()}
    return made


def _bound(function: Callable[..., str], *arguments: str) -> Callable[[], str]:
    return lambda: function(*arguments)


# -- columns.md


def table_columns(table: str) -> str:
    """The columns of one of `schema.TABLES`; what has no words of its own there means what it means in the rates."""
    meanings = {c.name: c.meaning for name in ("rollups", "rates") for c in schema.TABLES[name] if c.meaning}
    columns = schema.TABLES[table]
    return _table(
        ("column", "type", "meaning"),
        ((f"`{c.name}`", duckdb_type(c.dtype), c.meaning or meanings.get(c.name, "")) for c in columns),
    )


@cache
def views() -> dict[str, list[tuple[str, str, str]]]:
    """The columns of the views that are no table of their own, as DuckDB describes them over an empty warehouse."""
    empty = Snapshot(1, Path(), {"files": [], "days": {}})
    with tempfile.NamedTemporaryFile("w", suffix=".json") as manifest, duckdb.connect() as con:
        manifest.write("{}")
        manifest.flush()
        catalogue.create(con, empty, lambda _: [], [manifest.name], rates_are_tables=True)
        found = con.execute(
            "select table_name, column_name, data_type, coalesce(comment, '') from duckdb_columns()"
            " where not internal order by table_name, column_index"
        ).fetchall()
    known = {*catalogue.DATA_VIEWS, *catalogue.RATE_TABLES, "rates"}
    columns: dict[str, list[tuple[str, str, str]]] = {}
    for view, *rest in found:
        if view not in known:
            columns.setdefault(view, []).append(tuple(rest))
    return columns


def view_columns(view: str) -> str:
    """The columns of one of `views()`."""
    columns = views()[view]
    return _table(("column", "type", "meaning"), ((f"`{name}`", kind, meaning) for name, kind, meaning in columns))


def meters() -> str:
    """The meter registry."""
    rows = []
    for meter in METERS:
        statuses = ", ".join(f"`{status}`" for status in meter.caching_statuses)
        columns = ", ".join(f"`{column}`" for column, name, _ in QUANTITY_COLUMNS if name == meter.name) or "`requests`"
        rows.append((f"`{meter.name}`", meter.direction, meter.unit, statuses, columns))
    return _table(("meter", "direction", "unit", "caching statuses", "columns of `usage`"), iter(rows))


# -- formats.md


def formats() -> str:
    """Every source with its example."""
    blocks = []
    for source in SOURCES:
        kind = "one record is one request" if source.kind == "request" else "one record is a sum over many requests"
        language = "jsonl" if source.example.startswith("{") else "csv"
        blocks.append(f"### `{source.name}`\n\n{source.title}; {kind}.\n\n```{language}\n{source.example}\n```")
    return "\n\n".join(blocks)


# -- fates.md

REASONS = {
    "excluded": fates.EXCLUSIONS,
    "rejected": fates.REJECTIONS,
    "conflict": fates.CONFLICTS,
    "duplicate": fates.DUPLICATES,
    "refused": fates.REFUSALS,
}


def reasons(fate: str) -> str:
    """The reason codes of one fate, or of inputs that are refused as a whole."""
    return _table(("code", "meaning"), ((f"`{code}`", text) for code, text in REASONS[fate].items()))


# -- commands.md


def commands() -> Iterator[tuple[str, ...]]:
    """Every command that does something, by its words: `("rates", "show")`."""
    for name in COMMANDS:
        command = command_of(name)
        if isinstance(command, click.Group):
            yield from ((name, below) for below in sorted(command.commands))
        else:
            yield (name,)


def command_of(*words: str) -> click.Command:
    """The command of that name."""
    found: click.Command = cli
    for word in words:
        assert isinstance(found, click.Group)
        below = found.get_command(click.Context(cli), word)
        assert below is not None, words
        found = below
    return found


def options(*words: str) -> str:
    """How a command is called, and its own options."""
    command = command_of(*words)
    context = click.Context(command, info_name=f"costroll {' '.join(words)}")
    usage = " ".join((context.command_path, *command.collect_usage_pieces(context)))
    own = [option for option in _options_of(command) if option.name not in SHARED]
    table = _table(("option", "for"), map(_option_row, own)) if own else "It has no options of its own."
    return f"```\n{usage}\n```\n\n{table}"


def _shared_options() -> str:
    return _table(("option", "for"), (_option_row(option) for option in _options_of(_with_shared)))


@click.command()
@shared_options
def _with_shared(**_: object) -> None:
    pass


SHARED = {option.name for option in _with_shared.params}


def _options_of(command: click.Command) -> list[click.Option]:
    return [parameter for parameter in command.params if isinstance(parameter, click.Option)]


def _option_row(option: click.Option) -> tuple[str, str]:
    value = "" if option.is_flag else f" {_value_of(option)}"
    needed = " Required." if option.required else ""
    default = f" [default: {option.default}]" if option.show_default else ""
    return f"`{', '.join(option.opts)}{value}`", f"{option.help}{needed}{default}"


def _value_of(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return " or ".join(option.type.choices)
    return option.metavar or {"integer range": "N", "float range": "N"}.get(option.type.name, option.type.name.upper())


def _table(header: tuple[str, ...], rows: Rows) -> str:
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines)


def main() -> int:
    """Write or check; returns the exit status."""
    is_check = sys.argv[1:] == ["--check"]
    stale = [(path, wanted) for path, text, wanted in pages() if text != wanted]
    for path, wanted in stale:
        if not is_check:
            path.write_text(wanted, encoding="utf-8")
        sys.stderr.write(
            f"docs/{path.name} {'is not up to date: run python docs/generate.py' if is_check else 'written'}\n"
        )
    return 1 if is_check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
