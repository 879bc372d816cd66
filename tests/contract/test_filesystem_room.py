"""What the file system port promises where there is no room: nothing of the operation is kept."""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from akidb_ray.domain.errors import StorageFull
from akidb_ray.storage.filesystem import FileSystem
from akidb_ray.storage.memory_filesystem import MemoryFileSystem

HERE = PurePosixPath()
A = PurePosixPath("a")


@contextlib.contextmanager
def _room_for(fs: FileSystem, size_bytes: int) -> Iterator[None]:
    """On disk no file may grow above this: the nearest to a full one that needs no rights."""
    if isinstance(fs, MemoryFileSystem):
        fs.disk.capacity_bytes = size_bytes
        yield
        fs.disk.capacity_bytes = 2**40
    else:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
        yield
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_append_without_room_keeps_nothing_of_it(fs: FileSystem) -> None:
    with _room_for(fs, 1000):
        file = fs.append(A)
        file.write([b"kept"])
        with pytest.raises(StorageFull):
            file.write([b"x" * 600, b"y" * 600])
        assert file.size_bytes == 4
        assert fs.read(A) == b"kept"
        file.write([b" and more"])
        file.sync()
        assert fs.read(A) == b"kept and more"


def test_replacing_without_room_leaves_the_former_file_and_no_remains(fs: FileSystem) -> None:
    with _room_for(fs, 1000):
        fs.replace(A, b"former")
        with pytest.raises(StorageFull):
            fs.replace(A, b"x" * 2000)
        assert fs.read(A) == b"former"
        assert fs.list(HERE) == ["a"]


def test_writing_without_room_leaves_no_file(fs: FileSystem) -> None:
    with _room_for(fs, 1000):
        with pytest.raises(StorageFull):
            fs.write(A, [b"x" * 600, b"y" * 600])
        assert fs.list(HERE) == []
        fs.write(A, [b"former"])
        with pytest.raises(StorageFull):
            fs.write(A, [b"x" * 2000])
        assert fs.list(HERE) == []


def test_import_without_room_leaves_nothing(fs: FileSystem) -> None:
    def produce(scratch: str) -> None:
        Path(scratch).write_bytes(b"x" * 2000)

    with _room_for(fs, 1000):
        fs.write(A, [b"former"])
        with pytest.raises(StorageFull):
            fs.import_file(A, produce)
        assert fs.read(A) == b"former"
        assert fs.list(HERE) == ["a"]


def test_copying_in_without_room_leaves_nothing(fs: FileSystem, source: FileSystem) -> None:
    source.write(A, [b"x" * 2000])
    with _room_for(fs, 1000):
        fs.write(A, [b"former"])
        with pytest.raises(StorageFull):
            fs.copy_in(A, source, A)
        assert fs.read(A) == b"former"
        assert fs.list(HERE) == ["a"]
    fs.copy_in(A, source, A)
    assert fs.size_bytes(A) == 2000
