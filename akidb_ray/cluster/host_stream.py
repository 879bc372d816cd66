"""A gateway's end of the streams to one shard host.

Ray says where the host listens, and again whenever a stream breaks: it restarts the host, and knows
when it is back. A call waits for that within its deadline. What was sent before the stream broke
may have been carried out, and is sent again only if that does no harm.

Each call has a connection of its own while it lasts. The one that was used last is used next, so a
gateway has as many as it has calls under way, up to a limit; calls beyond wait for a place. A call
that is given up keeps its place until the host has done with it, so that a host that hangs is not
sent more and more.
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any
from weakref import WeakValueDictionary

from akidb_ray.cluster.frames import Assembler, Frame, Kind, encode
from akidb_ray.cluster.handshake import TIMEOUT_S, greet_host
from akidb_ray.cluster.host_server import HostEndpoint
from akidb_ray.cluster.keepalive import set_keepalive
from akidb_ray.domain.errors import DeadlineExceeded, Unavailable

_RETRY_S = 0.2
# Of those that nobody uses, so many stay open: as many as take turns under load.
_KEPT = 8
# Of all places, a group has this part at most.
_SHARE = 1 / 4


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
        self._places = _Places(limit)
        self._idle: list[_Connection] = []
        self._finding = asyncio.Lock()
        self._endpoint: HostEndpoint | None = None

    async def call(self, method: str, items: Any, *, again: bool, group: Hashable = None) -> Any:
        """What the host's method answers. Raises our errors only.

        `again` says that the call may be carried out twice. Those of one `group`, such as a
        collection, leave places to others.
        """
        give_up_at = time.monotonic() + self._timeout_s
        while True:
            try:
                async with asyncio.timeout(give_up_at - time.monotonic()):
                    frame = await self._answer(method, items, group)
                break
            except TimeoutError:
                raise DeadlineExceeded(f"{self._what} did not answer in time") from None
            except (_Lost, OSError) as error:
                sent = isinstance(error, _Lost)
                if (sent and not again) or give_up_at - time.monotonic() <= _RETRY_S:
                    raise Unavailable(f"{self._what} can't be reached now") from None
            await asyncio.sleep(_RETRY_S)
        value = frame.value()
        if frame.kind is Kind.FAILURE:
            raise value
        return value

    async def _answer(self, method: str, items: Any, group: Hashable) -> Frame:
        """Raises _Lost, OSError while the host does not listen, TooLarge, and what `find` does."""
        leave = await self._places.take(group)
        try:
            connection = await self._connected()
            request = encode(Kind.REQUEST, (method, items))
        except BaseException:
            leave()
            raise
        try:
            frame = await connection.ask(request, leave)
        except _Lost:
            self._forget(connection.endpoint)
            raise
        if len(self._idle) < _KEPT:
            self._idle.append(connection)
        else:
            connection.close()
        return frame

    async def _connected(self) -> "_Connection":
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        async with self._finding:
            endpoint = self._endpoint = self._endpoint or await self._find()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._connect(endpoint)
        except OSError as error:
            self._forget(endpoint)
            # Not a TimeoutError: that is for the deadline of the call.
            raise ConnectionError("the host does not listen") from error

    def _forget(self, endpoint: HostEndpoint) -> None:
        """It may be somewhere else by now."""
        if self._endpoint is endpoint:
            self._endpoint = None

    async def _connect(self, endpoint: HostEndpoint) -> "_Connection":
        if endpoint.node_id == self._node_id:
            reader, writer = await asyncio.open_unix_connection(endpoint.unix_path)
        else:
            reader, writer = await asyncio.open_connection(
                endpoint.address, endpoint.port, ssl=self._tls
            )
        try:
            if endpoint.node_id != self._node_id:
                set_keepalive(writer.get_extra_info("socket"))
            await greet_host(endpoint.secret, reader, writer)
        except BaseException:
            writer.close()
            raise
        return _Connection(endpoint, writer)


class _Places:
    """So many calls at a time, of one group a part of them."""

    def __init__(self, limit: int) -> None:
        self._free = asyncio.Semaphore(limit)
        self._share = max(1, int(limit * _SHARE))
        # Each as long as somebody has a place of it, or waits for one.
        self._groups: WeakValueDictionary[Hashable, asyncio.Semaphore] = WeakValueDictionary()

    async def take(self, group: Hashable) -> Callable[[], None]:
        """Wait for a place. What it gives is called to leave it, any number of times."""
        own = self._groups.get(group)
        if own is None:
            own = self._groups[group] = asyncio.Semaphore(self._share)
        await own.acquire()
        try:
            await self._free.acquire()
        except BaseException:
            own.release()
            raise
        taken = [own, self._free]

        def leave() -> None:
            while taken:
                taken.pop().release()

        return leave


class _Connection(asyncio.Protocol):
    """One open stream, with at most one call under way."""

    def __init__(self, endpoint: HostEndpoint, writer: asyncio.StreamWriter) -> None:
        self.endpoint = endpoint
        self._writer = writer
        self._assembler = Assembler()
        self._answer: asyncio.Future[Frame] | None = None
        self._leave: Callable[[], None] | None = None
        # From here on, what comes in goes to this protocol, without tasks and queues in between.
        writer.transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        return not self._writer.is_closing()

    async def ask(self, request: bytes, leave: Callable[[], None]) -> Frame:
        """Raises _Lost. `leave` is called when the host has done with the call, also when that is
        given up, after which the connection is used no more.
        """
        self._answer, self._leave = asyncio.get_running_loop().create_future(), leave
        try:
            self._writer.write(request)
            return await self._answer
        except asyncio.CancelledError:
            self._give_up()
            raise
        finally:
            # An answer may be large, and nobody needs it here while the connection is idle.
            self._answer = None

    def _give_up(self) -> None:
        """Tell the host, which ends the connection when it has done with the call."""
        if self._leave is None:
            # It has already.
            self.close()
        elif self._writer.can_write_eof():
            self._writer.write_eof()
        else:
            # TLS knows no half of a stream: this waits for the host's end of it, up to 30 s.
            self._writer.close()

    def close(self) -> None:
        self._writer.transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            frame = self._assembler.add(data)
        except ValueError:
            self.close()
            return
        if frame is not None:
            self._end()
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(frame)

    def connection_lost(self, error: Exception | None) -> None:
        self._end()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(_Lost())

    def _end(self) -> None:
        if self._leave is not None:
            self._leave()
            self._leave = None
