"""Users of a tenant: the SQL behind them."""

from typing import Any

from akidb_ray.catalog.sqlite.pages import Listed
from akidb_ray.catalog.sqlite.repository import Mapped, SqliteRepository
from akidb_ray.catalog.sqlite.rows import fetch
from akidb_ray.catalog.sqlite.statements import Row
from akidb_ray.catalog.sqlite.tables import tenants, users
from akidb_ray.domain.ids import TenantId, UserId
from akidb_ray.domain.listing import Listing, Page
from akidb_ray.domain.tenancy import User, UserStatus


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


def row_of(user: User) -> dict[str, Any]:
    return {
        "user_id": user.user_id,
        "tenant_id": user.tenant_id,
        "email": user.email,
        "password_hash": user.password_hash,
        "status": user.status,
        "last_login_at": user.last_login_at,
        "version": user.version,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
    }


class SqliteUsers(SqliteRepository[User, UserId]):
    """Carries out `repositories.UserRepository`."""

    mapped = Mapped(
        Listed(
            users,
            name=users.c.email,
            state=users.c.status,
            states=tuple(UserStatus),
            parent=users.c.tenant_id,
        ),
        user_from,
        row_of,
    )

    async def get_by_email(self, tenant_id: TenantId, email: str) -> User:
        # The column compares without the case of ASCII letters.
        return await self._find(email, {"tenant_id": tenant_id, "email": email})

    async def list(self, tenant_id: TenantId, listing: Listing) -> Page[User]:
        await fetch(self._transaction.connection, tenants, tenant_id)
        return await self._page(listing, tenant_id)
