"""What the port promises, of the operating system's files and of the faulty ones in memory."""

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from akidb_ray.domain.errors import NotFound, StorageFailed, StorageFull, Unavailable
from akidb_ray.storage.filesystem import FileSystem
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.crash.faulty_filesystem import FaultyFileSystem

HERE = PurePosixPath()
A = PurePosixPath("a")
DEEP = PurePosixPath("one/two")


@pytest.fixture(params=["os", "faulty"])
def fs(request: pytest.FixtureRequest, tmp_path: Path) -> FileSystem:
    fs: FileSystem = OsFileSystem(tmp_path) if request.param == "os" else FaultyFileSystem()
    fs.create_directory(HERE)
    return fs


@pytest.fixture
def size_limit() -> Iterator[None]:
    """No file may grow above 1,000 bytes: the nearest to a full disk that needs no rights."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_written_file_is_read_and_mapped(fs: FileSystem) -> None:
    fs.write(A, [b"one ", bytearray(b"two"), memoryview(b"!")])
    assert fs.exists(A)
    assert fs.size_bytes(A) == 8
    assert fs.read(A) == b"one two!"
    assert bytes(fs.map(A)) == b"one two!"
    fs.write(A, [])
    assert fs.read(A) == b""
    assert len(fs.map(A)) == 0


def test_mapping_stays_good_after_removal(fs: FileSystem) -> None:
    fs.write(A, [b"content"])
    mapped = fs.map(A)
    fs.remove(A)
    assert not fs.exists(A)
    assert bytes(mapped) == b"content"


def test_names_are_listed_in_order(fs: FileSystem) -> None:
    fs.create_directory(DEEP)
    fs.write(DEEP / "b", [b""])
    fs.write(DEEP / "a", [b""])
    assert fs.list(DEEP) == ["a", "b"]
    assert fs.list(PurePosixPath("missing")) == []


def test_directory_may_be_made_twice(fs: FileSystem) -> None:
    fs.create_directory(DEEP)
    fs.create_directory(DEEP)
    assert fs.exists(DEEP)


def test_appending_goes_on_at_the_end(fs: FileSystem) -> None:
    file = fs.append(A)
    file.write([b"one", b""])
    file.sync()
    file.close()
    file = fs.append(A)
    assert file.size_bytes == 3
    file.write([b"two"])
    assert file.size_bytes == 6
    file.close()
    assert fs.read(A) == b"onetwo"


def test_truncating_cuts(fs: FileSystem) -> None:
    fs.write(A, [b"content"])
    fs.truncate(A, 3)
    assert fs.read(A) == b"con"


def test_replacing_leaves_one_file(fs: FileSystem) -> None:
    fs.replace(A, b"old")
    fs.replace(A, b"new")
    assert fs.read(A) == b"new"
    assert fs.list(HERE) == ["a"]


def test_import_takes_what_a_library_wrote(fs: FileSystem) -> None:
    fs.import_file(A, lambda scratch: Path(scratch).write_bytes(b"by a library") and None)
    assert fs.read(A) == b"by a library"
    assert fs.list(HERE) == ["a"]
    assert Path(fs.library_path(A)).read_bytes() == b"by a library"


def test_failed_import_leaves_nothing(fs: FileSystem) -> None:
    def produce(scratch: str) -> None:
        Path(scratch).write_bytes(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fs.import_file(A, produce)
    assert fs.list(HERE) == []


def test_removing_what_is_gone_is_fine(fs: FileSystem) -> None:
    fs.remove(A)
    fs.remove_tree(A)


def test_tree_is_removed_with_all_in_it(fs: FileSystem) -> None:
    fs.create_directory(DEEP)
    fs.write(DEEP / "a", [b""])
    fs.remove_tree(PurePosixPath("one"))
    assert fs.list(HERE) == []


def test_missing_file_is_not_found(fs: FileSystem) -> None:
    for use in (fs.read, fs.map, fs.size_bytes, fs.modified_at):
        with pytest.raises(NotFound):
            use(A)


def test_subtree_sees_its_directory_and_makes_nothing(fs: FileSystem) -> None:
    inner = fs.subtree(DEEP)
    assert fs.list(HERE) == []
    inner.create_directory(HERE)
    inner.write(A, [b"inside"])
    assert fs.read(DEEP / "a") == b"inside"


def test_lock_excludes_and_can_be_taken_after_release(fs: FileSystem) -> None:
    lock = fs.lock(A, 0.0)
    with pytest.raises(Unavailable):
        fs.lock(A, 0.0)
    lock.release()
    fs.lock(A, 0.0).release()


def test_free_space_is_known(fs: FileSystem) -> None:
    assert fs.free_bytes() > 0


@pytest.mark.usefixtures("size_limit")
def test_append_without_room_keeps_nothing_of_it(tmp_path: Path) -> None:
    fs = OsFileSystem(tmp_path)
    file = fs.append(A)
    file.write([b"kept"])
    with pytest.raises(StorageFull):
        file.write([b"x" * 600, b"y" * 600])
    assert file.size_bytes == 4
    assert fs.read(A) == b"kept"
    file.write([b" and more"])
    assert fs.read(A) == b"kept and more"


@pytest.mark.usefixtures("size_limit")
def test_replacing_without_room_leaves_the_former_file_and_no_remains(tmp_path: Path) -> None:
    fs = OsFileSystem(tmp_path)
    fs.replace(A, b"former")
    with pytest.raises(StorageFull):
        fs.replace(A, b"x" * 2000)
    assert fs.read(A) == b"former"
    assert fs.list(HERE) == ["a"]


@pytest.mark.usefixtures("size_limit")
def test_append_that_cannot_be_cut_back_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, size: int) -> None:
        raise OSError(errno.EIO, "I/O error")

    fs = OsFileSystem(tmp_path)
    file = fs.append(A)
    monkeypatch.setattr(os, "ftruncate", refuse)
    with pytest.raises(StorageFailed):
        file.write([b"x" * 2000])
    monkeypatch.undo()
    # What follows half a record would be cut off with it by the next recovery.
    with pytest.raises(StorageFailed):
        file.write([b"more"])


def test_failed_sync_is_never_mere_lack_of_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    file = OsFileSystem(tmp_path).append(A)
    file.write([b"acknowledged?"])
    monkeypatch.setattr(os, "fsync", refuse)
    # StorageFull would promise that nothing was kept.
    with pytest.raises(StorageFailed):
        file.sync()


def test_directory_is_durable_up_to_the_root_even_when_a_killed_process_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one" / "two").mkdir(parents=True)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    OsFileSystem(tmp_path).subtree(DEEP).create_directory(HERE)
    assert {path.stat().st_ino for path in (tmp_path, tmp_path / "one")} <= set(synced)
