"""Random deaths, races and full disks, with the state that must hold kept outside: `make test-kill`, `-race`, `-disk`.

The short forms here run in `make test`; the numbers of the long ones come from the environment.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.forking import Forking, Job
from tests.faults.reader import BrokenError, Seen, leftovers, read
from tests.nights import NOON, chat, costroll, write_jsonl

KILLS = int(os.environ.get("COSTROLL_KILLS", "10"))
ROUNDS = int(os.environ.get("COSTROLL_ROUNDS", "2"))
SIZES = int(os.environ.get("COSTROLL_DISK_SIZES", "3"))
DAY = 86_400
PROCESSES = 8


@pytest.fixture(scope="module")
def forking() -> Iterator[Forking]:
    with Forking() as process:
        yield process


def night_file(logs: Path, number: int) -> Path:
    """One more file: a record of its own day, and one that is late for the first day."""
    day = NOON + DAY * (1 + number % 5)
    return write_jsonl(logs / f"{number:05d}.jsonl", [chat(f"n{number}", day), chat(f"l{number}", NOON)])


def tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def look_on(warehouse: str, stop: object, told: object) -> None:
    """A reader in a process of its own: reads again and again; numbers must grow, and nothing may be torn."""
    last = looks = 0
    problem = ""
    while not stop.is_set() and not problem:  # type: ignore[attr-defined]
        try:
            seen = read(Path(warehouse))
            problem = f"snapshot {seen.number} after {last}" if seen.number < last else ""
            last, looks = seen.number, looks + 1
        except (BrokenError, OSError) as error:
            problem = str(error)
        stop.wait(0.05)  # type: ignore[attr-defined]
    told.put((looks, problem))  # type: ignore[attr-defined]


def test_kills_at_random_instants_lose_nothing_and_readers_never_see_a_half(tmp_path: Path, forking: Forking) -> None:
    """Each night has a new file, and is killed at random until one run is allowed to end."""
    chance = random.Random(20_261_122)
    warehouse, logs, copy = tmp_path / "warehouse", tmp_path / "logs", tmp_path / "serial"
    context = multiprocessing.get_context("spawn")
    stop, told = context.Event(), context.Queue()
    readers = [context.Process(target=look_on, args=(str(warehouse), stop, told)) for _ in range(2)]
    for reader in readers:
        reader.start()
    kills, reported, nights, longest = 0, 0, 0, 1.0
    ended: Counter[str] = Counter()
    while kills < KILLS:
        nights += 1
        night_file(logs, nights)
        for _ in range(8):
            run = forking.run("--warehouse", warehouse, "run", logs, kill_after=chance.uniform(0.01, longest * 1.1))
            assert run.code in (-9, 0), run
            ended["killed" if run.code == -9 else "done"] += 1
            kills += run.code == -9
            number = read(warehouse).number
            assert number >= reported, f"snapshot {reported} was seen, and {number} is published"
            reported = number
        run = forking.run("--warehouse", warehouse, "run", logs)
        assert run.code == 0, run
        longest = run.seconds
        assert leftovers(warehouse) == []
    stop.set()
    looks = [told.get(timeout=30) for _ in readers]
    for reader in readers:
        reader.join(30)
    assert [problem for _, problem in looks] == ["", ""]
    proof = forking.run("--warehouse", warehouse, "verify")
    assert proof.code == 0, proof
    forking.run("--warehouse", copy, "run", logs)
    assert read(warehouse).rollups == read(copy).rollups
    tell(f"{kills} kills in {nights} nights, {dict(ended)}; {sum(n for n, _ in looks):,} looks of 2 readers, all whole")


def test_processes_that_start_at_once_write_one_after_the_other(tmp_path: Path, forking: Forking) -> None:
    """Eight runs, each with a file of its own, some killed; whoever finds the lock held ends with 4 and comes again."""
    chance = random.Random(8)
    warehouse, logs, serial = tmp_path / "warehouse", tmp_path / "logs", tmp_path / "serial"
    codes: Counter[int] = Counter()
    for number in range(ROUNDS):
        files = [night_file(logs, number * PROCESSES + own) for own in range(PROCESSES)]
        before = read(warehouse).number if warehouse.exists() else 0
        jobs = [
            Job(
                ["--warehouse", str(warehouse), "run", str(file)],
                kill_after=chance.uniform(0.05, 2) if chance.random() < 0.25 else None,
            )
            for file in files
        ]
        ended = forking.all(jobs)
        codes.update(one.code for one in ended)
        assert {one.code for one in ended} <= {0, 4, -9}, ended
        done = sum(one.code == 0 for one in ended)
        published = read(warehouse).number - before
        assert done <= published <= done + sum(one.code == -9 for one in ended)
        left = forking.run("--warehouse", warehouse, "run", *files)  # those who were turned away or killed
        assert left.code == 0, left
        assert leftovers(warehouse) == []
    proof = forking.run("--warehouse", warehouse, "verify")
    assert proof.code == 0, proof
    forking.run("--warehouse", serial, "run", logs)
    assert read(warehouse).rollups == read(serial).rollups
    tell(f"{ROUNDS} rounds of {PROCESSES} processes: exit codes {dict(codes)}; the rollups are those of one run")


def small_night(tmp_path: Path) -> tuple[Path, Path, Seen]:
    """A warehouse of one night, and the logs of a second with 4,000 records."""
    logs, warehouse = tmp_path / "logs", tmp_path / "seed"
    write_jsonl(logs / "a.jsonl", [chat(f"a{number}", NOON + number) for number in range(50)])
    costroll("--warehouse", warehouse, "run", logs, with_database=True)
    records = [chat(f"b{number}", NOON + DAY * (number % 3) + number) for number in range(4_000)]
    write_jsonl(logs / "b.jsonl", records)
    return logs, warehouse, read(warehouse)


def test_a_limit_on_the_size_of_files_ends_in_5_and_the_next_run_heals(tmp_path: Path, forking: Forking) -> None:
    """RLIMIT_FSIZE makes every write beyond the limit fail, also DuckDB's; nobody must be root."""
    logs, seed, old = small_night(tmp_path)
    limits = [0, 10_000, 600_000, 4_000_000]
    if "COSTROLL_DISK_SIZES" in os.environ:
        limits = sorted({*limits, 20, 1_000, 40_000, 100_000, 300_000, 1_000_000})
    codes = []
    for number, limit in enumerate(limits):
        warehouse = tmp_path / f"limited-{number}"
        shutil.copytree(seed, warehouse, symlinks=True)
        run = forking.run("--warehouse", warehouse, "run", logs, file_bytes_max=limit)
        codes.append(run.code)
        assert run.code in (0, 5), run
        assert "Traceback" not in run.printed
        seen = read(warehouse)
        assert seen.number == (2 if run.code == 0 or "is published, but" in run.printed else 1), run
        assert seen.number == 2 or seen == old
        healed = forking.run("--warehouse", warehouse, "run", logs)
        assert healed.code == 0, healed
        assert read(warehouse).number == 2
        assert leftovers(warehouse) == []
    assert forking.run("--warehouse", warehouse, "verify").code == 0
    assert codes[0] == 5
    assert codes[-1] == 0
    tell(f"limits {limits}: exit codes {codes}")


def test_a_disk_of_any_size_leaves_the_old_snapshot_and_the_next_run_heals(tmp_path: Path, forking: Forking) -> None:
    """A tmpfs with room of 64 KiB to 8 MiB for the second night."""
    logs, seed, old = small_night(tmp_path)
    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "none", mount], check=False, capture_output=True
    ).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    codes: Counter[int] = Counter()
    try:
        for number in range(SIZES):
            warehouse = mount / "warehouse"
            shutil.copytree(seed, warehouse, symlinks=True)
            room = 65_536 + (8_388_608 - 65_536) * number // max(1, SIZES - 1)
            free = os.statvfs(mount)
            filler = mount / "filler"
            filler.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - room)))
            run = forking.run("--warehouse", warehouse, "run", logs, fills_up_later=True)
            codes[run.code] += 1
            assert run.code in (0, 5), (room, run)
            assert "Traceback" not in run.printed
            seen = read(warehouse)
            assert seen.number == (2 if run.code == 0 or "is published, but" in run.printed else 1), (room, run)
            assert seen.number == 2 or seen == old
            filler.unlink()
            healed = forking.run("--warehouse", warehouse, "run", logs)
            assert healed.code == 0, (room, healed)
            assert read(warehouse).number == 2
            assert leftovers(warehouse) == []
            assert forking.run("--warehouse", warehouse, "verify").code == 0
            shutil.rmtree(warehouse)
    finally:
        subprocess.run(["umount", mount], check=True)
    assert codes[5] > 0
    tell(f"{SIZES} sizes from 64 KiB to 8 MiB of room: exit codes {dict(codes)}")
