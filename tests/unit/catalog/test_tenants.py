"""Tenants and databases through the catalog."""

import pickle
from typing import Any

import pytest

from akidb_ray.catalog.catalog import SqliteCatalog
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


async def test_a_tenant_is_read_back_as_it_was_made(catalog: SqliteCatalog, clock: Any) -> None:
    made = await catalog.create_tenant(
        "Acme Bücher",
        slug="acme",
        external_id="crm-7",
        quota=TenantQuota(1, 2, 3),
        metadata={"plan": "größer", "half": "\ud800", "deep": {"a": [1, None, True]}},
    )
    assert made.status is TenantStatus.ACTIVE
    assert (made.version, made.created_at, made.updated_at) == (1, clock.now, clock.now)
    assert made.metadata == {"plan": "größer", "half": "\ud800", "deep": {"a": [1, None, True]}}
    assert await catalog.get_tenant("acme") == made
    assert await catalog.get_tenant(made.tenant_id) == made
    assert await catalog.get_tenant(str(made.tenant_id)) == made
    assert pickle.loads(pickle.dumps(made)) == made


async def test_a_duplicate_slug_is_refused_and_nothing_changes(catalog: SqliteCatalog) -> None:
    before = await catalog.snapshot()
    with pytest.raises(AlreadyExists) as caught:
        await catalog.create_tenant("Other", slug="default")
    assert caught.value.fields == {"kind": "tenant", "field": "slug", "value": "default"}
    assert await catalog.snapshot() == before


async def test_a_duplicate_external_id_is_refused(catalog: SqliteCatalog) -> None:
    await catalog.create_tenant("One", external_id="crm-7")
    with pytest.raises(AlreadyExists) as caught:
        await catalog.create_tenant("Two", external_id="crm-7")
    assert caught.value.fields["field"] == "external_id"


async def test_slugs_made_from_names_are_unique(catalog: SqliteCatalog) -> None:
    made = [await catalog.create_tenant("Ämne & Co") for _ in range(3)]
    assert [tenant.slug for tenant in made] == ["amne-co", "amne-co-2", "amne-co-3"]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("name", {"name": " "}),
        ("slug", {"name": "x", "slug": "No"}),
        ("external_id", {"name": "x", "external_id": ""}),
        ("qps_quota", {"name": "x", "quota": TenantQuota(qps_quota=-1)}),
        ("memory_quota_bytes", {"name": "x", "quota": TenantQuota(memory_quota_bytes=2**63)}),
        ("metadata", {"name": "x", "metadata": {"a": float("nan")}}),
        ("metadata", {"name": "x", "metadata": {"a": b"bytes"}}),
        ("metadata", {"name": "x", "metadata": {"a": "b" * 70_000}}),
    ],
)
async def test_a_wrong_field_of_a_new_tenant_is_named(
    catalog: SqliteCatalog, field: str, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await catalog.create_tenant(**wrong)
    assert caught.value.fields["field"] == field


async def test_an_update_changes_what_it_says_and_the_version(
    catalog: SqliteCatalog, tenant: Tenant, clock: Any
) -> None:
    clock.advance(60)
    changes = {"name": "New", "metadata": {"a": 1}, "qps_quota": 7, "external_id": "crm"}
    updated = await catalog.update_tenant(tenant.tenant_id, changes, if_version=1)
    assert (updated.name, updated.quota.qps_quota, updated.version) == ("New", 7, 2)
    assert (updated.created_at, updated.updated_at) == (tenant.created_at, clock.now)
    assert await catalog.get_tenant("default") == updated


async def test_an_update_to_what_is_there_already_is_no_change(
    catalog: SqliteCatalog, tenant: Tenant
) -> None:
    before = await catalog.snapshot()
    same = {"name": tenant.name, "status": "active", "metadata": {}}
    assert await catalog.update_tenant(tenant.tenant_id, same) == tenant
    assert await catalog.snapshot() == before


async def test_a_stale_version_is_refused_and_nothing_changes(
    catalog: SqliteCatalog, tenant: Tenant
) -> None:
    current = await catalog.update_tenant(tenant.tenant_id, {"name": "First"}, if_version=1)
    with pytest.raises(PreconditionFailed, match="has version 2, not 1"):
        await catalog.update_tenant(tenant.tenant_id, {"name": "Second"}, if_version=1)
    assert await catalog.get_tenant(tenant.tenant_id) == current


@pytest.mark.parametrize("changes", [{"colour": "red"}, {"tenant_id": 1}, {"qps_quota": "many"}])
async def test_a_wrong_or_unknown_change_names_its_field(
    catalog: SqliteCatalog, tenant: Tenant, changes: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await catalog.update_tenant(tenant.tenant_id, {"name": "New", **changes})
    assert caught.value.fields["field"] == next(iter(changes))
    assert await catalog.get_tenant(tenant.tenant_id) == tenant


async def test_a_deleted_tenant_is_decommissioned_for_good(
    catalog: SqliteCatalog, tenant: Tenant
) -> None:
    deleted = await catalog.delete_tenant(tenant.tenant_id)
    assert deleted.status is TenantStatus.DECOMMISSIONED
    with pytest.raises(InvalidState):
        await catalog.update_tenant(tenant.tenant_id, {"status": "active"})
    with pytest.raises(AlreadyExists):
        await catalog.create_tenant("Next", slug="default")
    assert await catalog.get_tenant("default") == deleted


@pytest.mark.parametrize("status", [TenantStatus.SUSPENDED, TenantStatus.DECOMMISSIONED])
async def test_nothing_new_is_made_in_a_tenant_that_is_not_active(
    catalog: SqliteCatalog, tenant: Tenant, database: Database, store: StoreId, status: TenantStatus
) -> None:
    await catalog.update_tenant(tenant.tenant_id, {"status": status})
    before = await catalog.snapshot()
    with pytest.raises(InvalidState, match="creating a database"):
        await catalog.create_database(tenant.tenant_id, "films")
    with pytest.raises(InvalidState, match="creating a collection"):
        await catalog.create_collection(database.database_id, "plots", CollectionSpec(384))
    with pytest.raises(InvalidState, match="creating a user"):
        await catalog.create_user(tenant.tenant_id, "a@b.c")
    assert await catalog.snapshot() == before


async def test_a_suspended_tenant_can_be_active_again(
    catalog: SqliteCatalog, tenant: Tenant
) -> None:
    await catalog.update_tenant(tenant.tenant_id, {"status": "suspended"})
    await catalog.update_tenant(tenant.tenant_id, {"status": "active"})
    await catalog.create_database(tenant.tenant_id, "films")


async def test_unknown_things_are_not_found(catalog: SqliteCatalog, tenant: Tenant) -> None:
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


async def test_lists_come_in_pages_in_the_order_of_creation(catalog: SqliteCatalog) -> None:
    made = [(await catalog.create_tenant(f"Tenant {n}")).slug for n in range(6)]
    seen: list[str] = []
    cursor = None
    sizes = []
    while True:
        page = await catalog.list_tenants(limit=3, cursor=cursor)
        seen += [tenant.slug for tenant in page.items]
        sizes.append(len(page.items))
        if (cursor := page.next_cursor) is None:
            break
        assert pickle.loads(pickle.dumps(page)) == page
    assert seen == ["default", *made]
    assert sizes == [3, 3, 1]


async def test_a_page_that_is_just_full_is_the_last(catalog: SqliteCatalog) -> None:
    page = await catalog.list_tenants(limit=1)
    assert page.next_cursor is None


@pytest.mark.parametrize("cursor", ["", "x", "ü", "not a cursor", "AAAA", "A" * 22 + "=="])
async def test_a_made_up_cursor_is_refused_or_harmless(catalog: SqliteCatalog, cursor: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await catalog.list_tenants(cursor=cursor)
    assert caught.value.fields["field"] == "cursor"


@pytest.mark.parametrize("limit", [0, -1, 1001])
async def test_a_limit_out_of_range_is_refused(catalog: SqliteCatalog, limit: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await catalog.list_tenants(limit=limit)
    assert caught.value.fields["field"] == "limit"


async def test_databases_are_unique_within_a_tenant_only(
    catalog: SqliteCatalog, tenant: Tenant
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
    catalog: SqliteCatalog, tenant: Tenant, database: Database
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


async def test_a_database_is_deleted_only_when_it_is_empty(
    catalog: SqliteCatalog, tenant: Tenant, database: Database, store: StoreId
) -> None:
    collection_id = await catalog.create_collection(
        database.database_id, "plots", CollectionSpec(384)
    )
    with pytest.raises(InvalidState, match="holding 1 collections"):
        await catalog.delete_database(database.database_id)
    await catalog.update_collection(collection_id, {"state": "deleting"})
    await catalog.remove_collection(collection_id)
    await catalog.delete_database(database.database_id)
    with pytest.raises(NotFound):
        await catalog.get_database(tenant.tenant_id, "default")
