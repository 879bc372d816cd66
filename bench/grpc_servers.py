"""The gRPC server in the gateway replicas, Ray Serve's gRPC ingress, and REST, side by side.

The same use cases over the same shards: a search of ten among film vectors, asked by closed-loop
clients of one connection each. See docs/adr/0018. Run: python -m bench.grpc_servers
"""

import argparse
import asyncio
import contextlib
import functools
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil

from akidb_ray.cluster.local_ray import (
    INSTANCE_VARIABLE,
    free_ports,
    instance_id,
    start_local_ray,
    stop_local_ray,
)
from akidb_ray.gateway.grpc.v2 import akidb_pb2 as pb
from akidb_ray.gateway.grpc.v2 import akidb_pb2_grpc
from akidb_ray.settings import EmbeddingSettings, ServerSettings, Settings
from bench.grpc_load import GrpcTarget
from bench.http_load import HttpTarget
from bench.load import Load, LoadGenerator, Target, ask_all
from bench.vectors import Floats, add_data_option, film_corpus

KEY = "root-key-of-the-bench-0123456789"
COLLECTIONS = "/v2/tenants/default/databases/default/collections"
METHOD = "/akidb.v2.AkiDB/Search"
AUTHORIZED = ("authorization", f"Bearer {KEY}")
INGRESS = "ingress"
ADD_SERVICER = "akidb_ray.gateway.grpc.v2.akidb_pb2_grpc.add_AkiDBServicer_to_server"
BATCH = 1_000


class IngressGateway:
    """The servicer as Serve's gRPC ingress calls it."""

    def __init__(self, build_services: Any) -> None:
        from akidb_ray.gateway.grpc.servicer import AkiDBServicer

        self._services = build_services()
        self._servicer = AkiDBServicer(self._services)

    async def Search(self, request: Any, grpc_context: Any) -> Any:  # noqa: N802
        from akidb_ray.gateway.grpc.calls import Call

        headers = dict(grpc_context.invocation_metadata())
        principal = await self._services.authenticator.principal(headers)
        return await self._servicer.Search(request, Call(principal, "", WithoutDeadline()))


class WithoutDeadline:
    def time_remaining(self) -> None:
        return None


@contextlib.contextmanager
def both_servers(folder: Path) -> Iterator[tuple[int, int, int]]:
    """The ports of REST, of the server in the replicas, and of Serve's ingress."""
    rest, plain, ingress = free_ports(3)
    server = ServerSettings(port=rest, grpc_port=plain, data_dir=str(folder))
    settings = replace(Settings(), server=server, embedding=EmbeddingSettings(models=()))
    os.environ["AKIDB_ROOT_KEY"] = KEY
    with contextlib.ExitStack() as stack:
        stack.callback(stop_local_ray, folder)
        own = start_local_ray(folder, settings.ray)
        import ray
        from ray import serve
        from ray.serve.config import HTTPOptions, gRPCOptions

        from akidb_ray import bootstrap
        from akidb_ray.bootstrap.services import build_services

        ray.init(address=own.address, namespace="akidb", log_to_driver=False)
        # Before its Ray ends, or the driver waits for it.
        stack.callback(ray.shutdown)
        serve.start(
            http_options=HTTPOptions(host="127.0.0.1", port=rest),
            grpc_options=gRPCOptions(port=ingress, grpc_servicer_functions=[ADD_SERVICER]),
        )
        asyncio.run(bootstrap.claim(folder, settings))
        bootstrap.start(folder, settings, own_ray=True, open_to_all=False, announce=print)
        deployment: Any = serve.deployment
        build = functools.partial(build_services, settings, [], open_to_all=False)
        options = {"max_ongoing_requests": 512, "ray_actor_options": {"num_cpus": 0}}
        application = deployment(IngressGateway).options(**options).bind(build)
        serve.run(application, name=INGRESS, route_prefix=f"/{INGRESS}")
        yield rest, plain, ingress


def fill(rest: int, plain: int, base: Floats) -> None:
    """Write all vectors, and wait until their graphs are built."""
    settings = {"name": "films", "dimension": base.shape[1], "metric": "cosine"}
    _request(rest, "POST", COLLECTIONS, settings)
    with grpc.insecure_channel(f"127.0.0.1:{plain}") as channel:
        stub = akidb_pb2_grpc.AkiDBStub(channel)
        stub.UpsertStream(_batches(base), metadata=(AUTHORIZED,))
    while _request(rest, "GET", f"{COLLECTIONS}/films")["status"]["indexing"]:
        time.sleep(1)


def _batches(base: Floats) -> Iterator[pb.UpsertRequest]:
    for start in range(0, len(base), BATCH):
        documents = [
            pb.NewDocument(
                id=str(row), vector=pb.Vector(float32=base[row].tobytes()), payload='{"a": 1}'
            )
            for row in range(start, min(start + BATCH, len(base)))
        ]
        yield pb.UpsertRequest(collection="films", documents=documents)


def _request(port: int, method: str, path: str, body: Any = None) -> Any:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    raw = None if body is None else json.dumps(body)
    connection.request(method, path, raw, dict([AUTHORIZED]))
    answer = connection.getresponse()
    content = json.loads(answer.read())
    if answer.status >= 400:
        raise RuntimeError(content["detail"])
    return content


def targets(ports: tuple[int, int, int], queries: Floats) -> Mapping[str, Target]:
    rest, plain, ingress = ports
    as_bytes = [_search(pb.Vector(float32=query.tobytes())) for query in queries]
    as_numbers = [_search(pb.Vector(values=query)) for query in queries]
    bodies = [json.dumps({"vector": query.tolist(), "limit": 10}).encode() for query in queries]
    path = f"{COLLECTIONS}/films/search"
    key = (": ".join(AUTHORIZED),)
    return {
        "in replicas, bytes": GrpcTarget(plain, METHOD, as_bytes, _found, (AUTHORIZED,)),
        "in replicas, numbers": GrpcTarget(plain, METHOD, as_numbers, _found, (AUTHORIZED,)),
        "Serve's ingress, bytes": GrpcTarget(
            ingress, METHOD, as_bytes, _found, (AUTHORIZED, ("application", INGRESS))
        ),
        "REST, numbers": HttpTarget(rest, "POST", path, bodies, _rows, key),
    }


def _search(vector: pb.Vector) -> bytes:
    return pb.SearchRequest(collection="films", vector=vector).SerializeToString()


def _found(raw: bytes) -> list[int]:
    return [int(hit.id) for hit in pb.SearchResponse.FromString(raw).results]


def _rows(raw: bytes) -> list[int]:
    return [int(hit["id"]) for hit in json.loads(raw)["results"]]


def _cpu_s(instance: str) -> float:
    """Of all processes of the server."""
    total = 0.0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(INSTANCE_VARIABLE) == instance:
                total += sum(process.cpu_times()[:2])
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3, help="the median is shown")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    options = parser.parse_args()
    corpus = film_corpus(options.data, options.rows, 200)
    loads: dict[tuple[str, int], list[Load]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="akidb-bench-") as name,
        LoadGenerator(2) as generator,
        both_servers(Path(name) / "data") as ports,
    ):
        fill(ports[0], ports[1], corpus.base)
        cpu_s = functools.partial(_cpu_s, instance_id(Path(name) / "data"))
        for target in targets(ports, corpus.queries).values():
            # What can't be asked fails here, in this process, with its reason.
            asyncio.run(ask_all(target))
        for _ in range(options.rounds):
            for clients in options.clients:
                for server, target in targets(ports, corpus.queries).items():
                    load = generator.play(target, clients, options.seconds, cpu_s)
                    loads.setdefault((server, clients), []).append(load)
    show(loads)


def show(loads: Mapping[tuple[str, int], list[Load]]) -> None:
    """Medians. What a request costs the server's processes says more on a busy machine than how
    long it took.
    """
    titles = f"{'p50 ms':>8} {'p95 ms':>8} {'requests/s':>11} {'CPU ms/request':>15}"
    print(f"{'server':24} {'clients':>7} {titles} errors")
    for (server, clients), played in loads.items():
        figures = np.median(
            [
                (
                    load.p50_ms,
                    load.p95_ms,
                    load.requests_per_s,
                    load.server_cores / load.requests_per_s * 1000,
                )
                for load in played
            ],
            axis=0,
        )
        p50, p95, rate, cpu = figures
        errors = sum(load.errors for load in played)
        shown = f"{p50:8.2f} {p95:8.2f} {rate:11.0f} {cpu:15.2f}"
        print(f"{server:24} {clients:7} {shown} {errors}")


if __name__ == "__main__":
    main()
