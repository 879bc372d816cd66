"""The file system port on the operating system's own files."""

import contextlib
import copy
import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePath

import pyarrow as pa

from akidb_ray.domain.errors import AkiDBError, NotFound, StorageFailed, StorageFull, Unavailable
from akidb_ray.storage.filesystem import SCRATCH_SUFFIX, Bytes, FileSystem

# Each further one takes another directory removed by others in the moment after it was made.
MAKE_ATTEMPTS = 100
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_HAS_CONTENT = {errno.ENOTEMPTY, errno.EEXIST}
_LOCK_POLL_S = 0.05
_CLOSED = -1


@contextlib.contextmanager
def translated(path: PurePath, full: type[AkiDBError] = StorageFull) -> Iterator[None]:
    """Errors of the operating system become ours, said of `path`; lack of room becomes `full`."""
    try:
        yield
    except FileNotFoundError:
        raise NotFound("file", path) from None
    except OSError as error:
        kind = full if error.errno in _FULL else StorageFailed
        reason = error.strerror
        if error.errno == errno.EMFILE:
            reason = "this process has too many files open; raise its limit with `ulimit -n`"
        raise kind(f"{path}: {reason}", file=str(path)) from error


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_directory(target: Path, top: Path, mode: int) -> None:
    """Make a directory and its parents, durably. Below `top`, those found are made durable too: a
    process that was killed may have made them and not synced their names.
    """
    for _ in range(MAKE_ATTEMPTS - 1):
        # A parent that was empty may be removed at any moment before there is something in it.
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            return _try_to_make_directory(target, top, mode)
    return _try_to_make_directory(target, top, mode)


def _try_to_make_directory(target: Path, top: Path, mode: int) -> None:
    missing = [path for path in (target, *target.parents) if not path.is_dir()]
    for path in reversed(missing):
        path.mkdir(mode, exist_ok=True)
    for path in (target, *target.parents):
        if path in missing or (path != top and path.is_relative_to(top)):
            _sync_directory(path.parent)


def _sync_removed(path: Path) -> None:
    """Make it durable that `path` is gone. Also for one that was found gone: whoever removed it may
    have been killed before that. A parent that is gone as well has no names.
    """
    with contextlib.suppress(FileNotFoundError):
        _sync_directory(path.parent)


def _sync_file(descriptor: int) -> None:
    # macOS's fsync leaves data in the drive's cache; F_FULLFSYNC does not.
    full_sync = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is None:
        os.fsync(descriptor)
    else:
        fcntl.fcntl(descriptor, full_sync)


def _take_lock(descriptor: int, wait_s: float) -> None:
    """Raises BlockingIOError when another one holds it for `wait_s`."""
    give_up_at = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= give_up_at:
                raise
        time.sleep(_LOCK_POLL_S)


class OsAppendFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._torn = False
        with translated(path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self._size = os.fstat(self._descriptor).st_size

    @property
    def size_bytes(self) -> int:
        return self._size

    def write(self, parts: Iterable[Bytes]) -> None:
        self._check_open()
        if self._torn:
            raise StorageFailed(f"{self._path}: ends in half a write that could not be cut off")
        with translated(self._path):
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
        self._check_open()
        # Lack of room is no StorageFull here: that would promise that nothing was kept.
        with translated(self._path, full=StorageFailed):
            _sync_file(self._descriptor)

    def close(self) -> None:
        # A number that was closed may be another file's by now.
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED:
            with translated(self._path):
                os.close(descriptor)

    def _check_open(self) -> None:
        if self._descriptor == _CLOSED:
            raise StorageFailed(f"{self._path}: is closed", file=str(self._path))


class OsFileLock:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED:
            os.close(descriptor)


class OsFileSystem:
    """Files below `root`, which is created when missing."""

    def __init__(self, root: Path, *, private: bool = False) -> None:
        """Of a `private` one, only the owner may use folders and files that are made here."""
        self.root = self._top = root
        self._folder_mode = 0o700 if private else 0o777
        self._file_mode = 0o600 if private else 0o666
        with translated(root):
            _make_directory(root, root, self._folder_mode)

    def create_directory(self, path: PurePath) -> None:
        target = self.root / path
        with translated(target):
            _make_directory(target, self._top, self._folder_mode)

    def list(self, path: PurePath) -> list[str]:
        target = self.root / path
        with translated(target):
            return sorted(os.listdir(target)) if target.is_dir() else []

    def exists(self, path: PurePath) -> bool:
        with translated(self.root / path):
            return (self.root / path).exists()

    def size_bytes(self, path: PurePath) -> int:
        with translated(self.root / path):
            return (self.root / path).stat().st_size

    def modified_at(self, path: PurePath) -> float:
        with translated(self.root / path):
            return (self.root / path).stat().st_mtime

    def read(self, path: PurePath) -> bytes:
        with translated(self.root / path):
            return (self.root / path).read_bytes()

    def map(self, path: PurePath) -> memoryview:
        # Python's own mmap keeps a file descriptor for each mapping, and there are thousands.
        with translated(self.root / path), pa.memory_map(str(self.root / path)) as file:
            return memoryview(file.read_buffer())

    def write(self, path: PurePath, parts: Iterable[Bytes]) -> None:
        target = self.root / path
        try:
            with translated(target), open(target, "wb", opener=self._made) as file:
                for part in parts:
                    file.write(part)
                file.flush()
                _sync_file(file.fileno())
        except StorageFull:
            self.remove(path)
            raise

    def import_file(self, path: PurePath, produce: Callable[[str], None]) -> None:
        with self._becoming(path) as scratch:
            produce(str(scratch))
            with scratch.open("rb") as file:
                _sync_file(file.fileno())

    def copy_in(self, path: PurePath, source: FileSystem, source_path: PurePath) -> None:
        if not source.exists(source_path):
            raise NotFound("file", source_path)

        def produce(scratch: str) -> None:
            if isinstance(source, OsFileSystem):
                # The kernel copies, and a disk error is no signal as it would be in a mapping.
                shutil.copyfile(source.root / source_path, scratch)
            else:
                Path(scratch).write_bytes(source.map(source_path))

        self.import_file(path, produce)

    def library_path(self, path: PurePath) -> str:
        return str(self.root / path)

    def replace(self, path: PurePath, content: Bytes) -> None:
        with self._becoming(path) as scratch:
            self.write(scratch.relative_to(self.root), [content])
        self.sync_directory(path.parent)

    def append(self, path: PurePath) -> OsAppendFile:
        return OsAppendFile(self.root / path)

    def truncate(self, path: PurePath, size_bytes: int) -> None:
        target = self.root / path
        with translated(target), target.open("r+b") as file:
            file.truncate(size_bytes)
            _sync_file(file.fileno())

    def remove(self, path: PurePath) -> None:
        with translated(self.root / path):
            (self.root / path).unlink(missing_ok=True)

    def remove_tree(self, path: PurePath) -> None:
        target = self.root / path
        with translated(target):
            if target.exists():
                shutil.rmtree(target)
            _sync_removed(target)

    def remove_empty_directory(self, path: PurePath) -> None:
        target = self.root / path
        with translated(target):
            try:
                target.rmdir()
            except FileNotFoundError:
                pass
            except OSError as error:
                if error.errno not in _HAS_CONTENT:
                    raise
                return
            _sync_removed(target)

    def sync_directory(self, path: PurePath) -> None:
        # What happened in the directory did happen, so this is no StorageFull either.
        with translated(self.root / path, full=StorageFailed):
            _sync_directory(self.root / path)

    def lock(self, path: PurePath, wait_s: float) -> OsFileLock:
        target = self.root / path
        with translated(target):
            descriptor = os.open(target, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                _take_lock(descriptor, wait_s)
            except BlockingIOError:
                os.close(descriptor)
                raise Unavailable(
                    f"{target} is held by another process; stop it or use another data folder",
                    file=str(target),
                ) from None
            except BaseException:
                os.close(descriptor)
                raise
            return OsFileLock(descriptor)

    def free_bytes(self) -> int:
        with translated(self.root):
            return shutil.disk_usage(self.root).free

    def subtree(self, path: PurePath) -> "OsFileSystem":
        inner = copy.copy(self)
        inner.root = self.root / path
        return inner

    def _made(self, path: str, flags: int) -> int:
        return os.open(path, flags, self._file_mode)

    @contextlib.contextmanager
    def _becoming(self, path: PurePath) -> Iterator[Path]:
        """A scratch file that becomes `path` at the end, or goes when something fails."""
        target = self.root / path
        scratch = target.with_name(target.name + SCRATCH_SUFFIX)
        with translated(target):
            try:
                yield scratch
                scratch.replace(target)
            finally:
                scratch.unlink(missing_ok=True)
