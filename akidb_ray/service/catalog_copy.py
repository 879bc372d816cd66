"""The local copy of the catalog: followed by a long poll, caught up on demand.

No query waits for the catalog. Only an unknown name makes the copy catch up once, before the answer
is "not found"; and whoever changes the catalog catches up afterwards, to read its own writes.
"""

from collections.abc import Callable
from typing import TypeVar

from akidb_ray.domain.directory import Directory
from akidb_ray.domain.errors import AkiDBError, NotFound, Unavailable
from akidb_ray.service.following import ChangeFeed, Follower

T = TypeVar("T")


class CatalogCopy:
    def __init__(self, catalog: ChangeFeed) -> None:
        self._follower = Follower(catalog, Directory)

    @property
    def directory(self) -> Directory:
        """To be asked for anew after each await: another one may have taken its place."""
        return self._follower.copy

    @property
    def is_loaded(self) -> bool:
        return self.directory.version > 0

    async def catch_up(self) -> Directory:
        """The catalog as it is now. Raises Unavailable."""
        return await self._follower.catch_up()

    async def find(self, look_up: Callable[[Directory], T]) -> T:
        """What `look_up` finds; an unknown name is looked up again in the newest catalog.

        Raises NotFound, or Unavailable when the catalog can't be asked.
        """
        if self.is_loaded:
            try:
                return look_up(self.directory)
            except NotFound as unknown:
                return look_up(await self._newest(unknown))
        return look_up(await self.catch_up())

    async def _newest(self, unknown: NotFound) -> Directory:
        try:
            return await self.catch_up()
        except AkiDBError as error:
            if not error.retryable:
                raise
            raise Unavailable(
                f"{unknown.detail}, as far as is known here, and the catalog can't be asked now: "
                f"{error.detail}"
            ) from error

    async def follow(self) -> None:
        """Keep the copy new until cancelled. An unreachable catalog is retried without end."""
        await self._follower.follow()
