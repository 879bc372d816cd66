"""Tenants and databases: what an administrator does with them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from akidb_ray.access.authorization import Action, Authorizer, Principal, Resource
from akidb_ray.domain.directory import Directory
from akidb_ray.domain.errors import InvalidArgument, InvalidState
from akidb_ray.domain.tenancy import Database, Tenant, TenantQuota, TenantStatus
from akidb_ray.service.catalog_copy import CatalogCopy
from akidb_ray.service.ports import Catalog


@dataclass(frozen=True, slots=True)
class Tenants:
    catalog: Catalog
    copy: CatalogCopy
    authorizer: Authorizer

    async def create(
        self,
        principal: Principal,
        name: str,
        slug: str | None = None,
        external_id: str | None = None,
        quota: TenantQuota | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Tenant:
        self.authorizer.authorize(principal, Action.WRITE_TENANT, Resource("tenant", name))
        _refuse_other_quotas(asdict(quota or TenantQuota()))
        tenant = await self.catalog.create_tenant(name, slug, external_id, quota, metadata)
        await self.copy.catch_up()
        return tenant

    async def list_all(self, principal: Principal) -> list[Tenant]:
        self.authorizer.authorize(principal, Action.READ_TENANT, Resource("tenants", "all"))
        return (await self.copy.catch_up()).all_tenants()

    async def get(self, principal: Principal, ref: str) -> Tenant:
        tenant = await self.copy.find(lambda directory: directory.tenant(ref))
        resource = Resource("tenant", tenant.slug, tenant.tenant_id)
        self.authorizer.authorize(principal, Action.READ_TENANT, resource)
        return tenant

    async def update(
        self, principal: Principal, ref: str, changes: Mapping[str, Any], if_version: int | None
    ) -> Tenant:
        tenant = await self._writable(principal, ref)
        _refuse_other_quotas(changes)
        updated = await self.catalog.update_tenant(tenant.tenant_id, changes, if_version)
        await self.copy.catch_up()
        return updated

    async def delete(self, principal: Principal, ref: str) -> Tenant:
        """Decommission: it serves no requests any more, and its data stays until it is purged."""
        changes = {"status": TenantStatus.DECOMMISSIONED}
        return await self.update(principal, ref, changes, if_version=None)

    async def cluster(self, principal: Principal) -> Directory:
        """What the whole cluster holds, by the newest copy of the catalog that can be had."""
        self.authorizer.authorize(principal, Action.READ_CLUSTER, Resource("cluster", "health"))
        return await self.copy.catch_up()

    async def _writable(self, principal: Principal, ref: str) -> Tenant:
        tenant = await self.copy.find(lambda directory: directory.tenant(ref))
        resource = Resource("tenant", tenant.slug, tenant.tenant_id)
        self.authorizer.authorize(principal, Action.WRITE_TENANT, resource)
        return tenant


@dataclass(frozen=True, slots=True)
class Databases:
    catalog: Catalog
    copy: CatalogCopy
    authorizer: Authorizer

    async def create(
        self, principal: Principal, tenant_ref: str, name: str, description: str = ""
    ) -> Database:
        tenant = await self._tenant(principal, tenant_ref, Action.WRITE_DATABASE)
        database = await self.catalog.create_database(tenant.tenant_id, name, description)
        await self.copy.catch_up()
        return database

    async def list_all(self, principal: Principal, tenant_ref: str) -> list[Database]:
        tenant = await self._tenant(principal, tenant_ref, Action.READ_DATABASE)
        return (await self.copy.catch_up()).databases_of(tenant)

    async def get(self, principal: Principal, tenant_ref: str, ref: str) -> Database:
        tenant = await self._tenant(principal, tenant_ref, Action.READ_DATABASE)
        return await self.copy.find(lambda directory: directory.database(tenant, ref))

    async def update(
        self,
        principal: Principal,
        tenant_ref: str,
        ref: str,
        changes: Mapping[str, Any],
        if_version: int | None,
    ) -> Database:
        tenant = await self._tenant(principal, tenant_ref, Action.WRITE_DATABASE)
        database = await self.copy.find(lambda directory: directory.database(tenant, ref))
        updated = await self.catalog.update_database(database.database_id, changes, if_version)
        await self.copy.catch_up()
        return updated

    async def delete(self, principal: Principal, tenant_ref: str, ref: str) -> None:
        """Raises InvalidState while it holds collections: nothing is deleted by surprise."""
        tenant = await self._tenant(principal, tenant_ref, Action.WRITE_DATABASE)
        database = await self.copy.find(lambda directory: directory.database(tenant, ref))
        await self.catalog.delete_database(database.database_id)
        await self.copy.catch_up()

    async def _tenant(self, principal: Principal, ref: str, action: Action) -> Tenant:
        tenant = await self.copy.find(lambda directory: directory.tenant(ref))
        self.authorizer.authorize(
            principal, action, Resource("databases", tenant.slug, tenant.tenant_id)
        )
        if action is Action.WRITE_DATABASE:
            check_active(tenant)
        return tenant


def _refuse_other_quotas(changes: Mapping[str, Any]) -> None:
    """Quotas are recorded but not enforced yet; accepting one would be a lie."""
    for name, default in asdict(TenantQuota()).items():
        if changes.get(name, default) != default:
            raise InvalidArgument(
                f"quotas.{name}", f"only {default} works so far: tenant quotas are not built yet"
            )


def check_active(tenant: Tenant) -> None:
    """Raise InvalidState unless the tenant may read and write."""
    if tenant.status is not TenantStatus.ACTIVE:
        raise InvalidState("tenant", tenant.status, "reading and writing")
