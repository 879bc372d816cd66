"""Making a catalog file: whole or not at all.

The file is made under a temporary name, migrated, filled, closed and synced, and only then gets its
name. A crash before that leaves a temporary file, which the next attempt removes.
"""

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

from akidb_ray.catalog.changes import Change
from akidb_ray.catalog.database import CatalogDatabase
from akidb_ray.catalog.databases import create_database
from akidb_ray.catalog.identity import create_identity
from akidb_ray.catalog.schema import upgrade
from akidb_ray.catalog.tenants import create_tenant
from akidb_ray.catalog.translation import translated
from akidb_ray.domain.errors import Corrupt, StorageFailed
from akidb_ray.domain.ids import ClusterId
from akidb_ray.domain.tenancy import DEFAULT_NAME


async def create_catalog_file(path: Path, now: datetime) -> None:
    """Make the catalog of a new cluster, with the tenant and the database `default`.

    Raises Corrupt when a log of a lost catalog lies at that path, StorageFull, StorageFailed.
    """
    temporary = path.with_name(f"{path.name}.new")
    await asyncio.to_thread(_prepare, path, temporary)
    database = CatalogDatabase(temporary)
    try:
        async with database.writing() as connection:
            await create_identity(connection, ClusterId.new())
            change = Change(connection, now)
            tenant = await create_tenant(change, DEFAULT_NAME, DEFAULT_NAME, None, None, None)
            await create_database(change, tenant.tenant_id, DEFAULT_NAME, "")
    finally:
        await database.close()
    await asyncio.to_thread(_finish, temporary, path)


def _prepare(path: Path, temporary: Path) -> None:
    with translated(path):
        # SQLite would replay the log of another file into the new one: it can't tell them apart.
        for stray in _companions(path):
            if stray.exists():
                raise Corrupt(str(stray), "belongs to a catalog file that is gone; restore it")
        for leftover in (temporary, *_companions(temporary)):
            leftover.unlink(missing_ok=True)
        temporary.touch(exist_ok=False)
    upgrade(temporary)


def _companions(path: Path) -> Iterator[Path]:
    return (path.with_name(path.name + suffix) for suffix in ("-wal", "-journal", "-shm"))


def _finish(temporary: Path, path: Path) -> None:
    with translated(path):
        with closing(sqlite3.connect(temporary)) as connection:
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StorageFailed(f"{temporary}: another process has it open")
        _sync(temporary)
        temporary.rename(path)
        _sync(path.parent)


def _sync(path: Path) -> None:
    """Of a file its content, of a directory the names in it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
