"""The file system port on the operating system's own files."""

import contextlib
import copy
import errno
import fcntl
import mmap
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePath

from akidb_ray.domain.errors import NotFound, StorageFailed, StorageFull, Unavailable
from akidb_ray.storage.filesystem import Bytes

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_LOCK_POLL_S = 0.05
SCRATCH_SUFFIX = ".scratch"


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise NotFound("file", path) from None
    except OSError as error:
        kind = StorageFull if error.errno in _FULL else StorageFailed
        raise kind(f"{path}: {error.strerror}", file=str(path)) from error


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_directory(target: Path, top: Path) -> None:
    """Make a directory and its parents, durably. Below `top`, those found are made durable too: a
    process that was killed may have made them and not synced their names.
    """
    missing = {path for path in (target, *target.parents) if not path.exists()}
    target.mkdir(parents=True, exist_ok=True)
    for path in (target, *target.parents):
        if path in missing or (path != top and path.is_relative_to(top)):
            _sync_directory(path.parent)


def _sync_file(descriptor: int) -> None:
    # macOS's fsync leaves data in the drive's cache; F_FULLFSYNC does not.
    full_sync = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is None:
        os.fsync(descriptor)
    else:
        fcntl.fcntl(descriptor, full_sync)


class OsAppendFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._torn = False
        with _translated(path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self._size = os.fstat(self._descriptor).st_size

    @property
    def size_bytes(self) -> int:
        return self._size

    def write(self, parts: Iterable[Bytes]) -> None:
        if self._torn:
            raise StorageFailed(f"{self._path}: ends in half a write that could not be cut off")
        with _translated(self._path):
            try:
                for part in parts:
                    rest = memoryview(part).cast("B")
                    while rest:
                        rest = rest[os.write(self._descriptor, rest) :]
            except BaseException:
                self._torn = True
                os.ftruncate(self._descriptor, self._size)
                self._torn = False
                raise
            self._size = os.fstat(self._descriptor).st_size

    def sync(self) -> None:
        try:
            _sync_file(self._descriptor)
        except OSError as error:
            # Lack of room is no StorageFull here: that would promise that nothing was kept.
            raise StorageFailed(f"{self._path}: {error.strerror}", file=str(self._path)) from error

    def close(self) -> None:
        with _translated(self._path):
            os.close(self._descriptor)


class OsFileLock:
    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        # A number that was closed may be another file's by now.
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class OsFileSystem:
    """Files below `root`, which is created when missing."""

    def __init__(self, root: Path) -> None:
        self.root = self._top = root
        with _translated(root):
            _make_directory(root, top=root)

    def create_directory(self, path: PurePath) -> None:
        target = self.root / path
        with _translated(target):
            _make_directory(target, self._top)

    def list(self, path: PurePath) -> list[str]:
        target = self.root / path
        with _translated(target):
            return sorted(os.listdir(target)) if target.is_dir() else []

    def exists(self, path: PurePath) -> bool:
        return (self.root / path).exists()

    def size_bytes(self, path: PurePath) -> int:
        with _translated(self.root / path):
            return (self.root / path).stat().st_size

    def modified_at(self, path: PurePath) -> float:
        with _translated(self.root / path):
            return (self.root / path).stat().st_mtime

    def read(self, path: PurePath) -> bytes:
        with _translated(self.root / path):
            return (self.root / path).read_bytes()

    def map(self, path: PurePath) -> memoryview:
        with _translated(self.root / path), (self.root / path).open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def write(self, path: PurePath, parts: Iterable[Bytes]) -> None:
        target = self.root / path
        with _translated(target), target.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            _sync_file(file.fileno())

    def import_file(self, path: PurePath, produce: Callable[[str], None]) -> None:
        target = self.root / path
        scratch = target.with_name(target.name + SCRATCH_SUFFIX)
        with _translated(target):
            try:
                produce(str(scratch))
                with scratch.open("rb") as file:
                    _sync_file(file.fileno())
                scratch.rename(target)
            finally:
                scratch.unlink(missing_ok=True)

    def library_path(self, path: PurePath) -> str:
        return str(self.root / path)

    def replace(self, path: PurePath, content: Bytes) -> None:
        target = self.root / path
        scratch = target.with_name(target.name + SCRATCH_SUFFIX)
        try:
            self.write(scratch.relative_to(self.root), [content])
        except StorageFull:
            scratch.unlink(missing_ok=True)
            raise
        with _translated(target):
            scratch.replace(target)
            _sync_directory(target.parent)

    def append(self, path: PurePath) -> OsAppendFile:
        return OsAppendFile(self.root / path)

    def truncate(self, path: PurePath, size_bytes: int) -> None:
        target = self.root / path
        with _translated(target), target.open("r+b") as file:
            file.truncate(size_bytes)
            _sync_file(file.fileno())

    def remove(self, path: PurePath) -> None:
        with _translated(self.root / path):
            (self.root / path).unlink(missing_ok=True)

    def remove_tree(self, path: PurePath) -> None:
        target = self.root / path
        with _translated(target):
            if target.exists():
                shutil.rmtree(target)
                _sync_directory(target.parent)

    def sync_directory(self, path: PurePath) -> None:
        with _translated(self.root / path):
            _sync_directory(self.root / path)

    def lock(self, path: PurePath, wait_s: float) -> OsFileLock:
        target = self.root / path
        with _translated(target):
            descriptor = os.open(target, os.O_RDWR | os.O_CREAT, 0o600)
        give_up_at = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return OsFileLock(descriptor)
            except BlockingIOError:
                if time.monotonic() >= give_up_at:
                    os.close(descriptor)
                    raise Unavailable(
                        f"{target} is held by another process; stop it or use another data folder",
                        file=str(target),
                    ) from None
            time.sleep(_LOCK_POLL_S)

    def free_bytes(self) -> int:
        with _translated(self.root):
            return shutil.disk_usage(self.root).free

    def subtree(self, path: PurePath) -> "OsFileSystem":
        inner = copy.copy(self)
        inner.root = self.root / path
        return inner
