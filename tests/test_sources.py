"""Every source is what docs/adding-a-source.md says: short, without loops, told apart from all others, and priced."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
from nights import CHECKOUT, costroll, rows_of, write_jsonl

from etl.containers import Decided, entries
from etl.fates import EXCLUSIONS
from etl.json_values import Json, decode
from etl.meters import QUANTITY_COLUMNS
from etl.shapes import Shape, recognise
from etl.sources import SOURCES
from etl.sources.base import Source
from etl.times import NOTATIONS

# Not sources: what they are made of.
PARTS = {"__init__", "base", "marks", "paths", "tiers", "providers", "envelopes", "containers", "others"}
MODULES = sorted(path for path in (CHECKOUT / "etl/sources").glob("*.py") if path.stem not in PARTS)
LINES_MAX = 80
# Free, or counted by what the shipped card has no rates of: images, calls without a model, what Azure and AWS sell.
WITHOUT_RATES = {"openai_moderations", "azure_openai", "azure_apim", "bedrock", "bedrock_batch"}
WITHOUT_RATES |= {
    f"openai_usage_{endpoint}"
    for endpoint in (
        "moderations", "images", "code_interpreter_sessions", "file_searches", "web_searches",
    )
}  # fmt: skip
EACH = pytest.mark.parametrize("source", SOURCES, ids=[source.name for source in SOURCES])


def shapes_of(source: Source) -> set[Shape | None]:
    return {recognise(record).shape for record in records_of(source)}


def records_of(source: Source) -> list[Json]:
    lines = (decode(line) for line in source.example.splitlines())
    return [record for line in lines for record in entries(line) if not isinstance(record, Decided)]


@pytest.mark.parametrize("module", MODULES, ids=[module.stem for module in MODULES])
def test_a_source_is_short_and_has_no_loops(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    loops = [node.lineno for node in ast.walk(ast.parse(text)) if isinstance(node, ast.For | ast.While | ast.AsyncFor)]
    assert len(text.splitlines()) < LINES_MAX
    assert not loops
    assert len(ast.get_docstring(ast.parse(text)) or "") > 150, "says where its rules are from"


def test_every_module_is_asked() -> None:
    asked = {id(source) for source in SOURCES}
    for module in MODULES:
        found = importlib.import_module(f"etl.sources.{module.stem}")
        for source in getattr(found, "SOURCES", None) or (found.SOURCE,):
            assert source.name.startswith(module.stem.removesuffix("_others"))
            asked.remove(id(source))
    assert not asked


@EACH
def test_a_source_declares_what_exists(source: Source) -> None:
    columns = {column for column, _, _ in QUANTITY_COLUMNS}
    assert source.quantities.keys() <= columns
    assert source.excluded.keys() <= EXCLUSIONS.keys()
    assert source.required <= source.counts.keys()
    assert source.cumulative <= source.counts.keys()
    assert set(source.dimensions) <= source.literals.keys()
    assert source.instant is None or source.instant[1] in NOTATIONS
    assert {"model"} <= source.texts.keys() | (set() if source.kind == "request" else {"model"})
    assert source.kind in ("request", "aggregate")
    assert (source.until is not None) == (source.kind == "aggregate")
    assert source.cached in ("inside", "outside")


@EACH
def test_the_example_is_of_its_source_and_of_no_other(source: Source) -> None:
    if not source.example.startswith("{"):
        pytest.skip("a CSV")
    assert {shape and shape.source.name for shape in shapes_of(source)} == {source.name}
    for other in SOURCES:
        if other is not source:
            assert {recognise(record, other).shape for record in records_of(source)} == {None}, other.name


@EACH
def test_the_example_is_priced(source: Source, tmp_path: Path) -> None:
    name = "log.jsonl" if source.example.startswith("{") else "log.csv"
    log = write_jsonl(tmp_path / name, [source.example])

    ran = costroll("run", "--quiet", "--warehouse", tmp_path / "warehouse", log)

    rows = rows_of(tmp_path / "warehouse", "rollups", "price_status", "cost_usd")
    if source.name in WITHOUT_RATES:
        assert rows
        assert not any(status.startswith("priced") for status, _ in rows)
    else:
        assert ran.code == 0, ran.err
        assert any(status.startswith("priced") and cost > 0 for status, cost in rows)
    assert {row[0] for row in rows_of(tmp_path / "warehouse", "usage", "source")} == {source.name}


@EACH
def test_the_fast_reader_and_the_strict_one_read_the_example_alike(source: Source, tmp_path: Path) -> None:
    """A line that DuckDB cannot vouch for (a key that nobody reads, twice) is read again by the strict reader."""
    if not source.example.startswith("{"):
        pytest.skip("a CSV")
    doubled = "\n".join(line[:-1] + ',"unread_1":1,"unread_1":2}' for line in source.example.splitlines())
    columns = [column for column, _, _ in QUANTITY_COLUMNS]
    columns += ["request_id", "model", "tier", "provider", "prompt_tokens", "occurred_at", "content_hash"]
    found = []
    for name, lines in (("fast", [source.example]), ("strict", [doubled])):
        log = write_jsonl(tmp_path / f"{name}.jsonl", lines)
        costroll("run", "--quiet", "--warehouse", tmp_path / name, log)
        found.append(rows_of(tmp_path / name, "usage", *columns))
    assert found[0] == found[1]
    assert found[0]


def test_records_without_a_time_take_the_date_of_the_run_and_no_other(tmp_path: Path) -> None:
    bare = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5-20251001"}
    bare |= {"usage": {"input_tokens": 1_000_000, "output_tokens": 0}}
    dated = {"timestamp": "2025-11-21T10:00:00Z", "response": bare | {"id": "msg_2"}}
    log = write_jsonl(tmp_path / "log.jsonl", [bare, dated])

    without = costroll("run", "--quiet", "--warehouse", tmp_path / "without", log)
    assert "missing_timestamp 1 (first at line 1)" in without.err
    costroll("run", "--quiet", "--warehouse", tmp_path / "with", "--date", "2025-11-20", log)

    assert [str(row[0]) for row in rows_of(tmp_path / "with", "usage", "occurred_at")] == [
        "2025-11-20 00:00:00",
        "2025-11-21 10:00:00",
    ]


def test_a_session_that_has_grown_replaces_what_an_earlier_night_published(tmp_path: Path) -> None:
    """8 output tokens on Monday night, 412 when the message is complete; a shorter copy later changes nothing."""

    def line(output: int) -> dict[str, object]:
        usage = {"input_tokens": 4, "output_tokens": output}
        message = {"id": "msg_1", "role": "assistant", "model": "claude-haiku-4-5-20251001", "usage": usage}
        return {
            "type": "assistant",
            "sessionId": "s",
            "timestamp": f"2025-11-21T09:00:0{output % 10}Z",
            "message": message,
        }

    for night, outputs in enumerate(([8], [8, 412], [100])):
        log = write_jsonl(tmp_path / f"{night}.jsonl", [line(output) for output in outputs])
        assert costroll("run", "--quiet", "--warehouse", tmp_path / "warehouse", log).code == 0

    assert rows_of(tmp_path / "warehouse", "usage", "output_tokens") == [(412,)]
    assert (412,) in rows_of(tmp_path / "warehouse", "rollups", "quantity")


def test_what_a_stream_carries_over_crosses_the_borders_of_chunks(tmp_path: Path) -> None:
    """A message starts in one chunk of 16 MiB and ends in the next: its cached tokens are not lost."""
    message = {"id": "msg_1", "role": "assistant", "model": "claude-haiku-4-5-20251001"}
    message["usage"] = {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1}  # type: ignore[assignment]
    filler = {"type": "content_block_delta", "delta": {"text": "x" * 1_000_000}}
    delta = {"type": "message_delta", "usage": {"output_tokens": 7}}
    log = write_jsonl(tmp_path / "log.jsonl", [{"type": "message_start", "message": message}, *[filler] * 40, delta])

    ran = costroll("run", "--warehouse", tmp_path / "warehouse", "--date", "2025-11-21", log)

    assert ran.closure == "read 42 = accepted 1 + duplicate 1 + conflict 0 + excluded 40 + rejected 0"
    assert rows_of(tmp_path / "warehouse", "usage", "input_cached_tokens", "output_tokens") == [(5, 7)]


@pytest.mark.parametrize("data", [{}, "", 0, False])
def test_a_page_whose_results_are_no_list_is_rejected_and_never_nothing(data: object) -> None:
    assert list(entries({"object": "page", "data": data})) == [Decided("rejected", "invalid_field")]
