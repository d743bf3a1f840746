"""`costroll sql` answers from one pinned snapshot, and refuses everything that could write or read elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import duckdb
import pytest
from click.testing import CliRunner, Result

from etl import analyst, display, engine
from etl.commands import options, path, sql, status, verify
from etl.errors import StorageError, UsageError
from etl.manifest import Snapshot
from etl.schema import TABLES
from etl.warehouse import Warehouse
from tests.nights import chat, costroll, write_jsonl
from tests.small_warehouse import publish_first_night, publish_late_record


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse of two snapshots, in a folder whose name needs care in SQL."""
    folder = tmp_path_factory.mktemp("it's") / "day=x [1]" / "warehouse"
    publish_first_night(folder)
    publish_late_record(folder)
    return folder


@pytest.fixture(scope="module")
def snapshot(root: Path) -> Snapshot:
    """Its published snapshot."""
    found = Warehouse(root).current()
    assert found is not None
    return found


def ask(snapshot: Snapshot, text: str, timeout: float = 60) -> list[tuple[object, ...]]:
    """The rows a query gives."""
    return list(analyst.query(snapshot, text, timeout=timeout, threads=1).rows)


@click.group()
@options.shared_options
@click.pass_context
def group(context: click.Context, **given: Any) -> None:
    """Stand in for the real group, which does the same."""
    context.obj = options.settings_from(**given)


for module in (path, sql, status, verify):
    group.add_command(module.command)


def run(*arguments: str, stdin: str | None = None) -> Result:
    """Run a command through the group."""
    return CliRunner().invoke(group, list(arguments), input=stdin)


def test_sums_are_exact(snapshot: Snapshot) -> None:
    assert ask(snapshot, "select sum(cost_usd), sum(quantity) from rollups") == [(Decimal("0.003327500000"), 1273)]


@pytest.mark.parametrize(
    "text",
    [
        "from rollups",
        "with x as (select 1 as a) select a from x",
        "values (1)",
        "show tables",
        "describe usage",
        "summarize rollups",
        "explain select * from usage",
        "explain analyze select * from usage",
        "explain (format json) select 1",
        "explain (select 1)",
        "/* a */ explain -- b\n select 1;",
        "with recursive t as (select 1 as a union all select a + 1 from t where a < 3) select * from t",
        "pivot rollups on meter in ('input', 'output') using sum(quantity)",
        "select 'COPY_QUERY_NODE; copy x to y' as text",
        "select $$ ; drop view rollups; $$ -- ; copy rollups to 'x'",
        "select $tag$ '; attach 'x'; -- $tag$ /* ; checkpoint */;;",
        "from rollups select day limit 1",
        "unpivot (select 1 as a, 2 as b) on a, b",
        "select * from duckdb_columns()",
        "select * from charges_between(date '2026-11-20', date '2026-11-21')",
    ],
)
def test_statements_that_read_are_run(snapshot: Snapshot, text: str) -> None:
    assert ask(snapshot, text)


REFUSED = [
    "copy rollups to '{file}'",
    "copy (select 1) to 'stolen.csv'",
    "with x as (copy (select 7 as a) to '{file}' (use_tmp_file false)) select 1",
    "with x as (copy (select 7 as a) to '{file}' (use_tmp_file false)) select 1 union all select 2",
    "explain analyze with x as (copy (select 7 as a) to '{file}' (use_tmp_file false)) select 1",
    "explain analyze copy rollups to '{file}'",
    "from json_execute_serialized_sql(json_serialize_sql('with x as (copy (select 7) to ''{file}'') select 1'))",
    "from JSON_Execute_Serialized_SQL('x')",
    "from query('select 1')",
    "attach 'other.duckdb'",
    "detach memory",
    "set threads = 1",
    "set enable_external_access = true",
    "reset threads",
    "use memory",
    "pragma database_list",
    "call pragma_version()",
    "load json",
    "install httpfs",
    "export database 'x'",
    "create table x as select 1",
    "create view rollups as select 1",
    "insert into days values ('2026-01-01', 1)",
    "with x as (insert into days values ('2026-01-01', 1) returning *) select * from x",
    "delete from days",
    "drop view rollups",
    "begin",
    "prepare x as select 1",
    "checkpoint",
    "select 1; select 2",
    "select 1; copy rollups to '{file}'",
    "",
    " -- only a comment",
    "pivot rollups on meter using sum(quantity)",
    "from enable_logging()",
    "select write_log('x')",
    # One level down, and where a query may stand in another.
    "with x as (with y as (copy (select 1) to '{file}') select * from y) select * from x",
    "select * from (with y as (copy (select 1) to '{file}') select * from y)",
    "describe (with x as (copy (select 1) to '{file}') select * from x)",
    "summarize from read_text('/etc/passwd')",
    "select (select content from read_text('/etc/passwd'))",
    "select * from rollups order by (select count(*) from glob('/etc/*'))",
    "from query('copy (select 1) to ''{file}''')",
    "from query_table('rollups')",
    "from sniff_csv('/etc/passwd')",
    "from read_blob('/etc/passwd')",
    # Other ways to run, to change or to reach something.
    "execute x",
    "set variable x = 1",
    "select set_config('memory_limit', '1TB', false)",
    "pragma enable_profiling",
    "import database 'x'",
    "create macro m() as 1",
    "create secret (type s3, key_id 'x')",
    "comment on view rollups is 'x'",
    "merge into days using (select 1) on true when matched then delete",
    "truncate days",
    "vacuum",
    "from force_checkpoint('memory')",
    "from duckdb_secrets()",
    "from which_secret('s3://x', 's3')",
    "from arrow_scan(1, 2, 3)",
    "from python_map_function(1)",
    "from postgres_scan('a', 'b', 'c')",
    "from iceberg_scan('/etc')",
]


@pytest.mark.parametrize("text", REFUSED)
def test_statements_that_could_write_are_refused(snapshot: Snapshot, text: str) -> None:
    file = snapshot.files("rollups")[0]
    before = file.read_bytes()

    with pytest.raises(UsageError, match="is run here"):
        ask(snapshot, text.replace("{file}", str(file).replace("'", "''")))
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "text",
    [
        "select * from read_parquet('{other}')",
        "select * from '{other}'",
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('/etc/passwd')",
        "select * from glob('/*')",
        "select * from parquet_schema('{other}')",
        "from read_parquet('{other}/../*.parquet')",
        "from parquet_metadata('{other}')",
        "from 'https://127.0.0.1/x.parquet'",
        "from read_parquet('s3://bucket/x.parquet')",
        "select getenv('HOME')",
    ],
)
def test_other_files_are_not_read(snapshot: Snapshot, tmp_path: Path, text: str) -> None:
    other = tmp_path / "other.parquet"
    duckdb.sql("select 1 as secret").write_parquet(str(other))

    with pytest.raises(UsageError):
        ask(snapshot, text.replace("{other}", str(other)))


def test_a_file_of_an_older_snapshot_is_another_file(root: Path, snapshot: Snapshot) -> None:
    older = str(Warehouse(root).snapshot(1).path / "rollups/2026-11-21.parquet").replace("'", "''")

    with pytest.raises(UsageError, match="no other file"):
        ask(snapshot, f"select * from read_parquet('{older}')")


def test_python_variables_cannot_be_queried(snapshot: Snapshot) -> None:
    secret = duckdb.sql("select 1 as a").to_arrow_table()

    assert secret.num_rows == 1
    with pytest.raises(UsageError, match="secret"):
        ask(snapshot, "select * from secret")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("selec 1", "syntax error"),
        ("select foo from rollups", '"foo" not found'),
        ("select * from nowhere", "nowhere"),
        ("select 'x'::int", "convert"),
        ("select current_timestamp", "cast it"),
    ],
)
def test_a_wrong_query_gets_one_line(snapshot: Snapshot, text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        ask(snapshot, text)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_query_that_takes_too_long_is_stopped(snapshot: Snapshot) -> None:
    with pytest.raises(UsageError, match=r"stopped after 0.2 s"):
        ask(snapshot, "select count(*) from range(10000000000) as a, range(1000) as b", timeout=0.2)


@pytest.mark.parametrize(
    "text",
    [
        "select sleep_ms(20000)",
        "with recursive t as (select 1 as n union all select n + 1 from t) select max(n) from t",
    ],
)
def test_neither_sleep_nor_recursion_outlives_the_time(snapshot: Snapshot, text: str) -> None:
    with pytest.raises(UsageError, match=r"stopped after 0.1 s"):
        ask(snapshot, text, timeout=0.1)


def test_too_much_memory_is_refused_in_one_line(snapshot: Snapshot) -> None:
    with pytest.raises(UsageError, match="not enough memory; ask for less, or raise --memory-limit"):
        list(analyst.query(snapshot, "select list(range) from range(100000000)", memory_limit="100MB").rows)


def test_limits_and_locks_are_in_force_without_being_asked_for(snapshot: Snapshot) -> None:
    settings = {str(name): value for name, value in ask(snapshot, "select name, value from duckdb_settings()")}

    closed = ("enable_external_access", "allow_community_extensions", "autoload_known_extensions")
    closed += ("autoinstall_known_extensions", "python_enable_replacements", "allow_unsigned_extensions")
    assert {name: settings[name] for name in closed} == dict.fromkeys(closed, "false")
    assert (settings["lock_configuration"], settings["temp_directory"]) == ("true", "")
    assert settings["allowed_directories"] == "[]"
    assert str(settings["memory_limit"]).endswith("iB")


@pytest.mark.parametrize(
    ("pages", "group", "limit"),
    [
        (1 << 19, "max", "1024MiB"),  # of 4 KiB: 2 GiB
        (1 << 21, "max", "4096MiB"),  # 8 GiB: just at the most
        (1 << 24, "max", "4096MiB"),
        (1 << 24, "1073741824", "512MiB"),  # a container of 1 GiB on a machine of 64
        (1 << 24, None, "4096MiB"),
    ],
)
def test_a_query_may_take_half_of_the_memory_and_4_gib_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pages: int, group: str | None, limit: str
) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": pages}.__getitem__)
    monkeypatch.setattr(engine, "_CONTROL_GROUP", tmp_path / "memory.max")
    if group:
        (tmp_path / "memory.max").write_text(group + "\n")
    assert engine.half_of_memory() == limit


def test_a_snapshot_stays_the_same_while_the_next_is_published(tmp_path: Path) -> None:
    pinned = publish_first_night(tmp_path)
    publish_late_record(tmp_path)

    assert ask(pinned, "select count(*) from usage") == [(3,)]
    assert ask(pinned, "select snapshot from runs") == [(1,)]


def test_a_pinned_file_that_is_gone_is_a_storage_error(tmp_path: Path) -> None:
    pinned = publish_first_night(tmp_path)
    pinned.files("rollups")[0].unlink()

    with pytest.raises(StorageError, match="costroll verify"):
        ask(pinned, "select count(*), sum(quantity) from rollups")


def test_runs_of_many_snapshots_needs_little_memory(tmp_path: Path) -> None:
    """DuckDB reads several files at a time and takes, for each, twice the largest that it is told to expect."""
    for number in range(4):
        log = write_jsonl(tmp_path / f"{number}.jsonl", [chat(str(number))])
        assert costroll("run", log, "--warehouse", tmp_path / "w").code == 0

    ran = costroll("sql", "select count(*) from runs", "--memory-limit", "300MB", "--warehouse", tmp_path / "w")

    assert (ran.code, ran.out.split()[-1]) == (0, "4"), ran


def test_runs_lists_every_snapshot(snapshot: Snapshot) -> None:
    rows = ask(snapshot, "select snapshot, read, accepted, rejected, records, cost_usd from runs")

    assert rows == [
        (1, 4, 3, 1, 3, Decimal("0.003305000000")),
        (2, None, None, None, 4, Decimal("0.003327500000")),
    ]


def test_a_table_without_files_is_an_empty_view_with_its_columns(snapshot: Snapshot) -> None:
    assert snapshot.files("rates") == []
    assert ask(snapshot, "select * from rates_history") == []
    names = [row[0] for row in ask(snapshot, "describe rates_history")]
    assert names == [column.name for column in TABLES["rates"]]


def test_the_database_has_the_same_views_and_documents_every_column(root: Path, snapshot: Snapshot) -> None:
    analyst.build_database(Warehouse(root))
    with duckdb.connect(str(root / "costroll.duckdb"), read_only=True) as con:
        names = {row[0] for row in con.execute("show tables").fetchall()}
        bare = "select table_name, column_name from duckdb_columns() where not internal and comment is null"
        undocumented = con.execute(bare).fetchall()
        total = con.execute("select sum(cost_usd) from rollups").fetchone()

    assert {"rollups", "usage", "rejects", "inputs", "rates", "rates_history", "runs"} <= names
    assert names == {row[0] for row in ask(snapshot, "show tables")}
    assert undocumented == []
    assert total == (Decimal("0.003327500000"),)


READ = """
import sys, duckdb
with duckdb.connect(sys.argv[1], read_only=True) as con:
    print(con.execute("select count(*) from rates_history").fetchone()[0], flush=True)
    sys.stdin.read()
    print(con.execute("select count(*) from rates_history").fetchone()[0], flush=True)
"""


def test_the_database_is_replaced_while_an_analyst_reads_the_old_one(tmp_path: Path) -> None:
    publish_first_night(tmp_path)
    analyst.build_database(Warehouse(tmp_path))
    file = tmp_path / "costroll.duckdb"
    reader = subprocess.Popen(
        [sys.executable, "-c", READ, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "0\n"
        # DuckDB refuses to open a file beside the write-ahead log of another one.
        (tmp_path / "costroll.duckdb.wal").write_bytes(b"of a session that died")
        publish_late_record(tmp_path)
        analyst.build_database(Warehouse(tmp_path))
        rest, _ = reader.communicate("")

    assert rest == "0\n"
    assert sorted(found.name for found in tmp_path.glob("*costroll*")) == ["costroll.duckdb"]
    with duckdb.connect(str(file), read_only=True) as fresh:
        assert fresh.execute("select count(*) from usage").fetchone() == (4,)


def test_a_database_that_cannot_be_built_does_not_undo_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise duckdb.IOException("no space left")

    publish_first_night(tmp_path)
    analyst.build_database(Warehouse(tmp_path))
    before = (tmp_path / "costroll.duckdb").read_bytes()
    publish_late_record(tmp_path)
    monkeypatch.setattr(analyst.catalogue, "create", fail)

    with pytest.raises(StorageError, match=r"snapshot 2 is published, but .* could not be rebuilt: no space left"):
        analyst.build_database(Warehouse(tmp_path))
    assert (tmp_path / "costroll.duckdb").read_bytes() == before
    assert ((Warehouse(tmp_path).current()) or pytest.fail()).number == 2


def test_the_command_prints_a_table_with_aligned_numbers(root: Path) -> None:
    result = run(
        "--warehouse",
        str(root),
        "sql",
        "select meter, sum(quantity) as quantity, sum(cost_usd) as cost_usd from rollups group by 1 order by 1",
    )

    assert result.stdout.splitlines() == [
        "meter     quantity   cost_usd",
        "--------  --------  ---------",
        "input        1,215  0.0027875",
        "output          54  0.0005400",
        "requests         4  0.0000000",
    ]


def test_the_command_prints_csv_with_every_digit(root: Path) -> None:
    text = "select day, tier, cost_usd, account_id from rollups where meter = 'output' order by day"
    result = run("sql", text, "--format", "csv", "--warehouse", str(root))

    assert result.stdout.splitlines() == [
        "day,tier,cost_usd,account_id",
        "2026-11-20,standard,0.000500000000,",
        "2026-11-21,standard,0.000040000000,",
    ]


@pytest.mark.parametrize(
    "arguments", [("--json", "sql", "-"), ("sql", "--json", "-"), ("sql", "--format", "json", "-")]
)
def test_the_command_reads_stdin_and_prints_money_as_json_strings(root: Path, arguments: tuple[str, ...]) -> None:
    text = "select day, sum(cost_usd) as cost_usd, NULL as nothing from rollups group by 1 order by 1"
    result = run("--warehouse", str(root), *arguments, stdin=text)

    assert json.loads(result.stdout) == [
        {"day": "2026-11-20", "cost_usd": "0.003250000000", "nothing": None},
        {"day": "2026-11-21", "cost_usd": "0.000077500000", "nothing": None},
    ]


def test_the_warehouse_can_come_from_the_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSTROLL_WAREHOUSE", str(root))

    assert run("path").stdout.strip() == str((root / "current").resolve())


def test_the_option_after_the_subcommand_wins(root: Path, tmp_path: Path) -> None:
    assert run("--warehouse", str(tmp_path), "path", "--warehouse", str(root)).exit_code == 0


@pytest.mark.parametrize("arguments", [("status",), ("path",), ("verify",), ("sql", "select 1")])
def test_without_a_warehouse_a_command_says_what_to_do(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = run("--warehouse", str(tmp_path / "nowhere"), *arguments)

    assert isinstance(result.exception, UsageError)
    assert "costroll run" in str(result.exception)
    assert not (tmp_path / "nowhere").exists()


def test_status_says_what_is_published(root: Path) -> None:
    facts = json.loads(run("status", "--json", "--warehouse", str(root)).stdout)

    assert facts["snapshot"] == 2
    assert (facts["first_day"], facts["last_day"], facts["missing_days"]) == ("2026-11-20", "2026-11-21", [])
    assert facts["records"] == 4
    assert facts["cost_usd"] == "0.003327500000"
    assert "0.0033275 USD" in run("status", "--warehouse", str(root)).stdout


@pytest.mark.parametrize("command", [module.command for module in (path, sql, status, verify)])
def test_every_command_has_a_sentence_and_an_example_to_paste(command: click.Command) -> None:
    text = run(str(command.name), "--help").stdout

    assert "Example:\n    costroll" in text or "Example:\n    duckdb" in text
    assert "--warehouse" in text
    assert "--json" in text


def test_money_keeps_every_digit() -> None:
    assert (
        display.money(Decimal("12345678901234567890123456.123456789012"))
        == "12,345,678,901,234,567,890,123,456.123456789012"
    )
    assert display.money("0.000000000001") == "0.000000000001"
    assert display.money(Decimal("-1234.5")) == "-1,234.50"


def test_a_narrow_table_shortens_words_and_never_numbers() -> None:
    lines = list(display.table(["model", "cost_usd"], [("a-very-long-model-name", Decimal("1234.000001"))], width=25))

    assert lines[-1] == "a-very-lon…  1,234.000001"


def test_a_name_cannot_steer_the_terminal() -> None:
    assert list(display.table(["model"], [("evil\x1b[2J",)]))[-1] == r"evil\x1b[2J"


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert display.has_colour(Terminal())  # type: ignore[arg-type]
    monkeypatch.setenv("NO_COLOR", "1")
    assert not display.has_colour(Terminal())  # type: ignore[arg-type]


def test_a_column_that_comes_twice_is_not_lost_in_json() -> None:
    assert list(display.json_lines(["a", "a"], [(1, 2)])) == ['[{"a": 1, "a_2": 2}', "]"]


def relations_for(snapshot: Snapshot, query: str | None) -> set[str]:
    """The views and macros that a query finds."""
    with analyst._pinned(snapshot, query=query) as con:
        views = con.execute("select view_name from duckdb_views() where not internal").fetchall()
        macros = con.execute("select function_name from duckdb_functions() where not internal").fetchall()
    return {name for (name,) in (*views, *macros)}


def test_only_what_a_query_can_reach_is_there_for_it(snapshot: Snapshot) -> None:
    assert relations_for(snapshot, "SELECT * FROM Rollups") == {"rollups"}
    assert relations_for(snapshot, "from daily_costs") == {"daily_costs", "net_rollups", "rollups"}
    assert relations_for(snapshot, 'from "charges"') >= {
        "charges",
        "charges_between",
        "prices",
        "usage",
        "rates_history",
    }
    everything = relations_for(snapshot, None)
    for lists_all in ("show tables", "select 1", "describe rollups", "from rollups, information_schema.tables"):
        assert relations_for(snapshot, lists_all) == everything


def test_a_mistyped_name_is_compared_with_all_there_are(snapshot: Snapshot) -> None:
    with pytest.raises(UsageError, match='Did you mean "rollups'):
        ask(snapshot, "select day from rollup, usage")
