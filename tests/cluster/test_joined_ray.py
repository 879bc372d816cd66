"""`akidb serve --address` on a Ray cluster of several nodes that somebody else runs."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import COLLECTIONS, ServerProcess

PROBE = """
import sys
import ray, ray.util
ray.init(address=sys.argv[1], log_to_driver=False)
names = [actor["name"] for actor in ray.util.list_named_actors(True)]
bystander = ray.get_actor("bystander", namespace="somebody")
assert ray.get(bystander.answer.remote()) == 42
print("nodes", sum(node["Alive"] for node in ray.nodes()), "actors", sorted(names))
"""

STOPPING = """
import sys, time
import ray, ray.util
from akidb_ray.bootstrap.core import stop_actors
from akidb_ray.cluster.actors import NAMESPACE
ray.init(address=sys.argv[1], log_to_driver=False)

@ray.remote(num_cpus=0)
class Host:
    def __init__(self, note):
        self.note = note
    def stop(self):
        if self.note is None:
            raise ValueError("a defect")
        time.sleep(1)
        open(self.note, "w").close()

options = {"namespace": NAMESPACE, "lifetime": "detached"}
Host.options(name="broken", **options).remote(None)
Host.options(name="sound", **options).remote(sys.argv[2])
stop_actors(["gone", "broken", "sound"])
stop_actors(["gone"])
left = {actor["name"] for actor in ray.util.list_named_actors(True)}
print("left", sorted(left & {"broken", "sound"}))
"""


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


@pytest.mark.cluster
def test_a_host_that_ended_or_fails_keeps_no_other_from_closing(
    address: str, tmp_path: Path
) -> None:
    note = tmp_path / "closed"
    command = [sys.executable, "-c", STOPPING, address, str(note)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stdout.strip().splitlines()[-1] == "left []"
    assert note.exists()
