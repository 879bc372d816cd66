"""The server: health follows readiness, it drains when it stops, and replicas share a port."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from akidb_ray.gateway.grpc.server import grpc_server
from akidb_ray.gateway.grpc.v2 import akidb_pb2 as pb
from akidb_ray.gateway.grpc.v2 import akidb_pb2_grpc
from tests.in_process import Database
from tests.serving import ROOT_KEY
from tests.unit.gateway.films import make_films
from tests.unit.gateway.waiting import until

KEY = (("authorization", f"Bearer {ROOT_KEY}"),)
Status = health_pb2.HealthCheckResponse
OURS = health_pb2.HealthCheckRequest(service="akidb.v2.AkiDB")


async def test_health_follows_readiness(database: Database, channel: grpc.aio.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)

    async def is_serving() -> bool:
        return bool((await health.Check(OURS)).status == Status.SERVING)

    async def is_not_serving() -> bool:
        return not await is_serving()

    assert await is_serving()
    database.hosts.down.update(database.stores)
    await until(is_not_serving)
    database.hosts.down.clear()
    await until(is_serving)
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == Status.SERVING


async def test_a_service_that_is_not_here_is_unknown(channel: grpc.aio.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    other = health_pb2.HealthCheckRequest(service="other")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health.Check(other)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert [each.status async for each in health.Watch(other)] == [Status.SERVICE_UNKNOWN]


async def test_whoever_watches_is_told_of_changes_and_of_the_end(database: Database) -> None:
    seen: asyncio.Queue[int] = asyncio.Queue()

    async def watch(port: int) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            async for each in health_pb2_grpc.HealthStub(channel).Watch(OURS):
                await seen.put(each.status)

    async with grpc_server(database.services, "127.0.0.1:0") as port:
        watching = asyncio.create_task(watch(port))
        assert await seen.get() == Status.SERVING
        database.hosts.down.update(database.stores)
        assert await seen.get() == Status.NOT_SERVING
        database.hosts.down.clear()
        assert await seen.get() == Status.SERVING
    await watching
    assert await seen.get() == Status.NOT_SERVING


async def test_a_server_that_stops_lets_calls_come_to_their_end(database: Database) -> None:
    await make_films(database.client)
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def hold_up(*_: object) -> None:
        entered.set()
        await go_on.wait()

    server = grpc_server(database.services, "127.0.0.1:0")
    port = await server.__aenter__()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = akidb_pb2_grpc.AkiDBStub(channel)
        database.hosts.before = hold_up
        call = stub.Count(pb.CountRequest(collection="films"), metadata=KEY)
        await entered.wait()
        stopping = asyncio.create_task(server.__aexit__(None, None, None))
        await asyncio.sleep(0)
        go_on.set()
        assert (await call).count == 0
        await stopping


async def test_replicas_share_a_port_and_one_that_ends_takes_nothing_along(
    database: Database,
) -> None:
    await make_films(database.client)
    async with grpc_server(database.services, "127.0.0.1:0") as port:
        address = f"127.0.0.1:{port}"
        async with grpc_server(database.services, address) as same:
            assert same == port
        async with grpc.aio.insecure_channel(address) as channel:
            stub = akidb_pb2_grpc.AkiDBStub(channel)
            count = pb.CountRequest(collection="films")
            assert (await stub.Count(count, metadata=KEY, wait_for_ready=True)).count == 0
