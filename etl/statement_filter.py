"""Which SQL statements `costroll sql` runs: one that reads, and nothing that could write.

The kind of statement does not tell: since DuckDB 2.0 `WITH x AS (COPY ... TO 'file') SELECT ...` is a
SELECT, and so is a call of a function that runs another statement. So the parsed tree is looked through,
and only what is known to read is let pass.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Set
from typing import Any

import duckdb

from etl.errors import UsageError

_READING_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_READING_TABLE_FUNCTIONS = re.compile(
    r"read_parquet|parquet_\w+|range|generate_series|unnest|repeat|repeat_row|json_each|json_tree|histogram|histogram_values"
    r"|duckdb_(columns|constraints|databases|functions|keywords|schemas|settings|tables|types|views)|pragma_table_info"
)
# A macro is a SELECT with parameters; only Costroll's and DuckDB's own can exist here.
_MACROS_SQL = "select function_name from duckdb_functions() where function_type = 'table_macro'"
# Scalar functions that do more than compute.
_ACTING_FUNCTIONS = {"write_log", "nextval", "set_config"}
_COMMENT = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_EXPLAIN = re.compile(
    rf"{_COMMENT}explain\b{_COMMENT}(?:analyze\b{_COMMENT})?(?:\({_COMMENT}(?:analyze|format)\b[^)]*\))?",
    re.IGNORECASE | re.DOTALL,
)
_REFUSAL = "one SELECT, WITH, FROM, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN is run here; "


def require_read_only(con: duckdb.DuckDBPyConnection, sql_text: str) -> None:
    """Refuse anything but exactly one statement that only reads.

    Raises:
        UsageError: with what was found instead.
    """
    statement = _only_statement(con, sql_text)
    if statement.type == duckdb.StatementType.EXPLAIN:
        # EXPLAIN ANALYZE runs what it explains.
        explained = _EXPLAIN.sub("", statement.query, count=1)
        statement = _only_statement(con, explained)
    if statement.type == duckdb.StatementType.MULTI:
        raise UsageError(_REFUSAL + "a PIVOT needs its values listed: PIVOT t ON column IN ('a', 'b') USING sum(n)")
    if statement.type != duckdb.StatementType.SELECT:
        raise UsageError(_REFUSAL + f"this is {_kind(statement)}")
    macros = {name for (name,) in con.execute(_MACROS_SQL).fetchall()}
    for what in _not_reading(_tree(con, statement.query), macros):
        raise UsageError(_REFUSAL + f"{what} is refused")


def _only_statement(con: duckdb.DuckDBPyConnection, sql_text: str) -> duckdb.Statement:
    try:
        statements = con.extract_statements(sql_text)
    except duckdb.Error as error:
        raise UsageError(" ".join(str(error).split("\n\nLINE ")[0].split())) from error
    if len(statements) != 1:
        raise UsageError(_REFUSAL + (f"these are {len(statements)} statements" if statements else "the query is empty"))
    return statements[0]


def _kind(statement: duckdb.Statement) -> str:
    return str(statement.type).rsplit(".", 1)[-1]


def _tree(con: duckdb.DuckDBPyConnection, select: str) -> Any:
    row = con.execute("select json_serialize_sql(?::varchar)", [select]).fetchone()
    tree = json.loads(row[0]) if row else {"error": True}
    if tree.get("error"):
        raise UsageError(_REFUSAL + f"this one cannot be looked through: {tree.get('error_message')}")
    return tree


def _not_reading(node: Any, macros: Set[str]) -> Iterator[str]:
    """Name every part of a parsed statement that is not known to read only."""
    if isinstance(node, list):
        for item in node:
            yield from _not_reading(item, macros)
    if not isinstance(node, dict):
        return
    kind = node.get("type")
    if isinstance(kind, str) and kind.endswith("_NODE") and kind not in _READING_NODES:
        yield kind.removesuffix("_NODE").removesuffix("_QUERY")
    if "info_type" in node:
        yield str(node["info_type"])
    if kind == "TABLE_FUNCTION":
        name = str(node.get("function", {}).get("function_name")).lower()
        if name not in macros and not _READING_TABLE_FUNCTIONS.fullmatch(name):
            yield f"the function {name}"
    elif str(node.get("function_name", "")).lower() in _ACTING_FUNCTIONS:
        yield f"the function {node['function_name']}"
    for item in node.values():
        yield from _not_reading(item, macros)
