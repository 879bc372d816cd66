"""What routes take from their request: the use cases, who asks, and what the path names."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.types import Scope

from akidb_ray.access.authorization import Principal
from akidb_ray.gateway.services import Services
from akidb_ray.service.collections import CollectionRef

COLLECTION_PATH = "/v2/tenants/{tenant}/databases/{database}/collections/{collection}"
"""What the paths of documents and searches begin with."""


class Call(Request):
    """A request with its body read, on its way to the function of its route. `given` are its
    headers, see `headers_of`; `sent_as` is the media type of the body, empty when it is not said.
    """

    def __init__(
        self,
        scope: Scope,
        given: Mapping[str, str],
        services: Services,
        principal: Principal | None,
        request_id: str,
    ) -> None:
        super().__init__(scope)
        self.given = given
        self.services = services
        self.request_id = request_id
        self.sent_as = given.get("content-type", "").partition(";")[0].strip().lower()
        self.raw_body = b""
        self._principal = principal

    @property
    def principal(self) -> Principal:
        """Who asks; nobody, where no key is taken."""
        assert self._principal is not None
        return self._principal


def headers_of(scope: Scope) -> dict[str, str]:
    """By their names in lower case; of one that is there several times, the first.

    Those of Starlette are looked through, and decoded, for each name that is asked for.
    """
    headers = reversed(scope["headers"])
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}


def _services(call: Call) -> Services:
    return call.services


# Both only tell OpenAPI how to authenticate; it happened before the body was read.
_SCHEMES = [
    Security(HTTPBearer(auto_error=False)),
    Security(APIKeyHeader(name="x-api-key", auto_error=False)),
]


def _principal(
    call: Call,
    _bearer: Annotated[Any, _SCHEMES[0]] = None,
    _api_key: Annotated[Any, _SCHEMES[1]] = None,
) -> Principal:
    return call.principal


def _collection_ref(tenant: str, database: str, collection: str) -> CollectionRef:
    return CollectionRef(tenant, database, collection)


Use = Annotated[Services, Depends(_services)]
Caller = Annotated[Principal, Depends(_principal)]
InCollection = Annotated[CollectionRef, Depends(_collection_ref)]
