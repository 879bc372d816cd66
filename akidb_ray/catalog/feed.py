"""What those who follow the catalog read: its newest snapshot, and news of its versions."""

import asyncio

from akidb_ray.catalog.database import CatalogDatabase
from akidb_ray.catalog.snapshot import read_snapshot
from akidb_ray.domain.directory import CatalogSnapshot
from akidb_ray.domain.errors import Unavailable


class Feed:
    """Snapshots of the database, and waiting for a newer one. `version` is the last committed."""

    def __init__(self, database: CatalogDatabase, version: int) -> None:
        self.version = version
        self._database = database
        self._changed = asyncio.Condition()
        self._newest = CatalogSnapshot(version=-1)
        self._turn = asyncio.Lock()
        self._closed = False

    async def publish(self, version: int) -> None:
        """Wake the watchers if `version`, which was just committed, is new."""
        if version > self.version:
            self.version = version
            async with self._changed:
                self._changed.notify_all()

    async def close(self) -> None:
        """From now on everything raises Unavailable, also what waits already."""
        self._closed = True
        async with self._changed:
            self._changed.notify_all()

    def require_open(self) -> None:
        if self._closed:
            raise Unavailable("the catalog is closed")

    async def snapshot(self) -> CatalogSnapshot:
        """As new as the last published version, or newer."""
        # One of the watchers that a change wakes reads for all.
        async with self._turn:
            self.require_open()
            if self._newest.version < self.version:
                async with self._database.reading() as connection:
                    self._newest = await read_snapshot(connection)
            return self._newest

    async def watch(self, since: int, timeout_s: float) -> CatalogSnapshot | None:
        """The snapshot as soon as its version is above `since`; None when the time is over."""
        if self.version <= since:
            try:
                async with asyncio.timeout(timeout_s), self._changed:
                    await self._changed.wait_for(lambda: self._closed or self.version > since)
            except TimeoutError:
                return None
        return await self.snapshot()
