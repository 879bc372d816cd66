"""Routes of collections."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from akidb_ray.domain.collection import CollectionSpec, CollectionState
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.gateway.rest.answers import collection_json, json_response, status_json
from akidb_ray.gateway.rest.bodies import CollectionChanges, NewCollection, changes_of
from akidb_ray.gateway.rest.conditions import (
    ETAG,
    MatchedVersion,
    NoVersion,
    etag,
    one_condition,
)
from akidb_ray.gateway.rest.context import Caller, InCollection, Use
from akidb_ray.gateway.rest.jobs import BEGUN, removal_response
from akidb_ray.gateway.rest.lists import CollectionList, Deletion, listing_of, page_response
from akidb_ray.gateway.rest.refusals import may_refuse
from akidb_ray.gateway.rest.schemas import (
    CollectionAnswer,
    CollectionsAnswer,
    CollectionStatusAnswer,
)
from akidb_ray.service.collections import CollectionRef

router = APIRouter(
    prefix="/v2/tenants/{tenant}/databases/{database}/collections", tags=["collections"]
)


@router.post(
    "",
    status_code=201,
    responses={201: ETAG, **may_refuse(409, 429, 507)},
    summary="Create a collection",
    response_model=CollectionAnswer,
)
async def create_collection(
    services: Use, caller: Caller, tenant: str, database: str, body: NewCollection
) -> Response:
    if body.dimension is None and body.embedding_model is None:
        raise InvalidArgument("dimension", "is required without an embedding_model")
    settings = body.model_dump(exclude={"name", "description"})
    spec = CollectionSpec(**{**settings, "dimension": body.dimension or 0})
    ref = CollectionRef(tenant, database, body.name)
    place = await services.collections.create(caller, ref, spec, body.description)
    made = place.collection
    return json_response(collection_json(made), 201, etag(made.version))


@router.get("", summary="List and search collections", response_model=CollectionsAnswer)
async def list_collections(
    services: Use,
    caller: Caller,
    tenant: str,
    database: str,
    query: Annotated[CollectionList, Query()],
) -> Response:
    listing = listing_of(query, query.state)
    collections = await services.collections.list(caller, tenant, database, listing)
    return page_response("collections", collections, collection_json)


@router.get(
    "/{collection}",
    summary="Get a collection, by name or id, and how its shards stand",
    responses={200: ETAG},
    response_model=CollectionStatusAnswer,
)
async def get_collection(services: Use, caller: Caller, ref: InCollection) -> Response:
    place = await services.collections.get(caller, ref)
    shown = collection_json(place.collection)
    if place.collection.state is CollectionState.READY:
        shown["status"] = status_json(place, await services.collections.status(place))
    return json_response(shown, headers=etag(place.collection.version))


@router.patch(
    "/{collection}",
    summary="Change a collection's name or description; its other settings are fixed",
    responses={200: ETAG, **may_refuse(409, 412)},
    response_model=CollectionAnswer,
)
async def update_collection(
    services: Use,
    caller: Caller,
    ref: InCollection,
    body: CollectionChanges,
    version: MatchedVersion,
) -> Response:
    if_version = one_condition(version, body.if_version)
    updated = await services.collections.update(caller, ref, changes_of(body), if_version)
    return json_response(collection_json(updated), headers=etag(updated.version))


@router.delete(
    "/{collection}",
    status_code=204,
    summary="Delete a collection with all its documents",
    responses={**BEGUN, **may_refuse(409)},
    dependencies=[NoVersion],
)
async def delete_collection(
    services: Use, caller: Caller, ref: InCollection, query: Annotated[Deletion, Query()]
) -> Response:
    job = await services.collections.delete(caller, ref)
    return await removal_response(services, job, query.wait_s)
