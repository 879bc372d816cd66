"""Turns concurrent requests to one host into few calls with many items.

While calls are in flight, items queue up; the next call takes all that wait. An idle host is called
at once, so nothing is ever delayed to gather company. A caller that goes away is left out, or its
answer is dropped; it harms nobody else in its batch. A call that nobody waits for any more is given
up, so that a host that is stuck does not hold up those who come later for longer than they wait.
One that takes long does not hold them up either: it no longer counts.
"""

import asyncio
import functools
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from akidb_ray.domain.errors import AkiDBError, Internal

Item = TypeVar("Item")
Answer = TypeVar("Answer")
_Batch = list[tuple[Item, asyncio.Future[Answer | AkiDBError]]]
# While the answers of one call travel back, the host works on the next one.
_CALLS_IN_FLIGHT = 2
_ITEMS_PER_CALL = 64
# Many times what a search takes.
_SLOW_S = 0.05


class Coalescer(Generic[Item, Answer]):
    """`call` carries out many items and answers each by a value or an error."""

    def __init__(
        self, call: Callable[[Sequence[Item]], Awaitable[list[Answer | AkiDBError]]]
    ) -> None:
        self._call = call
        self._waiting: deque[tuple[Item, asyncio.Future[Answer | AkiDBError]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits, and no call runs that is not slow."""
        return not (self._waiting or self._in_flight)

    async def ask(self, items: Sequence[Item]) -> list[Answer | AkiDBError]:
        """The answers to these items, in their order."""
        if self._in_flight < _CALLS_IN_FLIGHT and len(items) <= _ITEMS_PER_CALL:
            # Nobody waits, so the caller's own task carries the call out.
            end = self._begin()
            try:
                return await self._answers(items)
            finally:
                end()
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Answer | AkiDBError]] = [loop.create_future() for _ in items]
        self._waiting.extend(zip(items, futures, strict=True))
        self._start_calls()
        return list(await asyncio.gather(*futures))

    def _begin(self) -> Callable[[], None]:
        """Count one more call, until it is slow, or what this gives is called."""
        counts = True

        def end() -> None:
            nonlocal counts
            if counts:
                counts = False
                patience.cancel()
                self._in_flight -= 1
                self._start_calls()

        self._in_flight += 1
        patience = asyncio.get_running_loop().call_later(_SLOW_S, end)
        return end

    def _start_calls(self) -> None:
        while self._waiting and self._in_flight < _CALLS_IN_FLIGHT:
            batch: _Batch[Item, Answer] = []
            while self._waiting and len(batch) < _ITEMS_PER_CALL:
                item, future = self._waiting.popleft()
                if not future.done():
                    batch.append((item, future))
            if batch:
                end = self._begin()
                task = asyncio.create_task(self._answer(batch))
                self._tasks.add(task)
                task.add_done_callback(functools.partial(self._ended, end))
                _give_up_when_alone(task, [future for _, future in batch])

    def _ended(self, end: Callable[[], None], task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        end()

    async def _answer(self, batch: _Batch[Item, Answer]) -> None:
        answers = await self._answers([item for item, _ in batch])
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    async def _answers(self, items: Sequence[Item]) -> list[Answer | AkiDBError]:
        """One for each item, whatever breaks: nobody may be left waiting."""
        try:
            answers = await self._call(items)
            if len(answers) != len(items):
                raise Internal(f"{len(answers)} answers came for {len(items)} items")
        except AkiDBError as error:
            return [error] * len(items)
        except Exception as error:
            return [Internal(f"a call broke: {error}")] * len(items)
        return answers


def _give_up_when_alone(
    task: "asyncio.Task[None]", waiting: Sequence["asyncio.Future[Any]"]
) -> None:
    """Cancel the task once each of the futures has its answer, or nobody who waits for it."""
    left = len(waiting)

    def one_less(_: "asyncio.Future[Any]") -> None:
        nonlocal left
        left -= 1
        if not left:
            task.cancel()

    for future in waiting:
        future.add_done_callback(one_less)
