"""Databases: the SQL behind them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, func, select

from akidb_ray.catalog.sqlite.pages import Listed
from akidb_ray.catalog.sqlite.repository import Mapped, SqliteRepository
from akidb_ray.catalog.sqlite.rows import fetch
from akidb_ray.catalog.sqlite.statements import Row, Statement, run
from akidb_ray.catalog.sqlite.tables import collections, databases, tenants
from akidb_ray.domain.ids import DatabaseId, TenantId
from akidb_ray.domain.listing import Listing, Page
from akidb_ray.domain.tenancy import Database, DatabaseState

_COUNT = Statement(
    select(func.count().label("count"))
    .select_from(collections)
    .where(collections.c.database_id == bindparam("at"))
)


def database_from(row: Row) -> Database:
    return Database(
        database_id=row["database_id"],
        tenant_id=row["tenant_id"],
        name=row["name"],
        state=DatabaseState(row["state"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        description=row["description"],
        schema_version=row["schema_version"],
        version=row["version"],
    )


def row_of(database: Database) -> dict[str, Any]:
    return {
        "database_id": database.database_id,
        "tenant_id": database.tenant_id,
        "name": database.name,
        "description": database.description,
        "state": database.state,
        "schema_version": database.schema_version,
        "version": database.version,
        "created_at": database.created_at,
        "updated_at": database.updated_at,
    }


class SqliteDatabases(SqliteRepository[Database, DatabaseId]):
    """Carries out `repositories.DatabaseRepository`."""

    mapped = Mapped(
        Listed(
            databases,
            name=databases.c.name,
            state=databases.c.state,
            states=tuple(DatabaseState),
            parent=databases.c.tenant_id,
            searched=("name", "description"),
        ),
        database_from,
        row_of,
    )

    async def get_by_name(self, tenant_id: TenantId, name: str) -> Database:
        return await self._find(name, {"tenant_id": tenant_id, "name": name})

    async def list(self, tenant_id: TenantId, listing: Listing) -> Page[Database]:
        await fetch(self._transaction.connection, tenants, tenant_id)
        return await self._page(listing, tenant_id)

    async def count_collections(self, database_id: DatabaseId) -> int:
        connection = self._transaction.connection
        await fetch(connection, databases, database_id)
        (row,) = await run(connection, _COUNT, {"at": database_id})
        return int(row["count"])

    async def deleting(self) -> Sequence[Database]:
        return await self._deleting()
