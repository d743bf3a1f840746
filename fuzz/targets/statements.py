"""The SQL guard: whatever statement it admits, run over a published snapshot, changes no file and makes none.

Inputs are SQL text in which `@file` stands for the quoted path of a published file and `@new` for one beside it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random

import duckdb
import small_warehouse

from etl import analyst, statement_filter
from etl.errors import UsageError
from etl.manifest import Snapshot
from fuzz.target import Target, damage_bytes, scratch, words_of

SECONDS = 0.5
READING = (
    *("select 1", "from rollups", "select * from @file", "values (1)", "select count(*) from usage", "show tables"),
    *("select * from read_parquet(@file)", "describe usage", "summarize rollups", "from range(3)", "table rollups"),
    *("from parquet_metadata(@file)", "select * from (pivot rollups on meter in ('input') using sum(quantity))"),
    *("from charges_between(date '2026-11-20', date '2026-11-21')", "unpivot (select 1 as a, 2 as b) on a, b"),
)
WRITING = (
    *("copy rollups to @file", "copy (select 1) to @file (use_tmp_file false)", "copy (select 1) to @new"),
    *("copy (select 1) to @new (format csv, use_tmp_file false)", "copy (select 1) to @file (format json)"),
    *(
        "attach @new as a",
        "attach @file as a",
        "export database @new",
        "import database @file",
        "create table t(a int)",
    ),
    *("insert into days values (date '2026-01-01', 1)", "insert into days select * from days returning *"),
    *("delete from days returning *", "update days set rate_version = 9 returning *", "truncate days", "load json"),
    *("set enable_external_access = true", "set allowed_paths = []", "pragma enable_profiling", "checkpoint", "vacuum"),
    *(
        "set profiling_output = @new",
        "pragma profiling_output = @new",
        "set log_query_path = @new",
        "call duckdb_logs()",
    ),
    *("create or replace view rollups as select 1", "create temp table t as select 1", "create macro f() as 1"),
    *(
        "prepare p as copy (select 1) to @file",
        "execute p",
        "merge into days using days d on true when matched then delete",
    ),
    *("from query('copy (select 1) to @new')", "from json_execute_serialized_sql(json_serialize_sql('select 1'))"),
    *(
        "select write_log('x')",
        "from enable_logging('QueryLog', storage = 'file', storage_path = @new)",
        "comment on table days is 'x'",
    ),
)
FRAMES = (
    *(
        "with x as ({0}) {1}",
        "with x as materialized ({0}) {1}",
        "with recursive x as ({1} union all {0}) {1}",
        "({0})",
    ),
    *("explain {0}", "explain analyze {0}", "explain (analyze, format json) {0}", "explain/**/analyze/*x*/{0}"),
    *("select ({0})", "select * from ({0})", "select exists({0})", "select * from ({0}) t, lateral ({1})", "{0}; {1}"),
    *(
        "{0} union all {1}",
        "{1} intersect {0}",
        "select array({0})",
        "select 1 in ({0})",
        "describe {0}",
        "summarize {0}",
    ),
    *(
        "select * from query('{0}')",
        "from query_table('{0}')",
        "pivot ({0}) on a using sum(b)",
        "-- x\n{0}",
        "/* {1} */ {0}",
    ),
    *("select list_transform([1], lambda x: ({0}))", "select case when true then ({0}) end", "select [({0}), ({1})]"),
    *("select 1 where exists (with y as ({0}) from y)", "select * from values (({0}))", "select 1 order by ({0})"),
    *("select 1 limit ({0})", "select sum(1) over (order by ({0}))", "select 1 qualify ({0})", "select {{'a': ({0})}}"),
    *(
        "from json_execute_serialized_sql(json_serialize_sql('{0}'))",
        "select try(({0}))",
        "select columns(*) from ({0})",
    ),
)


@cache
def snapshot() -> Snapshot:
    """A small published snapshot."""
    return small_warehouse.publish_first_night(scratch() / "published")


def connection(*, again: bool = False) -> duckdb.DuckDBPyConnection:
    """The connection that `costroll sql` runs a statement on, kept for the next one."""
    if again or not _open:
        _open[:] = [analyst._pinned(snapshot(), "500MB", 1)]
    return _open[0]


_open: list[duckdb.DuckDBPyConnection] = []


def state() -> list[tuple[str, int, int, bytes]]:
    """Name, size, time and content of all there is in the warehouse and where the process stands."""
    places = (*snapshot().path.parent.parent.rglob("*"), *Path.cwd().glob("*"))
    return sorted(_facts(path) for path in places if path.is_file() and ".fuzz" not in path.parts)


def _facts(path: Path) -> tuple[str, int, int, bytes]:
    status = path.stat()
    own = path.read_bytes() if path.is_relative_to(scratch()) else b""
    return str(path), status.st_size, status.st_mtime_ns, own


def check(data: bytes) -> None:
    """Ask the guard; run what it admits, as `costroll sql` would; look at every file again."""
    file = snapshot().files("rollups")[0]
    new = file.with_name("new.parquet")
    text = data.decode("utf-8", "replace").replace("@file", f"'{file}'").replace("@new", f"'{new}'")
    con = connection()
    try:
        statement_filter.require_read_only(con, text)
    except UsageError as error:
        assert str(error).strip()
        return
    before = state()
    run(con, text)
    assert state() == before, f"a file was changed by {text!r}"
    require_sound(con)


def run(con: duckdb.DuckDBPyConnection, text: str) -> None:
    """Run a statement for half a second at most; that it may fail is no concern here."""
    timer = threading.Timer(SECONDS, con.interrupt)
    timer.start()
    try:
        with contextlib.suppress(duckdb.Error):
            con.execute(text)
            con.fetchmany(100)
    finally:
        timer.cancel()


def require_sound(con: duckdb.DuckDBPyConnection) -> None:
    """The session is as it was: nothing was made in it, and its settings stand."""
    try:
        facts = con.execute("select count(*) from days").fetchall()
        made = con.execute(
            "select count(*) from duckdb_tables() "
            "where not internal and table_name not in ('days', 'expired_days', 'models')"
        ).fetchall()
        locked = con.execute("select current_setting('enable_external_access')").fetchall()
    except duckdb.Error:
        connection(again=True)  # an internal error of DuckDB's spoils a session
        return
    assert (facts, made, locked) == ([(2,)], [(0,)], [(False,)])


def change(data: bytes, r: Random) -> bytes:
    """A statement within another, a word of one in another, or damaged bytes."""
    kind = r.randrange(6)
    if kind == 0:
        return damage_bytes(data, r, tuple(word.encode() for word in (*READING, *WRITING, "'", '"', "$$", ";", "--")))
    text = data.decode("utf-8", "replace")
    if kind == 1:
        words, others = text.split(" "), r.choice((*READING, *WRITING)).split(" ")
        at, other = r.randrange(len(words)), r.randrange(len(others))
        return " ".join((*words[:at], *others[other : other + 3], *words[at + r.randrange(3) :])).encode()
    if kind == 2:
        text = r.choice(r.choice((READING, calls())))
    elif kind == 3 or len(text) > 2000:
        text = r.choice(WRITING)
    for _ in range(r.choice((1, 1, 2, 3))):
        text = r.choice(FRAMES).format(text, r.choice((*READING, *WRITING)))
    return (text.swapcase() if r.random() < 0.05 else text).encode()


@cache
def calls() -> tuple[str, ...]:
    """Every function that DuckDB knows, called with a path, with paths, and with nothing."""
    rows = duckdb.sql("select distinct function_name, function_type from duckdb_functions() order by all").fetchall()
    made = []
    for name, kind in rows:
        if not name.replace("_", "").isalnum():
            continue
        for arguments in ("@new", "@file, @new", "'x', @new", "", "1"):
            made.append(f"from {name}({arguments})" if kind.startswith("table") else f"select {name}({arguments})")
    return tuple(made)


def seeds() -> Iterator[bytes]:
    """Statements that read, that write, and each that writes within each frame."""
    for text in (*READING, *WRITING):
        yield text.encode()
    for frame in FRAMES:
        for text in WRITING[:6]:
            yield frame.format(text, READING[0]).encode()


TARGET = Target(check, seeds, change, words_of(*READING, *WRITING))
