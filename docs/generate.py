#!/usr/bin/env python3
"""Fill the generated parts of the pages in docs/: columns, formats, reason codes and options, taken from the package.

    python docs/generate.py             bring the pages up to date
    python docs/generate.py --check     change nothing; name the pages that are not, and end with 1

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`; NAME is a key of `parts()`.
"""

from __future__ import annotations

import dataclasses
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

from etl import catalogue, cost_settings, fates, schema, settings_file  # noqa: E402
from etl.cli import COMMANDS, cli  # noqa: E402
from etl.commands.options import shared_options  # noqa: E402
from etl.ledger import DIMENSIONS  # noqa: E402
from etl.meters import METERS, QUANTITY_COLUMNS  # noqa: E402
from etl.sources import SOURCES  # noqa: E402
from etl.sources.base import Source  # noqa: E402
from etl.sources.envelopes import (  # noqa: E402
    ENVELOPES,
    PLACES,
    WRAPPER_STATUSES,
    WRAPPER_TEXTS,
    WRAPPER_TIMES,
)
from etl.sources.marks import Marks  # noqa: E402
from etl.sources.paths import Path as Path_  # noqa: E402
from etl.sources.paths import spellings  # noqa: E402
from etl.times import NOTATIONS  # noqa: E402
from etl.warehouse import Snapshot  # noqa: E402
from tests import catalogue as catalogue_of_faults  # noqa: E402

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
    made: dict[str, Callable[[], str]] = {
        "formats": formats,
        "envelopes": envelopes,
        "places": places,
        "notations": notations,
        "meters": meters,
        "shared options": _shared_options,
    }
    made |= {f"settings {name}": _bound(settings, name) for name in SETTINGS}
    made |= {f"faults {name}": _bound(faults, name) for name in catalogue_of_faults.CHAPTERS}
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
        ((f"`{c.name}`", c.sql_type, c.meaning or meanings.get(c.name, "")) for c in columns),
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
    known = {*catalogue.DATA_VIEWS, *catalogue.RATE_TABLES, "rates", "models"}
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


# -- faults.md


def faults(chapter: str) -> str:
    """The faults of a chapter: what is wrong, what Costroll does, and what shows it."""
    found = catalogue_of_faults.CHAPTERS[chapter]
    return _table(
        ("", "what is wrong", "what Costroll does", "shown by"),
        ((str(fault.number), fault.name, fault.does, _shown_by(fault)) for fault in found),
    )


def _shown_by(fault: catalogue_of_faults.Fault) -> str:
    outcomes = []
    if fault.content is not None:
        parts = [f"accepted {fault.accepted}"] if fault.accepted else []
        parts += [f"{key.replace('/', ' ')} {number}" for key, number in fault.reasons.items()]
        outcomes.append(f"a file: {(fault.refused and f'refused {fault.refused}') or ', '.join(parts)}")
    return "; ".join([*outcomes, *(f"`{name.partition('::')[2]}`" for name in fault.shown_by)])


# -- formats.md


def formats() -> str:
    """Every source with its example, and what it says of itself."""
    blocks = []
    for source in SOURCES:
        kind = "one record is one request" if source.kind == "request" else "one record is a sum over many requests"
        language = "jsonl" if source.example.startswith("{") else "csv"
        facts = _table(("", ""), described(source))
        head = f"### `{source.name}`\n\n{source.title}; {kind}."
        blocks.append(f"{head}\n\n```{language}\n{source.example}\n```\n\n{facts}")
    return "\n\n".join(blocks)


def described(source: Source) -> Rows:
    """What a source is recognised by, and what it says of cached tokens, identity, time, tier and exclusions."""
    if source.marks is not None:
        yield "recognised by", _marks(source.marks)
    if source.columns:
        yield "CSV with the columns", ", ".join(f"`{name}`" for name in sorted(source.columns))
    yield "cached tokens", f"{source.cached} the input count"
    if source.kind == "aggregate":
        names = [*(name for name in DIMENSIONS if name in source.texts), *source.dimensions]
        yield "identity", f"its interval and {', '.join(names)}"
    else:
        ids = [" + ".join(_paths(source.texts.get(name, ()))) for name in source.id_texts if name in source.texts]
        yield (
            "identity",
            (" or ".join(ids) or "the wrapper's id, else a fingerprint")
            + ("; its lines are states of one request" if source.is_state else ""),
        )
    time = source.instant
    yield "time", f"{', '.join(_paths(time[0]))}, {NOTATIONS[time[1]]}" if time else "the wrapper's, or `--date`"
    words = ", ".join(_paths(source.texts["tier"])) if "tier" in source.texts else "not told: standard"
    yield "tier", words
    if source.excluded:
        yield "excluded", ", ".join(f"`{reason}`" for reason in source.excluded)
    if source.silent is not None:
        yield "`not_usage`", _marks(source.silent)


def _paths(path: Path_) -> list[str]:
    return [f"`{one}`" for one in spellings(path)]


def _marks(marks: Marks) -> str:
    parts = [f"`{path}` is {' or '.join(f'`{word}`' for word in words)}" for path, words in marks.where.items()]
    parts += [f"`{path}`" for path in marks.has]
    if marks.any_of:
        some = [f"`{path}`" for path in marks.any_of]
        parts.append(f"any of {', '.join(some[:4])}{' ...' if len(some) > 4 else ''}")
    parts += [f"no `{path}`" for path in marks.lacks]
    return "; ".join(parts)


def envelopes() -> str:
    """The batch envelopes."""
    rows = ((one.name, _marks(one.marks), f"`{'.'.join(one.place)}`", _marks(one.failed)) for one in ENVELOPES)
    return _table(("envelope", "recognised by", "holds the object at", "not billed where"), rows)


def places() -> str:
    """What a wrapper may say, and where it keeps the object."""
    kept = ", ".join(f"`{'.'.join(place)}`" for place in PLACES)
    rows = [(f"`{name}`", ", ".join(f"`{key}`" for key in keys)) for name, keys in WRAPPER_TEXTS.items()]
    rows.append(("time", ", ".join(f"`{key}`" for key in WRAPPER_TIMES)))
    rows.append(("HTTP status", ", ".join(f"`{key}`" for key in WRAPPER_STATUSES)))
    return f"It may stand under {kept}.\n\n{_table(('from the wrapper', 'key, first one wins'), iter(rows))}"


def notations() -> str:
    """How times may be written."""
    return _table(("notation", "is"), ((f"`{name}`", meaning) for name, meaning in NOTATIONS.items()))


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


# -- settings.md


SETTINGS = settings_file.SECTIONS | {
    "alert.acknowledge": settings_file.Acknowledgement,
    "attribution.shared": cost_settings.Shared,
    "budget.limit": cost_settings.Limit,
}


def settings(section: str) -> str:
    """The keys of one section of costroll.toml."""
    rows = (
        (f"`{one.name}`", one.metadata["kind"].words, _default(one.default), one.metadata["meaning"])
        for one in dataclasses.fields(SETTINGS[section])
    )
    return _table(("key", "holds", "default", "meaning"), rows)


def _default(value: object) -> str:
    return "" if value in (None, ()) else f"`{value}`"


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
