"""Who is spoken to at either end of a stream between gateway and shard host."""

import asyncio
import contextlib
import hmac
import pickle
import socket
import ssl
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from akidb_ray import __version__
from akidb_ray.cluster import handshake
from akidb_ray.cluster.host_server import HostEndpoint, HostServer
from akidb_ray.cluster.host_stream import HostStream
from akidb_ray.cluster.ray_tls import client_tls, server_tls
from akidb_ray.domain.errors import DeadlineExceeded, Unavailable
from tests.certificates import of_authority
from tests.cluster.stream_hosts import TIMEOUT_S, Place, stream_to


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
