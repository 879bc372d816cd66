"""The whole database in one process, without Ray or sockets: real catalog, shards and routes.

Only the two borders to Ray are carried out differently: hosts are called directly, and texts are
embedded by the hashing embedder of the product.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from akidb_ray.access.authorization import RootOnly
from akidb_ray.access.keys import hash_key
from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.cluster.host_server import Caller
from akidb_ray.cluster.shard_host import HostOptions, ShardHost
from akidb_ray.domain.directory import CollectionPlace
from akidb_ray.domain.errors import InvalidArgument, Unavailable
from akidb_ray.domain.health import BackupStatus, CatalogHealth
from akidb_ray.domain.ids import StoreId
from akidb_ray.domain.placement import ShardKey
from akidb_ray.embedding.embedder import Embedded, TextKind
from akidb_ray.embedding.models import load_embedder, model_dimension
from akidb_ray.gateway.authentication import Authenticator
from akidb_ray.gateway.rest.app import build_app
from akidb_ray.gateway.services import Services
from akidb_ray.service.catalog_copy import CatalogCopy
from akidb_ray.service.cluster import Cluster
from akidb_ray.service.collections import Collections
from akidb_ray.service.document_limits import DocumentLimits
from akidb_ray.service.documents import Documents
from akidb_ray.service.embeddings import Embeddings
from akidb_ray.service.following import ChangeFeed
from akidb_ray.service.job_runner import BEGINS_JOB, JobPolicy, JobRunner
from akidb_ray.service.jobs import Jobs
from akidb_ray.service.search import Search
from akidb_ray.service.tenants import Databases, Tenants
from akidb_ray.settings import ShardSettings
from tests.serving import ROOT_KEY

MODEL = "hashing-64"


class DirectHosts:
    """The port to the shards by plain calls. A host in `down` answers as if unreachable. `before`
    is awaited with method, store and items before each call: a test may note or hold it up.
    """

    def __init__(self) -> None:
        self.hosts: dict[StoreId, ShardHost] = {}
        self.down: set[StoreId] = set()
        # Somebody who never leaves.
        self._connection, self._other_end = socket.socketpair()
        self._caller = Caller(self._connection)
        self.before: Callable[[str, StoreId, Sequence[Any]], Awaitable[None]] | None = None

    async def add(self, options: HostOptions, catalog: ChangeFeed) -> StoreId:
        host = ShardHost(options, catalog)
        store_id = await host.store_id()
        self.hosts[store_id] = host
        return store_id

    async def _batch(self, method: str, store_id: StoreId, items: Sequence[Any]) -> list[Any]:
        if self.before is not None:
            await self.before(method, store_id, items)
        if store_id in self.down:
            return [Unavailable("the shard host is down")] * len(items)
        carry_out = getattr(self.hosts[store_id].calls, method)
        answers: list[Any] = await asyncio.to_thread(carry_out, items, self._caller)
        return answers

    async def ask(self, store_id: StoreId, items: Sequence[Any]) -> list[Any]:
        return await self._batch("ask", store_id, items)

    async def write(self, store_id: StoreId, items: Sequence[Any]) -> list[Any]:
        return await self._batch("write", store_id, items)

    async def alive(self, store_id: StoreId) -> bool:
        return store_id not in self.down

    async def create_shard(self, store_id: StoreId, place: CollectionPlace, number: int) -> None:
        if store_id in self.down:
            raise Unavailable("the shard host is down")
        spec = place.collection.spec
        await self.hosts[store_id].create_shard(_key(place, number), spec, {"tenant": "test"})

    async def drop_shard(self, store_id: StoreId, place: CollectionPlace, number: int) -> None:
        if store_id in self.down:
            raise Unavailable("the shard host is down")
        await self.hosts[store_id].drop_shard(_key(place, number))

    async def status(self, store_id: StoreId, place: CollectionPlace, number: int) -> Any:
        return await self.hosts[store_id].status(_key(place, number))


class _WakingCatalog:
    """The catalog as its actor offers it: what begins a job wakes the runner."""

    def __init__(self, catalog: StoredCatalog, runner: JobRunner) -> None:
        self._catalog = catalog
        self._runner = runner
        self.backup = BackupStatus("nowhere")

    async def health(self) -> CatalogHealth:
        newest = await CatalogCopy(self._catalog).catch_up()
        return CatalogHealth(newest.version, self._catalog.epoch, self.backup)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._catalog, name)
        if name not in BEGINS_JOB:
            return method

        async def begin(*arguments: Any, **named: Any) -> Any:
            job = await method(*arguments, **named)
            self._runner.wake()
            return job

        return begin


class DirectEmbedders:
    """The hashing embedder, in this process."""

    def __init__(self) -> None:
        self._embedder = load_embedder(MODEL)

    def dimension(self, model: str) -> int:
        if model != MODEL:
            raise InvalidArgument("embedding_model", f"{model!r} is not served here")
        return model_dimension(model)

    async def embed(self, model: str, texts: Sequence[str], kind: TextKind) -> Embedded:
        self.dimension(model)
        return self._embedder.embed(texts, kind)


@dataclass(frozen=True, slots=True)
class Database:
    """One running database and a client to it."""

    client: httpx.AsyncClient
    catalog: StoredCatalog
    services: Services
    hosts: DirectHosts
    stores: tuple[StoreId, ...]


@asynccontextmanager
async def running_database(folder: Path, stores: int = 2) -> AsyncIterator[Database]:
    """Start it on a folder, and stop it cleanly."""
    catalog = await StoredCatalog.open(
        folder / "catalog.sqlite", lambda: datetime.now(UTC), create=True
    )
    await catalog.replace_root_key_hash(hash_key(ROOT_KEY))
    hosts = DirectHosts()
    shard = ShardSettings(seal_idle_s=0.05, index_min_rows=100, disk_reserve_bytes=0, lock_wait_s=1)
    for number in range(stores):
        options = HostOptions(
            folder=str(folder / f"store-{number}"),
            node_id="node",
            address="127.0.0.1",
            cluster_id=catalog.cluster_id,
            threads=4,
            writers=4,
            cores=2,
            memory_bytes=1024**3,
            shard=shard,
        )
        await catalog.register_store(await hosts.add(options, catalog), f"host-{number}")
    copy = CatalogCopy(catalog)
    runner = JobRunner(catalog, hosts, JobPolicy(first_wait_s=0.01, longest_wait_s=0.1))
    services = _services(_WakingCatalog(catalog, runner), copy, hosts)
    tasks = [asyncio.create_task(work) for work in (copy.follow(), runner.run())]
    transport = httpx.ASGITransport(build_app(services), raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {ROOT_KEY}"}
    try:
        async with httpx.AsyncClient(
            transport=transport, base_url="http://akidb", headers=headers
        ) as client:
            yield Database(client, catalog, services, hosts, tuple(hosts.hosts))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for host in hosts.hosts.values():
            await host.stop()
        await catalog.close()


def _services(catalog: Any, copy: CatalogCopy, hosts: DirectHosts) -> Services:
    authorizer = RootOnly()
    embedders = DirectEmbedders()
    collections = Collections(catalog, copy, authorizer, hosts, embedders)
    return Services(
        copy=copy,
        authenticator=Authenticator(copy, open_to_all=False),
        cluster=Cluster(catalog, copy, authorizer, hosts),
        tenants=Tenants(catalog, copy, authorizer),
        databases=Databases(catalog, copy, authorizer),
        collections=collections,
        jobs=Jobs(catalog, copy, authorizer),
        documents=Documents(collections, hosts, embedders, DocumentLimits(hosts)),
        search=Search(collections, hosts, embedders),
        embeddings=Embeddings(authorizer, embedders),
        max_body_bytes=1024**2,
        max_batch_documents=1000,
    )


def _key(place: CollectionPlace, number: int) -> ShardKey:
    return ShardKey(place.tenant.tenant_id, place.collection.collection_id, number)
