"""`akidb serve --address` on a Ray cluster of several nodes that somebody else runs."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import COLLECTIONS, ServerProcess

# A cluster of two nodes on this machine, held until its input closes. A process of its own, because
# Ray allows one driver per process.
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
PROBE = """
import sys
import ray, ray.util
ray.init(address=sys.argv[1], log_to_driver=False)
names = [actor["name"] for actor in ray.util.list_named_actors(True)]
bystander = ray.get_actor("bystander", namespace="somebody")
assert ray.get(bystander.answer.remote()) == 42
print("nodes", sum(node["Alive"] for node in ray.nodes()), "actors", sorted(names))
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
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


def probe(address: str) -> str:
    answer = subprocess.run(
        [sys.executable, "-c", PROBE, address], capture_output=True, text=True, check=True
    )
    return answer.stdout.strip().splitlines()[-1]


@pytest.mark.cluster
def test_it_serves_from_all_nodes_and_leaves_the_cluster_as_it_was(
    address: str, tmp_path: Path
) -> None:
    server = ServerProcess(tmp_path / "data", arguments=("--address", address)).start()
    with server.client() as client:
        body = {"name": "c", "embedding_model": "hashing-64", "shard_count": 4}
        assert client.post(COLLECTIONS, json=body).status_code == 201
        documents = [{"id": str(n), "text": f"text {n}"} for n in range(50)]
        client.put(f"{COLLECTIONS}/c/documents", json={"documents": documents})
        status = client.get(f"{COLLECTIONS}/c").json()["status"]
        assert status["documents"] == 50
        assert len({shard["store_id"] for shard in status["shards"]}) == 2, "a store per node"
    assert "'catalog'" in probe(address)
    assert server.stop(signal.SIGINT) == 0
    assert probe(address) == "nodes 2 actors ['bystander']"

    again = ServerProcess(tmp_path / "data", arguments=("--address", address)).start()
    with pytest.raises(AssertionError, match="serving AkiDB of"):
        ServerProcess(tmp_path / "elsewhere", arguments=("--address", address)).start()
    with again.client() as client:
        assert client.post(f"{COLLECTIONS}/c/count", json={}).json() == {"count": 50}
    assert again.stop() == 0
