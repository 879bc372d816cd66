"""One open catalog file: a connection that writes, a few that read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from akidb_ray.catalog.sqlite.engines import reader_engine, writer_engine
from akidb_ray.catalog.sqlite.translation import translated


class CatalogDatabase:
    """Transactions on the SQLite file at `path`, which must exist.

    Both contexts raise StorageFull, StorageFailed, Corrupt, Unavailable and Internal for what
    SQLite reports.
    """

    def __init__(self, path: Path, read_connections: int = 4) -> None:
        self.path = path
        self._writer = writer_engine(path)
        self._readers = reader_engine(path, read_connections)
        # Writers queue here, in order, instead of polling for SQLite's lock.
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that is durable when the context ends; an exception undoes all of it."""
        with translated(self.path):
            async with self._turn, self._writer.begin() as connection:
                yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one committed state, whatever is written meanwhile."""
        with translated(self.path):
            async with self._readers.connect() as connection:
                # Ended by closing, which rolls back: there is nothing to commit.
                await connection.begin()
                yield connection

    async def close(self) -> None:
        """Readers first: the last connection folds the write-ahead log into the file."""
        await self._readers.dispose()
        await self._writer.dispose()
