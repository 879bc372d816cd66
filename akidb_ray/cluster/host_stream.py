"""A gateway's end of the stream to one shard host.

Ray says where the host listens, and again whenever the stream breaks: it restarts the host, and
knows when it is back. A call waits for that within its deadline. What was sent before the stream
broke may have been carried out, and is sent again only if that does no harm.
"""

import asyncio
import itertools
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any

from akidb_ray.cluster.frames import BUFFER_BYTES, Frame, Kind, encode, read_frame
from akidb_ray.cluster.handshake import greet_host
from akidb_ray.cluster.host_server import HostEndpoint
from akidb_ray.domain.errors import AkiDBError, DeadlineExceeded, Unavailable

_RETRY_S = 0.2
_NUMBERS = 2**32
# A node that vanished says no farewell: after about this long without a sign it counts as gone.
_SILENCE_S = 10


class _Lost(Exception):
    """The stream broke before the answer came."""


class HostStream:
    """Calls to one host, over one connection that is made by the first of them.

    `find` asks Ray for the endpoint: it raises our errors. `what` names the host in errors.
    """

    def __init__(
        self,
        find: Callable[[], Awaitable[HostEndpoint]],
        node_id: str,
        what: str,
        timeout_s: float,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._find = find
        self._node_id = node_id
        self._what = what
        self._timeout_s = timeout_s
        self._tls = tls
        self._connecting = asyncio.Lock()
        self._connection: _Connection | None = None

    async def call(self, method: str, items: Any, *, again: bool) -> Any:
        """What the host's method answers. Raises our errors only.

        `again` says that the call may be carried out twice.
        """
        give_up_at = time.monotonic() + self._timeout_s
        while True:
            left_s = give_up_at - time.monotonic()
            try:
                async with asyncio.timeout(left_s):
                    connection = await self._connected()
                    return await connection.ask(method, items)
            except TimeoutError:
                raise DeadlineExceeded(f"{self._what} did not answer in time") from None
            except (_Lost, OSError) as error:
                sent = isinstance(error, _Lost)
                if (sent and not again) or left_s <= _RETRY_S:
                    raise Unavailable(f"{self._what} can't be reached now") from None
            await asyncio.sleep(_RETRY_S)

    async def _connected(self) -> "_Connection":
        """Raises OSError while the host does not listen, and what `find` does."""
        if self._connection is not None and self._connection.is_open:
            return self._connection
        async with self._connecting:
            if self._connection is None or not self._connection.is_open:
                self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> "_Connection":
        endpoint = await self._find()
        reader, writer = await self._open(endpoint)
        try:
            await greet_host(endpoint.secret, reader, writer)
        except BaseException:
            writer.close()
            raise
        return _Connection(reader, writer)

    async def _open(
        self, endpoint: HostEndpoint
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if endpoint.node_id == self._node_id:
            return await asyncio.open_unix_connection(endpoint.unix_path, limit=BUFFER_BYTES)
        reader, writer = await asyncio.open_connection(
            endpoint.address, endpoint.port, ssl=self._tls, limit=BUFFER_BYTES
        )
        _notice_silence(writer.get_extra_info("socket"))
        return reader, writer


class _Connection:
    """One open stream, with any number of calls under way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._receiving = asyncio.create_task(self._receive(reader))

    @property
    def is_open(self) -> bool:
        return not self._receiving.done()

    async def ask(self, method: str, items: Any) -> Any:
        """Raises _Lost, TooLarge, and what the host raises. Given up, it tells the host so."""
        if not self.is_open:
            raise _Lost
        number = next(self._numbers) % _NUMBERS
        request = encode(Kind.REQUEST, number, (method, items))
        answer = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            # Nothing more is laid before a host that does not take what lies there already.
            await self._writer.drain()
            self._writer.write(request)
            return await answer
        except asyncio.CancelledError:
            if self.is_open:
                self._writer.write(encode(Kind.CANCEL, number))
            raise
        except OSError:
            raise _Lost from None
        finally:
            del self._waiting[number]
            if not answer.cancel() and not answer.cancelled():
                # Lost while it was being sent: looked at, so that nobody is told it was forgotten.
                answer.exception()

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                frame = await read_frame(reader)
                waiting = self._waiting.get(frame.number)
                # Of who has given up meanwhile, nobody takes the answer.
                if waiting is not None and not waiting.done():
                    _settle(waiting, frame)
        except (asyncio.IncompleteReadError, OSError, ValueError):
            pass
        finally:
            self._writer.close()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(_Lost())


def _settle(waiting: "asyncio.Future[Any]", frame: Frame) -> None:
    try:
        value = frame.value()
    except AkiDBError as error:
        waiting.set_exception(error)
    else:
        if frame.kind is Kind.FAILURE:
            waiting.set_exception(value)
        else:
            waiting.set_result(value)


def _notice_silence(connection: socket.socket) -> None:
    """Let the stream break when the other node does not even acknowledge what it is sent."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # macOS has other names for these, and the usual two hours.
    if hasattr(socket, "TCP_KEEPIDLE"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _SILENCE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _SILENCE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENCE_S * 1000)
