"""A catalog with things to be deleted, whose shards have real folders on real hosts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.catalog.memory.store import MemoryStore
from akidb_ray.cluster.shard_host import HostOptions
from akidb_ray.domain.collection import CollectionSpec, CollectionState
from akidb_ray.domain.directory import CatalogUpdate, CollectionPlace
from akidb_ray.domain.ids import CollectionId, JobId
from akidb_ray.domain.jobs import Job
from akidb_ray.domain.tenancy import Database, Tenant, TenantStatus
from akidb_ray.service.job_runner import JobPolicy, JobRunner
from akidb_ray.settings import ShardSettings
from tests.in_process import DirectHosts

POLICY = JobPolicy(first_wait_s=0.001, longest_wait_s=0.004)
PATIENCE_S = 20.0
Opening = Callable[[], Awaitable[StoredCatalog]]


class Crash(BaseException):
    """The end of the process, as far as the runner can tell."""


@dataclass
class Fuse:
    """Lets so many calls pass, and then none. None: any number."""

    calls_left: int | None = None
    calls: int = 0

    def burn(self) -> None:
        if self.calls == self.calls_left:
            raise Crash
        self.calls += 1


class Fused:
    """A port whose calls burn a fuse. Before each of them, `check` looks at what is there."""

    def __init__(self, port: Any, fuse: Fuse, check: Callable[[], Awaitable[None]]) -> None:
        self._port, self._fuse, self._check = port, fuse, check

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any) -> Any:
            self._fuse.burn()
            await self._check()
            return await getattr(self._port, name)(*arguments)

        return call


@dataclass
class Scene:
    """Its `catalog` may be opened again, its `hosts` may be down, its folders lie in `folder`."""

    folder: Path
    open_catalog: Opening
    catalog: StoredCatalog
    hosts: DirectHosts
    made: dict[str, CollectionPlace] = field(default_factory=dict)

    async def watch(self, since: int, timeout_s: float) -> CatalogUpdate | None:
        """What the hosts follow, also after the catalog was opened again."""
        return await self.catalog.watch(since, timeout_s)

    async def make_tenant(self, slug: str) -> Tenant:
        return await self.catalog.create_tenant(slug.title(), slug)

    async def make_collection(
        self, database: Database, name: str, shards: int = 2, ready: bool = True
    ) -> CollectionId:
        """One with folders for its shards; not `ready`: only the first shard has one."""
        spec = CollectionSpec(dimension=16, shard_count=shards)
        made = await self.catalog.create_collection(database.database_id, name, spec)
        place = self.made[name] = await self.place(made)
        for placement in place.placements if ready else place.placements[:1]:
            await self.hosts.create_shard(placement.store_id, place, placement.number)
        if ready:
            await self.catalog.update_collection(made, {"state": CollectionState.READY})
        return made

    async def place(self, collection_id: CollectionId) -> CollectionPlace:
        update = await self.catalog.watch(0, 0.0)
        assert update is not None
        (collection,) = [c for c in update.collections if c.collection_id == collection_id]
        (database,) = [d for d in update.databases if d.database_id == collection.database_id]
        (tenant,) = [t for t in update.tenants if t.tenant_id == database.tenant_id]
        return CollectionPlace(tenant, database, collection, update.placements[collection_id])

    async def decommission(self, tenant: Tenant) -> None:
        await self.catalog.update_tenant(tenant.tenant_id, {"status": TenantStatus.DECOMMISSIONED})

    async def states(self) -> dict[str, CollectionState]:
        """Of the collections that have a row, by name."""
        update = await self.catalog.watch(0, 0.0)
        assert update is not None
        return {collection.name: collection.state for collection in update.collections}

    def folders(self) -> dict[str, int]:
        """How many shards of each collection have a folder, by name, where any has."""
        names = {str(place.collection.collection_id): name for name, place in self.made.items()}
        found: dict[str, int] = {}
        for shard in _found(self.folder, "store-*/tenants/*/*/*"):
            name = names[shard.parent.name]
            found[name] = found.get(name, 0) + 1
        return found

    async def check(self) -> None:
        """What has a folder has a row, and what lacks a folder is being made or deleted."""
        # Folders first: a step that goes on meanwhile removes rows after folders.
        folders = self.folders()
        states = await self.states()
        for name in states:
            lacking = folders.get(name, 0) < len(self.made[name].placements)
            assert not lacking or states[name] is not CollectionState.READY, name
        assert self.folders().keys() <= states.keys(), (folders, states)

    async def reopen(self) -> None:
        """As after the end of the process."""
        await self.catalog.close()
        self.catalog = await self.open_catalog()

    def runner(self, fuse: Fuse | None = None) -> JobRunner:
        fuse = fuse or Fuse()
        catalog: Any = Fused(self.catalog, fuse, self.check)
        hosts: Any = Fused(self.hosts, fuse, self.check)
        return JobRunner(catalog, hosts, POLICY)

    async def ended(self, job_id: JobId) -> Job:
        await until(lambda: self._has_ended(job_id))
        return await self.catalog.get_job(job_id)

    async def _has_ended(self, job_id: JobId) -> bool:
        return (await self.catalog.get_job(job_id)).ended


@asynccontextmanager
async def running(runner: JobRunner) -> AsyncIterator[JobRunner]:
    """Run it meanwhile; a defect of it is raised at the end."""
    task = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Poll until it holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            await asyncio.sleep(0.001)


def now() -> datetime:
    return datetime.now(UTC)


def in_memory() -> Opening:
    """Opens one catalog in memory, again and again."""
    openings: list[MemoryStore] = []

    async def open_again() -> StoredCatalog:
        openings.append(MemoryStore(now, former=openings[-1] if openings else None))
        return StoredCatalog(openings[-1])

    return open_again


def in_file(path: Path) -> Opening:
    return lambda: StoredCatalog.open(path, now, create=True)


@asynccontextmanager
async def scene(folder: Path, open_catalog: Opening) -> AsyncIterator[Scene]:
    catalog = await open_catalog()
    hosts = DirectHosts()
    opened = Scene(folder, open_catalog, catalog, hosts)
    shard = ShardSettings(disk_reserve_bytes=0, lock_wait_s=1)
    for number in range(2):
        options = HostOptions(
            folder=str(folder / f"store-{number}"),
            node_id="node",
            address="127.0.0.1",
            cluster_id=catalog.cluster_id,
            threads=2,
            writers=2,
            cores=1,
            memory_bytes=1024**3,
            shard=shard,
        )
        await catalog.register_store(await hosts.add(options, opened), f"host-{number}")
    try:
        yield opened
    finally:
        for host in hosts.hosts.values():
            await host.stop()
        await opened.catalog.close()


def _found(folder: Path, pattern: str) -> list[Path]:
    """What `glob` finds while others remove folders, over which it may stumble."""
    while True:
        with contextlib.suppress(FileNotFoundError):
            return list(folder.glob(pattern))
