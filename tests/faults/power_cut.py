"""A disk that loses and reorders what was not brought to it: every folder that a power cut may leave behind.

The calls of a command are replayed on a model with the weakest promise a file system may give:

* what a file held at its last fsync is sure; of what was written since, all, nothing, a part or zeros may be there;
* a name is sure once its folder was synced; each later creation, link, removal and half of a rename may be there or
  not, whatever the order, but a name that is replaced leads to the old file or to the new one;
* a symbolic link and its target arrive together.

A power cut may strike before every call and after the last. For each such instant the model yields the states in which
nothing, everything, one thing alone, and everything but one thing survived, and seeded random mixtures.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.disk import Call

RANDOM_STATES = 4  # at every instant


@dataclass(eq=False)
class File:
    """A file: what is sure, and what was written since."""

    sure: bytes = b""
    now: bytes = b""

    def survivors(self) -> list[bytes]:
        """What may be found in it; the first is the least, the second all."""
        if self.sure == self.now:
            return [self.sure]
        half = len(self.now) // 2
        return [
            self.sure,
            self.now,
            self.now[:half],
            self.now[:half] + bytes(len(self.now) - half),
            bytes(len(self.now)),
        ]


@dataclass(eq=False)
class Link:
    """A symbolic link."""

    target: str


@dataclass(eq=False)
class Folder:
    """A folder: the names that are sure, and what happened to names since; None removes one."""

    sure: dict[str, Node] = field(default_factory=dict)
    since: list[tuple[str, Node | None]] = field(default_factory=list)

    def now(self) -> dict[str, Node]:
        """The names as a running process sees them."""
        return self.with_these([True] * len(self.since))

    def with_these(self, survives: Sequence[bool]) -> dict[str, Node]:
        """The names when only some of what happened since survives."""
        names = dict(self.sure)
        for (name, node), does in zip(self.since, survives, strict=True):
            if does and node is None:
                names.pop(name, None)
            elif does and node is not None:
                names[name] = node
        return names


Node = File | Link | Folder

# A folder as a power cut left it: path -> bytes of a file, target of a link, None for a folder.
State = dict[str, bytes | str | None]


def from_disk(path: Path) -> Folder:
    """A folder all of which is sure."""
    folder = Folder()
    for entry in os.scandir(path):
        if entry.is_symlink():
            folder.sure[entry.name] = Link(os.readlink(entry.path))
        elif entry.is_dir():
            folder.sure[entry.name] = from_disk(Path(entry.path))
        else:
            data = Path(entry.path).read_bytes()
            folder.sure[entry.name] = File(data, data)
    return folder


class Model:
    """A tree of folders, changed call by call."""

    def __init__(self, root: Folder) -> None:
        self.root = root

    def _node(self, path: str) -> Node:
        node: Node = self.root
        for name in Path(path).parts:
            assert isinstance(node, Folder), path
            node = node.now()[name]
        return node

    def _folder_of(self, path: str) -> tuple[Folder, str]:
        folder = self._node(str(Path(path).parent))
        assert isinstance(folder, Folder), path
        return folder, Path(path).name

    def _exists(self, path: str) -> bool:
        folder, name = self._folder_of(path)
        return name in folder.now()

    def do(self, call: Call) -> None:
        """Change the tree as the call does."""
        folder, name = self._folder_of(call.path) if call.path != "." else (self.root, "")
        if call.name == "mkdir":
            folder.since.append((name, Folder()))
        elif call.name == "symlink":
            folder.since.append((name, Link(call.other)))
        elif call.name in ("unlink", "rmdir"):
            if name in folder.now():  # else the call failed, and nothing happened
                folder.since.append((name, None))
        elif call.name in ("link", "rename"):
            target, new_name = self._folder_of(call.other)
            target.since.append((new_name, folder.now()[name]))
            if call.name == "rename":
                folder.since.append((name, None))
        elif call.name == "fsync":
            self._sync(self._node(call.path))
        elif call.name == "library" or (call.name == "open" and call.does_create):
            if name not in folder.now():
                folder.since.append((name, File()))
            if call.name == "library":  # DuckDB's syncs are its own business; nothing of it is taken as sure
                self._write(call)
        elif call.name in ("write", "pwrite", "ftruncate"):
            self._write(call)

    def _write(self, call: Call) -> None:
        file = self._node(call.path)
        assert isinstance(file, File), call
        if call.name == "ftruncate":
            file.now = file.now[: call.at]
        else:
            at = call.at if call.at is not None else len(file.now)
            file.now = file.now[:at] + call.data + file.now[at + len(call.data) :]

    def _sync(self, node: Node) -> None:
        if isinstance(node, File):
            node.sure = node.now
        elif isinstance(node, Folder):
            node.sure, node.since = node.now(), []

    def states(self, chance: random.Random) -> Iterator[State]:
        """What a power cut right now may leave behind."""
        choices = Choices(self.root)
        yield choices.state({}, default=0)
        if not choices.options:
            return
        yield choices.state({}, default=1)
        for place, number in choices.options.items():
            for choice in range(number):
                yield choices.state({place: choice}, default=0)
                yield choices.state({place: choice}, default=1)
        for _ in range(RANDOM_STATES):
            yield choices.state(
                {place: chance.randrange(number) for place, number in choices.options.items()}, default=0
            )


class Choices:
    """What is open at one instant: for each unsure thing, in how many ways it may survive.

    Attributes:
        options: the thing -> the number of ways; 0 is the least that survives, 1 all.
    """

    def __init__(self, root: Folder) -> None:
        self.options: dict[tuple[int, int], int] = {}
        self._root = root
        self._met: set[int] = set()
        self._collect(root)

    def _collect(self, node: Node) -> None:
        if id(node) in self._met:
            return
        self._met.add(id(node))
        if isinstance(node, File) and len(node.survivors()) > 1:
            self.options[id(node), 0] = len(node.survivors())
        if isinstance(node, Folder):
            self.options |= {(id(node), at): 2 for at in range(len(node.since))}
            for child in [*node.sure.values(), *(child for _, child in node.since if child)]:
                self._collect(child)

    def state(self, chosen: dict[tuple[int, int], int], default: int) -> State:
        """The tree for one choice; what is not chosen is `default`."""
        state: State = {}
        self._fill(state, "", self._root, chosen, default)
        return state

    def _fill(self, state: State, path: str, node: Node, chosen: dict[tuple[int, int], int], default: int) -> None:
        if isinstance(node, Link):
            state[path] = node.target
        elif isinstance(node, File):
            survivors = node.survivors()
            state[path] = survivors[chosen.get((id(node), 0), default) if len(survivors) > 1 else 0]
        else:
            state[path] = None
            survives = [bool(chosen.get((id(node), at), default)) for at in range(len(node.since))]
            for name, child in node.with_these(survives).items():
                self._fill(state, f"{path}/{name}".lstrip("/"), child, chosen, default)


def materialise(state: State, folder: Path) -> Path:
    """Make the state a folder that can be read."""
    for path, content in sorted(state.items()):
        if content is None:
            (folder / path).mkdir(parents=True, exist_ok=True)
        elif isinstance(content, str):
            (folder / path).symlink_to(content)
        else:
            (folder / path).write_bytes(content)
    return folder
