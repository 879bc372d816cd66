"""The catalog: every change a transaction, every version something to watch for."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from akidb_ray.catalog import collections, databases, identity, placement, tenants, users
from akidb_ray.catalog.changes import Change, catalog_version
from akidb_ray.catalog.creation import create_catalog_file
from akidb_ray.catalog.database import CatalogDatabase
from akidb_ray.catalog.engines import require_sqlite
from akidb_ray.catalog.feed import Feed
from akidb_ray.catalog.pages import Page
from akidb_ray.catalog.schema import require_known_schema, upgrade
from akidb_ray.domain.collection import Collection, CollectionSpec
from akidb_ray.domain.directory import CatalogSnapshot
from akidb_ray.domain.errors import Corrupt, NotFound
from akidb_ray.domain.ids import ClusterId, CollectionId, DatabaseId, StoreId, TenantId, UserId
from akidb_ray.domain.tenancy import (
    Database,
    Tenant,
    TenantQuota,
    TenantStatus,
    User,
    UserStatus,
)

T = TypeVar("T")
DEFAULT_PAGE_ROWS = 100


class SqliteCatalog:
    """Tenants, users, databases, collections and placement in one SQLite file of one process.

    Carries out `service.ports.Catalog`. A change is durable when its method returns; a caller that
    is cancelled meanwhile doesn't undo it. All methods may raise NotFound, AlreadyExists,
    InvalidArgument, InvalidState, PreconditionFailed, StorageFull, StorageFailed, Corrupt, and
    Unavailable, also after `close`.
    """

    def __init__(
        self,
        database: CatalogDatabase,
        clock: Callable[[], datetime],
        cluster_id: ClusterId,
        version: int,
    ) -> None:
        """Use `open`. `cluster_id` and `version` are what the file says."""
        self.cluster_id = cluster_id
        self._database = database
        self._clock = clock
        self._feed = Feed(database, version)
        self._writes: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(cls, path: Path, clock: Callable[[], datetime], *, create: bool) -> Self:
        """Open the catalog at `path`; make it first if it is missing and `create` says so.

        `clock` gives aware datetimes. Raises NotFound for a missing file without `create`,
        InvalidState when a newer release wrote it or SQLite is too old, Corrupt when it is no
        catalog.
        """
        require_sqlite()
        if await asyncio.to_thread(path.exists):
            await asyncio.to_thread(require_known_schema, path)
            await asyncio.to_thread(upgrade, path)
        elif create:
            await create_catalog_file(path, clock())
        else:
            raise NotFound("catalog file", path)
        database = CatalogDatabase(path)
        try:
            async with database.writing() as connection:
                cluster_id = await identity.read_cluster_id(connection)
                if cluster_id is None:
                    raise Corrupt(str(path), "does not say which cluster it belongs to")
                version = await catalog_version(connection)
        except BaseException:
            await database.close()
            raise
        return cls(database, clock, cluster_id, version)

    async def close(self) -> None:
        """Wake the watchers with Unavailable, finish the changes under way, close the file."""
        await self._feed.close()
        await asyncio.gather(*self._writes, return_exceptions=True)
        await self._database.close()

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
            lambda change: tenants.create_tenant(change, name, slug, external_id, quota, metadata)
        )

    async def update_tenant(
        self, tenant_id: TenantId, changes: Mapping[str, Any], if_version: int | None = None
    ) -> Tenant:
        """`changes` may hold name, slug, external_id, status, metadata and the quota's fields."""
        return await self._write(
            lambda change: tenants.update_tenant(change, tenant_id, changes, if_version)
        )

    async def delete_tenant(self, tenant_id: TenantId, if_version: int | None = None) -> Tenant:
        """Decommission it: its data and its slug stay until it is purged."""
        return await self.update_tenant(
            tenant_id, {"status": TenantStatus.DECOMMISSIONED}, if_version
        )

    async def get_tenant(self, ref: str | TenantId) -> Tenant:
        """By slug or id."""
        return await self._read(lambda connection: tenants.get_tenant(connection, ref))

    async def list_tenants(
        self, limit: int = DEFAULT_PAGE_ROWS, cursor: str | None = None
    ) -> Page[Tenant]:
        return await self._read(lambda connection: tenants.list_tenants(connection, limit, cursor))

    # Databases

    async def create_database(
        self, tenant_id: TenantId, name: str, description: str = ""
    ) -> Database:
        return await self._write(
            lambda change: databases.create_database(change, tenant_id, name, description)
        )

    async def update_database(
        self, database_id: DatabaseId, changes: Mapping[str, Any], if_version: int | None = None
    ) -> Database:
        """`changes` may hold name and description."""
        return await self._write(
            lambda change: databases.update_database(change, database_id, changes, if_version)
        )

    async def delete_database(self, database_id: DatabaseId) -> None:
        """Raises InvalidState while it holds collections."""
        await self._write(lambda change: databases.delete_database(change, database_id))

    async def get_database(self, tenant_id: TenantId, ref: str | DatabaseId) -> Database:
        """By name or id, within the tenant."""
        return await self._read(
            lambda connection: databases.get_database(connection, tenant_id, ref)
        )

    async def list_databases(
        self, tenant_id: TenantId, limit: int = DEFAULT_PAGE_ROWS, cursor: str | None = None
    ) -> Page[Database]:
        return await self._read(
            lambda connection: databases.list_databases(connection, tenant_id, limit, cursor)
        )

    # Collections

    async def create_collection(
        self, database_id: DatabaseId, name: str, spec: CollectionSpec, description: str = ""
    ) -> CollectionId:
        """Record it in state `creating`, its shards placed on stores, in one transaction."""
        return await self._write(
            lambda change: collections.create_collection(
                change, database_id, name, spec, description
            )
        )

    async def update_collection(
        self, collection_id: CollectionId, changes: Mapping[str, Any], if_version: int | None = None
    ) -> Collection:
        """`changes` may hold name, description and state (by COLLECTION_MOVES)."""
        return await self._write(
            lambda change: collections.update_collection(change, collection_id, changes, if_version)
        )

    async def remove_collection(self, collection_id: CollectionId) -> None:
        """Remove the rows of a collection in state `deleting`, after its files are gone."""
        await self._write(lambda change: collections.remove_collection(change, collection_id))

    async def get_collection(self, database_id: DatabaseId, ref: str | CollectionId) -> Collection:
        """By name or id, within the database."""
        return await self._read(
            lambda connection: collections.get_collection(connection, database_id, ref)
        )

    async def list_collections(
        self, database_id: DatabaseId, limit: int = DEFAULT_PAGE_ROWS, cursor: str | None = None
    ) -> Page[Collection]:
        return await self._read(
            lambda connection: collections.list_collections(connection, database_id, limit, cursor)
        )

    # Users

    async def create_user(
        self,
        tenant_id: TenantId,
        email: str,
        password_hash: bytes | None = None,
        status: UserStatus = UserStatus.PENDING,
    ) -> User:
        return await self._write(
            lambda change: users.create_user(change, tenant_id, email, password_hash, status)
        )

    async def update_user(
        self, user_id: UserId, changes: Mapping[str, Any], if_version: int | None = None
    ) -> User:
        """`changes` may hold email, status, password_hash and last_login_at."""
        return await self._write(
            lambda change: users.update_user(change, user_id, changes, if_version)
        )

    async def delete_user(self, user_id: UserId) -> None:
        await self._write(lambda change: users.delete_user(change, user_id))

    async def get_user(self, tenant_id: TenantId, ref: str | UserId) -> User:
        """By email, whatever the case of its ASCII letters, or id, within the tenant."""
        return await self._read(lambda connection: users.get_user(connection, tenant_id, ref))

    async def list_users(
        self, tenant_id: TenantId, limit: int = DEFAULT_PAGE_ROWS, cursor: str | None = None
    ) -> Page[User]:
        return await self._read(
            lambda connection: users.list_users(connection, tenant_id, limit, cursor)
        )

    # The cluster

    async def register_store(self, store_id: StoreId, actor_name: str) -> None:
        """Say which actor serves a store now."""
        await self._write(lambda change: placement.register_store(change, store_id, actor_name))

    async def retire_other_stores(self, serving: Sequence[StoreId]) -> None:
        """Record that the stores outside of `serving` are served by nobody now."""
        await self._write(lambda change: placement.retire_other_stores(change, serving))

    async def replace_root_key_hash(self, root_key_hash: bytes) -> None:
        await self._write(lambda change: identity.set_root_key_hash(change, root_key_hash))

    async def snapshot(self) -> CatalogSnapshot:
        """The whole catalog, as new as the last change that returned. Users are not in it."""
        return await self._feed.snapshot()

    async def watch(self, since: int, timeout_s: float) -> CatalogSnapshot | None:
        """The catalog as soon as its version is above `since`; None when the time is over."""
        return await self._feed.watch(since, timeout_s)

    # Transactions

    async def _read(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        self._feed.require_open()
        async with self._database.reading() as connection:
            return await work(connection)

    async def _write(self, work: Callable[[Change], Awaitable[T]]) -> T:
        self._feed.require_open()
        # A task of its own: a caller that is cancelled during COMMIT must not keep a change, which
        # may be durable by then, from the watchers.
        task = asyncio.create_task(self._commit(work))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return await asyncio.shield(task)

    async def _commit(self, work: Callable[[Change], Awaitable[T]]) -> T:
        async with self._database.writing() as connection:
            result = await work(Change(connection, self._clock()))
            version = await catalog_version(connection)
        await self._feed.publish(version)
        return result
