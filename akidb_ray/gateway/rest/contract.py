"""The routes, and the OpenAPI document that FastAPI makes of their declarations."""

import functools
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.routing import APIRoute

from akidb_ray import __version__
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
from akidb_ray.gateway.rest.examples import example_of
from akidb_ray.gateway.rest.refusals import may_refuse
from akidb_ray.gateway.rest.routes import PageRoute, Routes

_TITLE = "AkiDB"
_PATH = "/openapi.json"
_DESCRIPTION = """A multi-tenant vector database that runs inside a Ray cluster.

`/v1/collections` and `/collections`, with all that may follow, are short for
`/v2/tenants/{tenant}/databases/default/collections`, where the tenant is that of the key, `default`
for the root key. PUT on a collection does what PATCH does there.
"""

# What any request may be answered, whatever its route: each takes a body, if only to ignore it.
_ALWAYS = may_refuse(413, 422, 500, 503)
_WITH_KEY = may_refuse(401, 403)

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@functools.cache
def contract() -> dict[str, Any]:
    """The OpenAPI document. It takes half a second to make, and is made when it is asked for."""
    app = FastAPI(
        title=_TITLE,
        version=__version__,
        description=_DESCRIPTION,
        responses=_ALWAYS,
        generate_unique_id_function=lambda route: route.name,
    )
    for declared in ROUTERS:
        app.include_router(declared)
    document = app.openapi()
    for operations in document["paths"].values():
        for operation in operations.values():
            _complete(operation, document["components"]["schemas"])
    return document


def _complete(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Add what each operation of its kind may be answered, and examples where there are none."""
    responses = operation["responses"]
    if "security" in operation:
        responses |= _as_keys(_WITH_KEY)
    if any(parameter["in"] == "path" for parameter in operation.get("parameters", ())):
        responses |= _as_keys(may_refuse(404))
    bodies = [response.get("content", {}) for response in responses.values()]
    if "requestBody" in operation:
        responses |= _as_keys(may_refuse(400))
        bodies.append(operation["requestBody"]["content"])
    operation["responses"] = dict(sorted(responses.items()))
    for content in bodies:
        shown = content.get("application/json")
        if shown is not None:
            shown["example"] = example_of(shown["schema"], schemas)


def _as_keys(refusals: dict[int | str, Any]) -> dict[str, Any]:
    return {str(status): refusal for status, refusal in refusals.items()}


@router.get(_PATH)
async def openapi() -> Response:
    return Response(_encoded(), media_type="application/json")


@functools.cache
def _encoded() -> bytes:
    return orjson.dumps(contract())


@router.get("/docs")
async def docs() -> Response:
    return get_swagger_ui_html(openapi_url=_PATH, title=_TITLE)


@router.get("/redoc")
async def redoc() -> Response:
    return get_redoc_html(openapi_url=_PATH, title=_TITLE)


# Of two routes of the same path the one of Arrow comes first, and those asked most come early.
ROUTERS = [
    each.router
    for each in (
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
] + [router]
ROUTES = Routes(route for each in ROUTERS for route in each.routes if isinstance(route, APIRoute))
