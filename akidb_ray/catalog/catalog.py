"""The catalog: every change a transaction, every version something to watch for."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from akidb_ray.catalog.feed import Feed
from akidb_ray.catalog.repositories import CatalogStore, Repositories
from akidb_ray.catalog.rules import collections, databases, deletion, jobs, stores, tenants, users
from akidb_ray.catalog.sqlite.store import SqliteStore
from akidb_ray.catalog.transactions import Transactions
from akidb_ray.domain.collection import Collection as DocumentCollection
from akidb_ray.domain.collection import CollectionSpec
from akidb_ray.domain.directory import CatalogUpdate
from akidb_ray.domain.ids import CollectionId, DatabaseId, JobId, StoreId, TenantId, UserId
from akidb_ray.domain.jobs import Job
from akidb_ray.domain.listing import Listing, Page
from akidb_ray.domain.tenancy import (
    DEFAULT_NAME,
    Database,
    Tenant,
    TenantQuota,
    User,
    UserStatus,
)

EVERYTHING = Listing()


class StoredCatalog:
    """Tenants, users, databases, collections, placement and jobs in one store of one process.

    Carries out `service.ports.Catalog` and `service.job_runner.JobCatalog`. A change is durable
    when its method returns; a caller that is cancelled meanwhile doesn't undo it. All methods may
    raise NotFound, AlreadyExists, InvalidArgument, InvalidState, QuotaExceeded, PreconditionFailed,
    StorageFull, StorageFailed, Corrupt, and Unavailable, also after `close`.
    """

    def __init__(self, store: CatalogStore) -> None:
        self.cluster_id = store.cluster_id
        self.epoch = store.epoch
        self._store = store
        self._feed = Feed(store)
        self._transactions = Transactions(store, self._feed)
        self._read = self._transactions.read
        self._write = self._transactions.write

    @classmethod
    async def open(cls, path: Path, clock: Callable[[], datetime], *, create: bool) -> Self:
        """Open the catalog in the SQLite file at `path`; make it first, with the tenant and the
        database `default`, if it is missing and `create` says so.

        `clock` gives aware datetimes. From now on a process that opened it before can't change it.
        Raises NotFound for a missing file without `create`, InvalidState when a newer release wrote
        it or SQLite is too old, Corrupt when it is no catalog.
        """
        return cls(await SqliteStore.open(path, clock, create=create, fill=add_defaults))

    async def close(self) -> None:
        """Wake the watchers with Unavailable, finish the changes under way, close the store."""
        await self._transactions.close()

    # Tenants

    async def create_tenant(
        self,
        name: str,
        slug: str | None = None,
        external_id: str | None = None,
        quota: TenantQuota | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Tenant:
        """An active tenant; without `slug`, one is made from the name and made unique."""
        return await self._write(
            lambda repos: tenants.create_tenant(repos, name, slug, external_id, quota, metadata)
        )

    async def update_tenant(
        self, tenant_id: TenantId, changes: Mapping[str, Any], if_version: int | None = None
    ) -> Tenant:
        """`changes` may hold name, slug, external_id, status, metadata and the quota's fields."""
        return await self._write(
            lambda repos: tenants.update_tenant(repos, tenant_id, changes, if_version)
        )

    async def get_tenant(self, ref: str | TenantId) -> Tenant:
        """By slug or id."""
        return await self._read(lambda repos: tenants.get_tenant(repos, ref))

    async def list_tenants(self, listing: Listing = EVERYTHING) -> Page[Tenant]:
        return await self._read(lambda repos: repos.tenants.list(listing))

    async def purge_tenant(self, tenant_id: TenantId) -> Job:
        """Begin to remove a decommissioned tenant with all that is in it, or find it begun."""
        return await self._write(lambda repos: deletion.purge_tenant(repos, tenant_id))

    # Users

    async def create_user(
        self,
        tenant_id: TenantId,
        email: str,
        password_hash: bytes | None = None,
        status: UserStatus = UserStatus.PENDING,
    ) -> User:
        return await self._write(
            lambda repos: users.create_user(repos, tenant_id, email, password_hash, status)
        )

    async def update_user(
        self, user_id: UserId, changes: Mapping[str, Any], if_version: int | None = None
    ) -> User:
        """`changes` may hold email, status, password_hash and last_login_at."""
        return await self._write(
            lambda repos: users.update_user(repos, user_id, changes, if_version)
        )

    async def get_user(self, tenant_id: TenantId, ref: str | UserId) -> User:
        """By email, whatever the case of its ASCII letters, or id, within the tenant."""
        return await self._read(lambda repos: users.get_user(repos, tenant_id, ref))

    async def delete_user(self, user_id: UserId) -> None:
        await self._write(lambda repos: repos.users.delete(user_id))

    async def list_users(self, tenant_id: TenantId, listing: Listing = EVERYTHING) -> Page[User]:
        return await self._read(lambda repos: repos.users.list(tenant_id, listing))

    # Databases

    async def create_database(
        self, tenant_id: TenantId, name: str, description: str = ""
    ) -> Database:
        return await self._write(
            lambda repos: databases.create_database(repos, tenant_id, name, description)
        )

    async def update_database(
        self, database_id: DatabaseId, changes: Mapping[str, Any], if_version: int | None = None
    ) -> Database:
        """`changes` may hold name and description."""
        return await self._write(
            lambda repos: databases.update_database(repos, database_id, changes, if_version)
        )

    async def get_database(self, tenant_id: TenantId, ref: str | DatabaseId) -> Database:
        """By name or id, within the tenant."""
        return await self._read(lambda repos: databases.get_database(repos, tenant_id, ref))

    async def list_databases(
        self, tenant_id: TenantId, listing: Listing = EVERYTHING
    ) -> Page[Database]:
        return await self._read(lambda repos: repos.databases.list(tenant_id, listing))

    async def delete_database(self, database_id: DatabaseId, cascade: bool = False) -> Job:
        """Begin to delete it, or find that begun. Raises InvalidState while it holds collections,
        unless `cascade` has them deleted too.
        """
        return await self._write(
            lambda repos: deletion.delete_database(repos, database_id, cascade)
        )

    # Collections

    async def create_collection(
        self, database_id: DatabaseId, name: str, spec: CollectionSpec, description: str = ""
    ) -> CollectionId:
        """Record it in state `creating`, its shards placed on stores, in one transaction."""
        return await self._write(
            lambda repos: collections.create_collection(repos, database_id, name, spec, description)
        )

    async def update_collection(
        self, collection_id: CollectionId, changes: Mapping[str, Any], if_version: int | None = None
    ) -> DocumentCollection:
        """`changes` may hold name, description and state (by COLLECTION_MOVES)."""
        return await self._write(
            lambda repos: collections.update_collection(repos, collection_id, changes, if_version)
        )

    async def get_collection(
        self, database_id: DatabaseId, ref: str | CollectionId
    ) -> DocumentCollection:
        """By name or id, within the database."""
        return await self._read(lambda repos: collections.get_collection(repos, database_id, ref))

    async def list_collections(
        self, database_id: DatabaseId, listing: Listing = EVERYTHING
    ) -> Page[DocumentCollection]:
        return await self._read(lambda repos: repos.collections.list(database_id, listing))

    async def delete_collection(self, collection_id: CollectionId) -> Job:
        """Begin to delete it, or find that begun."""
        return await self._write(lambda repos: deletion.delete_collection(repos, collection_id))

    # Jobs

    async def get_job(self, job_id: JobId) -> Job:
        return await self._read(lambda repos: repos.jobs.get(job_id))

    async def list_jobs(
        self, tenant_id: TenantId | None = None, listing: Listing = EVERYTHING
    ) -> Page[Job]:
        """Of one tenant, or of all."""
        return await self._read(lambda repos: repos.jobs.list(tenant_id, listing))

    async def cancel_job(self, job_id: JobId) -> Job:
        """Ask it to stop at its next step. Raises InvalidState if it has ended, or cannot stop."""
        return await self._write(lambda repos: jobs.cancel_job(repos, job_id))

    async def running_jobs(self) -> list[Job]:
        """The oldest first."""
        return await self._read(jobs.running_jobs)

    async def adopt_unfinished(self) -> list[Job]:
        """Begin jobs for collections and databases in state `deleting` that no running job covers:
        those of a release without jobs, and those whose job failed.
        """
        return await self._write(deletion.adopt_unfinished)

    async def job_collections(self, job: Job) -> list[jobs.Placed]:
        """What the job has to remove still, by id, each with the stores of its shards."""
        return await self._read(lambda repos: jobs.job_collections(repos, job))

    async def mark_deleting(self, collection_id: CollectionId) -> DocumentCollection:
        """From here on there is no way back. One that is marked already stays so."""
        return await self._write(lambda repos: jobs.mark_deleting(repos, collection_id))

    async def finish_step(self, job_id: JobId, collection_id: CollectionId) -> Job:
        """Remove the row of a collection whose files are gone, and count that."""
        return await self._write(lambda repos: jobs.finish_step(repos, job_id, collection_id))

    async def end_job(self, job_id: JobId) -> Job:
        """Remove the row of the job's subject: it has succeeded. One that was asked to stop is
        cancelled instead, and removes nothing.
        """
        return await self._write(lambda repos: jobs.end_job(repos, job_id))

    async def fail_job(self, job_id: JobId, error: str) -> Job:
        return await self._write(lambda repos: jobs.fail_job(repos, job_id, error))

    async def note_job(self, job_id: JobId, error: str | None) -> Job:
        """Record what keeps it from going on; None: nothing does any more."""
        return await self._write(lambda repos: jobs.note_job(repos, job_id, error))

    # The cluster

    async def register_store(self, store_id: StoreId, actor_name: str) -> None:
        """Say which actor serves a store now."""
        await self._write(lambda repos: repos.placement.register_store(store_id, actor_name))

    async def retire_other_stores(self, serving: Collection[StoreId]) -> None:
        """Record that the stores outside of `serving` are served by nobody now."""
        await self._write(lambda repos: stores.retire_other_stores(repos, serving))

    async def replace_root_key_hash(self, root_key_hash: bytes) -> None:
        await self._transactions.see_through(lambda: self._store.set_root_key_hash(root_key_hash))

    async def watch(self, since: int, timeout_s: float) -> CatalogUpdate | None:
        """What happened after version `since`, as soon as something did; None when the time is
        over.
        """
        return await self._feed.watch(since, timeout_s)


async def add_defaults(repos: Repositories) -> None:
    """What a new catalog holds: the tenant `default`, and in it the database `default`."""
    tenant = await tenants.create_tenant(repos, DEFAULT_NAME, DEFAULT_NAME, None, None, None)
    await databases.create_database(repos, tenant.tenant_id, DEFAULT_NAME, "")
