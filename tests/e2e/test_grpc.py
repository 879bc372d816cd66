"""gRPC over a real server: what only it shows, and the scenarios that REST passes too."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from akidb_ray.cluster.local_ray import free_ports
from akidb_ray.gateway.grpc.v2 import akidb_pb2 as pb
from akidb_ray.gateway.grpc.v2 import akidb_pb2_grpc
from tests.e2e.drivers import Driver, GrpcDriver, RestDriver, play
from tests.e2e.scenarios import SCENARIOS
from tests.e2e.scene import set_scene
from tests.serving import COLLECTIONS, ROOT_KEY, ServerProcess

LARGE = 16 * 1024**2
KEY = (("authorization", f"Bearer {ROOT_KEY}"),)
WIDE = "wide"
ROWS, WIDTH = 1_100, 1024


@pytest.fixture
async def channel(server: ServerProcess) -> AsyncIterator[grpc.aio.Channel]:
    options = [("grpc.max_receive_message_length", LARGE)]
    address = f"127.0.0.1:{server.grpc_port}"
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> akidb_pb2_grpc.AkiDBStub:
    return akidb_pb2_grpc.AkiDBStub(channel)


@pytest.fixture(scope="module")
def wide(server: ServerProcess) -> Iterator[str]:
    """An empty collection of wide vectors."""
    with server.client() as client:
        settings = {"name": WIDE, "dimension": WIDTH, "metric": "dot"}
        assert client.post(COLLECTIONS, json=settings).status_code == 201
        yield WIDE
        client.delete(f"{COLLECTIONS}/{WIDE}")


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
async def test_scenarios_go_the_same_way_by_rest_and_by_grpc(
    protocol: str, server: ServerProcess, channel: grpc.aio.Channel
) -> None:
    async with httpx.AsyncClient(
        base_url=server.url, headers={"authorization": f"Bearer {ROOT_KEY}"}, timeout=60
    ) as client:
        drivers: dict[str, Driver] = {"rest": RestDriver(client), "grpc": GrpcDriver(channel)}
        for steps in SCENARIOS.values():
            await set_scene(client, steps)
            await play(drivers[protocol], steps)


async def test_streams_and_answers_may_be_larger_than_four_megabytes(
    stub: akidb_pb2_grpc.AkiDBStub, wide: str
) -> None:
    rows = np.random.default_rng(1).standard_normal((ROWS, WIDTH), dtype=np.float32)
    documents = [
        pb.NewDocument(id=f"d{row:04}", vector=pb.Vector(float32=vector.tobytes()))
        for row, vector in enumerate(rows)
    ]
    # The test server takes bodies of 4 MiB; a stream of them may be as long as it likes.
    whole = pb.UpsertRequest(collection=wide, documents=documents)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Upsert(whole, metadata=KEY)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    halves = [
        pb.UpsertRequest(collection=wide, documents=documents[start : start + ROWS // 2])
        for start in (0, ROWS // 2)
    ]
    written = await stub.UpsertStream(iter(halves), metadata=KEY)
    assert written.acknowledged == len(rows)
    ids = [document.id for document in documents]
    asked = pb.GetRequest(
        collection=wide,
        ids=ids,
        with_vector=True,
        vector_format=pb.VECTOR_FORMAT_FLOAT32,
        min_version=written.version,
    )
    answer = await stub.Get(asked, metadata=KEY)
    assert answer.ByteSize() > 4 * 1024**2
    stored = np.frombuffer(b"".join(d.vector.float32 for d in answer.documents), "<f4")
    np.testing.assert_array_equal(stored.reshape(rows.shape), rows)


def test_a_grpc_port_in_use_is_refused_before_anything_starts(
    tmp_path: Path, server: ServerProcess
) -> None:
    command = [sys.executable, "-m", "akidb_ray.cli.main", "serve"]
    ports = ["--port", str(free_ports(1)[0]), "--grpc-port", str(server.grpc_port)]
    refused = subprocess.run(
        [*command, "--data-dir", str(tmp_path / "data"), *ports],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 1
    assert "try --grpc-port" in refused.stderr
    assert not (tmp_path / "data").exists()


async def test_a_call_without_the_key_is_refused(stub: akidb_pb2_grpc.AkiDBStub) -> None:
    for metadata in ((), (("x-api-key", "wrong"),)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Count(pb.CountRequest(collection="films"), metadata=metadata)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_health_says_serving_where_the_greeting_says_it_is(
    server: ServerProcess, channel: grpc.aio.Channel
) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    assert f"gRPC on port {server.grpc_port}" in server.greeting
    for service in ("", "akidb.v2.AkiDB"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_shows_the_methods(channel: grpc.aio.Channel) -> None:
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol="akidb.v2.AkiDB")
    info = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([request]))
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(raw)
        async for answer in info
        for raw in answer.file_descriptor_response.file_descriptor_proto
    ]
    services = [service for file in files for service in file.service]
    (service,) = services
    assert {method.name for method in service.method} >= {"Upsert", "Search", "Scroll", "Embed"}


async def test_a_deadline_ends_a_call(stub: akidb_pb2_grpc.AkiDBStub, wide: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Count(pb.CountRequest(collection=wide), metadata=KEY, timeout=1e-4)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_client_that_goes_away_harms_nobody(
    stub: akidb_pb2_grpc.AkiDBStub, wide: str
) -> None:
    search = pb.SearchRequest(collection=wide, vector=pb.Vector(values=[1.0] * WIDTH), limit=1)
    calls = [stub.Search(search, metadata=KEY) for _ in range(50)]
    answers = [asyncio.ensure_future(_outcome(call)) for call in calls]
    await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
    for call in calls[::2]:
        call.cancel()
    assert None not in [await answer for answer in answers[1::2]]
    assert await stub.Search(search, metadata=KEY)


async def _outcome(call: grpc.aio.UnaryUnaryCall) -> pb.SearchResponse | None:
    try:
        answer: pb.SearchResponse = await call
    except asyncio.CancelledError:
        return None
    return answer
