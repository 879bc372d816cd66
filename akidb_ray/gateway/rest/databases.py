"""Routes of databases."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from akidb_ray.domain.tenancy import Database
from akidb_ray.gateway.rest.answers import database_json, json_response
from akidb_ray.gateway.rest.bodies import DatabaseChanges, NewDatabase, changes_of
from akidb_ray.gateway.rest.conditions import (
    ETAG,
    MatchedVersion,
    NoVersion,
    etag,
    one_condition,
)
from akidb_ray.gateway.rest.context import Caller, Use
from akidb_ray.gateway.rest.jobs import BEGUN, removal_response
from akidb_ray.gateway.rest.lists import DatabaseDeletion, DatabaseList, listing_of, page_response
from akidb_ray.gateway.rest.refusals import may_refuse
from akidb_ray.gateway.rest.schemas import DatabaseAnswer, DatabasesAnswer

router = APIRouter(prefix="/v2/tenants/{tenant}/databases", tags=["databases"])


@router.post(
    "",
    status_code=201,
    responses={201: ETAG, **may_refuse(409)},
    summary="Create a database",
    response_model=DatabaseAnswer,
)
async def create_database(
    services: Use, caller: Caller, tenant: str, body: NewDatabase
) -> Response:
    database = await services.databases.create(caller, tenant, body.name, body.description)
    return _response(database, 201)


@router.get("", summary="List and search databases", response_model=DatabasesAnswer)
async def list_databases(
    services: Use, caller: Caller, tenant: str, query: Annotated[DatabaseList, Query()]
) -> Response:
    databases = await services.databases.list(caller, tenant, listing_of(query, query.state))
    return page_response("databases", databases, database_json)


@router.get(
    "/{database}",
    summary="Get a database, by name or id",
    responses={200: ETAG},
    response_model=DatabaseAnswer,
)
async def get_database(services: Use, caller: Caller, tenant: str, database: str) -> Response:
    return _response(await services.databases.get(caller, tenant, database))


@router.patch(
    "/{database}",
    summary="Change a database's name or description",
    responses={200: ETAG, **may_refuse(409, 412)},
    response_model=DatabaseAnswer,
)
async def update_database(
    services: Use,
    caller: Caller,
    tenant: str,
    database: str,
    body: DatabaseChanges,
    version: MatchedVersion,
) -> Response:
    if_version = one_condition(version, body.if_version)
    updated = await services.databases.update(
        caller, tenant, database, changes_of(body), if_version
    )
    return _response(updated)


@router.delete(
    "/{database}",
    status_code=204,
    summary="Delete a database; with `cascade`, also one that holds collections",
    responses={**BEGUN, **may_refuse(409)},
    dependencies=[NoVersion],
)
async def delete_database(
    services: Use,
    caller: Caller,
    tenant: str,
    database: str,
    query: Annotated[DatabaseDeletion, Query()],
) -> Response:
    job = await services.databases.delete(caller, tenant, database, query.cascade)
    return await removal_response(services, job, query.wait_s)


def _response(database: Database, status: int = 200) -> Response:
    return json_response(database_json(database), status, etag(database.version))
