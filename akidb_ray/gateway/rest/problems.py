"""Errors as RFC 9457 problem documents. No stack trace leaves the server."""

import json
import logging
import sys
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from akidb_ray.domain.errors import (
    AkiDBError,
    Corrupt,
    Internal,
    InvalidArgument,
    Malformed,
    NotFound,
    Unauthenticated,
)
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
    return uuid.uuid4().hex


def problem_of(error: AkiDBError, request_id: str) -> dict[str, Any]:
    """One of our errors as a problem document."""
    kind = type(error)
    shown, fields = error.detail, error.fields
    if isinstance(error, (Internal, Corrupt)):
        # What broke is for the operator; the client gets the id to ask with.
        _log.error("request %s: %s", request_id, error.detail, exc_info=error)
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


def add_error_handlers(app: FastAPI) -> None:
    """Turn every exception into a problem document."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, AkiDBError)
        return problem_response(error, request.state.request_id, request.url.path)

    async def validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        complaint = _first_complaint(error.errors())
        return problem_response(complaint, request.state.request_id, request.url.path)

    async def routing(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _routing_problem(request, error)

    async def unknown(request: Request, error: Exception) -> Response:
        ours = Internal(f"{type(error).__name__}: {error}")
        ours.__cause__ = error
        request_id = request.state.request_id
        answer = problem_response(ours, request_id, request.url.path)
        # This handler runs outside of the frame that adds the id to all other answers.
        if "x-request-id" not in request.headers:
            answer.headers["x-request-id"] = request_id
        return answer

    app.add_exception_handler(AkiDBError, ours)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(HTTPException, routing)
    app.add_exception_handler(Exception, unknown)


def _routing_problem(request: Request, error: HTTPException) -> Response:
    request_id, path = request.state.request_id, request.url.path
    if error.status_code == 404:
        return problem_response(NotFound("route", path), request_id, path)
    if error.status_code == 405:
        detail = f"{request.method} is not allowed here"
        body = {
            "type": "urn:akidb:error:method_not_allowed",
            "title": "Method not allowed",
            "status": 405,
            "detail": detail,
            "code": "method_not_allowed",
            "request_id": request_id,
        }
        return _response(body, path, error.headers or {})
    return problem_response(_unreadable(error), request_id, path)


def _unreadable(error: HTTPException) -> Malformed:
    """What kept the body from being parsed, as far as it is known."""
    cause = error.__cause__
    if isinstance(cause, UnicodeDecodeError):
        return Malformed(f"the body is not UTF-8: {cause.reason} at byte {cause.start}")
    if isinstance(cause, RecursionError):
        return Malformed("the body is not JSON that can be read: it is nested too deeply")
    if isinstance(cause, ValueError):
        # Of what Python's JSON can't parse, only this is no JSONDecodeError.
        digits = sys.get_int_max_str_digits()
        return Malformed(f"the body holds a whole number of more than {digits} digits")
    return Malformed(str(error.detail))


def _first_complaint(complaints: Sequence[Any]) -> AkiDBError:
    """What pydantic found first, with the field's path as a person writes it."""
    first = complaints[0]
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "")
        return Malformed(f"the body is not JSON: {reason} at character {first['loc'][-1]}")
    parts = _path(first)
    row = next((part for part in parts if isinstance(part, int)), None)
    reason = str(first["msg"])
    if first["type"] == "extra_forbidden":
        reason = "is not known here"
    elif first["type"] == "missing":
        # A name that is misspelt is both missing and not known.
        others = [each for each in complaints if each["type"] == "extra_forbidden"]
        beside = [_written(_path(each)) for each in others if _path(each)[:-1] == parts[:-1]]
        unknown = "".join(f"; {name} is not known here" for name in beside)
        reason = f"is required{unknown}"
    return InvalidArgument(_written(parts) or "body", reason, row)


def _path(complaint: Any) -> list[str | int]:
    where, *rest = complaint["loc"]
    return rest if where in ("body", "query", "path", "header") else [where, *rest]


def _written(path: Sequence[str | int]) -> str:
    """As a person writes it: `documents[1].id`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text
