"""How a call goes, step by step, without carrying out a step.

A flow is a generator: it yields what is to be done next (send a request, or wait), is sent what
came of it, and returns the call's value. The synchronous and the asynchronous client only carry out
the steps; which requests are made, and which are made again, is decided here for both.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from akidb.errors import AkiDBError, ConnectionFailed, DeadlineExceeded, RateLimited
from akidb.requests import Operation, Reply, Request

T = TypeVar("T")


@dataclass(frozen=True)
class Send:
    """Send the request and answer the reply, or the error that came instead of one."""

    request: Request
    timeout_s: float


@dataclass(frozen=True)
class Wait:
    """Do nothing for that long. It is answered None."""

    seconds: float


Step: TypeAlias = Send | Wait
Outcome: TypeAlias = Reply | AkiDBError | None
Flow: TypeAlias = Generator[Step, Outcome, T]


@dataclass(frozen=True)
class Retries:
    """When a request is sent again: at most `attempts` times in all, and only within the timeout.

    Waits double from `first_wait_s` to `longest_wait_s`, each shortened by up to a half at random,
    so that clients that failed together don't come back together. When the server names a time, it
    is waited for.
    """

    attempts: int = 5
    first_wait_s: float = 0.1
    longest_wait_s: float = 5.0

    def wait_s(self, attempt: int, error: AkiDBError, chance: float) -> float:
        """How long to wait after `attempt` (from 1) failed; `chance` is between 0 and 1."""
        longest = min(self.first_wait_s * 2.0 ** (attempt - 1), self.longest_wait_s)
        return max(longest * (1 - chance / 2), error.retry_after_s or 0.0)


@dataclass(frozen=True)
class Calls:
    """How requests are carried out: each, with all its attempts, within `timeout_s`."""

    timeout_s: float
    retries: Retries = Retries()
    now: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random

    def call(self, operation: Operation[T]) -> Flow[T]:
        """Carry out one operation. Raises AkiDBError."""
        end = self.now() + self.timeout_s
        attempt = 1
        while True:
            try:
                return operation.value_of(
                    (yield from _exchange(operation.request, end - self.now()))
                )
            except AkiDBError as error:
                wait_s = self.retries.wait_s(attempt, error, self.chance())
                if (
                    attempt >= self.retries.attempts
                    or not _may_repeat(operation.request, error)
                    or self.now() + wait_s >= end
                ):
                    raise
            yield Wait(wait_s)
            attempt += 1


def _exchange(request: Request, timeout_s: float) -> Flow[Reply]:
    if timeout_s <= 0:
        raise DeadlineExceeded("the time was up before the request could be sent")
    outcome = yield Send(request, timeout_s)
    if isinstance(outcome, AkiDBError):
        raise outcome
    assert outcome is not None
    return outcome


def _may_repeat(request: Request, error: AkiDBError) -> bool:
    if not error.retryable:
        return False
    if isinstance(error, DeadlineExceeded) and error.status is not None:
        # The server took the time that it was given. Once more as long is not what was allowed.
        return False
    untouched = isinstance(error, RateLimited) or (
        isinstance(error, ConnectionFailed) and not error.sent
    )
    return request.repeatable or untouched
