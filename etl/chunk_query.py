"""Ask DuckDB for the fields of a chunk of JSON lines: undecoded JSON text, one column a path.

The chunk is shown to DuckDB as a file in memory, so that it parses the very bytes that were framed and hashed.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl
from fsspec import AbstractFileSystem

from etl.allocation import KEPT_BLOCK_BYTES
from etl.engine import connect, literal
from etl.lines import blanked
from etl.sources.paths import steps

# DuckDB reads twice as much at once, in a buffer just small enough to be kept: see `etl.allocation`. The strict reader
# takes the few lines that are longer.
_OBJECT_BYTES_MAX = KEPT_BLOCK_BYTES // 2 - (1 << 20)
# No path is named so: the index of the shape that claims a row, or that none does.
CLAIMED, UNCLAIMED = "?", -1


class Shown(NamedTuple):
    """JSON lines as DuckDB sees them.

    Attributes:
        data: the bytes.
        blank: the stretches that are spaces instead, in order.
    """

    data: bytes
    blank: Sequence[tuple[int, int]] = ()


class Asked(NamedTuple):
    """A path that a claim looks at: its value, or only whether anything stands there."""

    path: str
    is_value: bool


class ChunkQuery:
    """A DuckDB connection that sees one chunk at a time. One per thread."""

    def __init__(self) -> None:
        self._memory = _ChunkFiles()
        self._connection = connect(threads=1)
        # Polars keeps strings as views; it takes over DuckDB's as they are, and would copy any other.
        self._connection.execute("SET arrow_output_version = '1.4'; SET produce_arrow_string_view = true")
        self._connection.register_filesystem(self._memory)

    def fields(self, shown: Shown, wanted: Wanted) -> pl.DataFrame:
        """Read every wanted path from every line that is not blank.

        Args:
            shown: the lines.
            wanted: a column for each path; for a path whose presence is asked, a column `<path>?` that is true or
                NULL; and the column `CLAIMED`.

        Raises:
            duckdb.Error: at the first line that is not sound.
        """
        with self._reading(shown, wanted, wanted.outputs, ignore_errors=False) as relation:
            frame = pl.from_arrow(relation.to_arrow_table())
        assert isinstance(frame, pl.DataFrame)
        return frame

    def unclaimed_rows(self, shown: Shown, wanted: Wanted) -> npt.NDArray[np.int64]:
        """Find lines that no shape claims, as none does what is malformed; doubled keys and wrong structures pass.

        Returns:
            Their places among the lines that are not blank.

        Raises:
            duckdb.Error: the data cannot be read at all.
        """
        with self._reading(shown, wanted, wanted.claim, ignore_errors=True) as relation:
            claimed = pl.Series(relation.to_arrow_table()[CLAIMED])
        return np.flatnonzero((claimed == UNCLAIMED).to_numpy())

    @contextmanager
    def _reading(
        self, shown: Shown, wanted: Wanted, outputs: str, *, ignore_errors: bool
    ) -> Iterator[duckdb.DuckDBPyRelation]:
        # Every name in this text is a path from a source's declaration; the data comes by the file system alone.
        with self._memory.showing(shown) as name, _said_as_text():
            yield self._connection.sql(
                f"SELECT {outputs} FROM read_json('{name}', format='newline_delimited', "  # noqa: S608
                f"compression='none', columns={wanted.columns}, ignore_errors={ignore_errors}, "
                f"maximum_object_size={_OBJECT_BYTES_MAX})"
            )

    def odd_rows(self, shown: Shown, wanted: Wanted) -> list[int]:
        """Find lines of another structure than is wanted, and lines with a key twice on the way to a wanted path.

        It takes several times as long as `fields`, which stops at the first of them. Inside of arrays it does not look.

        Returns:
            Their places among the lines that are not blank.

        Raises:
            duckdb.Error: the data cannot be read at all.
        """
        with self._memory.showing(shown) as name, _said_as_text():
            query = (
                "SELECT row FROM (SELECT row_number() OVER () - 1 AS row, "  # noqa: S608
                f"json_extract(json, [{wanted.places}])::VARCHAR[] AS found "
                f"FROM read_ndjson_objects('{name}', compression='none', ignore_errors=true, "
                f"maximum_object_size={_OBJECT_BYTES_MAX})) WHERE {wanted.is_odd}"
            )
            return [row for (row,) in self._connection.sql(query).fetchall()]

    def is_json(self, text: str) -> bool:
        """Whether a text is one JSON value, however deep; a trailing comma passes."""
        [(is_json,)] = self._connection.execute("SELECT json_valid(?::VARCHAR)", [text]).fetchall()
        return bool(is_json)


@contextmanager
def _said_as_text() -> Iterator[None]:
    """DuckDB quotes the beginning of what it objects to, and may cut a character in half: that is no text to Python."""
    try:
        yield
    except UnicodeDecodeError as cut:
        raise duckdb.InvalidInputException(cut.object.decode(errors="replace")) from cut


class Conflict(Exception):
    """Two paths want different structures of the same place; one read cannot serve both."""


class Wanted:
    """What to read from each line, in DuckDB's words.

    Args:
        paths: the paths whose values are read.
        presence: the paths of which it matters whether anything stands there.
        claims: SQL conditions over `value_at`, and what the column `CLAIMED` is where the first of them holds; else it
            is `UNCLAIMED`.
        asked: the paths that only the claims need.

    Raises:
        Conflict: two of them need different structures.
    """

    def __init__(
        self,
        paths: Iterable[str],
        presence: Iterable[str],
        claims: Sequence[tuple[str, int]] = (),
        asked: Iterable[Asked] = (),
    ) -> None:
        paths, presence = dict.fromkeys(paths), dict.fromkeys(presence)
        tree = _Node()
        for path, is_value in (
            *((path, True) for path in paths),
            *((path, False) for path in presence),
            *sorted(asked, key=lambda one: not one.is_value),
        ):
            tree.add(path, is_value=is_value)
        # What stands at these places should be an object, or nothing.
        objects = list(tree.objects("$"))
        self.places = ", ".join(literal(place) for place, _ in objects)
        self.is_odd = " OR ".join(_is_odd(f"found[{at}]", keys) for at, (_, keys) in enumerate(objects, 1))
        self.columns = "{" + ", ".join(f"'{key}': '{below.type()}'" for key, below in tree.members.items()) + "}"
        outputs = [f'{value_at(path)} AS "{path}"' for path in paths]
        outputs += [f'CASE WHEN {value_at(path)} IS NOT NULL THEN true END AS "{path}?"' for path in presence]
        whens = " ".join(f"WHEN {condition} THEN {result}" for condition, result in claims)
        self.claim = f'{f"CASE {whens} ELSE {UNCLAIMED} END" if claims else UNCLAIMED}::SMALLINT AS "{CLAIMED}"'
        self.outputs = ", ".join([*outputs, self.claim])


class _Node:
    """A place in the structure of a line: a value, an object with members, or an array of such objects."""

    def __init__(self) -> None:
        self.members: dict[str, _Node] = {}
        self.is_array: bool | None = None
        self.is_value = False

    def add(self, path: str, *, is_value: bool = True) -> None:
        at = self
        for number, step in enumerate(steps(path), 1):
            at = at.members.setdefault(step.key, _Node())
            if number < len(steps(path)):
                is_array = step.selector is not None
                if at.is_array not in (None, is_array) or at.is_value:
                    raise Conflict(path)
                at.is_array = is_array
                if step.selector:
                    at.members.setdefault(step.selector[0], _Node()).is_value = True
        at.is_value |= is_value
        if at.is_value and at.members:
            raise Conflict(path)

    def objects(self, place: str) -> Iterator[tuple[str, list[str]]]:
        """The JSON paths of the objects from `place` on, and the keys that are wanted of each."""
        yield place, list(self.members)
        for key, below in self.members.items():
            if below.members and not below.is_array:
                yield from below.objects(f'{place}."{key}"')

    def type(self) -> str:
        if not self.members:
            return "JSON"
        inside = ", ".join(f'"{key}" {below.type()}' for key, below in self.members.items())
        return f"STRUCT({inside})" + ("[]" if self.is_array else "")


def _is_odd(found: str, keys: Iterable[str]) -> str:
    """Whether a JSON text is no object, or has one of the keys twice; a null is nothing."""
    named = f"list_filter(json_keys({found}), lambda key: key IN ({', '.join(map(literal, keys))}))"
    is_object = f"starts_with({found}, '{{')"
    # Few objects have any key twice; only of these it matters which.
    are_sound, is_odd = _are_unique(f"json_keys({found})"), f"NOT {_are_unique(named)}"
    return f"CASE WHEN NOT {is_object} THEN {found} <> 'null' WHEN {are_sound} THEN false ELSE {is_odd} END"


def _are_unique(names: str) -> str:
    return f"(len({names}) = list_unique({names}))"


def value_at(path: str) -> str:
    """The SQL expression for the value at a path, undecoded; of an array the selected entry's, or `[` for two."""
    way, rest = [], iter(steps(path))
    for step in rest:
        way.append(f'"{step.key}"')
        if step.selector:
            name, word = step.selector
            found = f"""list_filter({".".join(way)}, lambda e: e."{name}" = '"{word}"')"""
            inner = "".join(f'."{after.key}"' for after in rest)
            return f"CASE WHEN len({found}) > 1 THEN '[' ELSE {found}[1]{inner} END"
    return ".".join(way)


class _ChunkFiles(AbstractFileSystem):  # type: ignore[misc]
    """Shows DuckDB one chunk at a time as a file, so that it parses the very bytes that were hashed."""

    protocol = "chunk"
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self._shown = Shown(b"")
        self._count = 0

    @contextmanager
    def showing(self, shown: Shown) -> Iterator[str]:
        """Put a chunk behind a name of its own, as DuckDB may remember what a name held; it is not kept any longer."""
        self._shown = shown
        self._count += 1
        try:
            yield f"chunk://{self._count}.jsonl"
        finally:
            self._shown = Shown(b"")

    def _open(self, path: str, mode: str = "rb", **_: Any) -> _ChunkFile:
        return _ChunkFile(self._shown)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """The size is what DuckDB asks for."""
        return {"name": path, "size": len(self._shown.data), "type": "file"}

    def exists(self, path: str, **_: Any) -> bool:
        """The chunk that is shown is there."""
        return True

    def isfile(self, path: str) -> bool:
        """And it is a file."""
        return True

    def glob(self, path: str, **_: Any) -> list[str]:
        """Names hold no patterns."""
        return [path]


class _ChunkFile(io.RawIOBase):
    """What is shown, as a file. What is blank is made so as it is read: a copy of a whole chunk is not kept."""

    def __init__(self, shown: Shown) -> None:
        self._shown, self._at = shown, 0

    @property
    def size(self) -> int:
        """The length, where DuckDB looks for it."""
        return len(self._shown.data)

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def seekable(self) -> bool:
        """DuckDB says where it wants to read."""
        return True

    def tell(self) -> int:
        """Where the next reading begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Say where the next reading begins."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        """So many bytes, or all that are left."""
        start, end = self._at, self.size if size < 0 else min(self._at + size, self.size)
        self._at = max(start, end)
        return blanked(*self._shown, start, end)
