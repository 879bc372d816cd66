"""A host for streams to gateways, over real sockets; Ray's part, saying where a host listens, is
played here.
"""

import asyncio
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from akidb_ray.cluster.host_server import Caller, HostEndpoint, HostServer
from akidb_ray.cluster.host_stream import HostStream
from akidb_ray.domain.errors import InvalidArgument, Unavailable

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


def stream_to(
    place: Place, node_id: str = "here", timeout_s: float = TIMEOUT_S, limit: int = 32
) -> HostStream:
    return HostStream(place.find, node_id, "the shard host", timeout_s, None, limit)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.001)
