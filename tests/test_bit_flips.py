"""Whatever is flipped, cut, removed, renamed or added in a published snapshot, `verify` finds it.

`make test-flips` makes 10,000 damages; `make test` fewer. Each is done to the files, judged by the checks of
`etl.verify` that look at links, manifests, names and bytes, and taken back; some also go through the whole command.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from etl.errors import CostrollError
from etl.readings import Readings
from etl.verify import _check_files, _check_unlisted
from etl.warehouse import Warehouse
from tests.nights import NOON, chat, costroll, write_jsonl

FLIPS = int(os.environ.get("COSTROLL_FLIPS", "200"))
THROUGH_THE_COMMAND = 5
DAY = 86_400


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nights, with every table that `run` writes."""
    folder = tmp_path_factory.mktemp("flips")
    for number in range(2):
        records = [chat(f"{number}-{at}", NOON + DAY * (at % 3)) for at in range(20)]
        write_jsonl(folder / "logs" / f"{number}.jsonl", [*records, "garbage"])
        assert costroll("--warehouse", folder / "warehouse", "run", folder / "logs", with_database=True).code == 3
    return folder / "warehouse"


def flip(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    rewrite(path, bytes(data))


def cut(path: Path, chance: random.Random) -> None:
    rewrite(path, path.read_bytes()[: chance.randrange(path.stat().st_size)])


def lengthen(path: Path, chance: random.Random) -> None:
    rewrite(path, path.read_bytes() + chance.randbytes(1 + chance.randrange(9)))


def zero(path: Path, chance: random.Random) -> None:
    """A page of zeros, as a disk that lost a write gives back."""
    data = bytearray(path.read_bytes())
    start = chance.randrange(len(data))
    data[start : start + 512] = bytes(len(data[start : start + 512]))
    rewrite(path, bytes(data))


def remove(path: Path, _: random.Random) -> None:
    path.unlink()


def rename(path: Path, chance: random.Random) -> None:
    path.rename(path.with_name(f"{chance.randrange(10**8):08d}-{path.name}"))


def add(path: Path, chance: random.Random) -> None:
    """The same rows once more, where a glob would count them."""
    shutil.copyfile(path, path.with_name(f"{chance.randrange(10**8):08d}-{path.name}"))


def rewrite(path: Path, data: bytes) -> None:
    """Another file of the same name: the parent's is a hard link to the old one."""
    path.unlink()
    path.write_bytes(data)


DAMAGES: list[Callable[[Path, random.Random], None]] = [flip, flip, flip, flip, flip, cut, lengthen, zero]
MOVES = [remove, rename, add]


def test_every_damage_is_found(root: Path, tmp_path: Path) -> None:
    chance = random.Random(10_000)
    snapshot = root / os.readlink(root / "current")
    files = sorted(path for path in snapshot.rglob("*") if path.is_file())
    assert {path.relative_to(snapshot).parts[0] for path in files} == {
        *("MANIFEST.json", "inputs", "rates", "rejects", "rollups", "usage")
    }
    kept = {path: path.read_bytes() for path in files}
    missed, kinds = [], Counter[str]()
    for number in range(FLIPS):
        path = files[number % len(files)]
        damage = chance.choice(MOVES if number % 10 == 9 else DAMAGES)
        damage(path, chance)
        now = {one: one.read_bytes() for one in snapshot.rglob("*") if one.is_file()}
        if now != kept:  # zeros upon zeros change nothing
            kinds[f"{damage.__name__} {path.relative_to(snapshot).parts[0]}"] += 1
            if is_believed(root):
                missed.append(f"{damage.__name__} {path}")
        for one in now.keys() - kept.keys():
            one.unlink()
        if path.exists():
            path.unlink()
        path.write_bytes(kept[path])
    assert missed == []
    assert is_believed(root)
    sys.stdout.write(f"{sum(kinds.values()):,} damages of {len(kinds)} kinds, all found: {dict(kinds)}\n")


def is_believed(root: Path) -> bool:
    """Whether the parts of `verify` that look at links, manifests, names and bytes find nothing."""
    warehouse = Warehouse(root)
    try:
        snapshot = warehouse.current()
    except CostrollError:
        return False
    assert snapshot is not None
    files, _ = _check_files(snapshot, Readings())
    return files.holds and _check_unlisted(snapshot).holds


@pytest.mark.parametrize("number", range(THROUGH_THE_COMMAND))
def test_the_command_ends_with_6(root: Path, number: int, tmp_path: Path) -> None:
    chance = random.Random(number)
    warehouse = tmp_path / "warehouse"
    shutil.copytree(root, warehouse, symlinks=True)
    snapshot = warehouse / os.readlink(warehouse / "current")
    files = sorted(path for path in snapshot.rglob("*") if path.is_file())
    chance.choice(DAMAGES[4:] + MOVES)(chance.choice(files), chance)

    assert costroll("--warehouse", warehouse, "verify").code == 6


@pytest.mark.parametrize("target", ["snapshots/00000001", "snapshots/00000009", "snapshots", "../elsewhere", "x\ny"])
def test_a_link_that_leads_elsewhere_is_found(root: Path, target: str, tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse"
    shutil.copytree(root, warehouse, symlinks=True)
    (warehouse / "current").unlink()
    (warehouse / "current").symlink_to(target)

    assert costroll("--warehouse", warehouse, "verify").code == 6
