"""Tenants: the SQL behind them, and what may change of one."""

import itertools
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from akidb_ray.catalog.changes import Change
from akidb_ray.catalog.edits import checked, one_of, optional
from akidb_ray.catalog.pages import Page
from akidb_ray.catalog.rows import Row, fetch, fetch_by_ref, fetch_page
from akidb_ray.catalog.tables import tenants
from akidb_ray.domain.errors import InvalidArgument, InvalidState
from akidb_ray.domain.ids import TenantId
from akidb_ray.domain.tenancy import (
    TENANT_MOVES,
    Tenant,
    TenantQuota,
    TenantStatus,
    check_move,
    check_quota,
    check_quota_number,
    check_slug,
    check_title,
    slug_from,
)

MAX_METADATA_BYTES = 64 * 1024


def check_metadata(value: object, field: str = "metadata") -> dict[str, Any]:
    """A JSON object of at most 64 KiB, as it will be read back."""
    if not isinstance(value, Mapping):
        raise InvalidArgument(field, "must be an object")
    try:
        text = json.dumps(dict(value), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise InvalidArgument(field, "holds something that JSON can't say") from None
    if len(text) > MAX_METADATA_BYTES:
        raise InvalidArgument(field, f"must be at most {MAX_METADATA_BYTES} bytes of JSON")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


FIELDS = {
    "name": check_title,
    "slug": check_slug,
    "external_id": optional(check_title),
    "status": one_of(TenantStatus),
    "metadata": check_metadata,
    "memory_quota_bytes": check_quota_number,
    "storage_quota_bytes": check_quota_number,
    "qps_quota": check_quota_number,
}


def tenant_from(row: Row) -> Tenant:
    return Tenant(
        tenant_id=row["tenant_id"],
        name=row["name"],
        slug=row["slug"],
        status=TenantStatus(row["status"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        quota=TenantQuota(row["memory_quota_bytes"], row["storage_quota_bytes"], row["qps_quota"]),
        external_id=row["external_id"],
        metadata=row["metadata"],
        version=row["version"],
    )


async def create_tenant(
    change: Change,
    name: str,
    slug: str | None,
    external_id: str | None,
    quota: TenantQuota | None,
    metadata: Mapping[str, Any] | None,
) -> Tenant:
    """An active tenant. Without a slug, one is made from the name. Raises AlreadyExists."""
    limits = check_quota(quota or TenantQuota())
    tenant_id = TenantId.new()
    values = {
        "tenant_id": tenant_id,
        "name": check_title(name),
        "slug": await _free_slug(change, name) if slug is None else check_slug(slug),
        "status": TenantStatus.ACTIVE,
        "external_id": None if external_id is None else check_title(external_id, "external_id"),
        "metadata": check_metadata(metadata or {}),
        "memory_quota_bytes": limits.memory_quota_bytes,
        "storage_quota_bytes": limits.storage_quota_bytes,
        "qps_quota": limits.qps_quota,
    }
    await change.insert(tenants, values)
    return tenant_from(await fetch(change.connection, tenants, tenant_id))


async def update_tenant(
    change: Change, tenant_id: TenantId, changes: Mapping[str, Any], if_version: int | None
) -> Tenant:
    """Raises NotFound, InvalidArgument, InvalidState, AlreadyExists, PreconditionFailed."""
    values = checked(changes, FIELDS)
    row = await fetch(change.connection, tenants, tenant_id)
    current = TenantStatus(row["status"])
    wanted = values.get("status", current)
    if wanted is not current:
        check_move("tenant", TENANT_MOVES, current, wanted)
    await change.edit(tenants, row, values, if_version)
    return tenant_from(await fetch(change.connection, tenants, tenant_id))


async def get_tenant(connection: AsyncConnection, ref: str | TenantId) -> Tenant:
    """By slug or id. Raises NotFound."""
    return tenant_from(await fetch_by_ref(connection, tenants, tenants.c.slug, ref))


async def list_tenants(connection: AsyncConnection, limit: int, cursor: str | None) -> Page[Tenant]:
    rows, next_cursor = await fetch_page(connection, tenants, limit, cursor)
    return Page(tuple(map(tenant_from, rows)), next_cursor)


async def require_active(connection: AsyncConnection, tenant_id: TenantId, wanted: str) -> None:
    """Raise NotFound, or InvalidState unless the tenant may get something new: `wanted`."""
    row = await fetch(connection, tenants, tenant_id)
    if row["status"] != TenantStatus.ACTIVE:
        raise InvalidState("tenant", row["status"], wanted)


async def _free_slug(change: Change, name: str) -> str:
    check_title(name)
    for attempt in itertools.count():
        slug = slug_from(name, attempt)
        taken = select(tenants.c.slug).where(tenants.c.slug == slug)
        if await change.connection.scalar(taken) is None:
            return slug
    raise AssertionError("counting ended")
