"""Sealing and indexing beside reads and writes."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import PurePosixPath

import pytest

from akidb_ray.domain.collection import CollectionSpec, IndexKind, Metric
from akidb_ray.domain.errors import AkiDBError, StorageFailed
from akidb_ray.shard.maintenance import maintain
from akidb_ray.shard.merging import build_graph
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.replica import Replica
from akidb_ray.shard.sealing import seal_oldest
from akidb_ray.shard.status import status_of
from akidb_ray.storage.manifest import read_manifest
from akidb_ray.storage.wal_reader import wal_files
from tests.unit.shard.shards import (
    DIMENSION,
    INDEXED,
    POLICY,
    Clock,
    count,
    crashed,
    delete,
    get,
    ids_of,
    opened,
    reopened,
    seal,
    search,
    upsert,
    vectors_for,
    work,
)
from tests.unit.storage.watched_filesystem import WatchedFileSystem

IDS = [f"{number:02}" for number in range(30)]


def _contents(replica: Replica) -> dict[str, tuple[int, str | None, bytes | None]]:
    return {d.id: (d.version, d.text, d.payload) for d in get(replica, *ids_of(replica))}


def test_full_segment_is_frozen_by_rows(fs: WatchedFileSystem) -> None:
    frozen: list[bool] = []
    policy = ShardPolicy(seal_rows=10, index_min_rows=10, disk_reserve_bytes=0, lock_wait_s=0.0)
    replica = opened(fs, policy, on_work=lambda: frozen.append(True))
    for number in range(25):
        upsert(replica, str(number))
    assert len(frozen) == len(replica.live.frozen) == 2
    work(replica)
    assert [len(live.live) for live in replica.live.segments] == [10, 10, 5]
    assert status_of(replica).unindexed == 5
    assert count(replica) == 25


def test_full_segment_is_frozen_by_bytes(fs: WatchedFileSystem) -> None:
    policy = ShardPolicy(seal_bytes=50_000, disk_reserve_bytes=0, lock_wait_s=0.0)
    replica = opened(fs, policy)
    upsert(replica, "a", payload={"s": "x" * 30_000})
    assert len(replica.live.frozen) == 1


def test_idle_segment_is_frozen_when_it_is_worth_a_graph(fs: WatchedFileSystem) -> None:
    clock = Clock()
    policy = ShardPolicy(index_min_rows=20, seal_idle_s=5.0, disk_reserve_bytes=0, lock_wait_s=0.0)
    replica = opened(fs, policy, clock=clock)
    upsert(replica, *IDS[:19])
    clock.now += 100
    assert not maintain(replica)
    upsert(replica, *IDS[19:])
    clock.now += 4.9
    assert not maintain(replica)
    clock.now += 0.2
    work(replica)
    assert status_of(replica).unindexed == 0


def test_shard_that_nobody_writes_to_settles_in_one_segment(fs: WatchedFileSystem) -> None:
    clock = Clock()
    policy = ShardPolicy(seal_rows=15, index_min_rows=10, disk_reserve_bytes=0, lock_wait_s=0.0)
    replica = opened(fs, policy, clock=clock)
    upsert(replica, *IDS[:15])
    upsert(replica, *IDS[15:])
    work(replica)
    assert [len(live.live) for live in replica.live.sealed] == [15, 15]
    clock.now += policy.settle_s
    work(replica)
    assert [len(live.live) for live in replica.live.sealed] == [30]
    assert replica.live.sealed[0].graph is not None
    assert ids_of(replica) == IDS


def test_small_segment_gets_no_graph(fs: WatchedFileSystem) -> None:
    replica = opened(fs, POLICY)
    upsert(replica, *IDS)
    seal(replica)
    assert status_of(replica).unindexed == 30
    assert not maintain(replica)


def test_flat_collection_gets_no_graph(fs: WatchedFileSystem) -> None:
    spec = CollectionSpec(DIMENSION, Metric.L2, index_kind=IndexKind.FLAT)
    replica = opened(fs, INDEXED, spec)
    upsert(replica, *IDS)
    seal(replica)
    assert len(replica.live.sealed) == 1
    assert replica.live.sealed[0].graph is None


def test_sealing_leaves_out_dead_rows(replica: Replica) -> None:
    upsert(replica, *IDS)
    upsert(replica, *IDS[:10], seed=1)
    delete(replica, *IDS[20:25])
    before = _contents(replica)
    seal(replica)
    assert [len(live.live) for live in replica.live.sealed] == [25]
    assert _contents(replica) == before


def test_segment_that_died_whole_leaves_no_files(replica: Replica) -> None:
    upsert(replica, *IDS)
    delete(replica, *IDS)
    seal(replica)
    assert replica.live.sealed == replica.live.frozen == []
    assert replica.manifest.checkpoint == 2
    again = crashed(replica)
    assert count(again) == 0
    upsert(again, "a")
    assert ids_of(again) == ["a"]


WRITES: dict[str, Callable[[Replica], object]] = {
    "delete": lambda replica: delete(replica, *IDS[:5]),
    "overwrite": lambda replica: upsert(replica, *IDS[:5], seed=9),
    "delete all": lambda replica: delete(replica, *IDS),
    "delete and upsert": lambda replica: [delete(replica, "00"), upsert(replica, "00", seed=9)],
    "freeze another": lambda replica: [upsert(replica, *IDS[10:], seed=9), replica.freeze()],
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ("create_directory", "segments"),
        ("write", "vectors.f32"),
        ("write", "columns.arrow"),
        ("write", "segment.json"),
        ("map", "columns.arrow"),
        ("create_directory", "indexes"),
        ("import_file", "graph"),
    ],
)
def test_writes_during_maintenance_are_kept(
    replica: Replica, fs: WatchedFileSystem, operation: str, path: str, write: str
) -> None:
    upsert(replica, *IDS)
    expected: list[object] = []

    def meanwhile() -> None:
        WRITES[write](replica)
        expected.append(_contents(replica))

    fs.watch.before(operation, path, meanwhile)
    seal(replica)
    assert [_contents(replica)] == expected
    replica = crashed(replica)
    assert [_contents(replica)] == expected
    seal(replica)
    assert [_contents(replica)] == expected
    assert [_contents(reopened(replica))] == expected


def test_search_during_sealing_sees_every_document_once(
    replica: Replica, fs: WatchedFileSystem
) -> None:
    upsert(replica, *IDS)
    seen: list[list[str]] = []

    def look() -> None:
        seen.append(sorted(h.id for h in search(replica, vectors_for(["q"])[0], limit=99)))

    for operation, path in (("write", "vectors"), ("write", "manifest"), ("replace", "CURRENT")):
        fs.watch.before(operation, path, look)
    seal(replica)
    look()
    assert seen == [IDS] * 4


def test_two_threads_may_maintain_at_once(replica: Replica, fs: WatchedFileSystem) -> None:
    upsert(replica, *IDS)
    replica.freeze()
    other = threading.Thread(target=work, args=(replica,))
    fs.watch.before("write", "vectors.f32", other.start)
    work(replica)
    other.join()
    assert ids_of(replica) == IDS
    assert len(replica.live.sealed) == 1
    assert ids_of(crashed(replica)) == IDS


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ("create_directory", "segments"),
        ("write", "segment.json"),
        ("create_directory", "indexes"),
        ("import_file", "graph"),
    ],
)
def test_maintenance_of_a_closed_replica_never_touches_its_successor(
    replica: Replica, fs: WatchedFileSystem, operation: str, path: str
) -> None:
    upsert(replica, *IDS)
    successors: list[Replica] = []

    def replace() -> None:
        successors.append(reopened(replica))
        upsert(successors[0], "new")

    fs.watch.before(operation, path, replace)
    with contextlib.suppress(AkiDBError):
        seal(replica)
    (successor,) = successors
    assert read_manifest(fs) == successor.manifest
    upsert(successor, "newer")
    seal(successor)
    assert ids_of(crashed(successor)) == sorted([*IDS, "new", "newer"])


def test_old_log_goes_after_a_checkpoint_when_its_time_is_over(fs: WatchedFileSystem) -> None:
    spec = CollectionSpec(DIMENSION, Metric.L2, wal_retention_seconds=0)
    replica = opened(fs, INDEXED, spec)
    for round_ in range(3):
        upsert(replica, *IDS, seed=round_)
        seal(replica)
        upsert(replica, "x", seed=round_)
    assert len(wal_files(fs)) == 2
    assert ids_of(crashed(replica)) == [*IDS, "x"]


def test_log_is_kept_while_its_time_is_not_over(fs: WatchedFileSystem) -> None:
    replica = opened(fs, INDEXED)
    for round_ in range(3):
        upsert(replica, *IDS, seed=round_)
        seal(replica)
    assert len(wal_files(fs)) == 3


def test_failed_removal_of_an_old_log_loses_nothing(fs: WatchedFileSystem) -> None:
    spec = CollectionSpec(DIMENSION, Metric.L2, wal_retention_seconds=0)
    replica = opened(fs, INDEXED, spec)
    upsert(replica, *IDS)
    replica.freeze()
    upsert(replica, "x")
    fs.watch.fail("remove", "wal/", StorageFailed("I/O error"))
    work(replica)
    assert not replica.failed
    upsert(replica, "y")
    assert ids_of(replica) == [*IDS, "x", "y"]
    assert ids_of(crashed(replica)) == [*IDS, "x", "y"]


def test_tombstone_files_of_before_are_removed(replica: Replica, fs: WatchedFileSystem) -> None:
    upsert(replica, *IDS)
    seal(replica)
    for number in range(4):
        delete(replica, IDS[number])
        upsert(replica, f"new-{number}")
        seal(replica)
    assert len(fs.list(PurePosixPath("tombstones"))) == 1
    assert len(ids_of(crashed(replica))) == 30


@pytest.mark.parametrize("sealed", [0, 1, 2, 3])
def test_frozen_segments_are_sealed_oldest_first(replica: Replica, sealed: int) -> None:
    for round_ in range(3):
        upsert(replica, *IDS[round_ * 10 : round_ * 10 + 15], seed=round_)
        replica.freeze()
    delete(replica, IDS[12])
    before = _contents(replica)
    for _ in range(sealed):
        seal_oldest(replica)
        assert _contents(replica) == before
    replica = crashed(replica)
    assert len(replica.live.sealed) == sealed
    assert _contents(replica) == before
    seal(replica)
    assert _contents(crashed(replica)) == before


def test_graph_of_a_segment_with_dead_rows_finds_the_living(replica: Replica) -> None:
    ids = [str(number) for number in range(300)]
    upsert(replica, *ids)
    seal(replica)
    delete(replica, *ids[:150])
    hits = search(replica, vectors_for(["q"])[0], limit=150)
    assert sorted(h.id for h in hits) == sorted(ids[150:])


def test_graph_built_again_replaces_the_former(replica: Replica) -> None:
    upsert(replica, *IDS)
    seal(replica)
    first = replica.manifest.segments[0].graph
    build_graph(replica, replica.live.sealed[0])
    assert replica.manifest.segments[0].graph not in (None, first)
    again = crashed(replica)
    assert status_of(again).unindexed == 0
    assert len(replica.fs.list(PurePosixPath("indexes"))) == 1
