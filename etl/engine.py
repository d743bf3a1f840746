"""Open DuckDB the way Costroll needs it, and find the SQL files.

The SQL is source code and lives in `sql/`, one statement in one file: see sql/README.md.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import duckdb

from etl.errors import UsageError

# Sessions must not depend on the host's time zone, and must never reach for the network.
_SETTINGS = (
    "SET TimeZone = 'UTC'",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET enable_progress_bar = false",
)

_CONTROL_GROUP = Path("/sys/fs/cgroup/memory.max")


@dataclass
class _Limits:
    threads: int | None = None
    memory_bytes: int | None = None


_limits = _Limits()  # of the process, as threads and memory are


@contextmanager
def limited(threads: int | None = None, memory_bytes: int | None = None) -> Iterator[None]:
    """Hold the whole command to limits: what connects within the block, in whatever thread, and what Polars starts.

    Args:
        threads: at most so many at a time; None: as many as there are processors.
        memory_bytes: what each database may take at most; None leaves it to DuckDB.

    Raises:
        UsageError: a database needs more memory than that.
    """
    if threads is not None and "polars" not in sys.modules:
        os.environ["POLARS_MAX_THREADS"] = str(threads)  # it is read once, when Polars is imported
    before = replace(_limits)
    _limits.threads, _limits.memory_bytes = threads, memory_bytes
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        said = " ".join(str(error).split("\n\n")[0].split())
        raise UsageError(f"not enough memory; raise --memory-limit, or leave it away: {said}") from error
    finally:
        _limits.threads, _limits.memory_bytes = before.threads, before.memory_bytes


def threads() -> int:
    """How many threads this command may keep busy."""
    return _limits.threads or processors()


def processors() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def connect(threads: int | None = None, memory_limit: str | None = None) -> duckdb.DuckDBPyConnection:
    """Open an in-memory database.

    Args:
        threads: how many cores to use; None: as many as `limited` says, else what DuckDB thinks right.
        memory_limit: such as `2GB`; None: likewise.
    """
    threads = threads or _limits.threads
    if memory_limit is None and _limits.memory_bytes is not None:
        memory_limit = f"{_limits.memory_bytes}B"
    config: dict[str, str | bool | int | float | list[str]] = {}
    if threads is not None:
        config["threads"] = threads
    if memory_limit is not None:
        config["memory_limit"] = memory_limit
    con = duckdb.connect(":memory:", config=config)
    for setting in _SETTINGS:
        con.execute(setting)
    return con


def half_of_memory(most: int = 4 << 30) -> str:
    """Half of the memory this process may have, at most `most` bytes, as DuckDB's `memory_limit`.

    In a container the machine's memory is not ours: its control group (version 2) says how much is.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # not Linux, or `max`: no limit
        memory = min(memory, int(_CONTROL_GROUP.read_text()))
    return f"{min(memory // 2, most) >> 20}MiB"


def sql_folder() -> Traversable:
    """The folder of SQL files: inside the package when installed from a wheel, else beside it in the checkout."""
    installed = resources.files("etl").joinpath("sql")
    return installed if installed.is_dir() else resources.files("etl").joinpath("..", "sql")


@cache
def sql(name: str) -> str:
    """The text of `sql/<name>.sql`, such as `rated` or `views/daily_costs`.

    Raises:
        FileNotFoundError: there is no such file; the package is not complete.
    """
    return sql_folder().joinpath(*f"{name}.sql".split("/")).read_text(encoding="utf-8")


def create_view(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Create the view of `sql/views/<name>.sql`; the file holds its SELECT."""
    con.execute(f"CREATE OR REPLACE VIEW {name} AS {sql(f'views/{name}')}")


def literal(text: str | Path) -> str:
    """A string literal of SQL.

    >>> print(literal("it's"))
    'it''s'
    """
    return "'" + str(text).replace("'", "''") + "'"
