"""The one table from error kinds to HTTP status codes."""

from akidb_ray.domain import errors
from akidb_ray.domain.errors import AkiDBError

HTTP_STATUS: dict[type[AkiDBError], int] = {
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.InvalidState: 409,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.InvalidArgument: 422,
    errors.QuotaExceeded: 429,
    errors.RateLimited: 429,
    errors.Internal: 500,
    errors.Corrupt: 500,
    errors.StorageFailed: 503,
    errors.Exhausted: 503,
    errors.DeadlineExceeded: 503,
    errors.Unavailable: 503,
    errors.StorageFull: 507,
}

TITLES: dict[type[AkiDBError], str] = {
    errors.Malformed: "The request can't be parsed",
    errors.Unauthenticated: "Authentication is required",
    errors.Forbidden: "Not allowed",
    errors.NotFound: "Not found",
    errors.AlreadyExists: "Exists already",
    errors.InvalidState: "The state does not allow this",
    errors.PreconditionFailed: "The condition does not hold",
    errors.TooLarge: "Too large",
    errors.InvalidArgument: "A value is wrong",
    errors.QuotaExceeded: "A quota has no room for this",
    errors.RateLimited: "Too many requests",
    errors.Internal: "Internal error",
    errors.Corrupt: "Stored data is damaged",
    errors.StorageFailed: "The disk failed",
    errors.Exhausted: "Overloaded",
    errors.DeadlineExceeded: "Out of time",
    errors.Unavailable: "Unavailable",
    errors.StorageFull: "The disk is full",
}

RETRY_AFTER_S = 1
