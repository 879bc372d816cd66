"""A file system in memory that keeps what a disk would keep, and stops at a chosen operation.

Each file has the bytes that processes see and the bytes that are on the disk, each directory has
names of both kinds; only `sync` moves them from one to the other. Every operation of the port is
made of steps, as on a real system (`replace` writes a scratch file, syncs it, renames it, syncs the
directory), and the power can go before any of them. A failed sync behaves as on Linux: what was
unsynced is marked as clean, is never written, and is read back from memory as if it were there.
"""

import contextlib
import random
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path, PurePath, PurePosixPath
from typing import IO

from akidb_ray.domain.errors import NotFound, StorageFailed, Unavailable
from akidb_ray.storage.filesystem import Bytes


class Stopped(BaseException):
    """The process ends here. No handler may act on it: after it every operation raises again."""


class Keep(Enum):
    """What is left after the end: all (the process was killed), what was synced, or some of it."""

    EVERYTHING = auto()
    SYNCED = auto()
    SOME = auto()


@dataclass(eq=False)
class File:
    seen: bytearray = field(default_factory=bytearray)
    disk: bytearray = field(default_factory=bytearray)
    dirty: list[tuple[int, int]] = field(default_factory=list)
    modified_at: float = 0.0

    def write(self, data: bytes) -> None:
        start = len(self.seen)
        self.seen += data
        self.dirty.append((start, len(self.seen)))
        self.modified_at = time.time()

    def cut(self, size: int) -> None:
        del self.seen[size:]
        self.dirty = [(start, min(end, size)) for start, end in self.dirty if start < size]
        self.modified_at = time.time()

    def sync(self) -> None:
        self._resize(len(self.seen))
        for start, end in self.dirty:
            self.disk[start:end] = self.seen[start:end]
        self.dirty = []

    def lose(self, keep: Keep, rng: random.Random) -> None:
        if keep is Keep.SOME:
            self._keep_some(rng)
        if keep is not Keep.EVERYTHING:
            self.seen = bytearray(self.disk)
            self.dirty = []

    def _keep_some(self, rng: random.Random) -> None:
        """Blocks reach the disk in any order; those that did not read as zeros."""
        size = rng.randint(min(len(self.disk), len(self.seen)), len(self.seen))
        self._resize(size)
        for start, end in self.dirty:
            middle = rng.randint(start, end)
            kept = rng.choice([(start, middle), (middle, end), (start, end)])
            self.disk[kept[0] : kept[1]] = self.seen[kept[0] : kept[1]]
        del self.disk[size:]

    def _resize(self, size: int) -> None:
        del self.disk[size:]
        self.disk += bytes(size - len(self.disk))


@dataclass(eq=False)
class Directory:
    seen: dict[str, "File | Directory"] = field(default_factory=dict)
    disk: dict[str, "File | Directory"] = field(default_factory=dict)

    def lose(self, keep: Keep, rng: random.Random) -> None:
        if keep is Keep.SOME:
            for name in sorted(self.seen.keys() | self.disk.keys()):
                if self.seen.get(name) is not self.disk.get(name) and rng.random() < 0.5:
                    if name in self.seen:
                        self.disk[name] = self.seen[name]
                    else:
                        del self.disk[name]
        if keep is not Keep.EVERYTHING:
            self.seen = dict(self.disk)
        for node in self.seen.values():
            node.lose(keep, rng)


class Machine:
    """The disk, the steps taken on it, and when it stops."""

    def __init__(self, root: Directory | None = None) -> None:
        self.root = root or Directory()
        self.steps: list[str] = []
        self.stop_at: int | None = None
        self.before_step: Callable[[str], None] = lambda _: None
        self.free_bytes = 2**40
        self.locked: set[PurePath] = set()
        self.outside: IO[bytes] | None = None

    def step(self, operation: str, path: PurePath) -> None:
        if self.stop_at is not None and len(self.steps) >= self.stop_at:
            raise Stopped
        name = f"{operation} {path}"
        self.before_step(name)
        self.steps.append(name)

    @property
    def stops_now(self) -> bool:
        return self.stop_at is not None and len(self.steps) >= self.stop_at

    def after_end(self, keep: Keep, seed: int = 0) -> "FaultyFileSystem":
        """Start again with what is left."""
        self.stop_at = 0
        self.root.lose(keep, random.Random(seed))
        return FaultyFileSystem(Machine(self.root))


class FaultyAppendFile:
    def __init__(self, machine: Machine, path: PurePath, file: File) -> None:
        self._machine, self._path, self._file = machine, path, file

    @property
    def size_bytes(self) -> int:
        return len(self._file.seen)

    def write(self, parts: Iterable[Bytes]) -> None:
        data = b"".join(bytes(part) for part in parts)
        if self._machine.stops_now:
            self._file.write(data[: len(data) // 2])
        self._machine.step("write", self._path)
        self._file.write(data)

    def sync(self) -> None:
        try:
            self._machine.step("sync", self._path)
        except StorageFailed:
            self._file.dirty = []
            raise
        self._file.sync()

    def close(self) -> None: ...


class FaultyLock:
    def __init__(self, machine: Machine, path: PurePath) -> None:
        self._machine, self._path = machine, path

    def release(self) -> None:
        self._machine.locked.discard(self._path)


class FaultyFileSystem:
    def __init__(self, machine: Machine | None = None, root: PurePath = PurePosixPath()) -> None:
        self.machine = machine or Machine()
        self.root = root

    def create_directory(self, path: PurePath) -> None:
        directory, here = self.machine.root, PurePosixPath()
        for part in (self.root / path).parts:
            if part not in directory.seen:
                self.machine.step("mkdir", here / part)
                directory.seen[part] = Directory()
            if directory.disk.get(part) is not directory.seen[part]:
                self.machine.step("syncdir", here)
                directory.disk = dict(directory.seen)
            inner = directory.seen[part]
            assert isinstance(inner, Directory)
            directory, here = inner, here / part

    def list(self, path: PurePath) -> list[str]:
        node = self._node(path)
        return sorted(node.seen) if isinstance(node, Directory) else []

    def exists(self, path: PurePath) -> bool:
        return self._node(path) is not None

    def size_bytes(self, path: PurePath) -> int:
        return len(self._file(path).seen)

    def modified_at(self, path: PurePath) -> float:
        return self._file(path).modified_at

    def read(self, path: PurePath) -> bytes:
        return bytes(self._file(path).seen)

    def map(self, path: PurePath) -> memoryview:
        return memoryview(self.read(path))

    def write(self, path: PurePath, parts: Iterable[Bytes]) -> None:
        file = self._make(path)
        file.cut(0)
        data = b"".join(bytes(part) for part in parts)
        if self.machine.stops_now:
            file.write(data[: len(data) // 2])
        self.machine.step("write", self.root / path)
        file.write(data)
        FaultyAppendFile(self.machine, self.root / path, file).sync()

    def import_file(self, path: PurePath, produce: Callable[[str], None]) -> None:
        scratch = path.with_name(path.name + ".scratch")
        with tempfile.TemporaryDirectory() as folder:
            outside = Path(folder) / path.name
            produce(str(outside))
            self.write(scratch, [outside.read_bytes()])
        self._rename(scratch, path)

    def library_path(self, path: PurePath) -> str:
        self.machine.outside = tempfile.NamedTemporaryFile(prefix="akidb-")  # noqa: SIM115
        self.machine.outside.write(self.read(path))
        self.machine.outside.flush()
        return self.machine.outside.name

    def replace(self, path: PurePath, content: Bytes) -> None:
        scratch = path.with_name(path.name + ".scratch")
        self.write(scratch, [content])
        self._rename(scratch, path)
        self.sync_directory(path.parent)

    def append(self, path: PurePath) -> FaultyAppendFile:
        return FaultyAppendFile(self.machine, self.root / path, self._make(path))

    def truncate(self, path: PurePath, size_bytes: int) -> None:
        file = self._file(path)
        self.machine.step("truncate", self.root / path)
        file.cut(size_bytes)
        FaultyAppendFile(self.machine, self.root / path, file).sync()

    def remove(self, path: PurePath) -> None:
        if self.exists(path):
            self.machine.step("remove", self.root / path)
            del self._directory(path.parent).seen[path.name]

    def remove_tree(self, path: PurePath) -> None:
        node = self._node(path)
        if isinstance(node, Directory):
            self._empty(path, node)
            self.machine.step("rmdir", self.root / path)
            del self._directory(path.parent).seen[path.name]
            self.sync_directory(path.parent)

    def _empty(self, path: PurePath, directory: Directory) -> None:
        for name, node in sorted(directory.seen.items()):
            if isinstance(node, Directory):
                self._empty(path / name, node)
            self.machine.step("remove", self.root / path / name)
            del directory.seen[name]

    def sync_directory(self, path: PurePath) -> None:
        self.machine.step("syncdir", self.root / path)
        directory = self._directory(path)
        directory.disk = dict(directory.seen)

    def lock(self, path: PurePath, wait_s: float) -> FaultyLock:
        where = self.root / path
        if where in self.machine.locked:
            raise Unavailable(f"{where} is held")
        self._make(path)
        self.machine.locked.add(where)
        return FaultyLock(self.machine, where)

    def free_bytes(self) -> int:
        return self.machine.free_bytes

    def subtree(self, path: PurePath) -> "FaultyFileSystem":
        return FaultyFileSystem(self.machine, self.root / path)

    def _node(self, path: PurePath) -> "File | Directory | None":
        node: File | Directory | None = self.machine.root
        for part in (self.root / path).parts:
            node = node.seen.get(part) if isinstance(node, Directory) else None
        return node

    def _file(self, path: PurePath) -> File:
        node = self._node(path)
        if not isinstance(node, File):
            raise NotFound("file", self.root / path)
        return node

    def _directory(self, path: PurePath) -> Directory:
        node = self._node(path)
        if not isinstance(node, Directory):
            raise NotFound("file", self.root / path)
        return node

    def _make(self, path: PurePath) -> File:
        names = self._directory(path.parent).seen
        if path.name not in names:
            self.machine.step("create", self.root / path)
            names[path.name] = File()
        return self._file(path)

    def _rename(self, source: PurePath, target: PurePath) -> None:
        names = self._directory(source.parent).seen
        self.machine.step("rename", self.root / target)
        names[target.name] = names.pop(source.name)


def run_until(machine: Machine, stop_at: int | None, work: Callable[[], None]) -> bool:
    """Whether `work` came to its end before step `stop_at`."""
    machine.stop_at = stop_at
    with contextlib.suppress(Stopped):
        work()
        return True
    return False
