"""What followers of the catalog are told, and when: the same of both stores."""

import asyncio
import pickle
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from akidb_ray.catalog.feed import Feed
from akidb_ray.catalog.memory.store import MemoryStore
from akidb_ray.catalog.repositories import CatalogStore
from akidb_ray.catalog.sqlite.store import SqliteStore
from akidb_ray.domain.collection import Collection, CollectionSpec, CollectionState
from akidb_ray.domain.directory import CatalogUpdate
from akidb_ray.domain.errors import Unavailable
from akidb_ray.domain.ids import StoreId
from akidb_ray.domain.placement import ShardPlacement
from akidb_ray.domain.tenancy import Database, Tenant, TenantQuota
from tests.contract.catalog.things import (
    COLLECTIONS,
    DATABASES,
    START,
    TENANTS,
    USERS,
    a_collection,
    a_database,
    a_tenant,
    a_user,
    keep,
)

FOREVER_S = 60.0


@pytest.fixture(params=["sqlite", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CatalogStore]:
    opened: CatalogStore
    if request.param == "sqlite":
        opened = await SqliteStore.open(tmp_path / "catalog.db", lambda: START, create=True)
    else:
        opened = MemoryStore(lambda: START)
    yield opened
    await opened.close()


@pytest.fixture
async def feed(store: CatalogStore) -> AsyncIterator[Feed]:
    opened = Feed(store)
    yield opened
    await opened.close()


@dataclass(frozen=True)
class Kept:
    """One of each, with every field set."""

    tenant: Tenant
    database: Database
    collection: Collection
    placed: tuple[ShardPlacement, ...]


@pytest.fixture
async def kept(store: CatalogStore) -> Kept:
    quota = TenantQuota(qps_quota=7, max_collections=3, max_vectors_per_collection=10**6)
    tenant = a_tenant(external_id="crm-7", metadata={"plan": "über", "seats": 3}, quota=quota)
    database = a_database(tenant.tenant_id, description="Löwen 🦁", schema_version=2)
    spec = CollectionSpec(dimension=64, shard_count=2, embedding_model="hashing-64")
    state = CollectionState.CREATING
    collection = a_collection(database.database_id, spec=spec, state=state, description="Of films")
    await keep(store, TENANTS, tenant)
    await keep(store, DATABASES, database)
    first, second = StoreId.new(), StoreId.new()
    placed = (ShardPlacement(0, second), ShardPlacement(1, first, epoch=3))
    async with store.writing() as repos:
        await repos.placement.register_store(first, "shard-host-0")
        await repos.placement.register_store(second, "")
        await repos.collections.add(collection)
        await repos.placement.place(collection.collection_id, placed[::-1])
    await store.set_root_key_hash(b"hash")
    return Kept(tenant, database, collection, placed)


async def newest(feed: Feed, since: int) -> CatalogUpdate:
    update = await feed.watch(since, timeout_s=0)
    assert update is not None
    # As it comes out of another process.
    arrived: CatalogUpdate = pickle.loads(pickle.dumps(update))
    return arrived


async def rename(store: CatalogStore, feed: Feed, tenant: Tenant, name: str) -> None:
    async with store.writing() as repos:
        await repos.tenants.update(replace(await repos.tenants.get(tenant.tenant_id), name=name))
    await feed.publish()


async def add_user(store: CatalogStore, feed: Feed, tenant: Tenant, number: int = 0) -> None:
    await keep(store, USERS, a_user(tenant.tenant_id, number))
    await feed.publish()


async def test_a_whole_holds_everything_but_users(
    store: CatalogStore, feed: Feed, kept: Kept
) -> None:
    await add_user(store, feed, kept.tenant)
    update = await newest(feed, 0)
    assert update == CatalogUpdate(
        cluster_id=store.cluster_id,
        epoch=store.epoch,
        version=await store.version(),
        whole=True,
        tenants=(kept.tenant,),
        databases=(kept.database,),
        collections=(kept.collection,),
        placements={kept.collection.collection_id: kept.placed},
        stores={kept.placed[0].store_id: "", kept.placed[1].store_id: "shard-host-0"},
        root_key_hash=b"hash",
    )


async def test_a_whole_of_many_things_holds_each_of_them_once(
    store: CatalogStore, feed: Feed
) -> None:
    tenants = [a_tenant(number) for number in range(250)]
    databases = [a_database(tenants[number // 2].tenant_id, number) for number in range(250)]
    collections = [a_collection(each.database_id, 0) for each in databases]
    await keep(store, TENANTS, *tenants)
    await keep(store, DATABASES, *databases)
    await keep(store, COLLECTIONS, *collections)
    update = await newest(feed, 0)
    assert list(update.tenants) == tenants
    assert list(update.databases) == databases
    assert list(update.collections) == collections
    assert dict(update.placements) == {}


async def test_a_delta_holds_what_changed_as_it_is_now(
    store: CatalogStore, feed: Feed, kept: Kept
) -> None:
    since = await store.version()
    second = a_database(kept.tenant.tenant_id, 2)
    await keep(store, DATABASES, second)
    await rename(store, feed, kept.tenant, "Once")
    await rename(store, feed, kept.tenant, "Twice")
    update = await newest(feed, since)
    assert (update.whole, update.version) == (False, since + 3)
    assert [tenant.name for tenant in update.tenants] == ["Twice"]
    assert tuple(update.databases) == (second,)
    assert (tuple(update.collections), dict(update.stores), update.removed) == ((), {}, set())


async def test_a_collection_that_changed_comes_with_its_placement(
    store: CatalogStore, feed: Feed, kept: Kept
) -> None:
    since = await store.version()
    async with store.writing() as repos:
        ready = replace(kept.collection, state=CollectionState.READY)
        ready = await repos.collections.update(ready)
        await repos.placement.register_store(kept.placed[0].store_id, "shard-host-7")
    await feed.publish()
    update = await newest(feed, since)
    assert tuple(update.collections) == (ready,)
    assert dict(update.placements) == {kept.collection.collection_id: kept.placed}
    assert dict(update.stores) == {kept.placed[0].store_id: "shard-host-7"}


async def test_what_is_gone_is_named(store: CatalogStore, feed: Feed, kept: Kept) -> None:
    since = await store.version()
    other = a_database(kept.tenant.tenant_id, 2)
    await keep(store, DATABASES, other)
    async with store.writing() as repos:
        await repos.collections.delete(kept.collection.collection_id)
        await repos.databases.delete(kept.database.database_id)
        await repos.databases.delete(other.database_id)
    await feed.publish()
    update = await newest(feed, since)
    gone = {kept.collection.collection_id, kept.database.database_id, other.database_id}
    assert update.removed == gone
    assert (len(update.databases), len(update.collections)) == (0, 0)


async def test_a_follower_older_than_the_record_of_changes_gets_the_whole(
    store: CatalogStore, feed: Feed, kept: Kept
) -> None:
    version = await store.version()
    for number in range(3):
        await rename(store, feed, kept.tenant, f"Name {number}")
    await store.forget_changes(keep=2)
    assert (await newest(feed, version)).whole
    assert not (await newest(feed, version + 1)).whole


async def test_a_follower_that_is_ahead_gets_the_whole_at_once(
    store: CatalogStore, feed: Feed, kept: Kept
) -> None:
    ahead = await store.version() + 1
    update = await feed.watch(ahead, timeout_s=FOREVER_S)
    assert update is not None
    assert (update.whole, update.version) == (True, ahead - 1)


async def test_after_a_jump_of_the_version_everyone_gets_the_whole(tmp_path: Path) -> None:
    file = tmp_path / "catalog.db"
    first = await SqliteStore.open(file, lambda: START, create=True)
    tenant = a_tenant()
    await keep(first, TENANTS, tenant)
    before = await first.version()
    await first.close()
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("UPDATE catalog_meta SET catalog_version = catalog_version + 1000000")
    second = await SqliteStore.open(file, lambda: START, create=False)
    feed = Feed(second)
    assert (await newest(feed, before)).whole
    restored = await second.version()
    await rename(second, feed, tenant, "Later")
    assert (await newest(feed, before)).whole
    assert not (await newest(feed, restored)).whole
    await second.close()


async def test_a_change_wakes_all_who_wait(store: CatalogStore, feed: Feed, kept: Kept) -> None:
    since = await store.version()
    waiting = [asyncio.create_task(feed.watch(since, FOREVER_S)) for _ in range(5)]
    await asyncio.sleep(0)
    await rename(store, feed, kept.tenant, "Acme")
    for update in await asyncio.gather(*waiting):
        assert update is not None
        assert [tenant.name for tenant in update.tenants] == ["Acme"]


async def test_changes_are_told_in_order_and_none_is_missed(
    store: CatalogStore, feed: Feed, kept: Kept
) -> None:
    start = await store.version()
    versions, names = [start], []

    async def follow() -> None:
        while versions[-1] < start + 20:
            update = await feed.watch(versions[-1], FOREVER_S)
            assert update is not None
            versions.append(update.version)
            names.extend(tenant.name for tenant in update.tenants)

    following = asyncio.create_task(follow())
    for number in range(20):
        await rename(store, feed, kept.tenant, f"Name {number:02}")
    await following
    assert versions == sorted(set(versions))
    assert names == sorted(set(names))
    assert names[-1] == "Name 19"


async def test_one_gets_nothing_when_the_time_is_over(store: CatalogStore, feed: Feed) -> None:
    assert await feed.watch(await store.version(), timeout_s=0.01) is None
    assert await feed.watch(await store.version(), timeout_s=0) is None


async def test_closing_wakes_those_who_wait_with_unavailable(
    store: CatalogStore, feed: Feed
) -> None:
    waiting = asyncio.create_task(feed.watch(await store.version(), FOREVER_S))
    await asyncio.sleep(0)
    await feed.close()
    with pytest.raises(Unavailable, match="closed"):
        await waiting
    with pytest.raises(Unavailable, match="closed"):
        await feed.watch(0, timeout_s=0)


class CountingStore(MemoryStore):
    """Says how often it was read, and can be told to keep its readers waiting or to fail."""

    reads = 0
    trims = 0
    failure: Exception | None = None

    def __init__(self) -> None:
        super().__init__(lambda: START)
        self.may_read = asyncio.Event()
        self.may_read.set()

    async def update_since(self, since: int) -> CatalogUpdate:
        self.reads += 1
        await self.may_read.wait()
        if self.failure is not None:
            raise self.failure
        return await super().update_since(since)

    async def forget_changes(self, keep: int) -> None:
        self.trims += 1
        if self.failure is not None:
            raise self.failure
        await super().forget_changes(keep)


async def settled() -> None:
    """Until every task has gone as far as it can without the others."""
    for _ in range(10):
        await asyncio.sleep(0)


async def followed_store() -> tuple[CountingStore, Feed, Tenant]:
    """A store in which everything happens at once, so that `settled` waits long enough."""
    store, tenant = CountingStore(), a_tenant()
    await keep(store, TENANTS, tenant)
    return store, Feed(store), tenant


async def test_a_change_of_users_wakes_nobody_and_is_told_with_the_next() -> None:
    store, feed, tenant = await followed_store()
    since = await store.version()
    waiting = asyncio.create_task(feed.watch(since, FOREVER_S))
    await settled()
    for number in range(3):
        await add_user(store, feed, tenant, number)
    await settled()
    assert not waiting.done()
    await rename(store, feed, tenant, "Acme")
    update = await waiting
    assert update is not None
    assert update.version == since + 4
    assert [tenant.name for tenant in update.tenants] == ["Acme"]


async def test_versions_of_users_alone_are_told_when_the_time_is_over() -> None:
    store, feed, tenant = await followed_store()
    since = await store.version()
    waiting = asyncio.create_task(feed.watch(since, timeout_s=0.5))
    await settled()
    await add_user(store, feed, tenant)
    update = await waiting
    assert update is not None
    assert (update.version, update.whole, len(update.tenants)) == (since + 1, False, 0)


async def test_a_new_root_key_wakes_those_who_wait() -> None:
    store, feed, _ = await followed_store()
    waiting = asyncio.create_task(feed.watch(await store.version(), FOREVER_S))
    await settled()
    await store.set_root_key_hash(b"another")
    await feed.publish()
    update = await waiting
    assert update is not None
    assert update.root_key_hash == b"another"


async def test_followers_of_one_version_share_one_read() -> None:
    store, feed, _ = await followed_store()
    store.may_read.clear()
    asking = [asyncio.create_task(feed.watch(0, 0)) for _ in range(5)]
    await settled()
    asking[0].cancel()
    store.may_read.set()
    updates = await asyncio.gather(*asking[1:])
    assert [update.whole for update in updates if update] == [True] * 4
    await newest(feed, 0)
    assert store.reads == 1
    await keep(store, TENANTS, a_tenant(2))
    await feed.publish()
    assert len((await newest(feed, 0)).tenants) == 2, "what was read before a change is out of date"
    assert store.reads == 2


async def test_a_read_that_failed_is_tried_again() -> None:
    store, feed, _ = await followed_store()
    store.failure = Unavailable("the catalog is busy")
    with pytest.raises(Unavailable, match="busy"):
        await feed.watch(0, 0)
    store.failure = None
    assert (await newest(feed, 0)).whole


async def test_the_record_of_changes_is_trimmed_now_and_then() -> None:
    store, feed, tenant = await followed_store()
    await rename(store, feed, tenant, "First")
    for _ in range(1999):
        await feed.publish()
    assert store.trims == 2
    store.failure = Unavailable("the disk is full")
    await rename(store, feed, tenant, "Second")
    assert store.trims == 3, "and a change is not held up by a trim that fails"
