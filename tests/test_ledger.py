"""The ledger by itself: frames of a few candidates in, and what became of each of them.

Candidates are numbered from 0 in the order they are given; that number is their `row`. Contents are small
integers, where real ones are hashes. What the rules mean for whole nights is in test_identity.py.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import polars as pl
import pytest

from etl.identities import identity_hash
from etl.ledger import LATER, Expired, Settled, settle

DAY, DAY_BEFORE = date(2025, 11, 21), date(2025, 11, 20)
NOON = datetime(2025, 11, 21, 12)
KEY = ("account_id", "provider", "request_id")
DIMENSIONS = ("project_id", "user_id", "api_key_id", "model", "tier")
TEXTS, NUMBERS = pl.String, pl.Int64
PUBLISHED = {
    **dict.fromkeys((*KEY, *DIMENSIONS, "source_kind", "covers"), TEXTS),
    **dict.fromkeys(("content_hash", "requests", "tokens", "width"), NUMBERS),
    "day": pl.Date,
    "is_state": pl.Boolean,
    "is_apart": pl.Boolean,
}
CANDIDATES = PUBLISHED | {
    "occurred_at": pl.Datetime("us"),
    **dict.fromkeys(("input_rank", "line_number", "row"), NUMBERS),
    "is_fingerprint": pl.Boolean,
}
SAME, SUPERSEDED = ("duplicate", "same_content"), ("duplicate", "superseded")
CONFLICT, OVERLAPPING = ("conflict", "content_differs"), ("rejected", "overlapping_aggregate")
BY_REQUESTS, EXPIRED = ("excluded", "counted_by_requests"), ("rejected", "usage_expired")


def one(request_id: str, content: int = 1, tokens: int = 10, **changes: Any) -> dict[str, Any]:
    """A request record of Friday noon, of no account."""
    return {
        "provider": "openai",
        "request_id": request_id,
        "source_kind": "request",
        "covers": "completions",
        "content_hash": content,
        "tokens": tokens,
        "day": DAY,
        "is_state": False,
        "is_apart": False,
        "occurred_at": NOON,
        "input_rank": 0,
        "is_fingerprint": False,
        **changes,
    }


def bucket(name: str, content: int = 1, tokens: int = 10, requests: int | None = 5, **changes: Any) -> dict[str, Any]:
    """An aggregate of a whole day by model."""
    aggregate = {"source_kind": "aggregate", "requests": requests, "width": 86_400, "model": "m"}
    return one(name, content, tokens, **(aggregate | changes))


def settled(
    *candidates: dict[str, Any],
    published: list[dict[str, Any]] | None = None,
    later: list[dict[str, Any]] | None = None,
    replace: bool = False,
    expired: Expired | None = None,
) -> Settled:
    rows = [row | {"row": number, "line_number": number + 1} for number, row in enumerate(candidates)]
    before = [{name: row.get(name) for name in PUBLISHED} for row in published or []]
    after = [{name: row[name] if name != "account_id" else None for name in LATER} for row in later or []]
    return settle(
        DAY,
        pl.DataFrame(rows, schema=CANDIDATES),
        pl.DataFrame(before, schema=PUBLISHED),
        pl.DataFrame(after, schema={name: PUBLISHED[name] for name in LATER}),
        replace=replace,
        expired=expired,
    )


def accepted(found: Settled) -> list[int]:
    return found.accepted["row"].to_list()


def fates(found: Settled) -> dict[int, tuple[str, str]]:
    return {row: (fate, reason) for part in found.fates for row, fate, reason in part["row", "fate", "reason"].rows()}


def kept_content(found: Settled) -> dict[int, int]:
    return dict(row for part in found.fates for row in part["row", "kept_content_hash"].rows())


def displaced(found: Settled) -> list[str]:
    return sorted(found.displaced["request_id"])


# ------------------------------------------------------------------------------------------------------------ requests


def test_what_nobody_met_before_is_accepted_as_it_is() -> None:
    found = settled(one("x"), one("y"), published=[one("z")], later=[one("w")])
    assert (accepted(found), found.fates, displaced(found)) == ([0, 1], [], [])
    assert found.accepted.columns == list(CANDIDATES)
    assert found.displaced.columns == list(KEY)
    alone = settled(one("x"))
    assert (accepted(alone), displaced(alone), alone.displaced.schema) == ([0], [], dict.fromkeys(KEY, pl.String))


def test_equal_content_is_a_duplicate_and_other_content_a_conflict_with_what_is_published() -> None:
    found = settled(one("x", 1), one("x", 2), one("y", 3), published=[one("x", 1)])
    assert (accepted(found), displaced(found)) == ([2], [])
    assert fates(found) == {0: SAME, 1: CONFLICT}
    assert kept_content(found) == {0: 1, 1: 1}
    assert found.accepted.columns == list(CANDIDATES)
    assert {tuple(part.columns) for part in found.fates} == {(*CANDIDATES, "kept_content_hash", "fate", "reason")}


def test_what_this_run_accepted_for_the_next_day_counts_like_what_is_published() -> None:
    found = settled(
        one("x", 1), one("y", 2), one("z", 3), one("w"), published=[one("z", 3)], later=[one("x"), one("y")]
    )
    assert (accepted(found), fates(found)) == ([3], {0: SAME, 1: CONFLICT, 2: SAME})
    assert found.accepted.columns == list(CANDIDATES)


def test_of_two_published_contents_of_one_identity_the_larger_hash_is_what_is_met() -> None:
    """Two days apart, both could be published before they met."""
    both = [one("x", 1, day=DAY_BEFORE), one("x", 5, day=date(2025, 11, 22))]
    found = settled(one("x", 5), one("x", 1), published=both)
    assert (fates(found), kept_content(found)) == ({0: SAME, 1: CONFLICT}, {0: 5, 1: 5})


@pytest.mark.parametrize("part", KEY)
def test_account_provider_and_request_id_are_the_identity(part: str) -> None:
    other = one("x", 2) | {part: "other"}
    assert accepted(settled(one("x"), other)) == [0, 1]
    assert accepted(settled(other, published=[one("x")])) == [0]
    assert accepted(settled(other, other, one("x"), published=[other])) == [2]


def test_within_a_run_the_later_record_stands() -> None:
    earlier = one("x", 9, occurred_at=datetime(2025, 11, 21, 11), tokens=99)
    found = settled(earlier, one("x", 1), earlier, one("x", 1), one("y"))
    assert (accepted(found), kept_content(found)) == ([1, 4], {0: 1, 2: 1, 3: 1})
    assert fates(found) == {0: CONFLICT, 2: CONFLICT, 3: SAME}
    assert found.accepted.columns == list(CANDIDATES)
    assert set(found.fates[0].columns) == {*CANDIDATES, "kept_content_hash", "fate", "reason"}


def test_of_records_of_one_instant_the_larger_hash_stands() -> None:
    for contents, stands in (((1, 2, 3), 2), ((3, 2, 1), 0)):
        found = settled(*(one("x", content, tokens=10 - content) for content in contents))
        assert accepted(found) == [stands]
        assert set(kept_content(found).values()) == {3}


def test_of_equal_records_the_first_by_input_and_line_stands() -> None:
    assert accepted(settled(one("x", input_rank=1), one("x", input_rank=0), one("x", input_rank=0))) == [1]


# -------------------------------------------------------------------------------------------------------------- states


def state(request_id: str, content: int, tokens: int, **changes: Any) -> dict[str, Any]:
    """One of several exports of a sum that grows."""
    return one(request_id, content, tokens, is_state=True, **changes)


def test_a_larger_state_displaces_the_one_published_for_its_day_and_a_smaller_one_does_not() -> None:
    found = settled(state("x", 2, 11), state("y", 2, 10), state("z", 2, 9), published=[state(i, 1, 10) for i in "xyz"])
    assert (accepted(found), displaced(found)) == ([0], ["x"])
    assert fates(found) == {1: SUPERSEDED, 2: SUPERSEDED}
    assert found.accepted.columns == list(CANDIDATES)


def test_one_side_that_is_a_state_is_enough() -> None:
    found = settled(one("x", 2, 11), state("y", 2, 11), published=[state("x", 1, 10), one("y", 1, 10)])
    assert (accepted(found), displaced(found)) == ([0, 1], ["x", "y"])
    assert fates(settled(one("x", 2, 9), published=[state("x", 1, 10)])) == {0: SUPERSEDED}


def test_a_larger_state_of_equal_content_displaces_too() -> None:
    """The content may leave out a token count that the size has."""
    found = settled(state("x", 1, 11), published=[state("x", 1, 10)])
    assert (accepted(found), displaced(found)) == ([0], ["x"])


def test_records_that_are_no_states_displace_nothing_however_large() -> None:
    found = settled(one("x", 2, 99), published=[one("x", 1, 10)])
    assert (accepted(found), displaced(found), fates(found)) == ([], [], {0: CONFLICT})


def test_a_state_that_grew_from_another_day_is_in_doubt() -> None:
    for published in ([state("x", 1, 10, day=DAY_BEFORE)], [state("x", 1, 10), state("x", 1, 10, day=DAY_BEFORE)]):
        found = settled(state("x", 2, 11), published=published)
        assert (accepted(found), displaced(found), fates(found)) == ([], [], {0: CONFLICT})
    found = settled(state("x", 2, 11), state("y", 2, 9), later=[state("x", 1, 10), state("y", 1, 10)])
    assert (accepted(found), displaced(found), fates(found)) == ([], [], {0: CONFLICT, 1: SUPERSEDED})


def test_a_state_is_measured_against_the_largest_of_what_is_published() -> None:
    published = [state("x", 1, 10), one("x", 3, 12)]
    assert fates(settled(state("x", 2, 11), published=published)) == {0: SUPERSEDED}
    assert displaced(settled(state("x", 2, 13), published=published)) == ["x"]


def test_of_a_runs_states_the_largest_stands_even_if_earlier() -> None:
    early = datetime(2025, 11, 21, 1)
    found = settled(
        state("x", 1, 10), one("x", 2, 12, occurred_at=early), state("x", 3, 11), published=[state("x", 1, 9)]
    )
    assert (accepted(found), displaced(found)) == ([1], ["x"])
    assert (fates(found), kept_content(found)) == ({0: SUPERSEDED, 2: SUPERSEDED}, {0: 2, 2: 2})


def test_records_without_a_size_are_compared_by_content_alone() -> None:
    """Where a day has plain requests only, nobody counts their tokens."""
    unsized = {"tokens": None}
    found = settled(one("x", 1) | unsized, one("y", 2) | unsized, one("z") | unsized, published=[one("x"), one("y")])
    assert (accepted(found), fates(found)) == ([2], {0: SAME, 1: CONFLICT})
    # Nor is such a record known to be larger than a state that is published.
    found = settled(one("x", 2) | unsized, published=[state("x", 1, 10)])
    assert (accepted(found), displaced(found), fates(found)) == ([], [], {0: SUPERSEDED})


# ---------------------------------------------------------------------------------------------------------- without id


def test_equal_records_without_id_are_numbered_within_their_input() -> None:
    bare = one("sha256:x", is_fingerprint=True)
    rows = (bare, one("x"), bare, bare | {"input_rank": 1}, one("sha256:y", is_fingerprint=True))
    found = settled(*rows)
    assert (accepted(found), fates(found)) == ([0, 1, 2, 4], {3: SAME})
    assert found.accepted["request_id"].to_list() == ["sha256:x#1", "x", "sha256:x#2", "sha256:y#1"]


# ---------------------------------------------------------------------------------------------------------- aggregates


def test_where_requests_count_aggregates_do_not() -> None:
    found = settled(one("x"), bucket("b"), bucket("c", account_id="acme"), bucket("d", provider="other"))
    assert (sorted(accepted(found)), fates(found), displaced(found)) == ([0, 2, 3], {1: BY_REQUESTS}, [])
    found = settled(bucket("b"), bucket("c", account_id="acme"), published=[one("x")])
    assert (accepted(found), fates(found), displaced(found)) == ([1], {0: BY_REQUESTS}, [])


def test_requests_displace_the_aggregates_that_were_published_for_their_day() -> None:
    published = [bucket("b"), bucket("c", account_id="acme"), bucket("d", day=DAY_BEFORE), one("y")]
    found = settled(one("x"), published=published)
    assert (accepted(found), displaced(found)) == ([0], ["b"])
    assert found.accepted.columns == list(CANDIDATES)
    assert displaced(settled(one("x"), published=published[:3])) == ["b"]
    # A request that was displaced by a fuller state of it stays named beside them.
    found = settled(state("s", 2, 11), published=[state("s", 1, 10), bucket("b")])
    assert displaced(found) == ["b", "s"]


def test_requests_of_the_day_before_do_not_count_for_this_day() -> None:
    assert accepted(settled(bucket("b"), published=[one("x", day=DAY_BEFORE)])) == [0]
    assert accepted(settled(bucket("b"), published=[bucket("b", 2, 99, 99, day=DAY_BEFORE)])) == [0]


@pytest.mark.parametrize(
    ("new", "fate"),
    [
        ({"requests": 6, "tokens": 1, "content": 0}, None),
        ({"requests": 5, "tokens": 11, "content": 0}, None),
        ({"requests": 5, "tokens": 10, "content": 2}, None),
        ({"requests": 5, "tokens": 10, "content": 1}, SAME),
        ({"requests": 5, "tokens": 10, "content": 0}, SUPERSEDED),
        ({"requests": 5, "tokens": 9, "content": 2}, SUPERSEDED),
        ({"requests": 4, "tokens": 99, "content": 2}, SUPERSEDED),
    ],
)
def test_of_an_aggregate_the_most_requests_count_then_tokens_then_the_larger_hash(
    new: dict[str, Any], fate: tuple[str, str] | None
) -> None:
    old = {"requests": 5, "tokens": 10, "content": 1}
    found = settled(bucket("b", **new), published=[bucket("b", **old)])
    assert (accepted(found), displaced(found)) == (([0], ["b"]) if fate is None else ([], []))
    assert fates(found) == ({} if fate is None else {0: fate})
    assert kept_content(found) == ({} if fate is None else {0: 1})
    # The same within a run; equal ones count where they stand first.
    for at, pair in enumerate(([new, old], [old, new])):
        found = settled(*(bucket("b", **state) for state in pair))
        larger = pair.index(new if fate is None else old) if fate != SAME else 0
        assert accepted(found) == [larger]
        assert fates(found) == {1 - larger: SAME if fate == SAME else SUPERSEDED}, at


def test_an_aggregate_without_requests_is_measured_by_its_tokens() -> None:
    found = settled(bucket("b", 1, 11, None), bucket("b", 9, 10, None), published=[bucket("b", 2, 10, None)])
    assert (accepted(found), displaced(found), fates(found)) == ([0], ["b"], {1: SUPERSEDED})
    assert fates(settled(bucket("b", 1, 99, None), published=[bucket("b", 2, 10, 1)])) == {0: SUPERSEDED}
    assert accepted(settled(bucket("b", 1, 9, 0), published=[bucket("b", 2, 8, None)])) == [0]


def test_equal_aggregates_count_where_they_stand_first() -> None:
    rows = (bucket("b", input_rank=1), bucket("b"), bucket("b"), bucket("c"))
    found = settled(*rows)
    assert (sorted(accepted(found)), fates(found)) == ([1, 3], {0: SAME, 2: SAME})


def test_aggregates_of_another_width_or_grouping_are_refused() -> None:
    for other in ({"width": 3600}, {"project_id": "p"}, {"model": None}):
        found = settled(bucket("c", **other), bucket("d", input_rank=1), published=[bucket("b")])
        assert (accepted(found), fates(found), displaced(found)) == ([1], {0: OVERLAPPING}, [])
    # What covers something else, or is of somebody else, does not overlap.
    for other in ({"covers": "images"}, {"account_id": "acme"}, {"provider": "other"}):
        for kind in ({"width": 3600}, {"project_id": "p"}):
            found = settled(bucket("c", **other, **kind), published=[bucket("b")])
            assert (accepted(found), fates(found), displaced(found)) == ([0], {}, [])
            found = settled(bucket("c", **other, **kind), bucket("b"), published=[bucket("b", 0)])
            assert (accepted(found), fates(found), displaced(found)) == ([0, 1], {}, ["b"])


def test_a_dimension_that_one_row_has_is_a_dimension_of_all() -> None:
    """In a grouping by project, usage of no project has none."""
    found = settled(bucket("b", project_id="p"), bucket("c"), published=[bucket("a", project_id="q")])
    assert (accepted(found), fates(found)) == ([0, 1], {})
    published = [bucket("a"), bucket("b", project_id="q")]
    assert accepted(settled(bucket("c", project_id="p"), published=published)) == [0]
    # But each input has its own: one by project does not lend it to the other.
    found = settled(bucket("b", project_id="p"), bucket("c", input_rank=1), published=[bucket("a", project_id="q")])
    assert (accepted(found), fates(found)) == ([0], {1: OVERLAPPING})


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_each_dimension_is_one_of_the_grouping(dimension: str) -> None:
    plain = {"model": None}
    found = settled(bucket("b", **plain | {dimension: "d"}), published=[bucket("a", **plain)])
    assert fates(found) == {0: OVERLAPPING}


def test_within_a_run_the_finest_grouping_counts_then_the_narrowest() -> None:
    day, by_two = bucket("a"), bucket("b", project_id="p", input_rank=1)
    hour, by_one = bucket("c", width=3600, input_rank=2), bucket("d", model=None, tier="t", input_rank=3)
    assert fates(settled(day, by_two)) == {0: OVERLAPPING}
    assert fates(settled(by_two, day)) == {1: OVERLAPPING}
    assert fates(settled(day, hour)) == {0: OVERLAPPING}
    assert fates(settled(hour, by_two)) == {0: OVERLAPPING}
    # Of two groupings as fine as one another the one by the earlier dimensions.
    assert fates(settled(by_one, day)) == {0: OVERLAPPING}
    assert fates(settled(by_one | {"width": 3600}, day)) == {0: OVERLAPPING}


def test_replace_takes_this_runs_grouping_and_displaces_the_other_of_the_same_usage() -> None:
    published = [
        bucket("a"),
        bucket("e", account_id="acme"),
        bucket("f", covers="images"),
        bucket("g", provider="other"),
    ]
    found = settled(bucket("b", project_id="p"), published=published, replace=True)
    assert (accepted(found), fates(found), displaced(found)) == ([0], {}, ["a"])
    found = settled(bucket("b", project_id="p"), bucket("c", input_rank=1), published=published, replace=True)
    assert (accepted(found), fates(found), displaced(found)) == ([0], {1: OVERLAPPING}, ["a"])
    # The same grouping is no other: there the fuller state counts, as ever.
    found = settled(bucket("a", 2, 9), bucket("h"), published=published, replace=True)
    assert (accepted(found), fates(found), displaced(found)) == ([1], {0: SUPERSEDED}, [])
    # The same name in another width makes way, though it counted more.
    found = settled(bucket("a", 2, 9, 1, width=3600), published=published, replace=True)
    assert (accepted(found), fates(found), displaced(found)) == ([0], {}, ["a"])


def test_what_a_gateway_bills_itself_and_the_providers_usage_do_not_displace_one_another() -> None:
    """A gateway's generations and its sums meet by what they cover, whichever provider served them."""
    own = {"is_apart": True, "covers": "gateway"}
    found = settled(
        one("direct", provider="openai"),
        one("generation", provider="azure", **own),
        bucket("reported", provider="openai"),
        bucket("reported elsewhere", provider="azure"),
        bucket("summed by the gateway", provider="openai", **own),
    )
    assert accepted(found) == [0, 1, 3]
    assert fates(found) == {2: BY_REQUESTS, 4: BY_REQUESTS}
    assert accepted(settled(one("direct"), bucket("summed by the gateway", **own))) == [0, 1]
    found = settled(one("generation", **own), published=[bucket("summed by the gateway", **own), bucket("reported")])
    assert displaced(found) == ["summed by the gateway"]


def test_requests_and_aggregates_are_accepted_together() -> None:
    found = settled(one("x"), bucket("b", account_id="acme"), one("x"), bucket("b", account_id="acme"))
    assert (accepted(found), fates(found)) == ([0, 1], {2: SAME, 3: SAME})
    # What only the ledger needs is gone again.
    assert set(found.accepted.columns) - {"grouping"} == set(CANDIDATES)
    assert all(
        set(part.columns) - {"grouping", "kept_content_hash"} == {*CANDIDATES, "fate", "reason"} for part in found.fates
    )


def test_aggregates_of_no_account_meet_as_those_of_one_do() -> None:
    for account in (None, "acme"):
        old = bucket("b", 1, 10, account_id=account)
        found = settled(bucket("b", 2, 11, account_id=account), published=[old])
        assert (accepted(found), displaced(found)) == ([0], ["b"])
        [identity] = found.displaced.rows()
        assert identity == (account, "openai", "b")


# ------------------------------------------------------------------------------------------------------- expired usage


def what_is_left(*identities: tuple[str, int], counted: tuple[tuple[str | None, str], ...] = ()) -> Expired:
    return Expired(
        pl.DataFrame(
            [(identity_hash(None, "openai", name), content) for name, content in identities],
            schema={"identity": pl.Binary, "content_hash": pl.Int64},
            orient="row",
        ),
        pl.DataFrame(
            [(account, "openai", kind) for account, kind in counted],
            schema=dict.fromkeys(("account_id", "provider", "source_kind"), pl.String),
            orient="row",
        ),
    )


def test_what_is_known_of_expired_usage_stands() -> None:
    left = what_is_left(("x", 1), ("y", 1), ("y", 3), ("s", 1))
    found = settled(one("x", 1), one("x", 2), one("y", 3), one("y", 1), state("s", 2, 99), one("new"), expired=left)
    assert (accepted(found), displaced(found)) == ([5], [])
    assert fates(found) == {0: SAME, 1: CONFLICT, 2: SAME, 3: CONFLICT, 4: SUPERSEDED}
    assert kept_content(found) == {0: 1, 1: 1, 2: 3, 3: 3, 4: 1}
    assert found.accepted.columns == list(CANDIDATES)
    assert {tuple(part.columns) for part in found.fates} == {(*CANDIDATES, "kept_content_hash", "fate", "reason")}


def test_where_expired_aggregates_count_the_day_nothing_of_that_account_does_any_more() -> None:
    left = what_is_left(counted=((None, "aggregate"),))
    found = settled(one("x"), bucket("b"), one("y", account_id="acme"), bucket("c", account_id="acme-2"), expired=left)
    assert (sorted(accepted(found)), fates(found)) == ([2, 3], {0: EXPIRED, 1: EXPIRED})


def test_where_expired_requests_count_the_day_new_requests_do_and_aggregates_do_not() -> None:
    left = what_is_left(counted=((None, "request"),))
    found = settled(one("x"), bucket("b"), bucket("c", account_id="acme"), expired=left)
    assert (sorted(accepted(found)), fates(found)) == ([0, 2], {1: BY_REQUESTS})


def test_a_record_without_id_is_known_again_by_its_number() -> None:
    bare = one("sha256:x", is_fingerprint=True)
    found = settled(bare, bare, expired=what_is_left(("sha256:x#1", 1)))
    assert (accepted(found), fates(found)) == ([1], {0: SAME})


def test_all_of_a_day_can_be_known_of_expired_usage() -> None:
    found = settled(one("x"), bucket("b"), expired=what_is_left(("x", 1), ("b", 1)))
    assert (accepted(found), fates(found)) == ([], {0: SAME, 1: SAME})
