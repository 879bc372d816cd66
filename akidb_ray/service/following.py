"""Keeping a copy of the catalog, or of a part of it, new: by a long poll, and on demand."""

import asyncio
import contextlib
import gc
import logging
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from akidb_ray.domain.directory import CatalogPosition, CatalogUpdate
from akidb_ray.domain.errors import AkiDBError, Corrupt, InvalidState, Unavailable

_POLL_S = 20.0
_FIRST_RETRY_S = 0.5
_LAST_RETRY_S = 8.0
_LARGE = 10_000
_log = logging.getLogger(__name__)


class ChangeFeed(Protocol):
    """Where a copy gets its updates: `ports.Catalog.watch`."""

    async def watch(self, since: int, timeout_s: float) -> CatalogUpdate | None: ...


class Copy(Protocol):
    """What is kept of the catalog. It is changed by one event loop, in one go each time."""

    position: CatalogPosition

    def apply(self, update: CatalogUpdate) -> None:
        """Raises InvalidState for an update that must not be taken, Corrupt for one that does not
        fit; both change nothing.
        """


AnyCopy = TypeVar("AnyCopy", bound=Copy)


class Follower(Generic[AnyCopy]):
    """Applies what the feed says to `copy`. A whole makes a new copy, beside the one in use."""

    def __init__(self, feed: ChangeFeed, empty: Callable[[], AnyCopy]) -> None:
        self.copy = empty()
        self._feed = feed
        self._empty = empty
        # A change that broke off by a defect may have been half made.
        self._is_doubtful = False
        self._turn = asyncio.Lock()

    async def catch_up(self) -> AnyCopy:
        """The copy as new as the catalog is now.

        Raises Unavailable when the catalog can't be asked, or says what must not be taken.
        """
        try:
            return await self._take(timeout_s=0.0)
        except InvalidState as error:
            raise Unavailable(f"the catalog can't be followed: {error.detail}") from error

    async def follow(self) -> None:
        """Keep the copy new until cancelled. A catalog that can't be followed now is asked again
        without end, less and less often; after a defect it is asked for the whole.
        """
        failures = 0
        while True:
            try:
                await self._take(timeout_s=_POLL_S)
                failures = 0
                continue
            except AkiDBError as error:
                failures += 1
                _log.warning("the catalog can't be followed; trying again: %s", error)
            except Exception:
                # Whatever it is: a copy that nobody keeps new goes by what was, and tells nobody.
                failures += 1
                self._is_doubtful = True
                _log.exception("following the catalog met a defect; loading it again")
            await asyncio.sleep(retry_wait_s(failures))

    async def _take(self, timeout_s: float) -> AnyCopy:
        since = 0 if self._is_doubtful else self.copy.position.version
        update = await self._feed.watch(since, timeout_s)
        try:
            await self._apply(update)
        except Corrupt as error:
            _log.warning("the copy of the catalog is loaded again: %s", error)
            await self._apply(await self._feed.watch(0, 0.0))
        return self.copy

    async def _apply(self, update: CatalogUpdate | None) -> None:
        async with self._turn:
            position = self.copy.position
            if update is None:
                return
            # Two calls may be under way: an older answer must not replace a newer one.
            if position.has(update) and not (self._is_doubtful and update.whole):
                return
            if not update.whole:
                self._change(update)
                return
            position.after(update)
            fresh = self._empty()
            with _spared_collections(update):
                # It may hold a hundred thousand things, and the event loop has queries to answer.
                await asyncio.to_thread(fresh.apply, update)
                self.copy = fresh
                self._is_doubtful = False

    def _change(self, update: CatalogUpdate) -> None:
        try:
            self.copy.apply(update)
        except AkiDBError:
            raise
        except Exception:
            self._is_doubtful = True
            raise


@contextlib.contextmanager
def _spared_collections(whole: CatalogUpdate) -> Iterator[None]:
    """Keep the garbage collector from looking at the things of a large whole, while they come and
    ever after: it holds up all threads, 300 ms each time for a hundred thousand collections. They
    are in no cycles, so what is let go of is freed without it.
    """
    things = len(whole.tenants) + len(whole.databases) + len(whole.collections)
    if things < _LARGE or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def retry_wait_s(failures: int) -> float:
    """How long to wait after so many failures in a row."""
    return min(_LAST_RETRY_S, _FIRST_RETRY_S * 2.0 ** min(failures - 1, 16))
