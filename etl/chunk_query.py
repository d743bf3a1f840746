"""Ask DuckDB for the fields of a chunk of JSON lines: undecoded JSON text, one column a path.

The chunk is shown to DuckDB as a file in memory, so that it parses the very bytes that were framed and hashed.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl
from fsspec import AbstractFileSystem

from etl.engine import connect
from etl.framing import LINE_BYTES_MAX
from etl.shapes import Shape


class ChunkQuery:
    """A DuckDB connection that sees one chunk at a time. One per thread."""

    def __init__(self) -> None:
        self._memory = _ChunkFiles()
        self._connection = connect(threads=1)
        # Polars keeps strings as views; it takes over DuckDB's as they are, and would copy any other.
        self._connection.execute("SET arrow_output_version = '1.4'; SET produce_arrow_string_view = true")
        self._connection.register_filesystem(self._memory)

    def fields(self, data: bytes | bytearray, shapes: Sequence[Shape], *, ignore_errors: bool) -> pl.DataFrame:
        """Read every path of the shapes from every line that is not blank.

        Args:
            data: JSON lines.
            shapes: their paths become columns; of each usage object a column `<path>?` says whether it is there.
            ignore_errors: a malformed line becomes a row of NULLs, and doubled keys and wrong structures pass.

        Raises:
            duckdb.Error: without `ignore_errors`, at the first line that is not sound.
        """
        paths = dict.fromkeys(path for shape in shapes for path in shape.paths())
        usages = dict.fromkeys(f"{shape.prefix}{shape.source.usage}" for shape in shapes if shape.source.usage)
        outputs = [f'{_column(path)} AS "{path}"' for path in paths]
        outputs += [f"""CASE WHEN {_column(path)} IS NOT NULL THEN 'true' END AS "{path}?" """ for path in usages]
        # Every name in this text is a path from a source's declaration; the data comes by the file system alone.
        query = (
            f"SELECT {', '.join(outputs)} FROM read_json('{self._memory.offer(data)}', format='newline_delimited', "  # noqa: S608
            f"compression='none', columns={_columns(_tree(paths))}, ignore_errors={ignore_errors}, "
            f"maximum_object_size={LINE_BYTES_MAX})"
        )
        frame = pl.from_arrow(self._connection.sql(query).to_arrow_table())
        assert isinstance(frame, pl.DataFrame)
        return frame


def _tree(paths: Iterable[str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in paths:
        *parents, leaf = path.split(".")
        at = tree
        for key in parents:
            at = at.setdefault(key, {})
        at.setdefault(leaf, {})
    return tree


def _columns(tree: dict[str, Any]) -> str:
    return "{" + ", ".join(f"""'{key}': '{_type(below)}'""" for key, below in tree.items()) + "}"


def _type(tree: dict[str, Any]) -> str:
    if not tree:
        return "JSON"
    return "STRUCT(" + ", ".join(f'"{key}" {_type(below)}' for key, below in tree.items()) + ")"


def _column(path: str) -> str:
    return ".".join(f'"{key}"' for key in path.split("."))


class _ChunkFiles(AbstractFileSystem):  # type: ignore[misc]
    """Shows DuckDB one chunk at a time as a file, so that it parses the very bytes that were hashed."""

    protocol = "chunk"
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self._data: bytes | bytearray = b""
        self._count = 0

    def offer(self, data: bytes | bytearray) -> str:
        """Put the next chunk behind a name of its own, as DuckDB may remember what a name held."""
        self._data = data
        self._count += 1
        return f"chunk://{self._count}.jsonl"

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BytesIO:
        return _ChunkFile(self._data)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """The size is what DuckDB asks for."""
        return {"name": path, "size": len(self._data), "type": "file"}

    def exists(self, path: str, **_: Any) -> bool:
        """The chunk on offer is there."""
        return True

    def isfile(self, path: str) -> bool:
        """And it is a file."""
        return True

    def glob(self, path: str, **_: Any) -> list[str]:
        """Names hold no patterns."""
        return [path]


class _ChunkFile(io.BytesIO):
    @property
    def size(self) -> int:
        """The length, where DuckDB looks for it."""
        return self.getbuffer().nbytes
