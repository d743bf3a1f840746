"""The relations an analyst sees, with the meaning of each column, over any set of Parquet files.

`costroll.duckdb` and `costroll sql` show the same names; they differ only in which files stand behind them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import duckdb

from etl import engine
from etl.fates import FATES
from etl.macros import CHARGES_MACRO, MACROS
from etl.manifest import MANIFEST_NAME, Snapshot
from etl.model_facts import model_rows
from etl.schema import TABLES

# View -> table of the snapshot. The rate tables are versioned: every row ever recorded.
DATA_VIEWS = {
    "rollups": "rollups",
    "usage": "usage",
    "rejects": "rejects",
    "inputs": "inputs",
    "statements": "statements",
}
RATE_TABLES = {
    "rates_history": "rates",
    "aliases_history": "aliases",
    "contracts_history": "contracts",
    "rate_versions": "versions",
}

# A manifest lists every file, so it grows with the days. DuckDB wants to know how large one may get, and takes twice as
# much for each of its threads; a database that is not written anew with the next snapshot still reads that one.
_MANIFEST_BYTES_MIN, _MANIFEST_GROWTH = 1 << 22, 4
_WORD, _COMMENT = re.compile(r"\w+"), re.compile(r"--.*")
# What shows relations that a query does not name.
_LISTING = re.compile(r"show|describe|information_schema|(duckdb|pg|sqlite|pragma)_\w+")
_RATES_SQL = "create view rates as select * from rates_history where superseded_at is null"
_RUN_COLUMNS = {
    "snapshot": "BIGINT",
    "created_at": "TIMESTAMP",
    "tool": "STRUCT(version VARCHAR)",
    "rate_version": "BIGINT",
    "closure": f"STRUCT({', '.join(f'{name} BIGINT' for name in ('read', *FATES))})",
    "totals": "STRUCT(usage_rows BIGINT, cost_usd DECIMAL(38,12))",
}
_RUNS_SQL = """
    create view runs as
    select snapshot, created_at, tool.version as tool_version, rate_version, closure.read, closure.accepted,
        closure.duplicate, closure.conflict, closure.excluded, closure.rejected,
        totals.usage_rows as records, totals.cost_usd
    from {manifests}
    order by snapshot
"""
# Columns that two views share and no table has.
_SUMMED_MEANINGS = {
    "requests": "requests made",
    "input_tokens": "text input: meter `input`",
    "output_tokens": "text output with reasoning: meter `output`",
    "other_tokens": "audio, image, video and training tokens",
    "cost_usd": "exact, of everything that has a price; NULL when nothing that is charged has one",
    "list_cost_usd": "the same at list price; differs only under a contract",
    "unpriced_quantity": "units without a price, whatever they are",
    "cost_is_complete": "whether everything has a price",
}
_OWN_MEANINGS = {
    "cost_rollups": _SUMMED_MEANINGS,
    "daily_costs": _SUMMED_MEANINGS
    | {
        "input_tokens": "text input = uncached + cached + cache writes",
        "input_uncached_tokens": "text input that no cache touched",
        "input_cached_tokens": "text input read from a cache",
        "input_cache_write_tokens": "text input written to a cache, whatever its lifetime",
        "input_uncached_cost_usd": "exact; NULL when there is none or it has no price",
        "input_cached_cost_usd": "exact; NULL when there is none or it has no price",
        "input_cache_write_cost_usd": "exact; NULL when there is none or it has no price",
        "output_cost_usd": "exact; NULL when there is none or it has no price",
        "other_cost_usd": "of everything else: other tokens, calls, sessions, seconds, characters, images",
        "estimated_cost_usd": "the part of `cost_usd` whose tokens Costroll counted, as no usage was logged",
    },
    "runs": {
        "snapshot": "number of the snapshot that the run published",
        "created_at": "when, UTC",
        "tool_version": "version of Costroll",
        "rate_version": "the card's newest version then",
        "read": "records the run read = the five fates beside it",
        "records": "records that `usage` holds",
        "cost_usd": "rated cost of all days, exact",
    },
    "days": {
        "day": "UTC day",
        "rate_version": "a card version that prices this day: the first is kept, later ones healed what had no rate",
        "is_as_known": "repriced as it was known then: what has no price was not tried at a newer version",
    },
    "expired_days": {
        "day": "UTC day whose accepted records were let go by `costroll gc`; its costs stand in `rollups`",
        "records": "how many records that were; `usage` and `charges` have only those that came later",
        "at_snapshot": "the snapshot that let them go",
    },
    "meters": {
        "usage_column": "the column of `usage` that holds the quantity; NULL for requests",
        "is_charged": "false for what is counted and never priced",
    },
}


def create(
    con: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    paths_of: Callable[[str], Sequence[str]],
    manifests: Sequence[str],
    rates_are_tables: bool,
    query: str | None = None,
) -> None:
    """Create the relations, in the order in which they build on one another.

    Args:
        con: an empty database.
        snapshot: says which tables have files, and the days' rate versions.
        paths_of: the paths or glob patterns of a snapshot's table, for `read_parquet`.
        manifests: paths or patterns of the manifests that `runs` lists.
        rates_are_tables: copy the small versioned tables into the database, instead of views.
        query: create only what this query names, and what that builds on; None: everything, with its meaning.
    """
    makers: dict[str, tuple[str, Callable[[], object]]] = {}  # name -> the text with the names it builds on, and how
    for kind, tables in (("view", DATA_VIEWS), ("table" if rates_are_tables else "view", RATE_TABLES)):
        for name, table in tables.items():
            makers[name] = "", partial(_create_relation, con, kind, name, table, snapshot, paths_of)
    makers["rates"] = _RATES_SQL, partial(con.execute, _RATES_SQL)
    makers["models"] = "", partial(_create_models, con)
    makers["days"] = "", partial(_create_days, con, snapshot)
    makers["expired_days"] = "", partial(_create_expired_days, con, snapshot)
    makers["runs"] = "", partial(_create_runs, con, snapshot, manifests)
    makers["meters"] = "", partial(engine.create_view, con, "meters")
    for macro in (*MACROS, CHARGES_MACRO):
        makers[macro] = engine.sql(macro), partial(con.execute, engine.sql(macro))
    for name in _view_names():
        makers[name] = engine.sql(f"views/{name}"), partial(engine.create_view, con, name)
    makers["attributed_between"] = (
        engine.sql("attributed_between"),
        partial(con.execute, engine.sql("attributed_between")),
    )
    wanted = makers.keys() if query is None else _reached(query, {name: text for name, (text, _) in makers.items()})
    for name, (_, make) in makers.items():
        if name in wanted:
            make()
    if len(wanted) == len(makers):
        _comment(con)


def _reached(query: str, texts: Mapping[str, str]) -> set[str]:
    """The relations that a query names, and all that these build on; all there are, where it may list them."""
    words = set(_WORD.findall(query.lower()))
    found = words & texts.keys()
    if not found or any(_LISTING.fullmatch(word) for word in words):
        return set(texts)
    grown: set[str] = set()
    while grown != found:
        grown = set(found)
        for name in grown:
            found |= set(_WORD.findall(_COMMENT.sub("", texts[name]).lower())) & texts.keys()
    return found


def _list(paths: Sequence[str]) -> str:
    return "[" + ", ".join(engine.literal(path) for path in paths) + "]"


def _create_runs(con: duckdb.DuckDBPyConnection, snapshot: Snapshot, manifests: Sequence[str]) -> None:
    columns = ", ".join(f"{name}: {engine.literal(kind)}" for name, kind in _RUN_COLUMNS.items())
    sizes = [path.stat().st_size for path in snapshot.path.parent.glob(f"*/{MANIFEST_NAME}")]
    largest = max((_MANIFEST_BYTES_MIN, *sizes)) * _MANIFEST_GROWTH
    options = f"columns = {{{columns}}}, maximum_object_size = {largest}, hive_partitioning = false"
    con.execute(_RUNS_SQL.format(manifests=f"read_json({_list(manifests)}, {options})"))


def _create_relation(
    con: duckdb.DuckDBPyConnection,
    kind: str,
    name: str,
    table: str,
    snapshot: Snapshot,
    paths_of: Callable[[str], Sequence[str]],
) -> None:
    if snapshot.files(table):
        # A view cannot have bound parameters; the paths are quoted by literal(). Older files may lack columns.
        options = f"hive_partitioning = false, union_by_name = {str(table == 'inputs').lower()}"
        select = f"select * from read_parquet({_list(paths_of(table))}, {options})"  # noqa: S608
    elif table in TABLES:
        columns = ", ".join(f"null::{column.sql_type} as {column.name}" for column in TABLES[table])
        select = f"select {columns} where false"
    else:
        return
    con.execute(f"create {kind} {name} as {select}")


def _create_models(con: duckdb.DuckDBPyConnection) -> None:
    """The installed package's, not the snapshot's: no cost depends on them."""
    lists = ", ".join(f"unnest(?::{column.sql_type}[]) as {column.name}" for column in TABLES["models"])
    rows = model_rows()
    con.execute(f"create table models as select {lists}", [[row[c.name] for row in rows] for c in TABLES["models"]])


def _create_days(con: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> None:
    con.execute("create table days (day date, rate_version bigint, is_as_known boolean)")
    rows = [row for day, facts in sorted(snapshot.manifest.get("days", {}).items()) for row in _versions_of(day, facts)]
    if rows:
        con.execute(
            "insert into days select unnest(?::date[]), unnest(?::bigint[]), unnest(?::boolean[])",
            [list(column) for column in zip(*rows, strict=True)],
        )


def _create_expired_days(con: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> None:
    con.execute("create table expired_days (day date, records bigint, at_snapshot bigint)")
    for day, facts in sorted(snapshot.manifest.get("expired", {}).items()):
        con.execute("insert into expired_days values (?, ?, ?)", [day, facts["records"], facts["at_snapshot"]])


def _versions_of(day: str, facts: Mapping[str, Any]) -> list[tuple[str, int, bool]]:
    """The version a day was rated with, and the later ones at which something of it found its rate."""
    versions = {facts.get("rate_version"), *facts.get("healed", [])} - {None}
    return [(day, version, facts.get("as_known", False)) for version in sorted(versions)]


def _view_names() -> list[str]:
    """The views of sql/views but `meters`; first the one that others read."""
    files = engine.sql_folder().joinpath("views").iterdir()
    names = {file.name.removesuffix(".sql") for file in files if file.name.endswith(".sql")} - {"meters"}
    return sorted(names, key=lambda name: (name != "net_rollups", name))


def meanings() -> dict[str, str]:
    """What a column of that name means, wherever it appears; the rollups' own words win."""
    found: dict[str, str] = {}
    for table in ("rollups", *TABLES):
        for column in TABLES[table]:
            if column.meaning:
                found.setdefault(column.name, column.meaning)
    return found


def _comment(con: duckdb.DuckDBPyConnection) -> None:
    own = {
        (view, column.name): column.meaning
        for view, table in (DATA_VIEWS | RATE_TABLES | {"models": "models"}).items()
        for column in TABLES.get(table, ())
    }
    own |= {(view, name): text for view, texts in _OWN_MEANINGS.items() for name, text in texts.items()}
    shared = meanings()
    rows = con.execute("select table_name, column_name from duckdb_columns() where not internal").fetchall()
    statements = []
    for relation, column in rows:
        text = own.get((relation, column)) or shared.get(column)
        if text:
            statements.append(f'comment on column {relation}."{column}" is {engine.literal(text)}')
    con.execute("; ".join(statements))
