"""Trying again what a server refused for now, for as long as is reasonable."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from akidb_ray.cli.client import ApiError
from akidb_ray.domain.errors import Unavailable

Answer = TypeVar("Answer")

# 502 and 504 come from a proxy whose server is starting again.
_FOR_NOW = {429, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class Patience:
    """Waits grow by factors of two, from the first to the longest, until the total is used up."""

    total_s: float = 120.0
    first_s: float = 0.25
    longest_s: float = 10.0


def call_with_retries(
    call: Callable[[], Answer],
    wait: Callable[[float], None],
    patience: Patience,
) -> Answer:
    """Call until it succeeds, fails for good, or all waits together reach the total.

    The server's Retry-After counts when it is longer than our own wait. Jitter keeps many callers
    from coming back at once. Raises the last error.
    """
    waited_s = 0.0
    backoff_s = patience.first_s
    while True:
        try:
            return call()
        except (ApiError, Unavailable) as error:
            if not _passes(error):
                raise
            asked_s = getattr(error, "retry_after_s", None) or 0.0
            pause_s = max(asked_s, backoff_s * random.uniform(0.5, 1.0))
            if waited_s + pause_s > patience.total_s:
                raise
        wait(pause_s)
        waited_s += pause_s
        backoff_s = min(2 * backoff_s, patience.longest_s)


def _passes(error: ApiError | Unavailable) -> bool:
    if isinstance(error, Unavailable):
        return True
    # A quota is not used up for a moment, though the status is the same.
    return error.status in _FOR_NOW and error.code != "quota_exceeded"
