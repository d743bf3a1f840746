"""costroll.toml: what it may say, what is refused in it, and what beats what."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from etl.settings_file import SECTIONS, RetentionSection, load
from tests.nights import chat, costroll, costroll_process, write_jsonl


def warehouse_with(tmp_path: Path, text: str) -> Path:
    warehouse = tmp_path / "warehouse"
    warehouse.mkdir(exist_ok=True)
    (warehouse / "costroll.toml").write_text(text)
    return warehouse


def test_without_a_file_everything_has_its_default_and_none_is_created(tmp_path: Path) -> None:
    file = load(tmp_path, None)
    assert (file.retention, file.inputs()) == (RetentionSection(snapshots=14, hours=48, usage_days=None), ())

    write_jsonl(tmp_path / "logs/a.jsonl", [chat("a")])
    assert costroll("run", tmp_path / "logs", "--warehouse", tmp_path / "warehouse").code == 0
    assert not (tmp_path / "warehouse/costroll.toml").exists()


@pytest.mark.parametrize(
    ("text", "must_say"),
    [
        ("[retension]\nsnapshots = 3", "no section or key 'retension' here; there are the sections [run], "),
        ("snapshots = 3", "no section or key 'snapshots' here"),
        ("run = 3", "no section or key 'run' here"),
        ("[retention]\nsnapshot = 3", "[retention] has no key 'snapshot'; there are: snapshots, hours, usage_days"),
        ("[retention]\nsnapshots = 0", "[retention] snapshots must be a whole number, 1 or more, not 0"),
        ("[retention]\nsnapshots = 14.5", "[retention] snapshots must be a whole number, 1 or more, not 14.5"),
        ("[retention]\nhours = true", "[retention] hours must be a whole number, 0 or more, not True"),
        ("[retention]\nhours = -1", "[retention] hours must be a whole number, 0 or more, not -1"),
        ('[retention]\nhours = "48"', "[retention] hours must be a whole number, 0 or more, not '48'"),
        ('[run]\ninputs = "logs"', "[run] inputs must be a list of texts, such as [\"logs\"], not 'logs'"),
        ('[run]\nmax_decompressed = "lots"', '[run] max_decompressed must be a size in quotes, such as "20GB", not'),
        ("[run]\ninputs = [3]", "[run] inputs must be a list of texts"),
        ('[run]\naccount = ""', "[run] account must be a text, not ''"),
        ('[run]\nassume_tz = "Mars/Olympus"', '[run] assume_tz must be a time zone, such as "UTC"'),
        ("[retention]\nhours = 1\nhours = 2", "not a TOML file: "),
        ("[retention", "not a TOML file: "),
    ],
)
def test_what_is_no_setting_ends_with_2_and_says_where_and_what_is_allowed(
    tmp_path: Path, text: str, must_say: str
) -> None:
    warehouse = warehouse_with(tmp_path, text)
    ran = costroll("run", write_jsonl(tmp_path / "a.jsonl", [chat("a")]), "--warehouse", warehouse)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"costroll: {warehouse}/costroll.toml: ")
    assert must_say in ran.err
    assert not (warehouse / "current").is_symlink()


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    warehouse_with(tmp_path, "")
    (tmp_path / "warehouse/costroll.toml").write_bytes(b"[run]\naccount = '\xff'")
    ran = costroll("run", tmp_path, "--warehouse", tmp_path / "warehouse")
    assert (ran.code, "not a TOML file" in ran.err) == (2, True)


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    ran = costroll("run", tmp_path, "--warehouse", tmp_path / "w", "--config", tmp_path / "nowhere.toml")
    assert (ran.code, ran.err) == (2, f"costroll: there is no settings file {tmp_path}/nowhere.toml\n")


def test_the_paths_of_a_run_start_at_the_settings_file_not_where_cron_stands(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "logs/a.jsonl", [chat("a")])
    write_jsonl(tmp_path / "more/b.jsonl", [chat("b")])
    warehouse = warehouse_with(tmp_path, f'[run]\ninputs = ["../logs", "{tmp_path}/more/*.jsonl"]')
    ran = costroll_process("--warehouse", warehouse, "run", cwd="/")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines()[-1].startswith("read 2 = accepted 2 + ")


def test_a_path_on_the_command_line_beats_the_file(tmp_path: Path) -> None:
    one = write_jsonl(tmp_path / "logs/a.jsonl", [chat("a")])
    write_jsonl(tmp_path / "logs/b.jsonl", [chat("b")])
    warehouse = warehouse_with(tmp_path, '[run]\ninputs = ["../logs"]')
    assert costroll("run", one, "--warehouse", warehouse).closure.startswith("read 1 = accepted 1 + ")


def test_without_any_path_a_run_says_where_to_put_one(tmp_path: Path) -> None:
    ran = costroll("run", "--warehouse", tmp_path / "w")
    assert ran.code == 2
    assert (
        ran.err == f"costroll: no PATH to read: name one, or list `inputs` under [run] in {tmp_path}/w/costroll.toml\n"
    )


def test_the_account_of_the_file_is_used_unless_an_option_says_another(tmp_path: Path) -> None:
    logs = write_jsonl(tmp_path / "a.jsonl", [chat("a")])
    settings = tmp_path / "settings.toml"
    settings.write_text('[run]\naccount = "acme"')

    def account_and_hash(warehouse: str, *options: str | Path) -> tuple[str, str]:
        assert costroll("run", logs, "--warehouse", tmp_path / warehouse, *options).code == 0
        said = costroll("sql", "SELECT account_id FROM usage", "--json", "--warehouse", tmp_path / warehouse)
        manifest = json.loads((tmp_path / warehouse / "current/MANIFEST.json").read_text())
        return json.loads(said.out)[0]["account_id"], manifest["settings_hash"]

    from_file = account_and_hash("one", "--config", settings)
    assert from_file[0] == "acme"
    assert account_and_hash("two", "--config", settings, "--account", "other")[0] == "other"
    # The settings' hash knows what was asked for, not where it was written.
    assert account_and_hash("three", "--account", "acme") == from_file


def test_the_environment_names_a_file_for_every_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSTROLL_CONFIG", str(tmp_path / "nowhere.toml"))
    assert costroll("run", tmp_path, "--warehouse", tmp_path / "w").code == 2


def test_a_file_that_may_not_be_read_is_a_fault_of_the_system_not_of_its_content(tmp_path: Path) -> None:
    warehouse = warehouse_with(tmp_path, "")
    os.symlink("ring.toml", warehouse / "ring.toml")
    ran = costroll("run", tmp_path, "--warehouse", warehouse, "--config", warehouse / "ring.toml")
    assert ran.code == 5


def test_every_section_is_shown_in_the_documentation() -> None:
    page = (Path(__file__).parent.parent / "docs/settings.md").read_text()
    assert [name for name in SECTIONS if f"## [{name}]" not in page] == []
