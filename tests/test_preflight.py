"""A disk that is full, read-only or not our own: the right exit status and one line, before any work is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from etl import preflight
from etl.framing import Input
from tests.nights import CHECKOUT, chat, costroll, write_jsonl

NOBODY = 65_534


def sized(path: Path, size: int) -> Input:
    with path.open("wb") as file:
        file.truncate(size)
    return Input(str(path), path, status=path.stat())


def test_the_room_needed_is_a_quarter_of_plain_bytes_and_four_times_compressed_ones(tmp_path: Path) -> None:
    least = 16 * 1024 * 1024
    assert preflight.needed_bytes([]) == least
    assert preflight.needed_bytes([sized(tmp_path / "a.jsonl", 4000), sized(tmp_path / "b.csv", 4)]) == least + 1001
    assert preflight.needed_bytes([sized(tmp_path / "a.jsonl.gz", 10), sized(tmp_path / "b.ZST", 1)]) == least + 44
    assert preflight.needed_bytes([Input("-", None)]) == least


def test_a_disk_with_too_little_room_is_told_with_both_numbers_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write_jsonl(tmp_path / "a.jsonl", [chat("a")])
    needed = preflight.needed_bytes([Input("a", log, status=log.stat())])
    real = os.statvfs(tmp_path)
    for available, code in ((needed - 1, 5), (needed, 0)):
        found = os.statvfs_result((real[0], 1, *real[2:4], available, *real[5:]))
        monkeypatch.setattr(os, "statvfs", lambda _, found=found: found)
        ran = costroll("run", log, "--warehouse", tmp_path / "w")
        assert ran.code == code
        said = f"this run may need {needed:,} bytes there, and {available:,} are available; nothing was published"
        assert (said in ran.err) == (code == 5)


@pytest.mark.parametrize(("files", "free", "code"), [(9_999, 1_003, 5), (9_999, 1_004, 0), (0, 0, 0)])
def test_a_disk_with_too_few_inodes_is_told_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int, free: int, code: int
) -> None:
    """1,000 and four for the one day that is published; a file system that counts none is believed."""
    log = write_jsonl(tmp_path / "a.jsonl", [chat("a")])
    assert costroll("run", log, "--warehouse", tmp_path / "w").code == 0
    real = os.statvfs(tmp_path)
    found = os.statvfs_result((*real[:5], files, free, free, *real[8:]))
    monkeypatch.setattr(os, "statvfs", lambda _: found)
    ran = costroll("run", log, "--warehouse", tmp_path / "w")
    assert ran.code == code
    assert ("may need 1,004 inodes there, and 1,003 are available; nothing was published" in ran.err) == (code == 5)


def test_what_was_read_before_needs_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = write_jsonl(tmp_path / "a.jsonl", [chat("a")])
    assert costroll("run", log, "--warehouse", tmp_path / "w").code == 0
    seen = []
    monkeypatch.setattr(preflight, "require_room", lambda _, inputs: seen.append(list(inputs)))
    assert costroll("run", log, "--warehouse", tmp_path / "w").code == 0
    assert seen == [[]]


def as_nobody(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command line of a user who may not write everywhere, also where the tests run as root."""
    drop = f"import os; os.getuid() or (os.setgroups([]), os.setgid({NOBODY}), os.setuid({NOBODY}));"
    # Everything is imported before, as the other user may not read the checkout.
    imports = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); import etl.cli, etl.backfill;"
    imports += " import etl.metrics, etl.commands.run, etl.commands.summary;"
    program = f"{imports} {drop} etl.cli.main()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that another user reaches and may write to."""
    if os.getuid() == 0:
        for parent in (tmp_path, *tmp_path.parents):
            if parent.stat().st_uid == 0 and str(parent).startswith("/tmp/"):
                parent.chmod(parent.stat().st_mode | 0o055)
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    write_jsonl(folder / "a.jsonl", [chat("a")])
    return folder


def test_a_folder_that_may_not_be_written_is_an_error_of_the_system_with_a_way_out(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    ran = as_nobody(open_folder, "run", "a.jsonl")
    assert (ran.returncode, ran.stdout) == (5, "")
    assert ran.stderr == (
        f"costroll: cannot create {open_folder}/warehouse: Permission denied; "
        "permission denied or read-only: give this user the right to write there\n"
    )


def test_a_folder_of_snapshots_that_may_not_be_written_is_met_before_the_work(open_folder: Path) -> None:
    assert costroll("run", open_folder / "a.jsonl", "--warehouse", open_folder / "warehouse").code == 0
    snapshots = open_folder / "warehouse/snapshots"
    if os.getuid() == 0:
        for path in (open_folder / "warehouse", *(open_folder / "warehouse").rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    snapshots.chmod(0o555)
    ran = as_nobody(open_folder, "run", "a.jsonl")
    assert (ran.returncode, f"cannot write {snapshots}/.probe-" in ran.stderr) == (5, True)
    assert [path.name for path in (open_folder / "warehouse").iterdir() if "staging" in path.name] == []
    snapshots.chmod(0o750)


@pytest.mark.skipif(
    sys.platform != "linux", reason="RLIMIT_FSIZE raises SIGXFSZ alike, but only Linux is held to it here"
)
def test_a_file_size_limit_in_the_middle_leaves_the_old_snapshot(tmp_path: Path) -> None:
    log = write_jsonl(tmp_path / "a.jsonl", [chat("a")])
    assert costroll("run", log, "--warehouse", tmp_path / "w").code == 0
    before = os.readlink(tmp_path / "w/current")
    write_jsonl(tmp_path / "b.jsonl", [chat(f"b{n}", prompt=n) for n in range(300)])
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000)); from etl.cli import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", limit, "run", "b.jsonl", "--warehouse", "w"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ran.returncode, "File too large" in ran.stderr, "Traceback" in ran.stderr) == (5, True, False)
    assert os.readlink(tmp_path / "w/current") == before
    assert costroll("verify", "--warehouse", tmp_path / "w").code == 0


MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/export /srv/logs nfs4 rw 0 0
/dev/vdb /srv/logs/local xfs rw 0 0
bucket /mnt/my\\040bucket fuse.s3fs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/w", "ext4"),
        ("/srv/logs", "nfs4"),
        ("/srv/logs/w", "nfs4"),
        ("/srv/logs2/w", "ext4"),
        ("/srv/logs/local/w", "xfs"),
        ("/mnt/my bucket/w", "fuse.s3fs"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path, path: str, kind: str) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    assert preflight._file_system(Path(path), tmp_path / "mounts") == kind
    assert preflight._file_system(Path(path), tmp_path / "nowhere") is None


@pytest.mark.parametrize(("kind", "warns"), [("nfs4", True), ("cifs", True), ("fuse.s3fs", True), ("ext4", False)])
def test_a_network_file_system_is_warned_about_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, warns: bool
) -> None:
    monkeypatch.setattr(preflight, "_file_system", lambda _: kind)
    ran = costroll("run", write_jsonl(tmp_path / "a.jsonl", [chat("a")]), "--warehouse", tmp_path / "w")
    assert (ran.code, f"is on a file system of type {kind}" in ran.err) == (0, warns)
