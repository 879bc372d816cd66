"""A disk in memory that keeps apart what processes see and what a loss of power leaves.

Each file has the bytes that processes see and the bytes that are on the disk, each directory has
names of both kinds; only a sync moves them from one to the other. Room is counted by what processes
see. Each method of `MemoryDisk` that changes something is one step, as a system call is: a file
system is made of these steps, and the power can go between any two of them.
"""

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import PurePath
from typing import Self

from akidb_ray.domain.errors import NotFound, StorageFailed, StorageFull, Unavailable


class Keep(Enum):
    """What is left after the end: all (the process was killed), what was synced, or that and some
    of the rest.
    """

    EVERYTHING = auto()
    SYNCED = auto()
    SOME = auto()


@dataclass(eq=False)
class File:
    """`seen` and `disk` are one object where nothing differs. `dirty` holds the (start, end) that
    were written since the last sync.
    """

    seen: bytes | bytearray = b""
    disk: bytes | bytearray = b""
    dirty: list[tuple[int, int]] = field(default_factory=list)
    modified_at: float = field(default_factory=time.time)

    def write(self, data: bytes) -> None:
        """Append."""
        start = len(self.seen)
        if start == 0:
            self.seen = data
        else:
            # What grows is a bytearray, so that many small appends do not copy it each time.
            self.seen = self.seen if isinstance(self.seen, bytearray) else bytearray(self.seen)
            self.seen += data
        self.dirty.append((start, len(self.seen)))
        self.modified_at = time.time()

    def cut(self, size_bytes: int) -> None:
        self.seen = self.seen[:size_bytes]
        self.dirty = [
            (start, min(end, size_bytes)) for start, end in self.dirty if start < size_bytes
        ]
        self.modified_at = time.time()

    def sync(self) -> None:
        if isinstance(self.seen, bytes) and self.dirty == [(0, len(self.seen))]:
            self.disk = self.seen
        else:
            disk = self._disk_of_size(len(self.seen))
            for start, end in self.dirty:
                disk[start:end] = self.seen[start:end]
        self.dirty = []

    def lose(self, keep: Keep, rng: random.Random) -> None:
        if keep is Keep.SOME:
            self._keep_some(rng)
        if keep is not Keep.EVERYTHING:
            self.seen = self.disk = bytes(self.disk)
            self.dirty = []

    def _keep_some(self, rng: random.Random) -> None:
        """Blocks reach the disk in any order; those that did not read as zeros."""
        size = rng.randint(min(len(self.disk), len(self.seen)), len(self.seen))
        disk = self._disk_of_size(size)
        for start, end in self.dirty:
            middle = rng.randint(start, end)
            kept = rng.choice([(start, middle), (middle, end), (start, end)])
            disk[kept[0] : kept[1]] = self.seen[kept[0] : kept[1]]
        del disk[size:]

    def _disk_of_size(self, size_bytes: int) -> bytearray:
        disk = self.disk if isinstance(self.disk, bytearray) else bytearray(self.disk)
        del disk[size_bytes:]
        disk += bytes(size_bytes - len(disk))
        self.disk = disk
        return disk


@dataclass(eq=False)
class Directory:
    seen: dict[str, "File | Directory"] = field(default_factory=dict)
    disk: dict[str, "File | Directory"] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """All that processes see in the files below."""
        return sum(
            node.size_bytes if isinstance(node, Directory) else len(node.seen)
            for node in self.seen.values()
        )

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


@dataclass(frozen=True, slots=True)
class Handle:
    """An open file. It goes on where the name was given to another file meanwhile."""

    path: PurePath
    file: File


class MemoryFileLock:
    def __init__(self, disk: "MemoryDisk", path: PurePath) -> None:
        self._disk, self._path = disk, path

    def release(self) -> None:
        self._disk.unlock(self._path, self)


class MemoryDisk:
    """One tree of directories and files. Paths are relative to its root.

    Every method may be called from any thread. After a loss of power all but `unlock` raise
    StorageFailed: what is left is another disk.
    """

    def __init__(self, capacity_bytes: int = 2**40, root: Directory | None = None) -> None:
        self.capacity_bytes = capacity_bytes
        self.root = root or Directory()
        self.locked: dict[PurePath, MemoryFileLock] = {}
        self._lost_power = False
        self._changed = threading.Condition()

    @property
    def free_bytes(self) -> int:
        with self._powered():
            return max(0, self.capacity_bytes - self.root.size_bytes)

    def after_power_loss(self, keep: Keep, rng: random.Random) -> Self:
        """End this disk; another one has what is left, and no locks."""
        with self._powered():
            self._lost_power = True
            self._changed.notify_all()
            self.root.lose(keep, rng)
            return type(self)(self.capacity_bytes, self.root)

    def find(self, path: PurePath) -> File | Directory | None:
        with self._powered():
            node: File | Directory | None = self.root
            for part in path.parts:
                node = node.seen.get(part) if isinstance(node, Directory) else None
            return node

    def names(self, path: PurePath) -> list[str]:
        with self._powered():
            node = self.find(path)
            return sorted(node.seen) if isinstance(node, Directory) else []

    def content(self, path: PurePath) -> bytes:
        with self._powered():
            return bytes(self.open(path).file.seen)

    def open(self, path: PurePath) -> Handle:
        """Raises NotFound, StorageFailed when it is a directory."""
        node = self.find(path)
        if node is None:
            raise NotFound("file", path)
        if isinstance(node, Directory):
            raise StorageFailed(f"{path}: is a directory", file=str(path))
        return Handle(path, node)

    def name_is_durable(self, path: PurePath) -> bool:
        with self._powered():
            names = self._directory_of(path)
            return names.seen.get(path.name) is names.disk.get(path.name)

    def make_directory(self, path: PurePath) -> None:
        """Fine when it exists."""
        with self._powered():
            self._directory_of(path).seen.setdefault(path.name, Directory())
            self._directory(path)

    def sync_directory(self, path: PurePath) -> None:
        with self._powered():
            directory = self._directory(path)
            directory.disk = dict(directory.seen)

    def create(self, path: PurePath) -> Handle:
        """Open a file, which is made when it is missing."""
        with self._powered():
            self._directory_of(path).seen.setdefault(path.name, File())
            return self.open(path)

    def write(self, handle: Handle, data: bytes) -> None:
        """Append all or nothing. Raises StorageFull."""
        with self._powered():
            if len(data) > self.free_bytes:
                raise StorageFull(f"{handle.path}: no space left", file=str(handle.path))
            handle.file.write(data)

    def sync(self, handle: Handle) -> None:
        with self._powered():
            handle.file.sync()

    def cut(self, handle: Handle, size_bytes: int) -> None:
        with self._powered():
            handle.file.cut(size_bytes)

    def rename(self, source: PurePath, target: PurePath) -> None:
        with self._powered():
            file, names = self.open(source).file, self._directory_of(target).seen
            del self._directory_of(source).seen[source.name]
            names[target.name] = file

    def remove(self, path: PurePath) -> None:
        """Remove a file, or find it gone."""
        with self._powered():
            if self.find(path) is not None:
                self.open(path)
                del self._directory_of(path).seen[path.name]

    def remove_directory(self, path: PurePath) -> None:
        with self._powered():
            if self._directory(path).seen:
                raise StorageFailed(f"{path}: directory not empty", file=str(path))
            del self._directory_of(path).seen[path.name]

    def lock(self, path: PurePath, wait_s: float) -> MemoryFileLock:
        """Raises Unavailable when another one holds it for `wait_s`."""
        lock = MemoryFileLock(self, path)
        with self._powered():
            if not self._changed.wait_for(
                lambda: self._lost_power or path not in self.locked, wait_s
            ):
                raise Unavailable(f"{path} is held", file=str(path))
            self._check_power()
            self.locked[path] = lock
        return lock

    def unlock(self, path: PurePath, lock: MemoryFileLock) -> None:
        """Fine when `lock` is held no longer, by whomever it is held now."""
        with self._changed:
            if self.locked.get(path) is lock:
                del self.locked[path]
                self._changed.notify_all()

    def _directory(self, path: PurePath) -> Directory:
        node = self.find(path)
        if node is None:
            raise NotFound("file", path)
        if isinstance(node, File):
            raise StorageFailed(f"{path}: is not a directory", file=str(path))
        return node

    def _directory_of(self, path: PurePath) -> Directory:
        return self._directory(path.parent)

    @contextlib.contextmanager
    def _powered(self) -> Iterator[None]:
        with self._changed:
            self._check_power()
            yield

    def _check_power(self) -> None:
        if self._lost_power:
            raise StorageFailed("this disk lost its power; another one has what is left")
