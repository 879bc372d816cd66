"""A tenant's manifest of AkiDB 1.x: what its bytes say, or why they say nothing.

Pure: what finds and opens the files is `reading`. No reason that is given here holds a secret.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from akidb_ray.catalog.rules.tenants import check_metadata
from akidb_ray.domain.errors import AkiDBError, InvalidArgument
from akidb_ray.domain.ids import TenantId
from akidb_ray.domain.tenancy import TenantStatus, check_quota_number, check_title

T = TypeVar("T")

_ID = re.compile(
    r"(?:tenant_)?([0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
)
_LEAP_SECOND = re.compile(r"(?<=[T ])(\d\d:?\d\d:?)60(?:[.,]\d+)?")
_SHOWN_CHARACTERS = 60
_FIELDS = frozenset(
    (
        "tenant_id",
        "name",
        "slug",
        "status",
        "quotas",
        "metadata",
        "created_at",
        "api_key_hash",
    )
)
_QUOTAS = (
    "max_storage_bytes",
    "api_rate_limit_per_second",
    "max_vectors_per_collection",
    "max_collections",
)


class BadManifest(InvalidArgument):
    """A file of the 1.x data can't be migrated. `file` is its path below the data's folder."""

    def __init__(self, file: str, reason: str, field_name: str = "") -> None:
        where = f"{file}: {field_name}" if field_name else file
        AkiDBError.__init__(self, f"{where}: {reason}", file=file, field=field_name, reason=reason)


@dataclass(frozen=True, slots=True)
class V1Quotas:
    """None: the manifest doesn't say."""

    max_storage_bytes: int | None = None
    api_rate_limit_per_second: int | None = None
    max_vectors_per_collection: int | None = None
    max_collections: int | None = None


@dataclass(frozen=True, slots=True)
class V1Tenant:
    """A manifest whose fields all have a meaning. `created_at` is in UTC.

    `slug` is what the manifest says, valid or not. `notes` say what of it is left out or assumed.
    """

    file: str
    tenant_id: TenantId
    name: str
    slug: str | None
    status: TenantStatus
    created_at: datetime
    quotas: V1Quotas = V1Quotas()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    api_key_hash: str | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()


def parse_manifest(file: str, content: bytes) -> V1Tenant:
    """Raises BadManifest, naming the first field that is wrong."""
    fields = _parse_json(file, content)
    try:
        quotas = _optional(fields, "quotas", _object) or {}
        created_at, assumed = _time(_required(fields, "created_at", _text), "created_at")
        return V1Tenant(
            file=file,
            tenant_id=parse_tenant_id(_required(fields, "tenant_id", _text)),
            name=check_title(_required(fields, "name", _text)),
            slug=_optional(fields, "slug", _text) or None,
            status=_status(_required(fields, "status", _text)),
            created_at=created_at,
            quotas=V1Quotas(*(_optional(quotas, name, _quota) for name in _QUOTAS)),
            metadata=_optional(fields, "metadata", check_metadata) or {},
            api_key_hash=_optional(fields, "api_key_hash", _text),
            notes=(*assumed, *_left_out(fields, _FIELDS), *_left_out(quotas, _QUOTAS, "quotas.")),
        )
    except InvalidArgument as error:
        raise BadManifest(file, error.fields["reason"], error.fields["field"]) from None


def parse_tenant_id(text: str) -> TenantId:
    """Compact or dashed, perhaps after `tenant_`; a UUID of any version. Raises InvalidArgument."""
    match = _ID.fullmatch(text)
    if match is None:
        raise InvalidArgument(
            "tenant_id", f"{_shown(text)} is not a UUID, compact or dashed, with or without tenant_"
        )
    return TenantId(UUID(match[1]))


def _parse_json(file: str, content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(
            content.decode("utf-8-sig"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except UnicodeDecodeError as error:
        raise BadManifest(file, f"is not UTF-8: at byte {error.start}") from None
    except RecursionError:
        raise BadManifest(file, "is not JSON that can be read: it is nested too deeply") from None
    except ValueError as error:
        raise BadManifest(file, f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadManifest(file, "must be a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two members with one name, only one could be kept."""
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has two members {_shown(twice)}")
    return members


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no value of JSON")


def _required(fields: Mapping[str, Any], name: str, check: Callable[[Any, str], T]) -> T:
    if fields.get(name) is None:
        raise InvalidArgument(name, "is missing")
    return check(fields[name], name)


def _optional(fields: Mapping[str, Any], name: str, check: Callable[[Any, str], T]) -> T | None:
    return None if fields.get(name) is None else check(fields[name], name)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise InvalidArgument(name, f"must be a string, is {_kind(value)}")
    return value


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidArgument(name, f"must be an object, is {_kind(value)}")
    return value


def _quota(value: Any, name: str) -> int:
    return check_quota_number(value, f"quotas.{name}")


def _status(text: str) -> TenantStatus:
    try:
        return TenantStatus(text)
    except ValueError:
        known = ", ".join(TenantStatus)
        raise InvalidArgument("status", f"{_shown(text)} is none of {known}") from None


def _time(text: str, name: str) -> tuple[datetime, tuple[str, ...]]:
    """The time in UTC, and what had to be assumed about it."""
    try:
        time, has_offset, is_leap = _parse_time(text.upper())
    except (ValueError, OverflowError):
        raise InvalidArgument(
            name, f"{_shown(text)} is not a time like 2025-03-14T09:26:53Z"
        ) from None
    notes = []
    if not has_offset:
        notes.append(f"{name} has no offset from UTC; it was taken as UTC")
    if is_leap:
        notes.append(f"{name} is in a leap second; it was taken as the microsecond before it")
    return time, tuple(notes)


def _parse_time(text: str) -> tuple[datetime, bool, bool]:
    """In UTC, whether it says its offset, and whether it is in a leap second, which no `datetime`
    can be. Raises ValueError, OverflowError.
    """
    # A day alone would parse, too, and mean its midnight.
    if "T" not in text and " " not in text:
        raise ValueError
    text, leaps = _LEAP_SECOND.subn(r"\g<1>59.999999", text)
    time = datetime.fromisoformat(text)
    utc = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    if leaps and (utc.hour, utc.minute) != (23, 59):
        raise ValueError
    return utc, time.tzinfo is not None, leaps > 0


def _left_out(fields: Mapping[str, Any], known: Any, prefix: str = "") -> tuple[str, ...]:
    unknown = sorted(set(fields) - set(known))
    return tuple(f"field {_shown(prefix + name)} is not brought over" for name in unknown)


def _kind(value: Any) -> str:
    kinds = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}
    return kinds.get(type(value), "an object")


def _shown(text: str) -> str:
    """Quoted, on one line, of bounded length."""
    short = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
    return ascii(short) if not short.isprintable() else f"'{short}'"
