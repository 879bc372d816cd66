"""The ASGI application: routes, errors, request ids, the limit on bodies, OpenAPI."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import Headers

from akidb_ray import __version__
from akidb_ray.domain.errors import AkiDBError, TooLarge, Unavailable
from akidb_ray.gateway.authentication import Authenticator
from akidb_ray.gateway.rest import (
    arrow_routes,
    collections,
    databases,
    document_reads,
    document_writes,
    embeddings,
    health,
    jobs,
    search,
    tenants,
)
from akidb_ray.gateway.rest.parameters import ONLY_KNOWN_PARAMETERS
from akidb_ray.gateway.rest.problems import (
    PROBLEM_JSON,
    add_error_handlers,
    new_request_id,
    problem_response,
)
from akidb_ray.gateway.rest.schemas import ProblemAnswer
from akidb_ray.gateway.rest.short_forms import full_form
from akidb_ray.gateway.services import Services

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

# Looked through from the first on: of two routes of the same path the one of Arrow comes first, and
# those that are asked most come early.
_ROUTERS = (
    arrow_routes,
    search,
    document_reads,
    document_writes,
    embeddings,
    health,
    tenants,
    databases,
    collections,
    jobs,
)
_OPEN_PATHS = frozenset({"/healthz", "/readyz", "/docs", "/redoc", "/openapi.json"})
_REQUEST_ID = b"x-request-id"
_MAX_REQUEST_ID_CHARACTERS = 128

_DESCRIPTION = """A multi-tenant vector database that runs inside a Ray cluster.

`/v1/collections` and `/collections`, with all that may follow, are short for
`/v2/tenants/{tenant}/databases/default/collections`, where the tenant is that of the key, `default`
for the root key. PUT on a collection does what PATCH does there.
"""

_PROBLEM = {
    "description": "A problem document (RFC 9457): what is wrong, with which field, and its code.",
    "content": {
        PROBLEM_JSON: {
            # Of the answer of batches, which holds such documents.
            "schema": {"$ref": f"#/components/schemas/{ProblemAnswer.__name__}"},
            "example": {
                "type": "urn:akidb:error:invalid_argument",
                "title": "A value is wrong",
                "status": 422,
                "detail": "vector: must have 384 numbers, has 3",
                "code": "invalid_argument",
                "field": "vector",
                "request_id": "0b6e...",
            },
        }
    },
}


def build_app(services: Services) -> FastAPI:
    """The REST API over these use cases. While it runs, it follows the catalog."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        following = asyncio.create_task(services.copy.follow())
        yield
        following.cancel()
        await asyncio.wait([following])

    app = FastAPI(
        title="AkiDB",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        responses={"4XX": _PROBLEM, "5XX": _PROBLEM},
    )
    app.state.services = services
    add_error_handlers(app)
    for module in _ROUTERS:
        app.include_router(module.router, dependencies=[ONLY_KNOWN_PARAMETERS])
    app.add_middleware(
        RequestFrame,
        authenticator=services.authenticator,
        max_body_bytes=services.max_body_bytes,
    )
    return app


class RequestFrame:
    """Gives each request an id and a principal, and stops reading a body that is too large."""

    def __init__(self, app: App, authenticator: Authenticator, max_body_bytes: int) -> None:
        self._app = app
        self._authenticator = authenticator
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = _given_request_id(headers) or new_request_id()
        scope.setdefault("state", {})["request_id"] = request_id
        scope["state"]["sent_as"] = _media_type(headers)
        # Whatever is not said to be Arrow is JSON, so `curl -d` without a content type works.
        others = [header for header in scope["headers"] if header[0] != b"content-type"]
        scope["headers"] = [*others, (b"content-type", b"application/json")]

        async def send_with_id(message: Message) -> None:
            # Ray Serve gives each request an id, and puts it into the answer by itself.
            if message["type"] == "http.response.start" and _REQUEST_ID not in headers:
                message["headers"].append((_REQUEST_ID, request_id.encode()))
            await send(message)

        try:
            if scope["path"] not in _OPEN_PATHS:
                # Before the body is read: a stranger's is none of our business.
                principal = await self._authenticator.principal(Headers(scope=scope))
                scope["state"]["principal"] = principal
                scope["method"], scope["path"] = full_form(
                    scope["method"], scope["path"], principal
                )
            body = await self._read_body(scope, receive)
        except AkiDBError as error:
            await problem_response(error, request_id, scope["path"])(scope, receive, send_with_id)
            return
        await self._app(scope, _replay(body, receive), send_with_id)

    async def _read_body(self, scope: Message, receive: Receive) -> bytes:
        limit = self._max_body_bytes
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit:
            raise TooLarge("body", limit, "bytes; send smaller batches")
        chunks: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Unavailable("the client went away before its request was complete")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise TooLarge("body", limit, "bytes; send smaller batches")
            chunks.append(chunk)
            more = message.get("more_body", False)
        return b"".join(chunks)


def _given_request_id(headers: dict[bytes, bytes]) -> str | None:
    given = headers.get(_REQUEST_ID, b"").decode("latin-1")
    return given if 0 < len(given) <= _MAX_REQUEST_ID_CHARACTERS and given.isprintable() else None


def _media_type(headers: dict[bytes, bytes]) -> str:
    return headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()


def _replay(body: bytes, receive: Receive) -> Receive:
    """Hand out a body that was read already; afterwards, the connection's own messages."""
    handed_out = False

    async def replay() -> Message:
        nonlocal handed_out
        if handed_out:
            return await receive()
        handed_out = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
