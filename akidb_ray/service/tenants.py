"""Tenants and databases: what an administrator does with them.

A tenant that is not active reads and writes nothing; what is done to the tenant itself (showing,
changing, suspending, purging) goes on.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from akidb_ray.access.authorization import Action, Authorizer, Principal, Resource
from akidb_ray.domain.errors import InvalidArgument, InvalidState
from akidb_ray.domain.jobs import Job
from akidb_ray.domain.listing import Listing, Page
from akidb_ray.domain.tenancy import Database, Tenant, TenantQuota, TenantStatus
from akidb_ray.service.catalog_copy import CatalogCopy
from akidb_ray.service.ports import Catalog

_RECORDED_ONLY = ("memory_quota_bytes", "storage_quota_bytes", "qps_quota")


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
        quota: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Tenant:
        """An active tenant. `quota` holds those of its quotas that differ from the defaults."""
        self.authorizer.authorize(principal, Action.WRITE_TENANT, Resource("tenant", name))
        _refuse_other_quotas(quota or {}, TenantQuota())
        limits = TenantQuota(**quota) if quota else None
        with _naming_quotas():
            tenant = await self.catalog.create_tenant(name, slug, external_id, limits, metadata)
        await self.copy.catch_up()
        return tenant

    async def list(self, principal: Principal, listing: Listing) -> Page[Tenant]:
        self.authorizer.authorize(principal, Action.READ_TENANT, Resource("tenants", "all"))
        return await self.catalog.list_tenants(listing)

    async def get(self, principal: Principal, ref: str) -> Tenant:
        return await self._tenant(principal, ref, Action.READ_TENANT)

    async def update(
        self, principal: Principal, ref: str, changes: Mapping[str, Any], if_version: int | None
    ) -> Tenant:
        """`changes` may hold name, slug, external_id, status, metadata and the quotas' names."""
        tenant = await self._tenant(principal, ref, Action.WRITE_TENANT)
        _refuse_other_quotas(changes, tenant.quota)
        with _naming_quotas():
            updated = await self.catalog.update_tenant(tenant.tenant_id, changes, if_version)
        await self.copy.catch_up()
        return updated

    async def move(
        self, principal: Principal, ref: str, status: TenantStatus, if_version: int | None
    ) -> Tenant:
        """Suspend, resume or decommission. A decommissioned tenant serves no requests any more,
        and its data stays until it is purged. Raises InvalidState for an illegal move.
        """
        return await self.update(principal, ref, {"status": status}, if_version)

    async def purge(self, principal: Principal, ref: str) -> Job:
        """Begin to remove a decommissioned tenant with all that is in it."""
        tenant = await self._tenant(principal, ref, Action.WRITE_TENANT)
        job = await self.catalog.purge_tenant(tenant.tenant_id)
        await self.copy.catch_up()
        return job

    async def _tenant(self, principal: Principal, ref: str, action: Action) -> Tenant:
        tenant = await self.copy.find(lambda directory: directory.tenant(ref))
        resource = Resource("tenant", tenant.slug, tenant.tenant_id)
        self.authorizer.authorize(principal, action, resource)
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

    async def list(self, principal: Principal, tenant_ref: str, listing: Listing) -> Page[Database]:
        tenant = await self._tenant(principal, tenant_ref, Action.READ_DATABASE)
        return await self.catalog.list_databases(tenant.tenant_id, listing)

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

    async def delete(
        self, principal: Principal, tenant_ref: str, ref: str, cascade: bool = False
    ) -> Job:
        """Begin to delete it. Raises InvalidState while it holds collections, unless `cascade`
        has them deleted too: nothing is deleted by surprise.
        """
        tenant = await self._tenant(principal, tenant_ref, Action.WRITE_DATABASE)
        database = await self.copy.find(lambda directory: directory.database(tenant, ref))
        job = await self.catalog.delete_database(database.database_id, cascade)
        await self.copy.catch_up()
        return job

    async def _tenant(self, principal: Principal, ref: str, action: Action) -> Tenant:
        tenant = await self.copy.find(lambda directory: directory.tenant(ref))
        self.authorizer.authorize(
            principal, action, Resource("databases", tenant.slug, tenant.tenant_id)
        )
        if action is Action.WRITE_DATABASE:
            check_active(tenant)
        return tenant


def _refuse_other_quotas(changes: Mapping[str, Any], present: TenantQuota) -> None:
    """These are recorded but not enforced yet; taking another value for one would be a lie."""
    recorded = asdict(present)
    for name in _RECORDED_ONLY:
        if name in changes and changes[name] != recorded[name]:
            raise InvalidArgument(
                f"quotas.{name}",
                f"only {recorded[name]} works so far: this quota is not enforced yet",
            )


@contextmanager
def _naming_quotas() -> Iterator[None]:
    """Complaints about a quota name it where callers give it: among the `quotas`."""
    try:
        yield
    except InvalidArgument as error:
        if error.fields["field"] in asdict(TenantQuota()):
            raise error.inside("quotas.") from None
        raise


def check_active(tenant: Tenant) -> None:
    """Raise InvalidState unless the tenant may read and write."""
    if tenant.status is not TenantStatus.ACTIVE:
        raise InvalidState("tenant", tenant.status, "reading and writing")
