"""The same scenarios by REST and by gRPC, over one database in this process."""

from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio

from akidb_ray.gateway.grpc.server import grpc_server
from tests.e2e.drivers import Driver, GrpcDriver, RestDriver, play
from tests.e2e.scenarios import SCENARIOS
from tests.e2e.scene import set_scene
from tests.in_process import Database, running_database

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Database]:
    async with running_database(tmp_path_factory.mktemp("scenarios")) as database:
        yield database


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def drivers(shared: Database) -> AsyncIterator[dict[str, Driver]]:
    async with (
        grpc_server(shared.services, "127.0.0.1:0") as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield {"rest": RestDriver(shared.client), "grpc": GrpcDriver(channel)}


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
@pytest.mark.parametrize("name", SCENARIOS)
async def test_scenario(
    name: str, protocol: str, shared: Database, drivers: dict[str, Driver]
) -> None:
    await set_scene(shared.client, SCENARIOS[name])
    await play(drivers[protocol], SCENARIOS[name])
