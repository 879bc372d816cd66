"""The one actor that owns the catalog's file, and the port to it for everybody else."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from akidb_ray.catalog.catalog import SqliteCatalog
from akidb_ray.cluster.actors import CATALOG_ACTOR, NamedActor
from akidb_ray.domain.collection import Collection, CollectionSpec
from akidb_ray.domain.directory import CatalogSnapshot
from akidb_ray.domain.ids import ClusterId, CollectionId, DatabaseId, StoreId, TenantId
from akidb_ray.domain.tenancy import Database, Tenant, TenantQuota
from akidb_ray.storage.filesystem import FileLock
from akidb_ray.storage.os_filesystem import OsFileSystem

CATALOG_FOLDER = "catalog"
CATALOG_FILE = "catalog.sqlite"
STORES_FOLDER = "stores"


class CatalogActor:
    """A shell around `SqliteCatalog`, which it opens at the first call, under the folder's lock."""

    def __init__(self, data_dir: str, lock_wait_s: float) -> None:
        self._data_dir = Path(data_dir)
        self._lock_wait_s = lock_wait_s
        self._opening = asyncio.Lock()
        self._catalog: SqliteCatalog | None = None
        self._lock: FileLock | None = None

    async def perform(self, method: str, *arguments: Any) -> Any:
        """Call a method of the catalog, each change of which is whole on disk or absent."""
        catalog = await self._opened()
        return await getattr(catalog, method)(*arguments)

    async def data_dir(self) -> str:
        return str(self._data_dir)

    async def cluster_id(self) -> ClusterId:
        return (await self._opened()).cluster_id

    async def stop(self) -> None:
        if self._catalog is not None:
            await self._catalog.close()
        if self._lock is not None:
            self._lock.release()

    async def _opened(self) -> SqliteCatalog:
        async with self._opening:
            if self._catalog is None:
                fs = OsFileSystem(self._data_dir / CATALOG_FOLDER)
                self._lock = self._lock or await asyncio.to_thread(
                    fs.lock, PurePosixPath("LOCK"), self._lock_wait_s
                )
                # With stores there, the file must be there too: an empty catalog beside full stores
                # would hide all data.
                stores = OsFileSystem(self._data_dir).list(PurePosixPath(STORES_FOLDER))
                self._catalog = await SqliteCatalog.open(
                    fs.root / CATALOG_FILE, lambda: datetime.now(UTC), create=not stores
                )
            return self._catalog


class RayCatalog:
    """The catalog's port, carried out by calls to its actor."""

    def __init__(self, timeout_s: float) -> None:
        self._actor = NamedActor(CATALOG_ACTOR, "the catalog", timeout_s)

    async def create_tenant(
        self,
        name: str,
        slug: str | None = None,
        external_id: str | None = None,
        quota: TenantQuota | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Tenant:
        made: Tenant = await self._perform(
            "create_tenant", name, slug, external_id, quota, metadata
        )
        return made

    async def update_tenant(
        self, tenant_id: TenantId, changes: Mapping[str, Any], if_version: int | None = None
    ) -> Tenant:
        updated: Tenant = await self._perform("update_tenant", tenant_id, changes, if_version)
        return updated

    async def create_database(
        self, tenant_id: TenantId, name: str, description: str = ""
    ) -> Database:
        made: Database = await self._perform("create_database", tenant_id, name, description)
        return made

    async def update_database(
        self, database_id: DatabaseId, changes: Mapping[str, Any], if_version: int | None = None
    ) -> Database:
        updated: Database = await self._perform("update_database", database_id, changes, if_version)
        return updated

    async def delete_database(self, database_id: DatabaseId) -> None:
        await self._perform("delete_database", database_id)

    async def create_collection(
        self, database_id: DatabaseId, name: str, spec: CollectionSpec, description: str = ""
    ) -> CollectionId:
        made: CollectionId = await self._perform(
            "create_collection", database_id, name, spec, description
        )
        return made

    async def update_collection(
        self, collection_id: CollectionId, changes: Mapping[str, Any], if_version: int | None = None
    ) -> Collection:
        updated: Collection = await self._perform(
            "update_collection", collection_id, changes, if_version
        )
        return updated

    async def remove_collection(self, collection_id: CollectionId) -> None:
        await self._perform("remove_collection", collection_id)

    async def watch(self, since: int, timeout_s: float) -> CatalogSnapshot | None:
        snapshot: CatalogSnapshot | None = await self._actor.call(
            "perform", "watch", since, timeout_s, again=True, extra_s=timeout_s
        )
        return snapshot

    async def register_store(self, store_id: StoreId, actor_name: str) -> None:
        """Say which actor serves a store now."""
        await self._actor.call("perform", "register_store", store_id, actor_name, again=True)

    async def retire_other_stores(self, serving: Sequence[StoreId]) -> None:
        """Say that only these stores are served now."""
        await self._actor.call("perform", "retire_other_stores", serving, again=True)

    async def replace_root_key_hash(self, root_key_hash: bytes) -> None:
        await self._perform("replace_root_key_hash", root_key_hash)

    async def data_dir(self) -> str:
        """The folder of the instance that the catalog belongs to."""
        data_dir: str = await self._actor.call("data_dir", again=True)
        return data_dir

    async def cluster_id(self) -> ClusterId:
        cluster_id: ClusterId = await self._actor.call("cluster_id", again=True)
        return cluster_id

    async def _perform(self, method: str, *arguments: Any) -> Any:
        return await self._actor.call("perform", method, *arguments)
