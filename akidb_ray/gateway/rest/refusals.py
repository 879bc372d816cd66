"""What OpenAPI says of answers that are problems."""

from typing import Any

from akidb_ray.domain.errors import AkiDBError
from akidb_ray.gateway.error_table import HTTP_STATUS, RETRY_AFTER_S, TITLES
from akidb_ray.gateway.rest.problems import PROBLEM_JSON
from akidb_ray.gateway.rest.schemas import ProblemAnswer

_SCHEMA = {"$ref": f"#/components/schemas/{ProblemAnswer.__name__}"}
_RETRY_AFTER = {"description": "Seconds to wait.", "schema": {"type": "string", "examples": ["1"]}}
_AUTHENTICATE = {"description": "How to.", "schema": {"type": "string", "examples": ["Bearer"]}}


def may_refuse(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The part of a route's `responses` that names these statuses."""
    return {status: _refusal(status) for status in statuses}


def _refusal(status: int) -> dict[str, Any]:
    kinds = [kind for kind, http in HTTP_STATUS.items() if http == status]
    codes = ", ".join(f"`{kind.code}`" for kind in kinds)
    told: dict[str, Any] = {
        "description": f"{TITLES[kinds[0]]}: {codes}.",
        "content": {PROBLEM_JSON: {"schema": _SCHEMA, "example": _example(kinds[0], status)}},
    }
    headers = {}
    if any(kind.retryable for kind in kinds):
        headers["Retry-After"] = _RETRY_AFTER
    if status == 401:
        headers["WWW-Authenticate"] = _AUTHENTICATE
    return {**told, "headers": headers} if headers else told


def _example(kind: type[AkiDBError], status: int) -> dict[str, Any]:
    shown = {
        "type": f"urn:akidb:error:{kind.code}",
        "title": TITLES[kind],
        "status": status,
        "detail": _DETAILS.get(status, TITLES[kind]),
        "code": kind.code,
        "request_id": "0b6e2c1d9a4f4e7f8a3b5c6d7e8f9a0b",
    }
    return {**shown, **_FIELDS.get(status, {})}


_DETAILS = {
    400: "the body is not JSON: Expecting value at character 0",
    404: "collection 'films' does not exist",
    412: "the tenant has version 4, not 3",
    413: "documents is larger than 10000 documents; send smaller batches",
    422: "vector: must have 384 numbers, has 3",
    429: "quota max_collections has no room for this: 10 of 10 are used",
    503: f"the shard host can't be reached now; try again in {RETRY_AFTER_S} s",
}
_FIELDS: dict[int, dict[str, Any]] = {
    404: {"kind": "collection", "id": "films"},
    413: {"field": "documents", "limit": 10_000},
    422: {"field": "vector", "reason": "must have 384 numbers, has 3"},
    429: {"quota": "max_collections", "limit": 10, "used": 10},
}
