"""Clients that leave before they are answered: what has not begun to write is given up, writes go
on to their end.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest

from akidb_ray.gateway.rest.app import build_app
from tests.in_process import Database
from tests.unit.gateway.films import FILMS, ORIGIN, film, ids_of, post, put

PATIENCE_S = 20


class Client:
    """One request over raw ASGI, whose client can leave. `sent` is what it was answered; from
    `watched` on, somebody looks whether it is still there. Before its server says that it has left,
    it has so many `empty` messages at once.
    """

    def __init__(
        self, database: Database, method: str, path: str, body: Any = None, empty: int = 0
    ) -> None:
        self._app = database.client._transport.app  # type: ignore[attr-defined]
        self._body = b"" if body is None else orjson.dumps(body)
        self._left = asyncio.Event()
        self._read = False
        self._empty = empty
        self.watched = asyncio.Event()
        self.sent: list[Any] = []
        self._scope = {
            "type": "http",
            "method": method,
            "path": f"{FILMS}{path}",
            "query_string": b"",
            "headers": [(b"authorization", database.client.headers["authorization"].encode())],
        }

    def leave(self) -> None:
        self._left.set()

    async def ask(self) -> None:
        await self._app(self._scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        if not self._read:
            self._read = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        self.watched.set()
        if self._empty:
            self._empty -= 1
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)


class Holding:
    """Holds up calls to the hosts until it is told to let them go: all, or those of one method."""

    def __init__(self, method: str | None = None) -> None:
        self._method = method
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        self.given_up = asyncio.Event()

    async def __call__(self, method: str, *_: object) -> None:
        if self._method not in (None, method):
            return
        self.begun.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.given_up.set()
            raise


class SlowCatalog:
    """Changes of collections are held up, then carried out by another."""

    def __init__(self, other: Any, holding: Holding) -> None:
        self._other = other
        self._holding = holding

    async def update_collection(self, *arguments: Any) -> Any:
        await self._holding("update_collection")
        return await self._other.update_collection(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._other, name)


@asynccontextmanager
async def held(database: Database, method: str | None = None) -> AsyncIterator[Holding]:
    holding = Holding(method)
    database.hosts.before = holding
    async with asyncio.timeout(PATIENCE_S):
        yield holding
    database.hosts.before = None


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/search", {"vector": ORIGIN}),
        ("POST", "/search/batch", {"searches": [{"vector": ORIGIN}]}),
        ("POST", "/search/groups", {"vector": ORIGIN, "key": "genres"}),
        ("POST", "/facets", {"key": "genres"}),
        ("POST", "/count", {}),
        ("POST", "/documents/scroll", {}),
        ("POST", "/documents/get", {"ids": ["tt01"]}),
        ("GET", "/documents/tt01", None),
    ],
)
async def test_a_read_is_given_up_when_its_client_leaves(
    database: Database, films: httpx.AsyncClient, method: str, path: str, body: Any
) -> None:
    await put(films, *range(20))
    client = Client(database, method, path, body)
    async with held(database) as holding:
        asking = asyncio.create_task(client.ask())
        await holding.begun.wait()
        client.leave()
        await asking
        await holding.given_up.wait()
    assert client.sent == []
    assert await post(films, "/count") == {"count": 20}


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_write_goes_on_to_its_end_when_its_client_leaves(
    database: Database, films: httpx.AsyncClient, cancelled: bool
) -> None:
    body = {"documents": [film(number) for number in range(20)]}
    client = Client(database, "PUT", "/documents", body)
    async with held(database, "write") as holding:
        asking = asyncio.create_task(client.ask())
        await holding.begun.wait()
        client.leave()
        if cancelled:
            # As Ray Serve does when it sees that the client has left.
            asking.cancel()
        holding.go_on.set()
        await asyncio.wait([asking])
        assert not holding.given_up.is_set()
        while (await post(films, "/count"))["count"] < 20:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_write_that_has_not_begun_is_given_up_when_its_client_leaves(
    database: Database, films: httpx.AsyncClient, cancelled: bool
) -> None:
    client = Client(database, "PUT", "/documents", {"documents": [film(1)]})
    # Whether there is room for the documents is asked before.
    async with held(database, "ask") as holding:
        asking = asyncio.create_task(client.ask())
        await holding.begun.wait()
        if cancelled:
            asking.cancel()
        else:
            client.leave()
        await asyncio.wait([asking])
        await holding.given_up.wait()
    assert client.sent == []
    await put(films, 2)
    assert await post(films, "/count") == {"count": 1}


async def test_a_change_of_the_catalog_goes_on_to_its_end_when_its_client_leaves(
    database: Database, films: httpx.AsyncClient
) -> None:
    holding = Holding()
    services = database.services
    slow = replace(services.collections, catalog=SlowCatalog(services.collections.catalog, holding))
    transport = httpx.ASGITransport(build_app(replace(services, collections=slow)))
    async with httpx.AsyncClient(transport=transport, headers=films.headers) as over_slow:
        body = {"description": "moving pictures"}
        client = Client(replace(database, client=over_slow), "PATCH", "", body)
        asking = asyncio.create_task(client.ask())
        async with asyncio.timeout(PATIENCE_S):
            await holding.begun.wait()
            asking.cancel()
            await asyncio.wait([asking])
            holding.go_on.set()
            while (await films.get(FILMS)).json()["description"] != "moving pictures":
                await asyncio.sleep(0.01)


async def test_who_leaves_harms_nobody_who_is_asked_for_with_it(
    database: Database, films: httpx.AsyncClient
) -> None:
    await put(films, *range(20))
    impatient = [Client(database, "POST", "/search", {"vector": ORIGIN}) for _ in range(5)]
    patient = [Client(database, "POST", "/search", {"vector": ORIGIN}) for _ in range(5)]
    async with held(database) as holding:
        asking = [asyncio.create_task(client.ask()) for client in (*impatient, *patient)]
        await holding.begun.wait()
        for client in impatient:
            client.leave()
        await asyncio.wait(asking[:5])
        holding.go_on.set()
        await asyncio.wait(asking)
    for client in patient:
        start, content = client.sent
        assert start["status"] == 200
        assert len(ids_of(orjson.loads(content["body"]))) == 10


async def test_a_slow_answer_reaches_a_client_that_stays(
    database: Database, films: httpx.AsyncClient
) -> None:
    await put(films, *range(20))
    client = Client(database, "POST", "/search", {"vector": ORIGIN})
    async with held(database) as holding:
        asking = asyncio.create_task(client.ask())
        await client.watched.wait()
        holding.go_on.set()
        await asking
    assert client.sent[0]["status"] == 200


async def test_who_cancels_the_task_of_a_read_cancels_the_read(
    database: Database, films: httpx.AsyncClient
) -> None:
    await put(films, *range(20))
    client = Client(database, "POST", "/search", {"vector": ORIGIN})
    async with held(database) as holding:
        asking = asyncio.create_task(client.ask())
        await holding.begun.wait()
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        await holding.given_up.wait()


async def test_a_server_that_has_other_messages_at_once_does_not_stop_all_others(
    database: Database, films: httpx.AsyncClient
) -> None:
    await put(films, *range(20))
    client = Client(database, "POST", "/search", {"vector": ORIGIN}, empty=10_000)
    client.leave()
    async with held(database) as holding:
        asking = asyncio.create_task(client.ask())
        await client.watched.wait()
        holding.go_on.set()
        await asking
    assert client.sent[0]["status"] == 200
