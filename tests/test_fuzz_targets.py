"""The fuzz targets without a fuzzer: each promise holds for some of its seeds and for mutations of them.

`make fuzz` tries many more; what it finds becomes a test of its own in tests/test_found_by_fuzzing.py.
"""

from __future__ import annotations

from random import Random

import pytest

from etl import lines
from fuzz.target import damage_bytes, dictionary
from fuzz.targets import TARGETS, statements

# As many as take well below a second.
INPUTS = {"framing": 300, "streams": 300, "manifests": 60, "settings": 100, "csv_rows": 12, "statements": 12}


@pytest.mark.parametrize("name", TARGETS)
def test_a_promise_holds_for_seeds_and_what_is_made_of_them(name: str) -> None:
    target, r = TARGETS[name], Random(7)
    seeds = list(target.seeds())
    for _ in range(INPUTS.get(name, 3)):
        data = r.choice(seeds)
        target.check(data)
        target.check((target.mutate or damage_bytes)(data, r))


def test_a_broken_promise_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    TARGETS["framing"].check(b"\x20\x20\x20[1,]\n")
    monkeypatch.setattr(lines, "has_trailing_comma", lambda _: False)
    with pytest.raises(AssertionError):
        TARGETS["framing"].check(b"\x20\x20\x20[1,]\n")


def test_a_statement_that_writes_past_the_guard_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"copy (select 1) to @file (format parquet, use_tmp_file false)"
    TARGETS["statements"].check(text)
    kept = (file := statements.snapshot().files("rollups")[0]).read_bytes()
    monkeypatch.setattr(statements.statement_filter, "require_read_only", lambda *_: None)
    with pytest.raises(AssertionError, match="a file was changed"):
        TARGETS["statements"].check(text)
    file.write_bytes(kept)


def test_words_stand_in_a_dictionary_as_the_fuzzer_reads_them() -> None:
    assert dictionary([b'a"\\\n', b"\xff"]) == '"a\\x22\\x5c\\x0a"\n"\\xff"\n'
