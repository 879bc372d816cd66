"""The disk is full: nothing is lost, nothing is half done, and no rubbish piles up."""

import contextlib
import resource
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from akidb_ray.domain.errors import StorageFull
from akidb_ray.domain.query import VectorQuery
from akidb_ray.domain.write import WriteOptions
from akidb_ray.shard.checkpoint import files_named
from akidb_ray.shard.maintenance import maintain
from akidb_ray.shard.recovery import create_replica, open_replica
from akidb_ray.shard.replica import Replica
from akidb_ray.shard.sealing import flush
from akidb_ray.storage.filesystem import FileSystem
from akidb_ray.storage.manifest import read_manifest
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from akidb_ray.storage.os_filesystem import OsFileSystem
from akidb_ray.storage.wal_reader import wal_files
from tests.crash.faulty_filesystem import FaultyFileSystem, Keep
from tests.crash.histories import ALL, BUFFERED, POLICY, SPEC, Driver, Oracle, contents_of
from tests.crash.scripted import ATTACHED, ATTACHED_SEED, FILES, SOURCE
from tests.unit.shard.shards import NAMES, Clock, vectors_for

pytestmark = pytest.mark.crash
RESERVE_BYTES = 20_000
X = [f"x{number}" for number in range(12)]


@pytest.fixture
def fs() -> FaultyFileSystem:
    return FaultyFileSystem()


def _opened(fs: FileSystem, reserve_bytes: int = 0) -> Driver:
    create_replica(fs, SPEC, NAMES)
    driver = Driver.opened(fs, Clock(), Oracle())
    driver.replica.policy = replace(POLICY, disk_reserve_bytes=reserve_bytes)
    return driver


def _fill(fs: MemoryFileSystem, left_bytes: int = 0) -> None:
    fs.disk.capacity_bytes = fs.disk.root.size_bytes + left_bytes


def _make_room(fs: MemoryFileSystem) -> None:
    fs.disk.capacity_bytes = 2**40


def _rubbish(fs: FileSystem, *folders: str) -> list[str]:
    """What no manifest names."""
    named = files_named(read_manifest(fs))
    paths = [path / name for path in map(PurePosixPath, folders) for name in fs.list(path)]
    found = [str(path) for path in paths if path not in named]
    names = fs.list(PurePosixPath())
    return found + [name for name in names if name.startswith("manifest-")][1:]


def test_without_room_upserts_are_refused_and_deletes_and_reads_go_on(
    fs: FaultyFileSystem,
) -> None:
    driver = _opened(fs, RESERVE_BYTES)
    driver.upsert(X, seed=1)
    driver.maintain()
    driver.upsert(["a", "b"], seed=2)
    _fill(fs, RESERVE_BYTES - 1)
    before = contents_of(driver.replica)
    sequence = driver.replica.view().sequence
    for write in (
        lambda: driver.upsert(["c"], seed=3),
        lambda: driver.patch(["a"], 4),
    ):
        with pytest.raises(StorageFull):
            write()
    assert contents_of(driver.replica) == before
    assert driver.replica.view().sequence == sequence
    driver.delete(["x3", "a"])
    assert len(driver.replica.view().search(VectorQuery(vectors_for(["q"])[0], 20), ALL)) == 12
    _make_room(fs)
    driver.upsert(["c"], seed=3)
    driver.maintain()
    before = contents_of(driver.replica)
    assert before.keys() == {*X, "b", "c"} - {"x3"}
    driver.reopen()
    assert contents_of(driver.replica) == before


@pytest.mark.parametrize("left_bytes", [0, 1, 50, 99, 100, 500, 1000, 1500, 2000, 2400])
def test_write_that_does_not_fit_leaves_nothing(
    fs: FaultyFileSystem, left_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group of several records, the first of a file or not."""
    monkeypatch.setattr("akidb_ray.shard.operations.MAX_CONTENT_BYTES", 1000)
    driver = _opened(fs)
    for former in ([], ["a"]):
        if former:
            driver.upsert(former, seed=1)
        before = contents_of(driver.replica)
        _fill(fs, left_bytes)
        for _ in range(3):
            with pytest.raises(StorageFull):
                driver.upsert(X[:8], seed=2)
        assert contents_of(driver.replica) == before
        _make_room(fs)
    driver.upsert(["b"], seed=3)
    before = contents_of(driver.replica)
    left = fs.machine.after_end(Keep.EVERYTHING)
    assert contents_of(open_replica(left, POLICY)) == before


def _to_seal(driver: Driver) -> None:
    driver.upsert(X, seed=1, options=WriteOptions(idempotency_key="one"))


def _to_index_and_merge(driver: Driver) -> None:
    """A segment with a graph and dead rows, and one without."""
    driver.upsert(X, seed=1)
    driver.maintain()
    driver.upsert([f"y{number}" for number in range(13)], seed=2)
    while flush(driver.replica):
        pass
    driver.delete(["x1", "x2", "y1"], options=WriteOptions(idempotency_key="one"))


WORK: dict[str, Callable[[Driver], None]] = {"seal": _to_seal, "merge": _to_index_and_merge}


@pytest.mark.parametrize("work", WORK)
def test_maintenance_that_does_not_fit_loses_nothing_and_leaves_no_rubbish(work: str) -> None:
    step, ended = 0, False
    while not ended:
        fs = FaultyFileSystem()
        driver = _opened(fs)
        WORK[work](driver)
        before = contents_of(driver.replica)
        _full_from(fs, step)
        ended = _try_to_maintain(driver.replica)
        fs.machine.before_step = lambda _: None
        for _ in range(3):
            _try_to_maintain(driver.replica)
            assert contents_of(driver.replica) == before
            assert _rubbish(fs, "segments", "indexes") == []
        _make_room(fs)
        assert _try_to_maintain(driver.replica), f"full at step {step} is full for good"
        assert _rubbish(fs, "segments", "indexes", "tombstones", "keys") == []
        # Let the log's part in it go, so that the segments stand alone.
        driver.upsert(["last"], seed=3)
        driver.replica.freeze()
        driver.maintain()
        before = contents_of(driver.replica)
        driver.reopen()
        assert contents_of(driver.replica) == before
        step += 1
    assert step > 20


def test_deletes_survive_a_checkpoint_that_did_not_fit(fs: FaultyFileSystem) -> None:
    driver = _opened(fs)
    driver.replica.policy = replace(POLICY, merge_factor=9)
    driver.upsert(X, seed=1)
    while flush(driver.replica):
        pass
    driver.delete(["x1"])

    def fill_after_the_tombstones(step: str) -> None:
        if step.startswith("create manifest-"):
            _fill(fs)

    fs.machine.before_step = fill_after_the_tombstones
    assert not _try_to_maintain(driver.replica)
    fs.machine.before_step = lambda _: None
    _make_room(fs)
    driver.upsert(["last"], seed=3)
    driver.replica.freeze()
    driver.maintain()
    driver.reopen()
    assert contents_of(driver.replica).keys() == {*X, "last"} - {"x1"}


def test_attaching_what_does_not_fit_leaves_nothing_of_it() -> None:
    step, ended = 0, False
    while not ended:
        fs = FaultyFileSystem()
        driver = _opened(fs)
        driver.upsert(["a", "b"], seed=1)
        before = contents_of(driver.replica)
        _full_from(fs, step)
        with contextlib.suppress(StorageFull):
            driver.attach(SOURCE, FILES, ATTACHED, ATTACHED_SEED)
            ended = True
        fs.machine.before_step = lambda _: None
        if not ended:
            assert contents_of(driver.replica) == before
            assert _rubbish(fs, "segments", "indexes") == []
            _make_room(fs)
            driver.attach(SOURCE, FILES, ATTACHED, ATTACHED_SEED)
        assert contents_of(driver.replica).keys() == {*before, *ATTACHED}
        step += 1
    assert step > 20


def test_shard_opens_and_answers_on_a_full_disk(fs: FaultyFileSystem) -> None:
    driver = _opened(fs)
    driver.upsert(X, seed=1)
    driver.maintain()
    driver.upsert(["a"], seed=2, options=BUFFERED)
    before = contents_of(driver.replica)
    _fill(fs)
    # There is no room to note the end of the log, and no need to.
    with pytest.raises(StorageFull):
        driver.replica.close()
    for keep in (Keep.EVERYTHING, Keep.SYNCED):
        fs = fs.machine.after_end(keep)
        replica = open_replica(fs, POLICY)
        assert contents_of(replica) == before


def _full_from(fs: FaultyFileSystem, step: int) -> None:
    steps = iter(range(step))

    def count(_: str) -> None:
        if next(steps, None) is None:
            _fill(fs)

    fs.machine.before_step = count


def _try_to_maintain(replica: Replica) -> bool:
    """Whether all that there was to do could be done."""
    try:
        while maintain(replica):
            pass
    except StorageFull:
        return False
    return True


@contextlib.contextmanager
def _no_file_above(size_bytes: int) -> Iterator[None]:
    """The operating system refuses to write more into any file, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_shard_goes_on_after_a_disk_that_was_really_full(tmp_path: Path) -> None:
    fs = OsFileSystem(tmp_path / "shard")
    driver = _opened(fs)
    driver.upsert(X, seed=1)
    before = contents_of(driver.replica)
    with _no_file_above(fs.size_bytes(wal_files(fs)[-1][1]) + 1000):
        for _ in range(3):
            with pytest.raises(StorageFull):
                driver.upsert([f"y{number}" for number in range(50)], seed=2)
        driver.delete(["x1"])
    assert contents_of(driver.replica).keys() == before.keys() - {"x1"}
    before = contents_of(driver.replica)
    for size_bytes in (10, 100, 600, 800, 1300):
        with _no_file_above(size_bytes):
            assert not _try_to_maintain(driver.replica)
        assert contents_of(driver.replica) == before
        assert _rubbish(fs, "segments", "indexes", "tombstones", "keys") == []
    assert _try_to_maintain(driver.replica)
    driver.upsert(["last"], seed=3)
    before = contents_of(driver.replica)
    driver.reopen()
    assert contents_of(driver.replica) == before
    driver.replica.close()
