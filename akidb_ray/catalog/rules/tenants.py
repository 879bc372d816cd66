"""Tenants: how they are made, what may change of one, and which slugs are free."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from akidb_ray.catalog.edits import check_json_object, check_version, checked, one_of, optional
from akidb_ray.catalog.repositories import Repositories
from akidb_ray.catalog.rules.references import find
from akidb_ray.domain.errors import InvalidArgument, InvalidState, NotFound
from akidb_ray.domain.ids import TenantId
from akidb_ray.domain.tenancy import (
    OPTIONAL_QUOTAS,
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
    """A JSON object of at most 64 KiB of UTF-8, as it will be read back."""
    loaded = check_json_object(value, field)
    text = json.dumps(loaded, ensure_ascii=False)
    # Half of a surrogate pair can be said in JSON, by an escape, though not in UTF-8.
    if len(text.encode("utf-8", "surrogatepass")) > MAX_METADATA_BYTES:
        raise InvalidArgument(field, f"must be at most {MAX_METADATA_BYTES} bytes of JSON")
    return loaded


QUOTA_FIELDS = {
    name: optional(check_quota_number) if name in OPTIONAL_QUOTAS else check_quota_number
    for name in TenantQuota.__dataclass_fields__
}
FIELDS = {
    "name": check_title,
    "slug": check_slug,
    "external_id": optional(check_title),
    "status": one_of(TenantStatus),
    "metadata": check_metadata,
    **QUOTA_FIELDS,
}
FIXED = ("tenant_id", "version", "created_at", "updated_at")


async def create_tenant(
    repos: Repositories,
    name: str,
    slug: str | None,
    external_id: str | None,
    quota: TenantQuota | None,
    metadata: Mapping[str, Any] | None,
) -> Tenant:
    """An active tenant. Without a slug, one is made from the name. Raises AlreadyExists."""
    tenant = Tenant(
        tenant_id=TenantId.new(),
        name=check_title(name),
        slug=await free_slug(repos, name) if slug is None else check_slug(slug),
        status=TenantStatus.ACTIVE,
        created_at=repos.now,
        updated_at=repos.now,
        quota=check_quota(quota or TenantQuota()),
        external_id=None if external_id is None else check_title(external_id, "external_id"),
        metadata=check_metadata(metadata or {}),
    )
    await repos.tenants.add(tenant)
    return tenant


async def update_tenant(
    repos: Repositories, tenant_id: TenantId, changes: Mapping[str, Any], if_version: int | None
) -> Tenant:
    """Raises NotFound, InvalidArgument, InvalidState, AlreadyExists, PreconditionFailed."""
    values = checked(changes, FIELDS, FIXED)
    tenant = await repos.tenants.get(tenant_id)
    check_version("tenant", tenant_id, tenant.version, if_version)
    wanted = values.get("status", tenant.status)
    if wanted is not tenant.status:
        check_move("tenant", TENANT_MOVES, tenant.status, wanted)
    limits = {name: values.pop(name) for name in QUOTA_FIELDS if name in values}
    return await repos.tenants.update(
        replace(tenant, **values, quota=replace(tenant.quota, **limits))
    )


async def get_tenant(repos: Repositories, ref: str | TenantId) -> Tenant:
    """By slug or id. Raises NotFound."""
    return await find(ref, TenantId, repos.tenants.get_by_slug, repos.tenants.get)


async def require_active(repos: Repositories, tenant_id: TenantId, wanted: str) -> Tenant:
    """Raise NotFound, or InvalidState unless the tenant may get something new: `wanted`."""
    tenant = await repos.tenants.get(tenant_id)
    if tenant.status is not TenantStatus.ACTIVE:
        raise InvalidState("tenant", tenant.status, wanted)
    return tenant


async def free_slug(repos: Repositories, name: str) -> str:
    """Made from the name; with a number when another tenant has that one already."""
    check_title(name)
    if not await _taken(repos, slug_from(name)):
        return slug_from(name)
    # Thousands of one name would ask thousands of times if each number were tried: one that is free
    # is found by doubling, then one that comes next after a taken one, by halving.
    taken, free = 0, 1
    while await _taken(repos, slug_from(name, free)):
        taken, free = free, 2 * free
    while free - taken > 1:
        middle = (taken + free) // 2
        if await _taken(repos, slug_from(name, middle)):
            taken = middle
        else:
            free = middle
    return slug_from(name, free)


async def _taken(repos: Repositories, slug: str) -> bool:
    try:
        await repos.tenants.get_by_slug(slug)
    except NotFound:
        return False
    return True
