"""Work that goes on in an actor beside its calls, until the actor stops."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

_RESTART_S = 1.0
_log = logging.getLogger(__name__)


class Background:
    """Tasks that are kept running: one that ends by an error is logged and begun again."""

    def __init__(self, restart_s: float = _RESTART_S) -> None:
        self._restart_s = restart_s
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work`, which does not end by itself. `what` names it in the log."""
        self._tasks.append(asyncio.create_task(self._keep_running(what, work)))

    async def stop(self) -> None:
        """End all, the one that was started last first; each has ended when this returns."""
        while self._tasks:
            task = self._tasks.pop()
            task.cancel()
            await asyncio.wait([task])

    async def _keep_running(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
                _log.error("%s ended by itself; beginning again", what)
            except Exception:
                _log.exception("%s broke down; beginning again", what)
            await asyncio.sleep(self._restart_s)
