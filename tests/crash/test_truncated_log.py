"""The last file of the log ends anywhere: what is left is a beginning of what was written."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import pytest

from akidb_ray.domain.errors import Corrupt
from akidb_ray.domain.write import WriteOptions
from akidb_ray.shard.recovery import create_replica
from akidb_ray.storage.memory_disk import Directory, MemoryDisk
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from akidb_ray.storage.wal_format import FILE_HEADER_BYTES
from akidb_ray.storage.wal_reader import wal_files
from tests.crash.histories import BUFFERED, SPEC, Contents, Driver, Oracle, contents_of
from tests.unit.shard.shards import NAMES, Clock

pytestmark = pytest.mark.crash


@dataclass(frozen=True, slots=True, eq=False)
class _Log:
    """A disk, the last file of the log on it, and the contents after each write with the size that
    the file had then.
    """

    root: Directory
    path: PurePosixPath
    size_bytes: int
    writes: list[tuple[int, Contents]]

    def cut(self, size_bytes: int) -> MemoryFileSystem:
        fs = MemoryFileSystem()
        fs.disk = MemoryDisk(root=copy.deepcopy(self.root))
        handle = fs.disk.open(self.path)
        handle.file.cut(size_bytes)
        handle.file.sync()
        return fs


@pytest.fixture(autouse=True, scope="module")
def limits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("akidb_ray.shard.operations.MAX_CONTENT_BYTES", 520)
        yield


def _written(*, closed: bool) -> _Log:
    """A file with records of every kind, one group of two, and keys; no segment is sealed."""
    fs = MemoryFileSystem()
    create_replica(fs, SPEC, NAMES)
    driver = Driver.opened(fs, Clock(), Oracle())
    driver.upsert(["a"], seed=1)
    driver.replica.close()
    driver = Driver.opened(fs, driver.clock, driver.oracle)
    writes = [(FILE_HEADER_BYTES, driver.oracle.newest)]

    def note() -> None:
        _, path = wal_files(fs)[-1]
        writes.append((fs.size_bytes(path), driver.oracle.newest))

    driver.upsert(["b"], seed=2, options=WriteOptions(idempotency_key="one"))
    note()
    driver.upsert(["c", "d", "e"], seed=3)
    note()
    driver.delete(["a", "d"], options=BUFFERED)
    note()
    driver.patch(["b"], 7, options=BUFFERED)
    note()
    _, path = wal_files(fs)[-1]
    assert len(wal_files(fs)) == 2
    if closed:
        driver.replica.close()
    return _Log(fs.disk.root, path, fs.size_bytes(path), writes)


def _reopened(log: _Log, size_bytes: int) -> Driver:
    return Driver.opened(log.cut(size_bytes), Clock(), Oracle())


def test_log_that_ends_anywhere_holds_the_writes_before_that() -> None:
    log = _written(closed=False)
    assert log.writes[-1][0] == log.size_bytes
    for size_bytes in range(FILE_HEADER_BYTES, log.size_bytes + 1):
        driver = _reopened(log, size_bytes)
        left = [contents for end, contents in log.writes if end <= size_bytes][-1]
        assert contents_of(driver.replica) == left
        if size_bytes % 50 == 0:
            driver.upsert(["after"], seed=4)
            after = contents_of(driver.replica)
            driver.reopen()
            assert contents_of(driver.replica) == after
            assert after.keys() == {*left, "after"}


def test_log_without_its_file_header_is_corrupt() -> None:
    log = _written(closed=False)
    for size_bytes in range(FILE_HEADER_BYTES):
        with pytest.raises(Corrupt) as stopped:
            _reopened(log, size_bytes)
        assert stopped.value.fields["file"] == str(log.path)


def test_log_that_is_shorter_than_at_its_clean_close_is_corrupt() -> None:
    log = _written(closed=True)
    for size_bytes in range(0, log.size_bytes, 3):
        with pytest.raises(Corrupt) as stopped:
            _reopened(log, size_bytes)
        assert stopped.value.fields["file"].startswith("wal")
    assert contents_of(_reopened(log, log.size_bytes).replica) == log.writes[-1][1]
