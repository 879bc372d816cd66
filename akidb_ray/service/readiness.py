"""Whether a process can answer requests, found out rarely, however often it is asked."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from akidb_ray.domain.errors import Unavailable

_KEPT_S = 1.0


class Readiness:
    """Anybody may ask, as often as they like, so that all of them share what was found once in a
    second.
    """

    def __init__(self) -> None:
        self._asking: asyncio.Task[None] | None = None
        self._reason_against: str | None = None
        self._kept_until = 0.0

    async def require(self, find: Callable[[], Awaitable[str | None]]) -> None:
        """`find` gives the reason why it is not ready, None when it is. Raises Unavailable."""
        if self._asking is None and time.monotonic() >= self._kept_until:
            self._asking = asyncio.create_task(self._ask(find))
        if self._asking is not None:
            # Whoever asked first may leave while others wait.
            await asyncio.shield(self._asking)
        if self._reason_against is not None:
            raise Unavailable(self._reason_against)

    async def _ask(self, find: Callable[[], Awaitable[str | None]]) -> None:
        try:
            self._reason_against = await find()
            self._kept_until = time.monotonic() + _KEPT_S
        finally:
            self._asking = None
