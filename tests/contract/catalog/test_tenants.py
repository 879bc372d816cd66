"""What only tenants do."""

from dataclasses import replace
from typing import Any

import pytest

from akidb_ray.catalog.repositories import CatalogStore
from akidb_ray.domain.errors import AlreadyExists, InvalidArgument, NotFound
from akidb_ray.domain.ids import TenantId
from akidb_ray.domain.tenancy import Tenant, TenantQuota, TenantStatus
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
    changed,
    keep,
    kept,
)

METADATA = {"plan": "gold", "seats": 3, "nested": {"list": [1, 2.5, None, True]}, "雪": "\ud800"}


async def by_slug(store: CatalogStore, slug: str) -> Tenant:
    async with store.reading() as repos:
        return await repos.tenants.get_by_slug(slug)


async def test_every_field_is_kept(store: CatalogStore) -> None:
    tenant = a_tenant(
        name="Ærø & Söhne",
        status=TenantStatus.SUSPENDED,
        quota=TenantQuota(1, 2, 3, max_collections=0, max_vectors_per_collection=2**63 - 1),
        external_id="crm-7",
        metadata=METADATA,
    )
    await keep(store, TENANTS, tenant)
    assert await kept(store, TENANTS, tenant.tenant_id) == tenant


async def test_a_tenant_is_found_by_its_slug_until_it_changes(store: CatalogStore) -> None:
    tenant = a_tenant(slug="acme")
    await keep(store, TENANTS, tenant)
    assert await by_slug(store, "acme") == tenant
    moved = await changed(store, lambda repos: repos.tenants.update(replace(tenant, slug="acme2")))
    assert await by_slug(store, "acme2") == moved
    for unknown in ("acme", "ACME2", "", "nobody", str(tenant.tenant_id)):
        with pytest.raises(NotFound) as refusal:
            await by_slug(store, unknown)
        assert refusal.value.fields == {"kind": "tenant", "id": unknown}


async def test_external_ids_are_unique_and_many_tenants_have_none(store: CatalogStore) -> None:
    await keep(store, TENANTS, a_tenant(1), a_tenant(2), a_tenant(3, external_id="crm-7"))
    with pytest.raises(AlreadyExists) as refusal:
        await keep(store, TENANTS, a_tenant(4, external_id="crm-7"))
    known = {"kind": "tenant", "field": "external_id", "value": "crm-7"}
    assert refusal.value.fields == known


async def test_metadata_that_differ_only_in_kind_are_a_change(store: CatalogStore) -> None:
    tenant = a_tenant(metadata={"paid": True, "seats": 1})
    await keep(store, TENANTS, tenant)
    same = replace(tenant, metadata={"seats": 1, "paid": True})
    kept_one = await changed(store, lambda repos: repos.tenants.update(same))
    assert kept_one.version == 1
    other = replace(tenant, metadata={"paid": 1, "seats": 1})
    new = await changed(store, lambda repos: repos.tenants.update(other))
    assert new.version == 2
    read = await kept(store, TENANTS, tenant.tenant_id)
    assert read.metadata["paid"] is not True


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "x" * 256}),
        ("slug", {"slug": "Acme"}),
        ("slug", {"slug": "-acme"}),
        ("slug", {"slug": "acme-"}),
        ("slug", {"slug": "a" * 64}),
        ("memory_quota_bytes", {"quota": TenantQuota(memory_quota_bytes=-1)}),
        ("storage_quota_bytes", {"quota": TenantQuota(storage_quota_bytes=-1)}),
        ("qps_quota", {"quota": TenantQuota(qps_quota=-1)}),
        ("max_collections", {"quota": TenantQuota(max_collections=-1)}),
        ("max_vectors_per_collection", {"quota": TenantQuota(max_vectors_per_collection=-1)}),
    ],
)
async def test_a_value_that_a_field_cannot_hold_is_refused(
    store: CatalogStore, field: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        await keep(store, TENANTS, a_tenant(**fields))
    assert refusal.value.fields["field"] == field
    tenant = a_tenant()
    await keep(store, TENANTS, tenant)
    with pytest.raises(InvalidArgument) as refusal:
        await changed(store, lambda repos: repos.tenants.update(replace(tenant, **fields)))
    assert refusal.value.fields["field"] == field
    assert await kept(store, TENANTS, tenant.tenant_id) == tenant


async def test_collections_of_all_its_databases_are_counted(store: CatalogStore) -> None:
    tenant, other = a_tenant(1), a_tenant(2)
    await keep(store, TENANTS, tenant, other)
    mine = [a_database(tenant.tenant_id, 1), a_database(tenant.tenant_id, 2)]
    others = a_database(other.tenant_id)
    await keep(store, DATABASES, *mine, others)
    for database, count in ((mine[0], 2), (mine[1], 1), (others, 1)):
        made = [a_collection(database.database_id, number) for number in range(count)]
        await keep(store, COLLECTIONS, *made)
    async with store.reading() as repos:
        assert await repos.tenants.count_collections(tenant.tenant_id) == 3
        assert await repos.tenants.count_collections(other.tenant_id) == 1
        missing = TenantId.new()
        with pytest.raises(NotFound) as refusal:
            await repos.tenants.count_collections(missing)
    assert refusal.value.fields == {"kind": "tenant", "id": str(missing)}


async def test_deleting_a_tenant_deletes_all_that_is_in_it_but_its_jobs(
    store: CatalogStore,
) -> None:
    tenant, other = a_tenant(1), a_tenant(2)
    await keep(store, TENANTS, tenant, other)
    users = [a_user(each.tenant_id) for each in (tenant, other)]
    databases = [a_database(each.tenant_id) for each in (tenant, other)]
    collections = [a_collection(each.database_id) for each in databases]
    job = a_job(tenant.tenant_id)
    await keep(store, USERS, *users)
    await keep(store, DATABASES, *databases)
    await keep(store, COLLECTIONS, *collections)
    await keep(store, JOBS, job)
    await changed(store, lambda repos: repos.tenants.delete(tenant.tenant_id))
    gone = (
        (TENANTS, tenant.tenant_id),
        (USERS, users[0].user_id),
        (DATABASES, databases[0].database_id),
        (COLLECTIONS, collections[0].collection_id),
    )
    for kind, thing_id in gone:
        with pytest.raises(NotFound):
            await kept(store, kind, thing_id)
    assert await kept(store, JOBS, job.job_id) == job
    assert await kept(store, USERS, users[1].user_id) == users[1]
    assert await kept(store, COLLECTIONS, collections[1].collection_id) == collections[1]
