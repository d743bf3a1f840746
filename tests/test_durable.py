"""The small door to the disk: what each step does, in which order, and what it says when the disk refuses.

The order is what survives a power cut: bytes before the name that shows them, the name before what relies on it.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import re
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from etl import durable
from etl.errors import LockHeldError, StorageError

Calls = list[tuple[str, str]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Every write, fsync, close, rename and link, with the name of its file, in order."""
    made: Calls = []

    def watch(name: str, name_of: Any) -> None:
        real = getattr(os, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            made.append((name, name_of(arguments[0])))
            return real(*arguments, **named)

        monkeypatch.setattr(os, name, watched)

    for name in ("write", "fsync", "close", "fchmod"):
        watch(name, lambda descriptor: os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
    for name in ("rename", "link", "unlink", "symlink"):
        watch(name, os.path.basename)
    monkeypatch.setattr(durable.fcntl, "F_FULLFSYNC", None, raising=False)
    return made


on_linux = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="names descriptors by /proc")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@on_linux
def test_a_new_file_is_on_the_disk_before_it_is_closed(tmp_path: Path, calls: Calls) -> None:
    durable.write_file(tmp_path / "a", b"xyz")
    assert calls == [("fchmod", "a"), ("write", "a"), ("fsync", "a"), ("close", "a")]
    assert (tmp_path / "a").read_bytes() == b"xyz"


@on_linux
def test_a_scratch_file_need_not_reach_the_disk(tmp_path: Path, calls: Calls) -> None:
    with durable.new_file(tmp_path / "a", is_scratch=True) as file:
        file.write(b"xyz")
    assert calls == [("fchmod", "a"), ("write", "a"), ("close", "a")]


@on_linux
def test_a_file_is_sealed_with_its_mode_and_its_bytes_on_the_disk(tmp_path: Path, calls: Calls) -> None:
    (tmp_path / "a").write_bytes(b"x")
    calls.clear()
    durable.seal_file(tmp_path / "a", 0o600)
    assert calls == [("fchmod", "a"), ("fsync", "a"), ("close", "a")]
    assert mode_of(tmp_path / "a") == 0o600


@on_linux
def test_a_name_is_on_the_disk_in_both_folders_after_a_rename(tmp_path: Path, calls: Calls) -> None:
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
    (tmp_path / "old/a").write_bytes(b"x")
    calls.clear()
    durable.rename(tmp_path / "old/a", tmp_path / "new/b")
    assert calls == [("rename", "a"), ("fsync", "new"), ("close", "new"), ("fsync", "old"), ("close", "old")]
    assert [path.name for path in tmp_path.rglob("*")].count("b") == 1 and not (tmp_path / "old/a").exists()


@on_linux
def test_a_rename_within_a_folder_syncs_it_once(tmp_path: Path, calls: Calls) -> None:
    (tmp_path / "a").write_bytes(b"x")
    calls.clear()
    durable.rename(tmp_path / "a", tmp_path / "b")
    assert calls == [("rename", "a"), ("fsync", tmp_path.name), ("close", tmp_path.name)]


@on_linux
def test_a_link_is_moved_by_one_rename_that_is_then_on_the_disk(tmp_path: Path, calls: Calls) -> None:
    os.symlink("left over", tmp_path / ".current.new")
    durable.replace_link(tmp_path / "current", "snapshots/1")
    calls.clear()
    durable.replace_link(tmp_path / "current", "snapshots/2")
    assert [call for call in calls if call[0] != "close"] == [
        *[("unlink", ".current.new"), ("symlink", "2"), ("rename", ".current.new")],
        ("fsync", tmp_path.name),
    ]
    assert os.readlink(tmp_path / "current") == "snapshots/2"
    assert os.listdir(tmp_path) == ["current"]


@on_linux
def test_a_whole_file_is_on_the_disk_before_it_takes_the_name(tmp_path: Path, calls: Calls) -> None:
    (tmp_path / "a").write_bytes(b"old")
    calls.clear()
    durable.write_whole(tmp_path / "a", b"new", 0o600)
    temporary = f".a.{os.getpid()}.new"
    assert [call for call in calls if call[0] in ("fsync", "rename")] == [
        *[("fsync", temporary), ("rename", temporary), ("fsync", tmp_path.name)]
    ]
    assert ((tmp_path / "a").read_bytes(), mode_of(tmp_path / "a")) == (b"new", 0o600)
    assert os.listdir(tmp_path) == ["a"]


def test_a_whole_file_that_cannot_take_its_name_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StorageError, match="cannot rename"):
        durable.write_whole(tmp_path / "a", b"new")
    assert os.listdir(tmp_path) == ["a"]


def test_on_macos_a_sync_goes_through_the_cache_of_the_drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr(durable.fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(durable.fcntl, "fcntl", lambda _, command: made.append(command))
    monkeypatch.setattr(os, "fsync", lambda _: made.append(0))
    durable.write_file(tmp_path / "a", b"")
    assert made == [51]


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_modes_are_these_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        durable.write_file(tmp_path / "shared", b"")
        durable.write_file(tmp_path / "private", b"", durable.PRIVATE_MODE)
        durable.make_dir(tmp_path / "a/b")
        with durable.lock(tmp_path / ".lock"):
            pass
    assert (mode_of(tmp_path / "shared"), mode_of(tmp_path / "private")) == (0o640, 0o600)
    assert [mode_of(tmp_path / folder) for folder in ("a", "a/b")] == [0o750, 0o750]
    assert mode_of(tmp_path / ".lock") == 0o640 & ~mask


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o700)
    durable.make_dir(tmp_path / "a")
    assert mode_of(tmp_path / "a") == 0o700


def test_a_folder_that_another_process_makes_at_the_same_time_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.setattr(Path, "exists", lambda path: path != tmp_path / "a")
    durable.make_dir(tmp_path / "a")
    assert mode_of(tmp_path / "a") == 0o750


def test_a_file_of_that_name_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(StorageError, match="File exists"):
        durable.write_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"


@on_linux
def test_bytes_go_to_the_system_a_megabyte_at_a_time_and_all_of_them(tmp_path: Path, calls: Calls) -> None:
    with durable.new_file(tmp_path / "a") as file:
        assert (file.writable(), file.tell()) == (True, 0)
        assert file.write(bytes((1 << 20) - 1)) == (1 << 20) - 1
        assert (file.tell(), ("write", "a") in calls) == ((1 << 20) - 1, False)
        assert file.write(memoryview(b"x")) == 1
        assert (file.tell(), calls.count(("write", "a"))) == (1 << 20, 1)
        file.write(b"end")
        assert file.tell() == (1 << 20) + 3
    assert (tmp_path / "a").read_bytes() == bytes((1 << 20) - 1) + b"xend"


def test_a_system_that_takes_few_bytes_at_a_time_gets_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data[:3])))
    with durable.new_file(tmp_path / "a") as file:
        file.write(b"0123456789")
        file.pass_on()  # type: ignore[attr-defined]
        assert file.tell() == 10
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_what_the_disk_refused_is_told_even_when_a_library_wraps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError, match=r"cannot write .*/a: No space left on device; the disk is full"):
        durable.write_file(tmp_path / "a", b"x")
    with (
        pytest.raises(StorageError, match="No space left on device") as caught,
        durable.new_file(tmp_path / "b") as file,
    ):
        try:
            file.write(bytes(1 << 20))
        except OSError as error:
            raise RuntimeError("of a library") from error
    assert isinstance(caught.value.__cause__, OSError)


def test_an_error_that_is_not_the_disks_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="mine"), durable.new_file(tmp_path / "a"):
        raise RuntimeError("mine")


@pytest.mark.parametrize(
    ("number", "must_say"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "--warehouse"),
        (errno.EACCES, "permission"),
        (errno.EPERM, "permission"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EIO, "nothing was published by this step"),
    ],
)
def test_an_error_says_what_to_do(number: int, must_say: str) -> None:
    with pytest.raises(StorageError, match=must_say) as caught, durable.explained("write", Path("/x")):
        raise OSError(number, "raw")
    assert f"cannot write /x: {os.strerror(number)}; " in str(caught.value)


def test_an_error_without_a_number_says_its_text() -> None:
    with pytest.raises(StorageError, match="cannot write /x: odd; nothing"), durable.explained("write", Path("/x")):
        raise OSError("odd")


ACTIONS = {
    "write": lambda path: durable.write_file(path / "no/a", b""),
    "seal": lambda path: durable.seal_file(path / "no"),
    "create": lambda path: durable.make_dir(path / "file/a"),
    "link": lambda path: durable.hard_link(path / "no", path / "a"),
    "sync": lambda path: durable.fsync_dir(path / "no"),
    "rename": lambda path: durable.rename(path / "no", path / "a"),
    "replace": lambda path: durable.replace_link(path / "no/a", "b"),
    "open the lock": lambda path: durable.lock(path / "no/a").__enter__(),
    "read": lambda path: durable.sha256_of(path / "no"),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_an_error_says_what_could_not_be_done(tmp_path: Path, action: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    said = {"seal": "write", "replace": "create"}.get(action, action)
    with pytest.raises(StorageError, match=f"^cannot {said} {re.escape(str(tmp_path))}"):
        ACTIONS[action](tmp_path)


def test_a_folder_is_synced_as_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="Not a directory"):
        durable.fsync_dir(tmp_path / "file")


def test_a_probe_writes_syncs_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(durable, "_sync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    durable.probe(tmp_path)
    assert (sizes, os.listdir(tmp_path)) == ([4096], [])
    with pytest.raises(StorageError, match="cannot write"):
        durable.probe(tmp_path / "no")


def test_what_a_killed_process_of_the_same_number_left_is_in_nobodys_way(tmp_path: Path) -> None:
    """In a container the first process is always number 1, and so is the next one."""
    for name in (f"{durable.PROBE_PREFIX}{os.getpid()}", f".a.{os.getpid()}.new"):
        (tmp_path / name).write_bytes(b"half")
    durable.probe(tmp_path)
    durable.write_whole(tmp_path / "a", b"new")
    assert os.listdir(tmp_path) == ["a"]


def test_a_probe_that_cannot_be_removed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EIO, "no")))
    with pytest.raises(StorageError, match=r"cannot remove /.*/\.probe-\d+: "):
        durable.probe(tmp_path)


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_where_there_are_no_links_a_copy_has_the_bytes_and_the_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    content = bytes(range(256)) * 5000  # more than a megabyte
    durable.write_file(tmp_path / "a", content, 0o600)
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(number, "no")))
    durable.hard_link(tmp_path / "a", tmp_path / "b")
    assert ((tmp_path / "b").read_bytes(), mode_of(tmp_path / "b")) == (content, 0o600)
    assert (tmp_path / "b").stat().st_ino != (tmp_path / "a").stat().st_ino


def test_another_error_of_a_link_is_no_reason_to_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    durable.write_file(tmp_path / "a", b"x")
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "no")))
    with pytest.raises(StorageError, match="cannot link"):
        durable.hard_link(tmp_path / "a", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_link_is_a_second_name_of_the_same_bytes(tmp_path: Path) -> None:
    durable.write_file(tmp_path / "a", b"x")
    durable.hard_link(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").samefile(tmp_path / "b")


def test_files_links_and_folders_are_removed_and_may_be_gone_already(tmp_path: Path) -> None:
    (tmp_path / "kept/inside").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder/inside").mkdir(parents=True)
    for name in ("link", "file", "folder", "gone"):
        durable.remove_tree(tmp_path / name)
    assert os.listdir(tmp_path) == ["kept"]
    assert (tmp_path / "kept/inside").is_dir()


def test_what_cannot_be_removed_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot remove /"):
        durable.remove_tree(tmp_path / "file/inside")


def test_one_holds_the_lock_and_the_other_is_told_who(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.write_text("what an earlier holder wrote, which was longer than what stands there now " * 3)
    before = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    with durable.lock(path):
        said = re.fullmatch(r"pid (\d+) on (\S+) since (\S+)Z\n", path.read_text())
        assert said and (int(said[1]), said[2]) == (os.getpid(), socket.gethostname())
        assert before <= datetime.fromisoformat(said[3]) <= datetime.now(UTC).replace(tzinfo=None)
        with pytest.raises(LockHeldError, match=rf"another run \(pid {os.getpid()} on .*Z\); wait"), durable.lock(path):
            pass
    with durable.lock(path):
        pass


def test_a_holder_without_a_name_is_unnamed(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(LockHeldError, match=r"another run \(an unnamed process\); wait"), durable.lock(path):
            pass
        file.write("\xff")
        os.write(file.fileno(), b"\xff" + b"x" * 2000)
        with pytest.raises(LockHeldError, match=r"another run \(�x{999}\); wait"), durable.lock(path):
            pass


def test_a_lock_is_waited_for_as_long_as_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    clock = [100.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with durable.lock(tmp_path / ".lock"):
        clock[0] = 100.0
        with pytest.raises(LockHeldError, match="after 1 s"), durable.lock(tmp_path / ".lock", wait_seconds=1):
            pass
        assert slept == [0.2] * 5
        slept.clear()
        with pytest.raises(LockHeldError), durable.lock(tmp_path / ".lock"):
            pass
        assert slept == []


def test_a_lock_is_free_again_when_its_block_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), durable.lock(tmp_path / ".lock"):
        raise RuntimeError
    with durable.lock(tmp_path / ".lock"):
        pass


def test_a_lock_that_the_file_system_refuses_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, "no")))
    with pytest.raises(StorageError, match="cannot lock /"), durable.lock(tmp_path / ".lock"):
        pass


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    def do_all() -> None:
        durable.write_file(tmp_path / "a", b"x")
        durable.seal_file(tmp_path / "a")
        durable.rename(tmp_path / "a", tmp_path / "b")
        with durable.lock(tmp_path / ".lock"):
            pass
        durable.remove_tree(tmp_path / "b")

    def next_descriptor() -> int:
        with io.open(os.devnull) as file:  # noqa: UP020
            return file.fileno()

    before = next_descriptor()
    do_all()
    assert next_descriptor() == before


def test_a_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert durable.sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("many", [100, 2])
def test_each_of_many_folders_is_synced_once_whether_together_or_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(durable, "_MANY_FOLDERS", many)
    folders = [tmp_path / str(number) for number in range(20)]
    for folder in folders:
        folder.mkdir()
    synced: list[Path] = []
    real = durable.fsync_dir
    monkeypatch.setattr(durable, "fsync_dir", lambda path: (real(path), synced.append(path)))

    durable.fsync_dirs(folders)

    assert sorted(synced) == sorted(folders)
    with pytest.raises(StorageError, match="no-such"):
        durable.fsync_dirs([*folders, tmp_path / "no-such"])
