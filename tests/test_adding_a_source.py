"""docs/adding-a-source.md does what it says: its module, added to the list, reads its log and prints what it shows."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from nights import CHECKOUT, costroll_process

from etl.sources.base import Source
from etl.times import NOTATIONS

PAGE = (CHECKOUT / "docs/adding-a-source.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    found = re.search(rf"<!-- example: {name} -->\n```\w*\n(.*?)```", PAGE, re.DOTALL)
    assert found, name
    return found[1]


def test_the_worked_example_works(tmp_path: Path) -> None:
    package = tmp_path / "etl"
    shutil.copytree(CHECKOUT / "etl", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(CHECKOUT / "sql", tmp_path / "sql")
    (package / "sources/acme_gateway.py").write_text(block("source"))
    listed = (package / "sources/__init__.py").read_text()
    listed = listed.replace("    anthropic_messages,\n", "    acme_gateway,\n    anthropic_messages,\n", 1)
    listed = listed.replace("    plain.SOURCE,\n", "    acme_gateway.SOURCE,\n    plain.SOURCE,\n", 1)
    (package / "sources/__init__.py").write_text(listed)
    (tmp_path / "acme.jsonl").write_text(block("log"))

    ran = costroll_process("run", "acme.jsonl", env={"PYTHONPATH": str(tmp_path)}, cwd=tmp_path)

    assert ran.stdout.splitlines()[-2:] == block("output").splitlines()
    assert "parts_exceed_whole 1 (first at line 3)" in ran.stderr
    assert len(block("source").splitlines()) < 80


def test_the_page_names_only_what_a_source_can_say() -> None:
    table = PAGE.partition("## What a declaration can say")[2].partition("## Notations")[0]
    named = set(re.findall(r"\b([a-z_]+)=", table)) - {"has", "any_of", "lacks", "where", "modality"}
    assert named <= set(Source.__dataclass_fields__)
    told = {"name", "title", "example", "texts", "counts", "quantities", "usage", "required", "literals"}
    untold = set(Source.__dataclass_fields__) - told - set(re.findall(r"\w+", PAGE))
    assert untold == set()
    assert all(f"`{name}`" in PAGE for name in NOTATIONS)
