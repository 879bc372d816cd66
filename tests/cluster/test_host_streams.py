"""The stream between gateways and shard hosts, over real sockets; Ray's part, saying where a host
listens, is played by the test.
"""

import asyncio
import contextlib
import hmac
import pickle
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from akidb_ray import __version__
from akidb_ray.cluster import handshake
from akidb_ray.cluster.host_server import Caller, HostEndpoint, HostServer
from akidb_ray.cluster.host_stream import HostStream
from akidb_ray.cluster.ray_tls import client_tls, server_tls
from akidb_ray.domain.errors import DeadlineExceeded, InvalidArgument, Unavailable
from tests.certificates import of_authority

TIMEOUT_S = 20.0


class Host:
    """A host that answers items with themselves, and breaks, refuses and waits where told."""

    def __init__(self) -> None:
        self.server = HostServer({"ask": self.ask, "write": self.write})
        self.go = threading.Event()
        self.begun = threading.Event()
        self.ended: list[str] = []

    def ask(self, items: list[Any], caller: Caller) -> list[Any]:
        asked = items[0] if isinstance(items[0], str) else None
        if asked == "broken":
            raise ZeroDivisionError
        if asked == "wrong":
            raise InvalidArgument("vector", "is wrong", 3)
        if asked == "wait":
            self.begun.set()
            assert self.go.wait(TIMEOUT_S)
            self.ended.append("gone" if is_gone(caller) else "there")
        return items

    def write(self, items: list[Any], _: Caller) -> list[Any]:
        self.ended.append(f"began {items}")
        assert self.go.wait(TIMEOUT_S)
        self.ended.append(f"wrote {items}")
        return items


def is_gone(caller: Caller) -> bool:
    try:
        caller.check()
    except Unavailable:
        return True
    return False


class Place:
    """Where a gateway is told to look for the host."""

    def __init__(self, path: Path, tls: ssl.SSLContext | None = None) -> None:
        self.path = path
        self.tls = tls
        self.host = Host()
        self.endpoint: HostEndpoint | None = None
        self.asked = 0
        self.started = 0
        # Threads of tests before may take their time.
        self.others = set(threading.enumerate())

    async def start(self) -> None:
        """A new process, with a socket of its own, as after a restart."""
        self.started += 1
        self.host = Host()
        path = self.path.with_suffix(f".{self.started}.sock")
        self.endpoint = self.host.server.listen("here", path, "127.0.0.1", self.tls)

    def connections(self) -> list[threading.Thread]:
        """The threads of the host that serve one each."""
        threads = set(threading.enumerate()) - self.others
        return [thread for thread in threads if thread.name == "connection"]

    async def find(self) -> HostEndpoint:
        self.asked += 1
        assert self.endpoint is not None
        return self.endpoint


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    place = Place(tmp_path / "host.sock")
    await place.start()
    yield place
    place.host.go.set()
    place.host.server.close()


def stream_to(
    place: Place, node_id: str = "here", timeout_s: float = TIMEOUT_S, limit: int = 32
) -> HostStream:
    return HostStream(place.find, node_id, "the shard host", timeout_s, None, limit)


@pytest.fixture(params=["here", "elsewhere"])
def stream(place: Place, request: pytest.FixtureRequest) -> HostStream:
    """Over the Unix socket, and as from another node."""
    return stream_to(place, request.param)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.001)


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


async def test_a_stranger_that_takes_its_time_is_sent_away(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshake, "TIMEOUT_S", 0.3)
    assert place.endpoint is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", place.endpoint.port)

    async def drip() -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(TIMEOUT_S):
        # The host's own greeting comes, and then the end.
        await reader.readexactly(64 + 32)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    dripping.cancel()
    writer.close()
    assert await stream_to(place, "elsewhere").call("ask", [1], again=True) == [1]


async def test_many_silent_strangers_keep_out_no_gateway_of_the_node(place: Place) -> None:
    assert place.endpoint is not None
    address = "127.0.0.1", place.endpoint.port
    with contextlib.ExitStack() as strangers:
        for _ in range(100):
            strangers.enter_context(socket.create_connection(address))
        assert await stream_to(place).call("ask", [1], again=True) == [1]
        assert len(place.connections()) <= 64 + 1


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


class Bomb:
    """Says so when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


async def test_a_stranger_gets_nothing_unpickled(place: Place, tmp_path: Path) -> None:
    assert place.endpoint is not None
    bomb = tmp_path / "exploded"
    reader, writer = await asyncio.open_connection("127.0.0.1", place.endpoint.port)
    raw = pickle.dumps(Bomb(bomb))
    writer.write(bytes(64 + 32) + len(raw).to_bytes(4, "little") + b"\1" + raw)
    # The host's own greeting comes, and then the end, with what it did not read thrown away.
    with contextlib.suppress(ConnectionResetError):
        await reader.read()
    writer.close()
    assert not bomb.exists()


async def test_a_stranger_in_the_hosts_place_is_not_spoken_to(place: Place) -> None:
    stranger = HostServer({})
    other = place.path.with_name("other.sock")
    false = stranger.listen("here", other, "127.0.0.1", None)
    assert place.endpoint is not None
    place.endpoint = HostEndpoint(
        "here", false.unix_path, false.address, false.port, place.endpoint.secret
    )
    with pytest.raises(Unavailable, match="can't be reached"):
        await stream_to(place, timeout_s=0.3).call("ask", [1], again=True)
    stranger.close()


async def test_ends_of_different_versions_say_so(tmp_path: Path) -> None:
    secret = handshake.new_secret()

    async def older(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"0.0.9".ljust(64, b"\0") + bytes(32))
        greeting = await reader.readexactly(64 + 32)
        writer.write(hmac.digest(secret, b"shard host" + greeting[64:], "sha256"))
        await reader.read()
        writer.close()

    path = tmp_path / "older.sock"
    async with await asyncio.start_unix_server(older, path):
        reader, writer = await asyncio.open_unix_connection(path)
        with pytest.raises(Unavailable, match=f"runs AkiDB 0.0.9, this one {__version__}"):
            await handshake.greet_host(secret, reader, writer)
        writer.close()


def variables(certificate: Path, authority: Path) -> dict[str, str]:
    """As Ray reads them."""
    return {
        "RAY_USE_TLS": "1",
        "RAY_TLS_SERVER_CERT": str(certificate),
        "RAY_TLS_SERVER_KEY": str(certificate.with_suffix(".key")),
        "RAY_TLS_CA_CERT": str(authority),
    }


async def test_between_nodes_streams_use_the_certificates_that_ray_uses(tmp_path: Path) -> None:
    authority = of_authority(tmp_path, "authority", None)
    ours = variables(of_authority(tmp_path, "node", authority), authority)
    stranger = of_authority(tmp_path, "stranger", None)
    place = Place(tmp_path / "host.sock", server_tls(ours))
    await place.start()

    def from_afar(tls: ssl.SSLContext | None) -> Awaitable[Any]:
        stream = HostStream(place.find, "elsewhere", "the shard host", 1.0, tls, 32)
        return stream.call("ask", [1], again=True)

    assert await from_afar(client_tls(ours)) == [1]
    for tls in (None, client_tls(variables(stranger, authority))):
        with pytest.raises((Unavailable, DeadlineExceeded)):
            await from_afar(tls)
    place.host.server.close()


def test_without_tls_in_ray_there_is_none_here() -> None:
    assert server_tls({}) is None
    assert client_tls({"RAY_USE_TLS": "0"}) is None
