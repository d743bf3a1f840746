"""The table `rejects`: what was set aside, each time once, however often its file is read again or grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from etl.run_report import InputReport
from etl.schema import arrow_schema, polars_schema, with_columns_of
from etl.warehouse import Snapshot, SnapshotBuilder

_SCHEMA = polars_schema("rejects")
# What tells a record that was set aside from another.
_SAME = ("line_sha256", "byte_offset", "fate", "reason")


class Quarantine:
    """The records that this run set aside, and the earlier ones that they replace.

    Replaced are those of the same content, and of a content that was there before and that this one continues.

    Args:
        parent: the snapshot before, if any.
        builder: of the one to be.
        counted: this run's inputs by index, as far as their records count.
        rejects: what was set aside, with `input_index`.
    """

    def __init__(
        self,
        parent: Snapshot | None,
        builder: SnapshotBuilder,
        counted: Mapping[int, InputReport],
        rejects: Sequence[pl.DataFrame],
    ) -> None:
        self._builder = builder
        self._replaced = {sha for one in counted.values() for sha in (one.sha256, *one.continues) if sha}
        self._rows = _named(counted, rejects, builder.number)
        # Of the earlier files those in which something is replaced: what stays, and what goes.
        self._left: dict[str, pl.DataFrame] = {}
        known = []
        for file in parent.files("rejects") if parent and counted else []:
            assert parent is not None
            earlier = pl.read_parquet(file)
            is_replaced = pl.col("input_sha256").is_in(sorted(self._replaced))
            known.append(earlier.filter(is_replaced))
            if known[-1].height:
                self._left[str(file.relative_to(parent.path))] = earlier.filter(~is_replaced)
        self._known = pl.concat([_SCHEMA.to_frame(), *known])

    def known_rows(self) -> int:
        """How many of the rows an earlier run has told of."""
        return self._rows.join(self._known.select(_SAME).unique(), on=_SAME, how="semi").height

    def new_rows(self) -> list[tuple[str, str, str, int]]:
        """Input, fate, reason and number of the rows that no earlier run has told of."""
        new = self._rows.join(self._known.select(_SAME).unique(), on=_SAME, how="anti")
        return new.group_by("input_name", "fate", "reason").len().sort("input_name", "fate", "reason").rows()

    def write(self) -> None:
        """Write this run's rows, and the earlier files without those replaced."""
        for relative, left in self._left.items():
            if left.height == 0:
                self._builder.drop(relative)
            else:
                self._builder.write(relative, left.to_arrow().cast(arrow_schema("rejects")))
        if self._rows.height:
            table = self._rows.to_arrow().cast(arrow_schema("rejects"))
            self._builder.write(f"rejects/{self._builder.number:08d}.parquet", table)


def _named(counted: Mapping[int, InputReport], rejects: Sequence[pl.DataFrame], number: int) -> pl.DataFrame:
    """The rows of the table, in order."""
    if not rejects:
        return _SCHEMA.to_frame()
    names = pl.DataFrame(
        {
            "input_index": list(counted),
            "input_name": [one.name for one in counted.values()],
            "input_sha256": [one.sha256 for one in counted.values()],
        },
        schema={"input_index": pl.Int64, "input_name": pl.String, "input_sha256": pl.String},
    )
    rows = pl.concat(rejects, how="diagonal").join(names, on="input_index", how="inner")
    rows = with_columns_of(rows, _SCHEMA).with_columns(at_snapshot=pl.lit(number, pl.Int64))
    return rows.select(_SCHEMA.names()).cast(_SCHEMA).sort("input_sha256", "line_number", "fate", "reason")
