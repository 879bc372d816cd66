"""A server that ends while calls are on their way: clients lose none that try again, as
docs/grpc.md tells them to.
"""

import asyncio
import contextlib

import grpc
import pytest

from akidb_ray.gateway.grpc.server import grpc_server
from akidb_ray.gateway.grpc.v2 import akidb_pb2 as pb
from akidb_ray.gateway.grpc.v2 import akidb_pb2_grpc
from tests.grpc_clients import retrying_options
from tests.in_process import Database
from tests.serving import ROOT_KEY
from tests.unit.gateway.films import make_films
from tests.unit.gateway.waiting import until

KEY = (("authorization", f"Bearer {ROOT_KEY}"),)
CHANNELS = 8
ROUNDS = 10


def channel_to(port: int) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=retrying_options())


async def write(stub: akidb_pb2_grpc.AkiDBStub, name: str, text: str = "") -> None:
    document = pb.NewDocument(id=name, text=text, vector=pb.Vector(values=[1.0] * 16))
    # Carried out twice without the key, this would be refused the second time.
    options = pb.WriteOptions(idempotency_key=name, if_versions={name: 0})
    request = pb.UpsertRequest(collection="films", documents=[document], options=options)
    assert (await stub.Upsert(request, metadata=KEY, timeout=20.0)).acknowledged == 1


async def count(stub: akidb_pb2_grpc.AkiDBStub) -> int:
    request = pb.CountRequest(collection="films")
    return int((await stub.Count(request, metadata=KEY, timeout=20.0)).count)


@pytest.mark.parametrize("text_bytes", [10, 600_000])
async def test_calls_on_their_way_to_a_server_that_ends_are_answered_by_another(
    database: Database, text_bytes: int
) -> None:
    await make_films(database.client)
    text = "x" * text_bytes
    ending = grpc_server(database.services, "127.0.0.1:0")
    port = await ending.__aenter__()
    async with contextlib.AsyncExitStack() as opened:
        channels = [await opened.enter_async_context(channel_to(port)) for _ in range(CHANNELS)]
        stubs = [akidb_pb2_grpc.AkiDBStub(channel) for channel in channels]
        await asyncio.gather(*(write(stub, f"first-{n}") for n, stub in enumerate(stubs)))
        async with grpc_server(database.services, f"127.0.0.1:{port}"):
            writes = [
                asyncio.create_task(write(stub, f"{n}-{number}", text))
                for n, stub in enumerate(stubs)
                for number in range(ROUNDS)
            ]
            await asyncio.wait(writes, return_when=asyncio.FIRST_COMPLETED)
            await ending.__aexit__(None, None, None)
            await asyncio.gather(*writes)
            assert await count(stubs[0]) == CHANNELS + CHANNELS * ROUNDS


async def test_a_write_whose_call_broke_is_carried_out_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("akidb_ray.gateway.grpc.server._DRAIN_S", 0.0)
    await make_films(database.client)
    entered, go_on = 0, asyncio.Event()

    async def hold_up(method: str, *_: object) -> None:
        nonlocal entered
        if method == "write":
            entered += 1
            await go_on.wait()

    async def is_sent() -> bool:
        return entered == 1

    async def is_sent_again() -> bool:
        return entered == 2

    ending = grpc_server(database.services, "127.0.0.1:0")
    port = await ending.__aenter__()
    async with channel_to(port) as channel:
        stub = akidb_pb2_grpc.AkiDBStub(channel)
        database.hosts.before = hold_up
        writing = asyncio.create_task(write(stub, "once"))
        await until(is_sent)
        async with grpc_server(database.services, f"127.0.0.1:{port}"):
            await ending.__aexit__(None, None, None)
            await until(is_sent_again)
            go_on.set()
            await writing
            assert await count(stub) == 1
