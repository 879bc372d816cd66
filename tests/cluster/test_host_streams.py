"""Streams between gateways and shard hosts: calls, places, deadlines, hosts that come and go."""

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from akidb_ray.cluster.host_server import HostServer
from akidb_ray.cluster.host_stream import HostStream
from akidb_ray.domain.errors import DeadlineExceeded, InvalidArgument, Unavailable
from tests.cluster.stream_hosts import Place, stream_to, until


async def test_each_of_many_calls_gets_its_own_answer_while_another_waits(
    place: Place, stream: HostStream
) -> None:
    waiting = asyncio.create_task(stream.call("ask", ["wait"], again=True))
    await until(place.host.begun.is_set)
    answers = await asyncio.gather(*(stream.call("ask", [n], again=True) for n in range(50)))
    assert answers == [[n] for n in range(50)]
    place.host.go.set()
    assert await waiting == ["wait"]


async def test_calls_one_after_the_other_share_a_connection(
    place: Place, stream: HostStream
) -> None:
    for n in range(20):
        assert await stream.call("ask", [n], again=True) == [n]
    assert place.asked == 1
    assert len(place.connections()) == 1


async def test_of_many_connections_few_stay_when_nobody_uses_them(
    place: Place, stream: HostStream
) -> None:
    calls = [stream.call("ask", ["wait"], again=True, group=n) for n in range(30)]
    waiting = [asyncio.create_task(call) for call in calls]
    await until(lambda: len(place.connections()) == 30)
    place.host.go.set()
    await asyncio.gather(*waiting)
    await until(lambda: len(place.connections()) <= 8)
    assert await stream.call("ask", [1], again=True) == [1]


async def test_calls_of_a_group_leave_places_to_others(place: Place) -> None:
    stream = stream_to(place, limit=8)
    first = [asyncio.create_task(stream.call("ask", ["wait"], again=True)) for _ in range(2)]
    await until(lambda: len(place.connections()) == 2)
    third = asyncio.create_task(stream.call("ask", [3], again=True))
    assert not (await asyncio.wait([third], timeout=0.1))[0]
    assert len(place.connections()) == 2
    assert await stream.call("ask", [4], again=True, group="another") == [4]
    place.host.go.set()
    assert await third == [3]
    assert await asyncio.gather(*first) == [["wait"], ["wait"]]


async def test_no_more_is_sent_to_a_host_that_hangs_than_it_has_places(place: Place) -> None:
    stream = stream_to(place, timeout_s=0.3, limit=4)
    for _ in range(3):
        with pytest.raises(DeadlineExceeded):
            await stream.call("ask", ["wait"], again=True)
    # What was given up keeps its place, and nobody else has to wait for it.
    assert len(place.connections()) == 1
    assert await stream.call("ask", [1], again=True, group="another") == [1]
    place.host.go.set()
    await until(lambda: place.host.ended == ["gone"])
    assert await stream_to(place).call("ask", [2], again=True) == [2]
    assert await stream.call("ask", [3], again=True) == [3]


async def test_many_who_come_first_ask_ray_once(place: Place, stream: HostStream) -> None:
    calls = [stream.call("ask", [n], again=True, group=n) for n in range(20)]
    assert await asyncio.gather(*calls) == [[n] for n in range(20)]
    assert place.asked == 1


async def test_a_host_without_threads_left_takes_the_next_connection_when_it_has_some(
    place: Place, stream: HostStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, refused = threading.Thread.start, []

    def start_none(thread: threading.Thread) -> None:
        if thread.name == "connection" and len(refused) < 2:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_none)
    assert await stream.call("ask", [1], again=False) == [1]
    assert len(refused) == 2


async def test_a_batch_larger_than_every_buffer_comes_back_as_it_was(stream: HostStream) -> None:
    vectors = np.arange(5_000_000, dtype=np.float32)
    (answer,) = await stream.call("ask", [vectors], again=True)
    assert np.array_equal(answer, vectors)


async def test_errors_arrive_with_all_their_fields_and_defects_without_their_text(
    stream: HostStream,
) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await stream.call("ask", ["wrong"], again=True)
    assert raised.value.fields == {"field": "vector", "reason": "is wrong", "row": 3}
    with pytest.raises(Exception, match="ZeroDivisionError in a shard host"):
        await stream.call("ask", ["broken"], again=True)
    with pytest.raises(Exception, match="KeyError in a shard host"):
        await stream.call("drop_everything", [], again=True)


async def test_a_host_sees_that_a_call_was_given_up_and_no_other_is_harmed(
    place: Place, stream: HostStream
) -> None:
    given_up = asyncio.create_task(stream.call("ask", ["wait"], again=True))
    await until(place.host.begun.is_set)
    given_up.cancel()
    assert await stream.call("ask", [1], again=True) == [1]
    place.host.go.set()
    await until(lambda: place.host.ended == ["gone"])
    place.host.ended.clear()
    assert await stream.call("ask", ["wait"], again=True) == ["wait"]
    assert place.host.ended == ["there"]


async def test_a_read_ends_at_its_deadline(place: Place) -> None:
    with pytest.raises(DeadlineExceeded):
        await stream_to(place, timeout_s=0.3).call("ask", ["wait"], again=True)
    place.host.go.set()
    await until(lambda: place.host.ended == ["gone"])


async def test_a_write_that_is_given_up_is_ended_by_the_thread_that_began_it(
    place: Place, stream: HostStream
) -> None:
    begun = asyncio.create_task(stream.call("write", [1], again=False))
    await until(lambda: place.host.ended == ["began [1]"])
    begun.cancel()
    assert await stream.call("ask", [1], again=True) == [1]
    place.host.go.set()
    await until(lambda: place.host.ended == ["began [1]", "wrote [1]"])


async def test_a_host_that_came_back_is_found_again(place: Place, stream: HostStream) -> None:
    assert await stream.call("ask", [1], again=False) == [1]
    place.host.server.close()
    await place.start()
    assert await stream.call("ask", [2], again=True) == [2]
    assert place.asked >= 2


async def test_what_may_be_carried_out_twice_is_sent_again_and_nothing_else(
    place: Place, stream: HostStream
) -> None:
    read = asyncio.create_task(stream.call("ask", ["wait"], again=True))
    once = asyncio.create_task(stream.call("ask", ["wait"], again=False))
    await until(place.host.begun.is_set)
    first = place.host
    await place.start()
    place.host.go.set()
    first.server.close()
    assert await read == ["wait"]
    with pytest.raises(Unavailable):
        await once


async def test_closing_a_host_ends_its_calls(place: Place, stream: HostStream) -> None:
    asked = asyncio.create_task(stream.call("ask", ["wait"], again=False))
    await until(place.host.begun.is_set)
    place.host.server.close()
    with pytest.raises(Unavailable):
        await asked
    place.host.go.set()
    await until(lambda: place.host.ended == ["gone"])


async def test_a_host_that_cannot_listen_may_try_again(tmp_path: Path) -> None:
    server = HostServer({})
    path = tmp_path / "host.sock"
    with pytest.raises(OSError, match="address"):
        server.listen("here", path, "192.0.2.99", None)
    assert not path.exists()
    assert server.listen("here", path, "127.0.0.1", None).port
    server.close()
