"""What a request can end with instead of an answer: one exception for each code of the server.

All are AkiDBError. Servers of other versions may answer codes that have no class here: then the
error is a plain AkiDBError with that `code`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from akidb.values import Written

_STANDARD_MEMBERS = frozenset({"type", "title", "status", "detail", "code", "request_id"})
# Answers of proxies in between, which know nothing of our codes.
_PASSING_STATUSES = frozenset({502, 503, 504})
# Ray Serve's HAProxy answers this instead of those. The server's own 500 comes with a document.
_HAPROXY_STATUS = 500
_ROW_OF_FIELD = re.compile(r"^(documents|ids)\[(\d+)\]")


class AkiDBError(Exception):
    """A request was not carried out, or nobody knows whether it was.

    `status` is the HTTP status, None when there was no answer. `fields` are the members of the
    problem document beyond the standard ones, such as `field`, `row` or `quota`. `request_id` is
    what the server's log knows the request by. `retryable` says that the same request can succeed
    later; `retry_after_s` is there when the server named a time.

    When a call writes in several requests, `written` is what those before the failed one have
    written, and `first_row` the number of the row with which the failed one begins. Rows that the
    error names are those of the call.
    """

    default_code: ClassVar[str] = "unknown"
    passes: ClassVar[bool] = False

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        status: int | None = None,
        fields: Mapping[str, Any] | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = self.default_code if code is None else code
        self.status = status
        self.fields = dict(fields or {})
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.first_row = 0
        self.written: Written | None = None

    @property
    def retryable(self) -> bool:
        if type(self) is AkiDBError:
            return self.status in _PASSING_STATUSES
        return self.passes

    def count_rows_from(self, first_row: int) -> None:
        """Name the rows of the call, of which the failed request has those from `first_row` on."""
        self.first_row = first_row
        named, row = str(self.fields.get("field", "")), self.fields.get("row")
        field = _ROW_OF_FIELD.sub(lambda at: f"{at[1]}[{int(at[2]) + first_row}]", named)
        where, moved = named, field
        if "field" in self.fields:
            self.fields["field"] = field
        if isinstance(row, int):
            where, moved = f"{named} (row {row})", f"{field} (row {row + first_row})"
            self.fields["row"] = row + first_row
        if self.detail.startswith(where):
            self.detail = moved + self.detail[len(where) :]
            self.args = (self.detail,)

    def __str__(self) -> str:
        request = f", request {self.request_id}" if self.request_id else ""
        return f"{self.detail} [{self.code}{request}]"

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross the borders of processes, with all that they say.
        return _rebuilt, (type(self), self.detail, self.__dict__)


def _rebuilt(kind: type[AkiDBError], detail: str, attributes: dict[str, Any]) -> AkiDBError:
    error = kind(detail)
    error.__dict__.update(attributes)
    return error


class Malformed(AkiDBError):
    """The server could not parse the request."""

    default_code = "malformed"


class Unauthenticated(AkiDBError):
    """The key is missing, or no key of this server."""

    default_code = "unauthenticated"


class Forbidden(AkiDBError):
    """The key does not allow this."""

    default_code = "forbidden"


class NotFound(AkiDBError):
    """What the request names does not exist."""

    default_code = "not_found"


class MethodNotAllowed(AkiDBError):
    """The server knows the path, but does not do this there: it is of another version."""

    default_code = "method_not_allowed"


class AlreadyExists(AkiDBError):
    """Something of that name exists."""

    default_code = "already_exists"


class InvalidState(AkiDBError):
    """The thing is in a state that does not allow this."""

    default_code = "invalid_state"


class PreconditionFailed(AkiDBError):
    """It is not at the version that the request insisted on. Nothing was changed."""

    default_code = "precondition_failed"


class TooLarge(AkiDBError):
    """The body, or the number of its documents, is above the server's limit."""

    default_code = "too_large"


class InvalidArgument(AkiDBError):
    """A value is wrong: `fields["field"]` names it, in batches with `fields["row"]`."""

    default_code = "invalid_argument"


class QuotaExceeded(AkiDBError):
    """`fields["quota"]` is used up."""

    default_code = "quota_exceeded"


class RateLimited(AkiDBError):
    """Too many requests."""

    default_code = "rate_limited"
    passes = True


class Internal(AkiDBError):
    """Something broke in the server; its log says more under `request_id`."""

    default_code = "internal"


class Corrupt(AkiDBError):
    """Stored data is damaged; the server's log says where, under `request_id`."""

    default_code = "corrupt"


class Unavailable(AkiDBError):
    """A part of the server cannot answer now."""

    default_code = "unavailable"
    passes = True


class Exhausted(AkiDBError):
    """The server is overloaded."""

    default_code = "exhausted"
    passes = True


class DeadlineExceeded(AkiDBError):
    """The time was up, the server's (`status` is 503) or this client's (None)."""

    default_code = "deadline_exceeded"
    passes = True


class StorageFailed(AkiDBError):
    """The server's disk failed."""

    default_code = "storage_failed"
    passes = True


class StorageFull(AkiDBError):
    """The server's disk is full. Nothing was written. Retrying helps once somebody makes room, so
    it is left to the caller.
    """

    default_code = "storage_full"


class ConnectionFailed(AkiDBError):
    """The server could not be reached, or the connection broke before it answered.

    `sent` is False when it is certain that the server got nothing of the request.
    """

    default_code = "connection_failed"
    passes = True
    sent = True


class UnexpectedAnswer(AkiDBError):
    """The answer is not one of AkiDB: is this its address?"""

    default_code = "unexpected_answer"


class JobFailed(AkiDBError):
    """A job that was waited for failed or was cancelled; `fields` holds it."""

    default_code = "job_failed"


BY_CODE: dict[str, type[AkiDBError]] = {
    kind.default_code: kind
    for kind in AkiDBError.__subclasses__()
    if kind not in (ConnectionFailed, UnexpectedAnswer, JobFailed)
}
"""The exceptions of the server's codes."""


def error_of(status: int, headers: Mapping[str, str], content: bytes) -> AkiDBError:
    """The exception for an answer that is none. `headers` have names in lower case."""
    retry_after_s = _seconds(headers.get("retry-after", ""))
    document = _object(content)
    if document is None or "detail" not in document:
        kind: type[AkiDBError] = UnexpectedAnswer
        if status in _PASSING_STATUSES:
            kind = AkiDBError
        elif status == _HAPROXY_STATUS:
            kind = Unavailable
        return kind(
            f"the server answered {status}, but not as AkiDB does: is this its address?",
            status=status,
            request_id=headers.get("x-request-id"),
            retry_after_s=retry_after_s,
        )
    return error_from_problem(document, status, retry_after_s)


def error_from_problem(
    document: Mapping[str, Any], status: int, retry_after_s: float | None = None
) -> AkiDBError:
    """The exception for a problem document (RFC 9457)."""
    code = str(document.get("code", "unknown"))
    request_id = document.get("request_id")
    return BY_CODE.get(code, AkiDBError)(
        str(document["detail"]),
        code=code,
        status=status,
        fields={name: value for name, value in document.items() if name not in _STANDARD_MEMBERS},
        request_id=None if request_id is None else str(request_id),
        retry_after_s=retry_after_s,
    )


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(content)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _seconds(value: str) -> float | None:
    """The header in seconds. Its other form, a date, is as good as none: we back off anyway."""
    return float(value) if value.isdecimal() else None
