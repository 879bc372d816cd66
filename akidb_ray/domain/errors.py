"""The one error tree.

Every error that a caller may see is one of these; foreign exceptions are translated at the border
that imports their library. `code` is stable and machine-readable, `retryable` says whether the same
request can succeed later, and `fields` holds what a machine may want to read (`field`, `quota`,
...). Errors cross process borders, so each survives pickling with all its attributes.
"""

from typing import Any, ClassVar, Self


class AkiDBError(Exception):
    """Base of all errors of the database."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, **fields: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fields = fields

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.detail, self.fields)


def _rebuild(kind: type[AkiDBError], detail: str, fields: dict[str, Any]) -> AkiDBError:
    error = kind.__new__(kind)
    AkiDBError.__init__(error, detail, **fields)
    return error


class NotFound(AkiDBError):
    code = "not_found"

    def __init__(self, kind: str, id: object) -> None:
        super().__init__(f"{kind} {str(id)!r} does not exist", kind=kind, id=str(id))


class AlreadyExists(AkiDBError):
    code = "already_exists"

    def __init__(self, kind: str, field: str, value: object) -> None:
        super().__init__(
            f"a {kind} with {field} {str(value)!r} exists already; choose another {field}",
            kind=kind,
            field=field,
            value=str(value),
        )


class QuotaExceeded(AkiDBError):
    code = "quota_exceeded"

    def __init__(self, quota: str, limit: int, used: int) -> None:
        super().__init__(
            f"quota {quota} has no room for this: {used} of {limit} are used",
            quota=quota,
            limit=limit,
            used=used,
        )


class InvalidState(AkiDBError):
    """The thing is in a state that does not allow this. Nothing was changed."""

    code = "invalid_state"

    def __init__(self, kind: str, current: str, wanted: str) -> None:
        super().__init__(
            f"{kind} is {current}, which does not allow: {wanted}",
            kind=kind,
            current=current,
            wanted=wanted,
        )


class Malformed(AkiDBError):
    """The request cannot be parsed at all (a value that parses but is wrong is InvalidArgument)."""

    code = "malformed"


class InvalidArgument(AkiDBError):
    """A value is wrong. `field` is its path in the request; `row` its number in a batch."""

    code = "invalid_argument"

    def __init__(self, field: str, reason: str, row: int | None = None) -> None:
        where = field if row is None else f"{field} (row {row})"
        extra = {} if row is None else {"row": row}
        super().__init__(f"{where}: {reason}", field=field, reason=reason, **extra)

    def inside(self, prefix: str, row: int | None = None) -> Self:
        """The same complaint, seen from a value that holds the field."""
        known = self.fields.get("row", row)
        return type(self)(f"{prefix}{self.fields['field']}", self.fields["reason"], known)


class Unauthenticated(AkiDBError):
    code = "unauthenticated"


class Forbidden(AkiDBError):
    code = "forbidden"


class PreconditionFailed(AkiDBError):
    code = "precondition_failed"


class TooLarge(AkiDBError):
    code = "too_large"

    def __init__(self, field: str, limit: int, unit: str) -> None:
        super().__init__(
            f"{field} is larger than {limit} {unit}", field=field, limit=limit, unit=unit
        )


class RateLimited(AkiDBError):
    code = "rate_limited"
    retryable = True

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(
            f"too many requests; try again in {retry_after_s:.1f} s", retry_after_s=retry_after_s
        )


class Exhausted(AkiDBError):
    """A bounded resource (a queue, memory) is full for now."""

    code = "exhausted"
    retryable = True


class StorageFull(AkiDBError):
    """The disk has no room for this write. Nothing of it was kept."""

    code = "storage_full"
    retryable = True


class StorageFailed(AkiDBError):
    """The disk refused an operation. What was not acknowledged may be lost, nothing else."""

    code = "storage_failed"
    retryable = True


class DeadlineExceeded(AkiDBError):
    code = "deadline_exceeded"
    retryable = True


class Unavailable(AkiDBError):
    """A part of the system cannot answer now."""

    code = "unavailable"
    retryable = True


class Corrupt(AkiDBError):
    """Bytes on disk are not what was written. Stops one replica, never gives a wrong answer."""

    code = "corrupt"

    def __init__(self, file: str, reason: str, offset: int | None = None) -> None:
        at = "" if offset is None else f" at byte {offset}"
        super().__init__(f"{file}{at}: {reason}", file=file, reason=reason, offset=offset)


class Internal(AkiDBError):
    """A defect of ours. The detail never holds a stack trace."""

    code = "internal"
