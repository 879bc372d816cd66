"""Trying again what a server refused for now, for as long as is reasonable."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from akidb_ray.cli.client import ApiError
from akidb_ray.domain.errors import Unavailable

Answer = TypeVar("Answer")

# 502 and 504 come from a proxy whose server is starting again.
_FOR_NOW = {429, 502, 503, 504}
# Ray Serve's HAProxy answers this instead of those, without a document, and so without a code.
_HAPROXY = (500, "unknown")


def passes_by_itself(error: ApiError | Unavailable) -> bool:
    """Whether the same request may succeed later, though nobody changes anything."""
    if isinstance(error, Unavailable):
        return True
    if (error.status, error.code) == _HAPROXY:
        return True
    # A quota is not used up for a moment, though the status is the same.
    return error.status in _FOR_NOW and error.code != "quota_exceeded"


@dataclass(frozen=True, slots=True)
class Patience:
    """Waits grow by factors of two, from first to longest. All tries take the total at most."""

    total_s: float = 120.0
    first_s: float = 0.25
    longest_s: float = 10.0


def call_with_retries(
    call: Callable[[], Answer],
    patience: Patience,
    wait: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    passes: Callable[[ApiError | Unavailable], bool] = passes_by_itself,
) -> Answer:
    """Call until it succeeds, fails with what does not pass, or the next try would come too late.

    The server's Retry-After counts when it is longer than our own wait. Jitter keeps many callers
    from coming back at once. Raises the last error.
    """
    give_up_at = clock() + patience.total_s
    backoff_s = patience.first_s
    while True:
        try:
            return call()
        except (ApiError, Unavailable) as error:
            asked_s = getattr(error, "retry_after_s", None) or 0.0
            pause_s = max(asked_s, backoff_s * random.uniform(0.5, 1.0))
            if not passes(error) or clock() + pause_s > give_up_at:
                raise
        wait(pause_s)
        backoff_s = min(2 * backoff_s, patience.longest_s)
