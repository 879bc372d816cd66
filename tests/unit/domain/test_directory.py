"""A copy of the catalog: what it finds, and which updates it takes."""

from dataclasses import replace
from typing import Any

import pytest

from akidb_ray.domain.collection import Collection, CollectionState
from akidb_ray.domain.directory import CatalogPosition, CatalogUpdate, Directory
from akidb_ray.domain.errors import Corrupt, InvalidState, NotFound
from akidb_ray.domain.ids import ClusterId, DatabaseId, StoreId
from akidb_ray.domain.placement import ShardPlacement
from akidb_ray.domain.tenancy import Database, Tenant
from tests.contract.catalog.things import a_collection, a_database, a_tenant

CLUSTER = ClusterId.new()
STORE = StoreId.new()
TENANT = a_tenant(1)
OTHER_TENANT = a_tenant(2)
DATABASES = [a_database(TENANT.tenant_id, number) for number in range(3)]
COLLECTIONS = [a_collection(DATABASES[0].database_id, number) for number in range(3)]
ELSEWHERE = a_collection(DATABASES[1].database_id, 0)
PLACED = (ShardPlacement(0, STORE),)


def update(version: int, **fields: Any) -> CatalogUpdate:
    given = {"cluster_id": CLUSTER, "epoch": 1, "version": version, "whole": False}
    return CatalogUpdate(**given | fields)


def whole(version: int = 10, **fields: Any) -> CatalogUpdate:
    given = {
        "whole": True,
        "tenants": (TENANT, OTHER_TENANT),
        "databases": tuple(DATABASES),
        "collections": (*COLLECTIONS, ELSEWHERE),
        "placements": {COLLECTIONS[0].collection_id: PLACED},
        "stores": {STORE: "shard-host-0"},
        "root_key_hash": b"hash",
    }
    return update(version, **given | fields)


@pytest.fixture
def directory() -> Directory:
    return Directory(whole())


def finds(directory: Directory, *path: str) -> Any:
    """What a path of names or ids leads to; None for nothing."""
    try:
        found: Any = directory.tenant(path[0])
        if len(path) > 1:
            tenant, found = found, directory.database(found, path[1])
        if len(path) > 2:
            found = directory.collection(tenant, found, path[2]).collection
    except NotFound:
        return None
    return found


def test_things_are_found_by_name_and_by_id(directory: Directory) -> None:
    for tenant in (TENANT.slug, str(TENANT.tenant_id)):
        assert finds(directory, tenant) == TENANT
        for database in (DATABASES[0].name, str(DATABASES[0].database_id)):
            assert finds(directory, tenant, database) == DATABASES[0]
            for collection in (COLLECTIONS[1].name, str(COLLECTIONS[1].collection_id)):
                assert finds(directory, tenant, database, collection) == COLLECTIONS[1]
    place = directory.collection(TENANT, DATABASES[0], COLLECTIONS[0].name)
    assert (place.tenant, place.database, place.placements) == (TENANT, DATABASES[0], PLACED)
    assert directory.collection(TENANT, DATABASES[0], COLLECTIONS[1].name).placements == ()
    assert (directory.version, directory.root_key_hash) == (10, b"hash")
    assert directory.stores == {STORE: "shard-host-0"}
    assert (directory.tenant_count, directory.collection_count) == (2, 4)


def test_nothing_is_found_in_another_parent(directory: Directory) -> None:
    assert finds(directory, OTHER_TENANT.slug, DATABASES[0].name) is None
    assert finds(directory, OTHER_TENANT.slug, str(DATABASES[0].database_id)) is None
    assert finds(directory, TENANT.slug, DATABASES[1].name, COLLECTIONS[1].name) is None
    by_id = str(COLLECTIONS[1].collection_id)
    assert finds(directory, TENANT.slug, DATABASES[1].name, by_id) is None
    assert finds(directory, "nobody") is None


def test_a_delta_brings_what_is_new_and_what_changed(directory: Directory) -> None:
    tenant = a_tenant(3)
    database = a_database(tenant.tenant_id)
    collection = a_collection(database.database_id)
    ready = replace(COLLECTIONS[0], description="Plots", version=2)
    moved = (ShardPlacement(0, StoreId.new(), epoch=2),)
    directory.apply(
        update(
            14,
            tenants=(tenant,),
            databases=(database,),
            collections=(collection, ready),
            placements={ready.collection_id: moved},
            root_key_hash=b"new",
        )
    )
    assert finds(directory, tenant.slug, database.name, collection.name) == collection
    place = directory.collection(TENANT, DATABASES[0], ready.name)
    assert (place.collection, place.placements) == (ready, moved)
    assert (directory.version, directory.collection_count) == (14, 5)
    assert directory.root_key_hash == b"new"


def test_a_new_name_frees_the_old_one(directory: Directory) -> None:
    directory.apply(
        update(
            11,
            tenants=(replace(TENANT, slug="new"),),
            databases=(replace(DATABASES[0], name="new"),),
            collections=(replace(COLLECTIONS[0], name="new"),),
        )
    )
    assert finds(directory, TENANT.slug) is None
    assert finds(directory, "new", DATABASES[0].name) is None
    assert finds(directory, "new", "new", COLLECTIONS[0].name) is None
    assert finds(directory, "new", "new", "new").collection_id == COLLECTIONS[0].collection_id
    assert (directory.tenant_count, directory.collection_count) == (2, 4)


def test_two_things_may_swap_their_names(directory: Directory) -> None:
    directory.apply(
        update(
            13,
            tenants=(replace(TENANT, slug=OTHER_TENANT.slug), replace(OTHER_TENANT, slug="x")),
            databases=swapped(*DATABASES[:2]),
            collections=swapped(*COLLECTIONS[:2]),
        )
    )
    first: Tenant = directory.tenant(OTHER_TENANT.slug)
    assert first.tenant_id == TENANT.tenant_id
    found: Database = finds(directory, first.slug, DATABASES[1].name)
    assert found.database_id == DATABASES[0].database_id
    inner: Collection = finds(directory, first.slug, found.name, COLLECTIONS[0].name)
    assert inner.collection_id == COLLECTIONS[1].collection_id


def swapped(first: Any, second: Any) -> tuple[Any, Any]:
    return replace(first, name=second.name), replace(second, name=first.name)


@pytest.mark.parametrize(
    ("gone", "databases", "collections"),
    [
        ({COLLECTIONS[0].collection_id}, 3, 3),
        ({DATABASES[0].database_id}, 2, 1),
        ({TENANT.tenant_id}, 0, 0),
        ({DATABASES[0].database_id, COLLECTIONS[0].collection_id}, 2, 1),
        ({TENANT.tenant_id, DATABASES[1].database_id, ELSEWHERE.collection_id}, 0, 0),
        ({DatabaseId.new()}, 3, 4),
    ],
)
def test_what_went_takes_along_what_was_in_it(
    directory: Directory, gone: Any, databases: int, collections: int
) -> None:
    directory.apply(update(11, removed=frozenset(gone)))
    found = [finds(directory, TENANT.slug, each.name) for each in DATABASES]
    assert len(found) - found.count(None) == databases
    assert directory.collection_count == collections
    for database in DATABASES:
        by_id = finds(directory, TENANT.slug, str(database.database_id))
        assert (by_id is None) == (finds(directory, TENANT.slug, database.name) is None)
    assert finds(directory, OTHER_TENANT.slug) == OTHER_TENANT
    assert (finds(directory, TENANT.slug) is None) == (TENANT.tenant_id in gone)
    # The names are free again.
    again = a_tenant(1), a_database(TENANT.tenant_id, 0)
    directory.apply(update(12, tenants=(replace(TENANT, slug="t"),), databases=again[1:]))
    assert finds(directory, "t", DATABASES[0].name) == again[1]


def test_a_store_that_nobody_serves_is_not_among_the_stores(directory: Directory) -> None:
    second = StoreId.new()
    directory.apply(update(11, stores={second: "shard-host-1"}))
    assert directory.stores == {STORE: "shard-host-0", second: "shard-host-1"}
    directory.apply(update(12, stores={STORE: "", second: "shard-host-2"}))
    assert directory.stores == {second: "shard-host-2"}
    directory.apply(whole(13, stores={STORE: "", second: "shard-host-2"}))
    assert directory.stores == {second: "shard-host-2"}


def test_a_whole_replaces_everything(directory: Directory) -> None:
    tenant = a_tenant(7)
    alone = update(20, whole=True, tenants=(tenant,), epoch=2)
    directory.apply(alone)
    assert (finds(directory, tenant.slug), finds(directory, TENANT.slug)) == (tenant, None)
    assert (directory.tenant_count, directory.collection_count, directory.stores) == (1, 0, {})
    assert directory.root_key_hash is None
    assert directory.position == CatalogPosition(CLUSTER, 2, 20)


def test_unfinished_collections_are_those_not_ready(directory: Directory) -> None:
    states = (CollectionState.CREATING, CollectionState.DELETING, CollectionState.READY)
    changed = [replace(c, state=s) for c, s in zip(COLLECTIONS, states, strict=True)]
    directory.apply(update(11, collections=tuple(changed)))
    found = [place.collection for place in directory.unfinished_collections()]
    assert found == changed[:2]


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        (update(11, cluster_id=ClusterId.new()), "of cluster"),
        (whole(11, cluster_id=ClusterId.new()), "of cluster"),
        (update(11, epoch=0), "term 0"),
        (whole(11, epoch=0), "term 0"),
        (update(9), "lost changes; use `akidb catalog restore`"),
        (whole(9, epoch=2), "lost changes; use `akidb catalog restore`"),
    ],
)
def test_what_must_not_be_taken_is_refused_and_changes_nothing(
    directory: Directory, refused: CatalogUpdate, why: str
) -> None:
    with pytest.raises(InvalidState, match=why):
        directory.apply(refused)
    assert directory.position == CatalogPosition(CLUSTER, 1, 10)
    assert directory.collection_count == 4


def test_a_later_term_may_go_on_at_the_same_version(directory: Directory) -> None:
    directory.apply(update(10, epoch=2))
    assert directory.position == CatalogPosition(CLUSTER, 2, 10)
    with pytest.raises(InvalidState):
        directory.apply(update(11, epoch=1))


@pytest.mark.parametrize("kind", [update, whole])
def test_an_update_that_does_not_fit_changes_nothing(directory: Directory, kind: Any) -> None:
    unknown = a_database(TENANT.tenant_id)
    orphan = a_collection(unknown.database_id, 7)
    renamed = (replace(TENANT, slug="new"),)
    with pytest.raises(Corrupt, match=str(unknown.database_id)):
        directory.apply(kind(11, tenants=renamed, collections=(orphan,)))
    with pytest.raises(Corrupt):
        directory.apply(kind(11, databases=(a_database(a_tenant().tenant_id),)))
    assert (directory.version, directory.collection_count) == (10, 4)
    assert finds(directory, TENANT.slug) == TENANT
