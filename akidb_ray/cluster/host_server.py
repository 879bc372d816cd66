"""The host's end of the streams: where gateways ask and write.

It listens on a Unix socket in a private folder, for gateways of the same node, and on the node's
address, for all others. What a gateway gives up, or loses by going away, is cancelled: no thread
begins with it any more. What a thread has begun goes on to its end.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from akidb_ray.cluster.frames import BUFFER_BYTES, Frame, Kind, encode, read_frame
from akidb_ray.cluster.handshake import greet_gateway, new_secret
from akidb_ray.domain.errors import AkiDBError, Internal, Unavailable

_log = logging.getLogger(__name__)
Method = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class HostEndpoint:
    """Where a host listens, until its process ends. The secret is shown to nobody but gateways."""

    node_id: str
    unix_path: str
    address: str
    port: int
    secret: bytes = field(repr=False)


class HostServer:
    """Serves methods, by their names, that take a list of items."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = methods
        self._secret = new_secret()
        self._servers: list[asyncio.Server] = []
        self._socket_path: Path | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def listen(
        self, node_id: str, socket_path: Path, address: str, tls: ssl.SSLContext | None
    ) -> HostEndpoint:
        """`socket_path` lies in a folder that is private to this user. Raises OSError."""
        self._socket_path = socket_path
        local = await asyncio.start_unix_server(self._accept, socket_path, limit=BUFFER_BYTES)
        self._servers = [local]
        try:
            remote = await asyncio.start_server(
                self._accept, address, 0, ssl=tls, limit=BUFFER_BYTES
            )
        except OSError:
            await self.close()
            raise
        self._servers.append(remote)
        port = remote.sockets[0].getsockname()[1]
        return HostEndpoint(node_id, str(socket_path), address, port, self._secret)

    async def close(self) -> None:
        """Take no more calls, and cancel those under way."""
        for server in self._servers:
            server.close()
        if self._socket_path is not None:
            self._socket_path.unlink(missing_ok=True)
        for connection in self._connections:
            connection.cancel()
        if self._connections:
            await asyncio.wait(self._connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The task that asyncio made for this connection.
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        try:
            await greet_gateway(self._secret, reader, writer)
            await self._serve(reader, writer)
        except (ConnectionError, Unavailable) as error:
            _log.warning("a stream was refused, or broke: %s", error)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError, ValueError):
            # The gateway has gone, or this host is stopping. asyncio would log a cancellation.
            pass
        finally:
            self._connections.discard(connection)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer calls until the stream ends."""
        calls: dict[int, asyncio.Task[None]] = {}
        try:
            while True:
                frame = await read_frame(reader)
                if frame.kind is Kind.REQUEST:
                    self._begin(frame, writer, calls)
                elif task := calls.get(frame.number):
                    task.cancel()
        finally:
            for task in list(calls.values()):
                task.cancel()

    def _begin(
        self,
        frame: Frame,
        writer: asyncio.StreamWriter,
        calls: dict[int, "asyncio.Task[None]"],
    ) -> None:
        try:
            method, items = frame.value()
            work = self._methods[method]
        except (AkiDBError, KeyError, TypeError, ValueError) as error:
            failure = error if isinstance(error, AkiDBError) else Internal(f"no call: {error!r}")
            writer.write(encode(Kind.FAILURE, frame.number, failure))
            return
        task = asyncio.create_task(_answer(work, items, frame.number, writer))
        calls[frame.number] = task
        task.add_done_callback(lambda _: calls.pop(frame.number))


async def _answer(work: Method, items: Any, number: int, writer: asyncio.StreamWriter) -> None:
    try:
        answer = encode(Kind.ANSWER, number, await work(items))
    except AkiDBError as error:
        answer = encode(Kind.FAILURE, number, error)
    except Exception as error:
        _log.exception("a call of a shard host broke")
        answer = encode(Kind.FAILURE, number, Internal(f"{type(error).__name__} in a shard host"))
    if not writer.is_closing():
        try:
            writer.write(answer)
            await writer.drain()
        except OSError:
            # The gateway went away with its call; whoever sent it asks again elsewhere.
            pass
