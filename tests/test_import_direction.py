"""Imports point one way: a module imports only from rooms below its own."""

from __future__ import annotations

import ast
from pathlib import Path

ETL = Path(__file__).parent.parent / "etl"

# From the ground up. A room is a module, or a folder whose modules may import one another only as listed in it.
ROOMS = [
    ["errors"],
    ["meters"],
    ["schema", "fates"],
    ["durable", "engine"],
    ["decompression"],
    ["framing"],
    ["lines", "inputs", "documents", "times", "content_hash", "spool"],
    ["sources", "statements"],
    ["shapes"],
    ["chunk_query", "raw_rows"],
    ["decoding"],
    ["json_lines", "judging"],
    ["csv_rows"],
    ["quantities", "ledger"],
    ["rate_csv"],
    ["rate_card"],
    ["rate_checks", "rate_lookup", "rating"],
    ["manifest", "audit"],
    ["snapshot_builder"],
    ["warehouse"],
    ["run_report"],
    ["reading"],
    ["places", "intake", "settlement"],
    ["catalogue", "statement_filter"],
    ["analyst", "verify", "reconciling", "explaining"],
    ["pipeline"],
    ["display"],
    ["commands"],
    ["cli"],
    ["__main__"],
]
HEIGHT = {room: height for height, rooms in enumerate(ROOMS) for room in rooms}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def imports_of(path: Path) -> list[tuple[str, int]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names if alias.name.startswith("etl.")]
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "etl":
            names = [node.module] if "." in node.module else [f"etl.{alias.name}" for alias in node.names]
            found += [(name, node.lineno) for name in names if name != "etl.__version__"]
    return found


def test_every_module_has_its_room() -> None:
    rooms = {path.relative_to(ETL).parts[0].removesuffix(".py") for path in ETL.rglob("*.py")}
    assert rooms - {"__init__"} == HEIGHT.keys()


def test_imports_point_down() -> None:
    upwards = [
        f"{path.relative_to(ETL.parent)}:{line} imports {module}"
        for path in ETL.rglob("*.py")
        for module, line in imports_of(path)
        if path.name != "__init__.py" or path.parent != ETL
        if HEIGHT[room_of(module)] > HEIGHT[path.relative_to(ETL).parts[0].removesuffix(".py")]
    ]
    assert not upwards, "\n".join(upwards)


def test_no_source_knows_the_commands_or_another_providers_words() -> None:
    """`if provider ==` belongs into a source; behind it, nobody asks."""
    asking = [
        f"{path.name}:{number}"
        for path in ETL.rglob("*.py")
        if path.parent.name not in ("sources", "statements")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "if provider ==" in line or 'provider == "' in line
    ]
    assert not asking, asking
