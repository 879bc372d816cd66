"""How many searches of a process run at once: as many as it has cores.

More would be no faster. They would take the cores from the one that holds the interpreter, and all
others wait for that one: with twice as many threads as cores, half of the throughput was lost.
"""

import os
import queue
from types import TracebackType


def usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Slots:
    """A context in which at most `count` threads are, without others inside of it."""

    def __init__(self, count: int) -> None:
        # Unlike a semaphore, a queue of tokens runs no Python.
        self._tokens: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(count):
            self._tokens.put(None)

    def __enter__(self) -> None:
        self._tokens.get()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tokens.put(None)


SEARCHES = Slots(usable_cores())
