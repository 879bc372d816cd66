"""Stores, and the shards placed on them."""

from dataclasses import replace

import pytest

from akidb_ray.catalog.repositories import CatalogStore
from akidb_ray.domain.collection import Collection
from akidb_ray.domain.errors import AlreadyExists, InvalidArgument, NotFound
from akidb_ray.domain.ids import CollectionId, StoreId
from akidb_ray.domain.placement import ShardPlacement
from tests.contract.catalog.things import (
    COLLECTIONS,
    DATABASES,
    TENANTS,
    a_collection,
    a_database,
    a_tenant,
    changed,
    keep,
    kept,
)


@pytest.fixture
async def collections(store: CatalogStore) -> list[Collection]:
    tenant = a_tenant()
    await keep(store, TENANTS, tenant)
    database = a_database(tenant.tenant_id)
    await keep(store, DATABASES, database)
    made = [a_collection(database.database_id, number) for number in range(2)]
    await keep(store, COLLECTIONS, *made)
    return made


@pytest.fixture
async def stores(store: CatalogStore) -> list[StoreId]:
    made = sorted(StoreId.new() for _ in range(3))
    for number, store_id in enumerate(made):
        await register(store, store_id, f"shard-host-{number}")
    return made


async def register(store: CatalogStore, store_id: StoreId, actor_name: str) -> None:
    await changed(store, lambda repos: repos.placement.register_store(store_id, actor_name))


async def place(store: CatalogStore, collection_id: CollectionId, *shards: ShardPlacement) -> None:
    await changed(store, lambda repos: repos.placement.place(collection_id, shards))


async def test_placements_are_read_back_in_the_order_of_their_numbers(
    store: CatalogStore, collections: list[Collection], stores: list[StoreId]
) -> None:
    shards = [
        ShardPlacement(2, stores[0]),
        ShardPlacement(0, stores[1], epoch=7),
        ShardPlacement(1, stores[1]),
    ]
    placed, empty = (collection.collection_id for collection in collections)
    await place(store, placed, *shards)
    async with store.reading() as repos:
        found = await repos.placement.placements(placed)
        assert found == tuple(sorted(shards, key=lambda shard: shard.number))
        assert await repos.placement.placements(empty) == ()


async def test_placing_is_one_change_of_the_collection_which_keeps_its_version(
    store: CatalogStore, collections: list[Collection], stores: list[StoreId]
) -> None:
    before = await store.version()
    shards = [ShardPlacement(number, stores[0]) for number in range(3)]
    await place(store, collections[0].collection_id, *shards)
    assert await store.version() == before + 1
    assert await kept(store, COLLECTIONS, collections[0].collection_id) == collections[0]
    update = await store.update_since(before)
    assert update.collections == (collections[0],)
    assert update.placements == {collections[0].collection_id: tuple(shards)}


async def test_shards_are_placed_once(
    store: CatalogStore, collections: list[Collection], stores: list[StoreId]
) -> None:
    collection_id = collections[0].collection_id
    first = ShardPlacement(0, stores[0])
    await place(store, collection_id, first)
    with pytest.raises(AlreadyExists):
        await place(store, collection_id, ShardPlacement(0, stores[1]))
    other = collections[1].collection_id
    with pytest.raises(AlreadyExists):
        await place(store, other, ShardPlacement(1, stores[0]), ShardPlacement(1, stores[1]))
    async with store.reading() as repos:
        assert await repos.placement.placements(collection_id) == (first,)
        assert await repos.placement.placements(other) == ()


async def test_what_does_not_exist_is_not_found(
    store: CatalogStore, collections: list[Collection], stores: list[StoreId]
) -> None:
    missing, nowhere = CollectionId.new(), StoreId.new()
    with pytest.raises(NotFound) as refusal:
        await place(store, missing, ShardPlacement(0, stores[0]))
    assert refusal.value.fields == {"kind": "collection", "id": str(missing)}
    with pytest.raises(NotFound) as refusal:
        await place(store, collections[0].collection_id, ShardPlacement(0, nowhere))
    assert refusal.value.fields == {"kind": "store", "id": str(nowhere)}
    async with store.reading() as repos:
        with pytest.raises(NotFound):
            await repos.placement.placements(missing)


@pytest.mark.parametrize(("field", "value"), [("number", 64), ("number", -1), ("epoch", 0)])
async def test_a_value_that_a_shard_cannot_have_is_refused(
    store: CatalogStore,
    collections: list[Collection],
    stores: list[StoreId],
    field: str,
    value: int,
) -> None:
    wrong = replace(ShardPlacement(0, stores[0]), **{field: value})
    with pytest.raises(InvalidArgument) as refusal:
        await place(store, collections[0].collection_id, wrong)
    assert refusal.value.fields["field"] == field


async def test_registering_a_store_again_says_who_serves_it_now(
    store: CatalogStore, stores: list[StoreId]
) -> None:
    before = await store.version()
    await register(store, stores[0], "shard-host-0")
    assert await store.version() == before
    await register(store, stores[0], "shard-host-9")
    await register(store, stores[1], "")
    assert await store.version() == before + 2
    async with store.reading() as repos:
        known = await repos.placement.stores()
    assert known == {stores[0]: "shard-host-9", stores[1]: "", stores[2]: "shard-host-2"}
    with pytest.raises(InvalidArgument) as refusal:
        await register(store, stores[0], "x" * 256)
    assert refusal.value.fields["field"] == "actor_name"


async def test_shards_are_counted_for_the_stores_that_somebody_serves(
    store: CatalogStore, collections: list[Collection], stores: list[StoreId]
) -> None:
    await place(
        store,
        collections[0].collection_id,
        ShardPlacement(0, stores[0]),
        ShardPlacement(1, stores[0]),
        ShardPlacement(2, stores[1]),
    )
    await place(store, collections[1].collection_id, ShardPlacement(0, stores[0]))
    await register(store, stores[1], "")
    async with store.reading() as repos:
        assert await repos.placement.shard_counts() == {stores[0]: 3, stores[2]: 0}


async def test_placements_go_with_their_collection(
    store: CatalogStore, collections: list[Collection], stores: list[StoreId]
) -> None:
    collection_id = collections[0].collection_id
    await place(store, collection_id, ShardPlacement(0, stores[0]))
    await changed(store, lambda repos: repos.databases.delete(collections[0].database_id))
    async with store.reading() as repos:
        counts = await repos.placement.shard_counts()
        with pytest.raises(NotFound):
            await repos.placement.placements(collection_id)
    assert counts == dict.fromkeys(stores, 0)
