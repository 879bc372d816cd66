"""Calls that need no key: they share what they ask for, and leave room for those with one."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from akidb_ray.domain.errors import Unavailable
from akidb_ray.domain.ids import StoreId
from akidb_ray.gateway.deployment import _serve_grpc
from akidb_ray.gateway.grpc.calls import MOST_OPEN_CALLS
from akidb_ray.gateway.grpc.v2 import akidb_pb2 as pb
from akidb_ray.gateway.grpc.v2 import akidb_pb2_grpc
from akidb_ray.gateway.rest.app import build_app
from tests.in_process import Database
from tests.serving import ROOT_KEY
from tests.unit.gateway.films import make_films
from tests.unit.gateway.waiting import until

KEY = (("authorization", f"Bearer {ROOT_KEY}"),)
ANY = health_pb2.HealthCheckRequest()


@pytest.fixture
async def watches(channel: grpc.aio.Channel) -> AsyncIterator[list[grpc.aio.UnaryStreamCall]]:
    """As many as there may be, and each has been answered once."""
    health = health_pb2_grpc.HealthStub(channel)
    calls = [health.Watch(ANY) for _ in range(MOST_OPEN_CALLS)]
    for call in calls:
        await call.read()
    yield calls
    for call in calls:
        call.cancel()


async def test_strangers_who_watch_leave_room_for_others(
    database: Database, channel: grpc.aio.Channel, watches: list[grpc.aio.UnaryStreamCall]
) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health.Watch(ANY).read()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await make_films(database.client)
    stub = akidb_pb2_grpc.AkiDBStub(channel)
    assert (await stub.Count(pb.CountRequest(collection="films"), metadata=KEY)).count == 0
    assert (await health.Check(ANY)).status == health_pb2.HealthCheckResponse.SERVING


async def test_whoever_leaves_makes_room_for_another(
    channel: grpc.aio.Channel, watches: list[grpc.aio.UnaryStreamCall]
) -> None:
    async def is_taken() -> bool:
        try:
            await health_pb2_grpc.HealthStub(channel).Watch(ANY).read()
        except grpc.aio.AioRpcError:
            return False
        return True

    assert not await is_taken()
    watches[0].cancel()
    await until(is_taken)


@pytest.mark.parametrize(
    "method",
    [
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
async def test_calls_whose_message_never_comes_are_counted_too(
    method: str, channel: grpc.aio.Channel
) -> None:
    held = [channel.stream_stream(method)() for _ in range(MOST_OPEN_CALLS)]
    for call in held:
        await call.wait_for_connection()

    async def is_refused() -> bool:
        extra = channel.stream_stream(method)()
        refused = asyncio.create_task(extra.code())
        done, _ = await asyncio.wait([refused], timeout=0.1)
        held.append(extra)
        return bool(done) and refused.result() is grpc.StatusCode.RESOURCE_EXHAUSTED

    await until(is_refused)
    for call in held:
        call.cancel()


async def test_reflection_is_open(channel: grpc.aio.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = [each async for each in stub.ServerReflectionInfo(iter((request,)))]
    assert "akidb.v2.AkiDB" in [each.name for each in answer.list_services_response.service]


async def test_all_who_ask_for_readiness_share_an_answer(
    database: Database, channel: grpc.aio.Channel
) -> None:
    asked: list[StoreId] = []
    alive = database.hosts.alive

    async def counted(store_id: StoreId) -> bool:
        asked.append(store_id)
        return await alive(store_id)

    database.hosts.alive = counted  # type: ignore[method-assign]
    health = health_pb2_grpc.HealthStub(channel)
    checks = [health.Check(ANY) for _ in range(20)]
    gets = [database.client.get("/readyz") for _ in range(20)]
    assert {(await check).status for check in checks} == {health_pb2.HealthCheckResponse.SERVING}
    assert {answer.status_code for answer in await asyncio.gather(*gets)} == {200}
    assert sorted(asked) == sorted(database.stores)


async def test_the_catalog_is_followed_no_more_when_grpc_can_not_be_served(
    database: Database,
) -> None:
    before = asyncio.all_tasks()
    app = build_app(database.services)
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with taken:
        address = f"127.0.0.1:{taken.sockets[0].getsockname()[1]}"
        _serve_grpc(app, database.services, address)
        with pytest.raises(Unavailable, match=address):
            async with app.router.lifespan_context(app):
                pass
    left = {task.get_coro().__qualname__ for task in asyncio.all_tasks() - before}
    assert not [name for name in left if "follow" in name]
