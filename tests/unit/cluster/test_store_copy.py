"""What a shard host keeps of the catalog, and which shards' files it may make and delete."""

import asyncio
import threading
from collections.abc import AsyncIterator, KeysView
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.catalog.memory.store import MemoryStore
from akidb_ray.cluster.shard_host import HostOptions, ShardHost
from akidb_ray.cluster.store_copy import StoreCopy
from akidb_ray.domain.collection import CollectionSpec, CollectionState
from akidb_ray.domain.directory import CatalogUpdate
from akidb_ray.domain.errors import InvalidState, NotFound, Unavailable
from akidb_ray.domain.ids import ClusterId, CollectionId, StoreId
from akidb_ray.domain.placement import ShardKey, ShardPlacement
from akidb_ray.settings import ShardSettings
from tests.contract.catalog.things import a_collection, a_database, a_tenant

CLUSTER = ClusterId.new()
STORE, OTHER_STORE = StoreId.new(), StoreId.new()
SPEC = CollectionSpec(dimension=16)
TENANT = a_tenant()
DATABASE = a_database(TENANT.tenant_id)
HERE, AWAY = (a_collection(DATABASE.database_id, number) for number in range(2))
PLACED = {
    HERE.collection_id: (ShardPlacement(0, STORE), ShardPlacement(1, OTHER_STORE)),
    AWAY.collection_id: (ShardPlacement(0, OTHER_STORE),),
}


def update(version: int, **fields: Any) -> CatalogUpdate:
    given = {"cluster_id": CLUSTER, "epoch": 1, "version": version, "whole": False}
    return CatalogUpdate(**given | fields)


@pytest.fixture
def copy() -> StoreCopy:
    made = StoreCopy(STORE, CLUSTER)
    whole = update(10, whole=True, tenants=(TENANT,), databases=(DATABASE,))
    made.apply(replace(whole, collections=(HERE, AWAY), placements=PLACED))
    return made


def test_it_keeps_what_is_on_its_own_store(copy: StoreCopy) -> None:
    assert set(copy.collections) == {HERE.collection_id}
    held = copy.collections[HERE.collection_id]
    assert (held.state, held.placements) == (CollectionState.READY, (ShardPlacement(0, STORE),))


def test_files_may_go_only_for_a_recorded_deletion(copy: StoreCopy) -> None:
    shard = ShardKey(TENANT.tenant_id, HERE.collection_id, 0)
    assert not copy.is_deleting(shard)
    assert "recorded as ready" in str(copy.refusal(shard, "deleting"))
    deleting = [replace(each, state=CollectionState.DELETING) for each in (HERE, AWAY)]
    copy.apply(update(12, collections=deleting, placements=PLACED))
    assert copy.is_deleting(shard)
    assert not copy.is_deleting(replace(shard, number=1)), "that one is on another store"
    away = replace(shard, collection_id=AWAY.collection_id)
    assert not copy.is_deleting(away)
    assert "not recorded on this store" in str(copy.refusal(away, "deleting"))


@pytest.mark.parametrize("state", list(CollectionState))
def test_files_may_be_made_unless_they_are_being_deleted(
    copy: StoreCopy, state: CollectionState
) -> None:
    copy.apply(update(11, collections=(replace(HERE, state=state),), placements=PLACED))
    shard = ShardKey(TENANT.tenant_id, HERE.collection_id, 0)
    assert copy.is_wanted(shard) == (state is not CollectionState.DELETING)
    assert not copy.is_wanted(replace(shard, number=1)), "that one is on another store"
    assert not copy.is_wanted(replace(shard, collection_id=CollectionId.new()))


def test_what_moved_away_is_not_kept(copy: StoreCopy) -> None:
    moved = {HERE.collection_id: (ShardPlacement(0, OTHER_STORE, epoch=2),)}
    copy.apply(update(11, collections=(HERE,), placements=moved))
    assert copy.collections == {}


@pytest.mark.parametrize("gone", [HERE.collection_id, DATABASE.database_id, TENANT.tenant_id])
def test_what_is_gone_is_not_kept(copy: StoreCopy, gone: Any) -> None:
    copy.apply(update(11, removed=frozenset({CollectionId.new(), gone})))
    assert copy.collections == {}
    assert copy.position.version == 11


@pytest.mark.parametrize(
    "wrong",
    [{"cluster_id": ClusterId.new()}, {"epoch": 0}, {"version": 9}, {"version": 9, "epoch": 2}],
)
def test_an_update_that_must_not_be_taken_changes_nothing(copy: StoreCopy, wrong: Any) -> None:
    before = dict(copy.collections)
    refused = replace(update(11, whole=True), **wrong)
    with pytest.raises(InvalidState):
        copy.apply(refused)
    assert (copy.collections, copy.position.version) == (before, 10)


def test_the_first_update_must_be_of_the_own_cluster() -> None:
    with pytest.raises(InvalidState, match="of cluster"):
        StoreCopy(STORE, CLUSTER).apply(update(1, cluster_id=ClusterId.new(), whole=True))


@dataclass
class Host:
    """A real host and its catalog, with one collection that is on its store."""

    host: ShardHost
    catalog: StoredCatalog
    shard: ShardKey
    folder: Path

    @property
    def has_files(self) -> bool:
        return self.has_files_of(self.shard)

    def has_files_of(self, shard: ShardKey) -> bool:
        return (self.folder / PurePosixPath("tenants") / shard.path).exists()

    async def record_shard(self, name: str) -> ShardKey:
        """Of a new collection in state `creating`, without files."""
        tenant = await self.catalog.get_tenant(self.shard.tenant_id)
        database = await self.catalog.get_database(tenant.tenant_id, "films")
        recorded = await self.catalog.create_collection(database.database_id, name, SPEC)
        return ShardKey(tenant.tenant_id, recorded, 0)

    async def delete(self, shard: ShardKey) -> None:
        """As a job does."""
        job = await self.catalog.delete_collection(shard.collection_id)
        await self.catalog.mark_deleting(shard.collection_id)
        await self.host.drop_shard(shard)
        await self.catalog.finish_step(job.job_id, shard.collection_id)


@pytest.fixture
async def hosted(tmp_path: Path) -> AsyncIterator[Host]:
    catalog = StoredCatalog(MemoryStore(lambda: datetime.now(UTC)))
    options = HostOptions(
        folder=str(tmp_path / "store"),
        node_id="node",
        address="127.0.0.1",
        cluster_id=catalog.cluster_id,
        threads=1,
        writers=2,
        cores=1,
        memory_bytes=1024**3,
        shard=ShardSettings(disk_reserve_bytes=0, lock_wait_s=1),
    )
    host = ShardHost(options, catalog)
    await catalog.register_store(await host.store_id(), "shard-host-0")
    tenant = await catalog.create_tenant("Acme")
    database = await catalog.create_database(tenant.tenant_id, "films")
    collection_id = await catalog.create_collection(database.database_id, "plots", SPEC)
    shard = ShardKey(tenant.tenant_id, collection_id, 0)
    await host.create_shard(shard, SPEC, {})
    yield Host(host, catalog, shard, tmp_path / "store")
    await host.stop()
    await catalog.close()


async def test_a_host_deletes_files_once_their_deletion_is_recorded(hosted: Host) -> None:
    with pytest.raises(InvalidState, match="recorded as creating"):
        await hosted.host.drop_shard(hosted.shard)
    ready = {"state": CollectionState.READY}
    await hosted.catalog.update_collection(hosted.shard.collection_id, ready)
    with pytest.raises(InvalidState, match="recorded as ready"):
        await hosted.host.drop_shard(hosted.shard)
    assert hosted.has_files
    await hosted.catalog.mark_deleting(hosted.shard.collection_id)
    await hosted.host.drop_shard(hosted.shard)
    assert not hosted.has_files
    await hosted.host.drop_shard(hosted.shard)


async def test_a_host_deletes_nothing_that_the_catalog_does_not_know(hosted: Host) -> None:
    job = await hosted.catalog.delete_collection(hosted.shard.collection_id)
    await hosted.catalog.finish_step(job.job_id, hosted.shard.collection_id)
    with pytest.raises(InvalidState, match="not recorded on this store"):
        await hosted.host.drop_shard(hosted.shard)
    assert hosted.has_files


async def test_a_host_deletes_nothing_while_the_catalog_is_away(hosted: Host) -> None:
    await hosted.catalog.close()
    with pytest.raises(Unavailable):
        await hosted.host.drop_shard(hosted.shard)
    assert hosted.has_files


async def test_a_host_makes_files_of_what_is_recorded_only(hosted: Host) -> None:
    await hosted.delete(hosted.shard)
    unknown = replace(hosted.shard, collection_id=CollectionId.new())
    for late in (hosted.shard, unknown):
        with pytest.raises(InvalidState, match="not recorded on this store"):
            await hosted.host.create_shard(late, SPEC, {})
        assert not hosted.has_files_of(late)
    marked = await hosted.record_shard("marked")
    await hosted.catalog.mark_deleting(marked.collection_id)
    with pytest.raises(InvalidState, match="recorded as deleting"):
        await hosted.host.create_shard(marked, SPEC, {})
    assert not hosted.has_files_of(marked)


async def test_files_of_a_collection_that_became_ready_are_found_made(hosted: Host) -> None:
    ready = {"state": CollectionState.READY}
    await hosted.catalog.update_collection(hosted.shard.collection_id, ready)
    await hosted.host.create_shard(hosted.shard, SPEC, {})
    assert hosted.has_files


async def test_a_host_makes_nothing_unknown_while_the_catalog_is_away(hosted: Host) -> None:
    late = await hosted.record_shard("late")
    await hosted.catalog.close()
    unknown = replace(late, collection_id=CollectionId.new())
    with pytest.raises(Unavailable):
        await hosted.host.create_shard(unknown, SPEC, {})
    assert not hosted.has_files_of(unknown)
    await hosted.host.create_shard(hosted.shard, SPEC, {})


async def test_a_deletion_that_waits_keeps_nobody_else_from_writing(hosted: Host) -> None:
    host, replicas = hosted.host, hosted.host._open()[1]
    await host.status(hosted.shard)
    inside = replicas._table.pin_for_work(hosted.shard, "improve")
    assert inside is not None
    await hosted.catalog.mark_deleting(hosted.shard.collection_id)
    for _ in range(6):
        asked = asyncio.create_task(host.drop_shard(hosted.shard))
        while replicas.open_count:
            await asyncio.sleep(0)
        # There is one thread for this and for the first step of a deletion: that is over, too.
        for _ in range(2):
            await host.store_id()
        asked.cancel()
    others = [await hosted.record_shard(f"other-{number}") for number in range(4)]
    try:
        async with asyncio.timeout(10):
            for shard in others:
                await host.create_shard(shard, SPEC, {})
                await hosted.catalog.mark_deleting(shard.collection_id)
                await host.drop_shard(shard)
            # What is under deletion is not there: who asks for it keeps no thread.
            with pytest.raises(NotFound):
                await host.status(hosted.shard)
        assert hosted.has_files, "somebody is inside still"
        last = asyncio.create_task(host.drop_shard(hosted.shard))
    finally:
        replicas._table.unpin(inside, used=False)
    await last
    assert not hosted.has_files
    assert list((hosted.folder / "tenants").iterdir()) == []


class HeldNames(dict[str, str]):
    """Keeps whoever makes files with these names at it, until `released`."""

    def __init__(self) -> None:
        super().__init__(collection="held")
        self.reached, self.released = threading.Event(), threading.Event()

    def __iter__(self) -> Any:
        raise AssertionError("read by its keys")

    def keys(self) -> KeysView[str]:
        self.reached.set()
        assert self.released.wait(20)
        return {"collection": "held"}.keys()


async def test_who_waited_to_make_files_is_refused_after_their_deletion(hosted: Host) -> None:
    host, names = hosted.host, HeldNames()
    shard = await hosted.record_shard("late")
    first = asyncio.create_task(host.create_shard(shard, SPEC, names))
    assert await asyncio.to_thread(names.reached.wait, 20)
    second = asyncio.create_task(host.create_shard(shard, SPEC, {}))
    # There is one thread for this and for the first step of the second: that is over, too.
    await host.store_id()
    await hosted.catalog.mark_deleting(shard.collection_id)
    # Refused after the host has caught up.
    with pytest.raises(InvalidState):
        await host.drop_shard(replace(shard, number=7))
    names.released.set()
    await first
    with pytest.raises(InvalidState, match="recorded as deleting"):
        await second
    await host.drop_shard(shard)
    assert not hosted.has_files_of(shard)
