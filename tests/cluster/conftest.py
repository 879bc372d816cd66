"""A Ray cluster that somebody else runs, for AkiDB to join."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

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
