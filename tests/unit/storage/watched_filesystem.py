"""A file system around another one that counts operations and runs what a test planned before one.

A plan may raise, which makes the operation fail; wait, which holds it; or do something else first,
which is how a race is played without threads.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePath, PurePosixPath

from akidb_ray.storage.filesystem import AppendFile, Bytes, FileLock, FileSystem


@dataclass(eq=False)
class Plan:
    operation: str
    path: str
    action: Callable[[], None]
    times: int


@dataclass(eq=False)
class Watch:
    """`counts` by operation. A plan fits when its `path` is a part of the operation's path."""

    counts: Counter[str] = field(default_factory=Counter)
    plans: list[Plan] = field(default_factory=list)

    def before(self, operation: str, path: str, action: Callable[[], None], times: int = 1) -> None:
        self.plans.append(Plan(operation, path, action, times))

    def fail(self, operation: str, path: str, error: Exception, times: int = 1) -> None:
        def raise_it() -> None:
            raise error

        self.before(operation, path, raise_it, times)

    def happens(self, operation: str, path: PurePath) -> None:
        self.counts[operation] += 1
        for plan in self.plans:
            if plan.times and plan.operation == operation and plan.path in str(path):
                plan.times -= 1
                plan.action()
                return


class WatchedAppendFile:
    def __init__(self, inner: AppendFile, watch: Watch, path: PurePath) -> None:
        self._inner, self._watch, self._path = inner, watch, path

    @property
    def size_bytes(self) -> int:
        return self._inner.size_bytes

    def write(self, parts: Iterable[Bytes]) -> None:
        self._watch.happens("append", self._path)
        self._inner.write(parts)

    def sync(self) -> None:
        self._watch.happens("sync", self._path)
        self._inner.sync()

    def close(self) -> None:
        self._inner.close()


class WatchedFileSystem:
    def __init__(
        self, inner: FileSystem, watch: Watch | None = None, here: PurePath = PurePosixPath()
    ) -> None:
        self.inner, self.watch, self._here = inner, watch or Watch(), here

    def create_directory(self, path: PurePath) -> None:
        self._happens("create_directory", path)
        self.inner.create_directory(path)

    def list(self, path: PurePath) -> list[str]:
        return self.inner.list(path)

    def exists(self, path: PurePath) -> bool:
        return self.inner.exists(path)

    def size_bytes(self, path: PurePath) -> int:
        return self.inner.size_bytes(path)

    def modified_at(self, path: PurePath) -> float:
        return self.inner.modified_at(path)

    def read(self, path: PurePath) -> bytes:
        return self.inner.read(path)

    def map(self, path: PurePath) -> memoryview:
        self._happens("map", path)
        return self.inner.map(path)

    def write(self, path: PurePath, parts: Iterable[Bytes]) -> None:
        self._happens("write", path)
        self.inner.write(path, parts)

    def import_file(self, path: PurePath, produce: Callable[[str], None]) -> None:
        self._happens("import_file", path)
        self.inner.import_file(path, produce)

    def copy_in(self, path: PurePath, source: FileSystem, source_path: PurePath) -> None:
        self._happens("copy_in", path)
        self.inner.copy_in(path, source, source_path)

    def library_path(self, path: PurePath) -> str:
        return self.inner.library_path(path)

    def replace(self, path: PurePath, content: Bytes) -> None:
        self._happens("replace", path)
        self.inner.replace(path, content)

    def append(self, path: PurePath) -> WatchedAppendFile:
        self._happens("open", path)
        return WatchedAppendFile(self.inner.append(path), self.watch, self._here / path)

    def truncate(self, path: PurePath, size_bytes: int) -> None:
        self._happens("truncate", path)
        self.inner.truncate(path, size_bytes)

    def remove(self, path: PurePath) -> None:
        self._happens("remove", path)
        self.inner.remove(path)

    def remove_tree(self, path: PurePath) -> None:
        self._happens("remove_tree", path)
        self.inner.remove_tree(path)

    def remove_empty_directory(self, path: PurePath) -> None:
        self._happens("remove_empty_directory", path)
        self.inner.remove_empty_directory(path)

    def sync_directory(self, path: PurePath) -> None:
        self._happens("sync_directory", path)
        self.inner.sync_directory(path)

    def lock(self, path: PurePath, wait_s: float) -> FileLock:
        return self.inner.lock(path, wait_s)

    def free_bytes(self) -> int:
        self._happens("free_bytes", PurePosixPath())
        return self.inner.free_bytes()

    def subtree(self, path: PurePath) -> "WatchedFileSystem":
        return WatchedFileSystem(self.inner.subtree(path), self.watch, self._here / path)

    def _happens(self, operation: str, path: PurePath) -> None:
        self.watch.happens(operation, self._here / path)
