"""The file system port: what each operation promises after a power loss.

Two rules hold everywhere. The content of a file survives when it was synced; its *name* survives
when the directory that holds it was synced. A method that says "durable" does both.
"""

from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import Protocol

Bytes = bytes | bytearray | memoryview
# Of the name that a file has until it is whole. After a crash such a file may be left: rubbish.
SCRATCH_SUFFIX = ".scratch"


class AppendFile(Protocol):
    """A file that grows at its end. One writer."""

    @property
    def size_bytes(self) -> int: ...

    def write(self, parts: Iterable[Bytes]) -> None:
        """Append all parts or nothing: on an error the file is cut back to its former size.

        Not durable before `sync`. Raises StorageFull, StorageFailed.
        """

    def sync(self) -> None:
        """Make everything written so far survive power loss.

        Raises StorageFailed; then nobody knows what is on disk, and the file must not be used
        again.
        """

    def close(self) -> None:
        """Fine when it is closed. What is written later raises StorageFailed."""


class FileLock(Protocol):
    """Held until released or until the process ends, however it ends."""

    def release(self) -> None:
        """Fine when it is held no longer, by whomever it is held now."""


class FileSystem(Protocol):
    """One folder tree. Paths are relative to its root.

    All methods raise StorageFull (nothing was kept) and StorageFailed. Those that need something
    that is not there, the file itself or the directory for a new one, raise NotFound. Every method
    may be called from any thread, but one file is changed by one thread at a time.
    """

    def create_directory(self, path: PurePath) -> None:
        """Make a directory and its parents, durably. Fine when it exists."""

    def list(self, path: PurePath) -> list[str]:
        """Names in a directory, sorted; empty when there is no such directory."""

    def exists(self, path: PurePath) -> bool: ...

    def size_bytes(self, path: PurePath) -> int: ...

    def modified_at(self, path: PurePath) -> float:
        """When the content last changed, in seconds since 1970."""

    def read(self, path: PurePath) -> bytes: ...

    def map(self, path: PurePath) -> memoryview:
        """The file's bytes, read-only, without reading them into memory first.

        The view stays good after the file is removed.
        """

    def write(self, path: PurePath, parts: Iterable[Bytes]) -> None:
        """Create a file with this content and sync it. Its name needs `sync_directory`.

        What the file had before is gone from the start. On StorageFull there is no file.
        """

    def import_file(self, path: PurePath, produce: Callable[[str], None]) -> None:
        """Create a file by a library that writes by itself: `produce` gets a scratch path.

        The result is synced and moved to `path` whole or not at all. Its name needs
        `sync_directory`. An OSError of `produce` becomes ours, other errors pass.
        """

    def copy_in(self, path: PurePath, source: "FileSystem", source_path: PurePath) -> None:
        """Create `path` with the content of a file of another file system and sync it.

        Whole or not at all. Its name needs `sync_directory`.
        """

    def library_path(self, path: PurePath) -> str:
        """A path of the operating system with this content, for libraries that read by
        themselves. Good until the file is removed or written again.
        """

    def replace(self, path: PurePath, content: Bytes) -> None:
        """Atomically and durably make `content` the whole of `path`."""

    def append(self, path: PurePath) -> AppendFile:
        """Open for appending, created when missing. A new name needs `sync_directory`."""

    def truncate(self, path: PurePath, size_bytes: int) -> None:
        """Cut a file, durably."""

    def remove(self, path: PurePath) -> None:
        """Remove a file, or find it gone. Durable after `sync_directory`."""

    def remove_tree(self, path: PurePath) -> None:
        """Remove a directory with all in it, durably, or find it gone."""

    def remove_empty_directory(self, path: PurePath) -> None:
        """Remove a directory, durably, if there is nothing in it. Fine when there is something, and
        when it is gone. Whoever makes a directory below it at the same moment succeeds.
        """

    def sync_directory(self, path: PurePath) -> None:
        """Make created, renamed and removed names in `path` survive power loss."""

    def lock(self, path: PurePath, wait_s: float) -> FileLock:
        """Take an exclusive lock on a file, created when missing, waiting for a former holder.

        Raises Unavailable after `wait_s`.
        """

    def free_bytes(self) -> int: ...

    def subtree(self, path: PurePath) -> "FileSystem":
        """The same file system, seen from a directory of it."""
