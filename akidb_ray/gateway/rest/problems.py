"""Errors as RFC 9457 problem documents. No stack trace leaves the server."""

import json
import logging
import random
from collections.abc import Collection, Mapping
from typing import Any

from fastapi import Response

from akidb_ray.domain.errors import AkiDBError, Corrupt, Internal, Unauthenticated
from akidb_ray.gateway.error_table import HTTP_STATUS, RETRY_AFTER_S, TITLES

PROBLEM_JSON = "application/problem+json"
OPENAI_PATH = "/v1/embeddings"
"""Its clients look for `error` in what went wrong; problem documents there have that, too."""

_OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
}
_log = logging.getLogger(__name__)


def new_request_id() -> str:
    # To be told apart is all that it has to be; the system's randomness takes longer than a route.
    return f"{random.getrandbits(128):032x}"


def problem_of(error: AkiDBError, request_id: str) -> dict[str, Any]:
    """One of our errors as a problem document."""
    kind = type(error)
    shown, fields = error.detail, error.fields
    if HTTP_STATUS[kind] >= 500:
        _log_failure(error, request_id)
    if isinstance(error, (Internal, Corrupt)):
        # What broke is for the operator; the client gets the id to ask with.
        fields = {}
        shown = f"something broke in the server; its log says more under request {request_id}"
    return {
        **fields,
        "type": f"urn:akidb:error:{error.code}",
        "title": TITLES[kind],
        "status": HTTP_STATUS[kind],
        "detail": shown,
        "code": error.code,
        "request_id": request_id,
    }


def problem_response(error: AkiDBError, request_id: str, path: str) -> Response:
    """One of our errors as the answer to a request of this path."""
    headers: dict[str, str] = {}
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    if error.retryable:
        wait_s = error.fields.get("retry_after_s", RETRY_AFTER_S)
        headers["retry-after"] = str(max(1, round(wait_s)))
    return _response(problem_of(error, request_id), path, headers)


def defect_of(error: Exception) -> Internal:
    """What no one foresaw."""
    defect = Internal(f"{type(error).__name__}: {error}")
    defect.__cause__ = error
    return defect


def method_problem(method: str, allowed: Collection[str], request_id: str, path: str) -> Response:
    problem = {
        "type": "urn:akidb:error:method_not_allowed",
        "title": "Method not allowed",
        "status": 405,
        "detail": f"{method} is not allowed here",
        "code": "method_not_allowed",
        "request_id": request_id,
    }
    return _response(problem, path, {"allow": ", ".join(sorted(allowed))})


def _log_failure(error: AkiDBError, request_id: str) -> None:
    if isinstance(error, (Internal, Corrupt)):
        _log.error("request %s: %s", request_id, error.detail, exc_info=error)
    else:
        _log.warning("request %s: %s: %s", request_id, error.code, error.detail)


def _response(problem: dict[str, Any], path: str, headers: Mapping[str, str]) -> Response:
    if path == OPENAI_PATH:
        problem["error"] = {
            "message": problem["detail"],
            "type": _OPENAI_TYPES.get(problem["status"], "server_error"),
            "param": problem.get("field"),
            "code": problem["code"],
        }
    # In ASCII: a detail may quote what was sent, lone surrogates included.
    content = json.dumps(problem, default=str)
    return Response(content, problem["status"], headers, PROBLEM_JSON)
