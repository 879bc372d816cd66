"""Tenants and databases through the catalog."""

import pickle
from typing import Any

import pytest

from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.domain.collection import CollectionSpec
from akidb_ray.domain.errors import (
    AlreadyExists,
    InvalidArgument,
    InvalidState,
    NotFound,
    PreconditionFailed,
)
from akidb_ray.domain.ids import DatabaseId, StoreId, TenantId
from akidb_ray.domain.tenancy import Database, Tenant, TenantQuota, TenantStatus
from tests.unit.catalog.states import state_of


async def test_a_tenant_is_read_back_as_it_was_made(catalog: StoredCatalog, clock: Any) -> None:
    made = await catalog.create_tenant(
        "Acme Bücher",
        slug="acme",
        external_id="crm-7",
        quota=TenantQuota(1, 2, 3, 4, 5),
        metadata={"plan": "größer", "half": "\ud800", "deep": {"a": [1, None, True]}},
    )
    assert made.status is TenantStatus.ACTIVE
    assert (made.version, made.created_at, made.updated_at) == (1, clock.now, clock.now)
    assert made.metadata == {"plan": "größer", "half": "\ud800", "deep": {"a": [1, None, True]}}
    assert await catalog.get_tenant("acme") == made
    assert await catalog.get_tenant(made.tenant_id) == made
    assert await catalog.get_tenant(str(made.tenant_id)) == made
    assert pickle.loads(pickle.dumps(made)) == made


async def test_a_duplicate_slug_is_refused_and_nothing_changes(catalog: StoredCatalog) -> None:
    before = await state_of(catalog)
    with pytest.raises(AlreadyExists) as caught:
        await catalog.create_tenant("Other", slug="default")
    assert caught.value.fields == {"kind": "tenant", "field": "slug", "value": "default"}
    assert await state_of(catalog) == before


async def test_a_duplicate_external_id_is_refused(catalog: StoredCatalog) -> None:
    await catalog.create_tenant("One", external_id="crm-7")
    with pytest.raises(AlreadyExists) as caught:
        await catalog.create_tenant("Two", external_id="crm-7")
    assert caught.value.fields["field"] == "external_id"


async def test_slugs_made_from_names_are_unique(catalog: StoredCatalog) -> None:
    made = [await catalog.create_tenant("Ämne & Co") for _ in range(3)]
    assert [tenant.slug for tenant in made] == ["amne-co", "amne-co-2", "amne-co-3"]


async def test_a_slug_is_found_among_many_of_one_name(catalog: StoredCatalog) -> None:
    for _ in range(11):
        await catalog.create_tenant("Acme")
    await catalog.create_tenant("Acme 13")
    made = [await catalog.create_tenant("Acme") for _ in range(3)]
    assert [tenant.slug for tenant in made] == ["acme-14", "acme-15", "acme-16"]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("name", {"name": " "}),
        ("slug", {"name": "x", "slug": "No"}),
        ("external_id", {"name": "x", "external_id": ""}),
        ("qps_quota", {"name": "x", "quota": TenantQuota(qps_quota=-1)}),
        ("memory_quota_bytes", {"name": "x", "quota": TenantQuota(memory_quota_bytes=2**63)}),
        ("max_collections", {"name": "x", "quota": TenantQuota(max_collections=-1)}),
        ("metadata", {"name": "x", "metadata": {"a": float("nan")}}),
        ("metadata", {"name": "x", "metadata": {"a": b"bytes"}}),
        ("metadata", {"name": "x", "metadata": {"a": "b" * 70_000}}),
    ],
)
async def test_a_wrong_field_of_a_new_tenant_is_named(
    catalog: StoredCatalog, field: str, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await catalog.create_tenant(**wrong)
    assert caught.value.fields["field"] == field


@pytest.mark.parametrize("character", ["b", "é", "株", "\U0001f600", "\ud800"], ids=ascii)
async def test_metadata_are_bounded_by_their_bytes_in_utf8(
    catalog: StoredCatalog, character: str
) -> None:
    size = len(character.encode("utf-8", "surrogatepass"))
    most = (64 * 1024 - len('{"a": ""}')) // size
    metadata = {"a": character * most}
    assert (await catalog.create_tenant("x", metadata=metadata)).metadata == metadata
    with pytest.raises(InvalidArgument, match="at most 65536 bytes"):
        await catalog.create_tenant("x", metadata={"a": character * (most + 1)})


async def test_an_update_changes_what_it_says_and_the_version(
    catalog: StoredCatalog, tenant: Tenant, clock: Any
) -> None:
    clock.advance(60)
    changes = {"name": "New", "metadata": {"a": 1}, "qps_quota": 7, "external_id": "crm"}
    updated = await catalog.update_tenant(tenant.tenant_id, changes, if_version=1)
    assert (updated.name, updated.quota.qps_quota, updated.version) == ("New", 7, 2)
    assert (updated.created_at, updated.updated_at) == (tenant.created_at, clock.now)
    assert await catalog.get_tenant("default") == updated


async def test_an_update_to_what_is_there_already_is_no_change(
    catalog: StoredCatalog, tenant: Tenant
) -> None:
    before = await state_of(catalog)
    same = {"name": tenant.name, "status": "active", "metadata": {}, "max_collections": None}
    assert await catalog.update_tenant(tenant.tenant_id, same) == tenant
    assert await state_of(catalog) == before


async def test_metadata_that_only_json_tells_apart_is_a_change(
    catalog: StoredCatalog, tenant: Tenant
) -> None:
    await catalog.update_tenant(tenant.tenant_id, {"metadata": {"a": 1}})
    updated = await catalog.update_tenant(tenant.tenant_id, {"metadata": {"a": True}})
    assert (updated.metadata["a"], updated.version) == (True, 3)
    assert (await catalog.get_tenant("default")).metadata["a"] is True


async def test_quotas_are_set_and_taken_away_one_by_one(
    catalog: StoredCatalog, tenant: Tenant
) -> None:
    limits = {"max_collections": 3, "max_vectors_per_collection": 1000}
    limited = await catalog.update_tenant(tenant.tenant_id, limits)
    assert limited.quota == TenantQuota(max_collections=3, max_vectors_per_collection=1000)
    freed = await catalog.update_tenant(tenant.tenant_id, {"max_collections": None})
    assert freed.quota == TenantQuota(max_vectors_per_collection=1000)
    with pytest.raises(InvalidArgument, match="qps_quota: must be a whole number"):
        await catalog.update_tenant(tenant.tenant_id, {"qps_quota": None})


async def test_a_stale_version_is_refused_and_nothing_changes(
    catalog: StoredCatalog, tenant: Tenant
) -> None:
    current = await catalog.update_tenant(tenant.tenant_id, {"name": "First"}, if_version=1)
    with pytest.raises(PreconditionFailed, match="has version 2, not 1"):
        await catalog.update_tenant(tenant.tenant_id, {"name": "Second"}, if_version=1)
    assert await catalog.get_tenant(tenant.tenant_id) == current


@pytest.mark.parametrize("changes", [{"colour": "red"}, {"tenant_id": 1}, {"qps_quota": "many"}])
async def test_a_wrong_or_unknown_change_names_its_field(
    catalog: StoredCatalog, tenant: Tenant, changes: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await catalog.update_tenant(tenant.tenant_id, {"name": "New", **changes})
    assert caught.value.fields["field"] == next(iter(changes))
    assert await catalog.get_tenant(tenant.tenant_id) == tenant


async def test_a_decommissioned_tenant_stays_so_and_keeps_its_slug(
    catalog: StoredCatalog, tenant: Tenant
) -> None:
    deleted = await catalog.update_tenant(tenant.tenant_id, {"status": "decommissioned"})
    assert deleted.status is TenantStatus.DECOMMISSIONED
    with pytest.raises(InvalidState):
        await catalog.update_tenant(tenant.tenant_id, {"status": "active"})
    with pytest.raises(AlreadyExists):
        await catalog.create_tenant("Next", slug="default")
    assert await catalog.get_tenant("default") == deleted


@pytest.mark.parametrize("status", [TenantStatus.SUSPENDED, TenantStatus.DECOMMISSIONED])
async def test_nothing_new_is_made_in_a_tenant_that_is_not_active(
    catalog: StoredCatalog, tenant: Tenant, database: Database, store: StoreId, status: TenantStatus
) -> None:
    await catalog.update_tenant(tenant.tenant_id, {"status": status})
    before = await state_of(catalog)
    with pytest.raises(InvalidState, match="creating a database"):
        await catalog.create_database(tenant.tenant_id, "films")
    with pytest.raises(InvalidState, match="creating a collection"):
        await catalog.create_collection(database.database_id, "plots", CollectionSpec(384))
    with pytest.raises(InvalidState, match="creating a user"):
        await catalog.create_user(tenant.tenant_id, "a@b.c")
    assert await state_of(catalog) == before


async def test_a_suspended_tenant_can_be_active_again(
    catalog: StoredCatalog, tenant: Tenant
) -> None:
    await catalog.update_tenant(tenant.tenant_id, {"status": "suspended"})
    await catalog.update_tenant(tenant.tenant_id, {"status": "active"})
    await catalog.create_database(tenant.tenant_id, "films")


async def test_unknown_things_are_not_found(catalog: StoredCatalog, tenant: Tenant) -> None:
    with pytest.raises(NotFound):
        await catalog.get_tenant("nobody")
    with pytest.raises(NotFound):
        await catalog.update_tenant(TenantId.new(), {"name": "x"})
    with pytest.raises(NotFound) as caught:
        await catalog.create_database(TenantId.new(), "films")
    assert caught.value.fields["kind"] == "tenant"
    with pytest.raises(NotFound):
        await catalog.get_database(tenant.tenant_id, "nothing")
    with pytest.raises(NotFound):
        await catalog.delete_database(DatabaseId.new())
    with pytest.raises(NotFound):
        await catalog.list_databases(TenantId.new())


async def test_databases_are_unique_within_a_tenant_only(
    catalog: StoredCatalog, tenant: Tenant
) -> None:
    other = await catalog.create_tenant("Other")
    made = await catalog.create_database(tenant.tenant_id, "films", "Plots of films")
    theirs = await catalog.create_database(other.tenant_id, "films")
    with pytest.raises(AlreadyExists) as caught:
        await catalog.create_database(tenant.tenant_id, "films")
    assert caught.value.fields == {"kind": "database", "field": "name", "value": "films"}
    assert await catalog.get_database(tenant.tenant_id, str(made.database_id)) == made
    with pytest.raises(NotFound):
        await catalog.get_database(tenant.tenant_id, theirs.database_id)
    assert (await catalog.list_databases(other.tenant_id)).items == (theirs,)
    assert pickle.loads(pickle.dumps(made)) == made


async def test_a_database_gets_a_new_name_and_description(
    catalog: StoredCatalog, tenant: Tenant, database: Database
) -> None:
    await catalog.create_database(tenant.tenant_id, "taken")
    changes = {"name": "films", "description": "Plots"}
    updated = await catalog.update_database(database.database_id, changes, if_version=1)
    assert (updated.name, updated.description, updated.version) == ("films", "Plots", 2)
    with pytest.raises(AlreadyExists):
        await catalog.update_database(database.database_id, {"name": "taken"})
    with pytest.raises(InvalidArgument, match="state: cannot change"):
        await catalog.update_database(database.database_id, {"state": "deleting"})
    with pytest.raises(InvalidArgument, match="description"):
        await catalog.update_database(database.database_id, {"description": "\ud800"})
    with pytest.raises(PreconditionFailed):
        await catalog.update_database(database.database_id, {"name": "other"}, if_version=1)


def nested(levels: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(levels - 1):
        value = [value]
    return {"a": value}


async def test_metadata_may_be_a_hundred_levels_deep_and_no_more(catalog: StoredCatalog) -> None:
    made = await catalog.create_tenant("Deep", metadata=nested(100))
    assert made.metadata == nested(100)
    for levels in (101, 500, 100_000):
        with pytest.raises(InvalidArgument, match="metadata: "):
            await catalog.update_tenant(made.tenant_id, {"metadata": nested(levels)})
    update = await catalog.watch(0, 0.0)
    assert update is not None
    assert [tenant for tenant in update.tenants if tenant.slug == "deep"] == [made]
