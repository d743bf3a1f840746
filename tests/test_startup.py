"""What a command imports before it can answer: a person waits for that each time, and a monitor calls every minute."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.nights import CHECKOUT
from tests.small_warehouse import publish_first_night

SLOW = {"duckdb", "polars", "pyarrow", "numpy", "fsspec", "zstandard", "tiktoken"}
_SCRIPT = """
import json, sys
from etl.cli import exit_code_of
code = exit_code_of(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("command", "imported"),
    [
        (["--help"], set()),
        (["run", "--help"], set()),
        (["path"], set()),
        (["status"], {"duckdb"}),
        (["sql", "select day from rollups"], {"duckdb"}),
        (["sql", "show tables"], {"duckdb"}),
        (["report"], {"duckdb"}),
        (["explain", "--day", "2026-11-20"], {"duckdb"}),
    ],
)
def test_a_command_imports_what_it_uses(tmp_path: Path, command: list[str], imported: set[str]) -> None:
    publish_first_night(tmp_path)
    arguments = [*command, "--warehouse", str(tmp_path)] if "--help" not in command else command

    ran = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )

    # DuckDB's binding may complain of its own objects when the interpreter ends, which `main` never lets happen.
    code, modules = json.loads(ran.stderr.splitlines()[0])
    assert (code, SLOW & set(modules)) == (0, imported)
