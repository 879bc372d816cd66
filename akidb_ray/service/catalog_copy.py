"""The local copy of the catalog: followed by a long poll, caught up on demand.

No query waits for the catalog. Only an unknown name makes the copy catch up once, before the answer
is "not found"; and whoever changes the catalog catches up afterwards, to read its own writes.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from akidb_ray.domain.directory import CatalogSnapshot, Directory
from akidb_ray.domain.errors import AkiDBError, NotFound
from akidb_ray.service.ports import Catalog

_POLL_S = 20.0
_RETRY_S = 0.5
_log = logging.getLogger(__name__)
T = TypeVar("T")


class CatalogCopy:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._directory = Directory(CatalogSnapshot(version=0))

    @property
    def directory(self) -> Directory:
        return self._directory

    @property
    def is_loaded(self) -> bool:
        return self._directory.version > 0

    async def catch_up(self) -> Directory:
        """The catalog as it is now. Raises Unavailable."""
        return await self._take(timeout_s=0.0)

    async def find(self, look_up: Callable[[Directory], T]) -> T:
        """What `look_up` finds; an unknown name is looked up again in the newest catalog.

        Raises NotFound, or Unavailable when the catalog can't be asked.
        """
        if self.is_loaded:
            try:
                return look_up(self._directory)
            except NotFound:
                pass
        return look_up(await self.catch_up())

    async def follow(self) -> None:
        """Keep the copy new until cancelled. An unreachable catalog is retried without end."""
        while True:
            try:
                await self._take(timeout_s=_POLL_S)
            except AkiDBError as error:
                _log.warning("the catalog can't be followed: %s", error)
                await asyncio.sleep(_RETRY_S)

    async def _take(self, timeout_s: float) -> Directory:
        snapshot = await self._catalog.watch(self._directory.version, timeout_s)
        # Two calls may be under way: an older answer must not replace a newer one.
        if snapshot is not None and snapshot.version > self._directory.version:
            self._directory = Directory(snapshot)
        return self._directory
