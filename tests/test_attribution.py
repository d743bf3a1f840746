"""Who caused a cost: by API key, user, workflow and the tags of a mapping file, and always the whole of it.

A chat of gpt-4o-mini with 1,000 tokens in and 100 out costs 1,000 x 0.15 + 100 x 0.60 = 210 millionths = 0.00021 USD.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.errors import UsageError
from etl.mapping import read_mapping
from etl.sharing import split
from tests.nights import NOON, Ran, chat, costroll, write_jsonl

DAY = 24 * 60 * 60
MAY_30 = NOON - 2 * DAY
WAREHOUSE = Path("warehouse")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of its own, with the warehouse in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COSTROLL_WAREHOUSE", str(WAREHOUSE))


def call(request_id: str, created: int = NOON, prompt: int = 1000, completion: int = 100, **who: str) -> dict[str, Any]:
    """A chat in the wrapper of a gateway, which says who called: api_key_id, user, workflow, project."""
    response = chat(f"chat-{request_id}", created, prompt, completion)
    return {"timestamp": created, "request_id": request_id, "status": 200, "response": response} | who


def night(*records: dict[str, Any]) -> None:
    number = len(list(Path().glob("*.jsonl")))
    ran = costroll("run", write_jsonl(Path(f"{number}.jsonl"), records))
    assert ran.code == 0, ran


def report(*arguments: str | Path, code: int = 0) -> list[dict[str, str]]:
    ran = costroll("report", *arguments, "--format", "csv")
    assert ran.code == code, ran
    return list(csv.DictReader(io.StringIO(ran.out)))


def costs(rows: list[dict[str, str]], *keys: str) -> dict[tuple[str, ...], Decimal]:
    return {tuple(row[key] for key in keys): Decimal(row["cost_usd"]) for row in rows}


def mapping(*lines: str) -> Path:
    path = Path("keys.csv")
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One call of k1, two of k2, one that names nobody: 4 x 0.00021 = 0.00084 USD."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("made"))
        patch.setenv("COSTROLL_WAREHOUSE", str(WAREHOUSE))
        _three_keys()
        return WAREHOUSE.absolute()


@pytest.fixture
def three_keys(made: Path) -> None:
    """A copy of it."""
    shutil.copytree(made, WAREHOUSE, symlinks=True)


def _three_keys() -> None:
    night(
        call("1", api_key_id="k1", user="ada"),
        call("2", api_key_id="k2", user="ada"),
        call("3", NOON + DAY, api_key_id="k2", user="bob"),
        call("4", NOON + DAY),
    )


def test_what_a_key_cost_and_what_no_key_is_known_for_add_up_to_the_whole(three_keys: None) -> None:
    rows = report("--by", "api_key")
    assert [(row["api_key"], row["requests"], row["input_tokens"], row["output_tokens"]) for row in rows] == [
        ("k2", "2", "2000", "200"),
        ("k1", "1", "1000", "100"),
        ("", "1", "1000", "100"),
    ]
    assert costs(rows, "api_key", "note") == {
        ("k2", ""): Decimal("0.00042"),
        ("k1", ""): Decimal("0.00021"),
        ("", "records name no api_key"): Decimal("0.00021"),
    }


def test_by_user_a_day_and_by_user_a_model(three_keys: None) -> None:
    by_day = costs(report("days", "--by", "user"), "day", "user")
    assert by_day == {
        ("2026-06-01", "ada"): Decimal("0.00042"),
        ("2026-06-02", "bob"): Decimal("0.00021"),
        ("2026-06-02", ""): Decimal("0.00021"),
    }
    [ada, *_] = report("models", "--by", "user")
    assert (ada["user"], ada["model"], ada["tier"]) == ("ada", "gpt-4o-mini-2024-07-18", "standard")


def test_a_chain_of_five_calls_is_one_number() -> None:
    # 5 x (1,000 x 0.15 + 700 x 0.60) / 1,000,000 = 5 x 0.00057 = 0.00285
    night(*(call(str(n), NOON + n, 1000, 700, workflow="support-42") for n in range(5)), call("alone"))
    [chain, _] = report("--by", "workflow")
    assert (chain["workflow"], chain["requests"], Decimal(chain["cost_usd"])) == ("support-42", "5", Decimal("0.00285"))


def test_the_middle_chain_stands_below_the_table() -> None:
    # One, two, three and four calls of 0.00021: the lower of the two in the middle is 0.00042.
    night(*(call(f"{size}-{n}", NOON + n, workflow=f"w{size}") for size in (1, 2, 3, 4) for n in range(size)))
    assert costroll("report", "--by", "workflow").out.splitlines()[-1] == (
        "each of 4 by workflow: 0.00021 to 0.00084 USD, the middle one 0.00042 USD"
    )


def test_a_tag_of_the_mapping_file_sums_the_keys_of_a_team(three_keys: None) -> None:
    keys = mapping("api_key,team,cost_centre", "k1,search,100", "k2,search,200")
    assert costs(report("--by", "team", "--mapping", keys), "team") == {
        ("search",): Decimal("0.00063"),
        ("",): Decimal("0.00021"),
    }
    assert costs(report("--by", "cost_centre", "--mapping", keys), "cost_centre", "note") == {
        ("200", ""): Decimal("0.00042"),
        ("100", ""): Decimal("0.00021"),
        ("", "records name no api_key"): Decimal("0.00021"),
    }


@pytest.mark.parametrize("tag", ["cost_usd", "day", "note", "requests", "own_usd"])
def test_a_tag_with_the_name_of_a_column_of_the_report_is_refused(three_keys: None, tag: str) -> None:
    ran = costroll("report", "days", "--by", tag, "--mapping", mapping(f"api_key,{tag}", "k1,7"))

    assert (ran.code, ran.out) == (2, "")
    assert f"a tag named '{tag}' cannot be told from the report's own column: rename it" in ran.err


def test_the_settings_name_the_mapping_file_and_a_key_that_is_not_in_it_is_said(three_keys: None) -> None:
    mapping("api_key,team", "k1,search")
    (WAREHOUSE / "costroll.toml").write_text('[attribution]\nmapping = "../keys.csv"\n')
    assert [(row["team"], row["note"], row["requests"]) for row in report("--by", "team")] == [
        ("", "not in the mapping", "2"),
        ("search", "", "1"),
        ("", "records name no api_key", "1"),
    ]


@pytest.mark.parametrize(("last_day", "team"), [("2026-06-01", "shop"), ("2026-06-02", "search")])
def test_a_key_changes_hands_at_the_start_of_a_day(last_day: str, team: str) -> None:
    night(call("1", NOON, api_key_id="k1"))  # on 2026-06-01
    keys = mapping("api_key,team,effective_from,effective_to", f"k1,search,,{last_day}", f"k1,shop,{last_day},")
    [row] = report("--by", "team", "--mapping", keys)
    assert row["team"] == team


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["key,team", "k1,a"], "the first column of a mapping file is one of api_key, user, workflow"),
        ([], "not nothing"),
        (["api_key", "k1"], "after api_key come the tags"),
        (["api_key,team,team", "k1,a,b"], "each once"),
        (["api_key,Team", "k1,a"], "'Team' cannot be a tag"),
        (["api_key,user", "k1,a"], "'user' cannot be a tag"),
        (["api_key,team", "k1,a", "k1,b"], "lines 2 and 3: 'k1' has two owners"),
        (
            ["api_key,team,effective_from,effective_to", "k1,a,,2026-06-02", "k1,b,2026-06-01,"],
            "lines 2 and 3: 'k1' has two owners on 2026-06-01",
        ),
        (["api_key,team,effective_from", "k1,a,June"], "line 2: effective_from and effective_to are days"),
        (["api_key,team,effective_from,effective_to", "k1,a,2026-06-02,2026-06-02"], "line 2: it ends before"),
        (["api_key,team", "k1,a,b"], "line 2: 3 cells where the header has 2"),
        (["api_key,team", ",a"], "line 2: no key"),
    ],
)
def test_a_mapping_file_that_cannot_be_one_is_refused(lines: list[str], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_mapping(mapping(*lines))
    assert said in str(refused.value)


def test_what_is_neither_a_dimension_nor_a_tag_is_refused_with_what_there_is(three_keys: None) -> None:
    unknown = costroll("report", "--by", "squad", "--mapping", mapping("api_key,team", "k1,a"))
    assert unknown.code == 2
    assert "there are api_key, user, workflow, project, account, and the tags of keys.csv: team" in unknown.err
    assert costroll("report", "quarantine", "--by", "user").code == 2
    assert costroll("report", "--by", "team", "--mapping", "nowhere.csv").code != 0


def test_an_id_with_quotes_in_it_is_an_id() -> None:
    night(call("1", api_key_id="k'1"))
    [row] = report("--by", "team", "--mapping", mapping("api_key,team", "k'1,the 'A' team"))
    assert row["team"] == "the 'A' team"


def expired() -> None:
    """May 30, closed and its records gone; June 1 with records. 3,000 x 0.15 + 100 x 0.60 = 0.00051 in May."""
    night(call("may", MAY_30, prompt=3000, api_key_id="k1", project="shop"), call("june", api_key_id="k1"))
    assert costroll("close", "2026-05").code == 0
    (WAREHOUSE / "costroll.toml").write_text("[retention]\nusage_days = 1\nsnapshots = 1\nhours = 0\n")
    assert costroll("gc").code == 0


def test_days_whose_records_have_expired_are_said_and_stay_in_the_sum() -> None:
    expired()
    ran: Ran = costroll("report", "--by", "api_key", "--json")
    assert [(row["api_key"], Decimal(row["cost_usd"]), row["note"]) for row in json.loads(ran.out)] == [
        (None, Decimal("0.00051"), "records expired"),
        ("k1", Decimal("0.00021"), None),
    ]
    assert ran.err == (
        "costroll: 1 day has no records any more (2026-05-30 to 2026-05-30): 0.00051 USD of them can no longer be "
        "told apart and stand as `records expired`\n"
    )
    assert costroll("report", "--by", "api_key", "--since", "2026-06-01").err == ""
    backwards = costroll("report", "--since", "2026-06-02", "--until", "2026-06-01")
    assert backwards.code == 2 and "--until 2026-06-01 is before --since 2026-06-02" in backwards.err


def test_what_comes_late_for_an_expired_day_is_known_and_the_rest_of_the_day_is_not() -> None:
    expired()
    night(call("late", MAY_30 + 60, api_key_id="k2"))
    assert costs(report("--by", "api_key", "--until", "2026-05-30"), "api_key", "note") == {
        ("", "records expired"): Decimal("0.00051"),
        ("k2", ""): Decimal("0.00021"),
    }


def test_the_project_of_an_expired_day_is_in_the_rollups() -> None:
    expired()
    assert costs(report("--by", "project"), "project", "note") == {
        ("shop", ""): Decimal("0.00051"),
        ("", "records name no project"): Decimal("0.00021"),
    }


def test_what_has_no_price_is_counted_beside_what_has() -> None:
    ran = costroll(
        "run", write_jsonl(Path("0.jsonl"), [call("1", api_key_id="k1") | {"response": chat("x", model="?")}])
    )
    assert ran.code == 3
    [row] = report("--by", "api_key")
    assert (row["cost_usd"], row["unpriced"]) == ("", "1100")


# -- shared costs

RULE = '[[attribution.shared]]\nby = "team"\n'


def share(rules: str, *lines: str) -> Ran:
    (WAREHOUSE / "costroll.toml").write_text(rules)
    return costroll(
        "report", "--by", "team", "--share", "--format", "csv", "--mapping", mapping("api_key,team", *lines)
    )


@pytest.fixture
def platform() -> None:
    """USD: search 0.00063 in three calls, shop 0.00021 in one, the platform 0.00021, and nobody 0.00021."""
    night(
        *(call(f"s{n}", NOON + n, api_key_id="k1") for n in range(3)),
        call("p", api_key_id="k2"),
        call("x", api_key_id="k3"),
        call("nobody"),
    )


@pytest.mark.parametrize(
    ("over", "search", "shop"),
    [
        # 0.00021 over 0.00063 and 0.00021: three quarters are 0.0001575, a quarter 0.0000525
        ('over = "cost"', "0.0001575", "0.0000525"),
        ('over = "requests"', "0.0001575", "0.0000525"),
        ('over = "equal"', "0.000105", "0.000105"),
        ("shares = { search = 1, shop = 2 }", "0.00007", "0.00014"),
    ],
)
def test_the_costs_of_a_platform_are_borne_by_the_teams(over: str, search: str, shop: str, platform: None) -> None:
    ran = share(f'{RULE}value = "platform"\n{over}\n', "k1,search", "k2,platform", "k3,shop")
    rows = {row["team"]: row for row in csv.DictReader(io.StringIO(ran.out))}
    shared = {team: Decimal(row["shared_usd"]) for team, row in rows.items()}
    assert shared == {
        "search": Decimal(search), "shop": Decimal(shop), "platform": Decimal("-0.00021"), "": Decimal(0)
    }  # fmt: skip
    assert Decimal(rows["search"]["cost_usd"]) == Decimal("0.00063") + Decimal(search)
    assert sum(Decimal(row["cost_usd"]) for row in rows.values()) == Decimal("0.00126")


def test_what_nobody_is_known_for_can_be_shared_too(platform: None) -> None:
    ran = share(f'{RULE}over = "equal"\n', "k1,search", "k2,platform", "k3,shop")
    rows = {row["team"]: Decimal(row["cost_usd"]) for row in csv.DictReader(io.StringIO(ran.out))}
    assert rows == {
        "search": Decimal("0.0007"), "shop": Decimal("0.00028"), "platform": Decimal("0.00028"), "": Decimal(0)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("", "the settings have no [[attribution.shared]] with by = 'team'"),
        (f'{RULE}value = "search"\nshares = {{ legal = 1 }}', "shares name legal, which cost nothing in these days"),
        (f'{RULE}over = "size"', 'over must be "cost", "requests" or "equal"'),
        (f"{RULE}shares = {{ search = 0 }}", "shares must be a table of whole numbers, 1 or more"),
        ('[[attribution.shared]]\nvalue = "x"', "each with by"),
    ],
)
def test_a_rule_that_cannot_share_is_refused(rules: str, said: str, three_keys: None) -> None:
    ran = share(rules, "k1,search", "k2,shop")
    assert ran.code == 2
    assert said in ran.err


@given(
    st.decimals("-1000000", "1000000", places=12),
    st.dictionaries(st.text(max_size=3), st.integers(0, 10**15), min_size=1).filter(lambda w: sum(w.values()) > 0),
)
def test_the_parts_of_a_split_add_up_to_the_whole_and_none_is_a_unit_off(
    amount: Decimal, weights: dict[str, int]
) -> None:
    parts = split(amount, weights)
    assert sum(parts.values()) == amount
    for name, part in parts.items():
        assert abs(part * sum(weights.values()) - amount * weights[name]) < sum(weights.values()) * Decimal("1e-12")
