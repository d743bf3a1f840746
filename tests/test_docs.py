"""The documentation says what the program does: commands, options, codes, columns, formats and links."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

from etl import fates, pipeline
from etl.cli import COMMANDS, cli
from etl.run_report import Options
from etl.sources import SOURCES
from etl.sources.base import Source

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "sql/*.md", "sample_logs/*.md") for path in ROOT.glob(pattern)
)


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """docs/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("generate_docs", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def commands(group: click.Group, words: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    """Every command below a group, groups included, by its words."""
    context = click.Context(group)
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found.append(((*words, name), command))
        if isinstance(command, click.Group):
            found += commands(command, (*words, name))
    return found


ALL_COMMANDS = commands(cli)
BY_NAME = pytest.mark.parametrize(
    ("words", "command"), ALL_COMMANDS, ids=[" ".join(words) for words, _ in ALL_COMMANDS]
)


def section(text: str, words: tuple[str, ...]) -> str:
    """What stands under the heading of a command, up to the next one."""
    heading = re.search(rf"^##+ {' '.join(words)}$", text, re.MULTILINE)
    assert heading, f"docs/commands.md has no section `{' '.join(words)}`"
    following = re.search(r"^##+ ", text[heading.end() :], re.MULTILINE)
    return text[heading.end() :][: following.start() if following else None]


def test_generated_parts_are_up_to_date(generate: ModuleType) -> None:
    stale = [path.name for path, text, wanted in generate.pages() if text != wanted]
    assert stale == [], "run: python docs/generate.py"


def test_every_table_view_and_reason_has_its_part(generate: ModuleType) -> None:
    asked_for = set(re.findall(r"<!-- generated: (.+?) -->", "".join(page(path.name) for path in DOCS.glob("*.md"))))
    assert set(generate.parts()) == asked_for


@BY_NAME
def test_a_command_has_help_with_an_example(words: tuple[str, ...], command: click.Command) -> None:
    assert command.help is not None
    example = command.help.partition("Example:")[2]
    assert f"costroll {' '.join(words)}" in example or f"$(costroll {' '.join(words)})" in example


@BY_NAME
def test_a_command_and_its_options_are_documented(words: tuple[str, ...], command: click.Command) -> None:
    text = section(page("commands.md"), words)
    everywhere = section(page("commands.md"), ("For", "all", "commands"))
    options = [name for option in command.params if isinstance(option, click.Option) for name in option.opts]
    missing = [name for name in options if f"`{name}" not in text and f"`{name}" not in everywhere]
    assert missing == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_links_to_each(name: str) -> None:
    assert f"(#{name})" in page("commands.md")


def test_each_exit_code_of_an_error_is_documented() -> None:
    from etl import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")]
    table = section(page("commands.md"), ("Exit", "codes"))
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    assert {kind.exit_code for kind in kinds} | {0, 3, 7, 8} == documented


@pytest.mark.parametrize(
    "code",
    sorted({*fates.EXCLUSIONS, *fates.REJECTIONS, *fates.CONFLICTS, *fates.DUPLICATES, *fates.REFUSALS}),
)
def test_a_reason_code_is_explained(code: str) -> None:
    assert f"| `{code}` |" in page("fates.md").partition("## Reason codes")[2]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_a_format_is_shown_with_its_example(source: Source) -> None:
    assert f"### `{source.name}`" in page("formats.md")
    assert f"\n{source.example}\n```" in page("formats.md")


def test_every_example_in_the_formats_page_is_read(tmp_path: Path) -> None:
    examples = re.findall(r"^```(jsonl|csv)\n(.*?)^```$", page("formats.md"), re.DOTALL | re.MULTILINE)
    assert len(examples) > len(SOURCES)
    for number, (ending, text) in enumerate(examples):
        # Each format shows its own request, so that none of them is a duplicate of another.
        (tmp_path / f"{number}.{ending}").write_text(text, encoding="utf-8")

    report = pipeline.run([str(tmp_path)], tmp_path / "warehouse", Options(account="acme"))

    assert [found.name for found in report.inputs if found.refusal or found.counts.rejected] == []
    assert report.counts.conflict == 0
    assert report.counts.accepted + report.counts.excluded == report.counts.read >= len(examples)
    # The shipped card has no rates of Azure (1,500 + 60 and 420 + 60) and of Bedrock
    # (120 + 8,000 + 1,200 + 300 and 400 + 20).
    assert report.unpriced == {"unpriced_unknown_model": 12_080}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    broken = []
    for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        if "://" in target:
            continue
        leads_to = path if not name else (path.parent / name).resolve()
        if not leads_to.exists() or (anchor and anchor not in anchors(leads_to)):
            broken.append(target)
    assert broken == []


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as they are made from their text."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_commands_of_the_readme_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    made = re.findall(r"^    make ([a-z-]+)$", readme, re.MULTILINE)
    assert made == ["demo", "test"]
    assert set(made) <= set(targets)
    named = re.findall(r"costroll ([a-z]+)", re.sub(r"<!-- demo:begin -->.*", "", readme, flags=re.DOTALL))
    assert set(named) <= set(COMMANDS)


def test_the_decisions_are_short_and_say_context_decision_and_consequences() -> None:
    decisions = sorted((DOCS / "decisions").glob("*.md"))
    assert [path.name[:4] for path in decisions] == [f"{number + 1:04d}" for number in range(len(decisions))]
    for path in decisions:
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"], path.name
        assert len(text.splitlines()) <= 30, path.name
