"""The ledger: which candidates are new, which are already counted, and which contradict what is counted.

Grain: the candidates of one day, all inputs of a run together. Days are settled from the latest to the earliest, since
within a run the later of two contradicting records stands. The rules are those of docs/fates.md, "Identity".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from etl.identities import identities_of

KEY = ("account_id", "provider", "request_id")
DIMENSIONS = ("project_id", "user_id", "api_key_id", "model", "tier")
# What a source groups by besides, which only the identities of its aggregates tell. Not `speed`: a report that is
# grouped by it leaves it blank for what is not fast.
_NAMED = ("batch", "api_source", "context_window", "geo", "size", "source", "vector_store_id", "context_level")
# What settling an earlier day needs of the requests accepted for a later one.
LATER = (*KEY, "content_hash", "tokens", "is_state")
_PLACE = ("input_rank", "line_number")
_MET = ("kept_tokens", "is_same_day")
# By what the requests of a day cover an aggregate: by what is billed together. What is apart has a bill of its own.
COVERED = ("account_id", "provider", "covers", "is_apart")
_COVERED_BY = ((False, ("account_id", "provider")), (True, ("account_id", "covers")))


@dataclass
class Settled:
    """What became of a day's candidates.

    Attributes:
        accepted: the rows to publish, in the order of input and line.
        fates: every other candidate, with `fate` and `reason`; a conflict with `kept_content_hash`.
        displaced: identities (`KEY`) of published rows that must make way for fuller ones.
        given_way: how many of these are aggregates over requests that are counted now.
    """

    accepted: pl.DataFrame
    fates: list[pl.DataFrame] = field(default_factory=list)
    displaced: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict.fromkeys(KEY, pl.String)))
    given_way: int = 0


@dataclass(frozen=True)
class Expired:
    """What is left of a day, and of the days beside it, when their usage has expired.

    Attributes:
        identities: `identity` and `content_hash` of the records that are counted.
        counted: `account_id`, `provider` and `source_kind` that the day's rollups count; no rows unless the day itself
            has expired.
    """

    identities: pl.DataFrame
    counted: pl.DataFrame


def settle(
    day: date,
    candidates: pl.DataFrame,
    published: pl.DataFrame,
    settled_later: pl.DataFrame,
    *,
    replace: bool,
    covered: Sequence[pl.DataFrame] = (),
    expired: Expired | None = None,
) -> Settled:
    """Settle one day, or those of its candidates that can meet anything.

    Args:
        day: which.
        candidates: this run's records of the day in the order of input and line, with every column of USAGE and
            `input_rank`, `row`, `tokens`, `width`, `is_state`, `is_apart`, `covers` and `is_fingerprint`.
        published: `KEY`, `day`, `source_kind`, `content_hash`, `requests`, `tokens`, `width`, `is_state`, `is_apart`,
            `covers` and DIMENSIONS of the rows already published for this day and the days beside it: at least the
            aggregates, and the requests with an identity of the candidates.
        settled_later: LATER of the requests that this run accepted for the following day, or of those that matter.
        replace: take aggregates of another width or grouping instead of those published.
        covered: COVERED of all other requests of the day, published or accepted.
        expired: what is left where the usage of these days has expired.
    """
    candidates = _with_occurrence_numbers(candidates)
    candidates, fates = _against_expired(candidates, expired) if expired else (candidates, [])
    is_request = candidates["source_kind"] == "request"
    requests = candidates if is_request.all() else candidates.filter(is_request)
    aggregates = candidates.filter(~is_request)
    settled = _settle_requests(requests, published.filter(pl.col("source_kind") == "request"), settled_later, day)
    if aggregates.height or published.height:
        today = published.filter(pl.col("day") == day)
        _settle_aggregates(settled, aggregates, today, covered, replace=replace)
    settled.fates += fates
    return settled


def _against_expired(candidates: pl.DataFrame, expired: Expired) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Settle candidates against what can no longer move: what is counted stands, and nothing is counted twice.

    An aggregate that counts a day cannot make way for a fuller one or for requests any more, so these are rejected.
    """
    met = expired.identities.group_by("identity").agg(pl.col("content_hash").max().alias("kept_content_hash"))
    identity = identities_of(candidates)["identity"]
    joined = candidates.with_columns(identity).join(met, on="identity", how="left", maintain_order="left")
    joined = joined.drop("identity")
    is_known = pl.col("kept_content_hash").is_not_null()
    # How large a state was that is counted is not known any more: it stands.
    fates = _fated(joined.filter(is_known).with_columns(kept_is_state="is_state", grows=pl.lit(False)))
    rest = joined.filter(~is_known).drop("kept_content_hash")
    by_kind = {kind: expired.counted.filter(source_kind=kind).drop("source_kind") for kind in ("aggregate", "request")}
    rest, refused = _without(rest, by_kind["aggregate"], "rejected", "usage_expired")
    is_request = pl.col("source_kind") == "request"
    aggregates, excluded = _without(rest.filter(~is_request), by_kind["request"], "excluded", "counted_by_requests")
    return pl.concat([rest.filter(is_request), aggregates]), fates + refused + excluded


def _with_occurrence_numbers(candidates: pl.DataFrame) -> pl.DataFrame:
    """Number the equal records without id within their input: true repeats stay, re-exports meet."""
    if not candidates["is_fingerprint"].any():
        return candidates
    number = pl.col("line_number").cum_count().over("input_rank", "request_id").cast(pl.String)
    return candidates.with_columns(
        request_id=pl.when("is_fingerprint").then(pl.col("request_id") + "#" + number).otherwise("request_id")
    )


def _settle_requests(
    candidates: pl.DataFrame, published: pl.DataFrame, settled_later: pl.DataFrame, day: date
) -> Settled:
    """First against what is counted already, then within the run: a repeat is measured against what stands."""
    fates, fuller = [], []
    for counted in (published.select(*LATER, is_same_day=pl.col("day") == day), settled_later):
        if counted.is_empty() or _are_disjoint(candidates["request_id"], counted["request_id"]):
            continue
        if "is_same_day" not in counted.columns:
            counted = counted.with_columns(is_same_day=pl.lit(False))
        met = counted.group_by(*KEY).agg(
            pl.col("content_hash").max().alias("kept_content_hash"),
            pl.col("tokens").max().alias("kept_tokens"),
            pl.col("is_state").any().alias("kept_is_state"),
            pl.col("is_same_day").all(),
        )
        joined = candidates.join(met, on=KEY, how="left", nulls_equal=True, maintain_order="left")
        # A state that has grown takes the place of what was published for its day; elsewhere it would be in doubt.
        grows = (pl.col("is_state") | pl.col("kept_is_state")) & (pl.col("tokens") > pl.col("kept_tokens"))
        joined = joined.with_columns(grows=grows.fill_null(False))
        is_known = pl.col("kept_content_hash").is_not_null()
        is_fuller = is_known & pl.col("grows") & pl.col("is_same_day")
        fuller.append(joined.filter(is_fuller).select(KEY))
        fates += _fated(joined.filter(is_known & ~is_fuller).drop(_MET))
        candidates = joined.filter(~is_known | is_fuller).drop("kept_content_hash", "kept_is_state", "grows", *_MET)
    candidates, again = _apart(candidates, _best_of_run(candidates))
    settled = Settled(candidates, fates + again)
    if fuller:
        settled.displaced = pl.concat(fuller).unique()
    return settled


def _are_disjoint(ids: pl.Series, others: pl.Series) -> bool:
    """Whether two columns of ids share none: counting is far cheaper than joining, and nights rarely overlap."""
    return pl.concat([ids, others]).n_unique() == ids.n_unique() + others.n_unique()


def _best_of_run(candidates: pl.DataFrame) -> pl.DataFrame | None:
    """For each identity met more than once, the content that stands; None if there is no such identity."""
    if candidates["request_id"].n_unique() == candidates.height:
        return None
    repeated = candidates.filter(pl.col("request_id").is_duplicated())
    # Of the states of one request the largest stands; of other records the size says nothing.
    is_state = pl.col("is_state").any().over(KEY)
    order = repeated.with_columns(size=pl.when(is_state).then("tokens").otherwise(0)).sort(
        "size", "occurred_at", "content_hash", *_PLACE, descending=[True, True, True, False, False], maintain_order=True
    )
    return order.group_by(*KEY, maintain_order=True).agg(
        pl.col("content_hash").first().alias("kept_content_hash"),
        pl.col("row").first().alias("kept_row"),
        pl.col("is_state").any().alias("kept_is_state"),
    )


def _apart(candidates: pl.DataFrame, best: pl.DataFrame | None) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Part the rows that stand from those that repeat or contradict them."""
    if best is None:
        return candidates, []
    joined = candidates.join(best, on=KEY, how="left", nulls_equal=True, maintain_order="left")
    stands = pl.col("kept_row").is_null() | (pl.col("kept_row") == pl.col("row"))
    losers = joined.filter(~stands).with_columns(grows=pl.lit(False))
    return joined.filter(stands).drop("kept_row", "kept_content_hash", "kept_is_state"), _fated(losers.drop("kept_row"))


def _fated(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Duplicates have the content that is counted, or are a smaller state of the request; others are conflicts."""
    same = pl.col("content_hash") == pl.col("kept_content_hash")
    is_state = (pl.col("is_state") | pl.col("kept_is_state")) & ~pl.col("grows") & ~same
    parts = (
        rows.filter(same).with_columns(fate=pl.lit("duplicate"), reason=pl.lit("same_content")),
        rows.filter(is_state).with_columns(fate=pl.lit("duplicate"), reason=pl.lit("superseded")),
        rows.filter(~same & ~is_state).with_columns(fate=pl.lit("conflict"), reason=pl.lit("content_differs")),
    )
    return [part.drop("kept_is_state", "grows") for part in parts if part.height]


def _settle_aggregates(
    settled: Settled,
    candidates: pl.DataFrame,
    published: pl.DataFrame,
    covered: Sequence[pl.DataFrame],
    *,
    replace: bool,
) -> None:
    """Settle a day's aggregates against its requests and against one another; adds to `settled`."""
    is_request = pl.col("source_kind") == "request"
    requests = [rows.select(COVERED) for rows in (settled.accepted, published.filter(is_request), *covered)]
    published, displaced = published.filter(~is_request), []
    for is_apart, names in _COVERED_BY:
        by_requests = pl.concat(requests).filter(pl.col("is_apart") == is_apart).select("is_apart", *names).unique()
        displaced.append(published.join(by_requests, on=by_requests.columns, how="semi", nulls_equal=True).select(KEY))
        candidates, fates = _without(candidates, by_requests, "excluded", "counted_by_requests")
        settled.fates += fates
    settled.given_way = sum(rows.height for rows in displaced)
    if candidates.height:
        candidates, overlapping, replaced = _one_grouping(candidates, published, replace=replace)
        settled.fates += overlapping
        displaced.append(replaced)
        published = published.join(replaced, on=KEY, how="anti", nulls_equal=True)
        accepted, fates, fuller = _largest(candidates, published)
        settled.fates += fates
        displaced.append(fuller)
        settled.accepted = pl.concat([settled.accepted, accepted], how="diagonal")
    settled.displaced = pl.concat([settled.displaced, *displaced]).unique()


def _without(
    candidates: pl.DataFrame, keys: pl.DataFrame, fate: str, reason: str
) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    on = keys.columns
    met = candidates.join(keys, on=on, how="semi", nulls_equal=True, maintain_order="left")
    if met.is_empty():
        return candidates, []
    rest = candidates.join(keys, on=on, how="anti", nulls_equal=True, maintain_order="left")
    return rest, [met.with_columns(fate=pl.lit(fate), reason=pl.lit(reason))]


def _one_grouping(
    candidates: pl.DataFrame, published: pl.DataFrame, *, replace: bool
) -> tuple[pl.DataFrame, list[pl.DataFrame], pl.DataFrame]:
    """Keep one grouping and width for each account, provider and kind of usage: the published, else this run's finest.

    Two groupings of the same usage would count it twice.

    Returns:
        The candidates of that grouping, the others as rejected, and the identities of published rows to displace.
    """
    candidates, published = _with_grouping(candidates, ("input_rank",)), _with_grouping(published, ())
    on = ("account_id", "provider", "covers")
    finest = (
        candidates.select(*on, "grouping", "width")
        .unique()
        .sort(pl.col("grouping").str.count_matches("1"), "grouping", "width", descending=[True, True, False])
        .group_by(*on, maintain_order=True)
        .first()
    )
    standing = published.select(*on, "grouping", "width").unique(subset=on, keep="any")
    if replace:
        other = published.join(finest, on=(*on, "grouping", "width"), how="anti", nulls_equal=True)
        replaced = other.join(finest, on=on, how="semi", nulls_equal=True).select(KEY)
        chosen = finest
    else:
        replaced = published.select(KEY).clear()
        chosen = pl.concat([standing, finest.join(standing, on=on, how="anti", nulls_equal=True)])
    keep = (*on, "grouping", "width")
    kept = candidates.join(chosen, on=keep, how="semi", nulls_equal=True, maintain_order="left")
    others = candidates.join(chosen, on=keep, how="anti", nulls_equal=True, maintain_order="left")
    fates = (
        [others.with_columns(fate=pl.lit("rejected"), reason=pl.lit("overlapping_aggregate"))] if others.height else []
    )
    return kept, fates, replaced


def _with_grouping(rows: pl.DataFrame, also_by: tuple[str, ...]) -> pl.DataFrame:
    """Add `grouping`: for each dimension 1 if any row of the account and provider has it, as in `11010`."""
    over = ("account_id", "provider", "covers", "width", *also_by)
    has = [pl.col(name).is_not_null().any() for name in DIMENSIONS]
    has += [_names(name).any() for name in _NAMED]
    # `standard` may be what no tier means. A batch needs no tier, and an export of batches alone does not tell.
    has.append(_names("tier").any() | _names("batch", "true").all())
    return rows.with_columns(grouping=pl.concat_str(one.over(over).cast(pl.Int8).cast(pl.String) for one in has))


def _names(dimension: str, value: str = "") -> pl.Expr:
    """Whether an aggregate's identity has the dimension, with a value that begins so."""
    return pl.col("request_id").str.contains(f" {dimension}={value}", literal=True)


def _largest(
    candidates: pl.DataFrame, published: pl.DataFrame
) -> tuple[pl.DataFrame, list[pl.DataFrame], pl.DataFrame]:
    """Of each aggregate the state with the most requests, then tokens, then the larger hash."""
    # Where requests are not counted, tokens decide.
    candidates, published = (
        rows.with_columns(known_requests=pl.col("requests").fill_null(0)) for rows in (candidates, published)
    )
    size = ("known_requests", "tokens", "content_hash")
    order = candidates.sort(*size, *_PLACE, descending=[True, True, True, False, False], maintain_order=True)
    best = order.group_by(*KEY, maintain_order=True).agg(
        pl.col("content_hash").first().alias("kept_content_hash"), pl.col("row").first().alias("kept_row")
    )
    joined = candidates.join(best, on=KEY, how="left", nulls_equal=True, maintain_order="left")
    is_best = pl.col("row") == pl.col("kept_row")
    fates = _superseded(joined.filter(~is_best).drop("kept_row", "known_requests"))
    standing = published.select(*KEY, *(pl.col(name).alias(f"standing_{name}") for name in size))
    best_rows = joined.filter(is_best).drop("kept_row", "kept_content_hash")
    joined = best_rows.join(standing, on=KEY, how="left", nulls_equal=True, maintain_order="left")
    is_larger = pl.lit(False)
    for name in reversed(size):
        ours, theirs = pl.col(name), pl.col(f"standing_{name}")
        is_larger = pl.when(ours == theirs).then(is_larger).otherwise(ours > theirs)
    is_larger = pl.col("standing_content_hash").is_null() | is_larger
    known = joined.filter(~is_larger).with_columns(kept_content_hash=pl.col("standing_content_hash"))
    accepted = joined.filter(is_larger)
    fuller = accepted.filter(pl.col("standing_content_hash").is_not_null()).select(KEY)
    extra = ["known_requests", *(f"standing_{name}" for name in size)]
    return accepted.drop(extra), fates + _superseded(known.drop(extra)), fuller


def _superseded(rows: pl.DataFrame) -> list[pl.DataFrame]:
    if rows.is_empty():
        return []
    same = pl.col("content_hash") == pl.col("kept_content_hash")
    reason = pl.when(same).then(pl.lit("same_content")).otherwise(pl.lit("superseded"))
    return [rows.with_columns(fate=pl.lit("duplicate"), reason=reason)]
