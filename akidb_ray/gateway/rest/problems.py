"""Errors as RFC 9457 problem documents. No stack trace leaves the server."""

import json
import logging
import sys
import uuid
from collections.abc import Sequence
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
_log = logging.getLogger(__name__)


def new_request_id() -> str:
    return uuid.uuid4().hex


def problem_response(error: AkiDBError, request_id: str) -> Response:
    """Render one of our errors."""
    kind = type(error)
    status = HTTP_STATUS[kind]
    shown = error.detail
    fields = error.fields
    if isinstance(error, (Internal, Corrupt)):
        # What broke is for the operator; the client gets the id to ask with.
        _log.error("request %s: %s", request_id, error.detail, exc_info=error)
        fields = {}
        shown = f"something broke in the server; its log says more under request {request_id}"
    body = {
        **fields,
        "type": f"urn:akidb:error:{error.code}",
        "title": TITLES[kind],
        "status": status,
        "detail": shown,
        "code": error.code,
        "request_id": request_id,
    }
    headers: dict[str, str] = {}
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    if error.retryable:
        wait_s = error.fields.get("retry_after_s", RETRY_AFTER_S)
        headers["retry-after"] = str(max(1, round(wait_s)))
    return Response(_encode(body), status, headers, PROBLEM_JSON)


def add_error_handlers(app: FastAPI) -> None:
    """Turn every exception into a problem document."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, AkiDBError)
        return problem_response(error, request.state.request_id)

    async def validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return problem_response(_first_complaint(error.errors()), request.state.request_id)

    async def routing(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _routing_problem(request, error)

    async def unknown(request: Request, error: Exception) -> Response:
        ours = Internal(f"{type(error).__name__}: {error}")
        ours.__cause__ = error
        request_id = request.state.request_id
        answer = problem_response(ours, request_id)
        # This handler runs outside of the frame that adds the id to all other answers.
        if "x-request-id" not in request.headers:
            answer.headers["x-request-id"] = request_id
        return answer

    app.add_exception_handler(AkiDBError, ours)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(HTTPException, routing)
    app.add_exception_handler(Exception, unknown)


def _encode(body: dict[str, Any]) -> str:
    """JSON in ASCII: a detail may quote what was sent, lone surrogates included."""
    return json.dumps(body, default=str)


def _routing_problem(request: Request, error: HTTPException) -> Response:
    request_id = request.state.request_id
    if error.status_code == 404:
        return problem_response(NotFound("route", request.url.path), request_id)
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
        return Response(_encode(body), 405, error.headers, PROBLEM_JSON)
    return problem_response(_unreadable(error), request_id)


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
