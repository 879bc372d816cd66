"""The border to httpx: carries out the steps of flows, synchronously and asynchronously.

No exception of httpx goes further than this.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

import httpx

from akidb._version import __version__
from akidb.errors import AkiDBError, ConnectionFailed, DeadlineExceeded
from akidb.flows import Flow, Outcome, Send
from akidb.requests import Reply, Request
from akidb.values import Page

T = TypeVar("T")
_CONNECT_TIMEOUT_S = 5.0


class Connection:
    """Connections to one server, kept open and shared by threads."""

    def __init__(
        self, url: str, api_key: str | None, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._http = httpx.Client(transport=transport, **_settings(url, api_key))

    def close(self) -> None:
        self._http.close()

    def run(self, flow: Flow[T]) -> T:
        """Carry out a call. Raises AkiDBError."""
        outcome: Outcome = None
        try:
            while True:
                step = flow.send(outcome)
                if isinstance(step, Send):
                    outcome = self._send(step)
                else:
                    outcome = None
                    time.sleep(step.seconds)
        except StopIteration as end:
            value: T = end.value
            return value

    def pages(self, page: Callable[[str | None], Flow[Page[T]]]) -> Iterator[T]:
        """All that is on the pages; each is fetched when it is needed."""
        cursor: str | None = None
        while True:
            read = self.run(page(cursor))
            yield from read.items
            cursor = read.next_cursor
            if cursor is None:
                return

    def _send(self, step: Send) -> Outcome:
        try:
            response = self._http.request(**_arguments(step))
        except httpx.RequestError as error:
            return _error_of(error, self._http.base_url)
        return _reply_of(response)


class AsyncConnection:
    """Connections to one server, kept open and shared by the tasks of an event loop."""

    def __init__(
        self, url: str, api_key: str | None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._http = httpx.AsyncClient(transport=transport, **_settings(url, api_key))

    async def close(self) -> None:
        await self._http.aclose()

    async def run(self, flow: Flow[T]) -> T:
        """Carry out a call. Raises AkiDBError."""
        outcome: Outcome = None
        try:
            while True:
                step = flow.send(outcome)
                if isinstance(step, Send):
                    outcome = await self._send(step)
                else:
                    outcome = None
                    await asyncio.sleep(step.seconds)
        except StopIteration as end:
            value: T = end.value
            return value

    async def pages(self, page: Callable[[str | None], Flow[Page[T]]]) -> AsyncIterator[T]:
        """All that is on the pages; each is fetched when it is needed."""
        cursor: str | None = None
        while True:
            read = await self.run(page(cursor))
            for item in read.items:
                yield item
            cursor = read.next_cursor
            if cursor is None:
                return

    async def _send(self, step: Send) -> Outcome:
        try:
            response = await self._http.request(**_arguments(step))
        except httpx.RequestError as error:
            return _error_of(error, self._http.base_url)
        return _reply_of(response)


def _settings(url: str, api_key: str | None) -> dict[str, Any]:
    """What both clients of httpx are made with. Raises ValueError for what is no address or key."""
    try:
        address = httpx.URL(url.rstrip("/"))
    except httpx.InvalidURL as error:
        raise ValueError(f"{url!r} is no address: {error}") from None
    if address.scheme not in ("http", "https") or not address.host:
        raise ValueError(f"{url!r} is not like http://127.0.0.1:8100")
    headers = {"user-agent": f"akidb-python/{__version__}", "accept": "application/json"}
    if api_key is not None:
        if not (api_key.isascii() and api_key.isprintable()):
            raise ValueError("api_key has characters that no key has")
        headers["authorization"] = f"Bearer {api_key}"
    return {
        "base_url": address,
        "headers": headers,
        # A proxy that the environment names is none for this machine itself.
        "trust_env": not _is_loopback(address.host),
    }


def _arguments(step: Send) -> dict[str, Any]:
    request: Request = step.request
    return {
        "method": request.method,
        "url": request.path,
        "content": request.content,
        "params": request.query or None,
        "headers": request.headers,
        "timeout": httpx.Timeout(step.timeout_s, connect=min(_CONNECT_TIMEOUT_S, step.timeout_s)),
    }


def _reply_of(response: httpx.Response) -> Reply:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status_code, headers, response.content)


def _error_of(error: httpx.RequestError, url: httpx.URL) -> AkiDBError:
    unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    if isinstance(error, httpx.TimeoutException) and not unsent:
        return DeadlineExceeded(f"{url} did not answer in time")
    what = "can't reach" if unsent else "lost the connection to"
    failed = ConnectionFailed(f"{what} {url}: {error}")
    failed.sent = not unsent
    failed.__cause__ = error
    return failed


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
