"""Concurrent requests share calls; nobody waits for company, nobody harms another."""

import asyncio
from collections.abc import Sequence

import pytest

from akidb_ray.cluster.coalescing import Coalescer
from akidb_ray.domain.errors import AkiDBError, Internal, Unavailable


class Host:
    """Answers a call, with ten times each item, when it is let go."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.go = asyncio.Event()
        self.broken: Exception | None = None

    async def call(self, items: Sequence[int]) -> list[int | AkiDBError]:
        self.calls.append(list(items))
        await self.go.wait()
        if self.broken is not None:
            raise self.broken
        return [10 * item for item in items]


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def coalescer(host: Host) -> Coalescer[int, int]:
    return Coalescer(host.call)


async def until_waiting() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_idle_host_is_called_at_once(host: Host, coalescer: Coalescer[int, int]) -> None:
    host.go.set()
    assert await coalescer.ask([1, 2]) == [10, 20]
    assert host.calls == [[1, 2]]


async def test_a_large_batch_is_cut_for_an_idle_host_too(
    host: Host, coalescer: Coalescer[int, int]
) -> None:
    host.go.set()
    assert await coalescer.ask(range(200)) == [10 * number for number in range(200)]
    assert [len(call) for call in host.calls] == [64, 64, 64, 8]


async def test_what_comes_while_calls_are_in_flight_shares_the_next_one(
    host: Host, coalescer: Coalescer[int, int]
) -> None:
    asked = [asyncio.create_task(coalescer.ask([number])) for number in range(10)]
    await until_waiting()
    in_flight = len(host.calls)
    host.go.set()
    assert await asyncio.gather(*asked) == [[10 * number] for number in range(10)]
    assert len(host.calls) == in_flight + 1
    assert sum(len(call) for call in host.calls) == 10


async def test_a_caller_that_goes_away_harms_nobody(
    host: Host, coalescer: Coalescer[int, int]
) -> None:
    asked = [asyncio.create_task(coalescer.ask([number])) for number in range(10)]
    await until_waiting()
    for task in (asked[0], asked[-1]):
        task.cancel()
    await until_waiting()
    host.go.set()
    assert await asyncio.gather(*asked[1:-1]) == [[10 * number] for number in range(1, 9)]
    assert 9 not in host.calls[-1], "who went away before the call is left out"
    assert await coalescer.ask([7]) == [70]


@pytest.mark.parametrize(
    ("broken", "seen"), [(Unavailable("gone"), Unavailable), (KeyError("x"), Internal)]
)
async def test_a_broken_call_answers_everybody_and_the_next_one_works(
    host: Host, coalescer: Coalescer[int, int], broken: Exception, seen: type[AkiDBError]
) -> None:
    host.broken = broken
    host.go.set()
    answers = await asyncio.gather(*(coalescer.ask([number]) for number in range(5)))
    assert all(isinstance(answer, seen) for answers in answers for answer in answers)
    host.broken = None
    assert await coalescer.ask([1]) == [10]


async def test_a_call_that_nobody_waits_for_any_more_makes_room_for_others(
    host: Host, coalescer: Coalescer[int, int]
) -> None:
    stuck = [asyncio.create_task(coalescer.ask([number])) for number in range(2)]
    await until_waiting()
    later = asyncio.create_task(coalescer.ask([7]))
    await until_waiting()
    assert host.calls == [[0], [1]], "both calls are taken by a host that answers nothing"
    stuck[0].cancel()
    await until_waiting()
    assert host.calls == [[0], [1], [7]]
    host.go.set()
    assert await later == [70]
    assert await stuck[1] == [10]


async def test_a_call_goes_on_while_one_of_its_callers_is_left(
    host: Host, coalescer: Coalescer[int, int]
) -> None:
    first = [asyncio.create_task(coalescer.ask([number])) for number in range(2)]
    await until_waiting()
    sharing = [asyncio.create_task(coalescer.ask([number])) for number in (2, 3)]
    for task in first:
        task.cancel()
    await until_waiting()
    sharing[0].cancel()
    await until_waiting()
    host.go.set()
    assert await sharing[1] == [30]
    assert host.calls == [[0], [1], [2, 3]]


async def test_a_call_that_takes_long_holds_up_no_other(
    host: Host, coalescer: Coalescer[int, int]
) -> None:
    asked = [asyncio.create_task(coalescer.ask([number])) for number in range(3)]
    await until_waiting()
    assert len(host.calls) < len(asked)
    async with asyncio.timeout(10):
        while len(host.calls) < len(asked):
            await asyncio.sleep(0.001)
    assert not coalescer.is_idle
    host.go.set()
    assert await asyncio.gather(*asked) == [[0], [10], [20]]
    assert coalescer.is_idle
