"""Routes of tenants and databases."""

from typing import Any

from fastapi import APIRouter, Response

from akidb_ray.domain.tenancy import TenantQuota
from akidb_ray.gateway.rest.answers import database_json, json_response, tenant_json
from akidb_ray.gateway.rest.bodies import (
    Body,
    DatabaseChanges,
    NewDatabase,
    NewTenant,
    Quotas,
    TenantChanges,
)
from akidb_ray.gateway.rest.context import Caller, PageCursor, PageLimit, Use, page

router = APIRouter(prefix="/v2/tenants", tags=["tenants and databases"])


@router.post("", status_code=201, summary="Create a tenant")
async def create_tenant(services: Use, caller: Caller, body: NewTenant) -> Response:
    quota = TenantQuota(**_quota_changes(body.quotas)) if body.quotas else None
    tenant = await services.tenants.create(
        caller, body.name, body.slug, body.external_id, quota, body.metadata
    )
    return json_response(tenant_json(tenant), 201)


@router.get("", summary="List tenants")
async def list_tenants(
    services: Use, caller: Caller, limit: PageLimit = 100, cursor: PageCursor = None
) -> Response:
    tenants = await services.tenants.list_all(caller)
    shown, following = page(tenants, lambda tenant: tenant.slug, limit, cursor)
    return json_response({"tenants": [tenant_json(t) for t in shown], "next_cursor": following})


@router.get("/{tenant}", summary="Get a tenant, by slug or id")
async def get_tenant(services: Use, caller: Caller, tenant: str) -> Response:
    return json_response(tenant_json(await services.tenants.get(caller, tenant)))


@router.patch("/{tenant}", summary="Change a tenant")
async def update_tenant(
    services: Use, caller: Caller, tenant: str, body: TenantChanges
) -> Response:
    changes = {**_changes(body), **_quota_changes(body.quotas)}
    changes.pop("quotas", None)
    updated = await services.tenants.update(caller, tenant, changes, body.if_version)
    return json_response(tenant_json(updated))


@router.delete("/{tenant}", summary="Decommission a tenant; its data stays until it is purged")
async def delete_tenant(services: Use, caller: Caller, tenant: str) -> Response:
    return json_response(tenant_json(await services.tenants.delete(caller, tenant)))


@router.post("/{tenant}/databases", status_code=201, summary="Create a database")
async def create_database(
    services: Use, caller: Caller, tenant: str, body: NewDatabase
) -> Response:
    database = await services.databases.create(caller, tenant, body.name, body.description)
    return json_response(database_json(database), 201)


@router.get("/{tenant}/databases", summary="List databases")
async def list_databases(
    services: Use, caller: Caller, tenant: str, limit: PageLimit = 100, cursor: PageCursor = None
) -> Response:
    databases = await services.databases.list_all(caller, tenant)
    shown, following = page(databases, lambda database: database.name, limit, cursor)
    return json_response({"databases": [database_json(d) for d in shown], "next_cursor": following})


@router.get("/{tenant}/databases/{database}", summary="Get a database, by name or id")
async def get_database(services: Use, caller: Caller, tenant: str, database: str) -> Response:
    return json_response(database_json(await services.databases.get(caller, tenant, database)))


@router.patch("/{tenant}/databases/{database}", summary="Change a database")
async def update_database(
    services: Use, caller: Caller, tenant: str, database: str, body: DatabaseChanges
) -> Response:
    updated = await services.databases.update(
        caller, tenant, database, _changes(body), body.if_version
    )
    return json_response(database_json(updated))


@router.delete(
    "/{tenant}/databases/{database}", status_code=204, summary="Delete an empty database"
)
async def delete_database(services: Use, caller: Caller, tenant: str, database: str) -> Response:
    await services.databases.delete(caller, tenant, database)
    return Response(status_code=204)


def _changes(body: Body) -> dict[str, Any]:
    return body.model_dump(exclude_unset=True, exclude={"if_version"})


def _quota_changes(quotas: Quotas | None) -> dict[str, Any]:
    return quotas.model_dump(exclude_none=True) if quotas else {}
