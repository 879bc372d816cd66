"""Collections and their placement through the catalog."""

import pickle
from dataclasses import replace
from typing import Any

import pytest

from akidb_ray.catalog.catalog import SqliteCatalog
from akidb_ray.domain.collection import (
    CollectionSpec,
    CollectionState,
    HnswEngine,
    IndexKind,
    Language,
    Metric,
)
from akidb_ray.domain.directory import Directory
from akidb_ray.domain.errors import (
    AlreadyExists,
    InvalidArgument,
    InvalidState,
    NotFound,
    PreconditionFailed,
    Unavailable,
)
from akidb_ray.domain.ids import CollectionId, DatabaseId, StoreId
from akidb_ray.domain.tenancy import Database

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
    catalog: SqliteCatalog, database: Database, store: StoreId, clock: Any
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
    catalog: SqliteCatalog, database: Database
) -> None:
    stores = sorted(StoreId.new() for _ in range(3))
    for number, store in enumerate(stores):
        await catalog.register_store(store, f"shard-host-{number}")
    spec = replace(SPEC, shard_count=2)
    first = await catalog.create_collection(database.database_id, "first", spec)
    second = await catalog.create_collection(database.database_id, "second", spec)
    placements = (await catalog.snapshot()).placements
    assert [shard.store_id for shard in placements[first]] == stores[:2]
    assert [shard.store_id for shard in placements[second]] == [stores[2], stores[0]]
    assert [(shard.number, shard.epoch) for shard in placements[second]] == [(0, 1), (1, 1)]


async def test_without_a_store_nothing_is_made(catalog: SqliteCatalog, database: Database) -> None:
    before = await catalog.snapshot()
    with pytest.raises(Unavailable, match="store"):
        await catalog.create_collection(database.database_id, "plots", SPEC)
    assert await catalog.snapshot() == before
    assert (await catalog.list_collections(database.database_id)).items == ()


async def test_a_duplicate_collection_is_refused(
    catalog: SqliteCatalog, database: Database, store: StoreId
) -> None:
    await catalog.create_collection(database.database_id, "plots", SPEC)
    before = await catalog.snapshot()
    with pytest.raises(AlreadyExists) as caught:
        await catalog.create_collection(database.database_id, "plots", CollectionSpec(16))
    assert caught.value.fields == {"kind": "collection", "field": "name", "value": "plots"}
    assert await catalog.snapshot() == before


async def test_a_collection_needs_a_database_that_exists(
    catalog: SqliteCatalog, store: StoreId
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
    catalog: SqliteCatalog, database: Database, store: StoreId, field: str, spec: CollectionSpec
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await catalog.create_collection(database.database_id, "plots", spec)
    assert caught.value.fields["field"] == field


async def test_an_unknown_engine_or_language_is_refused_with_those_that_are_known(
    catalog: SqliteCatalog, database: Database, store: StoreId
) -> None:
    engine = CollectionSpec(16, hnsw_engine="nmslib")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="hnsw_engine: must be one of faiss, hnswlib"):
        await catalog.create_collection(database.database_id, "plots", engine)
    language = CollectionSpec(16, language="klingon")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match=r"language: must be one of none, .*english.*yiddish"):
        await catalog.create_collection(database.database_id, "plots", language)


@pytest.fixture
async def collection_id(catalog: SqliteCatalog, database: Database, store: StoreId) -> CollectionId:
    return await catalog.create_collection(database.database_id, "plots", SPEC)


async def test_a_collection_gets_a_new_name_description_and_state(
    catalog: SqliteCatalog, collection_id: CollectionId
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
    catalog: SqliteCatalog, collection_id: CollectionId, field: str
) -> None:
    with pytest.raises(InvalidArgument, match=f"{field}: cannot change"):
        await catalog.update_collection(collection_id, {field: 1})


async def test_an_unknown_field_or_state_is_refused(
    catalog: SqliteCatalog, collection_id: CollectionId
) -> None:
    with pytest.raises(InvalidArgument, match="colour: is not a field"):
        await catalog.update_collection(collection_id, {"colour": "red"})
    with pytest.raises(InvalidArgument, match="state: must be one of creating, ready, deleting"):
        await catalog.update_collection(collection_id, {"state": "lost"})


async def test_only_a_collection_in_deletion_is_removed_with_its_shards(
    catalog: SqliteCatalog, database: Database, collection_id: CollectionId
) -> None:
    with pytest.raises(InvalidState, match="being removed"):
        await catalog.remove_collection(collection_id)
    await catalog.update_collection(collection_id, {"state": "deleting"})
    await catalog.remove_collection(collection_id)
    snapshot = await catalog.snapshot()
    assert (snapshot.collections, snapshot.placements) == ((), {})
    with pytest.raises(NotFound):
        await catalog.remove_collection(collection_id)


async def test_the_directory_finds_a_collection_with_its_placement(
    catalog: SqliteCatalog, collection_id: CollectionId, store: StoreId
) -> None:
    snapshot = await catalog.snapshot()
    directory = Directory(pickle.loads(pickle.dumps(snapshot)))
    tenant = directory.tenant("default")
    place = directory.collection(tenant, directory.database(tenant, "default"), "plots")
    assert place.collection.collection_id == collection_id
    assert [shard.number for shard in place.placements] == [0, 1, 2, 3]
    assert directory.stores == {store: "shard-host-0"}
