"""costroll.toml: any bytes give settings whose values are what the documentation allows, or one clear UsageError."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from etl.errors import UsageError
from etl.settings_file import load
from fuzz.target import NUMBERS, TEXTS, Target, damage_bytes, scratch, words_of

FULL = """[run]
inputs = ["/var/log/llm", "../exports/*.jsonl.gz"]
account = "acme"
assume_tz = "Europe/Berlin"

[retention]
snapshots = 30
hours = 0
usage_days = 400
"""
VALUES = (
    *("[]", "{}", '[""]', "[1]", "true", "1979-05-27T07:32:00Z", "07:32:00", "inf", "nan", "-inf", "1.0", "0.1", "1e3"),
    *("0x" + "f" * 4000, "9" * 5000, "1_000", "0o7", "+5", '"""a\nb"""', "'~nobody/x'", '"~nobody/x"', '"\\u0000"'),
    *(
        '"../UTC"',
        '"/etc/localtime"',
        '"UTC"',
        '"Nowhere/None"',
        '"."',
        '"posix"',
        '"\\uFFFF"',
        "[" * 3000,
        "{a=" * 2000,
    ),
)


def check(data: bytes) -> None:
    """Load the file and look at what came of it."""
    (path := scratch() / "costroll.toml").write_bytes(data)
    try:
        settings = load(scratch(), path)
        paths = settings.inputs()
    except UsageError as error:
        assert "\n" not in str(error).strip() or b"\n" in data or b"\\n" in data
        return
    run, retention = settings.run, settings.retention
    assert all(isinstance(path, str) and path for path in paths)
    assert len(paths) == len(run.inputs)
    assert all(text is None or text.strip() for text in (run.account, run.assume_tz))
    assert min(retention.snapshots, retention.usage_days or 1) >= 1 and retention.hours >= 0


def change(data: bytes, r: Random) -> bytes:
    """Another value, another key, another line."""
    lines = data.decode(errors="replace").split("\n")
    at = r.randrange(len(lines))
    kind = r.randrange(6)
    if kind == 0:
        lines.insert(at, r.choice(lines))
    elif kind == 1:
        lines.insert(at, r.choice(("[run]", "[[run]]", "[retention.x]", "run = 1", "[run] # x", "retention.hours = 1")))
    elif kind < 5 and "=" in lines[at]:
        lines[at] = lines[at].split("=")[0] + "= " + r.choice((*VALUES, *NUMBERS, *(f'"{text}"' for text in TEXTS)))
    else:
        return damage_bytes(data, r)
    return "\n".join(lines).encode()


def seeds() -> Iterator[bytes]:
    """A file with every key, and each odd value once."""
    yield FULL.encode()
    for value in VALUES:
        yield f"[run]\ninputs = [{value}]\n[retention]\nhours = {value}\n".encode()
        yield f"[run]\naccount = {value}\nassume_tz = {value}\n".encode()
        yield f'[run]\nassume_tz = {value}\ninputs = ["~nobody/x"]\n'.encode()


TARGET = Target(check, seeds, change, words_of(*VALUES, "[run]", "[retention]", "inputs", "account", "assume_tz"))
