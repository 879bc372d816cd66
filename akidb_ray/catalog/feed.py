"""News of the catalog: followers wait here until something happens, and learn what."""

import asyncio
import logging

from akidb_ray.catalog.repositories import CatalogStore
from akidb_ray.domain.directory import CatalogUpdate
from akidb_ray.domain.errors import AkiDBError, Unavailable

KEPT_CHANGES = 10_000
_TRIM_EVERY = 1_000
_log = logging.getLogger(__name__)


class Feed:
    """Lets any number of followers wait for changes of `store`. For one event loop.

    Whoever commits a change calls `publish` after it, and before anyone is told that it is done: a
    `watch` that begins afterwards includes it.
    """

    def __init__(self, store: CatalogStore) -> None:
        self._store = store
        self._news = asyncio.Event()
        self._published = 0
        # By version: what followers of that version need since the last news, read once for all.
        self._reads: dict[int, asyncio.Task[CatalogUpdate]] = {}
        self._reading: set[asyncio.Task[CatalogUpdate]] = set()
        self._closed = False

    async def publish(self) -> None:
        """Say that a change was committed. Never fails: the change is there all the same."""
        self._wake()
        self._published += 1
        if self._published % _TRIM_EVERY == 1:
            try:
                await self._store.forget_changes(KEPT_CHANGES)
            except AkiDBError as error:
                _log.warning("old changes of the catalog stay recorded: %s", error)

    async def close(self) -> None:
        """From now on `watch` raises Unavailable, also where it waits already."""
        self._closed = True
        self._wake()
        await asyncio.gather(*self._reading, return_exceptions=True)

    def require_open(self) -> None:
        if self._closed:
            raise Unavailable("the catalog is closed")

    async def watch(self, since: int, timeout_s: float) -> CatalogUpdate | None:
        """What happened after version `since`, as soon as something did; None when time is over.

        What followers have no copy of (users) wakes nobody: they learn of those versions with the
        next change, or when their time is over. One that is ahead of the catalog gets the whole.
        """
        give_up_at = asyncio.get_running_loop().time() + timeout_s
        self.require_open()
        news = self._news
        # Before the version: a key that is replaced in between looks new later, never known.
        root_key_hash = await self._store.root_key_hash()
        update = await self._after(since)
        if update is not None:
            return update
        while await _happens(news, give_up_at):
            news = self._news
            newer = await self._after(since if update is None else update.version)
            update = newer or update
            if newer is not None and _concerns_followers(newer, root_key_hash):
                break
        return update

    async def _after(self, since: int) -> CatalogUpdate | None:
        """What happened after version `since`, None for nothing. Followers of one version share
        what is read, until something new happens.
        """
        self.require_open()
        if await self._store.version() == since:
            return None
        if since not in self._reads:
            task = asyncio.create_task(self._store.update_since(since))
            self._reads[since] = task
            self._reading.add(task)
            task.add_done_callback(lambda task: self._has_read(since, task))
        # One follower that goes away must not take the answer from the others.
        return await asyncio.shield(self._reads[since])

    def _has_read(self, since: int, task: asyncio.Task[CatalogUpdate]) -> None:
        self._reading.discard(task)
        failed = task.cancelled() or task.exception() is not None
        if failed and self._reads.get(since) is task:
            del self._reads[since]

    def _wake(self) -> None:
        self._reads = {}
        self._news.set()
        self._news = asyncio.Event()


async def _happens(news: asyncio.Event, give_up_at: float) -> bool:
    try:
        async with asyncio.timeout_at(give_up_at):
            await news.wait()
    except TimeoutError:
        return False
    return True


def _concerns_followers(update: CatalogUpdate, root_key_hash: bytes | None) -> bool:
    things = (update.tenants, update.databases, update.collections, update.stores, update.removed)
    return update.whole or update.root_key_hash != root_key_hash or any(map(len, things))
