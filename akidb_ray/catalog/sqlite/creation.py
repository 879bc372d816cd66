"""Making a catalog file: whole or not at all.

The file is made under a temporary name, migrated, filled, closed and synced, and only then gets its
name. A crash before that leaves a temporary file, which the next attempt removes.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path

from akidb_ray.catalog.sqlite.copying import companions, remove_database, sync
from akidb_ray.catalog.sqlite.database import CatalogDatabase
from akidb_ray.catalog.sqlite.identity import create_identity
from akidb_ray.catalog.sqlite.schema import upgrade
from akidb_ray.catalog.sqlite.transaction import Transaction
from akidb_ray.catalog.sqlite.translation import translated
from akidb_ray.domain.errors import Corrupt, StorageFailed
from akidb_ray.domain.ids import ClusterId

First = Callable[[Transaction], Awaitable[None]]


async def create_catalog_file(path: Path, now: datetime, fill: First) -> None:
    """Make the catalog of a new cluster, with what `fill` puts into it.

    Raises Corrupt when a log of a lost catalog lies at that path, StorageFull, StorageFailed.
    """
    temporary = path.with_name(f"{path.name}.new")
    await asyncio.to_thread(_prepare, path, temporary)
    database = CatalogDatabase(temporary)
    try:
        async with database.writing() as connection:
            await create_identity(connection, ClusterId.new())
            transaction = Transaction(connection, now, version=0)
            await fill(transaction)
            await transaction.finish()
    finally:
        await database.close()
    await asyncio.to_thread(_finish, temporary, path)


def _prepare(path: Path, temporary: Path) -> None:
    with translated(path):
        # SQLite would replay the log of another file into the new one: it can't tell them apart.
        for stray in companions(path):
            if stray.exists():
                raise Corrupt(str(stray), "belongs to a catalog file that is gone; restore it")
        remove_database(temporary)
        temporary.touch(mode=0o600, exist_ok=False)
    upgrade(temporary)


def _finish(temporary: Path, path: Path) -> None:
    with translated(path):
        with closing(sqlite3.connect(temporary)) as connection:
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StorageFailed(f"{temporary}: another process has it open")
        sync(temporary)
        temporary.rename(path)
        sync(path.parent)
