"""Users of a tenant: the SQL behind them, and what may change of one."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from akidb_ray.catalog.changes import Change
from akidb_ray.catalog.edits import check_hash, check_instant, checked, one_of, optional
from akidb_ray.catalog.pages import Page
from akidb_ray.catalog.rows import Row, fetch, fetch_by_ref, fetch_page
from akidb_ray.catalog.tables import tenants, users
from akidb_ray.catalog.tenants import require_active
from akidb_ray.domain.ids import TenantId, UserId
from akidb_ray.domain.tenancy import User, UserStatus, check_email

check_password_hash = optional(check_hash)

FIELDS = {
    "email": check_email,
    "status": one_of(UserStatus),
    "password_hash": check_password_hash,
    "last_login_at": optional(check_instant),
}
FIXED = ("user_id", "tenant_id", "created_at", "updated_at")


def user_from(row: Row) -> User:
    return User(
        user_id=row["user_id"],
        tenant_id=row["tenant_id"],
        email=row["email"],
        status=UserStatus(row["status"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        password_hash=row["password_hash"],
        last_login_at=row["last_login_at"],
        version=row["version"],
    )


async def create_user(
    change: Change,
    tenant_id: TenantId,
    email: str,
    password_hash: bytes | None,
    status: UserStatus,
) -> User:
    """Raises NotFound, AlreadyExists, InvalidArgument, InvalidState."""
    user_id = UserId.new()
    values = {
        "user_id": user_id,
        "tenant_id": tenant_id,
        "email": check_email(email),
        "password_hash": check_password_hash(password_hash, "password_hash"),
        "status": FIELDS["status"](status, "status"),
    }
    await require_active(change.connection, tenant_id, "creating a user")
    await change.insert(users, values)
    return user_from(await fetch(change.connection, users, user_id))


async def update_user(
    change: Change, user_id: UserId, changes: Mapping[str, Any], if_version: int | None
) -> User:
    """Raises NotFound, InvalidArgument, AlreadyExists, PreconditionFailed."""
    values = checked(changes, FIELDS, FIXED)
    row = await fetch(change.connection, users, user_id)
    await change.edit(users, row, values, if_version)
    return user_from(await fetch(change.connection, users, user_id))


async def delete_user(change: Change, user_id: UserId) -> None:
    """Raises NotFound."""
    await fetch(change.connection, users, user_id)
    await change.delete(users, user_id)


async def get_user(connection: AsyncConnection, tenant_id: TenantId, ref: str | UserId) -> User:
    """By email or id, within the tenant. Raises NotFound."""
    own = users.c.tenant_id == tenant_id
    return user_from(await fetch_by_ref(connection, users, users.c.email, ref, own))


async def list_users(
    connection: AsyncConnection, tenant_id: TenantId, limit: int, cursor: str | None
) -> Page[User]:
    """Raises NotFound for an unknown tenant."""
    await fetch(connection, tenants, tenant_id)
    own = users.c.tenant_id == tenant_id
    rows, next_cursor = await fetch_page(connection, users, limit, cursor, own)
    return Page(tuple(map(user_from, rows)), next_cursor)
