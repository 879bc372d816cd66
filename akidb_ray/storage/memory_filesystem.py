"""The file system port in memory: for a shard without a disk, and to see what a loss of power does.

Nothing of it outlives the process. Each operation takes the steps that it takes on a real disk
(`replace` writes a scratch file, syncs it, renames it, syncs the directory), so that a disk which
counts them, or stops at one of them, sees what would happen there.
"""

import contextlib
import copy
import random
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath, PurePosixPath
from typing import Self

from akidb_ray.domain.errors import NotFound, StorageFailed, StorageFull
from akidb_ray.storage.filesystem import SCRATCH_SUFFIX, Bytes, FileSystem
from akidb_ray.storage.memory_disk import Directory, File, Handle, Keep, MemoryDisk, MemoryFileLock
from akidb_ray.storage.os_filesystem import MAKE_ATTEMPTS, translated


class MemoryAppendFile:
    def __init__(self, disk: MemoryDisk, handle: Handle) -> None:
        self._disk, self._handle, self._closed = disk, handle, False

    @property
    def size_bytes(self) -> int:
        return len(self._handle.file.seen)

    def write(self, parts: Iterable[Bytes]) -> None:
        self._check_open()
        self._disk.write(self._handle, b"".join(parts))

    def sync(self) -> None:
        self._check_open()
        self._disk.sync(self._handle)

    def close(self) -> None:
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise StorageFailed(f"{self._handle.path}: is closed", file=str(self._handle.path))


class LibraryCopies:
    """Copies of files in a private folder of the operating system, which goes when this goes."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._lock = threading.Lock()

    def put(self, path: PurePath, content: bytes) -> str:
        with translated(path), self._lock:
            target = self._outside(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch = target.with_name(target.name + SCRATCH_SUFFIX)
            scratch.write_bytes(content)
            # A library may have the former content mapped: it must not change under it.
            scratch.replace(target)
            return str(target)

    def forget(self, path: PurePath) -> None:
        """Remove the copies of this file, or of all files of this directory."""
        with translated(path), self._lock:
            if self._folder is not None:
                target = self._outside(path)
                if target.is_dir():
                    shutil.rmtree(target)
                else:
                    target.unlink(missing_ok=True)

    def _outside(self, path: PurePath) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="akidb-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder / "files" / path


class MemoryFileSystem:
    """Files in memory. Every method may be called from any thread.

    A write that needs more than what is left of `capacity_bytes` raises StorageFull.
    """

    def __init__(self, capacity_bytes: int = 2**40) -> None:
        self.disk = MemoryDisk(capacity_bytes)
        self.root: PurePath = PurePosixPath()
        self._copies = LibraryCopies()

    def power_loss(self, keep: Keep, rng: random.Random) -> Self:
        """End this file system, with all that is open in it, and return one with what is left.

        `rng` chooses what is kept by `Keep.SOME`. A killed process is `Keep.EVERYTHING`.
        """
        left = copy.copy(self)
        left.disk = self.disk.after_power_loss(keep, rng)
        left._copies = LibraryCopies()
        return left

    def create_directory(self, path: PurePath) -> None:
        for _ in range(MAKE_ATTEMPTS - 1):
            with contextlib.suppress(NotFound):
                return self._try_to_create_directory(path)
        return self._try_to_create_directory(path)

    def _try_to_create_directory(self, path: PurePath) -> None:
        here: PurePath = PurePosixPath()
        for part in (self.root / path).parts:
            parent, here = here, here / part
            if not isinstance(self.disk.find(here), Directory):
                self.disk.make_directory(here)
            if not self.disk.name_is_durable(here):
                self.disk.sync_directory(parent)

    def list(self, path: PurePath) -> list[str]:
        return self.disk.names(self.root / path)

    def exists(self, path: PurePath) -> bool:
        return self.disk.find(self.root / path) is not None

    def size_bytes(self, path: PurePath) -> int:
        return len(self.disk.open(self.root / path).file.seen)

    def modified_at(self, path: PurePath) -> float:
        return self.disk.open(self.root / path).file.modified_at

    def read(self, path: PurePath) -> bytes:
        return self.disk.content(self.root / path)

    def map(self, path: PurePath) -> memoryview:
        return memoryview(self.read(path))

    def write(self, path: PurePath, parts: Iterable[Bytes]) -> None:
        handle = self._create(path)
        if handle.file.seen:
            self.disk.cut(handle, 0)
        try:
            self.disk.write(handle, b"".join(parts))
            self.disk.sync(handle)
        except StorageFull:
            self.remove(path)
            raise

    def import_file(self, path: PurePath, produce: Callable[[str], None]) -> None:
        with translated(self.root / path), tempfile.TemporaryDirectory(prefix="akidb-") as folder:
            outside = Path(folder) / path.name
            produce(str(outside))
            content = outside.read_bytes()
        self._write_whole(path, content)

    def copy_in(self, path: PurePath, source: FileSystem, source_path: PurePath) -> None:
        self._write_whole(path, source.read(source_path))

    def library_path(self, path: PurePath) -> str:
        return self._copies.put(self.root / path, self.read(path))

    def replace(self, path: PurePath, content: Bytes) -> None:
        self._write_whole(path, content)
        self.sync_directory(path.parent)

    def append(self, path: PurePath) -> MemoryAppendFile:
        return MemoryAppendFile(self.disk, self._create(path))

    def truncate(self, path: PurePath, size_bytes: int) -> None:
        handle = self.disk.open(self.root / path)
        self.disk.cut(handle, size_bytes)
        self.disk.sync(handle)

    def remove(self, path: PurePath) -> None:
        if self.exists(path):
            self.disk.remove(self.root / path)
            self._copies.forget(self.root / path)

    def remove_tree(self, path: PurePath) -> None:
        top = self.root / path
        if self.disk.find(top) is not None:
            self._empty(top)
            # The root of the disk has no name to remove.
            if top.name:
                self.disk.remove_directory(top)
            self._copies.forget(top)
        self._sync_removed(top)

    def remove_empty_directory(self, path: PurePath) -> None:
        target = self.root / path
        try:
            # The root of the disk has no name to remove.
            if target.name:
                self.disk.remove_directory(target)
        except NotFound:
            pass
        except StorageFailed:
            found = self.disk.find(target)
            if isinstance(found, File):
                raise
            if found is not None:
                return
        self._sync_removed(target)

    def sync_directory(self, path: PurePath) -> None:
        self.disk.sync_directory(self.root / path)

    def lock(self, path: PurePath, wait_s: float) -> MemoryFileLock:
        self._create(path)
        return self.disk.lock(self.root / path, wait_s)

    def free_bytes(self) -> int:
        return self.disk.free_bytes

    def subtree(self, path: PurePath) -> Self:
        inner = copy.copy(self)
        inner.root = self.root / path
        return inner

    def _sync_removed(self, path: PurePath) -> None:
        with contextlib.suppress(NotFound):
            self.disk.sync_directory(path.parent)

    def _create(self, path: PurePath) -> Handle:
        missing = self.disk.find(self.root / path) is None
        return (self.disk.create if missing else self.disk.open)(self.root / path)

    def _write_whole(self, path: PurePath, content: Bytes) -> None:
        """Through a scratch file, so that `path` never has a part of the content."""
        scratch = path.with_name(path.name + SCRATCH_SUFFIX)
        self.write(scratch, [content])
        self.disk.rename(self.root / scratch, self.root / path)

    def _empty(self, directory: PurePath) -> None:
        for name in self.disk.names(directory):
            if isinstance(self.disk.find(directory / name), Directory):
                self._empty(directory / name)
                self.disk.remove_directory(directory / name)
            else:
                self.disk.remove(directory / name)
