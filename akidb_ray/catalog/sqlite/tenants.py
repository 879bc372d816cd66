"""Tenants: the SQL behind them."""

from dataclasses import asdict
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, func, select

from akidb_ray.catalog.edits import check_json_object
from akidb_ray.catalog.sqlite.pages import Listed
from akidb_ray.catalog.sqlite.repository import Mapped, SqliteRepository
from akidb_ray.catalog.sqlite.rows import fetch
from akidb_ray.catalog.sqlite.statements import Row, Statement, run
from akidb_ray.catalog.sqlite.tables import collections, databases, tenants
from akidb_ray.domain.ids import TenantId
from akidb_ray.domain.listing import Listing, Page
from akidb_ray.domain.tenancy import Tenant, TenantQuota, TenantStatus

_COUNT = Statement(
    select(func.count().label("count"))
    .select_from(collections.join(databases))
    .where(databases.c.tenant_id == bindparam("at"))
)
QUOTA_FIELDS = tuple(TenantQuota.__dataclass_fields__)


def tenant_from(row: Row) -> Tenant:
    return Tenant(
        tenant_id=row["tenant_id"],
        name=row["name"],
        slug=row["slug"],
        status=TenantStatus(row["status"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        quota=_quota_from(*[row[name] for name in QUOTA_FIELDS]),
        external_id=row["external_id"],
        metadata=row["metadata"],
        version=row["version"],
    )


@lru_cache(maxsize=4096)
def _quota_from(*limits: int | None) -> TenantQuota:
    """Most tenants have the same."""
    return TenantQuota(**dict(zip(QUOTA_FIELDS, limits, strict=True)))  # type: ignore[arg-type]


def row_of(tenant: Tenant) -> dict[str, Any]:
    return {
        "tenant_id": tenant.tenant_id,
        "external_id": tenant.external_id,
        "name": tenant.name,
        "slug": tenant.slug,
        "status": tenant.status,
        **asdict(tenant.quota),
        "metadata": check_json_object(tenant.metadata, "metadata"),
        "version": tenant.version,
        "created_at": tenant.created_at,
        "updated_at": tenant.updated_at,
    }


class SqliteTenants(SqliteRepository[Tenant, TenantId]):
    """Carries out `repositories.TenantRepository`."""

    mapped = Mapped(
        Listed(
            tenants,
            name=tenants.c.slug,
            state=tenants.c.status,
            states=tuple(TenantStatus),
            searched=("name", "slug"),
        ),
        tenant_from,
        row_of,
    )

    async def get_by_slug(self, slug: str) -> Tenant:
        return await self._find(slug, {"slug": slug})

    async def list(self, listing: Listing) -> Page[Tenant]:
        return await self._page(listing)

    async def count_collections(self, tenant_id: TenantId) -> int:
        connection = self._transaction.connection
        await fetch(connection, tenants, tenant_id)
        ((count,),) = [row.values() for row in await run(connection, _COUNT, {"at": tenant_id})]
        return int(count)
