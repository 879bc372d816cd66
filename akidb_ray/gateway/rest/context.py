"""What every route takes from its request: the use cases, who asks, and what the path names."""

from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from akidb_ray.access.authorization import Principal
from akidb_ray.gateway.services import Services
from akidb_ray.service.collections import CollectionRef

COLLECTION_PATH = "/v2/tenants/{tenant}/databases/{database}/collections/{collection}"
"""What the paths of documents and searches begin with."""


# FastAPI sends what is not a coroutine through a thread, which costs more than all the rest here.
async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


# Both only tell OpenAPI how to authenticate; it happened before the body was read.
_SCHEMES = [
    Security(HTTPBearer(auto_error=False)),
    Security(APIKeyHeader(name="x-api-key", auto_error=False)),
]


async def _principal(
    request: Request,
    _bearer: Annotated[Any, _SCHEMES[0]] = None,
    _api_key: Annotated[Any, _SCHEMES[1]] = None,
) -> Principal:
    principal: Principal = request.state.principal
    return principal


async def _collection_ref(tenant: str, database: str, collection: str) -> CollectionRef:
    return CollectionRef(tenant, database, collection)


Use = Annotated[Services, Depends(_services)]
Caller = Annotated[Principal, Depends(_principal)]
InCollection = Annotated[CollectionRef, Depends(_collection_ref)]
