"""Running the rules on a store: each call one transaction, which outlives its caller."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from akidb_ray.catalog.feed import Feed
from akidb_ray.catalog.repositories import CatalogStore, Repositories

T = TypeVar("T")


class Transactions:
    """Reads and writes of one open store, and the feed of what was written."""

    def __init__(self, store: CatalogStore, feed: Feed) -> None:
        self._store = store
        self._feed = feed
        self._under_way: set[asyncio.Task[Any]] = set()

    async def read(self, work: Callable[[Repositories], Awaitable[T]]) -> T:
        """What `work` finds in one committed state."""
        self._feed.require_open()
        async with self._store.reading() as repositories:
            return await work(repositories)

    async def write(self, work: Callable[[Repositories], Awaitable[T]]) -> T:
        """What `work` returns, as soon as what it did is durable and the followers know of it."""

        async def change() -> T:
            async with self._store.writing() as repositories:
                return await work(repositories)

        return await self.see_through(change)

    async def see_through(self, change: Callable[[], Awaitable[T]]) -> T:
        """Carry out a change of the store, and tell the followers.

        It is a task of its own: a caller that is cancelled during the commit must not keep a
        change, which may be durable by then, from the followers.
        """
        self._feed.require_open()
        task = asyncio.create_task(self._published(change))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Wake the followers with Unavailable, finish the changes under way, close the store."""
        await self._feed.close()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._store.close()

    async def _published(self, change: Callable[[], Awaitable[T]]) -> T:
        before = await self._store.version()
        result = await change()
        # Nobody follows jobs, and one that waits for its host must not wake them all.
        if await self._store.version() != before:
            await self._feed.publish()
        return result
