"""The demo runs from anywhere, ends well, prints what the README shows, and leaves what is not its own alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHOWN_WAREHOUSE = "warehouse/demo"
COMMANDS = ["run", "report", "run", "report", "sql", "explain", "reconcile", "verify"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder whose name needs quotes; beside it stands a folder `bin` with `costroll`."""
    base = tmp_path_factory.mktemp("demo")
    (base / "bin").mkdir()
    shim = base / "bin/costroll"
    shim.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m etl "$@"\n', encoding="utf-8")
    shim.chmod(0o755)
    (base / "it's a folder").mkdir()
    return base / "it's a folder"


def demo(folder: Path, warehouse: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COSTROLL_")}
    environment["PATH"] = f"{folder.parent / 'bin'}{os.pathsep}{environment['PATH']}"
    command = ["sh", str(ROOT / "sample_logs/demo.sh"), warehouse]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def ran(folder: Path) -> subprocess.CompletedProcess[str]:
    return demo(folder, "warehouse")


def shown(text: str) -> str:
    """What does not differ from run to run: manifests name the host and the time, so their sizes do."""
    return re.sub(r"[\d,]+ bytes", "N bytes", text).strip()


def test_it_ends_well_and_shows_every_step(ran: subprocess.CompletedProcess[str]) -> None:
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.findall(r"^\$ costroll (\w+)", ran.stdout, re.MULTILINE) == COMMANDS
    assert ran.stderr == ""


def test_it_prints_what_the_readme_shows(folder: Path, ran: subprocess.CompletedProcess[str]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- demo:begin -->(.*)<!-- demo:end -->", readme, re.DOTALL)

    assert block is not None, "README.md has no block between <!-- demo:begin --> and <!-- demo:end -->"
    fenced = re.search(r"^```[a-z]*\n(.*?)^```$", block[1], re.DOTALL | re.MULTILINE)
    assert fenced is not None, "the demo's block in README.md is not fenced"
    printed = ran.stdout.replace(str(folder.resolve() / "warehouse"), SHOWN_WAREHOUSE)
    assert shown(fenced[1]) == shown(printed)


def test_it_writes_nothing_beside_its_warehouse(folder: Path, ran: subprocess.CompletedProcess[str]) -> None:
    assert ran.returncode == 0
    assert [path.name for path in folder.iterdir()] == ["warehouse"]


def test_it_replaces_an_earlier_demo_and_fails_when_a_command_ends_otherwise(tmp_path: Path) -> None:
    (tmp_path / "folder/warehouse").mkdir(parents=True)
    (tmp_path / "folder/warehouse/.demo").touch()
    (tmp_path / "folder/warehouse/old").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/costroll").write_text("#!/bin/sh\nexit 6\n", encoding="utf-8")
    (tmp_path / "bin/costroll").chmod(0o755)

    stopped = demo(tmp_path / "folder", "warehouse")

    assert stopped.returncode == 1
    assert stopped.stderr == "demo: this ended with 6, where 3 was expected: costroll run sample_logs/logs\n"
    assert not (tmp_path / "folder/warehouse/old").exists()


@pytest.mark.parametrize("name", ["notes.txt", "current"])
def test_it_leaves_a_folder_that_is_not_its_own_alone(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()

    refused = demo(folder, str(tmp_path))

    assert refused.returncode == 1
    assert "give a new folder" in refused.stderr
    assert (tmp_path / name).exists()
