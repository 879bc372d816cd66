"""The catalog in one SQLite file, of one process."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Self

from sqlalchemy import bindparam, delete

from akidb_ray.catalog.repositories import Repositories
from akidb_ray.catalog.sqlite.collections import SqliteCollections
from akidb_ray.catalog.sqlite.database import CatalogDatabase
from akidb_ray.catalog.sqlite.databases import SqliteDatabases
from akidb_ray.catalog.sqlite.identity import (
    Standing,
    read_root_key_hash,
    read_standing,
    set_root_key_hash,
)
from akidb_ray.catalog.sqlite.jobs import SqliteJobs
from akidb_ray.catalog.sqlite.opening import begin_term_of, prepare_file
from akidb_ray.catalog.sqlite.placement import SqlitePlacement
from akidb_ray.catalog.sqlite.statements import Statement, run
from akidb_ray.catalog.sqlite.tables import changes
from akidb_ray.catalog.sqlite.tenants import SqliteTenants
from akidb_ray.catalog.sqlite.transaction import Transaction
from akidb_ray.catalog.sqlite.updates import read_update
from akidb_ray.catalog.sqlite.users import SqliteUsers
from akidb_ray.domain.directory import CatalogUpdate
from akidb_ray.domain.errors import InvalidState

Fill = Callable[[Repositories], Awaitable[None]]

_FORGET_CHANGES = Statement(delete(changes).where(changes.c.catalog_version <= bindparam("newest")))


class SqliteStore:
    """Carries out `repositories.CatalogStore`."""

    def __init__(
        self, database: CatalogDatabase, clock: Callable[[], datetime], standing: Standing
    ) -> None:
        """Use `open`. `standing` is what this opening's term began with."""
        self.cluster_id = standing.cluster_id
        self.epoch = standing.epoch
        self._database = database
        self._clock = clock
        self._version = standing.version

    @classmethod
    async def open(
        cls,
        path: Path,
        clock: Callable[[], datetime],
        *,
        create: bool,
        fill: Fill | None = None,
    ) -> Self:
        """Open the catalog at `path`; make it first if it is missing and `create` says so.

        A new one holds what `fill` puts into it, before anyone can see it. One of an older release
        is copied, then migrated. `clock` gives aware datetimes. Raises NotFound for a missing file
        without `create`, InvalidState when a newer release wrote it or SQLite is too old, Corrupt
        when it is no catalog.
        """

        async def first(transaction: Transaction) -> None:
            if fill is not None:
                await fill(repositories(transaction))

        await prepare_file(path, clock, create=create, fill=first)
        database = CatalogDatabase(path)
        try:
            standing = await begin_term_of(database)
        except BaseException:
            await database.close()
            raise
        return cls(database, clock, standing)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Repositories]:
        async with self._database.reading() as connection:
            yield repositories(Transaction(connection, self._clock(), self._version))

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Repositories]:
        async with self._transaction() as transaction:
            yield repositories(transaction)

    async def version(self) -> int:
        # Known without asking the file: nobody else writes to it in this term.
        return self._version

    async def update_since(self, since: int) -> CatalogUpdate:
        async with self._database.reading() as connection:
            return await read_update(connection, since, self.cluster_id, self.epoch)

    async def forget_changes(self, keep: int) -> None:
        async with self._transaction() as transaction:
            newest = {"newest": transaction.version - keep}
            await run(transaction.connection, _FORGET_CHANGES, newest)

    async def root_key_hash(self) -> bytes | None:
        async with self._database.reading() as connection:
            return await read_root_key_hash(connection)

    async def set_root_key_hash(self, root_key_hash: bytes) -> None:
        async with self._transaction() as transaction:
            await set_root_key_hash(transaction, self.cluster_id, root_key_hash)

    async def close(self) -> None:
        await self._database.close()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        async with self._database.writing() as connection:
            standing = await read_standing(connection)
            if standing is None or standing.epoch != self.epoch:
                raise InvalidState(
                    f"the catalog {self._database.path}",
                    "taken over by another process",
                    f"changes by this one, whose term {self.epoch} is over",
                )
            transaction = Transaction(connection, self._clock(), standing.version)
            yield transaction
            await transaction.finish()
        self._version = transaction.version


def repositories(transaction: Transaction) -> Repositories:
    return Repositories(
        tenants=SqliteTenants(transaction),
        users=SqliteUsers(transaction),
        databases=SqliteDatabases(transaction),
        collections=SqliteCollections(transaction),
        placement=SqlitePlacement(transaction),
        jobs=SqliteJobs(transaction),
        now=transaction.now,
    )
