"""A Ray cluster that somebody else runs, for AkiDB to join, and a host at the end of a stream."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from akidb_ray.cluster.host_stream import HostStream
from tests.cluster.stream_hosts import Place, stream_to

# Two nodes on this machine, held until its input closes. A process of its own, because Ray allows
# one driver per process.
CLUSTER = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
cluster.add_node(num_cpus=1)
import ray
ray.init(address=cluster.address, namespace="somebody")

@ray.remote(num_cpus=0)
class Bystander:
    def answer(self):
        return 42

bystander = Bystander.options(name="bystander", lifetime="detached").remote()
ray.get(bystander.answer.remote())
print("address", cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where drivers join it."""
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    for line in process.stdout:
        if line.startswith("address "):
            break
    yield line.split()[1]
    process.stdin.close()
    process.wait(60)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    place = Place(tmp_path / "host.sock")
    await place.start()
    yield place
    place.host.go.set()
    place.host.server.close()


@pytest.fixture(params=["here", "elsewhere"])
def stream(place: Place, request: pytest.FixtureRequest) -> HostStream:
    """Over the Unix socket, and as from another node."""
    return stream_to(place, request.param)
