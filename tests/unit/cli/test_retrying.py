"""Retries, on a clock that no test waits for."""

from collections.abc import Callable

import pytest

from akidb_ray.cli.client import ApiError
from akidb_ray.cli.retrying import Patience, call_with_retries
from akidb_ray.domain.errors import Unavailable


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.waits_s: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> None:
        self.waits_s.append(seconds)
        self.now_s += seconds


def failing(times: int, error: Exception) -> Callable[[], str]:
    left = [error] * times

    def call() -> str:
        if left:
            raise left.pop()
        return "done"

    return call


def busy(status: int = 503, code: str = "unavailable", after_s: float | None = None) -> ApiError:
    return ApiError(status, code, "busy", {}, after_s)


def retry(call: Callable[[], str], clock: Clock) -> str:
    return call_with_retries(call, Patience(), clock.wait, clock)


@pytest.mark.parametrize(
    "error",
    [busy(), busy(429, "rate_limited"), busy(500, "unknown"), busy(502), Unavailable("x")],
)
def test_what_passes_is_tried_again(error: Exception) -> None:
    clock = Clock()
    assert retry(failing(3, error), clock) == "done"
    assert len(clock.waits_s) == 3


@pytest.mark.parametrize(
    "error", [busy(429, "quota_exceeded"), busy(422), busy(500, "internal"), busy(401)]
)
def test_what_does_not_pass_is_raised_at_once(error: Exception) -> None:
    clock = Clock()
    with pytest.raises(ApiError):
        retry(failing(1, error), clock)
    assert not clock.waits_s


def test_waits_grow_and_stay_below_the_longest() -> None:
    clock = Clock()
    retry(failing(9, busy()), clock)
    assert clock.waits_s[0] <= 0.25
    assert clock.waits_s[4] > clock.waits_s[0]
    assert max(clock.waits_s) <= 10.0


def test_the_server_decides_when_it_names_a_longer_wait() -> None:
    clock = Clock()
    retry(failing(1, busy(after_s=7.0)), clock)
    assert clock.waits_s == [7.0]


def test_it_gives_up_when_patience_ends() -> None:
    clock = Clock()
    with pytest.raises(ApiError):
        retry(failing(1_000, busy()), clock)
    assert 100.0 < clock.now_s <= 120.0
