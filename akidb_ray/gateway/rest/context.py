"""What every route takes from its request: the use cases, who asks, and what the path names."""

import base64
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from akidb_ray.access.authorization import Principal
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.gateway.services import Services
from akidb_ray.service.collections import CollectionRef

T = TypeVar("T")


def _services(request: Request) -> Services:
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


def _collection_ref(tenant: str, database: str, collection: str) -> CollectionRef:
    return CollectionRef(tenant, database, collection)


Use = Annotated[Services, Depends(_services)]
Caller = Annotated[Principal, Depends(_principal)]
InCollection = Annotated[CollectionRef, Depends(_collection_ref)]
PageLimit = Annotated[int, Query(ge=1, le=1000, description="How many to list at most.")]
PageCursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]


def page(
    items: Sequence[T], key: Callable[[T], str], limit: int, cursor: str | None
) -> tuple[list[T], str | None]:
    """The items after `cursor`, in order of `key`, and the cursor of the next page."""
    after = _decode_cursor(cursor) if cursor else ""
    rest = sorted((item for item in items if key(item) > after), key=key)
    shown = rest[:limit]
    more = len(rest) > limit
    return shown, base64.urlsafe_b64encode(key(shown[-1]).encode()).decode() if more else None


def _decode_cursor(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor).decode()
    except ValueError:
        raise InvalidArgument("cursor", "is not a next_cursor of a list") from None
