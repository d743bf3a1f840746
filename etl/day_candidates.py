"""One day's candidates, in pieces: which of them are plain, and which the ledger has to look at.

Most records are met once: no other has their id, in this run or among what is published around their day. These are
accepted as they are, and only the others are taken out of their pieces and settled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.spool import Piece, wide

Mask = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]
_LOOKED_AT = ("input_index", "line_number", "request_id", "is_fingerprint", "source_kind")
_LINES_MAX = 2**40


class Inputs(NamedTuple):
    """The inputs that count.

    Attributes:
        ranks: by input index, its place among them in the order of their hashes; -1 for one that does not count.
        sha256: their hashes, by rank.
    """

    ranks: npt.NDArray[np.int64]
    sha256: Sequence[str]


class DayCandidates:
    """The candidates of one day from inputs that count, in the order of input and line.

    Args:
        pieces: as the spool has them.
        inputs: those that count.

    Attributes:
        height: how many they are.
        ids: of each, a hash of its request id; equal ids have equal hashes.
    """

    def __init__(self, pieces: Sequence[Piece], inputs: Inputs) -> None:
        self._inputs = inputs
        looks = self._in_order([look for piece in pieces if (look := self._look(piece)).height])
        self._pieces = [look.piece for look in looks]
        self._indexes = [look.input_index for look in looks]
        self._ends = np.cumsum([look.height for look in looks])
        self.height = int(self._ends[-1]) if looks else 0
        self.ids: Hashes = np.concatenate([np.zeros(0, np.uint64), *(look.ids for look in looks)])
        self._is_open: Mask = np.concatenate([np.zeros(0, np.bool_), *(look.needs_ledger for look in looks)])
        self._is_open |= is_repeated(self.ids)
        self._is_accepted = ~self._is_open
        self._new_ids: pl.DataFrame | None = None

    def open(self, ids: Hashes) -> None:
        """Have the ledger look at those with one of these ids, too: they may be counted already."""
        if len(ids) and len(repeats(np.concatenate((self.ids[~self._is_open], ids)))):
            self._is_open |= is_among(self.ids, ids)
            self._is_accepted = ~self._is_open

    def open_all(self) -> None:
        """Have the ledger look at each of them."""
        self._is_open[:] = True
        self._is_accepted = ~self._is_open

    def opened(self) -> pl.DataFrame:
        """What the ledger has to look at, in the types of USAGE and with `row`, its place in the day."""
        found = []
        for rows, start in self._loaded():
            is_open = self._is_open[start : start + rows.height]
            numbers = pl.Series(np.flatnonzero(is_open) + start)
            found.append(as_text(rows.filter(is_open).with_columns(row=numbers)))
        return pl.concat(found, how="diagonal_relaxed")

    @property
    def open_ids(self) -> Hashes:
        """Those of `ids` that the ledger has to look at."""
        return self.ids[self._is_open]

    @property
    def has_open(self) -> bool:
        """Whether the ledger has to look at any."""
        return bool(self._is_open.any())

    def accept(self, settled: pl.DataFrame) -> None:
        """Take what the ledger accepted of them: `row`, `is_fingerprint`, and `request_id` with a number for these."""
        self._is_accepted[settled["row"].to_numpy()] = True
        if settled["is_fingerprint"].any():
            self._new_ids = settled.filter("is_fingerprint").select("row", "request_id").sort("row")

    def accepted(self) -> Iterator[pl.DataFrame]:
        """The accepted rows, piece by piece, with `input_rank`; columns that hold nothing may be missing."""
        for rows, start in self._loaded():
            end = start + rows.height
            if self._new_ids is not None:
                rows = rows.with_columns(request_id=self._renamed(rows["request_id"], start, end))
            is_accepted = self._is_accepted[start:end]
            kept = rows if is_accepted.all() else rows.filter(is_accepted)
            if kept.height:
                yield kept

    def forget_ids(self) -> None:
        """Let `ids` go, which only settling this day and the one before it takes."""
        self.ids = np.zeros(0, np.uint64)

    def accepted_ids(self) -> Hashes:
        """Those of `ids` whose candidates are accepted."""
        return self.ids[self._is_accepted]

    def shares_ids(self, others: DayCandidates) -> bool:
        """Whether any of `ids` is one of the others'."""
        return bool(is_among(self.ids, others.ids).any())

    def accepted_with(self, ids: Hashes) -> Iterator[pl.DataFrame]:
        """The accepted rows with one of these ids."""
        if not is_among(self.ids, ids).any():
            return
        for rows in self.accepted():
            found = rows.filter(is_among(rows["request_id"].hash().to_numpy(), ids))
            if found.height:
                yield found

    def accepted_by_input(self) -> Iterator[tuple[int, int]]:
        """Input index, and how many of its candidates were accepted."""
        start = 0
        for input_index, end in zip(self._indexes, self._ends.tolist(), strict=True):
            is_accepted, start = self._is_accepted[start:end], end
            if isinstance(input_index, int):
                yield input_index, int(is_accepted.sum())
                continue
            counts = np.bincount(input_index[is_accepted])
            yield from ((index, int(counts[index])) for index in np.flatnonzero(counts).tolist())

    def _renamed(self, request_ids: pl.Series, start: int, end: int) -> pl.Series:
        assert self._new_ids is not None
        first, last = np.searchsorted(self._new_ids["row"].to_numpy(), (start, end)).tolist()
        new = self._new_ids.slice(first, last - first)
        return request_ids.scatter(new["row"] - start, new["request_id"]) if new.height else request_ids

    def _loaded(self, columns: Sequence[str] | None = None) -> Iterator[tuple[pl.DataFrame, int]]:
        for piece, end in zip(self._pieces, self._ends.tolist(), strict=True):
            rows = self._counting(piece.load(columns))
            yield rows, end - rows.height

    def _counting(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Those of inputs that count, with their input's rank; of refused or repeated inputs nothing does."""
        ranks = self._inputs.ranks[rows["input_index"].to_numpy()]
        ranked = rows.with_columns(input_rank=pl.Series(ranks))
        return ranked if (ranks >= 0).all() else ranked.filter(ranks >= 0)

    def _look(self, piece: Piece) -> _Look:
        head = self._counting(piece.load(_LOOKED_AT))
        if not head.height:
            return _Look(piece, 0, np.zeros(0, np.uint64), np.zeros(0, np.bool_), (0, 0), True, 0)
        places = _places(head).to_numpy()
        ids = head["request_id"].hash().to_numpy()
        inputs = head["input_index"]
        whose = int(inputs[0]) if inputs.min() == inputs.max() else inputs.to_numpy()
        is_in_place = bool((places[1:] >= places[:-1]).all())
        return _Look(piece, head.height, ids, _needs_ledger(head), (places.min(), places.max()), is_in_place, whose)

    def _in_order(self, looks: list[_Look]) -> list[_Look]:
        """The pieces one after the other; where they overlap, as small files do that were read together, as one."""
        ordered = sorted(looks, key=lambda look: look.span)
        if all(one.span[1] < two.span[0] for one, two in pairwise(ordered)):
            return [look if look.is_in_place else self._put_in_place([look]) for look in ordered]
        return [self._put_in_place(looks)]

    def _put_in_place(self, looks: Sequence[_Look]) -> _Look:
        """These pieces as one, its rows by input and line; those of one line, which may hold several, as they came."""
        rows = self._counting(pl.concat([look.piece.load() for look in looks], how="diagonal_relaxed"))
        places = _places(rows).to_numpy()
        order = np.argsort(places, kind="stable")
        return _Look(
            looks[0].piece.replaced(rows[order]),
            rows.height,
            np.concatenate([look.ids for look in looks])[order],
            np.concatenate([look.needs_ledger for look in looks])[order],
            (places.min(), places.max()),
            True,
            rows["input_index"].to_numpy()[order],
        )


class _Look(NamedTuple):
    """A piece, and what was learned of its candidates that count.

    Attributes:
        piece: in which they are.
        height: how many.
        ids: the hashes of their ids.
        needs_ledger: which of them have to be looked at in any case.
        span: the least and the largest of their places.
        is_in_place: whether they come by their places; records of several shapes or small files do not.
        input_index: of all, or of each.
    """

    piece: Piece
    height: int
    ids: Hashes
    needs_ledger: Mask
    span: tuple[int, int]
    is_in_place: bool
    input_index: int | npt.NDArray[np.integer[Any]]


def is_among(ids: Hashes, others: Hashes) -> Mask:
    """Which hashes are among others."""
    return pl.Series(ids).is_in(pl.Series(others).implode()).to_numpy()


def repeats(ids: Hashes) -> Hashes:
    """The hashes that are met more than once: sorting them is the quickest way to know."""
    ordered = np.sort(ids)
    found: Hashes = ordered[1:][ordered[1:] == ordered[:-1]]
    return found


def is_repeated(ids: Hashes) -> Mask:
    """Which hashes are met more than once."""
    found = repeats(ids)
    return is_among(ids, found) if len(found) else np.zeros(len(ids), np.bool_)


def _places(head: pl.DataFrame) -> pl.Series:
    return head["input_rank"] * _LINES_MAX + head["line_number"]


def _needs_ledger(head: pl.DataFrame) -> Mask:
    """What has no id of its own, or is an aggregate: more than its id may tell whether it counts."""
    is_without_id = pl.col("is_fingerprint").fill_null(False) if "is_fingerprint" in head.columns else pl.lit(False)
    return head.select(needs=is_without_id | (pl.col("source_kind") != "request"))["needs"].to_numpy()


def as_text(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with plain texts, as the ledger compares them with what is published."""
    types = wide(rows)
    types.update({name: pl.String() for name, dtype in rows.schema.items() if dtype == pl.Categorical})
    return rows.cast(types)
