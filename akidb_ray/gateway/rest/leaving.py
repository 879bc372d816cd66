"""Clients that go away before they are answered.

What only reads is given up then: its place in a queue and its time on a shard are somebody else's.
So is a write of documents that has not begun: late, it would undo what was written meanwhile. Once
it has begun, the use case takes it to its end. All else that writes goes on to its end, whoever
cancels the request: it is never left half done because its client lost patience. Ray Serve cancels
the task of a request whose client left, and uvicorn tells it by a message.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

Answer = TypeVar("Answer")
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

# Who answers sooner has nothing worth giving up, and is spared the task that looks.
_LOOK_AFTER_S = 0.02

_GIVEN_UP: set[Callable[..., Any]] = set()
# Tasks that nobody waits for are kept by nobody else.
_UNDER_WAY: set[asyncio.Task[Any]] = set()


class ClientGone(Exception):
    """There is nobody to answer any more."""


def reads_only(endpoint: Endpoint) -> Endpoint:
    """Marks the function of a route that changes nothing, though it is asked by POST."""
    _GIVEN_UP.add(endpoint)
    return endpoint


def writes_documents(endpoint: Endpoint) -> Endpoint:
    """Marks the function of a route whose use case protects the write itself, once it has begun."""
    _GIVEN_UP.add(endpoint)
    return endpoint


def is_given_up(endpoint: Callable[..., Any]) -> bool:
    """Whether to cancel it when its client leaves."""
    return endpoint in _GIVEN_UP


async def while_there(work: Coroutine[Any, Any, Answer], receive: Receive) -> Answer:
    """The answer of `work`, which is cancelled when the client leaves. Raises ClientGone."""
    loop, ours = asyncio.get_running_loop(), asyncio.current_task()
    assert ours is not None
    gone = False

    async def look() -> None:
        nonlocal gone
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            # There should be no other; a server that has one may have it at once, again and again.
            await asyncio.sleep(_LOOK_AFTER_S)
        gone = True
        ours.cancel()

    looking: list[asyncio.Task[None]] = []
    timer = loop.call_later(_LOOK_AFTER_S, lambda: looking.append(loop.create_task(look())))
    try:
        return await work
    except asyncio.CancelledError:
        if not gone:
            raise
        ours.uncancel()
        raise ClientGone from None
    finally:
        timer.cancel()
        for task in looking:
            task.cancel()


async def to_the_end(work: Coroutine[Any, Any, Answer]) -> Answer:
    """The answer of `work`, which goes on when the one who waits for it is cancelled."""
    task = asyncio.create_task(work)
    _UNDER_WAY.add(task)
    task.add_done_callback(_UNDER_WAY.discard)
    return await asyncio.shield(task)
