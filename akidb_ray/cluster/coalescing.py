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
        self._running: set[asyncio.Task[None]] = set()
        self._slow: set[asyncio.Task[None]] = set()

    @property
    def is_idle(self) -> bool:
        return not (self._waiting or self._running or self._slow)

    async def ask(self, items: Sequence[Item]) -> list[Answer | AkiDBError]:
        """The answers to these items, in their order."""
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Answer | AkiDBError]] = [loop.create_future() for _ in items]
        self._waiting.extend(zip(items, futures, strict=True))
        self._start_calls()
        return list(await asyncio.gather(*futures))

    def _start_calls(self) -> None:
        while self._waiting and len(self._running) < _CALLS_IN_FLIGHT:
            batch: _Batch[Item, Answer] = []
            while self._waiting and len(batch) < _ITEMS_PER_CALL:
                item, future = self._waiting.popleft()
                if not future.done():
                    batch.append((item, future))
            if batch:
                task = asyncio.create_task(self._answer(batch))
                self._running.add(task)
                patience = asyncio.get_running_loop().call_later(_SLOW_S, self._is_slow, task)
                task.add_done_callback(functools.partial(self._finished, patience))
                _give_up_when_alone(task, [future for _, future in batch])

    async def _answer(self, batch: _Batch[Item, Answer]) -> None:
        answers: list[Answer | AkiDBError]
        try:
            answers = await self._call([item for item, _ in batch])
            if len(answers) != len(batch):
                raise Internal(f"{len(answers)} answers came for {len(batch)} items")
        except Exception as error:
            # Nobody may be left waiting, whatever broke.
            broken = error if isinstance(error, AkiDBError) else Internal(f"a call broke: {error}")
            answers = [broken] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    def _is_slow(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._slow.add(task)
        self._start_calls()

    def _finished(self, patience: asyncio.TimerHandle, task: "asyncio.Task[None]") -> None:
        patience.cancel()
        self._running.discard(task)
        self._slow.discard(task)
        self._start_calls()


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
