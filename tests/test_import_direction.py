"""Imports point one way: a module imports only from rooms below its own."""

from __future__ import annotations

import ast
from pathlib import Path

ETL = Path(__file__).parent.parent / "etl"

# From the ground up. A room is a module, or a folder whose modules may import one another only as listed in it.
ROOMS = [
    ["errors", "stopping", "messages", "streams", "sizes", "allocation"],
    ["meters", "identities", "macros"],
    ["schema", "fates"],
    ["durable", "engine"],
    ["mapping", "setting_kinds", "vocabularies"],
    ["cost_settings"],
    ["settings_file"],
    ["decompression"],
    ["framing"],
    ["preflight"],
    ["json_values", "json_texts", "secret_keys"],
    ["distinct"],
    ["lines", "inputs", "times", "content_hash", "spool", "usage_files"],
    ["day_candidates"],
    ["sources"],
    ["shapes", "containers", "cells"],
    ["documents", "unknown_keys"],
    ["statements"],
    ["chunk_query", "raw_rows", "instants"],
    ["carrying"],
    ["claims", "decoding"],
    ["json_lines", "judging"],
    ["estimates"],
    ["parts"],
    ["csv_rows", "document_reading"],
    ["cutting"],
    ["tasks"],
    ["quantities", "ledger"],
    ["rate_csv", "rate_offers", "model_facts", "fx"],
    ["rate_sources"],
    ["rate_card"],
    ["rate_plan", "rating"],
    ["rate_checks", "rate_lookup", "rate_versions", "rate_updates", "rate_timeline", "contracts"],
    ["manifest", "audit"],
    ["periods"],
    ["corrections"],
    ["rate_moves"],
    ["snapshot_builder"],
    ["warehouse"],
    ["alerts"],
    ["run_report"],
    ["last_run"],
    ["reading", "history", "inputs_table"],
    ["expired_days", "ledger_rows"],
    ["places", "intake", "settlement", "healing", "booking", "recall"],
    ["quarantine"],
    ["catalogue", "statement_filter"],
    ["readings"],
    ["analyst", "verify", "evidence", "reconciling", "explaining", "kept", "rate_gaps", "damage"],
    ["sharing", "spreadsheets"],
    ["attribution", "forecasting"],
    ["budgets", "export_files"],
    ["exporting"],
    ["migrating", "rate_publishing"],
    ["metrics", "expiring"],
    ["pipeline", "rolling_back", "collecting", "closing", "repricing"],
    ["backfill"],
    ["display"],
    ["html_page"],
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
