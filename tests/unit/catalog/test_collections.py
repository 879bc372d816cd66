"""Collections and their placement through the catalog."""

import pickle
from dataclasses import replace
from typing import Any

import pytest

from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.domain.collection import (
    CollectionSpec,
    CollectionState,
    HnswEngine,
    IndexKind,
    Language,
    Metric,
)
from akidb_ray.domain.errors import (
    AlreadyExists,
    InvalidArgument,
    InvalidState,
    NotFound,
    PreconditionFailed,
    QuotaExceeded,
    Unavailable,
)
from akidb_ray.domain.ids import CollectionId, DatabaseId, StoreId
from akidb_ray.domain.tenancy import Database
from tests.unit.catalog.states import state_of

SPEC = CollectionSpec(
    384,
    Metric.L2,
    4,
    IndexKind.FLAT,
    hnsw_engine=HnswEngine.HNSWLIB,
    language=Language.GERMAN,
    embedding_model="minilm",
)


async def test_a_collection_is_read_back_as_it_was_made(
    catalog: StoredCatalog, database: Database, store: StoreId, clock: Any
) -> None:
    made_id = await catalog.create_collection(database.database_id, "plots", SPEC, "Of films")
    made = await catalog.get_collection(database.database_id, "plots")
    assert made.collection_id == made_id
    assert (made.spec, made.state, made.description) == (SPEC, CollectionState.CREATING, "Of films")
    assert (made.version, made.created_at, made.updated_at) == (1, clock.now, clock.now)
    assert await catalog.get_collection(database.database_id, made_id) == made
    assert (await catalog.list_collections(database.database_id)).items == (made,)
    assert pickle.loads(pickle.dumps(made)) == made


async def test_shards_go_to_the_stores_with_the_fewest(
    catalog: StoredCatalog, database: Database
) -> None:
    stores = sorted(StoreId.new() for _ in range(3))
    for number, store in enumerate(stores):
        await catalog.register_store(store, f"shard-host-{number}")
    spec = replace(SPEC, shard_count=2)
    first = await catalog.create_collection(database.database_id, "first", spec)
    second = await catalog.create_collection(database.database_id, "second", spec)
    placements = (await state_of(catalog)).placements
    assert [shard.store_id for shard in placements[first]] == stores[:2]
    assert [shard.store_id for shard in placements[second]] == [stores[2], stores[0]]
    assert [(shard.number, shard.epoch) for shard in placements[second]] == [(0, 1), (1, 1)]


async def test_without_a_store_nothing_is_made(catalog: StoredCatalog, database: Database) -> None:
    before = await state_of(catalog)
    with pytest.raises(Unavailable, match="store"):
        await catalog.create_collection(database.database_id, "plots", SPEC)
    assert await state_of(catalog) == before
    assert (await catalog.list_collections(database.database_id)).items == ()


async def test_a_duplicate_collection_is_refused(
    catalog: StoredCatalog, database: Database, store: StoreId
) -> None:
    await catalog.create_collection(database.database_id, "plots", SPEC)
    before = await state_of(catalog)
    with pytest.raises(AlreadyExists) as caught:
        await catalog.create_collection(database.database_id, "plots", CollectionSpec(16))
    assert caught.value.fields == {"kind": "collection", "field": "name", "value": "plots"}
    assert await state_of(catalog) == before


async def test_a_collection_needs_a_database_that_exists(
    catalog: StoredCatalog, store: StoreId
) -> None:
    with pytest.raises(NotFound) as caught:
        await catalog.create_collection(DatabaseId.new(), "plots", SPEC)
    assert caught.value.fields["kind"] == "database"


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("dimension", CollectionSpec(15)),
        ("replica_factor", CollectionSpec(384, replica_factor=2)),
        ("embedding_model", CollectionSpec(384, embedding_model="")),
        ("metric", CollectionSpec(384, metric="manhattan")),  # type: ignore[arg-type]
    ],
)
async def test_a_wrong_spec_names_its_field(
    catalog: StoredCatalog, database: Database, store: StoreId, field: str, spec: CollectionSpec
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await catalog.create_collection(database.database_id, "plots", spec)
    assert caught.value.fields["field"] == field


async def test_an_unknown_engine_or_language_is_refused_with_those_that_are_known(
    catalog: StoredCatalog, database: Database, store: StoreId
) -> None:
    engine = CollectionSpec(16, hnsw_engine="nmslib")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="hnsw_engine: must be one of faiss, hnswlib"):
        await catalog.create_collection(database.database_id, "plots", engine)
    language = CollectionSpec(16, language="klingon")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match=r"language: must be one of none, .*english.*yiddish"):
        await catalog.create_collection(database.database_id, "plots", language)


@pytest.fixture
async def collection_id(catalog: StoredCatalog, database: Database, store: StoreId) -> CollectionId:
    return await catalog.create_collection(database.database_id, "plots", SPEC)


async def test_a_collection_gets_a_new_name_description_and_state(
    catalog: StoredCatalog, collection_id: CollectionId
) -> None:
    changes = {"name": "films", "description": "Plots", "state": CollectionState.READY}
    updated = await catalog.update_collection(collection_id, changes, if_version=1)
    assert (updated.name, updated.description) == ("films", "Plots")
    assert (updated.state, updated.version) == (CollectionState.READY, 2)
    with pytest.raises(PreconditionFailed):
        await catalog.update_collection(collection_id, {"name": "x"}, if_version=1)
    with pytest.raises(InvalidState, match="becoming creating"):
        await catalog.update_collection(collection_id, {"state": "creating"})


@pytest.mark.parametrize("field", ["dimension", "metric", "shard_count", "embedding_model"])
async def test_a_spec_cannot_change(
    catalog: StoredCatalog, collection_id: CollectionId, field: str
) -> None:
    with pytest.raises(InvalidArgument, match=f"{field}: cannot change"):
        await catalog.update_collection(collection_id, {field: 1})


async def test_an_unknown_field_or_state_is_refused(
    catalog: StoredCatalog, collection_id: CollectionId
) -> None:
    with pytest.raises(InvalidArgument, match="colour: is not a field"):
        await catalog.update_collection(collection_id, {"colour": "red"})
    with pytest.raises(InvalidArgument, match="state: must be one of creating, ready, deleting"):
        await catalog.update_collection(collection_id, {"state": "lost"})


async def set_quota(catalog: StoredCatalog, **limits: int | None) -> None:
    tenant = await catalog.get_tenant("default")
    await catalog.update_tenant(tenant.tenant_id, limits)


async def test_a_tenant_has_no_more_collections_than_its_quota(
    catalog: StoredCatalog, database: Database, store: StoreId
) -> None:
    await set_quota(catalog, max_collections=2)
    other = await catalog.create_database(database.tenant_id, "other")
    first = await catalog.create_collection(database.database_id, "first", SPEC)
    await catalog.create_collection(other.database_id, "second", SPEC)
    before = await state_of(catalog)
    with pytest.raises(QuotaExceeded) as caught:
        await catalog.create_collection(database.database_id, "third", SPEC)
    assert caught.value.fields == {"quota": "max_collections", "limit": 2, "used": 2}
    assert await state_of(catalog) == before
    # One that is being deleted has files still, so it counts until it is gone.
    job = await catalog.delete_collection(first)
    with pytest.raises(QuotaExceeded):
        await catalog.create_collection(database.database_id, "third", SPEC)
    await catalog.finish_step(job.job_id, first)
    await catalog.create_collection(database.database_id, "third", SPEC)
    await set_quota(catalog, max_collections=None)
    await catalog.create_collection(database.database_id, "fourth", SPEC)


async def test_a_collection_asks_for_no_more_vectors_than_the_quota(
    catalog: StoredCatalog, database: Database, store: StoreId
) -> None:
    await set_quota(catalog, max_vectors_per_collection=1000)
    most = replace(SPEC, max_doc_count=1000)
    await catalog.create_collection(database.database_id, "most", most)
    too_many = replace(SPEC, max_doc_count=1001)
    with pytest.raises(InvalidArgument, match="max_doc_count: must be at most 1000, the tenant's"):
        await catalog.create_collection(database.database_id, "more", too_many)
    await catalog.create_collection(database.database_id, "default", SPEC)
    lowered = await catalog.get_collection(database.database_id, "default")
    assert lowered.spec == most
    await set_quota(catalog, max_vectors_per_collection=0)
    with pytest.raises(QuotaExceeded, match="max_vectors_per_collection"):
        await catalog.create_collection(database.database_id, "none", SPEC)


async def test_the_default_stays_where_the_quota_allows_more(
    catalog: StoredCatalog, database: Database, store: StoreId
) -> None:
    await set_quota(catalog, max_vectors_per_collection=2**40)
    await catalog.create_collection(database.database_id, "plots", SPEC)
    made = await catalog.get_collection(database.database_id, "plots")
    assert made.spec.max_doc_count == 50_000_000


async def test_a_store_that_nobody_serves_gets_no_new_shards(
    catalog: StoredCatalog, database: Database, store: StoreId
) -> None:
    served = StoreId.new()
    await catalog.register_store(served, "shard-host-1")
    await catalog.retire_other_stores([served])
    made = await catalog.create_collection(database.database_id, "plots", SPEC)
    update = await state_of(catalog)
    assert {shard.store_id for shard in update.placements[made]} == {served}
    assert update.stores == {store: "", served: "shard-host-1"}
