"""The stream between gateways and shard hosts, over real sockets; Ray's part, saying where a host
listens, is played by the test.
"""

import asyncio
import hmac
import pickle
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from akidb_ray import __version__
from akidb_ray.cluster import handshake
from akidb_ray.cluster.frames import Kind, read_frame
from akidb_ray.cluster.host_server import HostEndpoint, HostServer
from akidb_ray.cluster.host_stream import HostStream
from akidb_ray.cluster.ray_tls import client_tls, server_tls
from akidb_ray.domain.errors import DeadlineExceeded, InvalidArgument, Unavailable
from tests.certificates import of_authority

TIMEOUT_S = 20.0


class Host:
    """A host that answers items with themselves, and breaks, refuses and waits where told."""

    def __init__(self) -> None:
        self.server = HostServer({"ask": self.ask, "write": self.write})
        self.go = asyncio.Event()
        self.threads = ThreadPoolExecutor(1)
        self.thread_may_go = threading.Event()
        self.begun = asyncio.Event()
        self.ended: list[str] = []

    async def ask(self, items: list[Any]) -> list[Any]:
        asked = items[0] if isinstance(items[0], str) else None
        if asked == "broken":
            raise ZeroDivisionError
        if asked == "wrong":
            raise InvalidArgument("vector", "is wrong", 3)
        if asked == "wait":
            self.begun.set()
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.ended.append("read cancelled")
                raise
        return items

    async def write(self, items: list[Any]) -> list[Any]:
        """In a thread, one after the other, as a host does."""

        def work() -> list[Any]:
            self.ended.append(f"began {items}")
            self.thread_may_go.wait(TIMEOUT_S)
            self.ended.append(f"wrote {items}")
            return items

        return await asyncio.get_running_loop().run_in_executor(self.threads, work)


class Place:
    """Where a gateway is told to look for the host."""

    def __init__(self, path: Path, tls: ssl.SSLContext | None = None) -> None:
        self.path = path
        self.tls = tls
        self.host = Host()
        self.endpoint: HostEndpoint | None = None
        self.asked = 0
        self.started = 0

    async def start(self) -> None:
        """A new process, with a socket of its own, as after a restart."""
        self.started += 1
        self.host = Host()
        path = self.path.with_suffix(f".{self.started}.sock")
        self.endpoint = await self.host.server.listen("here", path, "127.0.0.1", self.tls)

    async def find(self) -> HostEndpoint:
        self.asked += 1
        assert self.endpoint is not None
        return self.endpoint


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    place = Place(tmp_path / "host.sock")
    await place.start()
    yield place
    place.host.thread_may_go.set()
    await place.host.server.close()


def stream_to(place: Place, node_id: str = "here", timeout_s: float = TIMEOUT_S) -> HostStream:
    return HostStream(place.find, node_id, "the shard host", timeout_s, None)


@pytest.fixture(params=["here", "elsewhere"])
def stream(place: Place, request: pytest.FixtureRequest) -> HostStream:
    """Over the Unix socket, and as from another node."""
    return stream_to(place, request.param)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.001)


async def test_each_of_many_calls_gets_its_own_answer_over_one_connection(
    place: Place, stream: HostStream
) -> None:
    waiting = asyncio.create_task(stream.call("ask", ["wait"], again=True))
    await place.host.begun.wait()
    answers = await asyncio.gather(*(stream.call("ask", [n], again=True) for n in range(50)))
    assert answers == [[n] for n in range(50)]
    place.host.go.set()
    assert await waiting == ["wait"]
    assert place.asked == 1


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
    with pytest.raises(Exception, match="no call"):
        await stream.call("drop_everything", [], again=True)


async def test_a_read_that_is_given_up_ends_on_the_host_and_harms_no_other(
    place: Place, stream: HostStream
) -> None:
    asked = asyncio.create_task(stream.call("ask", ["wait"], again=True))
    await place.host.begun.wait()
    asked.cancel()
    assert await stream.call("ask", [1], again=True) == [1]
    await until(lambda: place.host.ended == ["read cancelled"])


async def test_a_read_ends_at_its_deadline(place: Place) -> None:
    with pytest.raises(DeadlineExceeded):
        await stream_to(place, timeout_s=0.3).call("ask", ["wait"], again=True)
    await until(lambda: place.host.ended == ["read cancelled"])


async def test_of_writes_that_are_given_up_a_thread_ends_the_one_it_began(
    place: Place, stream: HostStream
) -> None:
    begun = asyncio.create_task(stream.call("write", [1], again=False))
    await until(lambda: place.host.ended == ["began [1]"])
    queued = asyncio.create_task(stream.call("write", [2], again=False))
    assert await stream.call("ask", [1], again=True) == [1]
    begun.cancel()
    queued.cancel()
    assert await stream.call("ask", [1], again=True) == [1]
    place.host.thread_may_go.set()
    await asyncio.to_thread(place.host.threads.shutdown)
    assert place.host.ended == ["began [1]", "wrote [1]"]


async def test_nothing_more_is_sent_to_a_host_that_takes_nothing(place: Place) -> None:
    assert place.endpoint is not None
    secret, awake, received = place.endpoint.secret, asyncio.Event(), []

    async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handshake.greet_gateway(secret, reader, writer)
        await awake.wait()
        while True:
            received.append((await read_frame(reader)).kind)

    path = place.path.with_name("stuck.sock")
    async with await asyncio.start_unix_server(stuck, path):
        place.endpoint = replace(place.endpoint, unix_path=str(path))
        stream = stream_to(place, timeout_s=0.3)
        large = np.zeros(8_000_000, dtype=np.uint8)
        for _ in range(4):
            with pytest.raises(DeadlineExceeded):
                await stream.call("write", [large], again=False)
        awake.set()
        await until(lambda: received[-1:] == [Kind.CANCEL])
    assert received.count(Kind.REQUEST) == 1


async def test_a_host_that_came_back_is_found_again(place: Place, stream: HostStream) -> None:
    assert await stream.call("ask", [1], again=False) == [1]
    await place.host.server.close()
    await place.start()
    assert await stream.call("ask", [2], again=True) == [2]
    assert place.asked >= 2


async def test_what_may_be_carried_out_twice_is_sent_again_and_nothing_else(
    place: Place, stream: HostStream
) -> None:
    read = asyncio.create_task(stream.call("ask", ["wait"], again=True))
    once = asyncio.create_task(stream.call("ask", ["wait"], again=False))
    await place.host.begun.wait()
    first = place.host
    await place.start()
    place.host.go.set()
    await first.server.close()
    assert await read == ["wait"]
    with pytest.raises(Unavailable):
        await once


async def test_closing_a_host_ends_its_calls(place: Place, stream: HostStream) -> None:
    asked = asyncio.create_task(stream.call("ask", ["wait"], again=False))
    await place.host.begun.wait()
    await place.host.server.close()
    with pytest.raises(Unavailable):
        await asked
    await until(lambda: place.host.ended == ["read cancelled"])


async def test_a_host_that_cannot_listen_may_try_again(tmp_path: Path) -> None:
    server = HostServer({})
    path = tmp_path / "host.sock"
    with pytest.raises(OSError, match="address"):
        await server.listen("here", path, "192.0.2.99", None)
    assert not path.exists()
    assert (await server.listen("here", path, "127.0.0.1", None)).port
    await server.close()


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
    writer.write(bytes(64 + 32) + len(raw).to_bytes(4, "little") + bytes(4) + b"\1" + raw)
    # The host's own greeting comes, and then the end.
    await reader.read()
    writer.close()
    assert not bomb.exists()


async def test_a_stranger_in_the_hosts_place_is_not_spoken_to(place: Place) -> None:
    stranger = HostServer({})
    other = place.path.with_name("other.sock")
    false = await stranger.listen("here", other, "127.0.0.1", None)
    assert place.endpoint is not None
    place.endpoint = HostEndpoint(
        "here", false.unix_path, false.address, false.port, place.endpoint.secret
    )
    with pytest.raises(Unavailable, match="can't be reached"):
        await stream_to(place, timeout_s=0.3).call("ask", [1], again=True)
    await stranger.close()


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
        stream = HostStream(place.find, "elsewhere", "the shard host", 1.0, tls)
        return stream.call("ask", [1], again=True)

    assert await from_afar(client_tls(ours)) == [1]
    for tls in (None, client_tls(variables(stranger, authority))):
        with pytest.raises((Unavailable, DeadlineExceeded)):
            await from_afar(tls)
    await place.host.server.close()


def test_without_tls_in_ray_there_is_none_here() -> None:
    assert server_tls({}) is None
    assert client_tls({"RAY_USE_TLS": "0"}) is None
