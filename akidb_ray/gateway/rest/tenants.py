"""Routes of tenants."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from akidb_ray.domain.tenancy import Tenant, TenantStatus
from akidb_ray.gateway.rest.answers import json_response, tenant_json
from akidb_ray.gateway.rest.bodies import (
    NewTenant,
    OnlyIf,
    Quotas,
    TenantChanges,
    changes_of,
    refuse_quotas_outside,
)
from akidb_ray.gateway.rest.conditions import (
    ETAG,
    MatchedVersion,
    NoVersion,
    etag,
    one_condition,
)
from akidb_ray.gateway.rest.context import Caller, Use
from akidb_ray.gateway.rest.jobs import BEGUN, removal_response
from akidb_ray.gateway.rest.lists import Deletion, TenantList, listing_of, page_response
from akidb_ray.gateway.rest.refusals import may_refuse
from akidb_ray.gateway.rest.schemas import TenantAnswer, TenantsAnswer

router = APIRouter(prefix="/v2/tenants", tags=["tenants"])


@router.post(
    "",
    status_code=201,
    responses={201: ETAG, **may_refuse(409)},
    summary="Create a tenant",
    response_model=TenantAnswer,
)
async def create_tenant(services: Use, caller: Caller, body: NewTenant) -> Response:
    tenant = await services.tenants.create(
        caller, body.name, body.slug, body.external_id, _quotas(body.quotas), body.metadata
    )
    return _response(tenant, 201)


@router.get("", summary="List and search tenants", response_model=TenantsAnswer)
async def list_tenants(
    services: Use, caller: Caller, query: Annotated[TenantList, Query()]
) -> Response:
    tenants = await services.tenants.list(caller, listing_of(query, query.status))
    return page_response("tenants", tenants, tenant_json)


@router.get(
    "/{tenant}",
    summary="Get a tenant, by slug or id",
    responses={200: ETAG},
    response_model=TenantAnswer,
)
async def get_tenant(services: Use, caller: Caller, tenant: str) -> Response:
    return _response(await services.tenants.get(caller, tenant))


@router.patch(
    "/{tenant}",
    summary="Change a tenant",
    responses={200: ETAG, **may_refuse(409, 412)},
    response_model=TenantAnswer,
)
async def update_tenant(
    services: Use, caller: Caller, tenant: str, body: TenantChanges, version: MatchedVersion
) -> Response:
    refuse_quotas_outside(body)
    changes = {**changes_of(body), **_quotas(body.quotas)}
    changes.pop("quotas", None)
    if_version = one_condition(version, body.if_version)
    return _response(await services.tenants.update(caller, tenant, changes, if_version))


@router.post(
    "/{tenant}/suspend",
    summary="Suspend a tenant: it reads and writes nothing until it is resumed",
    responses={200: ETAG, **may_refuse(409, 412)},
    response_model=TenantAnswer,
)
async def suspend_tenant(
    services: Use,
    caller: Caller,
    tenant: str,
    version: MatchedVersion,
    body: OnlyIf | None = None,
) -> Response:
    if_version = one_condition(version, body.if_version if body else None)
    suspended = TenantStatus.SUSPENDED
    return _response(await services.tenants.move(caller, tenant, suspended, if_version))


@router.post(
    "/{tenant}/resume",
    summary="Let a suspended tenant go on",
    responses={200: ETAG, **may_refuse(409, 412)},
    response_model=TenantAnswer,
)
async def resume_tenant(
    services: Use,
    caller: Caller,
    tenant: str,
    version: MatchedVersion,
    body: OnlyIf | None = None,
) -> Response:
    if_version = one_condition(version, body.if_version if body else None)
    active = TenantStatus.ACTIVE
    return _response(await services.tenants.move(caller, tenant, active, if_version))


@router.delete(
    "/{tenant}",
    summary="Decommission a tenant for good; its data stays until it is purged",
    responses={200: ETAG, **may_refuse(409, 412)},
    response_model=TenantAnswer,
)
async def decommission_tenant(
    services: Use, caller: Caller, tenant: str, version: MatchedVersion
) -> Response:
    decommissioned = TenantStatus.DECOMMISSIONED
    return _response(await services.tenants.move(caller, tenant, decommissioned, version))


@router.post(
    "/{tenant}/purge",
    status_code=204,
    summary="Remove a decommissioned tenant with all that is in it",
    responses={**BEGUN, **may_refuse(409)},
    dependencies=[NoVersion],
)
async def purge_tenant(
    services: Use, caller: Caller, tenant: str, query: Annotated[Deletion, Query()]
) -> Response:
    job = await services.tenants.purge(caller, tenant)
    return await removal_response(services, job, query.wait_s)


def _response(tenant: Tenant, status: int = 200) -> Response:
    return json_response(tenant_json(tenant), status, etag(tenant.version))


def _quotas(quotas: Quotas | None) -> dict[str, Any]:
    """Those that were given; null stands for no limit."""
    return quotas.model_dump(exclude_unset=True) if quotas else {}
