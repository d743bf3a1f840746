"""What analysts query: `costroll.duckdb` beside the snapshots, and `costroll sql` over one pinned snapshot.

Both are derived from the published snapshot and never read by `run`, so nobody's open session can spoil a
night.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from etl import catalogue, durable, engine, statement_filter
from etl.errors import StorageError, UsageError
from etl.manifest import MANIFEST_NAME, Snapshot, snapshot_name
from etl.snapshot_builder import STAGING_PREFIX
from etl.warehouse import Warehouse

if TYPE_CHECKING:
    import polars as pl

DATABASE_NAME = "costroll.duckdb"
_BATCH_ROWS = 10_000
_MARKED_TABLE = "rates_history"
_PATTERNS = {"usage": "usage/*/*.parquet"}


def build_database(warehouse: Warehouse, published: Snapshot | None = None) -> None:
    """Build `costroll.duckdb` anew and rename it into place; call it inside the lock, after the commit.

    Args:
        warehouse: where.
        published: the published snapshot, where the caller has just made it; None: what `current` leads to.

    Raises:
        StorageError: it could not be built. What was published stands.
    """
    snapshot = published or warehouse.current()
    if snapshot is None:
        return
    target = warehouse.root / DATABASE_NAME
    staging = warehouse.root / f"{STAGING_PREFIX}{DATABASE_NAME}"
    durable.remove_tree(staging)
    current = _glob_literal(str(warehouse.root / "current"))

    def paths_of(table: str) -> list[str]:
        if table in catalogue.DATA_VIEWS:
            return [f"{current}/{_PATTERNS.get(table, f'{table}/*.parquet')}"]
        return [str(path) for path in snapshot.files(table)]  # copied, so their own paths do

    manifests = [f"{_glob_literal(str(warehouse.root))}/snapshots/*/{MANIFEST_NAME}"]
    try:
        with duckdb.connect(str(staging)) as con:
            con.execute("begin")  # else each of the many statements is brought to the disk
            catalogue.create(con, snapshot, paths_of, manifests, rates_are_tables=True)
            con.execute(f"comment on table {_MARKED_TABLE} is {engine.literal(_mark(snapshot))}")
            con.execute("commit")
            con.execute("checkpoint")
    except duckdb.Error as error:
        for path in warehouse.root.glob(f"{staging.name}*"):
            durable.remove_tree(path)  # a full disk needs the room
        raise StorageError(
            f"snapshot {snapshot.number} is published, but {target} could not be rebuilt: {_one_line(error)}"
        ) from error
    durable.seal_file(staging)
    log = target.with_name(f"{DATABASE_NAME}.wal")
    if log.exists():  # of someone who wrote into the older file; beside the new one, DuckDB would refuse to open it
        durable.remove_tree(log)
        durable.fsync_dir(log.parent)
    durable.rename(staging, target)


def is_database_current(warehouse: Warehouse) -> bool:
    """Whether `costroll.duckdb` can be opened and was built from the published snapshot.

    A run that died right after its commit leaves the one before.
    """
    snapshot = warehouse.current()
    return snapshot is not None and database_mark(warehouse) == _mark(snapshot)


def database_mark(warehouse: Warehouse) -> str | None:
    """The snapshot that `costroll.duckdb` says it was built from; None when it is missing or cannot be opened."""
    path = warehouse.root / DATABASE_NAME
    if not path.is_file():
        return None
    try:
        with duckdb.connect(str(path), read_only=True) as con:
            row = con.execute("select comment from duckdb_tables() where table_name = ?", [_MARKED_TABLE]).fetchone()
    except duckdb.Error:
        return None
    return row[0] if row else None


def _mark(snapshot: Snapshot) -> str:
    return f"of snapshot {snapshot.number}, whose manifest has the hash {snapshot.manifest_sha256}"


def _glob_literal(path: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", path)


@dataclass(frozen=True)
class Answer:
    """The result of a query.

    Attributes:
        columns: their names.
        types: DuckDB's names of their types.
        rows: read once, in batches; it ends with a UsageError when the time is up.
    """

    columns: list[str]
    types: list[str]
    rows: Iterator[tuple[Any, ...]]


def query(
    snapshot: Snapshot,
    sql_text: str,
    *,
    timeout: float = 300,
    memory_limit: str | None = None,
    threads: int | None = None,
) -> Answer:
    """Run one read-only statement over exactly the files of one snapshot.

    This is a guard rail against accidents, not a sandbox: DuckDB promises no boundary between a query and
    the process it runs in. Whoever must not see or change something must not have the right to in the
    operating system.

    Args:
        snapshot: stays the same for the whole query, whatever is published meanwhile.
        sql_text: one SELECT, FROM, WITH, VALUES, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN.
        timeout: seconds of work, after which the query is interrupted.
        memory_limit: such as `4GB`; None: half of the memory, at most 4 GiB. Nothing is spilled to the disk.
        threads: how many cores; None leaves it to DuckDB.

    Raises:
        UsageError: the statement is refused, wrong or took too long.
    """
    try:
        return _answer(snapshot, sql_text, timeout, memory_limit, threads, sql_text)
    except UsageError as error:
        if not isinstance(error.__cause__, duckdb.CatalogException):
            raise
    # A name that is not there: beside everything there is, the answer says which is near.
    return _answer(snapshot, sql_text, timeout, memory_limit, threads, None)


def _answer(
    snapshot: Snapshot, sql_text: str, timeout: float, memory_limit: str | None, threads: int | None, named: str | None
) -> Answer:
    con = _pinned(snapshot, memory_limit, threads, named)
    try:
        statement_filter.require_read_only(con, sql_text)
        budget = _Budget(con, timeout)
        with budget.running():
            con.execute(sql_text)
    except BaseException:
        con.close()
        raise
    description = con.description or []
    return Answer([item[0] for item in description], [str(item[1]) for item in description], _rows(con, budget))


def frame(snapshot: Snapshot, sql_text: str) -> pl.DataFrame:
    """The result of a query of ours over exactly the files of one snapshot, as one frame.

    Raises:
        UsageError: there is not enough memory for it.
        StorageError: a file cannot be read.
    """
    [found] = frames(snapshot, [sql_text])
    return found


def frames(snapshot: Snapshot, sql_texts: Iterable[str]) -> Iterator[pl.DataFrame]:
    """The same for several queries, one after the other.

    Raises:
        UsageError: there is not enough memory for one.
        StorageError: a file cannot be read.
    """
    con = _pinned(snapshot)
    try:
        for text in sql_texts:
            with _explained():
                found: pl.DataFrame = con.sql(text).pl()
            yield found
    finally:
        con.close()


def _pinned(
    snapshot: Snapshot, memory_limit: str | None = None, threads: int | None = None, query: str | None = None
) -> duckdb.DuckDBPyConnection:
    """An in-memory database with the views over the snapshot's files, locked against anything else.

    With a query, only those are there that it can reach.
    """
    try:
        con = engine.connect(threads=threads, memory_limit=memory_limit or engine.half_of_memory())
    except duckdb.Error as error:
        raise UsageError(f"cannot start a query: {_one_line(error)}") from error
    folder = snapshot.path.parent
    numbers = sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())
    manifests = [str(folder / snapshot_name(found) / MANIFEST_NAME) for found in numbers if found <= snapshot.number]
    with _explained():
        con.execute("set temp_directory = ''")
        catalogue.create(
            con,
            snapshot,
            lambda table: [str(path) for path in snapshot.files(table)],
            manifests,
            rates_are_tables=False,
            query=query,
        )
        allowed = [*(str(snapshot.path / entry["path"]) for entry in snapshot.entries), *manifests]
        con.execute(f"set allowed_paths = [{', '.join(map(engine.literal, allowed))}]")
        for setting in (
            "python_enable_replacements = false",
            "allow_community_extensions = false",
            "enable_external_access = false",
            "lock_configuration = true",
        ):
            con.execute(f"set {setting}")
    return con


def _rows(con: duckdb.DuckDBPyConnection, budget: _Budget) -> Iterator[tuple[Any, ...]]:
    try:
        while True:
            with budget.running():
                batch = con.fetchmany(_BATCH_ROWS)
            if not batch:
                return
            yield from batch
    finally:
        con.close()


class _Budget:
    """Seconds of work that a query may take; the time its reader takes between batches does not count."""

    def __init__(self, con: duckdb.DuckDBPyConnection, seconds: float) -> None:
        self._con = con
        self._seconds = seconds
        self._left = seconds

    @contextmanager
    def running(self) -> Iterator[None]:
        timer = threading.Timer(max(self._left, 0.001), self._con.interrupt)
        timer.daemon = True
        started = time.monotonic()
        timer.start()
        try:
            with _explained(f"stopped after {self._seconds:g} s; ask for less, or give it longer with --timeout"):
                yield
        finally:
            timer.cancel()
            self._left -= time.monotonic() - started


@contextmanager
def _explained(on_interrupt: str = "interrupted") -> Iterator[None]:
    """Turn DuckDB's errors into one line for the person who wrote the query."""
    try:
        yield
    except duckdb.InterruptException as error:
        raise UsageError(on_interrupt) from error
    except duckdb.PermissionException as error:
        raise UsageError(f"a query reads the views of the snapshot and no other file: {_one_line(error)}") from error
    except duckdb.OutOfMemoryException as error:
        raise UsageError(f"not enough memory; ask for less, or raise --memory-limit: {_one_line(error)}") from error
    except duckdb.IOException as error:
        raise StorageError(f"{_one_line(error)}; run `costroll verify`") from error
    except duckdb.Error as error:
        if "pytz" in str(error):
            raise UsageError("a result column has a time zone; cast it, as in `now()::TIMESTAMP`") from error
        raise UsageError(_one_line(error)) from error


def _one_line(error: duckdb.Error) -> str:
    return " ".join(str(error).split("\n\nLINE ")[0].split())
