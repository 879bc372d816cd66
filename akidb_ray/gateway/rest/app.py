"""The ASGI application: from a request to its route, and from whatever happens to an answer.

A request gets an id and a principal, its body is read up to a limit, its route is looked up and
carried out. When its client goes away, a read is given up; a write that began goes on to its end.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from urllib.parse import unquote_to_bytes

from fastapi import Response
from starlette.applications import Starlette
from starlette.types import Message, Receive, Scope, Send

from akidb_ray.domain.errors import AkiDBError, NotFound, TooLarge
from akidb_ray.gateway.rest.context import Call, headers_of
from akidb_ray.gateway.rest.contract import ROUTES
from akidb_ray.gateway.rest.leaving import ClientGone, to_the_end, while_there
from akidb_ray.gateway.rest.problems import (
    defect_of,
    method_problem,
    new_request_id,
    problem_response,
)
from akidb_ray.gateway.rest.routes import MethodNotAllowed, Route
from akidb_ray.gateway.rest.short_forms import full_form
from akidb_ray.gateway.services import Services

_OPEN_PATHS = frozenset({"/healthz", "/readyz", "/docs", "/redoc", "/openapi.json"})
_REQUEST_ID = "x-request-id"
_MAX_REQUEST_ID_CHARACTERS = 128
# Read in some milliseconds: of 1,000 documents in JSON, the worst that another request waited was
# 440 ms when they were read by the event loop, and 130 ms in a thread.
_LARGE_BODY_BYTES = 256 * 1024
# What servers put in the place of bytes that are no text.
_REPLACEMENT = "\ufffd"
_TOO_LARGE = "bytes; send smaller batches"


def build_app(services: Services) -> "RestApi":
    """The REST API over these use cases. While it runs, it follows the catalog."""
    return RestApi(services)


class RestApi(Starlette):
    """Of Starlette it has the life span; requests are answered here."""

    def __init__(self, services: Services) -> None:
        super().__init__(lifespan=self._following)
        self._services = services

    @contextlib.asynccontextmanager
    async def _following(self, _: Starlette) -> AsyncIterator[None]:
        following = asyncio.create_task(self._services.copy.follow())
        try:
            yield
        finally:
            following.cancel()
            await asyncio.wait([following])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        headers = headers_of(scope)
        given = headers.get(_REQUEST_ID)
        request_id = _kept(given) or new_request_id()
        try:
            response = await self._answer(scope, headers, receive, request_id)
        except ClientGone:
            return
        if given is None:
            # Ray Serve gives each request an id, and puts it into the answer by itself.
            response.raw_headers.append((_REQUEST_ID.encode(), request_id.encode()))
        await response(scope, receive, send)

    async def _answer(
        self, scope: Scope, headers: Mapping[str, str], receive: Receive, request_id: str
    ) -> Response:
        try:
            call = await self._admitted(scope, headers, request_id)
            call.raw_body = await self._read_body(call, receive)
            route = ROUTES.find(call)
            work = self._carry_out(route, call)
            return await (while_there(work, receive) if route.given_up else to_the_end(work))
        except AkiDBError as error:
            return problem_response(error, request_id, scope["path"])
        except MethodNotAllowed as error:
            return method_problem(scope["method"], error.allowed, request_id, scope["path"])
        except ClientGone:
            raise
        except Exception as error:
            return problem_response(defect_of(error), request_id, scope["path"])

    async def _carry_out(self, route: Route, call: Call) -> Response:
        if len(call.raw_body) < _LARGE_BODY_BYTES:
            arguments = route.arguments.of(call)
        else:
            # Others are answered between its parts, though a thread makes it no faster.
            arguments = await asyncio.to_thread(route.arguments.of, call)
        return await route.endpoint(**arguments)

    async def _admitted(self, scope: Scope, headers: Mapping[str, str], request_id: str) -> Call:
        """Before the body is read: a stranger's is none of our business."""
        if scope["path"] in _OPEN_PATHS:
            return Call(scope, headers, self._services, None, request_id)
        principal = await self._services.authenticator.principal(headers)
        _check_text(scope)
        scope["method"], scope["path"] = full_form(scope["method"], scope["path"], principal)
        return Call(scope, headers, self._services, principal, request_id)

    async def _read_body(self, call: Call, receive: Receive) -> bytes:
        limit = self._services.max_body_bytes
        declared = call.given.get("content-length", "0")
        if declared.isdigit() and int(declared) > limit:
            raise TooLarge("body", limit, _TOO_LARGE)
        chunks: list[bytes] = []
        size = 0
        more = True
        while more:
            message: Message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise TooLarge("body", limit, _TOO_LARGE)
            chunks.append(chunk)
            more = message.get("more_body", False)
        return b"".join(chunks)


def _check_text(scope: Scope) -> None:
    """Raises NotFound for a path of bytes that are no UTF-8: they would be read as others."""
    if _REPLACEMENT not in scope["path"]:
        return
    try:
        unquote_to_bytes(scope["raw_path"]).decode()
    except UnicodeDecodeError:
        raise NotFound("route", scope["path"]) from None


def _kept(given: str | None) -> str | None:
    text = given or ""
    return text if 0 < len(text) <= _MAX_REQUEST_ID_CHARACTERS and text.isprintable() else None
