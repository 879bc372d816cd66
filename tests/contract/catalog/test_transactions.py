"""Transactions: whole or nothing, one at a time, and readers see what was committed."""

import asyncio
from dataclasses import replace

import pytest

from akidb_ray.catalog.repositories import CatalogStore
from akidb_ray.domain.errors import AkiDBError, AlreadyExists, InvalidState, NotFound
from akidb_ray.domain.ids import StoreId
from akidb_ray.domain.listing import Listing
from akidb_ray.domain.placement import ShardPlacement
from tests.contract.catalog.conftest import Clock, OpenAgain
from tests.contract.catalog.things import (
    COLLECTIONS,
    DATABASES,
    JOBS,
    TENANTS,
    USERS,
    a_collection,
    a_database,
    a_job,
    a_tenant,
    a_user,
    keep,
    kept,
)


class Stop(Exception):
    """What a test ends a transaction with."""


async def test_a_transaction_has_one_time(store: CatalogStore, clock: Clock) -> None:
    begin = clock.now
    async with store.writing() as repos:
        clock.advance(1)
        assert repos.now == begin
    async with store.reading() as repos:
        assert repos.now == clock.now


async def test_reads_see_the_writes_of_their_own_transaction(store: CatalogStore) -> None:
    tenant = a_tenant()
    async with store.writing() as repos:
        await repos.tenants.add(tenant)
        assert await repos.tenants.get_by_slug(tenant.slug) == tenant
        new = await repos.tenants.update(replace(tenant, name="Renamed Now"))
        assert await repos.tenants.get(tenant.tenant_id) == new
        assert (await repos.tenants.list(Listing(text="renamed"))).items == (new,)
        database = a_database(tenant.tenant_id)
        await repos.databases.add(database)
        await repos.collections.add(a_collection(database.database_id))
        assert await repos.tenants.count_collections(tenant.tenant_id) == 1
        await repos.databases.delete(database.database_id)
        assert await repos.tenants.count_collections(tenant.tenant_id) == 0


async def test_an_error_undoes_the_whole_transaction(store: CatalogStore) -> None:
    tenant, store_id = a_tenant(1), StoreId.new()
    user, database = a_user(tenant.tenant_id), a_database(tenant.tenant_id)
    collection, job = a_collection(database.database_id), a_job(tenant.tenant_id)
    await keep(store, TENANTS, tenant)
    await keep(store, USERS, user)
    version = await store.version()
    before = await store.update_since(0)

    async def everything() -> None:
        async with store.writing() as repos:
            await repos.databases.add(database)
            await repos.collections.add(collection)
            await repos.placement.register_store(store_id, "shard-host-0")
            placed = [ShardPlacement(0, store_id)]
            await repos.placement.place(collection.collection_id, placed)
            await repos.jobs.add(job)
            await repos.users.delete(user.user_id)
            await repos.tenants.update(replace(tenant, slug="renamed"))
            raise Stop

    with pytest.raises(Stop):
        await everything()
    assert await store.version() == version
    assert await store.update_since(0) == before
    assert await kept(store, USERS, user.user_id) == user
    for kind, thing in ((DATABASES, database), (COLLECTIONS, collection), (JOBS, job)):
        with pytest.raises(NotFound):
            await kept(store, kind, kind.id_of(thing))
    async with store.reading() as repos:
        assert await repos.placement.stores() == {}
        assert (await repos.tenants.list(Listing(text="renamed"))).items == ()


async def test_a_refused_write_undoes_those_before_it(store: CatalogStore) -> None:
    first = a_tenant(1)
    with pytest.raises(AlreadyExists):
        await keep(store, TENANTS, first, a_tenant(1))
    with pytest.raises(NotFound):
        await kept(store, TENANTS, first.tenant_id)
    assert await store.version() == 0


async def test_a_cancelled_transaction_leaves_nothing_and_the_next_goes_on(
    store: CatalogStore,
) -> None:
    tenant, inside = a_tenant(1), asyncio.Event()

    async def wait_inside() -> None:
        async with store.writing() as repos:
            await repos.tenants.add(tenant)
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait_inside())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await keep(store, TENANTS, a_tenant(1))
    with pytest.raises(NotFound):
        await kept(store, TENANTS, tenant.tenant_id)
    assert await store.version() == 1


async def test_a_reader_sees_one_committed_state_whatever_is_written(store: CatalogStore) -> None:
    tenant = a_tenant(1)
    await keep(store, TENANTS, tenant)
    async with store.reading() as before:
        assert await before.tenants.get(tenant.tenant_id) == tenant
        async with store.writing() as repos:
            new = await repos.tenants.update(replace(tenant, slug="renamed"))
            async with store.reading() as meanwhile:
                assert await meanwhile.tenants.get_by_slug(tenant.slug) == tenant
        assert await before.tenants.get_by_slug(tenant.slug) == tenant
        async with store.reading() as after:
            assert await after.tenants.get_by_slug("renamed") == new


async def test_writers_wait_for_each_other(store: CatalogStore) -> None:
    tenant = a_tenant(metadata={"count": 0})
    await keep(store, TENANTS, tenant)

    async def count() -> None:
        async with store.writing() as repos:
            read = await repos.tenants.get(tenant.tenant_id)
            await asyncio.sleep(0)
            counted = {"count": read.metadata["count"] + 1}
            await repos.tenants.update(replace(read, metadata=counted))

    await asyncio.gather(*[count() for _ in range(20)])
    read = await kept(store, TENANTS, tenant.tenant_id)
    assert (read.metadata, read.version) == ({"count": 20}, 21)


async def test_writing_in_a_reading_transaction_changes_nothing(store: CatalogStore) -> None:
    tenant = a_tenant(1)
    await keep(store, TENANTS, tenant)
    before = await store.update_since(0)

    async def write() -> None:
        async with store.reading() as repos:
            await repos.tenants.delete(tenant.tenant_id)

    with pytest.raises(AkiDBError):
        await write()
    assert await store.update_since(0) == before


async def test_each_opening_takes_the_catalog_over_from_the_one_before(
    store: CatalogStore, open_again: OpenAgain
) -> None:
    tenant = a_tenant(1)
    await keep(store, TENANTS, tenant)
    later = await open_again()
    assert later.cluster_id == store.cluster_id
    assert later.epoch == store.epoch + 1
    assert await later.version() == 1
    for change in (
        lambda: keep(store, TENANTS, a_tenant(2)),
        lambda: store.set_root_key_hash(b"hash"),
        lambda: store.forget_changes(0),
    ):
        with pytest.raises(InvalidState):
            await change()
    assert await kept(store, TENANTS, tenant.tenant_id) == tenant
    await keep(later, TENANTS, a_tenant(2))
    assert await later.version() == 2
    assert await later.root_key_hash() is None
