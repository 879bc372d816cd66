"""What each layer of a search costs: raw hnswlib, a shard in process, a host call, REST.

    python -m bench.search [--rows 100000] [--queries 500] [--ef 200] [--data FOLDER]

The same vectors and queries in one run, so that the ratios hold on a noisy machine. Prints
recall@10 with every latency, and writes bench/results/search.json.
"""

import argparse
import asyncio
import json
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np

from akidb_ray.domain.collection import CollectionSpec, Metric
from akidb_ray.domain.document import DocumentBatch
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.ids import CollectionId, TenantId
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import ShardSearch, VectorQuery
from akidb_ray.domain.write import ShardUpsert
from akidb_ray.shard.maintenance import maintain
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.recovery import create_replica, open_replica
from akidb_ray.storage.os_filesystem import OsFileSystem
from bench.vectors import Corpus, add_data_option, film_corpus

K, M, EF_CONSTRUCTION = 10, 32, 200
CLIENTS = 8
BATCH = 1000
KEY = "root-key-of-the-bench-0123456789"
COLLECTION = "/v2/tenants/default/databases/default/collections/films"


@dataclass(frozen=True)
class Figures:
    """Latencies with one caller; requests per second with `CLIENTS` callers at once."""

    layer: str
    recall: float
    p50_ms: float
    p95_ms: float
    requests_per_s: float


Search = Callable[[int], list[int]]


def measure(layer: str, corpus: Corpus, search: Search, together: Callable[[], float]) -> Figures:
    """`search` answers query number n with rows; `together` gives the rate of all clients."""
    for query in range(20):
        search(query)
    found, took_ms = [], []
    for query in range(len(corpus.queries)):
        started = time.perf_counter()
        found.append(search(query))
        took_ms.append((time.perf_counter() - started) * 1000)
    p50, p95 = np.percentile(took_ms, [50, 95])
    return Figures(layer, corpus.recall(found), float(p50), float(p95), together())


def threads_rate(search: Search, queries: int) -> float:
    """Requests per second of threads that each ask all queries."""
    threads = [
        threading.Thread(target=lambda: [search(query) for query in range(queries)])
        for _ in range(CLIENTS)
    ]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return CLIENTS * queries / (time.perf_counter() - started)


def raw_hnswlib(corpus: Corpus, threads: int) -> Figures:
    index = hnswlib.Index(space="ip", dim=corpus.base.shape[1])
    index.init_index(len(corpus.base), ef_construction=EF_CONSTRUCTION, M=M)
    started = time.perf_counter()
    index.add_items(corpus.base, num_threads=threads)
    print(f"raw hnswlib: built in {time.perf_counter() - started:.1f} s", flush=True)
    index.set_ef(corpus.ef)

    def search(query: int) -> list[int]:
        return index.knn_query(corpus.queries[query], K, num_threads=1)[0][0].tolist()

    return measure("raw hnswlib", corpus, search, lambda: threads_rate(search, len(corpus.queries)))


def batches(corpus: Corpus) -> Any:
    for start in range(0, len(corpus.base), BATCH):
        vectors = corpus.base[start : start + BATCH]
        ids = [str(row) for row in range(start, start + len(vectors))]
        yield DocumentBatch(ids, vectors, [None] * len(ids), [b'{"n": 1}'] * len(ids))


def shard_in_process(corpus: Corpus, folder: Path, threads: int) -> Figures:
    fs = OsFileSystem(folder)
    create_replica(fs, CollectionSpec(corpus.base.shape[1], Metric.COSINE), {})
    replica = open_replica(fs, ShardPolicy(build_threads=threads, seal_idle_s=0.0))
    key = ShardKey(TenantId.new(), CollectionId.new(), 0)
    started = time.perf_counter()
    for batch in batches(corpus):
        replica.write(ShardUpsert(key, batch, RowFilter()))
    written_s = time.perf_counter() - started
    while maintain(replica):
        pass
    indexed_s = time.perf_counter() - started
    rate = len(corpus.base) / written_s
    print(f"shard: {rate:.0f} durable rows/s, indexed after {indexed_s:.1f} s", flush=True)

    def search(query: int) -> list[int]:
        hits = replica.view().search(
            VectorQuery(corpus.queries[query], K, ef=corpus.ef), RowFilter()
        )
        return [int(hit.id) for hit in hits]

    figures = measure(
        "shard in process", corpus, search, lambda: threads_rate(search, len(corpus.queries))
    )
    replica.close()
    return figures


class HostCalls:
    """Searches through the port to the hosts, from a driver of the running cluster."""

    def __init__(self, services: Any, hosts: Any) -> None:
        self._runner = asyncio.Runner()
        self._services, self._hosts = services, hosts
        directory = self._runner.run(services.copy.catch_up())
        tenant = directory.tenant("default")
        database = directory.database(tenant, "default")
        place = directory.collection(tenant, database, "films")
        self._store = place.placements[0].store_id
        self._shard = ShardKey(tenant.tenant_id, place.collection.collection_id, 0)

    def fill(self, corpus: Corpus) -> None:
        for batch in batches(corpus):
            write = ShardUpsert(self._shard, batch, RowFilter())
            (answer,) = self._runner.run(self._hosts.write(self._store, [write]))
            if isinstance(answer, Exception):
                raise answer

    def measure(self, corpus: Corpus) -> Figures:
        async def ask(query: int) -> list[int]:
            asked = VectorQuery(corpus.queries[query], K, ef=corpus.ef)
            item = ShardSearch(self._shard, asked, RowFilter())
            (hits,) = await self._hosts.search(self._store, [item])
            return [int(hit.id) for hit in hits]

        async def ask_all() -> None:
            for query in range(len(corpus.queries)):
                await ask(query)

        async def together() -> float:
            started = time.perf_counter()
            await asyncio.gather(*(ask_all() for _ in range(CLIENTS)))
            return CLIENTS * len(corpus.queries) / (time.perf_counter() - started)

        return measure(
            "host call (Ray)",
            corpus,
            lambda query: self._runner.run(ask(query)),
            lambda: self._runner.run(together()),
        )


def rest_search(port: int, corpus: Corpus) -> Search:
    connection = HTTPConnection("127.0.0.1", port)
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    bodies = [
        json.dumps({"vector": vector.tolist(), "limit": K, "params": {"ef": corpus.ef}})
        for vector in corpus.queries
    ]

    def search(query: int) -> list[int]:
        connection.request("POST", f"{COLLECTION}/search", bodies[query], headers)
        return [int(hit["id"]) for hit in json.loads(connection.getresponse().read())["results"]]

    return search


def _client(port: int, corpus: Corpus, barrier: Any) -> None:
    search = rest_search(port, corpus)
    search(0)
    barrier.wait()
    for query in range(len(corpus.queries)):
        search(query)
    barrier.wait()


def rest(port: int, corpus: Corpus) -> Figures:
    small = replace(corpus, base=corpus.base[:1])

    def together() -> float:
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(CLIENTS + 1)
        clients = [
            context.Process(target=_client, args=(port, small, barrier)) for _ in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        barrier.wait()
        started = time.perf_counter()
        barrier.wait()
        rate = CLIENTS * len(corpus.queries) / (time.perf_counter() - started)
        for client in clients:
            client.join()
        return rate

    return measure("REST", corpus, rest_search(port, corpus), together)


def served(corpus: Corpus, folder: Path) -> list[Figures]:
    """Start a cluster on `folder`, fill it through the host port, measure host call and REST."""
    from bench.serving import running_cluster

    with running_cluster(folder, KEY) as cluster:
        cluster.request("POST", COLLECTION.rsplit("/", 1)[0], {"name": "films", "dimension": 384})
        host = HostCalls(cluster.services, cluster.hosts)
        host.fill(corpus)
        while cluster.request("GET", COLLECTION)["status"]["indexing"]:
            time.sleep(0.5)
        return [host.measure(corpus), rest(cluster.port, corpus)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--ef", type=int, default=200, help="breadth of the graph search")
    parser.add_argument("--threads", type=int, default=4, help="threads of an index build")
    add_data_option(parser)
    arguments = parser.parse_args()
    corpus = film_corpus(arguments.data, arguments.rows, arguments.queries, K)
    corpus = replace(corpus, ef=arguments.ef)
    with tempfile.TemporaryDirectory() as folder:
        table = [
            raw_hnswlib(corpus, arguments.threads),
            shard_in_process(corpus, Path(folder) / "shard", arguments.threads),
            *served(corpus, Path(folder) / "cluster"),
        ]
    print(f"\n{arguments.rows} x 384, cosine, top {K}, ef {arguments.ef}, {CLIENTS} clients")
    print(f"{'layer':<18}{'recall@10':>10}{'p50 ms':>9}{'p95 ms':>9}{'requests/s':>12}")
    for row in table:
        print(
            f"{row.layer:<18}{row.recall:>10.4f}{row.p50_ms:>9.3f}{row.p95_ms:>9.3f}"
            f"{row.requests_per_s:>12.0f}"
        )
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "search.json").write_text(json.dumps([asdict(row) for row in table], indent=1))


if __name__ == "__main__":
    main()
