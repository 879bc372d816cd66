"""How writes are grouped, and what happens when the disk fails or is full."""

import threading
from collections.abc import Callable

import pytest

from akidb_ray.domain.errors import AkiDBError, Internal, StorageFailed, StorageFull
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.recovery import open_replica
from akidb_ray.shard.replica import Replica
from akidb_ray.shard.status import status_of
from tests.unit.shard.shards import (
    POLICY,
    count,
    crashed,
    delete,
    get,
    ids_of,
    opened,
    seal,
    upsert,
    work,
)
from tests.unit.storage.watched_filesystem import WatchedFileSystem

WRITERS = 12


def wait_until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(20_000):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("what the test waits for did not happen")


def _in_threads(works: list[Callable[[], object]]) -> list[object]:
    """Results or errors, in order."""
    results: list[object] = [None] * len(works)

    def run(number: int) -> None:
        try:
            results[number] = works[number]()
        except AkiDBError as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def _writers(replica: Replica, held: threading.Event) -> list[Callable[[], object]]:
    """One writer, and others that write while the fsync of the first is held."""

    def write(number: int) -> object:
        if number:
            held.wait()
        return upsert(replica, f"w{number}")

    return [lambda number=number: write(number) for number in range(WRITERS)]


def _hold_first_sync(replica: Replica, fs: WatchedFileSystem) -> threading.Event:
    """The first fsync takes until all other writers wait. The event says that it has begun."""
    held = threading.Event()

    def hold() -> None:
        held.set()
        wait_until(lambda: len(replica._queue) == WRITERS - 1)

    fs.watch.before("sync", "wal/", hold)
    return held


def test_writers_that_arrive_during_an_fsync_share_the_next(
    replica: Replica, fs: WatchedFileSystem
) -> None:
    upsert(replica, "first")
    held = _hold_first_sync(replica, fs)
    before = fs.watch.counts["sync"]
    outcomes = _in_threads(_writers(replica, held))
    assert fs.watch.counts["sync"] - before == 2
    sequences = sorted(outcome.sequence for outcome in outcomes)  # type: ignore[attr-defined]
    assert sequences == list(range(2, WRITERS + 2))
    assert count(replica) == WRITERS + 1
    assert count(crashed(replica)) == WRITERS + 1


def test_reader_never_sees_what_is_not_durable(replica: Replica, fs: WatchedFileSystem) -> None:
    upsert(replica, "a")
    seen: list[list[str]] = []
    fs.watch.before("sync", "wal/", lambda: seen.append(ids_of(replica)))
    upsert(replica, "b")
    assert seen == [["a"]]
    assert ids_of(replica) == ["a", "b"]


def test_one_bad_write_of_a_group_does_not_spoil_the_others(
    replica: Replica, fs: WatchedFileSystem
) -> None:
    upsert(replica, "first")
    held = _hold_first_sync(replica, fs)
    # The 5th record that is appended from now on finds no room.
    for _ in range(4):
        fs.watch.before("append", "wal/", lambda: None)
    fs.watch.fail("append", "wal/", StorageFull("no room"))
    results = _in_threads(_writers(replica, held))
    refused = [result for result in results if isinstance(result, AkiDBError)]
    assert [type(error) for error in refused] == [StorageFull]
    assert count(replica) == WRITERS
    assert count(crashed(replica)) == WRITERS


def test_failed_fsync_fails_its_whole_group_and_all_that_follow(
    replica: Replica, fs: WatchedFileSystem
) -> None:
    upsert(replica, "first")
    held = _hold_first_sync(replica, fs)
    fs.watch.fail("sync", "wal/", StorageFailed("I/O error"))
    results = _in_threads(_writers(replica, held))
    failed = [result for result in results if isinstance(result, StorageFailed)]
    assert len(failed) == WRITERS - 1, "the writer that held the fsync was done before"
    assert replica.failed
    assert count(replica) == 2, "what may not be durable is not shown"
    syncs = fs.watch.counts["sync"]
    for again in range(3):
        with pytest.raises(StorageFailed):
            upsert(replica, f"again-{again}")
    assert fs.watch.counts["sync"] == syncs, "never retried"


@pytest.mark.parametrize("operation", ["append", "sync", "open", "replace"])
def test_disk_error_in_the_log_asks_for_reopening(fs: WatchedFileSystem, operation: str) -> None:
    replica = opened(fs)
    fs.watch.fail(operation, "wal", StorageFailed("I/O error"))
    with pytest.raises(StorageFailed):
        upsert(replica, "a")
    assert replica.failed, "else nobody would open it again"
    replica.close()
    again = open_replica(fs, POLICY)
    upsert(again, "b")
    assert get(again, "b")


def test_defect_while_applying_is_internal_and_stops_the_replica(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(replica.live, "apply", fail)
    with pytest.raises(Internal) as stopped:
        upsert(replica, "a")
    assert isinstance(stopped.value.__cause__, ZeroDivisionError)
    assert replica.failed
    replica.close()
    assert ids_of(open_replica(replica.fs, POLICY)) == ["a"], "it was durable already"


def test_upserts_stop_at_the_reserve_and_deletes_go_on(fs: WatchedFileSystem) -> None:
    replica = opened(fs)
    upsert(replica, "a", "b", "c")
    replica.close()
    full = ShardPolicy(disk_reserve_bytes=2**62, lock_wait_s=0.0, seal_idle_s=1e9)
    replica = open_replica(fs, full)
    with pytest.raises(StorageFull, match="bytes are free"):
        upsert(replica, "d")
    assert delete(replica, "a").affected == 1
    assert ids_of(replica) == ["b", "c"]
    seal(replica)
    assert not replica.failed
    assert ids_of(crashed(replica)) == ["b", "c"]


def test_full_disk_leaves_no_half_written_segments_behind(
    replica: Replica, fs: WatchedFileSystem
) -> None:
    upsert(replica, *map(str, range(30)))
    replica.freeze()
    fs.watch.fail("write", "columns.arrow", StorageFull("no room"), times=5)
    fs.watch.fail("import_file", "graph", StorageFull("no room"), times=5)
    for _ in range(10):
        with pytest.raises(StorageFull):
            work(replica)
    segments = list(fs.inner.root.rglob("*.f32"))  # type: ignore[attr-defined]
    assert len(segments) == 1
    assert len(list((fs.inner.root / "indexes").iterdir())) == 0  # type: ignore[attr-defined]
    assert not replica.failed
    upsert(replica, "more")
    work(replica)
    assert status_of(replica).unindexed == 1


@pytest.mark.parametrize(
    ("operation", "path"),
    [("write", "tombstones"), ("write", "manifest"), ("replace", "CURRENT")],
)
def test_full_disk_at_the_swap_changes_nothing(
    replica: Replica, fs: WatchedFileSystem, operation: str, path: str
) -> None:
    upsert(replica, *map(str, range(30)))
    seal(replica)
    upsert(replica, "0", *map(str, range(30, 60)))
    replica.freeze()
    fs.watch.fail(operation, path, StorageFull("no room"))
    with pytest.raises(StorageFull):
        work(replica)
    upsert(replica, "x")
    assert count(replica) == 61
    work(replica)
    assert status_of(replica).unindexed == 1
    assert count(crashed(replica)) == 61


def test_disk_error_at_the_swap_stops_the_replica_until_it_is_opened_again(
    replica: Replica, fs: WatchedFileSystem
) -> None:
    upsert(replica, *map(str, range(30)))
    replica.freeze()
    fs.watch.fail("replace", "CURRENT", StorageFailed("I/O error"))
    with pytest.raises(StorageFailed):
        work(replica)
    assert replica.failed
    with pytest.raises(StorageFailed):
        upsert(replica, "x")
    replica.close()
    again = open_replica(fs, replica.policy)
    assert count(again) == 30
    seal(again)
    assert count(crashed(again)) == 30


def test_closed_replica_refuses_writes_and_still_reads(replica: Replica) -> None:
    upsert(replica, "a")
    replica.close()
    with pytest.raises(StorageFailed):
        upsert(replica, "b")
    assert ids_of(replica) == ["a"]
    replica.close()


def test_writers_during_close_are_acknowledged_or_refused(
    replica: Replica, fs: WatchedFileSystem
) -> None:
    upsert(replica, "first")
    held = _hold_first_sync(replica, fs)
    # The lock is reentrant, so this closes in the middle of the first writer's commit.
    closing = threading.Thread(target=replica.close)
    fs.watch.before("sync", "wal/", closing.start)
    results = _in_threads(_writers(replica, held))
    closing.join()
    again = open_replica(fs, POLICY)
    acknowledged = [n for n, result in enumerate(results) if not isinstance(result, AkiDBError)]
    assert ids_of(again) == sorted(["first", *(f"w{number}" for number in acknowledged)])
