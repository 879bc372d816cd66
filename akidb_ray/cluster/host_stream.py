"""A gateway's end of the streams to one shard host.

Ray says where the host listens, and again whenever a stream breaks: it restarts the host, and knows
when it is back. A call waits for that within its deadline. What was sent before the stream broke
may have been carried out, and is sent again only if that does no harm.

Each call has a connection of its own while it lasts. The one that was used last is used next, so a
gateway has as many as it has calls under way, up to a limit; calls beyond wait for one.
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any

from akidb_ray.cluster.frames import Assembler, Frame, Kind, encode
from akidb_ray.cluster.handshake import greet_host
from akidb_ray.cluster.host_server import HostEndpoint
from akidb_ray.cluster.silence import notice_silence
from akidb_ray.domain.errors import DeadlineExceeded, Unavailable

_RETRY_S = 0.2
# Of those that nobody uses, so many stay open: as many as take turns under load.
_KEPT = 8


class _Lost(Exception):
    """The stream broke before the answer came."""


class HostStream:
    """Calls to one host, at most `limit` of them at a time.

    `find` asks Ray for the endpoint: it raises our errors. `what` names the host in errors.
    """

    def __init__(
        self,
        find: Callable[[], Awaitable[HostEndpoint]],
        node_id: str,
        what: str,
        timeout_s: float,
        tls: ssl.SSLContext | None,
        limit: int,
    ) -> None:
        self._find = find
        self._node_id = node_id
        self._what = what
        self._timeout_s = timeout_s
        self._tls = tls
        self._places = asyncio.Semaphore(limit)
        self._idle: list[_Connection] = []
        self._endpoint: HostEndpoint | None = None

    async def call(self, method: str, items: Any, *, again: bool) -> Any:
        """What the host's method answers. Raises our errors only.

        `again` says that the call may be carried out twice.
        """
        request = encode(Kind.REQUEST, (method, items))
        give_up_at = time.monotonic() + self._timeout_s
        while True:
            left_s = give_up_at - time.monotonic()
            try:
                async with asyncio.timeout(left_s), self._places:
                    frame = await self._answer(request)
                break
            except TimeoutError:
                raise DeadlineExceeded(f"{self._what} did not answer in time") from None
            except (_Lost, OSError) as error:
                sent = isinstance(error, _Lost)
                if (sent and not again) or left_s <= _RETRY_S:
                    raise Unavailable(f"{self._what} can't be reached now") from None
            await asyncio.sleep(_RETRY_S)
        value = frame.value()
        if frame.kind is Kind.FAILURE:
            raise value
        return value

    async def _answer(self, request: bytes) -> Frame:
        """Raises _Lost, OSError while the host does not listen, and what `find` does."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                break
        else:
            connection = await self._connect()
        frame = await connection.ask(request)
        if len(self._idle) < _KEPT:
            self._idle.append(connection)
        else:
            connection.close()
        return frame

    async def _connect(self) -> "_Connection":
        try:
            if self._endpoint is None:
                self._endpoint = await self._find()
            return await self._connect_to(self._endpoint)
        except BaseException:
            # It may be somewhere else by now.
            self._endpoint = None
            raise

    async def _connect_to(self, endpoint: HostEndpoint) -> "_Connection":
        if endpoint.node_id == self._node_id:
            reader, writer = await asyncio.open_unix_connection(endpoint.unix_path)
        else:
            reader, writer = await asyncio.open_connection(
                endpoint.address, endpoint.port, ssl=self._tls
            )
            notice_silence(writer.get_extra_info("socket"))
        try:
            await greet_host(endpoint.secret, reader, writer)
        except BaseException:
            writer.close()
            raise
        return _Connection(writer)


class _Connection(asyncio.Protocol):
    """One open stream, with at most one call under way."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._assembler = Assembler()
        self._answer: asyncio.Future[Frame] | None = None
        # From here on, what comes in goes to this protocol, without tasks and queues in between.
        writer.transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        return not self._writer.is_closing()

    async def ask(self, request: bytes) -> Frame:
        """Raises _Lost. Given up, it closes the connection, which tells the host."""
        self._answer = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(request)
            return await self._answer
        except BaseException:
            self.close()
            raise
        finally:
            self._answer = None

    def close(self) -> None:
        self._writer.transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            frame = self._assembler.add(data)
        except ValueError:
            self.close()
            return
        if frame is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(frame)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(_Lost())
