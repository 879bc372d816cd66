"""What only databases and collections do."""

from dataclasses import replace
from typing import Any

import pytest

from akidb_ray.catalog.repositories import CatalogStore
from akidb_ray.domain.collection import (
    CollectionSpec,
    CollectionState,
    HnswEngine,
    IndexKind,
    Language,
    Metric,
)
from akidb_ray.domain.errors import InvalidArgument, NotFound
from akidb_ray.domain.ids import DatabaseId, TenantId
from akidb_ray.domain.tenancy import Database, DatabaseState
from tests.contract.catalog.things import (
    COLLECTIONS,
    DATABASES,
    SPEC,
    TENANTS,
    a_collection,
    a_database,
    a_tenant,
    changed,
    keep,
    kept,
)


@pytest.fixture
async def database(store: CatalogStore) -> Database:
    tenant = a_tenant()
    await keep(store, TENANTS, tenant)
    database = a_database(tenant.tenant_id, description="Löwen, \n\"quoted\" 'and' 雪 🦁")
    await keep(store, DATABASES, database)
    return database


async def test_every_field_is_kept(store: CatalogStore, database: Database) -> None:
    assert await kept(store, DATABASES, database.database_id) == database
    moved = replace(database, state=DatabaseState.MIGRATING, schema_version=2, description="")
    new = await changed(store, lambda repos: repos.databases.update(moved))
    assert await kept(store, DATABASES, database.database_id) == new
    spec = CollectionSpec(
        dimension=4096,
        metric=Metric.L2,
        shard_count=64,
        index_kind=IndexKind.FLAT,
        hnsw_m=4,
        hnsw_ef_construction=2000,
        hnsw_engine=HnswEngine.HNSWLIB,
        language=Language.NONE,
        embedding_model="all-MiniLM-L6-v2",
        wal_retention_seconds=0,
        max_doc_count=2**40,
    )
    collection = a_collection(
        database.database_id,
        spec=spec,
        state=CollectionState.CREATING,
        description="x" * 4096,
    )
    await keep(store, COLLECTIONS, collection)
    assert await kept(store, COLLECTIONS, collection.collection_id) == collection


async def test_they_are_found_by_name_in_their_parent_only(
    store: CatalogStore, database: Database
) -> None:
    collection = a_collection(database.database_id, name="films")
    await keep(store, COLLECTIONS, collection)
    async with store.reading() as repos:
        found = await repos.databases.get_by_name(database.tenant_id, database.name)
        assert found == database
        assert await repos.collections.get_by_name(database.database_id, "films") == collection
        for tenant_id, name in ((TenantId.new(), database.name), (database.tenant_id, "films")):
            with pytest.raises(NotFound) as refusal:
                await repos.databases.get_by_name(tenant_id, name)
            assert refusal.value.fields == {"kind": "database", "id": name}
        for database_id, name in ((DatabaseId.new(), "films"), (database.database_id, "Films")):
            with pytest.raises(NotFound) as refusal:
                await repos.collections.get_by_name(database_id, name)
            assert refusal.value.fields == {"kind": "collection", "id": name}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 256),
        ("description", "x" * 4097),
        ("schema_version", 0),
    ],
)
async def test_a_value_that_a_database_cannot_hold_is_refused(
    store: CatalogStore, database: Database, field: str, value: Any
) -> None:
    wrong = replace(database, **{field: value})
    with pytest.raises(InvalidArgument) as refusal:
        await changed(store, lambda repos: repos.databases.update(wrong))
    assert refusal.value.fields["field"] == field
    with pytest.raises(InvalidArgument) as refusal:
        await keep(store, DATABASES, replace(wrong, database_id=DatabaseId.new()))
    assert refusal.value.fields["field"] == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("description", "x" * 4097),
        ("dimension", 15),
        ("dimension", 4097),
        ("shard_count", 0),
        ("shard_count", 65),
        ("hnsw_m", 3),
        ("hnsw_ef_construction", 7),
        ("embedding_model", ""),
        ("replica_factor", 4),
        ("wal_retention_seconds", -1),
        ("max_doc_count", 0),
    ],
)
async def test_a_value_that_a_collection_cannot_hold_is_refused(
    store: CatalogStore, database: Database, field: str, value: Any
) -> None:
    if field in CollectionSpec.__dataclass_fields__:
        fields = {"spec": replace(SPEC, **{field: value})}
    else:
        fields = {field: value}
    with pytest.raises(InvalidArgument) as refusal:
        await keep(store, COLLECTIONS, a_collection(database.database_id, **fields))
    assert refusal.value.fields["field"] == field


async def test_deleting_a_database_deletes_its_collections(
    store: CatalogStore, database: Database
) -> None:
    other = a_database(database.tenant_id, 2)
    await keep(store, DATABASES, other)
    gone, stays = a_collection(database.database_id), a_collection(other.database_id)
    await keep(store, COLLECTIONS, gone, stays)
    await changed(store, lambda repos: repos.databases.delete(database.database_id))
    with pytest.raises(NotFound):
        await kept(store, COLLECTIONS, gone.collection_id)
    assert await kept(store, COLLECTIONS, stays.collection_id) == stays


async def test_the_collections_of_a_database_are_counted_in_any_state(store: CatalogStore) -> None:
    tenant = a_tenant()
    await keep(store, TENANTS, tenant)
    full, empty = a_database(tenant.tenant_id, 1), a_database(tenant.tenant_id, 2)
    await keep(store, DATABASES, full, empty)
    states = enumerate(CollectionState)
    made = [a_collection(full.database_id, number, state=state) for number, state in states]
    await keep(store, COLLECTIONS, *made)
    async with store.reading() as repos:
        assert await repos.databases.count_collections(full.database_id) == len(CollectionState)
        assert await repos.databases.count_collections(empty.database_id) == 0
        with pytest.raises(NotFound):
            await repos.databases.count_collections(DatabaseId.new())
