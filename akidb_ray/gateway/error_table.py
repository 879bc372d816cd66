"""The one table from error kinds to HTTP status codes, gRPC status codes and titles."""

from dataclasses import dataclass

from grpc import StatusCode

from akidb_ray.domain import errors
from akidb_ray.domain.errors import AkiDBError


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of error is shown."""

    http: int
    grpc: StatusCode
    title: str


KINDS: dict[type[AkiDBError], Kind] = {
    errors.Malformed: Kind(400, StatusCode.INVALID_ARGUMENT, "The request can't be parsed"),
    errors.Unauthenticated: Kind(401, StatusCode.UNAUTHENTICATED, "Authentication is required"),
    errors.Forbidden: Kind(403, StatusCode.PERMISSION_DENIED, "Not allowed"),
    errors.NotFound: Kind(404, StatusCode.NOT_FOUND, "Not found"),
    errors.AlreadyExists: Kind(409, StatusCode.ALREADY_EXISTS, "Exists already"),
    errors.InvalidState: Kind(409, StatusCode.FAILED_PRECONDITION, "The state does not allow this"),
    # What gRPC recommends where a compared version differs: read again, then write again.
    errors.PreconditionFailed: Kind(412, StatusCode.ABORTED, "The condition does not hold"),
    # As gRPC itself answers a message that is too large.
    errors.TooLarge: Kind(413, StatusCode.RESOURCE_EXHAUSTED, "Too large"),
    errors.InvalidArgument: Kind(422, StatusCode.INVALID_ARGUMENT, "A value is wrong"),
    errors.QuotaExceeded: Kind(429, StatusCode.RESOURCE_EXHAUSTED, "A quota has no room for this"),
    errors.RateLimited: Kind(429, StatusCode.RESOURCE_EXHAUSTED, "Too many requests"),
    errors.Internal: Kind(500, StatusCode.INTERNAL, "Internal error"),
    errors.Corrupt: Kind(500, StatusCode.DATA_LOSS, "Stored data is damaged"),
    errors.StorageFailed: Kind(503, StatusCode.UNAVAILABLE, "The disk failed"),
    errors.Exhausted: Kind(503, StatusCode.UNAVAILABLE, "Overloaded"),
    errors.DeadlineExceeded: Kind(503, StatusCode.DEADLINE_EXCEEDED, "Out of time"),
    errors.Unavailable: Kind(503, StatusCode.UNAVAILABLE, "Unavailable"),
    errors.StorageFull: Kind(507, StatusCode.RESOURCE_EXHAUSTED, "The disk is full"),
}

HTTP_STATUS = {error: kind.http for error, kind in KINDS.items()}
TITLES = {error: kind.title for error, kind in KINDS.items()}

RETRY_AFTER_S = 1
