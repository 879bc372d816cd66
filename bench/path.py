"""Where the time of one search goes on its way over REST, with one client.

    python -m bench.path [--rows 100000] [--queries 500] [--rounds 2] [--ef 200] [--quick]
                         [--data FOLDER]

Each layer of the way is entered at its own door, and the same query is asked at all doors before
the next one, so that noise hits all alike: over HAProxy, at the port of the gateway's replica, the
ASGI application in this process, the use case, the port to the hosts, and a copy of the host's
files opened in this process. What lies between two doors is the difference of their medians. An
empty answer at the two outer doors says what of it is the way alone.

Prints a table with the recall at each door, and writes bench/results/path.json. It needs the
ingress that only Linux has.
"""

import argparse
import asyncio
import base64
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from akidb_ray.access.authorization import ROOT
from akidb_ray.cluster.local_ray import instance_id
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import Hit, ShardSearch, VectorQuery
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.replicas import Replicas
from akidb_ray.storage.data_folder import stores_in
from akidb_ray.storage.os_filesystem import OsFileSystem
from bench.akidb_server import AUTHORIZED, COLLECTION, KEY, AkidbServer, read_rows
from bench.engine_measuring import show
from bench.exact import ExactNearest
from bench.http_load import HttpConnection, HttpTarget
from bench.serve_requests import K, no_rows
from bench.vectors import Corpus, add_data_option, film_corpus

RESULTS = Path(__file__).parent / "results" / "path.json"
BATCH = 1000
_WARM_UP = 20
_REPLICA_PORTS = (
    "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT",
    "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT",
)


@dataclass(frozen=True)
class Door:
    """`ask` answers query number n, and is what is timed; `rows` reads its answer. `behind` says
    what lies between this door and the next one.
    """

    name: str
    behind: str
    ask: Callable[[int], Awaitable[Any]]
    rows: Callable[[Any], Sequence[int]]


@dataclass(frozen=True)
class Stage:
    """From a door to the next one."""

    stage: str
    ms: float
    percent: float
    door: str
    door_p50_ms: float
    door_p95_ms: float
    recall: str


class Way:
    """The doors to one collection, `films`, of a cluster whose driver is this process."""

    def __init__(self, port: int, services: Any, folder: Path, corpus: Corpus, ef: int) -> None:
        self._port = port
        self._services = services
        self._folder = folder
        self._corpus = corpus
        self._ef = ef
        encoded = [base64.b64encode(vector.tobytes()).decode() for vector in corpus.queries]
        self._bodies = [
            json.dumps({"vector": text, "limit": K, "params": {"ef": ef}}).encode()
            for text in encoded
        ]

    @asynccontextmanager
    async def doors(self) -> AsyncIterator[tuple[list[Door], list[Door]]]:
        """Those of a search, from the outside in, and those of an empty answer."""
        from akidb_ray.gateway.rest.app import build_app

        inner = _replica_port(instance_id(self._folder))
        outer_search, inner_search = await self._search_at(self._port), await self._search_at(inner)
        outer_empty, inner_empty = await self._empty_at(self._port), await self._empty_at(inner)
        directory = await self._services.copy.catch_up()
        tenant = directory.tenant("default")
        database = directory.database(tenant, "default")
        place = directory.collection(tenant, database, "films")
        self._store = place.placements[0].store_id
        self._shard = ShardKey(tenant.tenant_id, place.collection.collection_id, 0)
        self._app = build_app(self._services)
        copied = self._folder.parent / "copy"
        await asyncio.to_thread(shutil.copytree, stores_in(self._folder)[0].path, copied)
        replicas = Replicas(OsFileSystem(copied), ShardPolicy())

        async def of_files(query: int) -> list[Hit]:
            return replicas.search(self._item(query))

        searches = [
            Door("HAProxy", "ingress", outer_search.ask, read_rows),
            Door("replica's port", "HTTP in the replica, the client", inner_search.ask, read_rows),
            Door("ASGI application", "routing, parsing, encoding", self._ask_app, read_rows),
            Door("use case", "authorizing, merging", self._ask_use_case, _ids),
            Door("port to the hosts", "hop to the host", self._ask_host, _ids),
            Door("files", "search", of_files, _ids),
        ]
        empty = [
            Door("HAProxy, empty", "", outer_empty.ask, no_rows),
            Door("replica's port, empty", "", inner_empty.ask, no_rows),
        ]
        try:
            yield searches, empty
        finally:
            replicas.close()
            for connection in (outer_search, inner_search, outer_empty, inner_empty):
                await connection.close()

    async def _search_at(self, port: int) -> HttpConnection:
        path = f"{COLLECTION}/search"
        target = HttpTarget(port, "POST", path, self._bodies, read_rows, (AUTHORIZED,))
        return await target.connect()

    async def _empty_at(self, port: int) -> HttpConnection:
        bodies = [b""] * len(self._bodies)
        return await HttpTarget(port, "GET", "/healthz", bodies, no_rows).connect()

    async def _ask_app(self, query: int) -> bytes:
        """What an ASGI server does with a request, without a socket."""
        path = f"{COLLECTION}/search"
        body = self._bodies[query]
        headers = [
            (b"host", b"localhost"),
            (b"authorization", f"Bearer {KEY}".encode()),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
        ]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", self._port),
        }
        sent: list[dict[str, Any]] = []

        incoming = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            # The next message would be that the client has left.
            message = next(incoming, None)
            return message or await asyncio.get_running_loop().create_future()

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        return b"".join(message.get("body", b"") for message in sent)

    async def _ask_use_case(self, query: int) -> list[Hit]:
        from akidb_ray.service.collections import CollectionRef
        from akidb_ray.service.search import SearchRequest

        ref = CollectionRef("default", "default", "films")
        request = SearchRequest(vector=self._corpus.queries[query], limit=K, ef=self._ef)
        answer = await self._services.search.search(ROOT, ref, request)
        return list(answer.hits)

    async def _ask_host(self, query: int) -> list[Hit]:
        (answer,) = await self._services.documents.hosts.ask(self._store, [self._item(query)])
        if isinstance(answer, Exception):
            raise answer
        hits: list[Hit] = answer.hits
        return hits

    def _item(self, query: int) -> ShardSearch:
        asked = VectorQuery(self._corpus.queries[query], K, ef=self._ef)
        return ShardSearch(self._shard, asked, RowFilter())


def _ids(hits: Sequence[Hit]) -> list[int]:
    return [int(hit.id) for hit in hits]


def _replica_port(instance: str) -> int:
    """Where the gateway's replica listens, behind the ingress. Raises RuntimeError."""
    first, last = (int(os.environ[name]) for name in _REPLICA_PORTS)
    for process in AkidbServer(0, 0, instance, psutil.Process()).processes():
        for connection in process.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and first <= connection.laddr.port <= last:
                return int(connection.laddr.port)
    raise RuntimeError("no replica listens by itself: is this Ray without HAProxy?")


async def interleaved(
    doors: Sequence[Door], queries: int, rounds: int
) -> dict[str, tuple[list[float], list[Any]]]:
    """For each door how long its answers took, in ms, and those of the first round. The doors take
    turns in being first.
    """
    found: dict[str, tuple[list[float], list[Any]]] = {door.name: ([], []) for door in doors}
    for door in doors:
        for query in range(min(_WARM_UP, queries)):
            await door.ask(query)
    for turn in range(rounds * queries):
        first = turn % len(doors)
        for door in (*doors[first:], *doors[:first]):
            began = time.perf_counter()
            answer = await door.ask(turn % queries)
            took_ms, answers = found[door.name]
            took_ms.append((time.perf_counter() - began) * 1000)
            if turn < queries:
                answers.append(answer)
    return found


async def measure(way: Way, corpus: Corpus, rounds: int) -> list[Stage]:
    exact = ExactNearest(corpus.queries, K)
    exact.add(0, corpus.base)
    async with way.doors() as (searches, empty):
        found = await interleaved([*searches, *empty], len(corpus.queries), rounds)
    p50_ms = {name: float(np.percentile(took_ms, 50)) for name, (took_ms, _) in found.items()}
    whole_ms = p50_ms[searches[0].name]
    stages = []
    for place, door in enumerate([*searches, *empty]):
        took_ms, answers = found[door.name]
        ms, percent, recall = 0.0, 0.0, ""
        if door in searches:
            inner = searches[place + 1 : place + 2]
            ms = p50_ms[door.name] - sum(p50_ms[each.name] for each in inner)
            percent = 100 * ms / whole_ms
            shares = [exact.share(n, door.rows(answer)) for n, answer in enumerate(answers)]
            recall = f"{np.mean(shares):.4f}"
        p95_ms = float(np.percentile(took_ms, 95))
        stages.append(Stage(door.behind, ms, percent, door.name, p50_ms[door.name], p95_ms, recall))
    return stages


def fill(server: AkidbServer, corpus: Corpus) -> dict[str, Any]:
    server.create_films(corpus.base.shape[1])
    for start in range(0, len(corpus.base), BATCH):
        part = corpus.base[start : start + BATCH]
        server.write(start, part, [json.dumps({"n": start + n}) for n in range(len(part))])
    return server.wait_until_built()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--ef", type=int, default=200, help="breadth of the graph search")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="a small run that shows that it works")
    add_data_option(parser)
    options = parser.parse_args()
    if options.quick:
        options.rows, options.queries, options.results = 5_000, 100, Path(os.devnull)
    from bench.serving import running_cluster

    corpus = film_corpus(options.data, options.rows, options.queries, K)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "cluster"
        with running_cluster(folder, KEY) as cluster:
            server = AkidbServer(cluster.port, 0, instance_id(folder), psutil.Process())
            status = fill(server, corpus)
            way = Way(cluster.port, cluster.services, folder, corpus, options.ef)
            table = asyncio.run(measure(way, corpus, options.rounds))
    segments = [shard["segments"] for shard in status["shards"]]
    shape = {"rows": options.rows, "dimension": corpus.base.shape[1], "ef": options.ef, "k": K}
    machine = {"cores": os.cpu_count(), "load": os.getloadavg()}
    kept = {**shape, "segments": segments, **machine, "figures": [asdict(row) for row in table]}
    options.results.parent.mkdir(exist_ok=True)
    options.results.write_text(json.dumps(kept, indent=1) + "\n")
    title = f"{options.rows:,} x {corpus.base.shape[1]}, top {K}, ef {options.ef}, one client"
    show(f"{title}, segments {segments}", table)


if __name__ == "__main__":
    main()
