"""Tenants, users and databases: frozen values, their lifecycles and what makes a field valid."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from akidb_ray.domain.errors import InvalidArgument, InvalidState
from akidb_ray.domain.ids import DatabaseId, TenantId, UserId

MAX_NAME_CHARACTERS = 255
MAX_SLUG_CHARACTERS = 63
MAX_DESCRIPTION_CHARACTERS = 4096
MAX_QUOTA = 2**63 - 1
DEFAULT_NAME = "default"

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


class TenantStatus(StrEnum):
    PROVISIONING = "provisioning"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DECOMMISSIONED = "decommissioned"


class UserStatus(StrEnum):
    PENDING = "pending"
    ACTIVE = "active"
    LOCKED = "locked"
    REVOKED = "revoked"


class DatabaseState(StrEnum):
    PROVISIONING = "provisioning"
    READY = "ready"
    MIGRATING = "migrating"
    DELETING = "deleting"


TENANT_MOVES: dict[TenantStatus, frozenset[TenantStatus]] = {
    TenantStatus.PROVISIONING: frozenset({TenantStatus.ACTIVE}),
    TenantStatus.ACTIVE: frozenset({TenantStatus.SUSPENDED, TenantStatus.DECOMMISSIONED}),
    TenantStatus.SUSPENDED: frozenset({TenantStatus.ACTIVE, TenantStatus.DECOMMISSIONED}),
    TenantStatus.DECOMMISSIONED: frozenset(),
}

DATABASE_MOVES: dict[DatabaseState, frozenset[DatabaseState]] = {
    DatabaseState.PROVISIONING: frozenset({DatabaseState.READY}),
    DatabaseState.READY: frozenset({DatabaseState.MIGRATING, DatabaseState.DELETING}),
    DatabaseState.MIGRATING: frozenset({DatabaseState.READY}),
    DatabaseState.DELETING: frozenset(),
}


@dataclass(frozen=True, slots=True)
class TenantQuota:
    """What a tenant may use. Bytes, and requests per second. None is no limit.

    `max_vectors_per_collection` bounds the `max_doc_count` of collections made from then on.
    """

    memory_quota_bytes: int = 32 * 1024**3
    storage_quota_bytes: int = 1024**4
    qps_quota: int = 200
    max_collections: int | None = None
    max_vectors_per_collection: int | None = None


OPTIONAL_QUOTAS = ("max_collections", "max_vectors_per_collection")


@dataclass(frozen=True, slots=True)
class Tenant:
    tenant_id: TenantId
    name: str
    slug: str
    status: TenantStatus
    created_at: datetime
    updated_at: datetime
    quota: TenantQuota = TenantQuota()
    external_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1


@dataclass(frozen=True, slots=True)
class User:
    """`password_hash` is never shown, logged or sent to watchers of the catalog."""

    user_id: UserId
    tenant_id: TenantId
    email: str
    status: UserStatus
    created_at: datetime
    updated_at: datetime
    password_hash: bytes | None = field(default=None, repr=False)
    last_login_at: datetime | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class Database:
    database_id: DatabaseId
    tenant_id: TenantId
    name: str
    state: DatabaseState
    created_at: datetime
    updated_at: datetime
    description: str = ""
    schema_version: int = 1
    version: int = 1


def check_move(kind: str, moves: Mapping[Any, frozenset[Any]], current: Any, wanted: Any) -> None:
    """Raise InvalidState unless the lifecycle table allows `current` -> `wanted`."""
    if wanted not in moves[current]:
        raise InvalidState(kind, current, f"becoming {wanted}")


def check_title(value: object, field_name: str = "name") -> str:
    """A tenant's name: any text of 1 to 255 characters that a person can see."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidArgument(field_name, "must be a string that is not blank")
    # Of the spaces Python calls only the plain one printable; names in Japanese hold a wide one.
    seen = all(one.isprintable() or unicodedata.category(one) == "Zs" for one in value)
    if len(value) > MAX_NAME_CHARACTERS or not seen:
        raise InvalidArgument(
            field_name, f"must be at most {MAX_NAME_CHARACTERS} printable characters"
        )
    return value


def check_name(value: object, field_name: str = "name") -> str:
    """A database's or collection's name, which is also a part of URLs."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InvalidArgument(
            field_name,
            "must be 1 to 255 letters, digits, '_', '-' or '.', "
            "starting with a letter, digit or '_'",
        )
    return _no_id(value, field_name)


def check_slug(value: object, field_name: str = "slug") -> str:
    if not isinstance(value, str) or not _SLUG.fullmatch(value):
        raise InvalidArgument(
            field_name,
            f"must be 1 to {MAX_SLUG_CHARACTERS} lower-case letters, digits and inner hyphens",
        )
    return _no_id(value, field_name)


def _no_id(value: str, field_name: str) -> str:
    """Names and ids stand in the same place of a path: a name must never stand for another's id."""
    if _looks_like_id(value):
        raise InvalidArgument(field_name, "must not look like an id (a UUID); choose another")
    return value


def _looks_like_id(text: str) -> bool:
    """Whether Python's parser of UUIDs takes it; by the same one references are read."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def check_email(value: object, field_name: str = "email") -> str:
    if not isinstance(value, str) or len(value) > 254 or not _EMAIL.fullmatch(value):
        raise InvalidArgument(field_name, "must look like name@host")
    if not value.isprintable():
        raise InvalidArgument(field_name, "must hold printable characters only")
    return value


def check_description(value: object, field_name: str = "description") -> str:
    """Any text of at most 4,096 characters that UTF-8 can hold; it may be empty."""
    if not isinstance(value, str) or len(value) > MAX_DESCRIPTION_CHARACTERS:
        raise InvalidArgument(
            field_name, f"must be a string of at most {MAX_DESCRIPTION_CHARACTERS} characters"
        )
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidArgument(field_name, "must not hold NUL or half of a surrogate pair")
    return value


def check_quota_number(value: object, field_name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_QUOTA:
        raise InvalidArgument(field_name, f"must be a whole number from 0 to {MAX_QUOTA}")
    return value


def check_quota(quota: TenantQuota) -> TenantQuota:
    for name, value in asdict(quota).items():
        if value is not None or name not in OPTIONAL_QUOTAS:
            check_quota_number(value, name)
    return quota


def slug_from(name: str, attempt: int = 0) -> str:
    """A valid slug made from a name; `attempt` above 0 adds a number, to make it unique."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "tenant"
    suffix = f"-{attempt + 1}" if attempt else ""
    made = slug[: MAX_SLUG_CHARACTERS - len(suffix)].strip("-") + suffix
    return slug_from(f"tenant {name}", attempt) if _looks_like_id(made) else made
