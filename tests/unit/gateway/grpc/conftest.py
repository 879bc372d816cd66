from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from akidb_ray.gateway.grpc.server import grpc_server
from akidb_ray.gateway.grpc.v2 import akidb_pb2_grpc
from tests.in_process import Database, running_database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with running_database(tmp_path) as database:
        yield database


@pytest.fixture
async def channel(database: Database) -> AsyncIterator[grpc.aio.Channel]:
    async with (
        grpc_server(database.services, "127.0.0.1:0") as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield channel


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> akidb_pb2_grpc.AkiDBStub:
    return akidb_pb2_grpc.AkiDBStub(channel)
