"""The commands of docs/nightly.md are run, and its tables name what there is."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from etl.settings_file import load
from tests.nights import CHECKOUT, chat, costroll, write_jsonl

PAGE = (CHECKOUT / "docs/nightly.md").read_text()
BLOCKS = re.findall(r"^```([a-z]*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def blocks(kind: str) -> list[str]:
    return [text for language, text in BLOCKS if language == kind]


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A machine as the page assumes it, below one folder."""
    (tmp_path / "bin").mkdir()
    shim = tmp_path / "bin/costroll"
    shim.write_text(f'#!/bin/sh\nPYTHONPATH="{CHECKOUT}" exec "{sys.executable}" -m etl "$@"\n')
    shim.chmod(0o755)
    write_jsonl(tmp_path / "var/log/llm/2025-11/a.jsonl", [chat("a")])
    (tmp_path / "var/lib/costroll").mkdir(parents=True)
    (tmp_path / "var/lib/node_exporter").mkdir()
    (tmp_path / "var/lib/costroll/costroll.toml").write_text(blocks("toml")[0].replace("/var", f"{tmp_path}/var"))
    return tmp_path


def as_cron(host: Path, line: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a line as cron does: /bin/sh, hardly any environment, no terminal."""
    line = line.replace("/var/", f"{host}/var/").replace("/usr/local/bin/", "")
    bare = {"PATH": f"{host}/bin:/usr/bin:/bin", "HOME": "/", "COSTROLL_WAREHOUSE": f"{host}/var/lib/costroll"}
    return subprocess.run(
        ["/bin/sh", "-c", line], cwd="/", env=bare | env, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_lines_of_the_crontab_do_what_the_page_says(host: Path) -> None:
    nightly, watch = (line.split(None, 5)[5] for line in blocks("crontab")[0].splitlines() if line[0].isdigit())
    refused = as_cron(host, nightly)
    assert (refused.returncode, "--must-exist" in refused.stderr) == (2, True)
    assert as_cron(host, "costroll run").returncode == 0  # by hand, the first time
    write_jsonl(host / "var/log/llm/2025-11/b.jsonl", [chat("b")])
    good = as_cron(host, nightly)
    assert (good.returncode, good.stdout, good.stderr) == (0, "", "")
    write_jsonl(host / "var/log/llm/2025-11/c.jsonl", ["{"])
    bad = as_cron(host, nightly)
    assert (bad.returncode, "needs attention: 1 rejected record" in bad.stderr) == (3, True)
    # The log is of an old day, so the switch speaks; and says nothing else that would be mailed.
    late = as_cron(host, watch)
    assert (late.returncode, late.stdout) == (3, "")
    assert re.fullmatch(r"needs attention: [^\n]* without data\n", late.stderr)


def test_the_command_of_the_service_runs_in_its_environment(host: Path) -> None:
    service = configparser.ConfigParser(interpolation=None)
    service.optionxform = str  # type: ignore[assignment,method-assign]
    service.read_string(blocks("ini")[0])
    assert costroll("run", host / "var/log/llm", "--warehouse", host / "var/lib/costroll").code == 0
    environment = dict(item.split("=") for item in service["Service"]["Environment"].split())
    environment["COSTROLL_WAREHOUSE"] = str(host) + environment["COSTROLL_WAREHOUSE"]
    ran = as_cron(host, service["Service"]["ExecStart"], **environment)
    assert (ran.returncode, ran.stderr) == (0, "")
    metrics = (host / "var/lib/node_exporter/costroll.prom").read_text()
    named = set(re.findall(r"`(costroll_[a-z_]+)", PAGE))
    written = set(re.findall(r"^# TYPE (\S+)", metrics, re.MULTILINE))
    assert written <= named
    assert named - written == {"costroll_last_run_attention"}  # there was nothing


def test_the_command_for_a_year_runs_and_goes_on(host: Path) -> None:
    (command,) = (text for text in blocks("sh") if "--commit-every" in text)
    assert "published snapshot" in as_cron(host, command).stdout
    assert "nothing new to publish" in as_cron(host, command).stdout


def test_the_folder_to_copy_is_the_snapshots(host: Path) -> None:
    assert as_cron(host, "costroll run").returncode == 0
    (copy,) = (text for text in blocks("sh") if text.startswith("aws "))
    (host / "bin/aws").write_text('#!/bin/sh\necho "$4" "$5"\n')
    (host / "bin/aws").chmod(0o755)
    found = as_cron(host, copy).stdout.split()
    assert found == [os.path.realpath(host / "var/lib/costroll/current"), "s3://finance/llm-costs/00000001"]


def test_the_settings_on_the_pages_are_valid(tmp_path: Path) -> None:
    pages = [PAGE, (CHECKOUT / "docs/settings.md").read_text()]
    for text in (
        text for page in pages for text in re.findall(r"^```toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    ):
        (tmp_path / "costroll.toml").write_text(text)
        load(tmp_path, None)
        assert tomllib.loads(text)


def test_every_exit_code_has_its_line() -> None:
    codes = set(re.findall(r"^\| (\d[^|]*?) \|", PAGE, re.MULTILINE))
    assert codes == {"0", "1", "2", "3", "4", "5", "6", "9", "128 + n"}
