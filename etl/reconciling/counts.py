"""Read a provider's own count of usage, the second witness beside its bill: usage exports, as `run` reads them.

Grain: one row = day x model x tier x meter x caching status x project. A row that stands in two exports counts once,
the larger of the two, as a later export of the same interval may be.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import polars as pl

from etl.decoding import Reading
from etl.errors import UsageError
from etl.framing import Input
from etl.meters import METER_BY_NAME, QUANTITY_COLUMNS
from etl.parts import Part
from etl.reading import End, read_inputs
from etl.schema import polars_schema
from etl.statements.matching import OurRow

_GROUP = ("day", "model", "tier", "project_id")


@dataclass(frozen=True)
class UsageCount:
    """What a provider's usage exports count.

    Attributes:
        names, sha256s: of the files.
        rows: the quantities; none of them has a price.
        days_of: model -> every day from the first to the last of the exports that have this model. An export of one
            capability, such as completions, says nothing of another's models.
        requests: all of them.
    """

    names: tuple[str, ...] = ()
    sha256s: tuple[str, ...] = ()
    rows: tuple[OurRow, ...] = ()
    days_of: Mapping[str | None, frozenset[date]] = field(default_factory=dict)
    requests: int = 0

    @property
    def days(self) -> frozenset[date]:
        """The days that any export covers."""
        return frozenset(day for days in self.days_of.values() for day in days)


def read_counts(inputs: Sequence[Input], provider: str) -> UsageCount:
    """Read usage exports.

    Args:
        inputs: the files.
        provider: whose rows to take.

    Raises:
        UsageError: a file is refused, or a record in it cannot be read: a witness is heard whole, or not at all.
    """
    frames: list[pl.DataFrame] = []
    hashes = []
    reading = Reading(latest=datetime.now(UTC).replace(tzinfo=None) + timedelta(1))
    for part in read_inputs(inputs, reading, threads=1):
        if isinstance(part, Part):
            frames += part.candidates.values()
            if part.rejects.height:
                line = part.rejects["line_number"][0]
                reason = part.rejects["reason"][0]
                raise UsageError(f"{inputs[part.input_index].name}:{line}: {reason}; export the usage again")
        elif isinstance(part, End):
            if part.refusal is not None:
                raise UsageError(f"{inputs[part.input_index].name}: {part.refusal}")
            hashes.append(part.content.sha256)
    usage = _usage(frames).filter(pl.col("provider") == provider)
    names = tuple(source.name for source in inputs)
    return UsageCount(names, tuple(hashes), tuple(_rows(usage)), _days_of(frames), int(usage["requests"].sum() or 0))


def _days_of(frames: Sequence[pl.DataFrame]) -> dict[str | None, frozenset[date]]:
    spans: dict[int, set[date]] = defaultdict(set)
    models: dict[int, set[str | None]] = defaultdict(set)
    for frame in frames:
        for (at,), rows in frame.group_by("input_index"):  # small files are read together
            spans[at].update(rows["day"])
            models[at].update(rows["model"] if "model" in rows.columns else [None])
    found: dict[str | None, frozenset[date]] = defaultdict(frozenset)
    for at, days in spans.items():
        first = min(days)
        whole = frozenset(first + timedelta(step) for step in range((max(days) - first).days + 1))
        for model in models[at]:
            found[model] |= whole
    return dict(found)


def _usage(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Each interval of the exports once."""
    schema = polars_schema("usage")
    nothing = pl.DataFrame(schema=schema)
    whole = [
        frame.select(pl.col(name).cast(schema[name]) for name in frame.columns if name in schema) for frame in frames
    ]
    usage = pl.concat([nothing, *whole], how="diagonal")
    if not (usage["source_kind"] == "aggregate").all():
        raise UsageError("a usage export counts whole intervals; single requests are for `costroll run`")
    order = ["requests", "prompt_tokens", "output_tokens"]
    return usage.sort(order, descending=True, nulls_last=True).unique(["provider", "request_id"], keep="first")


def _rows(usage: pl.DataFrame) -> list[OurRow]:
    found = []
    for column, meter, status in QUANTITY_COLUMNS:
        sums = usage.group_by(_GROUP).agg(pl.col(column).sum()).filter(pl.col(column) != 0)
        for day, model, tier, project, quantity in sums.rows():
            unit = METER_BY_NAME[meter].unit
            found.append(OurRow(day, model, tier, meter, status, project, None, unit, 0, None, None, quantity, None))
    return sorted(found, key=lambda row: tuple(str(value) for value in row))
