"""What the hop from a gateway to a shard host takes, by transport.

    python -m bench.transports [--seconds 3]

One search for a vector of 384 numbers there, ten hits with payload back, and nothing is searched,
so there is no recall: a Ray actor call (as for what is rare), the stream on the node's Unix socket,
and the stream over TCP as between nodes, with the host on a second Ray node of this machine. Each
with one caller and with eight of one process, and the stream also with the coalescer in front, as
it is used. Prints a table, and writes bench/results/transports.json.
"""

import argparse
import asyncio
import itertools
import json
import os
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.cluster_utils import Cluster

from akidb_ray.cluster.coalescing import Coalescer
from akidb_ray.cluster.host_server import Caller, HostEndpoint, HostServer
from akidb_ray.cluster.host_stream import HostStream
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.ids import CollectionId, TenantId
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import Hit, ShardHits, ShardSearch, VectorQuery
from bench.engine_measuring import show

TIMEOUT_S = 30.0
RESULT = Path(__file__).parent / "results" / "transports.json"
Call = Callable[[], Awaitable[Any]]


@dataclass(frozen=True)
class Hop:
    """`p50_ms` of one caller, and calls per second of eight."""

    transport: str
    nodes: str
    p50_ms: float
    p99_ms: float
    eight_callers_per_s: float


class Echo:
    """A host that finds the same for every search, at once."""

    def __init__(self, node_id: str, folder: str, address: str) -> None:
        self._where = node_id, Path(folder) / f"{node_id[:8]}.sock", address
        self._server = HostServer({"ask": self.found})
        hit = [Hit(f"tt{n:07}", 0.5, n, b'{"year":1999,"genres":["drama"]}') for n in range(10)]
        self._found = ShardHits(hit)

    def found(self, items: Sequence[Any], _: Caller) -> list[ShardHits]:
        return [self._found] * len(items)

    async def ask(self, items: Sequence[Any]) -> list[ShardHits]:
        return [self._found] * len(items)

    async def endpoint(self) -> HostEndpoint:
        return self._server.listen(*self._where, None)


def search() -> ShardSearch:
    key = ShardKey(TenantId(uuid.uuid4()), CollectionId(uuid.uuid4()), 0)
    vector = np.random.default_rng(7).standard_normal(384, dtype=np.float32)
    return ShardSearch(key, VectorQuery(vector), RowFilter())


async def measured(transport: str, nodes: str, call: Call, seconds: float) -> Hop:
    for _ in range(200):
        await call()
    took_ms: list[float] = []
    stop_at = time.perf_counter() + seconds
    while time.perf_counter() < stop_at:
        started = time.perf_counter()
        await call()
        took_ms.append((time.perf_counter() - started) * 1e3)
    stop_at = time.perf_counter() + seconds

    async def caller() -> int:
        for done in itertools.count(1):
            await call()
            if time.perf_counter() >= stop_at:
                return done
        raise AssertionError

    done = await asyncio.gather(*(caller() for _ in range(8)))
    p50_ms, p99_ms = np.percentile(took_ms, [50, 99])
    return Hop(transport, nodes, float(p50_ms), float(p99_ms), sum(done) / seconds)


async def of_host(host: Any, nodes: str, seconds: float) -> list[Hop]:
    here = ray.get_runtime_context().get_node_id()
    items = [search()]

    async def find() -> HostEndpoint:
        found: HostEndpoint = await host.endpoint.remote()
        return found

    stream = HostStream(find, here, "the host", TIMEOUT_S, None, 32)

    async def by_actor() -> Any:
        return await host.ask.remote(items)

    async def by_stream() -> Any:
        return await stream.call("ask", items, again=True)

    coalescer: Coalescer[Any, Any] = Coalescer(lambda batch: stream.call("ask", batch, again=True))

    async def coalesced() -> Any:
        return await coalescer.ask(items)

    kind = "stream, Unix" if nodes == "one" else "stream, TCP"
    return [
        await measured("Ray actor call", nodes, by_actor, seconds),
        await measured(kind, nodes, by_stream, seconds),
        await measured(f"{kind}, coalesced", nodes, coalesced, seconds),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    seconds = parser.parse_args().seconds
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "resources": {"here": 1}}
    )
    cluster.add_node(num_cpus=2, resources={"there": 1})
    ray.init(cluster.address, logging_level="ERROR", log_to_driver=False)
    hops: list[Hop] = []
    try:
        nodes = {node["NodeID"]: node for node in ray.nodes()}
        with tempfile.TemporaryDirectory(prefix="akidb-") as folder:
            for nodes_told, resource in (("one", "here"), ("two", "there")):
                (node,) = [n for n in nodes.values() if resource in n["Resources"]]
                actor: Any = ray.remote(Echo)
                options = actor.options(resources={resource: 1}, num_cpus=0)
                host = options.remote(node["NodeID"], folder, node["NodeManagerAddress"])
                hops += asyncio.run(of_host(host, nodes_told, seconds))
    finally:
        ray.shutdown()
        cluster.shutdown()
    show("One search there, ten hits back", hops)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps([asdict(hop) for hop in hops], indent=1) + "\n")


if __name__ == "__main__":
    main()
