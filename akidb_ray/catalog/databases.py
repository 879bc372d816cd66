"""Databases: the SQL behind them, and what may change of one."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from akidb_ray.catalog.changes import Change
from akidb_ray.catalog.edits import checked
from akidb_ray.catalog.pages import Page
from akidb_ray.catalog.rows import Row, fetch, fetch_by_ref, fetch_page
from akidb_ray.catalog.tables import collections, databases, tenants
from akidb_ray.catalog.tenants import require_active
from akidb_ray.domain.errors import InvalidState
from akidb_ray.domain.ids import DatabaseId, TenantId
from akidb_ray.domain.tenancy import (
    DATABASE_MOVES,
    Database,
    DatabaseState,
    check_description,
    check_move,
    check_name,
)

FIELDS = {"name": check_name, "description": check_description}
FIXED = ("database_id", "tenant_id", "state", "schema_version", "created_at", "updated_at")


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


async def create_database(
    change: Change, tenant_id: TenantId, name: str, description: str
) -> Database:
    """A ready database. Raises NotFound, AlreadyExists, InvalidState, InvalidArgument."""
    database_id = DatabaseId.new()
    values = {
        "database_id": database_id,
        "tenant_id": tenant_id,
        "name": check_name(name),
        "description": check_description(description),
        "state": DatabaseState.READY,
        "schema_version": 1,
    }
    await require_active(change.connection, tenant_id, "creating a database")
    await change.insert(databases, values)
    return database_from(await fetch(change.connection, databases, database_id))


async def update_database(
    change: Change, database_id: DatabaseId, changes: Mapping[str, Any], if_version: int | None
) -> Database:
    """Raises NotFound, InvalidArgument, AlreadyExists, PreconditionFailed."""
    values = checked(changes, FIELDS, FIXED)
    row = await fetch(change.connection, databases, database_id)
    await change.edit(databases, row, values, if_version)
    return database_from(await fetch(change.connection, databases, database_id))


async def delete_database(change: Change, database_id: DatabaseId) -> None:
    """Raises NotFound, and InvalidState while it holds collections or is being migrated."""
    row = await fetch(change.connection, databases, database_id)
    check_move("database", DATABASE_MOVES, DatabaseState(row["state"]), DatabaseState.DELETING)
    inside = select(func.count()).where(collections.c.database_id == database_id)
    if count := await change.connection.scalar(inside):
        raise InvalidState("database", f"holding {count} collections", "being deleted")
    await change.delete(databases, database_id)


async def get_database(
    connection: AsyncConnection, tenant_id: TenantId, ref: str | DatabaseId
) -> Database:
    """By name or id, within the tenant. Raises NotFound."""
    own = databases.c.tenant_id == tenant_id
    return database_from(await fetch_by_ref(connection, databases, databases.c.name, ref, own))


async def list_databases(
    connection: AsyncConnection, tenant_id: TenantId, limit: int, cursor: str | None
) -> Page[Database]:
    """Raises NotFound for an unknown tenant."""
    await fetch(connection, tenants, tenant_id)
    own = databases.c.tenant_id == tenant_id
    rows, next_cursor = await fetch_page(connection, databases, limit, cursor, own)
    return Page(tuple(map(database_from, rows)), next_cursor)
