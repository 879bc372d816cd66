"""Catalog files made by plain SQL, so that these tests need no opened catalog."""

import sqlite3
from contextlib import closing
from pathlib import Path

from akidb_ray.catalog.sqlite.schema import upgrade
from akidb_ray.domain.ids import ClusterId, DatabaseId, TenantId

TIME = "2026-01-31T12:00:00.000000Z"


def make_catalog_file(path: Path, cluster_id: ClusterId) -> Path:
    """A catalog in version 0 with the tenant and the database `default`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    upgrade(path)
    tenant_id = TenantId.new()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(
            "INSERT INTO catalog_meta (id, cluster_id) VALUES (1, ?)", (cluster_id.bytes,)
        )
        connection.execute(
            "INSERT INTO tenants (tenant_id, name, slug, status, created_at, updated_at)"
            " VALUES (?, 'default', 'default', 'active', ?, ?)",
            (tenant_id.bytes, TIME, TIME),
        )
        connection.execute(
            "INSERT INTO databases (database_id, tenant_id, name, state, created_at, updated_at)"
            " VALUES (?, ?, 'default', 'ready', ?, ?)",
            (DatabaseId.new().bytes, tenant_id.bytes, TIME, TIME),
        )
        connection.commit()
    return path


def change(connection: sqlite3.Connection, rows: int) -> int:
    """Record so many changes in one transaction; returns the version after them."""
    connection.execute("BEGIN IMMEDIATE")
    for _ in range(rows):
        connection.execute("UPDATE catalog_meta SET catalog_version = catalog_version + 1")
        connection.execute(
            "INSERT INTO changes SELECT catalog_version, ?, 'root_key', cluster_id, 'updated', '{}'"
            " FROM catalog_meta",
            (TIME,),
        )
    version: int
    (version,) = connection.execute("SELECT catalog_version FROM catalog_meta").fetchone()
    connection.execute("COMMIT")
    return version
