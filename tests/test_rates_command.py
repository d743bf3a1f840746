"""`costroll rates`: what it shows, and what it says when there is nothing to show."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner, Result

from etl.cli import cli, exit_code_of
from etl.errors import UsageError


def rates(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["rates", *arguments])


def test_the_rates_of_a_day_are_those_in_force_at_its_first_instant() -> None:
    shown = rates("show", "gpt-4o", "--on", "2024-10-01", "--tier", "standard")
    assert shown.exit_code == 0
    assert "2024-05-13  2024-10-02" in shown.output
    assert "2.50" not in shown.output


def test_a_model_reached_through_an_alias_shows_the_way() -> None:
    shown = rates("show", "claude-opus-4-0", "--on", "2026-01-01")
    assert shown.output.splitlines()[0] == "anthropic: claude-opus-4-0 → claude-opus-4-20250514"


def test_a_fine_tuned_model_shows_its_base() -> None:
    shown = rates("show", "ft:gpt-4o-mini-2024-07-18:org::id", "--on", "2026-01-01")
    assert shown.output.splitlines()[0] == "openai: ft:gpt-4o-mini-2024-07-18:org::id → ft:gpt-4o-mini-2024-07-18"


def test_an_unknown_model_is_answered_with_near_names_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(["rates", "show", "gpt-4o-min"]) == 2
    assert "near names are gpt-4o-mini" in capsys.readouterr().err


def test_an_unknown_provider_is_answered_with_those_there_are() -> None:
    refused = rates("show", "gpt-4o", "--provider", "azure").exception
    assert isinstance(refused, UsageError)
    assert "anthropic, google, openai" in str(refused)


def test_a_day_that_cannot_be_read_is_a_usage_error() -> None:
    assert rates("show", "gpt-4o", "--on", "yesterday").exit_code == 2


def test_a_model_without_rates_in_force_says_so() -> None:
    shown = rates("show", "o3", "--on", "2020-01-01")
    assert shown.exit_code == 0
    assert "No rate is in force then; `costroll rates history o3` shows all." in shown.output


def test_json_has_rates_as_exact_strings_also_with_the_option_in_front() -> None:
    behind = json.loads(rates("show", "o3", "--on", "2025-06-10", "--tier", "standard", "--json").output)
    in_front = CliRunner().invoke(cli, ["--json", "rates", "show", "o3", "--on", "2025-06-10", "--tier", "standard"])
    assert behind == json.loads(in_front.output)
    assert (behind["model"], behind["on"]) == ("o3", "2025-06-10T00:00:00Z")
    [entry] = behind["found"]
    assert (entry["provider"], entry["path"]) == ("openai", ["o3"])
    assert entry["rates"][0]["rate_usd_per_million"] == "2.000000"


def test_the_history_has_what_was_and_what_is() -> None:
    lines = rates("history", "o3", "--sources").output.splitlines()
    standard = [line.split()[4:7] for line in lines if re.match("o3 +standard +input +uncached", line)]
    assert standard == [["10.000", "2025-04-16", "2025-06-10"], ["2.000", "2025-06-10", "open"]]


def test_the_history_of_a_model_is_a_line_for_each_stretch_without_a_change() -> None:
    lines = rates("history", "o3").output.splitlines()
    assert lines[0] == "openai: o3, USD per million units"
    assert lines[1].split() == ["tier", "over", "from", "to", "input", "cached", "output", "web_search_calls"]
    assert [line.split() for line in lines[3:6]] == [
        ["standard", "2025-04-16", "2025-06-10", "10.00", "2.50", "40.00"],
        ["standard", "2025-06-10", "2026-03-12", "2.00", "0.50", "8.00"],
        ["standard", "2026-03-12", "open", "2.00", "0.50", "8.00", "10000.00"],
    ]
    assert ["batch", "2025-04-16", "2025-06-10", "5.00*", "5.00*", "20.00*"] in [line.split() for line in lines]
    assert lines[-1] == "* inferred: --sources says from what"


def test_a_history_has_a_line_for_each_context_band() -> None:
    lines = [line.split() for line in rates("history", "gpt-5.4").output.splitlines()]
    assert ["standard", "2026-03-05", "open", "2.50", "0.25", "15.00"] in lines
    assert ["standard", "272,000", "2026-03-05", "open", "5.00", "0.50", "22.50"] in lines


def test_check_counts_what_it_checked() -> None:
    checked = rates("check")
    assert checked.exit_code == 0
    assert "0 failures" in checked.output
    assert json.loads(rates("check", "--json").output)["failures"] == 0


@pytest.mark.parametrize("name", ["show", "history", "check"])
def test_every_command_has_an_example(name: str) -> None:
    assert f"Example:\n      costroll rates {name}" in rates(name, "--help").output
