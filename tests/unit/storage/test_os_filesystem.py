import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from akidb_ray.domain.errors import StorageFailed, StorageFull, Unavailable
from akidb_ray.storage.os_filesystem import OsFileSystem

HERE = PurePosixPath()
A = PurePosixPath("a")
DEEP = PurePosixPath("one/two")


@pytest.fixture
def size_limit() -> Iterator[None]:
    """No file may grow above 1,000 bytes: the nearest to a full disk that needs no rights."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def no_more_files() -> Iterator[None]:
    """No file can be opened: the lowest free number is above the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


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
    fs = OsFileSystem(tmp_path)
    file = fs.append(A)
    file.write([b"acknowledged?"])
    monkeypatch.setattr(os, "fsync", _full)
    # StorageFull would promise that nothing was kept.
    for sync in (file.sync, lambda: fs.sync_directory(HERE)):
        with pytest.raises(StorageFailed):
            sync()


def test_write_that_finds_no_room_when_it_is_synced_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs = OsFileSystem(tmp_path)
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(StorageFull):
        fs.write(A, [b"content"])
    with pytest.raises(StorageFull):
        fs.replace(A, b"content")
    assert fs.list(HERE) == []


def test_rename_without_room_leaves_the_former_file_and_no_remains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs = OsFileSystem(tmp_path)
    fs.replace(A, b"former")
    monkeypatch.setattr(Path, "replace", _full)
    with pytest.raises(StorageFull):
        fs.replace(A, b"new")
    assert fs.read(A) == b"former"
    assert fs.list(HERE) == ["a"]


def test_directory_is_durable_up_to_the_root_even_when_a_killed_process_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one" / "two").mkdir(parents=True)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    OsFileSystem(tmp_path).subtree(DEEP).create_directory(HERE)
    assert {path.stat().st_ino for path in (tmp_path, tmp_path / "one")} <= set(synced)


def test_too_many_open_files_are_named_with_what_helps(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    fs = OsFileSystem(tmp_path)
    fs.write(A, [b"content"])
    request.getfixturevalue("no_more_files")
    uses = (fs.read, fs.map, fs.append, lambda path: fs.lock(path, 0.0))
    for use in uses:
        with pytest.raises(StorageFailed, match="ulimit -n"):
            use(A)


def test_what_is_closed_twice_closes_no_other_file(tmp_path: Path) -> None:
    fs = OsFileSystem(tmp_path)
    file, lock = fs.append(A), fs.lock(PurePosixPath("LOCK"), 0.0)
    file.close()
    lock.release()
    # These have the numbers that the others had.
    first, second = fs.append(A), fs.append(A)
    file.close()
    lock.release()
    first.sync()
    second.sync()


def test_refused_lock_holds_no_descriptor(tmp_path: Path) -> None:
    fs = OsFileSystem(tmp_path)
    lock = fs.lock(A, 0.0)
    free = os.dup(0)
    os.close(free)
    with pytest.raises(Unavailable):
        fs.lock(A, 0.0)
    assert os.dup(0) == free
    os.close(free)
    lock.release()
