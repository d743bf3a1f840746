"""Each of the 118 faults of the catalogue meets its outcome: by a file that shows it, or by tests that are there.

All quiet files are read in one run, which must end with 0; all others in another, which must end with 3 and name each.
"""

from __future__ import annotations

import gzip
import json
import re
import resource
import subprocess
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest
import zstandard

from etl import framing
from etl.pipeline import run
from etl.run_report import Options
from tests.catalogue import FAULTS, Fault
from tests.nights import CHECKOUT, Ran, chat, costroll, costroll_process, write_jsonl

TESTS = Path(__file__).parent
WITH_FILE = [fault for fault in FAULTS if fault.content is not None]
MIB = 1 << 20


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, tuple[Path, Ran]]:
    """What the two runs said, by whether their files are alarming."""
    ran = {}
    for is_alarming in (False, True):
        folder = tmp_path_factory.mktemp("alarming" if is_alarming else "quiet")
        for fault in WITH_FILE:
            if fault.is_alarming == is_alarming:
                place = folder / "logs" / f"{fault.number:03d}"
                place.mkdir(parents=True)
                (place / fault.file).write_bytes(fault.content or b"")
        # Named one by one: a folder would leave a file alone that is called otherwise than a log.
        files = sorted(path for path in (folder / "logs").rglob("*") if path.is_file())
        ran[is_alarming] = (folder, costroll("run", "--json", "--warehouse", folder / "warehouse", "--", *files))
    return ran


def test_the_catalogue_has_every_number_once() -> None:
    assert [fault.number for fault in FAULTS] == list(range(1, 119))
    assert all(fault.content is not None or fault.shown_by for fault in FAULTS)


@pytest.mark.parametrize("fault", WITH_FILE, ids=lambda fault: f"{fault.number:03d} {fault.name!a}")
def test_the_file_meets_its_outcome(night: dict[bool, tuple[Path, Ran]], fault: Fault) -> None:
    folder, ran = night[fault.is_alarming]
    place = f"{folder}/logs/{fault.number:03d}/"
    [told] = [one for one in ran.said["inputs"] if one["name"].startswith(place)]

    assert (told["refusal"] and told["refusal"]["code"]) == fault.refused
    assert told["counts"]["accepted"] == fault.accepted
    assert Counter(told["reasons"]) == Counter(fault.reasons)
    assert told["counts"]["read"] == fault.accepted + sum(fault.reasons.values())
    about = [line for line in ran.err.splitlines() if line.startswith(place) and "unknown_key: " not in line]
    assert len(about) == (fault.is_alarming and not fault.is_unpriced)
    assert ran.code == (3 if fault.is_alarming else 0)


@pytest.mark.parametrize("reference", sorted({name for fault in FAULTS for name in fault.shown_by}))
def test_the_test_that_shows_a_fault_is_there(reference: str) -> None:
    file, _, name = reference.partition("::")

    assert re.search(rf"^def {re.escape(name)}\(", (TESTS / file).read_text(), re.MULTILINE), reference


PEAK = """
import re, sys
from etl.cli import exit_code_of
code = exit_code_of(sys.argv[1:])
print("peak", re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
sys.exit(code)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a process's peak is asked of /proc")
def test_a_bomb_is_stopped_without_being_held(tmp_path: Path) -> None:
    """A file of a few kilobytes with a line of 512 MiB, stopped after 384: no more than half of that is ever held."""
    sound = json.dumps(chat("a")).encode() + b"\n"
    (tmp_path / "sound.jsonl").write_bytes(sound)
    packer = zstandard.ZstdCompressor().compressobj()
    with (tmp_path / "bomb.jsonl.zst").open("wb") as file:
        file.write(packer.compress(sound + b'{"x":"'))
        for _ in range(512):
            file.write(packer.compress(b" " * MIB))
        file.write(packer.flush())
    ran = {}
    for name in ("sound.jsonl", "bomb.jsonl.zst"):
        command = [sys.executable, "-c", PEAK, "run", "--threads", "1", "--max-decompressed", "384MiB"]
        command += ["--warehouse", str(tmp_path / f"{name}-warehouse"), str(tmp_path / name)]
        ran[name] = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT, timeout=120)

    assert [one.returncode for one in ran.values()] == [0, 3]
    assert "decompression_bomb: decompresses to more than 402,653,184 bytes" in ran["bomb.jsonl.zst"].stderr
    peaks = [int(one.stdout.split()[-1]) >> 10 for one in ran.values()]
    assert peaks[1] - peaks[0] < 256, f"MiB: {peaks}"


def test_content_of_a_thousand_times_its_file_is_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above a gibibyte; here above a mebibyte, to be quick."""
    monkeypatch.setattr(framing, "RATIO_APPLIES_ABOVE_BYTES", MIB)
    sound = json.dumps(chat("a")).encode() + b"\n"
    (tmp_path / "large.jsonl.zst").write_bytes(zstandard.compress(sound + b" " * (MIB // 2)))
    (tmp_path / "bomb.jsonl.zst").write_bytes(zstandard.compress(sound + b" " * (8 * MIB)))

    ran = costroll("run", "--json", "--warehouse", tmp_path / "warehouse", tmp_path)

    assert ran.said["counts"]["accepted"] == 1
    assert ran.err.splitlines()[:-1] == [
        f"{tmp_path}/bomb.jsonl.zst: decompression_bomb: decompresses to more than 1000 times its size"
    ]


def test_many_files_are_read_with_few_open(tmp_path: Path) -> None:
    """A hundred and fifty, where a process may have sixty-four open; as many are refused half read."""
    refused = gzip.compress(("timestamp,model\n" + " " * 70_000).encode("utf-16"))
    for number in range(150):
        write_jsonl(tmp_path / f"logs/{number:04d}.jsonl", [chat(str(number))])
        (tmp_path / f"logs/{number:04d}.csv.gz").write_bytes(refused)

    ran = costroll_process(
        "run", "--warehouse", tmp_path / "warehouse", tmp_path / "logs",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    )  # fmt: skip

    assert ran.returncode == 3
    assert ran.stderr.count("wrong_encoding: is UTF-16") == 150
    assert ran.stdout.splitlines()[-1].startswith("read 150 = accepted 150 + ")


def test_a_day_after_the_run_began_is_the_latest_plausible_time(tmp_path: Path) -> None:
    """The clock is an argument: noon of 1 June 2026 as seen on 31 May."""
    log = write_jsonl(tmp_path / "app.jsonl", [chat("at"), chat("after", created=1_780_315_201)])

    report = run([str(log)], tmp_path / "warehouse", Options(), now=datetime(2026, 5, 31, 12))

    assert report.counts.accepted == 1
    assert report.inputs[0].reasons == {("rejected", "implausible_timestamp"): 1}
