"""All replicas of a store: opened on first use, opened again after a disk error, dropped."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from akidb_ray.domain.errors import NotFound, StorageFailed, StorageFull, Unavailable
from akidb_ray.domain.filter import EVERYTHING, Exists, Filter, HasId, RowFilter
from akidb_ray.domain.ids import CollectionId, TenantId
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import ShardCount, ShardGet, ShardSearch, VectorQuery
from akidb_ray.domain.write import ShardDelete, ShardUpsert
from akidb_ray.shard.policy import HostPolicy
from akidb_ray.shard.replicas import Replicas
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.shard.shards import INDEXED, NAMES, SPEC, batch, vectors_for
from tests.unit.shard.test_commit import wait_until
from tests.unit.storage.watched_filesystem import WatchedFileSystem

ALL = RowFilter()
KEY = ShardKey(TenantId.new(), CollectionId.new(), 0)
OTHER = ShardKey(TenantId.new(), CollectionId.new(), 1)


@pytest.fixture
def store(tmp_path: Path) -> WatchedFileSystem:
    return WatchedFileSystem(OsFileSystem(tmp_path / "store"))


@pytest.fixture
def replicas(store: WatchedFileSystem) -> Iterator[Replicas]:
    replicas = Replicas(store, INDEXED)
    replicas.create(KEY, SPEC, NAMES)
    yield replicas
    replicas.close()


def _upsert(replicas: Replicas, *ids: str, shard: ShardKey = KEY) -> None:
    replicas.write(ShardUpsert(shard, batch(ids), ALL))


def _count(replicas: Replicas, shard: ShardKey = KEY) -> int:
    return replicas.count(ShardCount(shard, ALL))


def test_shard_is_written_and_read_through_its_key(replicas: Replicas) -> None:
    _upsert(replicas, "a", "b")
    assert _count(replicas) == 2
    assert [d.id for d in replicas.get(ShardGet(KEY, ["b"], ALL))] == ["b"]
    query = VectorQuery(vectors_for(["a"])[0], limit=1)
    assert [h.id for h in replicas.search(ShardSearch(KEY, query, ALL))] == ["a"]
    assert replicas.write(ShardDelete(KEY, ALL, ids=["a"])).affected == 1
    assert replicas.status(KEY).documents == 1


def test_unknown_shard_is_not_found(replicas: Replicas, store: WatchedFileSystem) -> None:
    with pytest.raises(NotFound):
        _count(replicas, OTHER)
    assert not store.exists(OTHER.path), "asking for it must not make it"
    replicas.create(OTHER, SPEC, NAMES)
    assert _count(replicas, OTHER) == 0
    assert _count(replicas) == 0


def test_creating_twice_keeps_the_documents(replicas: Replicas) -> None:
    _upsert(replicas, "a")
    replicas.create(KEY, SPEC, NAMES)
    assert _count(replicas) == 1


def test_failed_replica_is_opened_again_by_the_next_request(
    replicas: Replicas, store: WatchedFileSystem
) -> None:
    _upsert(replicas, "a")
    for operation in ("sync", "append"):
        store.watch.fail(operation, "wal/", StorageFailed("I/O error"))
        with pytest.raises(StorageFailed):
            _upsert(replicas, "b")
        _upsert(replicas, "c")
        assert {"a", "c"} <= {d.id for d in replicas.get(ShardGet(KEY, ["a", "b", "c"], ALL))}


def test_many_requests_open_a_replica_once(replicas: Replicas, store: WatchedFileSystem) -> None:
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(_count(replicas))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [0] * 8


def test_maintenance_seals_and_indexes_by_itself(store: WatchedFileSystem) -> None:
    replicas = Replicas(store, replace(INDEXED, seal_rows=25))
    replicas.create(KEY, SPEC, NAMES)
    _upsert(replicas, *map(str, range(30)))
    wait_until(lambda: replicas.status(KEY).unindexed == 0)
    replicas.close()
    again = Replicas(store, INDEXED)
    assert again.status(KEY).unindexed == 0
    assert _count(again) == 30
    again.close()


def test_replicas_of_a_host_share_one_cache_of_masks(store: WatchedFileSystem) -> None:
    policy = replace(INDEXED, seal_rows=25)
    some = ShardCount(KEY, ALL, Filter((HasId(("3",)), Exists("missing", wanted=False))))
    replicas = Replicas(store, policy)
    for shard in (KEY, OTHER):
        replicas.create(shard, SPEC, NAMES)
        _upsert(replicas, *map(str, range(30)), shard=shard)
        wait_until(lambda shard=shard: replicas.status(shard).unindexed == 0)  # type: ignore[misc]
        assert replicas.count(replace(some, shard=shard)) == 1
    assert len(replicas.masks) == 2
    replicas.count(some)
    assert len(replicas.masks) == 2
    replicas.close()
    again = Replicas(store, policy, HostPolicy(mask_cache_bytes=100))
    assert again.count(some) == 1
    assert len(again.masks) == 0
    again.close()


def test_maintenance_goes_on_after_an_error_in_one_shard(store: WatchedFileSystem) -> None:
    replicas = Replicas(store, replace(INDEXED, seal_rows=25))
    replicas.create(KEY, SPEC, NAMES)
    replicas.create(OTHER, SPEC, NAMES)
    store.watch.fail("write", str(KEY.path / "segments"), StorageFull("no room"), times=10**9)
    _upsert(replicas, *map(str, range(30)))
    _upsert(replicas, *map(str, range(30)), shard=OTHER)
    wait_until(lambda: replicas.status(OTHER).unindexed == 0)
    assert _count(replicas) == 30
    store.watch.plans.clear()
    _upsert(replicas, "more")
    wait_until(lambda: replicas.status(KEY).unindexed == 1)
    replicas.close()


def test_dropped_shard_is_gone(replicas: Replicas, store: WatchedFileSystem) -> None:
    _upsert(replicas, "a")
    replicas.drop(KEY)
    replicas.drop(KEY)
    with pytest.raises(NotFound):
        _count(replicas)
    with pytest.raises(NotFound):
        _upsert(replicas, "b")
    replicas.create(KEY, SPEC, NAMES)
    assert _count(replicas) == 0


def test_shard_is_dropped_on_a_full_disk(replicas: Replicas, store: WatchedFileSystem) -> None:
    _upsert(replicas, "a")
    store.watch.fail("write", "manifest", StorageFull("no room"))
    replicas.drop(KEY)
    with pytest.raises(NotFound):
        _count(replicas)


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ("create_directory", "segments/"),
        ("write", "columns.arrow"),
        ("map", "columns.arrow"),
        ("create_directory", "indexes/"),
        ("import_file", "graph"),
        ("map", "graph"),
    ],
)
def test_drop_during_maintenance_leaves_nothing(
    store: WatchedFileSystem, operation: str, path: str
) -> None:
    replicas = Replicas(store, replace(INDEXED, seal_rows=25))
    replicas.create(KEY, SPEC, NAMES)
    dropping = threading.Thread(target=replicas.drop, args=(KEY,))

    def drop() -> None:
        dropping.start()
        wait_until(lambda: replicas.open_count == 0)

    store.watch.before(operation, path, drop)
    _upsert(replicas, *map(str, range(30)))
    wait_until(lambda: dropping.ident is not None)
    dropping.join()
    replicas.close()
    assert not (store.inner.root / "tenants" / KEY.path).exists()  # type: ignore[attr-defined]


def test_closed_host_serves_nothing_and_lets_go_of_all_folders(
    replicas: Replicas, store: WatchedFileSystem
) -> None:
    replicas.create(OTHER, SPEC, NAMES)
    _upsert(replicas, "a")
    _upsert(replicas, "b", shard=OTHER)
    store.watch.fail("write", "manifest", StorageFailed("I/O error"))
    replicas.close()
    with pytest.raises(Unavailable):
        _count(replicas)
    again = Replicas(store, INDEXED)
    assert (_count(again), _count(again, OTHER)) == (1, 1)
    again.close()


def test_shard_that_opens_while_the_host_closes_is_let_go(
    replicas: Replicas, store: WatchedFileSystem
) -> None:
    _upsert(replicas, "a")
    replicas.close()
    replicas = Replicas(store, INDEXED)
    closing = threading.Thread(target=replicas.close)

    def close() -> None:
        closing.start()
        wait_until(lambda: replicas._maintenance.stopping)

    store.watch.before("map", "wal/", close)
    assert _count(replicas) == 1
    closing.join()
    again = Replicas(store, INDEXED)
    assert again.count(ShardCount(KEY, ALL, EVERYTHING)) == 1
    again.close()
