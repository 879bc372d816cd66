"""Work beside an actor's calls: it goes on until it is stopped, whatever breaks."""

import asyncio
import logging

import pytest

from akidb_ray.cluster.background import Background


async def test_what_breaks_down_is_logged_and_begun_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    beginnings = 0
    third = asyncio.Event()

    async def work() -> None:
        nonlocal beginnings
        beginnings += 1
        if beginnings == 1:
            raise ZeroDivisionError
        if beginnings == 3:
            third.set()
            await asyncio.Event().wait()

    background = Background(restart_s=0.0)
    with caplog.at_level(logging.ERROR):
        background.start("the work", work)
        async with asyncio.timeout(10):
            await third.wait()
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "the work broke down; beginning again",
        "the work ended by itself; beginning again",
    ]
    assert caplog.records[0].exc_info is not None
    await background.stop()


async def test_stopping_waits_until_each_has_ended_in_the_opposite_order() -> None:
    began: set[str] = set()
    ended = []
    both = asyncio.Event()

    async def work(name: str) -> None:
        began.add(name)
        if len(began) == 2:
            both.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(name)

    background = Background()
    background.start("the first", lambda: work("first"))
    background.start("the second", lambda: work("second"))
    await both.wait()
    await background.stop()
    assert ended == ["second", "first"]
    await background.stop()
