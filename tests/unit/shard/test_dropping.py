"""Dropping a shard, ended at every operation: there is all of it, or nothing that opens."""

import contextlib
import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from akidb_ray.domain.errors import Corrupt, NotFound, StorageFailed
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.ids import CollectionId, StoreId, TenantId
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import ShardCount
from akidb_ray.domain.write import ShardUpsert
from akidb_ray.shard.recovery import create_replica
from akidb_ray.shard.replicas import TENANTS, Replicas
from akidb_ray.shard.survey import survey
from akidb_ray.storage.filesystem import FileSystem
from akidb_ray.storage.memory_disk import Directory
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.crash.faulty_filesystem import FaultyFileSystem, Keep, Machine, run_until
from tests.unit.shard.shards import INDEXED, NAMES, SPEC, batch, opened, seal, upsert
from tests.unit.shard.test_commit import wait_until
from tests.unit.storage.watched_filesystem import WatchedFileSystem

ALL = RowFilter()
KEY = ShardKey(TenantId.new(), CollectionId.new(), 0)
SIBLING = ShardKey(KEY.tenant_id, KEY.collection_id, 1)
COUSIN = ShardKey(KEY.tenant_id, CollectionId.new(), 0)
STORE = StoreId.new()
REST = "is no shard: its deletion was interrupted (there is no CURRENT)"
EMPTY = "is no shard: its creation was interrupted (there is no CURRENT)"


@pytest.fixture(scope="module")
def store() -> Directory:
    """Has a shard with documents in a segment, with a graph, and in the log."""
    fs = FaultyFileSystem()
    replica = opened(fs.subtree(TENANTS / KEY.path), INDEXED)
    upsert(replica, *map(str, range(30)))
    seal(replica)
    upsert(replica, "more")
    replica.close()
    return fs.machine.root


def _on(store: Directory) -> FaultyFileSystem:
    return FaultyFileSystem(Machine(root=copy.deepcopy(store)))


@contextlib.contextmanager
def _replicas(fs: FileSystem) -> Iterator[Replicas]:
    replicas = Replicas(fs, INDEXED)
    try:
        yield replicas
    finally:
        replicas.close()


def _found(fs: FileSystem) -> str:
    """What a survey says of the only shard."""
    return "".join(shard.problem or "whole" for shard in survey(fs, STORE).shards)


def _check(fs: FaultyFileSystem) -> str:
    """See that the shard is whole or does not answer; return what a survey says of it."""
    found = _found(fs)
    with _replicas(fs) as replicas:
        if found == "whole":
            assert replicas.count(ShardCount(KEY, ALL)) == 31
        else:
            with pytest.raises((NotFound, Corrupt)):
                replicas.count(ShardCount(KEY, ALL))
        if "deletion" in found:
            with pytest.raises(Corrupt, match="deletion was interrupted"):
                replicas.create(KEY, SPEC, NAMES)
    return found


def _drop(fs: FileSystem, shard: ShardKey = KEY) -> None:
    with _replicas(fs) as replicas:
        replicas.drop(shard)


@pytest.mark.parametrize("keep", Keep)
def test_shard_is_whole_or_gone_wherever_its_drop_ends(store: Directory, keep: Keep) -> None:
    found, steps, ended = set(), 0, False
    while not ended:
        for seed in range(4 if keep is Keep.SOME else 1):
            fs = _on(store)
            ended = run_until(fs.machine, steps, lambda fs=fs: _drop(fs))  # type: ignore[misc]
            fs = fs.machine.after_end(keep, seed)
            found.add(_check(fs))
            _drop(fs)
            assert fs.machine.after_end(Keep.SYNCED).list(TENANTS) == []
        steps += 1
    assert steps > 30
    assert found - {EMPTY} == {"whole", REST, ""}


def test_killed_drop_of_files_in_any_order_leaves_no_shard(tmp_path: Path) -> None:
    """The operating system lists the names of a folder in an order of its own."""
    store = WatchedFileSystem(OsFileSystem(tmp_path))
    with _replicas(store) as replicas:
        replicas.create(KEY, SPEC, NAMES)
        replicas.write(ShardUpsert(KEY, batch(["a"]), ALL))
    store.watch.fail("remove_tree", "", StorageFailed("the process ends"))
    with pytest.raises(StorageFailed):
        _drop(store)
    assert _found(store) == REST
    with _replicas(store) as replicas, pytest.raises(Corrupt):
        replicas.status(KEY)
    _drop(store)
    assert store.list(TENANTS) == []


def test_interrupted_creation_is_finished() -> None:
    steps, ended, found = 0, False, set()
    while not ended:
        fs = FaultyFileSystem()
        shard = fs.subtree(TENANTS / KEY.path)
        ended = run_until(
            fs.machine,
            steps,
            lambda shard=shard: create_replica(shard, SPEC, NAMES),  # type: ignore[misc]
        )
        fs = fs.machine.after_end(Keep.EVERYTHING)
        found.add(_found(fs))
        with _replicas(fs) as replicas:
            replicas.create(KEY, SPEC, NAMES)
            assert replicas.count(ShardCount(KEY, ALL)) == 0
        steps += 1
    assert found == {"whole", EMPTY, ""}


def test_folders_of_a_collection_and_a_tenant_go_with_their_last_shard() -> None:
    fs = FaultyFileSystem()
    with _replicas(fs) as replicas:
        for shard in (KEY, SIBLING, COUSIN):
            replicas.create(shard, SPEC, NAMES)
        replicas.drop(KEY)
        assert fs.list(TENANTS / KEY.path.parent) == [SIBLING.path.name]
        replicas.drop(SIBLING)
        assert fs.list(TENANTS / str(KEY.tenant_id)) == [str(COUSIN.collection_id)]
        assert replicas.count(ShardCount(COUSIN, ALL)) == 0
        replicas.drop(COUSIN)
        assert fs.list(TENANTS) == []


def test_shards_of_one_tenant_are_made_and_dropped_at_once(tmp_path: Path) -> None:
    with _replicas(OsFileSystem(tmp_path)) as replicas:

        def make_and_drop(shard: ShardKey) -> None:
            for _ in range(5):
                replicas.create(shard, SPEC, NAMES)
                assert replicas.count(ShardCount(shard, ALL)) == 0
                replicas.drop(shard)

        with ThreadPoolExecutor() as pool:
            list(pool.map(make_and_drop, [KEY, SIBLING, COUSIN]))
    assert list((tmp_path / "tenants").iterdir()) == []


def test_who_asks_for_a_shard_under_deletion_does_not_wait() -> None:
    with _replicas(FaultyFileSystem()) as replicas:
        replicas.create(KEY, SPEC, NAMES)
        with ThreadPoolExecutor() as pool, replicas._using(KEY):
            dropping = pool.submit(replicas.drop, KEY)
            wait_until(lambda: not replicas.open_count)
            asked = pool.submit(replicas.count, ShardCount(KEY, ALL))
            with pytest.raises(NotFound):
                asked.result(timeout=10)
            assert not dropping.done()
        dropping.result()
        with pytest.raises(NotFound):
            replicas.count(ShardCount(KEY, ALL))
