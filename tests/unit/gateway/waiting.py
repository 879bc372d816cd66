"""Waiting for what comes by itself."""

import asyncio
from collections.abc import Awaitable, Callable

_POLL_S = 0.02
_TIMEOUT_S = 10.0


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Raises TimeoutError when it takes too long."""
    async with asyncio.timeout(_TIMEOUT_S):
        while not await condition():
            await asyncio.sleep(_POLL_S)
