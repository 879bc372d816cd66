"""Users of a tenant: how they are made, and what may change of one."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from akidb_ray.catalog.edits import (
    check_hash,
    check_instant,
    check_version,
    checked,
    one_of,
    optional,
)
from akidb_ray.catalog.repositories import Repositories
from akidb_ray.catalog.rules.references import find
from akidb_ray.catalog.rules.tenants import require_active
from akidb_ray.domain.errors import NotFound
from akidb_ray.domain.ids import TenantId, UserId
from akidb_ray.domain.tenancy import User, UserStatus, check_email

check_password_hash = optional(check_hash)
FIELDS = {
    "email": check_email,
    "status": one_of(UserStatus),
    "password_hash": check_password_hash,
    "last_login_at": optional(check_instant),
}
FIXED = ("user_id", "tenant_id", "version", "created_at", "updated_at")


async def create_user(
    repos: Repositories,
    tenant_id: TenantId,
    email: str,
    password_hash: bytes | None,
    status: UserStatus,
) -> User:
    """Raises NotFound, AlreadyExists, InvalidArgument, InvalidState."""
    user = User(
        user_id=UserId.new(),
        tenant_id=tenant_id,
        email=check_email(email),
        status=FIELDS["status"](status, "status"),
        created_at=repos.now,
        updated_at=repos.now,
        password_hash=check_password_hash(password_hash, "password_hash"),
    )
    await require_active(repos, tenant_id, "creating a user")
    await repos.users.add(user)
    return user


async def update_user(
    repos: Repositories, user_id: UserId, changes: Mapping[str, Any], if_version: int | None
) -> User:
    """Raises NotFound, InvalidArgument, AlreadyExists, PreconditionFailed."""
    values = checked(changes, FIELDS, FIXED)
    user = await repos.users.get(user_id)
    check_version("user", user_id, user.version, if_version)
    return await repos.users.update(replace(user, **values))


async def get_user(repos: Repositories, tenant_id: TenantId, ref: str | UserId) -> User:
    """By email or id, within the tenant. Raises NotFound."""

    async def by_email(email: str) -> User:
        return await repos.users.get_by_email(tenant_id, email)

    user = await find(ref, UserId, by_email, repos.users.get)
    if user.tenant_id != tenant_id:
        raise NotFound("user", ref)
    return user
