"""The HTML page: every number in it, charts of the right length, and nothing that a browser would fetch or run.

A call of gpt-4o-mini with N million tokens in costs N x 0.15 USD.
"""

from __future__ import annotations

import re
import shutil
from datetime import date
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from etl import html_page
from tests.nights import NOON, Ran, chat, costroll, write_jsonl

DAY = 24 * 60 * 60
WAREHOUSE = Path("warehouse")
EVIL = "<script>alert(1)</script>"
VOID = {"meta"}


class Balanced(HTMLParser):
    """Collects every tag, and refuses one that is closed in another's place."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(text: str) -> Balanced:
    found = Balanced()
    found.feed(text)
    assert found.open == []
    return found


def call(request_id: str, created: int, millions: int, **who: Any) -> dict[str, Any]:
    model = {"model": who.pop("model")} if "model" in who else {}
    response = chat(f"chat-{request_id}", created, millions * 1_000_000, 0, **model)
    return {"timestamp": created, "request_id": request_id, "status": 200, "response": response} | who


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """June 1: 3 USD of k1. June 3: 1.50 USD of nobody, and 2 million tokens of a model that has no price."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("made"))
        records = [
            call("1", NOON, 20, api_key_id="k1"),
            call("2", NOON + 2 * DAY, 10),
            call("3", NOON + 2 * DAY, 2, model=EVIL, project=EVIL),
        ]
        costroll("run", write_jsonl(Path("log.jsonl"), records), "--warehouse", WAREHOUSE)
        return WAREHOUSE.absolute()


@pytest.fixture(autouse=True)
def warehouse(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COSTROLL_WAREHOUSE", str(WAREHOUSE))
    shutil.copytree(made, WAREHOUSE, symlinks=True)


def page(*arguments: str, code: int = 0) -> str:
    ran: Ran = costroll("report", "--html", "page.html", *arguments)
    assert (ran.code, ran.out) == (code, "page.html\n"), ran
    return Path("page.html").read_text()


@pytest.fixture(scope="module")
def by_key(made: Path) -> str:
    """The page by API key."""
    file = made.parent / "page.html"
    assert costroll("report", "--html", file, "--by", "api_key", "--warehouse", made).code == 0
    return file.read_text()


def test_nothing_in_it_is_fetched_or_run(by_key: str) -> None:
    text = by_key
    found = parsed(text)
    assert {"script", "link", "img", "iframe", "object", "a", "base"}.isdisjoint(tag for tag, _ in found.tags)
    attributes = {name for _, attrs in found.tags for name in attrs}
    assert {"src", "href", "srcset", "action", "data"}.isdisjoint(attributes)
    assert not any(name.startswith("on") for name in attributes)
    assert "://" not in text and "url(" not in text and "@import" not in text
    assert "default-src 'none'; style-src 'unsafe-inline'" in text


def test_a_name_from_a_log_is_text_whatever_it_says() -> None:
    text = page("--by", "project")
    assert EVIL not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_the_total_and_what_is_not_in_it_stand_at_the_top(by_key: str) -> None:
    text = by_key
    assert "LLM costs, 2026-06-01 to 2026-06-03" in text
    assert '<p class="total">4.50 USD</p>' in text
    assert "2,000,000 units have no price and are in no sum: see below" in text
    assert "unpriced_unknown_model" in text
    assert "(records name no api_key)" in text


def test_the_columns_are_as_high_as_the_days_cost_and_a_day_without_data_is_a_gap(by_key: str) -> None:
    text = by_key
    # The axis ends at 4, the next of 1, 2, 4, 6, 8, 10 above 3, and is 210 high: 3 / 4 x 210 = 157.50 and 1.5 / 4 x 210
    # = 78.75. Three columns in 910: at 90, 393.33 and 696.67.
    model = "gpt-4o-mini-2024-07-18"
    first = re.search(
        rf'<rect x="90.00" y="62.50" .*?height="157.50" .*?<title>2026-06-01 {model}: 3 USD</title>', text
    )
    third = re.search(rf'<rect x="696.67" y="141.25" .*?height="78.75" .*?<title>2026-06-03 {model}: 1.50 USD<', text)
    assert first and third
    assert 'x="393.33"' not in re.sub(r"<text.*?</text>", "", text)


def test_the_same_days_make_the_same_bytes(by_key: str) -> None:
    assert page("--by", "api_key") == by_key


def test_only_the_chosen_days_are_in_it() -> None:
    text = page("--until", "2026-06-01")
    assert '<p class="total">3.00 USD</p>' in text
    assert "have no price" not in text and "unpriced_unknown_model" not in text


def test_budgets_are_in_it_and_one_that_is_over_ends_with_8() -> None:
    (WAREHOUSE / "costroll.toml").write_text('[[budget.limit]]\nname = "tight"\nusd = 4\n')
    text = page(code=8)
    assert "Budgets, with estimates of the month" in text
    assert "<td>tight</td>" in text and "<td>over</td>" in text


def test_many_days_are_shown_by_month() -> None:
    from etl.commands.report_page import _labels

    assert len(_labels([date(2026, 1, 1), date(2026, 5, 4)])) == 124  # 31 + 28 + 31 + 30 + 4
    assert _labels([date(2026, 1, 1), date(2026, 5, 5)]) == ["2026-01", "2026-02", "2026-03", "2026-04", "2026-05"]


@pytest.mark.parametrize(
    ("highest", "axis"), [("0.3", "0.40"), ("1", "1"), ("1.01", "2"), ("3", "4"), ("8.5", "10"), ("99", "100")]
)
def test_an_axis_ends_at_a_short_number(highest: str, axis: str) -> None:
    [*lines] = html_page.columns_chart(["a"], [("m", [Decimal(highest)])], "USD")
    assert f">{axis} USD</text>" in "".join(lines)


def test_what_costs_nothing_has_no_chart() -> None:
    assert list(html_page.columns_chart(["a"], [("m", [Decimal(0)])], "USD")) == []
    assert list(html_page.columns_chart([], [], "USD")) == []
    assert list(html_page.bars([("a", Decimal("-1"))], "USD")) == []


@pytest.mark.parametrize("arguments", [["days"], ["--currency", "EUR", "--fx", "eur.csv"]])
def test_what_does_not_go_with_a_page_is_refused(arguments: list[str]) -> None:
    Path("eur.csv").write_text("currency,effective_from,units_per_usd\nEUR,2026-01-01,0.9\n")
    assert costroll("report", *arguments, "--html", "page.html").code == 2
    assert not Path("page.html").exists()
