"""The least that HTTP/1.1 asks of a client, because a full one costs more than many an answer."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from bench.load import Failed

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_TIMEOUT_S = 120.0
_Answer = tuple[int, bytes]


@dataclass(frozen=True)
class HttpTarget:
    """Requests to one path, with one body for each query; `read` finds the rows in an answer."""

    port: int
    method: str
    path: str
    bodies: list[bytes]
    read: Callable[[bytes], list[int]]
    headers: tuple[str, ...] = ()

    @property
    def queries(self) -> int:
        return len(self.bodies)

    async def connect(self) -> "HttpConnection":
        head = [f"{self.method} {self.path} HTTP/1.1", "host: localhost", *self.headers]
        if self.method != "GET":
            head.append("content-type: application/json")
        lead = "\r\n".join(head).encode()
        requests = [
            lead + b"\r\ncontent-length: %d" % len(body) + _HEAD_END + body for body in self.bodies
        ]
        connection = HttpConnection(self.port, requests)
        await connection.open()
        return connection

    def found(self, raw: bytes) -> list[int]:
        return self.read(raw)


class HttpConnection:
    """One connection that is kept alive, with one request under way at a time."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        self._port = port
        self._requests = requests
        self._wire = _Wire()

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._wire = _Wire()
        await loop.create_connection(lambda: self._wire, "127.0.0.1", self._port)

    async def ask(self, number: int) -> bytes:
        """The body of the answer. Raises Failed for one that is no success."""
        try:
            if self._wire.closed:
                await self.open()
            async with asyncio.timeout(_TIMEOUT_S):
                status, body = await self._wire.ask(self._requests[number])
        except (OSError, TimeoutError, ValueError) as error:
            await self.close()
            raise Failed(f"{type(error).__name__}: {error}") from error
        if status >= 300:
            raise Failed(f"{status} {body[:300].decode(errors='replace')}")
        return body

    async def close(self) -> None:
        self._wire.close()


class _Wire(asyncio.Protocol):
    """Sends bytes, and collects an answer of a length that its head tells."""

    def __init__(self) -> None:
        self.closed = True
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[_Answer] | None = None
        self._buffer = b""
        self._body_at = 0
        self._end = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.closed = False

    def ask(self, request: bytes) -> "asyncio.Future[_Answer]":
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._buffer, self._end = b"", 0
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._end:
            head_end = self._buffer.find(_HEAD_END)
            if head_end < 0:
                return
            self._body_at = head_end + len(_HEAD_END)
            self._end = self._body_at + _length(self._buffer[:head_end])
        if len(self._buffer) >= self._end and self._answer is not None:
            body = self._buffer[self._body_at : self._end]
            if not self._answer.done():
                self._answer.set_result((int(self._buffer[9:12]), body))

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("the server hung up"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _length(head: bytes) -> int:
    """Raises ValueError for an answer that does not say how long it is."""
    lower = head.lower()
    at = lower.index(_LENGTH) + len(_LENGTH)
    end = lower.find(b"\r\n", at)
    return int(lower[at : end if end >= 0 else len(lower)])
