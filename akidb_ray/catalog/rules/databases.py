"""Databases: how they are made, and what may change of one."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from akidb_ray.catalog.edits import check_version, checked
from akidb_ray.catalog.repositories import Repositories
from akidb_ray.catalog.rules.references import find
from akidb_ray.catalog.rules.tenants import require_active
from akidb_ray.domain.errors import NotFound
from akidb_ray.domain.ids import DatabaseId, TenantId
from akidb_ray.domain.tenancy import Database, DatabaseState, check_description, check_name

FIELDS = {"name": check_name, "description": check_description}
FIXED = (
    "database_id",
    "tenant_id",
    "state",
    "schema_version",
    "version",
    "created_at",
    "updated_at",
)


async def create_database(
    repos: Repositories, tenant_id: TenantId, name: str, description: str
) -> Database:
    """A ready database. Raises NotFound, AlreadyExists, InvalidState, InvalidArgument."""
    database = Database(
        database_id=DatabaseId.new(),
        tenant_id=tenant_id,
        name=check_name(name),
        state=DatabaseState.READY,
        created_at=repos.now,
        updated_at=repos.now,
        description=check_description(description),
    )
    await require_active(repos, tenant_id, "creating a database")
    await repos.databases.add(database)
    return database


async def update_database(
    repos: Repositories, database_id: DatabaseId, changes: Mapping[str, Any], if_version: int | None
) -> Database:
    """Raises NotFound, InvalidArgument, AlreadyExists, PreconditionFailed."""
    values = checked(changes, FIELDS, FIXED)
    database = await repos.databases.get(database_id)
    check_version("database", database_id, database.version, if_version)
    return await repos.databases.update(replace(database, **values))


async def get_database(repos: Repositories, tenant_id: TenantId, ref: str | DatabaseId) -> Database:
    """By name or id, within the tenant. Raises NotFound."""

    async def by_name(name: str) -> Database:
        return await repos.databases.get_by_name(tenant_id, name)

    database = await find(ref, DatabaseId, by_name, repos.databases.get)
    if database.tenant_id != tenant_id:
        raise NotFound("database", ref)
    return database
