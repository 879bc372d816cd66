"""What a tenant of 1.x becomes: a tenant, its administrator and its database, as new values."""

import base64
import binascii
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from akidb_ray.catalog.v1.manifests import V1Tenant
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.ids import DatabaseId, TenantId, UserId
from akidb_ray.domain.tenancy import (
    DEFAULT_NAME,
    Database,
    DatabaseState,
    Tenant,
    TenantQuota,
    User,
    UserStatus,
    check_slug,
    slug_from,
)

DATABASE_DESCRIPTION = "Auto-created during v1.x migration"
DEFAULT_STORAGE_BYTES = 100 * 10**9
DEFAULT_QPS = 200

_NUMBERED = re.compile(r"(.+)-([1-9][0-9]*)")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_ARGON2ID = re.compile(
    r"\$argon2id\$v=19\$m=[1-9][0-9]{0,8},t=[1-9][0-9]{0,4},p=[1-9][0-9]{0,3}"
    r"\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)"
)
# https://github.com/P-H-C/phc-string-format, and the least that RFC 9106 allows.
_SHORTEST_SALT_BYTES = 8
_SHORTEST_TAG_BYTES = 4


@dataclass(frozen=True, slots=True)
class Translated:
    """What is to be written for one tenant of 1.x. `notes` say what a person should know of it."""

    source: V1Tenant
    tenant: Tenant
    user: User
    database: Database
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChosenSlug:
    """`note` says why it is not the one that the manifest gives; "" when it is."""

    slug: str
    note: str = ""


def translate(source: V1Tenant, chosen: ChosenSlug, now: datetime) -> Translated:
    """The tenant keeps its id and its times; user and database are made at `now`."""
    tenant = Tenant(
        tenant_id=source.tenant_id,
        name=source.name,
        slug=chosen.slug,
        status=source.status,
        created_at=source.created_at,
        updated_at=source.created_at,
        quota=quota_of(source),
        metadata=source.metadata,
    )
    password_hash = password_hash_of(source)
    user = User(
        user_id=UserId.new(),
        tenant_id=source.tenant_id,
        email=administrator_email(chosen.slug),
        status=UserStatus.PENDING if password_hash is None else UserStatus.ACTIVE,
        created_at=now,
        updated_at=now,
        password_hash=password_hash,
    )
    database = Database(
        database_id=DatabaseId.new(),
        tenant_id=source.tenant_id,
        name=DEFAULT_NAME,
        state=DatabaseState.READY,
        created_at=now,
        updated_at=now,
        description=DATABASE_DESCRIPTION,
    )
    notes = [*source.notes]
    if chosen.note:
        notes.append(chosen.note)
    if password_hash is None:
        what = "is missing" if source.api_key_hash is None else "has no known format"
        notes.append(f"api_key_hash {what}: {user.email} is pending")
    return Translated(source, tenant, user, database, tuple(notes))


def choose_slugs(
    sources: Iterable[V1Tenant], taken: Collection[str]
) -> Mapping[TenantId, ChosenSlug]:
    """A slug for each, none of them in `taken`.

    All valid slugs that manifests give are given first, to the first of those who want the same.
    """
    used = set(taken)
    chosen: dict[TenantId, ChosenSlug] = {}
    others: list[tuple[V1Tenant, str]] = []
    for source in sources:
        refusal = _refusal(source.slug, used)
        if source.slug is None or refusal:
            others.append((source, refusal))
        else:
            used.add(source.slug)
            chosen[source.tenant_id] = ChosenSlug(source.slug)
    # A thousand tenants of one name must not try the same numbers a thousand times.
    attempts: dict[str, int] = {}
    for source, refusal in others:
        base = slug_from(source.name)
        attempt = attempts.get(base, 0)
        while (slug := slug_from(source.name, attempt)) in used:
            attempt += 1
        attempts[base] = attempt + 1
        used.add(slug)
        chosen[source.tenant_id] = ChosenSlug(slug, f"{refusal}; slug {slug} was made of the name")
    return chosen


def _refusal(slug: str | None, used: Collection[str]) -> str:
    """Why a tenant can't have the slug of its manifest; "" when it can."""
    if slug is None:
        return "slug is missing"
    if not _is_slug(slug):
        return "slug is not valid"
    return f"slug {slug} is another tenant's" if slug in used else ""


def quota_of(source: V1Tenant) -> TenantQuota:
    given = source.quotas
    storage_bytes, qps = given.max_storage_bytes, given.api_rate_limit_per_second
    return TenantQuota(
        storage_quota_bytes=DEFAULT_STORAGE_BYTES if storage_bytes is None else storage_bytes,
        qps_quota=DEFAULT_QPS if qps is None else qps,
        max_collections=given.max_collections,
        max_vectors_per_collection=given.max_vectors_per_collection,
    )


def administrator_email(slug: str) -> str:
    """`.invalid` is a domain that nobody can own, by RFC 2606."""
    return f"admin@{slug}.invalid"


def password_hash_of(source: V1Tenant) -> bytes | None:
    """An argon2id PHC string, or 64 lower-case hex digits of SHA-256, as ASCII; else None."""
    text = source.api_key_hash or ""
    if _SHA256.fullmatch(text):
        return text.lower().encode()
    return text.encode() if _is_argon2id(text) else None


def differences(source: V1Tenant, present: Tenant, administrator: User | None) -> Iterator[str]:
    """How a tenant that the catalog has already differs from what its manifest would become.

    `administrator` is the user that a migration made; None when there is no such user any more. A
    hash that was changed in the catalog is newer than the manifest's, and no difference.
    """
    expected = {
        "name": source.name,
        "status": source.status,
        "created_at": source.created_at,
    }
    for name, value in expected.items():
        if getattr(present, name) != value:
            yield name
    # As JSON, where true is not 1.
    if json.dumps(present.metadata, sort_keys=True) != json.dumps(source.metadata, sort_keys=True):
        yield "metadata"
    wanted, quota = quota_of(source), present.quota
    for name in TenantQuota.__slots__:
        if getattr(quota, name) != getattr(wanted, name):
            yield name
    if present.slug != source.slug and not _could_be_made_of(present.slug, source.name):
        yield "slug"
    if administrator is None or administrator.version > 1:
        return
    if administrator.password_hash != password_hash_of(source):
        yield "api_key_hash"


def _could_be_made_of(slug: str, name: str) -> bool:
    numbered = _NUMBERED.fullmatch(slug)
    attempts = [0, *([int(numbered[2]) - 1] if numbered else [])]
    return any(slug_from(name, attempt) == slug for attempt in attempts)


def _is_slug(text: str) -> bool:
    try:
        check_slug(text)
    except InvalidArgument:
        return False
    return True


def _is_argon2id(text: str) -> bool:
    match = _ARGON2ID.fullmatch(text)
    if match is None:
        return False
    try:
        salt, tag = (base64.b64decode(part + "=" * (-len(part) % 4)) for part in match.groups())
    except binascii.Error:
        return False
    return len(salt) >= _SHORTEST_SALT_BYTES and len(tag) >= _SHORTEST_TAG_BYTES
