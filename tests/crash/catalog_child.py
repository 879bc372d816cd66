"""Opens a catalog and changes it, several writers at once, until it is killed.

Run as `python -m tests.crash.catalog_child FILE SEED`. It says `open` on stdout, with the term of
this opening, once it has opened the catalog; then each line acknowledges one change, in JSON.
"""

import asyncio
import json
import random
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.domain.collection import Collection, CollectionSpec
from akidb_ray.domain.ids import CollectionId, StoreId
from akidb_ray.domain.jobs import Job, JobKind
from akidb_ray.domain.listing import Listing
from akidb_ray.domain.tenancy import Database, Tenant

WRITERS = 6
ALL = Listing(limit=1000)


class Writer:
    """Changes one tenant of its own, which it makes or finds, and what is in it."""

    def __init__(self, catalog: StoredCatalog, number: int, seed: int) -> None:
        self._catalog = catalog
        self._rng = random.Random(f"{seed} {number}")
        self._slug = f"writer-{number}"

    async def run(self) -> None:
        tenant, database = await self._own()
        for job in await self._catalog.running_jobs():
            if job.tenant_id == tenant.tenant_id:
                await self._finish(job)
        actions: list[Callable[[Tenant, Database], Awaitable[None]]] = [
            self._change_tenant,
            self._add_collection,
            self._add_collection,
            self._change_collection,
            self._delete_collection,
            self._drop_a_database,
        ]
        while True:
            await self._rng.choice(actions)(tenant, database)

    async def _own(self) -> tuple[Tenant, Database]:
        tenants = (await self._catalog.list_tenants(ALL)).items
        tenant = next((one for one in tenants if one.slug == self._slug), None)
        if tenant is None:
            tenant = await self._catalog.create_tenant("A writer", self._slug)
            say_tenant(tenant)
        databases = (await self._catalog.list_databases(tenant.tenant_id, ALL)).items
        database = next((one for one in databases if one.name == "main"), None)
        if database is None:
            database = await self._catalog.create_database(tenant.tenant_id, "main")
            say_database(database)
        return tenant, database

    async def _change_tenant(self, tenant: Tenant, database: Database) -> None:
        changes = {"name": f"A writer {self._rng.random()}", "metadata": {"n": self._rng.random()}}
        say_tenant(await self._catalog.update_tenant(tenant.tenant_id, changes))

    async def _add_collection(self, tenant: Tenant, database: Database) -> None:
        name = f"c{self._rng.getrandbits(48)}"
        spec = CollectionSpec(16, shard_count=self._rng.randint(1, 5))
        collection_id = await self._catalog.create_collection(database.database_id, name, spec)
        say("collection", collection_id, 1, str(database.database_id), name=name)
        ready = await self._catalog.update_collection(collection_id, {"state": "ready"})
        say_collection(ready)

    async def _change_collection(self, tenant: Tenant, database: Database) -> None:
        for one in await self._some_collections(database):
            changes = {"description": f"changed {self._rng.random()}"}
            say_collection(await self._catalog.update_collection(one.collection_id, changes))

    async def _delete_collection(self, tenant: Tenant, database: Database) -> None:
        for one in await self._some_collections(database):
            job = await self._catalog.delete_collection(one.collection_id)
            say("job", job.job_id, job.version, subject=job.subject_id)
            await self._finish(job)

    async def _drop_a_database(self, tenant: Tenant, database: Database) -> None:
        name = f"d{self._rng.getrandbits(48)}"
        other = await self._catalog.create_database(tenant.tenant_id, name, "to be deleted")
        say_database(other)
        await self._add_collection(tenant, other)
        job = await self._catalog.delete_database(other.database_id, cascade=True)
        say("job", job.job_id, job.version, subject=job.subject_id)
        await self._finish(job)

    async def _some_collections(self, database: Database) -> list[Collection]:
        page = await self._catalog.list_collections(database.database_id, ALL)
        whole = [one for one in page.items if one.state == "ready"]
        return self._rng.sample(whole, min(len(whole), 1))

    async def _finish(self, job: Job) -> None:
        """As the job runner does, for a host without files."""
        for collection, _ in await self._catalog.job_collections(job):
            await self._catalog.mark_deleting(collection.collection_id)
            await self._catalog.finish_step(job.job_id, collection.collection_id)
            say("gone", collection.collection_id, 0)
        ended = await self._catalog.end_job(job.job_id)
        if job.kind is JobKind.DELETE_DATABASE:
            say("gone", job.subject_id, 0)
        say("ended", ended.job_id, ended.version)


def say(what: str, thing_id: object, version: int, parent: str = "", **fields: Any) -> None:
    sys.stdout.write(json.dumps([what, str(thing_id), version, parent, fields]) + "\n")
    sys.stdout.flush()


def say_tenant(tenant: Tenant) -> None:
    fields = {"name": tenant.name, "slug": tenant.slug}
    say("tenant", tenant.tenant_id, tenant.version, **fields)


def say_database(database: Database) -> None:
    say("database", database.database_id, database.version, name=database.name)


def say_collection(collection: Collection) -> None:
    fields = {"name": collection.name, "description": collection.description}
    parent = str(collection.database_id)
    say("collection", collection.collection_id, collection.version, parent, **fields)


async def main(file: Path, seed: int) -> None:
    catalog = await StoredCatalog.open(file, lambda: datetime.now(UTC), create=True)
    say("open", CollectionId.new(), catalog.epoch)
    await catalog.register_store(StoreId.parse("01990000-0000-7000-8000-000000000001"), "host")
    await asyncio.gather(*(Writer(catalog, number, seed).run() for number in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
