"""The object store port: named things that are put whole, and never changed half.

Carried out on a folder, and through pyarrow on every store it speaks to (`s3://`, `gs://`, ...).
Names are relative, with '/' between their parts. Only this module knows pyarrow's file systems.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.fs

from akidb_ray.domain.errors import InvalidArgument, NotFound, StorageFailed
from akidb_ray.storage.filesystem import SCRATCH_SUFFIX, Bytes, FileSystem
from akidb_ray.storage.os_filesystem import OsFileSystem

# A writer that takes longer to write one object is taken for dead.
_SCRATCH_AGE_S = 3600.0


class ObjectStore(Protocol):
    """Methods block, may be called from any thread, and raise StorageFull, StorageFailed."""

    where: str
    """The store in words, for messages. It holds no credentials."""

    def list(self, folder: str = "") -> list[str]:
        """Names of what is in a folder, inner folders among it, sorted; none for no folder."""

    def put(self, name: str, content: Bytes) -> None:
        """Make an object, or replace it, whole and durably."""

    def get(self, name: str) -> bytes:
        """Raises NotFound."""

    def remove(self, name: str) -> None:
        """Remove an object, or find it gone."""


class FolderStore:
    """Objects are files below the root of a file system."""

    def __init__(self, fs: FileSystem, where: str, clock: Callable[[], float] = time.time) -> None:
        self.where = where
        self._fs = fs
        self._clock = clock

    def list(self, folder: str = "") -> list[str]:
        names = self._fs.list(PurePosixPath(folder))
        return [name for name in names if not name.endswith(SCRATCH_SUFFIX)]

    def put(self, name: str, content: Bytes) -> None:
        path = PurePosixPath(name)
        self._fs.create_directory(path.parent)
        self._remove_scratch(path.parent)
        self._fs.replace(path, content)

    def get(self, name: str) -> bytes:
        return self._fs.read(PurePosixPath(name))

    def remove(self, name: str) -> None:
        path = PurePosixPath(name)
        if self._fs.exists(path):
            self._fs.remove(path)
            self._fs.sync_directory(path.parent)

    def _remove_scratch(self, folder: PurePosixPath) -> None:
        """What writers that were killed have left. That of a living one stays."""
        for name in self._fs.list(folder):
            if name.endswith(SCRATCH_SUFFIX):
                with contextlib.suppress(NotFound):
                    age_s = self._clock() - self._fs.modified_at(folder / name)
                    if age_s > _SCRATCH_AGE_S:
                        self._fs.remove(folder / name)


class ArrowStore:
    """Objects below a path of one of pyarrow's file systems."""

    def __init__(self, fs: Any, root: str, where: str, secrets: tuple[str, ...] = ()) -> None:
        self.where = where
        self._fs = fs
        self._root = root.rstrip("/")
        self._secrets = secrets

    def list(self, folder: str = "") -> list[str]:
        selector = pyarrow.fs.FileSelector(self._path(folder), allow_not_found=True)
        with self._translated(folder):
            return sorted(info.base_name for info in self._fs.get_file_info(selector))

    def put(self, name: str, content: Bytes) -> None:
        # The object appears when the stream is closed; a reader sees all of it or none.
        with self._translated(name), self._fs.open_output_stream(self._path(name)) as stream:
            stream.write(content)

    def get(self, name: str) -> bytes:
        with self._translated(name), self._fs.open_input_stream(self._path(name)) as stream:
            content: bytes = stream.read()
            return content

    def remove(self, name: str) -> None:
        with contextlib.suppress(NotFound), self._translated(name):
            self._fs.delete_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")

    @contextlib.contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise NotFound("object", f"{self.where}/{name}") from None
        except (OSError, pa.ArrowException) as error:
            # The cause is left out: its text may hold what was cut out of ours.
            text = f"{self.where}: {_without(self._secrets, str(error))}"
            raise StorageFailed(text) from None


def open_object_store(uri: str, field: str) -> ObjectStore:
    """The store at a folder's path or a URI, as pyarrow.fs.FileSystem.from_uri reads it.

    Folders and files that are made in a folder are for the eyes of their owner. Nothing is asked of
    it yet. Raises InvalidArgument, which names `field`, for a URI that makes no
    sense, StorageFailed.
    """
    if "://" not in uri:
        return FolderStore(OsFileSystem(Path(uri), private=True), uri)
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise InvalidArgument(field, "is no URI") from None
    if parts.scheme == "file":
        folder = unquote(parts.path)
        return FolderStore(OsFileSystem(Path(folder), private=True), folder)
    secrets = _secrets(uri)
    host = parts.netloc.rpartition("@")[2]
    if "@" in uri.partition("://")[2].removeprefix(parts.netloc):
        # Half of a secret would pass for the bucket's name, and be shown.
        raise InvalidArgument(field, "has an '@' behind its bucket; in keys write '/' as %2F")
    if not host:
        raise InvalidArgument(field, "names no bucket, as in s3://bucket/prefix")
    try:
        fs, root = pyarrow.fs.FileSystem.from_uri(uri)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise InvalidArgument(field, _without(secrets, str(error))) from None
    return ArrowStore(fs, root, f"{parts.scheme}://{host}{parts.path}".rstrip("/"), secrets)


def _secrets(uri: str) -> tuple[str, ...]:
    """What of the URI no message may show: the longest first, for it holds the others."""
    parts = urlsplit(uri)
    login = parts.netloc.rpartition("@")[0]
    found = {uri, parts.query, login, login.partition(":")[2], unquote(login.partition(":")[2])}
    return tuple(sorted(filter(None, found), key=len, reverse=True))


def _without(secrets: tuple[str, ...], text: str) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
