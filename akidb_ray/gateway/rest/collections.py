"""Routes of collections."""

from fastapi import APIRouter, Response

from akidb_ray.domain.collection import CollectionSpec, CollectionState
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.gateway.rest.answers import collection_json, json_response, status_json
from akidb_ray.gateway.rest.bodies import CollectionChanges, NewCollection
from akidb_ray.gateway.rest.context import Caller, InCollection, PageCursor, PageLimit, Use, page
from akidb_ray.service.collections import CollectionRef

router = APIRouter(
    prefix="/v2/tenants/{tenant}/databases/{database}/collections", tags=["collections"]
)


@router.post("", status_code=201, summary="Create a collection")
async def create_collection(
    services: Use, caller: Caller, tenant: str, database: str, body: NewCollection
) -> Response:
    if body.dimension is None and body.embedding_model is None:
        raise InvalidArgument("dimension", "is required without an embedding_model")
    settings = body.model_dump(exclude={"name", "description"})
    spec = CollectionSpec(**{**settings, "dimension": body.dimension or 0})
    ref = CollectionRef(tenant, database, body.name)
    place = await services.collections.create(caller, ref, spec, body.description)
    return json_response(collection_json(place.collection), 201)


@router.get("", summary="List collections")
async def list_collections(
    services: Use,
    caller: Caller,
    tenant: str,
    database: str,
    limit: PageLimit = 100,
    cursor: PageCursor = None,
) -> Response:
    places = await services.collections.list_all(caller, tenant, database)
    shown, following = page(places, lambda place: place.collection.name, limit, cursor)
    return json_response(
        {
            "collections": [collection_json(place.collection) for place in shown],
            "next_cursor": following,
        }
    )


@router.get("/{collection}", summary="Get a collection, by name or id, and how its shards stand")
async def get_collection(services: Use, caller: Caller, ref: InCollection) -> Response:
    place = await services.collections.get(caller, ref)
    shown = collection_json(place.collection)
    if place.collection.state is CollectionState.READY:
        shown["status"] = status_json(place, await services.collections.status(place))
    return json_response(shown)


@router.patch("/{collection}", summary="Change a collection's name or description")
async def update_collection(
    services: Use, caller: Caller, ref: InCollection, body: CollectionChanges
) -> Response:
    changes = body.model_dump(exclude_unset=True, exclude={"if_version"})
    updated = await services.collections.update(caller, ref, changes, body.if_version)
    return json_response(collection_json(updated))


@router.delete(
    "/{collection}", status_code=204, summary="Delete a collection with all its documents"
)
async def delete_collection(services: Use, caller: Caller, ref: InCollection) -> Response:
    await services.collections.delete(caller, ref)
    return Response(status_code=204)
